"""Draw the figures' data with matplotlib: colour-blind safe, readable in grey, the same bytes for the same data.

Colours are Okabe and Ito's; every series also has its own marker and dash, so that grey print tells them apart.
Strings from the data are drawn as plain text (never as mathematics). Nothing here touches pyplot or its global state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tippingpoint.errors import InputError, did_you_mean
from tippingpoint.files import write_atomic
from tippingpoint.report.figures_data import (
    DifferencePanel,
    LawPanel,
    ProbabilityPanel,
    RecipePanel,
    difference_panel,
    law_panels,
    probability_panel,
    recipe_panel,
)
from tippingpoint.report.words import percent, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tippingpoint.report.analysis import Analysis

__all__ = ["FIGURES", "check_figure", "cut", "draw", "figure_bytes", "save_figure", "size_ticks", "style"]

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#d5d9de", "#ffffff"
BLUE, VERMILLION, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#00825f", "#a8558a", "#7a6a00"
HELPS = "#fbe3d3"
SERIES = (
    (BLUE, "o", "-"),
    (VERMILLION, "s", (0, (5, 2))),
    (GREEN, "^", (0, (1, 1.2))),
    (PURPLE, "D", (0, (6, 2, 1.5, 2))),
    (SKY, "v", (0, (3, 1))),
)
FIGURES = ("difference", "recipes", "probability", "laws", "finetune")
Panel = DifferencePanel | RecipePanel | ProbabilityPanel | LawPanel


@contextmanager
def style(**more: Any) -> Iterator[None]:
    """Set what makes figures ours and repeatable, for the time of drawing only."""
    from matplotlib import rc_context

    settings = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.5,
        "text.parse_math": False,
        "text.usetex": False,
        "axes.unicode_minus": True,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "svg.hashsalt": "tippingpoint",
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
        "path.simplify": True,
        **more,
    }
    with rc_context(cast("Any", settings)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks
        yield


def draw(panel: Panel, *, width: float = 5.2, height: float = 3.5) -> Figure:
    """Draw one panel on a figure of its own.

    Parameters
    ----------
    panel : DifferencePanel, RecipePanel, ProbabilityPanel or LawPanel
        What to show.
    width, height : float
        Inches.

    Returns
    -------
    matplotlib Figure
    """
    return draw_row([panel], width=width, height=height)


def draw_row(panels: list[Panel], *, width: float, height: float) -> Figure:
    """Draw panels side by side on one figure of the given size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _frame(axes, panel)
            _DRAWERS[type(panel)](axes, panel)
    return figure


def _frame(axes: Axes, panel: Panel) -> None:
    """Draw what all panels share: labels, light grid, a log axis of sizes in plain numbers."""
    axes.set_xlabel(cut(panel.x_label, 60))
    axes.set_ylabel(cut(panel.y_label, 60))
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=3)


def size_ticks(axes: Axes, values: np.ndarray) -> None:
    """Make x logarithmic with ticks at the sizes that were run, thinned so that they do not touch."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

    sizes = np.unique(values[np.isfinite(values) & (values > 0)])
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    if not len(sizes):
        return
    span = max(np.log(sizes[-1] / sizes[0]), 1e-9)
    keep: list[float] = []
    for value in sizes[::-1]:  # from the largest down: the ends matter, the largest is always shown
        if not keep or np.log(keep[-1] / value) > 0.115 * span:
            keep.append(float(value))
    axes.xaxis.set_major_locator(FixedLocator(keep))
    axes.xaxis.set_major_formatter(FixedFormatter([_short(value) for value in keep]))
    pad = 0.04 * span
    axes.set_xlim(sizes[0] * np.exp(-pad), sizes[-1] * np.exp(pad))


def _short(value: float) -> str:
    """Return a size as a tick shows it (``250``, ``4K``, ``1.2M``)."""
    for factor, mark in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= factor:
            return f"{value / factor:.3g}{mark}"
    return f"{value:g}"


def _draw_difference(axes: Axes, panel: DifferencePanel) -> None:
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
        axes.errorbar(
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
    _limits(axes, panel)
    for start, end in panel.helps:
        axes.fill_between([start, end], 0, axes.get_ylim()[1], color=HELPS, linewidth=0, zorder=0)
    _sides(axes, panel)
    for crossing in panel.crossings:
        if crossing.in_range:
            _mark_crossing(axes, crossing.value, crossing.low, crossing.high)
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


def cut(text: str, longest: int = 28) -> str:
    """Make a name from the data fit to draw: no control characters, and not too long for its panel."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = f" {plain}" if plain.startswith("_") else plain  # matplotlib leaves such labels out of a legend
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def _mark_crossing(axes: Axes, value: float, low: float, high: float) -> None:
    """Mark a crossing on the zero line, its interval as a thick bar, its size in numbers."""
    left, right = axes.get_xlim()
    ends = (low if np.isfinite(low) else left, high if np.isfinite(high) else right)
    axes.plot(
        np.clip(ends, left, right), (0, 0), color=VERMILLION, linewidth=4, alpha=0.75, solid_capstyle="butt", zorder=5
    )
    axes.plot(
        [value], [0], marker="D", color=VERMILLION, markeredgecolor=PAPER, markersize=7, linestyle="none", zorder=6
    )
    axes.annotate(
        f"{size(value)}",
        (value, 0),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
        fontsize=9.5,
        fontweight="bold",
        color=VERMILLION,
        zorder=7,
    )


def _draw_recipes(axes: Axes, panel: RecipePanel) -> None:
    size_ticks(axes, np.concatenate([item.x for item in panel.series]))
    for item, (colour, marker, dash) in zip(panel.series, SERIES, strict=False):
        spread = np.abs(np.vstack([item.mean - item.low, item.high - item.mean]))
        line = dash if not len(item.curve_x) else "none"
        axes.errorbar(
            item.x,
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
        if len(item.curve_x):
            axes.plot(item.curve_x, item.curve_y, color=colour, linestyle=dash, linewidth=1.4)
    axes.legend(frameon=False, fontsize=8.5)


def _draw_probability(axes: Axes, panel: ProbabilityPanel) -> None:
    size_ticks(axes, panel.sizes if len(panel.sizes) > 1 else panel.x[[0, -1]])
    axes.axhline(0.5, color=INK, linewidth=0.9)
    axes.fill_between(panel.x, 0.5, panel.probability, color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(panel.x, panel.probability, color=BLUE, linewidth=1.8)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], labels=[percent(share) for share in (0, 0.25, 0.5, 0.75, 1)])


def _draw_law(axes: Axes, panel: LawPanel) -> None:
    size_ticks(axes, np.concatenate([item.x for item in panel.series]))
    for place, item in enumerate(panel.series):
        colour, marker, dash = SERIES[place % len(SERIES)]
        axes.plot(
            item.x, item.y, marker=marker, linestyle="none", color=colour, markersize=4, alpha=0.55, markeredgewidth=0
        )
        axes.plot(item.curve_x, item.curve_y, color=colour, linestyle=dash, linewidth=1.6)
        axes.plot([], [], color=colour, marker=marker, linestyle=dash, markersize=4.5, label=cut(item.label, 44))
    axes.set_title(cut(panel.title, 46) + (f" ({panel.note})" if panel.note else ""), fontsize=9.5, loc="left")
    axes.legend(frameon=False, fontsize=8)


_DRAWERS: dict[type, Callable[[Any, Any], None]] = {
    DifferencePanel: _draw_difference,
    RecipePanel: _draw_recipes,
    ProbabilityPanel: _draw_probability,
    LawPanel: _draw_law,
}


def figure_bytes(figure: Figure, kind: str, *, live_text: bool = False) -> bytes:
    """Return a figure as the bytes of a file.

    Parameters
    ----------
    figure : matplotlib Figure
        What was drawn.
    kind : {"svg", "png", "pdf"}
        The format.
    live_text : bool, default False
        Keep an SVG's text as text (for a page that has fonts) instead of outlines (for a file that stands alone).

    Returns
    -------
    bytes
        The same for the same figure: no date, fixed identifiers.
    """
    buffer = io.BytesIO()
    date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    with style(**{"svg.fonttype": "none" if live_text else "path"}):
        figure.savefig(buffer, format=kind, metadata=date[kind], dpi=200)
    return buffer.getvalue()


def panels_of(analysis: Analysis, figure: str) -> list[Panel]:
    """Return the panels of one of the report's figures, empty where the runs do not allow it."""
    primary = analysis.primary
    if figure in ("laws", "finetune"):
        targets = [result.target for result in analysis.laws]
        target = primary.look.target if primary is not None else (targets[0] if targets else "error")
        recipe = primary.look.recipes[0] if primary is not None else str(analysis.frame["recipe"].iloc[0])
        return list(law_panels(analysis, "n_pretrain" if figure == "laws" else "n_finetune", target, recipe))
    if primary is None or primary.pairs.points.empty:
        return []
    if figure == "difference":
        return [difference_panel(primary, analysis.level)]
    if figure == "recipes":
        return [recipe_panel(analysis.frame, primary)]
    panel = probability_panel(primary)
    return [panel] if panel is not None else []


def check_figure(figure: str, output: str | Path) -> None:
    """Raise InputError where there is no such figure, or no such format; before anything is computed."""
    faults = []
    if Path(output).suffix.lower() not in (".png", ".svg", ".pdf"):
        faults.append(f"{output}: figures are saved as .png, .svg or .pdf; give the file one of these endings.")
    if figure not in FIGURES:
        faults.append(f"There is no figure '{figure}'; there are {', '.join(FIGURES)}.{did_you_mean(figure, FIGURES)}")
    if faults:
        raise InputError(faults)


def save_figure(analysis: Analysis, figure: str, output: str | Path, *, width: float | None = None) -> Path:
    """Save one of the report's figures as a file of its own.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.
    figure : {"difference", "recipes", "probability", "laws", "finetune"}
        Which one.
    output : str or Path
        A file ending in ``.png``, ``.svg`` or ``.pdf``.
    width : float, optional
        Inches; by default 6.4, or 4.4 for each panel of a row.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        The figure or format is unknown, or the runs do not allow the figure.
    """
    check_figure(figure, output)
    panels = panels_of(analysis, figure)
    if not panels:
        raise InputError(f"{analysis.source}: these runs do not allow the figure '{figure}'; choose another.")
    kind = Path(output).suffix.lower().lstrip(".")
    inches = width or (6.4 if len(panels) == 1 else 4.4 * len(panels))
    return write_atomic(output, figure_bytes(draw_row(panels, width=inches, height=3.9), kind))
