"""From runs and axes to an estimate: check, fit, ask what is identified, put names into the sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import AdditiveSolution, fit_additive
from tippingpoint.fitting.held_additive import HeldAdditive, fit_held_additive
from tippingpoint.fitting.identifiability import Identifiability, term_identifiability
from tippingpoint.fitting.inputs import Inputs, fit_inputs, independent_runs, read_inputs
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
        How much each run counted: ones, or a column of weights; under ``binomial`` times 1/(1/n_test + rho), scaled to
        keep their sum. Refits and posteriors start from these.
    chosen : Objective
        What was minimised.
    axes : tuple of str
        Columns of the sizes.
    over_dispersion : float or None
        Under ``binomial`` rho: how much more the rates vary than sampling explains, as a share of f (1 - f).
    held : HeldAdditive or None
        The fit behind the solution where parameters are fixed, bounded or shared: the law under its constraints, and
        its parameters without units.
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
    over_dispersion: float | None = None
    held: HeldAdditive | None = None


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
    inputs = read_inputs(runs, axes, target, setting)
    solution, held, weights, over_dispersion, runs = _fit(inputs, axes, setting)
    terms = term_identifiability(
        solution,
        inputs.sizes,
        inputs.y,
        inputs.objective,
        weights=weights,
        independent=independent_runs(runs, inputs.counts),
        held=held,
    )
    reasons = [_with_names(reason, axes) for reason in solution.reasons]
    status = solution.status
    for axis, term in zip(axes, terms, strict=True):
        if term.identified:
            continue
        if term.doubt and not any(sentence.startswith(f"{axis}") for sentence in reasons):
            reasons.append(f"{axis}: {term.reason}.")
        told = term.at_bound or (term.given and not term.doubt)
        if STATUSES.index("unidentified") < STATUSES.index(status) and not told:
            status = "unidentified"
    return Estimate(
        solution,
        status,
        tuple(terms),
        tuple(reasons),
        runs.notes,
        target,
        inputs.sizes,
        inputs.y,
        runs,
        setting,
        weights,
        inputs.objective,
        tuple(axes),
        over_dispersion,
        held,
    )


def _fit(
    inputs: Inputs, axes: Sequence[str], setting: FitSetting
) -> tuple[AdditiveSolution, HeldAdditive | None, Array, float | None, Runs]:
    """Return the fit, the one behind it where parameters are held, weights, over-dispersion, and noted runs."""
    if setting.constrained:

        def under(weights: Array, start: HeldAdditive | None) -> HeldAdditive:
            return fit_held_additive(axes, inputs.sizes, inputs.y, setting, weights, start)

        held, weights, rho, runs = fit_inputs(under, inputs, lambda one: one.inner.n_parameters)
        return held.solution, held, weights, rho, runs

    def free(weights: Array, start: AdditiveSolution | None) -> AdditiveSolution:
        return fit_additive(
            inputs.sizes,
            inputs.y,
            weights=weights,
            objective=setting.objective,
            huber_delta=setting.huber_delta,
            max_exponent=setting.max_exponent,
            start=start,
        )

    solution, weights, rho, runs = fit_inputs(free, inputs, lambda one: one.n_parameters)
    return solution, None, weights, rho, runs


def _with_names(sentence: str, axes: Sequence[str]) -> str:
    return re.sub(r"\baxis (\d+)\b", lambda found: str(axes[int(found.group(1))]), sentence)
