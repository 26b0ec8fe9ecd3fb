"""Everything that can be wrong with a table, found in one pass."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tippingpoint.runs.cells import floats
from tippingpoint.runs.columns import GROUP, MEASURED, NUMBERS, SCHEMA_VERSION, SIZES, TARGETS
from tippingpoint.runs.faults import at_rows
from tippingpoint.runs.table import Runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check"]


def check(runs: Runs, axes: tuple[str, ...], target: str | None) -> tuple[Runs, list[str]]:
    """Return the runs with numbers as numbers, and a sentence for each fault.

    Parameters
    ----------
    runs : Runs
        As read.
    axes : tuple of str
        Columns that will be axes; those that are absent are passed over here.
    target : str or None
        The column that will be fitted.

    Returns
    -------
    runs : Runs
        The agreed and the asked-for columns are floats.
    faults : list of str
        Empty where nothing is wrong.
    """
    present = [str(name) for name in runs.frame.columns]
    asked = [*axes, *([target] if target else [])]
    faults: list[str] = []
    for column in dict.fromkeys(name for name in (*NUMBERS, *asked) if name in present):
        values, more = _as_numbers(runs, column)
        faults += more + _check_range(runs, column, values, column in axes, column in asked)
        if not more:
            runs = replace(runs, frame=runs.frame.assign(**{column: values}))
    faults += _check_version(runs)
    if not len(runs):
        why = (
            f"no rows are left: {' '.join(runs.notes)}"
            if runs.notes
            else "there are no runs; write one row for each, or let the study go on."
        )
        faults.append(f"{runs.source}: {why}")
        return runs, faults
    runs, more = _check_rows(runs, axes, target)
    return runs, faults + more


def _as_numbers(runs: Runs, column: str) -> tuple[NDArray[np.float64], list[str]]:
    """Return a column as floats, NaN for empty cells and for text, and name the cells that are text."""
    cells = runs.frame[column]
    values = np.asarray(floats(cells), dtype=np.float64)
    text = np.isnan(values) & cells.notna().to_numpy(bool)
    text &= (cells.astype(str).str.strip().str.lower() != "nan").to_numpy(bool)
    word = "is text; write a number, with a decimal point and without units, % or separators of thousands"
    return values, at_rows(text, runs.line_numbers(), column, word, runs.source, runs.row_word, cells.tolist())


def _check_range(runs: Runs, column: str, values: NDArray[np.float64], is_axis: bool, is_asked: bool) -> list[str]:
    """Name the cells that are out of range, or empty where nothing can excuse it."""
    empty = runs.frame[column].isna().to_numpy(bool)
    grouped = any(name in runs.frame.columns for name in GROUP)  # then another group may excuse an empty cell
    rules = [(np.isinf(values), "is not finite; write a number")]
    if is_axis or column in SIZES:
        rules.append((values <= 0, "is not above 0; leave it empty where the size does not apply"))
    if column == "error":
        rules.append(((values < 0) | (values > 1), "is outside 0..1; write a fraction"))
    elif column in TARGETS:
        rules.append((values < 0, "is negative; check the score"))
    if is_asked and not grouped:
        rules.append((empty, "is empty; fill it in or leave the row out"))
    lines, cells = runs.line_numbers(), runs.frame[column].tolist()
    told = np.isinf(values)  # by the first rule, and not once more as out of range
    rules = rules[:1] + [(bad & ~told, what) for bad, what in rules[1:]]
    faults = [at_rows(bad, lines, column, what, runs.source, runs.row_word, cells) for bad, what in rules]
    return [sentence for found in faults for sentence in found]


def _check_version(runs: Runs) -> list[str]:
    """Refuse a table that a newer version of the package has written."""
    if "schema_version" not in runs.frame.columns:
        return []
    versions = floats(runs.frame["schema_version"]).to_numpy(dtype=float)
    wrong = ~(versions <= SCHEMA_VERSION)
    what = f"is not a version this package reads (up to {SCHEMA_VERSION}); upgrade tippingpoint"
    return at_rows(wrong, runs.line_numbers(), "schema_version", what, runs.source, runs.row_word)


def _check_rows(runs: Runs, axes: tuple[str, ...], target: str | None) -> tuple[Runs, list[str]]:
    """Find runs given twice, and axes that do not vary."""
    faults: list[str] = []
    frame = runs.frame
    named = [name for name in frame.columns if name not in MEASURED and name != target]
    if "seed" in named or "subset_seed" in named:
        twice = _hashable(runs).duplicated(named, keep="first").to_numpy(bool)
        what = "a run that is already there (all but its scores is the same); keep one, or give repeats their own seed"
        faults += at_rows(twice, runs.line_numbers(), None, what, runs.source, runs.row_word)
    else:
        copies = int(_hashable(runs).duplicated().sum())
        if copies:
            runs = runs.noted(f"{copies} rows equal an earlier one in every column; they are kept.")
    for axis in axes:
        if axis in frame.columns and frame[axis].dtype == float and frame[axis].nunique() < 2:
            value = frame[axis].iloc[0]
            faults.append(f"{runs.source}: axis '{axis}' has a single value ({value}); leave it out of the axes.")
    return runs, faults


def _hashable(runs: Runs) -> pd.DataFrame:
    """Return the frame with cells such as lists as text, so that rows can be compared."""
    frame = runs.frame
    texts = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: frame[name].astype(str) for name in texts}) if texts else frame
