"""Draw the figures of a comparison: the difference, its recipes, how likely the second helps, and the concept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.boundary.words import size as told_size
from tippingpoint.report.canvas import BLUE, HARMS, HELPS, INK, MUTED, PAPER, SERIES, VERMILLION, cut, size_ticks
from tippingpoint.report.figures_data import ConceptPanel, DifferencePanel, ProbabilityPanel, RecipePanel
from tippingpoint.report.words import percent, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_concept", "draw_difference", "draw_probability", "draw_recipes"]


def draw_difference(axes: Axes, panel: DifferencePanel) -> None:
    """Draw the paired means, the fitted difference with its band, and the crossings."""
    sizes = np.concatenate([panel.sizes, panel.x[[0, -1]] if len(panel.x) else panel.x])
    size_ticks(axes, panel.sizes if len(panel.sizes) > 1 else sizes)
    axes.axhline(0, color=INK, linewidth=1.1, zorder=2)
    if len(panel.x):
        label = "fitted laws" if panel.laws_hold else "fitted laws (miss the runs)"
        style = "-" if panel.laws_hold else ":"
        axes.fill_between(panel.x, panel.low, panel.high, color=BLUE, alpha=0.2, linewidth=0, zorder=1)
        axes.plot(panel.x, panel.difference, style, color=BLUE, linewidth=1.8, zorder=3, label=label)
    if len(panel.sizes):
        spread = np.abs(np.vstack([panel.means - panel.mean_low, panel.mean_high - panel.means]))
        bars = axes.errorbar(
            panel.sizes,
            panel.means,
            yerr=np.nan_to_num(spread),
            fmt="o" if panel.laws_hold else "o-",
            color=INK,
            markersize=4.5,
            linewidth=1,
            capsize=3,
            zorder=4,
            label="paired runs",
        )
        bars.lines[0].set_gid("runs-0")
    _limits(axes, panel)
    for start, end in panel.helps:
        axes.fill_between([start, end], 0, axes.get_ylim()[1], color=HELPS, linewidth=0, zorder=0)
    _sides(axes, panel)
    for crossing in panel.crossings:
        if crossing.in_range:
            _mark_crossing(axes, crossing.value, crossing.low, crossing.high, size if panel.laws_hold else told_size)
    if axes.get_legend_handles_labels()[0]:
        last = panel.means[-1] if len(panel.means) else panel.difference[-1]
        falls = last < sum(axes.get_ylim()) / 2
        axes.legend(frameon=False, fontsize=8.5, loc="upper right" if falls else "lower right")


def _limits(axes: Axes, panel: DifferencePanel) -> None:
    """Choose y so that means and curve are seen whole; a band that runs away is cut."""
    values = np.concatenate([panel.means, panel.mean_low, panel.mean_high, panel.difference, [0.0]])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.14 * ((high - low) or 1.0)
    axes.set_ylim(low - room, high + 1.6 * room)


def _sides(axes: Axes, panel: DifferencePanel) -> None:
    """Say on the figure itself what above and below zero mean."""
    bottom, top = axes.get_ylim()
    first, second = panel.recipes
    settings: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 8.5, "color": MUTED, "ha": "left"}
    if top > 0.15 * (top - bottom):
        axes.text(0.015, top - 0.02 * (top - bottom), f"↑ {cut(second)} is better", va="top", **settings)
    if -bottom > 0.15 * (top - bottom):
        axes.text(0.015, bottom + 0.02 * (top - bottom), f"↓ {cut(first)} is better", va="bottom", **settings)


def _mark_crossing(axes: Axes, value: float, low: float, high: float, write: Callable[[float], str]) -> None:
    """Mark a crossing on the zero line, its interval as a thick bar, its size as the answer writes it."""
    left, right = axes.get_xlim()
    ends = (low if np.isfinite(low) else left, high if np.isfinite(high) else right)
    axes.plot(
        np.clip(ends, left, right), (0, 0), color=VERMILLION, linewidth=4, alpha=0.75, solid_capstyle="butt", zorder=5
    )
    axes.plot(
        [value], [0], marker="D", color=VERMILLION, markeredgecolor=PAPER, markersize=7, linestyle="none", zorder=6
    )
    axes.annotate(
        write(value),
        (value, 0),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
        fontsize=9.5,
        fontweight="bold",
        color=VERMILLION,
        zorder=7,
    )


def draw_recipes(axes: Axes, panel: RecipePanel) -> None:
    """Draw the means of each recipe with the spread of blocks, and its curve."""
    sizes = np.concatenate([item.x for item in panel.series])
    size_ticks(axes, sizes)
    aside = 0.012 * float(np.log(sizes.max() / sizes.min()))  # so that bars at one size do not hide each other
    for place, (item, (colour, marker, dash)) in enumerate(zip(panel.series, SERIES, strict=False)):
        spread = np.abs(np.vstack([item.mean - item.low, item.high - item.mean]))
        line = dash if not len(item.curve_x) else "none"
        bars = axes.errorbar(
            item.x * np.exp(aside * (place - (len(panel.series) - 1) / 2)),
            item.mean,
            yerr=spread,
            color=colour,
            marker=marker,
            markersize=5,
            linestyle=line,
            linewidth=1.2,
            capsize=2.5,
            label=cut(item.recipe),
        )
        bars.lines[0].set_gid(f"runs-{place}")
        if len(item.curve_x):
            axes.plot(item.curve_x, item.curve_y, color=colour, linestyle=dash, linewidth=1.4)
    axes.legend(frameon=False, fontsize=8.5)


def draw_probability(axes: Axes, panel: ProbabilityPanel) -> None:
    """Draw how likely the second recipe helps, from never to always."""
    size_ticks(axes, panel.sizes if len(panel.sizes) > 1 else panel.x[[0, -1]])
    axes.axhline(0.5, color=INK, linewidth=0.9)
    axes.fill_between(panel.x, 0.5, panel.probability, color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(panel.x, panel.probability, color=BLUE, linewidth=1.8)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], labels=[percent(share) for share in (0, 0.25, 0.5, 0.75, 1)])


def draw_concept(axes: Axes, panel: ConceptPanel) -> None:
    """Draw both recipes, the gap between them shaded by who is better, and the tipping points."""
    size_ticks(axes, panel.sizes)
    shades = {True: (HELPS, "//", VERMILLION), False: (HARMS, "..", BLUE)}
    for start, end, helps in panel.parts:
        inside = (panel.x >= start * (1 - 1e-9)) & (panel.x <= end * (1 + 1e-9))
        x = np.concatenate([[start], panel.x[inside], [end]])
        ends = [np.interp(np.log(x), np.log(panel.x), curve) for curve in (panel.first, panel.second)]
        colour, hatch, edge = shades[helps]
        name = cut(panel.recipes[1 if helps else 0])
        label = f"{name} is better" if not any(part[2] == helps and part[0] < start for part in panel.parts) else None
        axes.fill_between(x, *ends, facecolor=colour, edgecolor=edge, hatch=hatch, linewidth=0, zorder=1, label=label)
    curves = ((panel.first, panel.first_means), (panel.second, panel.second_means))
    for name, (curve, means), (colour, marker, dash) in zip(panel.recipes, curves, SERIES, strict=False):
        axes.plot(panel.x, curve, color=colour, linestyle=dash, linewidth=2, zorder=3)
        axes.plot(panel.sizes, means, marker, color=colour, markeredgecolor=PAPER, markersize=6, zorder=4)
        axes.plot([], [], marker=marker, color=colour, linestyle=dash, markersize=5, label=cut(name))
    for one in panel.crossings:
        _mark_tipping_point(axes, panel, one.value, one.low, one.high)
    axes.legend(frameon=False, fontsize=8.5)


def _mark_tipping_point(axes: Axes, panel: ConceptPanel, value: float, low: float, high: float) -> None:
    """Mark a crossing by a line at its size, with its interval as a shaded stretch."""
    left, right = axes.get_xlim()
    ends = np.clip((low if np.isfinite(low) else left, high if np.isfinite(high) else right), left, right)
    axes.axvspan(*ends, color=MUTED, alpha=0.12, linewidth=0, zorder=0)
    axes.axvline(value, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
    height = float(np.interp(np.log(value), np.log(panel.x), panel.first))
    axes.plot([value], [height], "D", color=VERMILLION, markeredgecolor=PAPER, markersize=8, zorder=6)
    told = size(value) if panel.by_laws else told_size(value)
    # A late one has no room to its right; to its left the curves come down to it, so that its words go above them.
    late = np.log(value / left) > 0.6 * np.log(right / left)
    axes.annotate(
        f"tipping point: {told}\n({percent(panel.level)} interval shaded)",
        (value, 1.0 if late else height),
        xycoords=("data", "axes fraction" if late else "data"),
        xytext=(-8, -4) if late else (8, 12),
        ha="right" if late else "left",
        va="top" if late else "bottom",
        textcoords="offset points",
        fontsize=8.5,
        color=INK,
        zorder=7,
    )
