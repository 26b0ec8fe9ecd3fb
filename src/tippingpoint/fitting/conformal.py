r"""Predictive intervals that cover when a learning curve is extrapolated: conformal calibration across curves.

.. math:: \log y \in \log\hat y \pm Q(level)\,\sigma(x), \qquad
          \sigma(x) = (S^{1/2} + \epsilon)\sqrt{n / (n - 2)}\,\bigl(1 + \log(x / x_{max})_+\bigr)

S^{1/2} is the root of the weighted mean squared log residual, n the number of training points, epsilon a relative
error that no curve goes below, and Q the quantile of \|log y - log y^\| / sigma over calibration curves, each curve
with the same weight. A bootstrap knows only the noise along one curve; Q also holds what no curve can know of itself:
that it breaks, or that the law is wrong. That is what makes the interval cover.

Any law that is asked for by name gets its interval about its own prediction, as wide as

.. math:: \sigma_l(x) = \sqrt{\sigma(x)^2 + \bigl((\log\hat y_l - \log\hat y) / 2\bigr)^2}

with y^ and sigma those of ``auto`` on the same points: a law that parts from the average has that much to lose. Its own
misfit does not enter, since laws with many parameters fit best and extrapolate worst. One table of quantiles serves
all laws, ours and other people's.

``Q`` below comes from the 72 image-classification curves of Alabdulmohsin et al. (2022), each cut after 100%, 50% and
30% of its training points (up to 55 times the largest training size), for named laws pooled over M1 to M4 and BNSL, by

    python benchmarks/extrapolation.py --calibrate

What nominal 90% covers, leave one data set out, and for named laws leave one law out as well, stands in
``benchmarks/results/extrapolation.md``.
"""

from __future__ import annotations

import numpy as np

from tippingpoint.errors import FitError
from tippingpoint.kinds import is_number
from tippingpoint.laws.curves.law import Array

__all__ = ["CALIBRATED", "FARTHEST", "half_width", "interval_scale", "named_scale", "quantile", "weighted_quantile"]

_EPSILON = 0.005

#: Beyond this many times the largest training size no calibration curve reaches.
FARTHEST = 55.0

#: The laws whose errors the intervals of named laws were calibrated on.
CALIBRATED = ("power", "floored", "saturating", "sigmoidal", "broken")

_LEVELS = (0.05, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
_QUANTILES = (0.081, 0.391, 0.808, 1.023, 1.288, 1.725, 2.03, 2.388, 2.649, 3.056, 3.575, 4.503)
_NAMED = (0.171, 0.815, 1.39, 1.613, 1.826, 2.038, 2.18, 2.455, 2.632, 2.932, 3.456, 3.809)


def interval_scale(misfit: float, points: int, beyond: Array) -> Array:
    """Return sigma, shape (T,).

    Parameters
    ----------
    misfit : float
        S, weighted mean squared log residual of the fit.
    points : int
        n, different training sizes.
    beyond : ndarray, shape (T,)
        x / x_max of the sizes to predict at.
    """
    freedom = np.sqrt(points / max(points - 2, 1))
    result: Array = (np.sqrt(misfit) + _EPSILON) * freedom * (1 + np.maximum(np.log(beyond), 0.0))
    return result


def named_scale(scale: Array, apart: Array) -> Array:
    """Return sigma of a law asked for by name, shape (T,).

    Parameters
    ----------
    scale : ndarray, shape (T,)
        sigma of ``auto``.
    apart : ndarray, shape (T,)
        Difference of the law's log prediction and that of ``auto``.
    """
    return np.hypot(scale, 0.5 * np.asarray(apart))


def quantile(level: float, *, named: bool = False) -> float:
    """Return Q at a level, of ``auto`` or of a named law, interpolated between those that were calibrated.

    Raises
    ------
    FitError
        The level is outside 0.05 to 0.99, where nothing was calibrated.
    """
    if not (is_number(level) and _LEVELS[0] <= level <= _LEVELS[-1]):
        raise FitError(f"Intervals are calibrated for levels from {_LEVELS[0]} to {_LEVELS[-1]}, not {level}.")
    tails = -np.log1p(-np.array(_LEVELS))
    return float(np.interp(-np.log1p(-level), tails, _NAMED if named else _QUANTILES))


def half_width(level: float, scale: Array, *, named: bool = False) -> Array:
    """Return the half width of an interval in log y, shape (T,)."""
    result: Array = quantile(level, named=named) * scale
    return result


def weighted_quantile(values: Array, weights: Array, level: float) -> float:
    """Return the smallest value below which at least ``level`` of the weight lies."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, level)), len(values) - 1)])
