"""How much of one amount a target needs, as an interval: where the ends of the law's own interval meet the target.

The expected error at the advised amount is the target itself, so its interval there does not say how many labels to
plan with. Here recipe, model and all other amounts are held, and along one axis the lower and the upper end of the
interval of the expected error are followed to the target. For draws of a falling law that is the interval of the
amounts at which the draws meet the target; an average of laws adds how far its laws lie apart. Where the upper end
never comes down to the target, its floor lies above: the interval is open.
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
        By axis, what is used in all; infinite where an end never gets there. None where money, not a target, was asked
        for.
    """
    if question.target_error is None:
        return None
    family, place = found.choice.family, found.place()
    axes = [axis for axis in AMOUNTS if axis in family.axes and question.price(axis) is not None]
    ends = {}
    for axis in axes:
        most = family.levels[axis][-1] * _FARTHEST
        grid = np.geomspace(1.0, most, math.ceil(_STEPS_A_DECADE * math.log10(most)))
        sizes = {name: grid if name == axis else np.full(len(grid), place[name]) for name in family.axes}
        with np.errstate(all="ignore"):
            band = family.law.predict(sizes, interval=question.level)
        low, high = _crossings(grid, band[["low", "high"]].to_numpy(dtype=float).T, question.target_error)
        ends[axis] = float(low), float(high)
    return ends


def _crossings(grid: Array, curves: Array, target: float) -> Array:
    """Return where each curve (R, p) over the grid (p,) first is at or below the target, (R,); infinite if nowhere."""
    logs = np.log(np.maximum(curves, 1e-300))
    below = logs <= math.log(target)
    after = below.argmax(axis=1)
    before, rows = np.maximum(after - 1, 0), np.arange(len(curves))
    fall = logs[rows, before] - logs[rows, after]
    share = (logs[rows, before] - math.log(target)) / np.where(fall > 0, fall, 1.0)
    met = np.exp(np.log(grid[before]) + share * (np.log(grid[after]) - np.log(grid[before])))
    return np.where(below.any(axis=1), met, np.inf)
