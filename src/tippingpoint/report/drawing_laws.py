"""Draw the figures of the laws: runs and curves, predicted against observed, residuals, exponents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from tippingpoint.report.canvas import BLUE, INK, MUTED, PAPER, SERIES, VERMILLION, cut, size_ticks
from tippingpoint.report.words import axis_words, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tippingpoint.report.figures_checks import MatchPanel, ResidualPanel, TermPanel
    from tippingpoint.report.figures_scaling import LawPanel

__all__ = ["MOST_POINTS", "draw_law", "draw_match", "draw_residuals", "draw_terms", "shown_points", "shown_words"]

LONGEST_TITLE = 60  # letters above a panel of the page; more stand in two lines
MOST_POINTS = 300  # of a panel: more tell the eye nothing and make the file large


def shown_points(counts: list[int]) -> list[np.ndarray]:
    """Return which runs of each series are drawn: all, or evenly chosen ones where there are too many.

    Parameters
    ----------
    counts : list of int
        Number of runs of each series of a panel.
    """
    share = min(1.0, MOST_POINTS / max(1, sum(counts)))
    return [np.unique(np.linspace(0, n - 1, max(1, int(n * share))).round().astype(int)) if n else np.empty(0, int)
            for n in counts]  # fmt: skip


def shown_words(counts: list[int]) -> str:
    """Say that not every run is drawn, where that is so."""
    drawn = sum(map(len, shown_points(counts)))
    return f" {drawn:,} of {sum(counts):,} runs are drawn, evenly chosen." if drawn < sum(counts) else ""


def draw_law(axes: Axes, panel: LawPanel) -> None:
    """Draw runs, curves, bands, and each series' floor as a short line at the right edge."""
    size_ticks(axes, np.concatenate([item.x for item in panel.series]))
    right = axes.get_xlim()[1]
    shown = shown_points([len(item.x) for item in panel.series])
    for place, (item, keep) in enumerate(zip(panel.series, shown, strict=True)):
        colour, marker, dash = SERIES[place % len(SERIES)]
        axes.plot(item.x[keep], item.y[keep], marker=marker, linestyle="none", color=colour, markersize=4, alpha=0.55,
                  markeredgewidth=0, gid=f"runs-{place}")  # fmt: skip
        if len(item.curve_x):
            axes.fill_between(item.curve_x, item.low, item.high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(item.curve_x, item.curve_y, color=colour, linestyle=dash, linewidth=1.6)
        axes.plot([], [], color=colour, marker=marker, linestyle=dash, markersize=4.5, label=cut(item.label, 44))
    _law_limits(axes, panel)
    bottom, top = axes.get_ylim()
    drawn = False
    for place, item in enumerate(panel.series):
        if bottom <= item.floor <= top:
            left = right / (right / axes.get_xlim()[0]) ** 0.07
            colour, _, _ = SERIES[place % len(SERIES)]
            axes.plot([left, right], [item.floor, item.floor], color=colour, linewidth=2.2, alpha=0.9)
            drawn = True
    if drawn:
        axes.plot([], [], color=MUTED, linewidth=2.2, label="floor (line at the right)")
    title, note = cut(panel.title, 46), f"({panel.note})" if panel.note else ""
    wide = len(title) + len(note) > LONGEST_TITLE
    axes.set_title(f"{title}{chr(10) if wide else ' '}{note}".rstrip(), fontsize=9.5, loc="left")
    _make_room(axes, panel, len(axes.get_legend_handles_labels()[1]))
    axes.legend(facecolor=PAPER, edgecolor="none", framealpha=0.8, fontsize=8.5, loc="upper right")


def _make_room(axes: Axes, panel: LawPanel, entries: int) -> None:
    """Raise the upper end of y where runs or curves would lie under the legend in the upper right corner."""
    left, right = np.log(axes.get_xlim())
    bottom, top = axes.get_ylim()
    x = np.log(np.concatenate([np.concatenate([item.x, item.curve_x]) for item in panel.series]))
    y = np.concatenate([np.concatenate([item.y, item.curve_y]) for item in panel.series])
    under = y[x > left + 0.4 * (right - left)]
    tall = min(0.6, 0.04 + 0.082 * entries)  # the legend's share of the height
    if len(under):
        axes.set_ylim(bottom, max(top, bottom + (float(under.max()) - bottom) / (1 - tall)))


def _law_limits(axes: Axes, panel: LawPanel) -> None:
    """Choose y so that runs and curves are seen whole; a band that runs away is cut."""
    values = np.concatenate([np.concatenate([item.y, item.curve_y]) for item in panel.series])
    low, high = float(values.min()), float(values.max())
    room = (high - low) or 1.0
    floors = [item.floor for item in panel.series if np.isfinite(item.floor) and item.floor > low - 0.4 * room]
    axes.set_ylim(min([low, *floors]) - 0.06 * room, high + 0.12 * room)


def draw_match(axes: Axes, panel: MatchPanel) -> None:
    """Draw predicted against observed, with the diagonal on which they are equal."""
    values = np.concatenate([np.concatenate([item.observed, item.predicted]) for item in panel.groups])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.05 * ((high - low) or 1.0)
    axes.plot([low - room, high + room], [low - room, high + room], color=INK, linewidth=1, zorder=2)
    shown = shown_points([len(item.observed) for item in panel.groups])
    for place, (item, keep) in enumerate(zip(panel.groups, shown, strict=True)):
        colour, marker, _ = SERIES[place % len(SERIES)]
        axes.plot(item.observed[keep], item.predicted[keep], marker, color=colour, markersize=4, alpha=0.6,
                  markeredgewidth=0, zorder=3, gid=f"runs-{place}")  # fmt: skip
        axes.plot([], [], marker, color=colour, markersize=5, label=cut(item.label, 60))
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(low - room, high + room)
    axes.set_title(cut(panel.title, 60), fontsize=9.5, loc="left")
    above = np.mean(np.concatenate([item.predicted > item.observed for item in panel.groups]))
    # On the side of the line that has fewer points.
    corner: Literal["lower right", "upper left"] = "lower right" if above > 0.5 else "upper left"
    axes.legend(facecolor=PAPER, edgecolor="none", framealpha=0.85, fontsize=8.5, loc=corner)


def draw_residuals(axes: Axes, panel: ResidualPanel) -> None:
    """Draw residuals along an axis, and their mean at each size."""
    size_ticks(axes, panel.x)
    (keep,) = shown_points([len(panel.x)])
    axes.axhline(0, color=INK, linewidth=1, zorder=2)
    axes.plot(panel.x[keep], panel.y[keep], "o", color=BLUE, markersize=3.5, alpha=0.45, markeredgewidth=0, zorder=3,
              gid="runs-0")  # fmt: skip
    axes.plot(panel.sizes, panel.middle, "D-", color=VERMILLION, markeredgecolor=PAPER, markersize=6, linewidth=1.4,
              zorder=4, label="mean at the size")  # fmt: skip
    axes.set_title(cut(panel.title, 60), fontsize=9.5, loc="left")
    axes.legend(frameon=False, fontsize=8)


def draw_terms(axes: Axes, panel: TermPanel) -> None:
    """Draw exponents with intervals, one a line; open where the data do not determine them."""
    points = panel.points[::-1]
    finite = [point.exponent for point in points]
    finite += [point.high for point in points if np.isfinite(point.high) and point.identified]
    top = 1.15 * max([*finite, 0.5])
    for place, point in enumerate(points):
        colour = BLUE if point.identified is not False else MUTED
        ends = [end if np.isfinite(end) else point.exponent for end in (point.low, point.high)]
        axes.plot(np.clip(ends, 0, top), [place, place], color=colour, linewidth=2)
        if ends[1] > top:
            axes.plot([top], [place], ">", color=colour, markersize=5, clip_on=False)
        axes.plot([point.exponent], [place], "o", markersize=6, color=colour,
                  markerfacecolor=PAPER if point.identified is False else colour, zorder=4)  # fmt: skip
        axes.annotate(number(point.exponent, 2), (point.exponent, place), xytext=(0, 6), textcoords="offset points",
                      ha="center", fontsize=8, color=INK)  # fmt: skip
    axes.set_yticks(range(len(points)), [f"{cut(p.label, 44)}: {axis_words(p.axis)}" for p in points], fontsize=8)
    axes.set_ylim(-0.7, len(points) - 0.3)
    axes.set_xlim(0, top)
    axes.plot([], [], "o-", color=BLUE, markersize=6, label="determined by the data")
    axes.plot([], [], "o-", color=MUTED, markerfacecolor=PAPER, markersize=6, label="not determined")
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=2)
