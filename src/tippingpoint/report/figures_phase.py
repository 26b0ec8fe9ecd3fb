"""The phase diagram of a map: which of two recipes is better over two axes, data first, drawing second.

The shades are lighter the likelier the second recipe helps, also in grey and to any eye; lines at 10, 50 and 90% say
the same in numbers. Rows are what was measured; between them the probability is joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tippingpoint.report.canvas import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    PAPER,
    SHADES,
    VERMILLION,
    cut,
    new_figure,
    size_ticks,
    style,
)
from tippingpoint.report.words import axis_words, exact_size, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from tippingpoint.boundary import BoundaryMap
    from tippingpoint.boundary.result import Interval

    Floats = NDArray[np.float64]

__all__ = ["PhaseCrossing", "PhasePanel", "phase_figure", "phase_panel"]

LEVELS = np.linspace(0, 1, len(SHADES) + 1)


class PhaseCrossing(NamedTuple):
    """A crossing of one slice as drawn: the slice, the size, the ends of its interval (NaN where open)."""

    over: float
    value: float
    low: float
    high: float


class PhasePanel(NamedTuple):
    """The better of two recipes over two axes.

    Attributes
    ----------
    x, y : array
        Sizes of the axis, and of the slices' axis with those between the slices.
    probability : array, shape (len(y), len(x))
        That the second recipe helps; NaN where nothing is known.
    slices : array
        Sizes of the slices' axis that were measured.
    by_runs : tuple of bool
        Which slices are told by the paired runs, because their laws miss them.
    laws, runs : tuple of PhaseCrossing
        Crossings within the range: by the laws, of slices whose laws hold; and by the paired runs alone.
    established : tuple of (over, along, recipe number)
        Measured sizes at which one recipe is better after Holm's adjustment for all: 1 for the first, 2 for the second.
    sizes : array
        Measured sizes of the axis.
    measured : tuple of (over, along)
        Where both recipes were run.
    """

    x_label: str
    y_label: str
    recipes: tuple[str, str]
    x: Floats
    y: Floats
    probability: Floats
    slices: Floats
    by_runs: tuple[bool, ...]
    laws: tuple[PhaseCrossing, ...]
    runs: tuple[PhaseCrossing, ...]
    established: tuple[tuple[float, float, int], ...]
    sizes: Floats
    measured: tuple[tuple[float, float], ...]


def phase_panel(found: BoundaryMap) -> PhasePanel:
    """Return the phase diagram of a map as data.

    Parameters
    ----------
    found : BoundaryMap
        What ``boundary_map`` returned.

    Returns
    -------
    PhasePanel
    """
    wide = found.probability_.pivot(index=found.over, columns=found.along, values="probability").sort_index()
    laws = [
        _crossing(one.size, crossing.value, crossing.interval)
        for one in found.slices
        if one.boundary.laws_hold
        for crossing in one.boundary.crossings
        if crossing.in_range
    ]
    runs = [_crossing(one.size, turn.value, turn.interval) for one in found.slices for turn in one.boundary.measured]
    sure = found.paired_[found.paired_["established"] != ""].to_dict(orient="records")
    return PhasePanel(
        axis_words(found.along),
        axis_words(found.over),
        found.recipes,
        np.asarray(wide.columns, dtype=float),
        np.asarray(wide.index, dtype=float),
        np.asarray(wide, dtype=float),
        np.array([one.size for one in found.slices]),
        tuple(not one.boundary.laws_hold for one in found.slices),
        tuple(laws),
        tuple(runs),
        tuple((row[found.over], row[found.along], 1 + found.recipes.index(row["established"])) for row in sure),
        np.sort(found.paired_[found.along].unique()).astype(float),
        tuple(zip(found.paired_[found.over].astype(float), found.paired_[found.along].astype(float), strict=True)),
    )


def _crossing(over: float, value: float, interval: Interval | None) -> PhaseCrossing:
    low, high = interval or (None, None)
    return PhaseCrossing(over, value, np.nan if low is None else low, np.nan if high is None else high)


def phase_figure(
    found: BoundaryMap | PhasePanel, *, width: float = 7.2, height: float = 4.4, legend: bool = True
) -> Figure:
    """Draw the phase diagram of a map.

    Parameters
    ----------
    found : BoundaryMap or PhasePanel
        What to show.
    width, height : float
        Inches.
    legend : bool, default True
        Say on the figure what its marks are; a page says it beneath.

    Returns
    -------
    matplotlib Figure
        For :func:`tippingpoint.report.canvas.figure_bytes`.
    """
    panel = found if isinstance(found, PhasePanel) else phase_panel(found)
    with style():
        figure = new_figure(width, height)
        axes = figure.subplots()
        _frame(axes, panel, legend)
        shades = _shade(axes, panel)
        _mark(axes, panel)
        if shades is not None:
            bar = figure.colorbar(shades, ax=axes, ticks=[0, 0.1, 0.5, 0.9, 1], pad=0.02, aspect=28)
            bar.ax.set_yticklabels([percent(share) for share in (0, 0.1, 0.5, 0.9, 1)])
            bar.set_label(f"probability that {cut(panel.recipes[1])} is better")
        if legend:
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=8.5)
    return figure


def _frame(axes: Axes, panel: PhasePanel, noted: bool) -> None:
    """Draw the two axes of sizes, a tick at each slice, and a line along every slice."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    size_ticks(axes, panel.sizes if len(panel.sizes) > 1 else panel.x[[0, -1]])
    axes.set_xlabel(cut(panel.x_label, 60))
    axes.set_ylabel(cut(panel.y_label, 60))
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator(panel.slices.tolist()))
    stars = [" *" if star else "" for star in panel.by_runs]
    names = [exact_size(value) + star for value, star in zip(panel.slices.tolist(), stars, strict=True)]
    axes.yaxis.set_major_formatter(FixedFormatter(names))
    said = "Rows of dots were measured; between them the probability is joined."
    said += "\n* Told by the paired runs: the laws miss them." if any(panel.by_runs) else ""
    if noted:
        axes.set_title(said, fontsize=8.5, color=MUTED, loc="left")
    axes.tick_params(length=3)
    pad = 0.1 * max(float(np.log(panel.slices[-1] / panel.slices[0])), 0.5)
    axes.set_ylim(panel.slices[0] * np.exp(-pad), panel.slices[-1] * np.exp(pad))
    axes.hlines(panel.slices, *axes.get_xlim(), color=PAPER, linewidth=0.8, alpha=0.7, zorder=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _shade(axes: Axes, panel: PhasePanel) -> Any:
    """Shade the probability, and draw its lines at 10, 50 and 90%; None where nothing is known."""
    from matplotlib.patheffects import withStroke

    if len(panel.y) < 2 or not np.isfinite(panel.probability).any():
        return None
    shown = np.ma.masked_invalid(panel.probability)
    shades = axes.contourf(panel.x, panel.y, shown, levels=LEVELS, colors=SHADES, zorder=0)
    low, high = float(shown.min()), float(shown.max())
    named: list[Floats] = []
    for level, dash, width in ((0.5, "-", 2.0), (0.1, (0, (2, 1.5)), 1.1), (0.9, (0, (5, 2)), 1.1)):
        if low < level < high:
            lines = axes.contour(
                panel.x, panel.y, shown, levels=[level], colors=[INK], linewidths=width, linestyles=[dash], zorder=3
            )
            own = np.concatenate([axes.transAxes.inverted().transform(axes.transData.transform(part))
                                  for part in lines.allsegs[0]])  # fmt: skip
            if any(_near(own, other) for other in named):
                continue  # two numbers would stand in one place; the bar has them
            named.append(own)
            for label in axes.clabel(lines, fmt={level: percent(level)}, fontsize=8):
                label.set_path_effects([withStroke(linewidth=2, foreground=PAPER)])
    return shades


def _near(line: Floats, other: Floats) -> bool:
    """Whether half of a line's points have the other line within a label's width, in shares of the axes."""
    gaps = np.hypot(*(line[:, None] - other[None, :]).transpose(2, 0, 1)).min(axis=1)
    return bool(np.median(gaps) < 0.12)


def _mark(axes: Axes, panel: PhasePanel) -> None:
    """Mark what was measured: crossings with their intervals, and the sizes at which one recipe is surely better."""
    first, second = (cut(recipe) for recipe in panel.recipes)
    over, along = np.array(panel.measured, dtype=float).reshape(-1, 2).T
    axes.plot(along, over, ".", color=MUTED, markersize=3.5, linestyle="none", zorder=4, gid="runs-0")
    for number, marker, colour, name in ((1, "s", BLUE, first), (2, "^", GREEN, second)):
        own = [(size, at) for size, at, which in panel.established if which == number]
        if own:
            axes.plot(
                [at for _, at in own],
                [size for size, _ in own],
                marker,
                color=colour,
                markeredgecolor=PAPER,
                markersize=8,
                linestyle="none",
                zorder=6,
                label=f"{name} better in the paired runs (adjusted for all)",
            )
    _bars(axes, panel.laws, VERMILLION, "D", 1.0, "crossing by the laws, with its interval")
    _bars(axes, panel.runs, INK, "o", -1.0, "crossing without laws, with its interval")


def _bars(axes: Axes, crossings: tuple[PhaseCrossing, ...], colour: str, marker: str, side: float, label: str) -> None:
    """Draw crossings a little above or below their slice; an open interval ends in an arrow head at the edge."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for place, one in enumerate(crossings):
        rank = 1 + sum(other.over == one.over for other in crossings[:place])
        y = one.over * float(np.exp(side * 0.024 * rank * np.log(top / bottom)))
        ends = (left if np.isnan(one.low) else one.low, right if np.isnan(one.high) else one.high)
        axes.plot(np.clip(ends, left, right), (y, y), color=PAPER, linewidth=4.2, solid_capstyle="butt", zorder=5)
        axes.plot(np.clip(ends, left, right), (y, y), color=colour, linewidth=2.2, solid_capstyle="butt", zorder=5)
        for end, head in ((one.low, "<"), (one.high, ">")):
            if np.isnan(end):
                axes.plot(
                    [left if head == "<" else right], [y], head, color=colour, markersize=6, clip_on=False, zorder=6
                )
        axes.plot(
            [one.value],
            [y],
            marker,
            color=colour,
            markeredgecolor=PAPER,
            markersize=7,
            linestyle="none",
            zorder=7,
            label=label if place == 0 else None,
        )
