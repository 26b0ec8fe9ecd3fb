"""The arrays of a fit, out of a table: sizes, target, weights, sizes of test sets; every fault told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import RunsError
from tippingpoint.fitting.objectives import Objective, objective_named
from tippingpoint.fitting.rates import Predicts, fit_rates, spread_sentence
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.runs import Runs
from tippingpoint.runs.faults import at_rows

__all__ = ["Inputs", "fit_inputs", "independent_runs", "read_inputs"]

Array = NDArray[np.float64]
Solution = TypeVar("Solution", bound=Predicts)

_IMAGES = "n_test"


class Inputs(NamedTuple):
    """What a law is fitted to.

    Attributes
    ----------
    runs : Runs
        The runs that count.
    sizes : ndarray, shape (n, k)
    y : ndarray, shape (n,)
    counts : ndarray, shape (n,)
        How often each run counts, above 0; ones unless a column says otherwise.
    n_test : ndarray, shape (n,)
        Test images behind each rate; ones where the objective does not ask.
    objective : Objective
        What is minimised.
    """

    runs: Runs
    sizes: Array
    y: Array
    counts: Array
    n_test: Array
    objective: Objective


def read_inputs(runs: Runs, axes: Sequence[str], target: str, setting: FitSetting) -> Inputs:
    """Read what a fit needs from its runs; those of weight 0 are set aside first, as if they were not there.

    Parameters
    ----------
    runs : Runs
        One group.
    axes : sequence of str
        Columns of sizes.
    target : str
        Column to explain.
    setting : FitSetting
        Objective and column of weights.

    Raises
    ------
    RunsError
        Cells are missing or out of range: every fault, with its rows.
    FitError
        A setting is wrong.
    """
    chosen = objective_named(setting.objective, setting.huber_delta)
    counts, faults = _weights(runs, setting.weights)
    if not faults and setting.weights is not None:
        runs, counts = runs.keep(counts > 0, f"their weight '{setting.weights}' is 0"), counts[counts > 0]
    try:
        runs.require(axes, target, positive_target=chosen.on_logs)
    except RunsError as error:
        faults = [*error.faults, *faults]
    n_test = np.ones(len(runs))
    if chosen.on_rates:
        n_test, more = _rates(runs, target, setting.objective)
        faults += more
    if faults:
        raise RunsError(faults)
    sizes = np.column_stack([runs.numbers(axis) for axis in axes])
    return Inputs(runs, sizes, runs.numbers(target), counts, n_test, chosen)


def _weights(runs: Runs, column: str | None) -> tuple[Array, list[str]]:
    """Return the column of weights, or ones, and what is wrong with it."""
    if column is None:
        return np.ones(len(runs)), []
    try:
        found = runs.numbers(column)
    except RunsError as error:
        return np.ones(len(runs)), list(error.faults)
    lines, source, word = runs.line_numbers(), runs.source, runs.row_word
    what = "is empty or not finite; give every run a weight, 0 to leave it out"
    faults = at_rows(~np.isfinite(found), lines, column, what, source, word)
    faults += at_rows(found < 0, lines, column, "is negative; a weight says how often a run counts", source, word)
    if not faults and len(found) and not (found > 0).any():
        faults.append(f"{source}: column '{column}' gives every run the weight 0; at least one must count.")
    return found, faults


def _rates(runs: Runs, target: str, objective: str) -> tuple[Array, list[str]]:
    """Return the number of test images behind each rate, and what is wrong with it or with the rates."""
    lines, source, word = runs.line_numbers(), runs.source, runs.row_word
    n_test, faults = np.ones(len(runs)), []
    if target in runs.frame.columns:
        try:
            values = runs.numbers(target)
            what = f"is outside 0..1, and the objective '{objective}' is for error rates; use 'huber-log' for losses"
            faults += at_rows((values < 0) | (values > 1), lines, target, what, source, word)
        except RunsError:
            pass  # text in the target is told by Runs.require
    if _IMAGES not in runs.frame.columns:
        remedy = f"the number of test images behind each rate; give it, for example with --define {_IMAGES}=10000"
        return n_test, [*faults, f"{source}: the objective '{objective}' needs the column '{_IMAGES}', {remedy}."]
    try:
        n_test = runs.numbers(_IMAGES)
    except RunsError as error:
        return n_test, [*faults, *error.faults]
    what = "is not a number of test images of 1 or more; fill it in"
    return n_test, faults + at_rows(~(np.isfinite(n_test) & (n_test >= 1)), lines, _IMAGES, what, source, word)


def fit_inputs(
    fit: Callable[[Array, Solution | None], Solution], inputs: Inputs, parameters: Callable[[Solution], int]
) -> tuple[Solution, Array, float | None, Runs]:
    """Fit a law to inputs, under ``binomial`` in turns with the over-dispersion of the runs.

    Parameters
    ----------
    fit : callable
        Fits the law with weights (n,), from a start or (None) from none.
    inputs : Inputs
    parameters : callable
        Returns how many parameters a fit has.

    Returns
    -------
    solution
        What ``fit`` returned last.
    weights : ndarray, shape (n,)
        The counts; under ``binomial`` the counts over 1/n_test + rho, scaled to have the same sum.
    over_dispersion : float or None
        rho; None for other objectives.
    runs : Runs
        With a note of what the over-dispersion means.
    """
    if not inputs.objective.on_rates:
        return fit(inputs.counts, None), inputs.counts, None, inputs.runs
    found = fit_rates(fit, (inputs.sizes, inputs.y), inputs.n_test, inputs.counts, parameters)
    weights = found.weights * (inputs.counts.sum() / found.weights.sum())
    runs = inputs.runs.noted(spread_sentence(found.over_dispersion, inputs.y, inputs.counts))
    return found.solution, weights, found.over_dispersion, runs


def independent_runs(runs: Runs, counts: Array) -> float:
    """Return how many runs count as independent: checkpoints where they are told, else rows by their counts."""
    if "pretrain_id" in runs.frame.columns:
        known = runs.frame["pretrain_id"]
        return float(max(int(known.nunique() + known.isna().sum()), 1))
    return float(counts.sum())
