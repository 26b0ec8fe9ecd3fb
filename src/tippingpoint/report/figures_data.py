"""What each figure shows, as data: drawn in ``figures``, tested here.

Every function takes an analysis and returns small NamedTuples of plain arrays. Units: sizes in images or parameters,
targets in their own unit, except that differences of ``error`` are in percentage points (the unit that is printed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.report.looks import look_frames
from tippingpoint.report.words import axis_words, exact_size, target_words, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.boundary.draws import RecipeFit
    from tippingpoint.report.analysis import Analysis, Finding
    from tippingpoint.report.engine import LawResult

    Floats = NDArray[np.float64]

__all__ = [
    "Crossing",
    "DifferencePanel",
    "LawPanel",
    "LawSeries",
    "ProbabilityPanel",
    "RecipePanel",
    "RecipeSeries",
    "difference_panel",
    "law_panels",
    "probability_panel",
    "recipe_panel",
]

CURVE_POINTS = 60


class LawSeries(NamedTuple):
    """Runs of one model size and the fitted curve through them (empty arrays where no law was fitted)."""

    label: str
    x: Floats
    y: Floats
    curve_x: Floats
    curve_y: Floats


class LawPanel(NamedTuple):
    """A target against one axis, one series per model size."""

    title: str
    x_label: str
    y_label: str
    note: str
    series: tuple[LawSeries, ...]


class RecipeSeries(NamedTuple):
    """One recipe: the mean over seed blocks at each size, the lowest and highest block, the fitted curve."""

    recipe: str
    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    curve_x: Floats
    curve_y: Floats


class RecipePanel(NamedTuple):
    """Two (or more) recipes over one axis."""

    title: str
    x_label: str
    y_label: str
    series: tuple[RecipeSeries, ...]


class Crossing(NamedTuple):
    """A crossing as drawn: its size, the ends of its interval (NaN where open), inside the data or not."""

    value: float
    low: float
    high: float
    in_range: bool


class DifferencePanel(NamedTuple):
    """First recipe minus second: positive where the second helps.

    Attributes
    ----------
    x, difference, low, high : array
        The fitted difference and its band; empty where no law could be fitted.
    sizes, means, mean_low, mean_high : array
        Paired means over seed blocks and their intervals.
    helps : tuple of (float, float)
        The parts of the range where the difference is positive: the fitted one, or the measured means joined in log
        size where the laws miss the runs.
    crossings : tuple of Crossing
        Where it is zero.
    laws_hold : bool
        Whether the laws name the better recipe right wherever the paired runs establish it.
    """

    title: str
    x_label: str
    y_label: str
    recipes: tuple[str, str]
    x: Floats
    difference: Floats
    low: Floats
    high: Floats
    sizes: Floats
    means: Floats
    mean_low: Floats
    mean_high: Floats
    helps: tuple[tuple[float, float], ...]
    crossings: tuple[Crossing, ...]
    laws_hold: bool
    level: float


class ProbabilityPanel(NamedTuple):
    """The probability that the second recipe helps, over the axis."""

    title: str
    x_label: str
    y_label: str
    recipes: tuple[str, str]
    sizes: Floats
    x: Floats
    probability: Floats


def _floats(values: object) -> Floats:
    return np.asarray(values, dtype=float).reshape(-1)


def label_of(target: str) -> str:
    """Return an axis label: the target and its unit."""
    if target == "error":
        return "error (share of test images)"
    return f"{target_words(target)} (nats)" if unit(target) else target_words(target)


def difference_panel(finding: Finding, level: float = 0.9) -> DifferencePanel:
    """Return the difference figure of one look.

    Parameters
    ----------
    finding : Finding
        The look with its pairs and, where it could be fitted, its boundary.
    level : float, default 0.9
        Probability of its intervals, for the caption.

    Returns
    -------
    DifferencePanel
    """
    look = finding.look
    scale = 100.0 if look.target == "error" else 1.0
    curve = finding.curve
    sizes = finding.pairs.sizes
    x = _floats([] if curve is None else curve[look.along])
    difference = _floats([] if curve is None else curve["difference"])
    places, means = _floats([point.size for point in sizes]), _floats([point.mean for point in sizes])
    laws_hold = finding.boundary is None or finding.boundary.laws_hold
    return DifferencePanel(
        title=f"{look.recipes[0]} minus {look.recipes[1]}",
        x_label=axis_words(look.along),
        y_label=f"{target_words(look.target)} saved ({unit(look.target)})" if unit(look.target) else "saved",
        recipes=look.recipes,
        x=x,
        difference=scale * difference,
        low=scale * _floats([] if curve is None else curve["low"]),
        high=scale * _floats([] if curve is None else curve["high"]),
        sizes=places,
        means=scale * means,
        mean_low=scale * _floats([point.low for point in sizes]),
        mean_high=scale * _floats([point.high for point in sizes]),
        helps=_positive_parts(x, difference) if laws_hold else _positive_parts(places, means),
        crossings=tuple(_crossing(item) for item in finding.crossings),
        laws_hold=laws_hold,
        level=level,
    )


def _crossing(item: tuple[float, float | None, float | None, bool]) -> Crossing:
    value, low, high, inside = item
    return Crossing(value, np.nan if low is None else low, np.nan if high is None else high, inside)


def _positive_parts(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    """Return the stretches of x where y > 0, their ends interpolated in log x."""
    if len(x) < 2:
        return ()
    parts: list[tuple[float, float]] = []
    start = float(x[0]) if y[0] > 0 else None
    for k in range(1, len(x)):
        if (y[k] > 0) == (y[k - 1] > 0):
            continue
        share = y[k - 1] / (y[k - 1] - y[k])
        edge = float(np.exp(np.log(x[k - 1]) + share * (np.log(x[k]) - np.log(x[k - 1]))))
        if start is None:
            start = edge
        else:
            parts.append((start, edge))
            start = None
    if start is not None:
        parts.append((start, float(x[-1])))
    return tuple(parts)


def probability_panel(finding: Finding) -> ProbabilityPanel | None:
    """Return P(second recipe helps) over the axis, or None where no boundary was fitted."""
    curve, look = finding.curve, finding.look
    if curve is None or "probability_helps" not in curve:
        return None
    return ProbabilityPanel(
        title=f"How likely {look.recipes[1]} helps",
        x_label=axis_words(look.along),
        y_label=f"probability that {look.recipes[1]} is better",
        recipes=look.recipes,
        sizes=_floats([point.size for point in finding.pairs.sizes]),
        x=_floats(curve[look.along]),
        probability=_floats(curve["probability_helps"]),
    )


def recipe_panel(frame: pd.DataFrame, finding: Finding) -> RecipePanel:
    """Return the two recipes of a look over its axis: block means, block spread, and the curves of its boundary.

    Parameters
    ----------
    frame : DataFrame
        The tidy runs.
    finding : Finding
        Which recipes, at which student and teacher; its boundary's own laws are the curves, so that their difference
        is the curve of the difference figure.

    Returns
    -------
    RecipePanel
    """
    look = finding.look
    fits = {fit.recipe: fit for fit in finding.boundary.laws_} if finding.boundary is not None else {}
    series = []
    for recipe, part in zip(look.recipes, look_frames(frame, look), strict=True):
        blocks = [name for name in ("subset_seed", "seed") if name in part and part[name].notna().any()]
        table = part.groupby([look.along, *blocks], as_index=False)[look.target].mean()
        at = table.groupby(look.along)[look.target].agg(["mean", "min", "max"])
        sizes = _floats(at.index)
        curve = _pair_curve(fits.get(recipe), sizes)
        series.append(RecipeSeries(recipe, sizes, _floats(at["mean"]), _floats(at["min"]), _floats(at["max"]), *curve))
    title = f"{look.recipes[0]} and {look.recipes[1]}"
    return RecipePanel(title, axis_words(look.along), label_of(look.target), tuple(series))


def _pair_curve(fit: RecipeFit | None, sizes: Floats) -> tuple[Floats, Floats]:
    """Return the curve of one of a boundary's laws over the sizes."""
    if fit is None or len(sizes) < 2:
        return np.empty(0), np.empty(0)
    grid = np.geomspace(sizes.min(), sizes.max(), CURVE_POINTS)
    return grid, _floats(fit.predict(grid))


def _sizes_of(part: pd.DataFrame, along: str) -> dict[str, float]:
    """Return the sizes that all these runs share, by axis."""
    fixed = {}
    for name in ("n_pretrain", "n_params", "n_params_teacher", "n_finetune"):
        if name in part and name != along:
            values = pd.to_numeric(part[name], errors="coerce").dropna().unique()
            if len(values) == 1:
                fixed[name] = float(values[0])
    return fixed


def _curve(result: LawResult | None, along: str, x: Floats, fixed: dict[str, float]) -> tuple[Floats, Floats]:
    """Return the law's curve over the range of x, empty where there is no law for it."""
    empty = np.empty(0)
    if result is None or result.law is None or len(x) < 2:
        return empty, empty
    if any(axis != along and axis not in fixed for axis in result.axes) or along not in result.axes:
        return empty, empty
    grid = np.geomspace(x.min(), x.max(), CURVE_POINTS)
    return grid, result.curve({**fixed, along: grid})


def law_panels(analysis: Analysis, along: str, target: str, recipe: str) -> tuple[LawPanel, ...]:
    """Return one panel per stage and scored set of a recipe: runs and fitted curves, one series per model size.

    Parameters
    ----------
    analysis : Analysis
        Its runs and laws.
    along : str
        The x axis: ``n_pretrain`` or ``n_finetune``.
    target : str
        The y axis.
    recipe : str
        Whose runs.

    Returns
    -------
    tuple of LawPanel
        Empty where the recipe has fewer than two sizes along the axis.
    """
    panels = []
    other = "n_finetune" if along == "n_pretrain" else "n_pretrain"
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
            note = f"at {exact_size(largest)} {axis_words(other)}"
        series = _model_series(result, part, along)
        place = "upstream test set" if result.stage == "pretrained" else f"fine-tuned: {result.downstream or 'all'}"
        panels.append(LawPanel(place, axis_words(along), label_of(target), note, series))
    return tuple(panels)


def _model_series(result: LawResult, part: pd.DataFrame, along: str) -> tuple[LawSeries, ...]:
    """Return one series per model size (and teacher), each with the law's curve."""
    keys = [name for name in ("n_params", "teacher") if name in part and name != along and part[name].notna().any()]
    groups = part.groupby(keys, dropna=False) if keys else [((), part)]
    series = []
    for key, rows in groups:
        points = rows[[along, result.target]].apply(pd.to_numeric, errors="coerce").dropna()
        named: dict[str, Any] = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True))
        label = f"{exact_size(float(named['n_params']))} parameters" if "n_params" in named else result.recipe
        if isinstance(named.get("teacher"), str):
            label += f", teacher {named['teacher']}"
        x = _floats(points[along])
        series.append(
            LawSeries(label, x, _floats(points[result.target]), *_curve(result, along, x, _sizes_of(rows, along)))
        )
    return tuple(series)
