"""The arrays of a fit, out of a table: sizes, target, weights, sizes of test sets; every fault told at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import RunsError
from tippingpoint.fitting.objectives import Objective, objective_named
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.runs import Runs
from tippingpoint.runs.faults import at_rows

__all__ = ["Inputs", "read_inputs"]

Array = NDArray[np.float64]


class Inputs(NamedTuple):
    """What a law is fitted to.

    Attributes
    ----------
    sizes : ndarray, shape (n, k)
    y : ndarray, shape (n,)
    weights : ndarray, shape (n,)
        How much each run counts; ones unless a column says otherwise.
    objective : Objective
        What is minimised.
    """

    sizes: Array
    y: Array
    weights: Array
    objective: Objective


def read_inputs(runs: Runs, axes: Sequence[str], target: str, setting: FitSetting) -> Inputs:
    """Read what a fit needs from its runs.

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
    weights, faults = _weights(runs, setting.weights)
    try:
        runs.require(axes, target, positive_target=chosen.on_logs)
    except RunsError as error:
        faults = [*error.faults, *faults]
    if faults:
        raise RunsError(faults)
    sizes = np.column_stack([runs.numbers(axis) for axis in axes])
    return Inputs(sizes, runs.numbers(target), weights, chosen)


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
