"""What all drawing shares: palette, style, axes of sizes in plain numbers, and the bytes of a file.

Colours are Okabe and Ito's; every series also has its own marker and dash, so that grey print tells them apart.
Strings from the data are drawn as plain text (never as mathematics). Nothing here touches pyplot or its global state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SERIES", "SHADES", "cut", "figure_bytes", "frame", "new_figure", "short", "size_ticks", "style"]

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#d5d9de", "#ffffff"
BLUE, VERMILLION, GREEN, PURPLE, SLATE = "#0072b2", "#d55e00", "#00825f", "#a8558a", "#3a4149"
HELPS, HARMS = "#fbe3d3", "#dcebf5"
# Shares from 0 to 1 in tenths: lightness grows all the way, also in grey and to any eye.
SHADES = (
    "#1a5783", "#3d739c", "#5f8fb4", "#7ca1bd", "#9ab3c6", "#b3c1cb", "#c8cccb", "#dcd6cb", "#e9decd", "#f7e7cf",
)  # fmt: skip
SERIES = (
    (BLUE, "o", "-"),
    (VERMILLION, "s", (0, (5, 2))),
    (GREEN, "^", (0, (1, 1.2))),
    (PURPLE, "D", (0, (6, 2, 1.5, 2))),
    (SLATE, "v", (0, (3, 1))),
)


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


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches; call it within :func:`style`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def frame(axes: Axes, x_label: str, y_label: str) -> None:
    """Draw what all panels share: labels, light grid, no box."""
    axes.set_xlabel(cut(x_label, 60))
    axes.set_ylabel(cut(y_label, 60))
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
    axes.xaxis.set_major_formatter(FixedFormatter([short(value) for value in keep]))
    pad = 0.04 * span
    axes.set_xlim(sizes[0] * np.exp(-pad), sizes[-1] * np.exp(pad))


def short(value: float) -> str:
    """Return a size as a tick shows it (``250``, ``4K``, ``1.2M``)."""
    for factor, mark in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= factor:
            return f"{value / factor:.3g}{mark}"
    return f"{value:g}"


def cut(text: str, longest: int = 28) -> str:
    """Make a name from the data fit to draw: no control characters, and not too long for its panel."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = f" {plain}" if plain.startswith("_") else plain  # matplotlib leaves such labels out of a legend
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


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
