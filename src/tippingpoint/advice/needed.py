r"""How much of one amount a target needs, as an interval: every draw of the law is asked where it meets the target.

The expected error at the advised amount is the target itself, so its own interval does not say how many labels to plan
with. Here recipe, model and all other amounts are held, and each draw's curve along one axis is cut at the target. A
draw whose floor lies above the target meets it nowhere: the interval is then open above.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.choices import Found
from tippingpoint.advice.family import AMOUNTS
from tippingpoint.advice.question import Question

__all__ = ["needed_of"]

Array = NDArray[np.float64]

_FARTHEST = 1e6  # times the most measured: beyond it an amount is endless
_STEPS_A_DECADE = 40


def needed_of(found: Found, question: Question) -> dict[str, tuple[float, float]] | None:
    """Return for each amount that can be bought the interval of what the target needs of it.

    Parameters
    ----------
    found : Found
        A choice with the amounts that reach the target.
    question : Question
        With a target.

    Returns
    -------
    dict of str to (float, float) or None
        By axis, what is used in all; the upper end is infinite where more than the tail of the draws never gets there.
        None where money, not a target, was asked for.
    """
    if question.target_error is None:
        return None
    family, place = found.choice.family, found.place()
    axes = [axis for axis in AMOUNTS if axis in family.axes and question.price(axis) is not None]
    tail = (1 - question.level) / 2
    ends = {}
    for axis in axes:
        most = family.levels[axis][-1] * _FARTHEST
        grid = np.geomspace(1.0, most, math.ceil(_STEPS_A_DECADE * math.log10(most)))
        points = np.array([[size if name == axis else place[name] for name in family.axes] for size in grid])
        with np.errstate(all="ignore"):
            met = _crossings(grid, family.law.curves(points), question.target_error)
        # Single draws, not means of two: one of them may be endless.
        low, high = np.quantile(met, tail, method="lower"), np.quantile(met, 1 - tail, method="higher")
        ends[axis] = float(low), float(high)
    return ends


def _crossings(grid: Array, curves: Array, target: float) -> Array:
    """Return where each curve (R, p) over the grid (p,) first is at or below the target, (R,); infinite if nowhere."""
    below = curves <= target
    after = below.argmax(axis=1)
    before, rows = np.maximum(after - 1, 0), np.arange(len(curves))
    y0, y1 = np.log(curves[rows, before]), np.log(np.maximum(curves[rows, after], 1e-300))
    share = np.clip(np.nan_to_num((y0 - math.log(target)) / (y0 - y1)), 0.0, 1.0)
    x0, x1 = np.log(grid[before]), np.log(grid[after])
    return np.where(below.any(axis=1), np.exp(x0 + share * (x1 - x0)), np.inf)
