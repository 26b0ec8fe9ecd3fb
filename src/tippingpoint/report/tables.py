"""The paper's tables from any runs: one law a group, first as data, then as tables that any format can print.

The paper's Table 1 holds the exponents of plain training, Table 2 those of distillation, Table 4 floors and
coefficients. Here each number has its interval, and a term that the data do not determine is marked and told why.
Deliberately not built: numbers without intervals, and coefficients in other than raw units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.errors import RunsError, TippingPointError
from tippingpoint.report.engine import usable_axes
from tippingpoint.report.looks import GROUP, tidy
from tippingpoint.runs import read_runs
from tippingpoint.runs.table import unknown_value

if TYPE_CHECKING:
    from tippingpoint.laws.base import Law
    from tippingpoint.runs import Runs

__all__ = ["COLUMNS", "Estimate", "PaperTable", "law_rows", "paper_tables"]

#: Columns of :func:`law_rows`, one row for each parameter of each group's law.
COLUMNS = (
    *GROUP,
    "target",
    "law",
    "n_runs",
    "status",
    "axis",
    "parameter",
    "value",
    "low",
    "high",
    "level",
    "identified",
    "reason",
)
NOT_FITTED = "not fitted"
APART = "‡ The value lies outside its interval: the fit and the draws disagree, so quote neither alone."
LABELS = ("recipe", "stage", "upstream", "downstream", "target")  # what may tell the rows of a table apart


class Estimate(NamedTuple):
    """One number of a table: its value, the ends of its interval, and whether the data determine it."""

    value: float
    low: float
    high: float
    identified: bool

    @property
    def apart(self) -> bool:
        """Whether the value lies outside its own interval, by more than rounding."""
        slack = 1e-6 * abs(self.value)
        return self.value < self.low - slack or self.value > self.high + slack

    @property
    def mark(self) -> str:
        """What stands behind it: † where the data do not determine it, ‡ where it lies outside its interval."""
        return ("" if self.identified else "†") + ("‡" if self.identified and self.apart else "")


class PaperTable(NamedTuple):
    """A table that is ready to be printed.

    Attributes
    ----------
    title : str
        What it shows.
    head : tuple of str
        Names of the columns.
    rows : tuple of tuples of str or Estimate
        One for each group and target; an empty string where the law has no such parameter.
    notes : tuple of str
        Why numbers are marked, and why a group has no law.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Estimate, ...], ...]
    notes: tuple[str, ...]


def law_rows(
    runs: Runs | pd.DataFrame | str | Path | Mapping[str, Any],
    law: str = "additive",
    *,
    axes: Sequence[str] | None = None,
    targets: Sequence[str] = ("error",),
    group: Mapping[str, str | None] | None = None,
    weights: str | None = None,
    objective: str = "huber-log",
    level: float = 0.9,
    random_state: int | None = 0,
) -> pd.DataFrame:
    """Fit one law to each group of runs and return every parameter with its interval.

    Parameters
    ----------
    runs : Runs, DataFrame, str, Path or mapping
        The table, a file, or a study directory.
    law : str, default "additive"
        Which law.
    axes : sequence of str, optional
        Its axes; by default those along which a group's runs differ. Of named axes, a group takes those that vary.
    targets : sequence of str, default ("error",)
        Columns to explain, each by a law of its own.
    group : mapping, optional
        Only groups with these values of ``recipe``, ``stage``, ``upstream``, ``downstream``.
    weights, objective
        As in ``fit`` of a law.
    level : float, default 0.9
        Probability of the intervals.
    random_state : int or None, default 0
        Seed of the intervals' draws: the same runs give the same table.

    Returns
    -------
    DataFrame
        The columns of ``COLUMNS``, one row a parameter, in raw units; ``axis`` is empty for a parameter of the whole
        law. A group without a law is one row with the ``status`` ``not fitted`` and the ``reason``.

    Raises
    ------
    RunsError
        The table cannot be read, has no such target, or no group is left.
    FitError
        There is no such law, or the level is not between 0 and 1.
    """
    from tippingpoint.fitting.intervals import check_level
    from tippingpoint.laws.registry import law_named

    check_level(level)
    made = law_named(law)
    table = read_runs(runs)
    for target in targets:
        table = read_runs(table, axes=axes, target=target)
    frame = _chosen(_as_text(tidy(table.frame)), group or {}, table.source)
    found = []
    for values, rows in frame.groupby(list(GROUP), dropna=False, sort=False):
        label = {name: value if isinstance(value, str) else None for name, value in zip(GROUP, values, strict=True)}
        for target in targets:
            head = {**label, "target": target, "law": law, "level": level}
            scored = rows.dropna(subset=[target]).dropna(axis=1, how="all")
            told = [name for name in axes if _varies(scored, name)] if axes is not None else list(usable_axes(scored))
            try:
                if not told:
                    raise RunsError("These runs all have the same sizes, so there is no axis to fit along.")
                fitted = made(told, objective=objective, random_state=random_state).fit(scored, target, weights=weights)
                found += _parameters(fitted, head)
            except (TippingPointError, ArithmeticError, np.linalg.LinAlgError) as error:
                found.append(
                    {**head, "n_runs": len(scored), "status": NOT_FITTED, "reason": " ".join(str(error).split())}
                )
    return pd.DataFrame(found, columns=list(COLUMNS))


def _chosen(frame: pd.DataFrame, group: Mapping[str, str | None], source: str) -> pd.DataFrame:
    """Return the rows of the groups that were asked for, scored on test images where there are such."""
    for name, value in group.items():
        known = sorted(map(str, frame[name].dropna().unique()))
        if value is not None and value not in known:
            raise RunsError(unknown_value(name, value, known, source))
        if value is not None:
            frame = frame[frame[name] == value]
    if "scored_on" in frame and (frame["scored_on"] == "test").any():
        frame = frame[frame["scored_on"] == "test"]
    if frame.empty:
        raise RunsError(f"{source}: there are no runs, so there is nothing to put in a table.")
    return frame


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with group values as text, so that a recipe called 1 is a name too."""
    return frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in GROUP})


def _varies(rows: pd.DataFrame, name: str) -> bool:
    """Whether a column is there, complete, and takes two sizes."""
    return name in rows and bool(rows[name].notna().all()) and rows[name].nunique() > 1


def _parameters(law: Law, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each parameter of a fitted law."""
    told = law.to_dict(head["level"])
    head = {**head, "law": told.get("chosen", told["law"]), "n_runs": told["n_runs"], "status": told["status"]}
    rows = []
    for name, value in told["parameters"].items():
        axis, _, parameter = name.rpartition(".")
        if axis not in told["terms"]:
            axis, parameter = "", name
        low, high = told["intervals"].get(name, (np.nan, np.nan))
        term = told["terms"].get(axis, {"identified": True, "reason": ""})
        why = {"identified": bool(term["identified"]), "reason": term["reason"] or ""}
        rows.append({**head, "axis": axis, "parameter": parameter, "value": value, "low": low, "high": high, **why})
    return rows


# -- from rows to tables -----------------------------------------------------------------------------------------------


def paper_tables(rows: pd.DataFrame) -> tuple[PaperTable, ...]:
    """Arrange the parameters as the paper does.

    Parameters
    ----------
    rows : DataFrame
        What :func:`law_rows` returned.

    Returns
    -------
    tuple of PaperTable
        The exponents of each recipe (the paper's Tables 1 and 2), then floors and coefficients of all recipes (its
        Table 4). A parameter is named ``<axis> <parameter>`` where the law has more than the usual ones.
    """
    exponents = rows["parameter"].fillna("").str.contains("exponent")
    empty = rows["status"] == NOT_FITTED
    tables = [
        _table(f"Exponents of the recipe {recipe}", rows[(rows["recipe"] == recipe) & (exponents | empty)])
        for recipe in rows["recipe"].unique()
    ]
    return (*tables, _table("Floors and coefficients in raw units", rows[~exponents | empty]))


def _table(title: str, rows: pd.DataFrame) -> PaperTable:
    """Return one table: a line for each group and target, a column for each parameter."""
    labels = [name for name in LABELS if name == "target" or rows[name].nunique(dropna=False) > 1]
    common = [f"{name} {rows[name].iloc[0]}" for name in GROUP[1:] if name not in labels and rows[name].notna().all()]
    fitted = rows[rows["status"] != NOT_FITTED]
    keys = list(dict.fromkeys(map(_column, fitted["axis"], fitted["parameter"])))
    used = ", ".join(fitted["law"].unique()) or rows["law"].iloc[0]
    lines, notes = [], [f"Law: {used}. Intervals of {float(rows['level'].iloc[0]):.0%} in brackets."]
    for _, part in rows.groupby([*LABELS, "law"], dropna=False, sort=False):
        first = part.iloc[0]
        shown = ["" if pd.isna(first[label]) else str(first[label]) for label in labels]
        told, cells = _cells(part, ", ".join(filter(None, shown)))
        lines.append((*shown, str(first["n_runs"]), *(cells.get(key, "") for key in keys), str(first["status"])))
        notes += told
    if any(isinstance(cell, Estimate) and "‡" in cell.mark for line in lines for cell in line):
        notes.append(APART)
    return PaperTable(
        ", ".join([title, *common]), (*labels, "runs", *keys, "status"), tuple(lines), tuple(dict.fromkeys(notes))
    )


def _cells(part: pd.DataFrame, name: str) -> tuple[list[str], dict[str, Estimate]]:
    """Return what is to be said of a group called ``name``, and its numbers by column."""
    if part["status"].iloc[0] == NOT_FITTED:
        return [f"{name}: {part['reason'].iloc[0]}"], {}
    notes, cells = list[str](), dict[str, Estimate]()
    for row in part.to_dict("records"):
        value, low, high = (float(row[column]) for column in ("value", "low", "high"))
        cells[_column(row["axis"], row["parameter"])] = Estimate(value, low, high, bool(row["identified"]))
        if not row["identified"]:
            notes.append(f"† {name}: {row['axis']} is not identified, {row['reason']}.")
    return notes, cells


def _column(axis: str, parameter: str) -> str:
    return f"{axis} {parameter}".strip()
