"""How the answer is said: sizes, differences and regimes in words; the sign always by the name of the better recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["axis_words", "better", "beyond", "exactly", "interval_words", "listed", "number", "size", "target_words"]

_AXES = {
    "n_pretrain": "pretraining images",
    "n_params": "parameters",
    "n_finetune": "fine-tuning images",
    "n_params_teacher": "teacher parameters",
}
_TARGETS = {
    "error": "error",
    "cross_entropy": "cross-entropy",
    "cross_entropy_calibrated": "calibrated cross-entropy",
}


def axis_words(axis: str) -> str:
    """Return an axis as a person says it; a column of the user's own keeps its name."""
    return _AXES.get(axis, axis)


def target_words(target: str) -> str:
    """Return a target as a person says it; a column of the user's own keeps its name."""
    return _TARGETS.get(target, target)


def size(value: float) -> str:
    """Return a size with three digits and thousands apart: ``1,830``, ``38,400,000``, ``3.84e+12``."""
    if not math.isfinite(value):
        return "no end"
    if value == 0 or not 1 <= abs(value) < 1e10:
        return f"{value:.3g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def exactly(value: float) -> str:
    """Return a size as it must be typed: ``51216``."""
    return f"{value:.12g}"


def number(value: float) -> str:
    """Return a difference with three digits, without its sign."""
    return f"{abs(value):.3g}"


def better(value: float, recipes: tuple[str, str]) -> str:
    """Return ``"distilled is better by 0.012"`` for a difference (first minus second, smaller is better)."""
    if value == 0 or not math.isfinite(value):
        return f"{recipes[0]} and {recipes[1]} are equal"
    return f"{recipes[1] if value > 0 else recipes[0]} is better by {number(value)}"


def interval_words(interval: tuple[float | None, float | None] | None, level: float) -> str:
    """Return ``"90% interval 1,500 to 2,300"``, open ends said as such."""
    name = f"{100 * level:g}% interval"
    if interval is None:
        return f"no {name}"
    low, high = interval
    if low is None and high is None:
        return f"{name} open at both ends"
    if low is None:
        return f"{name} open below, up to {size(high or 0.0)}"
    if high is None:
        return f"{name} {size(low)} and open above"
    return f"{name} {size(low)} to {size(high)}"


def listed(items: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def beyond(axis: str, value: float, sizes: Sequence[float]) -> str:
    """Say of a size that was not measured how far from those that were it is."""
    low, high = min(sizes), max(sizes)
    if low <= value <= high:
        return f"{axis}={exactly(value)} was not measured; the laws interpolate between {size(low)} and {size(high)}."
    factor = value / high if value > high else low / value
    return (
        f"{axis}={exactly(value)} is outside the data ({size(low)} to {size(high)}), {factor:.3g} times beyond: "
        "the laws extrapolate."
    )
