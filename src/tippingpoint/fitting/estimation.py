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
from tippingpoint.fitting.objectives import objective_named
from tippingpoint.fitting.search import MOST_AXES
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
    objective : str
    huber_delta : float
    max_exponent : float
        The settings.
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
    objective: str
    huber_delta: float
    max_exponent: float


def estimate(
    runs: Runs, axes: Sequence[str], target: str, *, objective: str, huber_delta: float, max_exponent: float
) -> Estimate:
    """Fit the additive law to a group of runs.

    Parameters
    ----------
    runs : Runs
        One group.
    axes : sequence of str
        Columns of sizes.
    target : str
        Column to explain.
    objective, huber_delta, max_exponent
        See :func:`tippingpoint.fitting.additive.fit_additive`.

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
    chosen = objective_named(objective, huber_delta)
    runs.require(axes, target, positive_target=chosen.on_logs)
    sizes = np.column_stack([runs.numbers(axis) for axis in axes])
    y = runs.numbers(target)
    solution = fit_additive(sizes, y, objective=objective, huber_delta=huber_delta, max_exponent=max_exponent)
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
        objective,
        huber_delta,
        max_exponent,
    )


def _independent(runs: Runs) -> int:
    """Return how many runs count as independent: checkpoints where they are told, else rows."""
    if "pretrain_id" in runs.frame.columns:
        known = runs.frame["pretrain_id"]
        return max(int(known.nunique() + known.isna().sum()), 1)
    return len(runs)


def _with_names(sentence: str, axes: Sequence[str]) -> str:
    return re.sub(r"\baxis (\d+)\b", lambda found: str(axes[int(found.group(1))]), sentence)
