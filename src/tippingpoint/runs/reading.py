"""Reading a table of runs from wherever it is, and checking it whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.errors import RunsError
from tippingpoint.expressions import Expression
from tippingpoint.runs.checks import check
from tippingpoint.runs.faults import missing_columns
from tippingpoint.runs.files import read_table
from tippingpoint.runs.table import Runs
from tippingpoint.runs.trackers import plain_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_example", "read_runs"]

_REMEDY = "; name one of them, or make the column with define (--define 'NAME=EXPR', such as 'error=1 - accuracy')"


def read_runs(
    source: str | Path | pd.DataFrame | Mapping[str, Any] | Runs,
    *,
    axes: Sequence[str] | None = None,
    target: str | None = None,
    define: Mapping[str, str] | None = None,
    where: str | None = None,
) -> Runs:
    """Read a table of runs, define columns, choose rows, and check what is left.

    Parameters
    ----------
    source : path, DataFrame (pandas, polars, pyarrow), mapping of columns, or Runs
        A CSV, JSONL or Parquet file, a study directory (its ``runs.csv``), a folder of Parquet files as the Hugging
        Face Hub stores data sets, or a table in memory. What W&B or MLflow exported is read as it comes
        (:mod:`tippingpoint.runs.trackers`).
    axes : sequence of str, optional
        Columns that will be axes: must exist, hold numbers above 0, and take at least two values.
    target : str, optional
        Column that will be fitted: must exist and hold numbers.
    define : mapping of str to str, optional
        New columns as expressions over the others, in order: ``{"D": "C / (6 * `Model Size`)"}``.
    where : str, optional
        Condition that rows must meet; the others are counted in ``notes``.

    Returns
    -------
    Runs

    Raises
    ------
    RunsError
        The table cannot be read or is faulty; all faults, each with file, row, column and remedy.
    ExpressionError
        ``define`` or ``where`` cannot be used.
    """
    runs = source if isinstance(source, Runs) else plain_columns(read_table(source))
    for name, text in (define or {}).items():
        runs = _define(runs, name, text)
    if where is not None:
        mask = Expression(where).mask(_columns(runs, where), len(runs))
        runs = runs.keep(mask, f"they do not meet {where}")
    needed = [*(axes or ()), *([target] if target else [])]
    faults = missing_columns(needed, runs.frame.columns, runs.source, _REMEDY)
    checked, more = check(runs, tuple(axes or ()), target)
    if faults or more:
        raise RunsError([*faults, *more])
    return checked


def load_example() -> Runs:
    """Return the runs of our ``standard`` study, which come with the package.

    Raises
    ------
    RunsError
        This build of the package has no example data.
    """
    place = resources.files("tippingpoint").joinpath("_data/standard_runs.csv")
    with resources.as_file(place) as path:
        if not path.is_file():
            raise RunsError("This build of tippingpoint has no example runs; install a released version.")
        return replace(read_runs(path), source="the example runs")


def _define(runs: Runs, name: str, text: str) -> Runs:
    """Return the runs with one column more (or one replaced, which is noted)."""
    expression = Expression(text)
    values = expression.evaluate(_columns(runs, text), len(runs))
    notes = [f"Column '{name}' of the table is replaced by {text}."] if name in runs.frame.columns else []
    return replace(runs, frame=runs.frame.assign(**{name: values})).noted(*notes)


def _columns(runs: Runs, text: str) -> dict[str, Any]:
    """Return the columns an expression names as arrays: floats, booleans, or objects for text."""
    names = [name for name in Expression(text).names if name in runs.frame.columns]
    found: dict[str, Any] = {str(name): None for name in runs.frame.columns}
    for name in names:
        column = runs.frame[name]
        if column.dtype == bool:
            found[name] = column.to_numpy(dtype=bool)
            continue
        try:
            found[name] = column.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            found[name] = column.astype(object).to_numpy(dtype=object)
    return found
