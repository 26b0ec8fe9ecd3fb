"""What the figures of a comparison show, as data: drawn in ``figures``; those of the laws are in ``figures_scaling``.

Every function takes an analysis and returns small NamedTuples of plain arrays. Units: sizes in images or parameters,
targets in their own unit, except that differences of ``error`` are in percentage points (the unit that is printed).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.report.looks import look_frames
from tippingpoint.report.words import axis_words, target_words, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.boundary.draws import RecipeFit
    from tippingpoint.report.analysis import Finding

    Floats = NDArray[np.float64]

__all__ = [
    "ConceptPanel",
    "Crossing",
    "DifferencePanel",
    "ProbabilityPanel",
    "RecipePanel",
    "RecipeSeries",
    "concept_panel",
    "difference_panel",
    "label_of",
    "probability_panel",
    "recipe_panel",
]

CURVE_POINTS = 60


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


class ConceptPanel(NamedTuple):
    """Both recipes over the axis and which is better where: the paper's Fig. 1 with real data.

    Attributes
    ----------
    x, first, second : array
        Both curves: the fitted laws, or the means joined in log size where the laws miss the runs.
    sizes, first_means, second_means : array
        Means over seed blocks.
    parts : tuple of (float, float, bool)
        Start and end of each stretch, and whether the second recipe is better there.
    crossings : tuple of Crossing
        Those within the range.
    by_laws : bool
        Whether the curves are the laws.
    """

    title: str
    x_label: str
    y_label: str
    recipes: tuple[str, str]
    x: Floats
    first: Floats
    second: Floats
    sizes: Floats
    first_means: Floats
    second_means: Floats
    parts: tuple[tuple[float, float, bool], ...]
    crossings: tuple[Crossing, ...]
    by_laws: bool
    level: float


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


def concept_panel(frame: pd.DataFrame, finding: Finding, level: float = 0.9) -> ConceptPanel | None:
    """Return the concept of the boundary with the runs of one look; None where its recipes share less than two sizes.

    Parameters
    ----------
    frame : DataFrame
        The tidy runs.
    finding : Finding
        The look.
    level : float, default 0.9
        Probability of the intervals of its crossings.
    """
    panel = recipe_panel(frame, finding)
    first, second = panel.series
    sizes = np.intersect1d(first.x, second.x)
    if len(sizes) < 2:
        return None
    by_laws = finding.boundary is not None and finding.boundary.laws_hold
    grid = np.geomspace(sizes[0], sizes[-1], 4 * CURVE_POINTS)
    curves = []
    for item in panel.series:
        known = (item.curve_x, item.curve_y) if by_laws else (item.x, item.mean)
        curves.append(np.interp(np.log(grid), np.log(known[0]), known[1]))
    helps = _positive_parts(grid, curves[0] - curves[1])
    edges = sorted({float(grid[0]), float(grid[-1]), *(edge for part in helps for edge in part)})
    middles = [np.sqrt(start * end) for start, end in itertools.pairwise(edges)]
    better = [any(start <= middle <= end for start, end in helps) for middle in middles]
    return ConceptPanel(
        title=panel.title,
        x_label=panel.x_label,
        y_label=panel.y_label,
        recipes=finding.look.recipes,
        x=grid,
        first=curves[0],
        second=curves[1],
        sizes=sizes,
        first_means=first.mean[np.isin(first.x, sizes)],
        second_means=second.mean[np.isin(second.x, sizes)],
        parts=tuple((*ends, flag) for ends, flag in zip(itertools.pairwise(edges), better, strict=True)),
        crossings=tuple(one for one in map(_crossing, finding.crossings) if one.in_range),
        by_laws=by_laws,
        level=level,
    )
