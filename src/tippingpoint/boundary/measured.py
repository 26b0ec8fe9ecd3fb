r"""Crossings read off the paired runs themselves, without any law.

Notation
--------
B seed blocks, sizes D_1 < ... < D_S; d[b, s] is block b's difference (first recipe minus second) at size s. Between two
sizes every block's difference is joined by a straight line in log D, so that at the share w of the way

.. math::  m(w) = (1 - w)\,m_i + w\,m_j, \qquad v(w) = (1-w)^2 v_{ii} + 2 w (1-w)\,v_{ij} + w^2 v_{jj}

with mean m and covariance v over blocks. A size belongs to the crossing's interval where Student's interval of m
contains zero: m^2 <= t^2 v / B (Fieller's set, point by point), v being no less than the steps of the scores hide
(:mod:`~tippingpoint.boundary.spread`). The laws play no part in it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.spread import standard_error

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MeasuredCrossing", "established_signs", "measured_crossings", "measured_probability"]

Array = NDArray[np.float64]
_STEPS = 400  # between two sizes; the crossing is solved exactly, only its interval's ends are read off this grid


class MeasuredCrossing(NamedTuple):
    """A change of the better recipe in the paired runs themselves.

    Attributes
    ----------
    value : float
        Where the mean difference, joined in log size, is zero.
    interval : tuple of (float or None)
        Sizes at which the mean difference may be zero, around ``value``. An end is None, open, where no size further on
        stands out of its noise on the other side.
    direction : int
        1 where the second recipe starts to help as the axis grows, -1 where it stops.
    """

    value: float
    interval: tuple[float | None, float | None]
    direction: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**self._asdict(), "interval": list(self.interval)}


def established_signs(paired: pd.DataFrame) -> tuple[tuple[float, int], ...]:
    """Return (size, sign) of every size whose paired interval excludes zero.

    Parameters
    ----------
    paired : DataFrame
        From ``pair_up``: the size first, then ``mean``, ``standard_error``, ``n_pairs``, ``low``, ``high``.

    Returns
    -------
    tuple of (float, int)
        Ascending; 1 where the second recipe is better. Each size stands for itself, at the interval's level.
    """
    sizes = paired.iloc[:, 0].to_numpy(dtype=float)
    low, high = paired["low"].to_numpy(dtype=float), paired["high"].to_numpy(dtype=float)
    return tuple((float(D), 1 if a > 0 else -1) for D, a, b in zip(sizes, low, high, strict=True) if a > 0 or b < 0)


def measured_crossings(
    differences: pd.DataFrame, paired: pd.DataFrame, level: float, step: float = 0.0
) -> tuple[MeasuredCrossing, ...]:
    """Return the changes of sign that start or end at a size whose own sign is established.

    Parameters
    ----------
    differences : DataFrame
        One row per seed block, one column per size, ascending; NaN where a block lacks a pair.
    paired : DataFrame
        Their means and intervals (``pair_up``).
    level : float
        Probability of the intervals.
    step : float, default 0
        In which the scores move (``score_step``).

    Returns
    -------
    tuple of MeasuredCrossing
        Ascending. Between two established sizes of opposite sign there is one; beyond the outermost established size
        the first change of the mean's sign counts, its interval open; the rest is noise.
    """
    signs = established_signs(paired)
    if not signs:
        return ()
    sizes = differences.columns.to_numpy(dtype=float)
    first, last = (float(sizes[0]), 0), (float(sizes[-1]), 0)
    found = []
    for (low, before), (high, after) in pairwise([first, *signs, last]):
        part = differences.iloc[:, (sizes >= low) & (sizes <= high)]
        if before != after and part.shape[1] > 1:
            found.append(_crossing(part, before, after, level, step))
    return tuple(crossing for crossing in found if crossing is not None)


def _crossing(part: pd.DataFrame, before: int, after: int, level: float, step: float) -> MeasuredCrossing | None:
    """Return the crossing between the first and last column of ``part``; a sign of 0 is not established."""
    grid, mean, half = _band(np.log(np.asarray(part.columns, dtype=float)), part.to_numpy(dtype=float), level, step)
    turned = np.flatnonzero(np.sign(mean[:-1]) != np.sign(mean[1:]))
    if not len(turned):
        return None  # towards the end of the range the mean keeps its sign
    k = int(turned[0] if before else turned[-1])  # the one next to the established size
    value = grid[k] + mean[k] / (mean[k] - mean[k + 1]) * (grid[k + 1] - grid[k])
    undecided = np.flatnonzero(np.abs(mean) <= half)
    ends = (undecided[0], undecided[-1]) if len(undecided) else (k, k + 1)
    low, high = (float(np.exp(grid[end])) for end in ends)
    interval = (low if before else None, high if after else None)
    return MeasuredCrossing(float(np.exp(value)), interval, after or -before)


def _band(x: Array, differences: Array, level: float, step: float) -> tuple[Array, Array, Array]:
    """Return log sizes, mean difference and half width of its Student interval on a grid that holds every size."""
    from scipy.special import stdtrit

    grids, means, halves = [], [], []
    for i in range(len(x) - 1):
        ends = differences[:, i : i + 2]
        both = ends[np.isfinite(ends).all(axis=1)]  # only blocks that have both pairs can be joined
        blocks = len(both)
        w = np.linspace(0, 1, _STEPS + 1)
        joined = _join(both if blocks else _means(ends), w)
        spread = standard_error(joined, step * np.hypot(1 - w, w)) if blocks > 1 else np.full(len(w), np.inf)
        grids.append(x[i] + w * (x[i + 1] - x[i]))
        means.append(joined.mean(axis=0))
        halves.append(float(stdtrit(max(1, blocks - 1), 0.5 + level / 2)) * spread)
    return np.concatenate(grids), np.concatenate(means), np.concatenate(halves)


def _means(ends: Array) -> Array:
    """Return the mean of each size, shape (1, 2): what is known between two sizes that no block has both of."""
    return np.array([[column[np.isfinite(column)].mean() for column in ends.T]])


def _join(ends: Array, w: Array) -> Array:
    """Return each block's difference at the shares ``w`` of the way between two sizes, of ``ends`` (blocks, 2)."""
    return ends[:, :1] * (1 - w) + ends[:, 1:] * w


def measured_probability(differences: pd.DataFrame, sizes: Array, step: float = 0.0) -> Array:
    """Return the probability that the mean paired difference is positive, by Student's t over blocks.

    Parameters
    ----------
    differences : DataFrame
        One row per seed block, one column per size, ascending.
    sizes : ndarray
        Where; between two measured sizes every block's difference is joined by a straight line in log size.
    step : float, default 0
        In which the scores move (``score_step``).

    Returns
    -------
    ndarray
        NaN outside the measured sizes, and where fewer than two blocks have the pairs.
    """
    from scipy.special import stdtr

    x, own = np.log(sizes), np.log(differences.columns.to_numpy(dtype=float))
    found: Array = np.full(len(x), np.nan)
    for k in range(len(own) - 1):
        inside = (x >= own[k] - 1e-9) & (x <= own[k + 1] + 1e-9)
        ends = differences.iloc[:, k : k + 2].dropna().to_numpy(dtype=float)
        if len(ends) < 2 or not inside.any():
            continue
        w = ((x[inside] - own[k]) / (own[k + 1] - own[k])).clip(0, 1)
        joined = _join(ends, w)
        error = np.maximum(standard_error(joined, step * np.hypot(1 - w, w)), 1e-300)
        found[inside] = stdtr(len(ends) - 1, joined.mean(axis=0) / error)
    return found
