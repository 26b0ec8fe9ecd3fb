"""Runs and the fitted law over one axis, as data: the paper's Fig. 2 to 4 and 7 to 15 from any runs.

Over images or labels there is a series for each model (and teacher), over model sizes one for each pretraining size.
Each has its runs, the fitted curve, the band of the expected value, and its own floor: what is left of the target where
the axis is endless and all else stays. Units: sizes in images or parameters, targets in their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.report.figures_data import CURVE_POINTS, label_of
from tippingpoint.report.words import axis_words, count_words, exact_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.report.analysis import Analysis
    from tippingpoint.report.engine import LawResult

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

__all__ = ["LawPanel", "LawSeries", "law_panels", "place_of"]

MOST_SERIES = 5
HELD = ("n_pretrain", "n_params", "n_params_teacher", "n_finetune")


class LawSeries(NamedTuple):
    """Runs that differ along the axis alone, and the law through them.

    Attributes
    ----------
    label : str
    x, y : array
        Sizes and targets of the runs.
    rows : array
        Where each run stands in the analysis's table.
    curve_x, curve_y, low, high : array
        The law over the range and the band of the expected value; empty where no law was fitted.
    floor : float
        What the law leaves where the axis is endless; NaN without a law.
    """

    label: str
    x: Floats
    y: Floats
    rows: Places
    curve_x: Floats
    curve_y: Floats
    low: Floats
    high: Floats
    floor: float


class LawPanel(NamedTuple):
    """A target against one axis; ``title`` says what was scored, ``note`` where the other axis is held."""

    title: str
    x_label: str
    y_label: str
    note: str
    series: tuple[LawSeries, ...]


def place_of(result: LawResult) -> str:
    """Return what a law's runs were scored on, in a few words."""
    if result.stage == "pretrained":
        return "upstream test set"
    return f"fine-tuned: {result.downstream}" if result.downstream else "all runs"


def law_panels(
    analysis: Analysis, along: str, target: str, recipe: str, level: float | None = None
) -> tuple[LawPanel, ...]:
    """Return one panel per stage and scored set of a recipe.

    Parameters
    ----------
    analysis : Analysis
        Its runs and laws.
    along : str
        The x axis: ``n_pretrain``, ``n_finetune`` or ``n_params``.
    target : str
        The y axis.
    recipe : str
        Whose runs.
    level : float, optional
        Probability of the bands; that of the analysis by default.

    Returns
    -------
    tuple of LawPanel
        Empty where the recipe has fewer than two sizes along the axis.
    """
    panels = []
    other = "n_pretrain" if along == "n_finetune" else "n_finetune"
    for result in analysis.laws:
        if result.recipe != recipe or result.target != target:
            continue
        part = analysis.group(result)
        if along not in part or part[along].nunique() < 2 or (along == "n_finetune" and result.stage == "pretrained"):
            continue
        note = ""
        if other in part and part[other].nunique() > 1:
            largest = float(part[other].max())
            part = part[part[other] == largest]
            note = f"at {exact_size(largest)} {count_words(other)}"
        series = _series(result, part, along, analysis.level if level is None else level)
        if series:  # else no two of its runs differ along the axis alone
            panels.append(LawPanel(place_of(result), axis_words(along), label_of(target), note, series))
    return tuple(panels)


def _series(result: LawResult, part: pd.DataFrame, along: str, level: float) -> tuple[LawSeries, ...]:
    """Return the series of a panel, evenly chosen where there are too many to tell apart."""
    names = ("n_pretrain", "teacher") if along == "n_params" else ("n_params", "teacher")
    keys = [name for name in names if name in part and part[name].notna().any()]
    groups: list[tuple[Any, pd.DataFrame]] = list(part.groupby(keys, dropna=False)) if keys else [((), part)]
    groups = [(key, rows) for key, rows in groups if along != "n_params" or rows[along].nunique() > 1]
    if len(groups) > MOST_SERIES:
        groups = [groups[place] for place in np.linspace(0, len(groups) - 1, MOST_SERIES).round().astype(int)]
    found = []
    for key, rows in groups:
        points = rows[[along, result.target]].apply(pd.to_numeric, errors="coerce").dropna()
        named = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True))
        x, y = points[along].to_numpy(float), points[result.target].to_numpy(float)
        curve = _curve(result, along, x, _held(rows, along), level)
        found.append(LawSeries(_label(named, result), x, y, points.index.to_numpy(dtype=np.intp), *curve))
    return tuple(found)


def _label(named: dict[str, Any], result: LawResult) -> str:
    """Return what is one in a series, in words."""
    words = [
        f"{exact_size(float(named[name]))} {unit}"
        for name, unit in (("n_params", "parameters"), ("n_pretrain", "pretraining images"))
        if name in named and pd.notna(named[name])
    ]
    words += [f"teacher {named['teacher']}"] if isinstance(named.get("teacher"), str) else []
    return ", ".join(words) or result.recipe


def _held(part: pd.DataFrame, along: str) -> dict[str, float]:
    """Return the sizes that all these runs share, by axis."""
    fixed = {}
    for name in HELD:
        if name in part and name != along:
            values = pd.to_numeric(part[name], errors="coerce").dropna().unique()
            if len(values) == 1:
                fixed[name] = float(values[0])
    return fixed


def _curve(
    result: LawResult, along: str, x: Floats, fixed: dict[str, float], level: float
) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Return the law's curve over the range of x with its band and floor, empty where there is no law for it."""
    empty = np.empty(0)
    if result.law is None or len(x) < 2 or along not in result.axes:
        return empty, empty, empty, empty, np.nan
    if any(axis != along and axis not in fixed for axis in result.axes):
        return empty, empty, empty, empty, np.nan
    grid = np.geomspace(x.min(), x.max(), CURVE_POINTS)
    sizes = {axis: grid if axis == along else np.full(len(grid), fixed[axis]) for axis in result.axes}
    band = result.law.predict(sizes, interval=level)
    terms = {term.axis: term for term in result.terms}
    floor = result.floor + sum(
        terms[axis].coefficient * fixed[axis] ** -terms[axis].exponent for axis in result.axes if axis != along
    )
    columns = (band[name].to_numpy(float) for name in ("prediction", "low", "high"))
    return (grid, *columns, float(floor))
