"""Numbers and findings in words: the sign of a difference is always said, never left to a minus.

Units: ``error`` is a fraction 0..1 and is told in percentage points; every cross-entropy is told in nats; any other
target as a plain number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tippingpoint.boundary.words import axis_words as count_words  # "53,056 parameters"
from tippingpoint.boundary.words import target_words

__all__ = [
    "AXIS_WORDS",
    "RECIPE_WORDS",
    "amount",
    "axis_words",
    "better",
    "count_words",
    "duration",
    "favour",
    "flops",
    "interval",
    "joined",
    "meant",
    "number",
    "p_value",
    "percent",
    "recipe_words",
    "size",
    "target_words",
]

AXIS_WORDS = {
    "n_pretrain": "pretraining images",
    "n_params": "model size (parameters)",
    "n_params_teacher": "teacher size (parameters)",
    "n_finetune": "fine-tuning images",
}
RECIPE_WORDS = {
    "scratch": "plain training",
    "distilled": "distillation",
    "smoothed": "label smoothing",
    "self_distilled": "guidance by a model of the same size",
    "grown": "the small model's weights, grown",
    "scratch_extra_compute": "plain training with the teacher's compute added",
    "no_pretraining": "no pretraining",
}
RECIPE_MEANING = {
    "scratch": "trained on labels alone",
    "distilled": "guided by a teacher model",
    "smoothed": "trained on smoothed labels, without a teacher",
    "self_distilled": "guided by a teacher of its own size",
    "grown": "started from the small model's weights",
    "scratch_extra_compute": "trained on labels alone, with the teacher's compute added",
    "no_pretraining": "not pretrained",
}


def axis_words(axis: str) -> str:
    """Return an axis as people say it (``pretraining images``)."""
    return AXIS_WORDS.get(axis, axis)


def recipe_words(recipe: str) -> str:
    """Return a recipe as people say it (``plain training`` for ``scratch``)."""
    return RECIPE_WORDS.get(recipe, recipe)


def meant(recipe: str) -> str:
    """Return a recipe with what it is (``scratch (trained on labels alone)``); a name of the user's own as it is."""
    return f"{recipe} ({RECIPE_MEANING[recipe]})" if recipe in RECIPE_MEANING else recipe


def number(value: float | None, digits: int = 3) -> str:
    """Return a number at ``digits`` significant digits, ``–`` where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude < 1e-3 or magnitude >= 1e7:
        return (
            f"{value:.{digits - 1}e}".replace("e-0", "e-")
            .replace("e+0", "e")
            .replace("e+", "e")
            .replace("-", "−", 1 if value < 0 else 0)
        )
    places = max(0, digits - 1 - math.floor(math.log10(magnitude)))
    return f"{value:,.{places}f}".replace("-", "−")


def size(value: float | None) -> str:
    """Return an estimated size at two significant digits, thousands marked (``1,800``; ``2.1 million``)."""
    if value is None or not math.isfinite(value):
        return "–"
    if value >= 1e15 or 0 < value < 0.1:
        return f"{value:.1e}".replace("e+", "e")
    if value >= 1e9:
        return f"{_digits(value / 1e9)} billion"
    if value >= 1e6:
        return f"{_digits(value / 1e6)} million"
    return _digits(value)


def _digits(value: float) -> str:
    """Return two significant digits without a power of ten."""
    if value < 10:
        return f"{value:.2g}"
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return f"{round(value / step) * step:,.0f}"


def exact_size(value: float) -> str:
    """Return a size that was set, not estimated: every digit of it."""
    return f"{value:,.0f}" if math.isfinite(value) and value == round(value) else f"{value:g}"


def amount(value: float, target: str) -> str:
    """Return how large a difference is, without its sign and with its unit."""
    magnitude = abs(value)
    if target == "error":
        return f"{_places(100 * magnitude)} percentage points"
    return f"{_places(magnitude)}{' nats' if target.startswith('cross_entropy') else ''}"


def signed(value: float, target: str) -> str:
    """Return a difference with its sign, in the unit that :func:`amount` names."""
    if not math.isfinite(value):
        return "–"
    magnitude = 100 * abs(value) if target == "error" else abs(value)
    mark = "+" if value > 0 else "−" if value < 0 else ""
    return f"{mark}{_places(magnitude)}"


def unit(target: str) -> str:
    """Return the unit of a target's differences (empty for an unknown target)."""
    return "percentage points" if target == "error" else "nats" if target.startswith("cross_entropy") else ""


def _places(magnitude: float) -> str:
    """Return a magnitude at two significant digits, to four decimals; a power of ten where those are zeros."""
    if 0 < magnitude < 0.0001:
        return number(magnitude, 2)
    if magnitude >= 10:
        return f"{magnitude:.0f}"
    if magnitude >= 1:
        return f"{magnitude:.1f}"
    return (
        f"{magnitude:.2f}" if magnitude >= 0.095 else f"{magnitude:.3f}" if magnitude >= 0.0095 else f"{magnitude:.4f}"
    )


def better(difference: float, recipes: Sequence[str], target: str) -> str:
    """Return who is better and by how much.

    Parameters
    ----------
    difference : float
        Target of the first recipe minus target of the second; positive where the second helps.
    recipes : sequence of two str
        The recipes' names.
    target : str
        The target, for the unit.

    Returns
    -------
    str
        ``distilled is better by 0.13 nats``.
    """
    if not math.isfinite(difference):
        return "no difference can be given"
    if difference == 0:
        return f"{recipes[0]} and {recipes[1]} are equal"
    return f"{recipes[1] if difference > 0 else recipes[0]} is better by {amount(difference, target)}"


def favour(low: float, high: float, recipes: Sequence[str], target: str, *, level: float = 0.9) -> str:
    """Return the interval of a difference with its sign in words.

    Parameters
    ----------
    low, high : float
        Ends of the interval of first recipe minus second; positive where the second is better.
    recipes : sequence of two str
        The recipes' names.
    target : str
        For the unit.
    level : float, default 0.9
        The interval's probability.

    Returns
    -------
    str
        ``90% interval 0.010 to 0.023 nats``, or, where it holds zero, whom each end favours.
    """
    name = f"{percent(level)} interval"
    if low > 0 or high < 0:
        near, far = sorted((low, high), key=abs)
        return f"{name} {amount(near, target).split()[0]} to {amount(far, target)}"
    ends = [f"{amount(end, target)} in favour of {who}" for end, who in zip((low, high), recipes, strict=True)]
    return f"{name} from {ends[0]} to {ends[1]}"


def interval(
    low: float | None, high: float | None, *, level: float = 0.9, show: object = None, bare: bool = False
) -> str:
    """Return an interval in words; an open end is said so.

    Parameters
    ----------
    low, high : float or None
        The ends; None or infinite where an end is open.
    level : float, default 0.9
        Its probability.
    show : callable, optional
        How an end is written; :func:`size` by default.
    bare : bool, default False
        Leave the level out.

    Returns
    -------
    str
        ``90% interval 1,200 to 2,400``.
    """
    write = show if callable(show) else size
    has_low = low is not None and math.isfinite(low)
    has_high = high is not None and math.isfinite(high)
    if has_low and has_high:
        text = f"{write(low)} to {write(high)}"
    elif has_low:
        text = f"{write(low)} or more, open above"
    elif has_high:
        text = f"{write(high)} or less, open below"
    else:
        text = "open at both ends"
    return text if bare else f"{percent(level)} interval {text}"


def percent(share: float | None) -> str:
    """Return a share as a percentage; never "100%" or "0%" of what is merely likely or unlikely."""
    if share is None or not math.isfinite(share):
        return "–"
    if 0.995 <= share < 1:
        return "more than 99%"
    if 0 < share < 0.005:
        return "less than 1%"
    return f"{100 * share:.0f}%"


def p_value(p: float) -> str:
    """Return a p-value as papers write it."""
    if not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def joined(words: Iterable[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    parts = list(words)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""


def counted(count: int, noun: str) -> str:
    """Return ``1 run`` or ``12 runs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Return a time span (``8 min 12 s``)."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def flops(value: float | None) -> str:
    """Return floating-point operations at three digits (``1.24e15``)."""
    if value is None or not math.isfinite(value):
        return "–"
    return "0" if value == 0 else f"{value:.2e}".replace("e+", "e")
