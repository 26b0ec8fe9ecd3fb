"""How advice is said: sizes, money, shares and lines that fit a narrow terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence

__all__ = [
    "WIDTH",
    "amount",
    "join",
    "money",
    "percent",
    "score",
    "sized",
    "span",
    "table",
    "things",
    "times",
    "wrapped",
]

WIDTH = 80

# What an axis counts, of one and of many, as a person who buys it says.
_NOUNS = {
    "n_pretrain": ("pretraining image", "pretraining images"),
    "n_finetune": ("label", "labels"),
    "n_params": ("parameter", "parameters"),
}


def amount(value: float) -> str:
    """Return a number of things: whole up to ten million, then three digits."""
    if not math.isfinite(value):
        return "no end of"
    return f"{value:,.0f}" if 10 <= abs(value) < 1e7 else f"{value:.3g}"


def times(factor: float) -> str:
    """Return a factor in two digits, without an exponent: ``"2.5"``, ``"8,100"``."""
    return f"{factor:.2g}" if factor < 10 else f"{float(f'{factor:.2g}'):,.0f}"


def sized(value: float, axis: str) -> str:
    """Return ``"1,200 pretraining images"`` or ``"1 label"``."""
    return f"{amount(value)} {_NOUNS[axis][0 if value == 1 else 1]}"


def things(axis: str) -> str:
    """Return what an axis counts: images, labels or parameters."""
    return _NOUNS[axis][1]


def money(value: float) -> str:
    """Return a sum, which has the currency of the prices: cents below a hundred, else whole."""
    if value == 0:
        return "0"
    if value < 0.01:
        return f"{value:.1g}"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}" if value < 1e9 else f"{value:.3g}"


def score(value: float) -> str:
    """Return an error or a loss with three digits."""
    return f"{value:.3g}"


def span(interval: tuple[float, float] | None, level: float, said: Callable[[float], str] = score) -> str:
    """Return ``"90% 0.07 to 0.09"``, or ``"90% 1,200 and open above"``; empty where there is no interval."""
    if interval is None:
        return ""
    low, high = interval
    end = f"to {said(high)}" if math.isfinite(high) else "and open above"
    return f"{100 * level:g}% {said(low)} {end}"


def percent(share: float) -> str:
    """Return a share or a probability in whole percents, never a rounded 0% or 100% of what is neither."""
    if 0 < share < 0.005:
        return "under 1%"
    if 0.995 <= share < 1:
        return "over 99%"
    return f"{100 * share:.0f}%"


def join(words: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def wrapped(text: str, first: str = "", rest: str | None = None) -> list[str]:
    """Return a sentence in lines of at most :data:`WIDTH` columns, the later ones indented as the first."""
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table's lines, header first: the last column to the left and wrapped, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        head = "  " + "".join(f"{cell.rjust(width)}  " for cell, width in zip(row[:-1], widths, strict=True))
        lines += wrapped(row[-1], head) or [head.rstrip()]
    return lines
