"""From runs and axes to an estimate: check, fit, ask what is identified, put names into the sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import AdditiveSolution, fit_additive
from tippingpoint.fitting.identifiability import Identifiability, term_identifiability
from tippingpoint.fitting.inputs import read_inputs
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.search import MOST_AXES
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.status import STATUSES
from tippingpoint.runs import Runs

__all__ = ["Estimate", "estimate"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A law fitted to one group of runs, with the data it was fitted to.

    Attributes
    ----------
    solution : AdditiveSolution
        Parameters in raw units.
    status : str
        Worst of the solution's status and what the profiles say.
    terms : tuple of Identifiability
        One for each axis.
    warnings, notes : tuple of str
        What is not as it should be; what was set aside.
    target : str
        The column that was fitted.
    sizes : ndarray, shape (n, k)
    y : ndarray, shape (n,)
        The data.
    runs : Runs
        Their rows, for seed blocks.
    setting : FitSetting
        What the fit was told.
    weights : ndarray, shape (n,)
        How much each run counted: ones unless a column of weights was named. Refits and posteriors start from these.
    chosen : Objective
        What was minimised.
    axes : tuple of str
        Columns of the sizes.
    """

    solution: AdditiveSolution
    status: str
    terms: tuple[Identifiability, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    target: str
    sizes: Array
    y: Array
    runs: Runs
    setting: FitSetting
    weights: Array
    chosen: Objective
    axes: tuple[str, ...]

    @property
    def objective(self) -> str:
        """Name of what was minimised."""
        return self.setting.objective

    @property
    def huber_delta(self) -> float:
        """Where Huber's loss bends."""
        return self.setting.huber_delta

    @property
    def max_exponent(self) -> float:
        """Upper bound of the exponents."""
        return self.setting.max_exponent


def estimate(runs: Runs, axes: Sequence[str], target: str, setting: FitSetting) -> Estimate:
    """Fit the additive law to a group of runs.

    Parameters
    ----------
    runs : Runs
        One group.
    axes : sequence of str
        Columns of sizes.
    target : str
        Column to explain.
    setting : FitSetting
        What is minimised, how much each run counts, and what holds the parameters.

    Returns
    -------
    Estimate

    Raises
    ------
    RunsError
        Cells are missing or out of range, with their rows.
    FitError
        A setting is wrong.
    """
    if len(axes) > MOST_AXES:
        raise FitError(f"A law has 1 to {MOST_AXES} axes, not {len(axes)}.")
    sizes, y, weights, chosen = read_inputs(runs, axes, target, setting)
    solution = fit_additive(
        sizes,
        y,
        weights=weights,
        objective=setting.objective,
        huber_delta=setting.huber_delta,
        max_exponent=setting.max_exponent,
    )
    terms = term_identifiability(solution, sizes, y, chosen, independent=_independent(runs))
    reasons = [_with_names(reason, axes) for reason in solution.reasons]
    status = solution.status
    for axis, term in zip(axes, terms, strict=True):
        if term.identified:
            continue
        if term.doubt and not any(sentence.startswith(f"{axis}") for sentence in reasons):
            reasons.append(f"{axis}: {term.reason}.")
        if STATUSES.index("unidentified") < STATUSES.index(status) and not term.at_bound:
            status = "unidentified"
    return Estimate(
        solution,
        status,
        tuple(terms),
        tuple(reasons),
        runs.notes,
        target,
        sizes,
        y,
        runs,
        setting,
        weights,
        chosen,
        tuple(axes),
    )


def _independent(runs: Runs) -> int:
    """Return how many runs count as independent: checkpoints where they are told, else rows."""
    if "pretrain_id" in runs.frame.columns:
        known = runs.frame["pretrain_id"]
        return max(int(known.nunique() + known.isna().sum()), 1)
    return len(runs)


def _with_names(sentence: str, axes: Sequence[str]) -> str:
    return re.sub(r"\baxis (\d+)\b", lambda found: str(axes[int(found.group(1))]), sentence)
