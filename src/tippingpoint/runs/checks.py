"""Everything that can be wrong with a table, found in one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tippingpoint.runs.columns import GROUP, IDENTITY, NUMBERS, SCHEMA_VERSION, SIZES, TARGETS
from tippingpoint.runs.faults import at_rows
from tippingpoint.runs.table import Runs

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
        runs, more = _as_numbers(runs, column)
        faults += more or _check_range(runs, column, column in axes, column in asked)
    faults += _check_version(runs)
    if not len(runs):
        faults.append(f"{runs.source}: no rows are left{': ' + ' '.join(runs.notes) if runs.notes else '.'}")
    elif not faults:
        runs, faults = _check_rows(runs, axes)
    return runs, faults


def _as_numbers(runs: Runs, column: str) -> tuple[Runs, list[str]]:
    """Turn a column into floats, or name the cells that are text."""
    import pandas as pd

    cells = runs.frame[column]
    if cells.dtype == float:
        return runs, []
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    text = (numbers.isna() & cells.notna() & (cells.astype(str).str.strip().str.lower() != "nan")).to_numpy(bool)
    said = at_rows(
        text, runs.line_numbers(), column, "is text; write a number", runs.source, runs.row_word, cells.tolist()
    )
    if said:
        return runs, said
    return replace(runs, frame=runs.frame.assign(**{column: numbers})), []


def _check_range(runs: Runs, column: str, is_axis: bool, is_asked: bool) -> list[str]:
    """Name the cells that are out of range, or empty where nothing can excuse it."""
    values = runs.frame[column].to_numpy(dtype=float)
    lines, source, word = runs.line_numbers(), runs.source, runs.row_word
    cells = values.tolist()
    faults = at_rows(np.isinf(values), lines, column, "is not finite; write a number", source, word)
    if is_axis or column in SIZES:
        remedy = "is not above 0; leave it empty where the size does not apply"
        faults += at_rows(values <= 0, lines, column, remedy, source, word, cells)
    if column == "error":
        wrong = (values < 0) | (values > 1)
        faults += at_rows(wrong, lines, column, "is outside 0..1; write a fraction", source, word, cells)
    elif column in TARGETS:
        faults += at_rows(values < 0, lines, column, "is negative; check the score", source, word, cells)
    grouped = any(name in runs.frame.columns for name in GROUP)  # then another group may excuse an empty cell
    if is_asked and not grouped:
        faults += at_rows(np.isnan(values), lines, column, "is empty; fill it in or leave the row out", source, word)
    return faults


def _check_version(runs: Runs) -> list[str]:
    """Refuse a table that a newer version of the package has written."""
    import pandas as pd

    if "schema_version" not in runs.frame.columns:
        return []
    versions = pd.to_numeric(runs.frame["schema_version"], errors="coerce").to_numpy(dtype=float)
    wrong = ~(versions <= SCHEMA_VERSION)
    what = f"is not a version this package reads (up to {SCHEMA_VERSION}); upgrade tippingpoint"
    return at_rows(wrong, runs.line_numbers(), "schema_version", what, runs.source, runs.row_word)


def _check_rows(runs: Runs, axes: tuple[str, ...]) -> tuple[Runs, list[str]]:
    """Find runs given twice, and axes that do not vary."""
    faults: list[str] = []
    frame = runs.frame
    if "seed" in frame.columns or "subset_seed" in frame.columns:
        named = [name for name in IDENTITY if name in frame.columns]
        twice = frame.duplicated(named, keep="first").to_numpy(bool)
        what = "belongs to a run that is already there (same group, sizes and seeds); keep one of them"
        faults += at_rows(twice, runs.line_numbers(), "seed", what, runs.source, runs.row_word)
    else:
        copies = int(_hashable(runs).duplicated().sum())
        if copies:
            runs = runs.noted(f"{copies} rows equal an earlier one in every column; they are kept.")
    for axis in axes:
        if axis in frame.columns and frame[axis].nunique() < 2:
            value = frame[axis].iloc[0]
            faults.append(f"{runs.source}: axis '{axis}' has a single value ({value:g}); leave it out of the axes.")
    return runs, faults


def _hashable(runs: Runs):  # type: ignore[no-untyped-def]
    """Return the frame with cells such as lists as text, so that rows can be compared."""
    frame = runs.frame
    texts = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: frame[name].astype(str) for name in texts}) if texts else frame
