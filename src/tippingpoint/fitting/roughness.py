r"""How rough a curve is: what is left of it when its smooth trend is taken away.

Notation
--------
s_1 < ... < s_n steps, x_i = log s_i, y_i the training loss at step s_i (mean since the point before).

* *Trend*: at every x_i a parabola in x, fitted by least squares to the nearest ``span`` of all points with tricube
  weights (loess, Cleveland 1979). It is linear in y: trend = S y, with S (n, n) a function of the steps alone.
* *Roughness*: root mean square of the residuals r = (I - S) y over the points A after the warm-up, scaled so that
  independent noise of standard deviation sigma around a parabola gives sigma:

.. math::  \text{roughness}^2 = \sum_{i \in A} r_i^2 \Big/ \sum_{i \in A} \big[(I - S)(I - S)^T\big]_{ii}

* *Relative roughness*: the same of log y, so that a curve that lies lower is not smoother for that alone.
* *Roughness against data*: of log y over sizes D_1 < ... < D_m. Each inner point is held against the straight line
  between its neighbours in log D (a second difference), scaled in the same way:

.. math::  e_i = \frac{\log y_i - (1-w) \log y_{i-1} - w \log y_{i+1}}{\sqrt{1 + (1-w)^2 + w^2}},
    \qquad w = \frac{\log D_i - \log D_{i-1}}{\log D_{i+1} - \log D_{i-1}}
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import InputError
from tippingpoint.kinds import is_number

__all__ = ["FEWEST_POINTS", "SPAN", "data_roughness", "detrend", "roughness", "smooth_trend", "steps_to_level"]

Array = NDArray[np.float64]
SPAN = 0.15  #: share of a curve's points that a point's trend looks at
FEWEST_POINTS = 20  #: of a curve whose roughness can be told
_FEWEST_IN_WINDOW = 7


def smooth_trend(step: ArrayLike, values: ArrayLike, span: float = SPAN) -> Array:
    """Return the smooth trend of a curve over log step.

    Parameters
    ----------
    step : array_like, shape (n,)
        Ascending, above 0; n at least ``FEWEST_POINTS``.
    values : array_like, shape (n,)
        In any unit.
    span : float, default 0.15
        Share of the points that a point's trend looks at, at least seven of them.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        Too few points, or a span that is no share.
    """
    steps = np.asarray(step, dtype=float)
    return np.asarray(_smoother(tuple(steps.tolist()), span) @ np.asarray(values, dtype=float))


def detrend(step: ArrayLike, values: ArrayLike, span: float = SPAN) -> Array:
    """Return the values less their smooth trend; for the settings see :func:`smooth_trend`."""
    return np.asarray(values, dtype=float) - smooth_trend(step, values, span)


def roughness(step: ArrayLike, values: ArrayLike, *, after: float = 0, span: float = SPAN) -> float:
    """Return the root mean square of a curve's residuals from its smooth trend.

    Parameters
    ----------
    step, values, span
        As for :func:`smooth_trend`.
    after : float, default 0
        Only points at later steps count: the fall of a loss while the learning rate still rises is no roughness.

    Returns
    -------
    float
        In the unit of the values; of independent noise around a parabola, its standard deviation. NaN where fewer than
        ``FEWEST_POINTS`` points are later than ``after``.

    Raises
    ------
    InputError
        As :func:`smooth_trend`.
    """
    steps = np.asarray(step, dtype=float)
    late = steps > after
    if late.sum() < FEWEST_POINTS:
        return float("nan")
    left = (np.eye(len(steps)) - _smoother(tuple(steps.tolist()), span))[late]
    return float(np.sqrt(np.sum((left @ np.asarray(values, dtype=float)) ** 2) / np.sum(left**2)))


def steps_to_level(step: ArrayLike, trend: ArrayLike, level: float) -> float:
    """Return the step at which a trend first comes down to a level.

    Parameters
    ----------
    step : array_like, shape (n,)
        Ascending.
    trend : array_like, shape (n,)
        A smooth trend.
    level : float
        In the unit of the trend.

    Returns
    -------
    float
        Between two points by a straight line in log step; infinite where the trend stays above the level.
    """
    steps, values = np.asarray(step, dtype=float), np.asarray(trend, dtype=float)
    below = np.flatnonzero(values <= level)
    if not len(below):
        return float("inf")
    k = int(below[0])
    if k == 0:
        return float(steps[0])
    share = (values[k - 1] - level) / (values[k - 1] - values[k])
    return float(steps[k - 1] * (steps[k] / steps[k - 1]) ** share)


def data_roughness(sizes: ArrayLike, values: ArrayLike) -> float:
    """Return how rough a score is over sizes of the data, as a share of the score.

    Parameters
    ----------
    sizes : array_like, shape (m,)
        Numbers of images, ascending.
    values : array_like, shape (m,)
        Scores above 0, such as errors.

    Returns
    -------
    float
        Root mean square of the scaled second differences of log score over log size: of independent noise of 5% around
        a power law, 0.05. A floor bends the curve a little and adds to it. NaN where there are fewer than three sizes
        or a score is not above 0.
    """
    x, scores = np.log(np.asarray(sizes, dtype=float)), np.asarray(values, dtype=float)
    if len(x) < 3 or not (scores > 0).all():
        return float("nan")
    y = np.log(scores)
    w = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    bend = y[1:-1] - (1 - w) * y[:-2] - w * y[2:]
    return float(np.sqrt(np.mean(bend**2 / (1 + (1 - w) ** 2 + w**2))))


@lru_cache(maxsize=256)
def _smoother(step: tuple[float, ...], span: float) -> Array:
    """Return S, shape (n, n): row i gives the weights of all points in the trend at point i."""
    if len(step) < FEWEST_POINTS:
        raise InputError(f"step: {len(step)} points are too few for a trend; {FEWEST_POINTS} are needed.")
    if not (is_number(span) and 0 < span <= 1):
        raise InputError(f"span: {span} is not a share of the points, above 0 and up to 1; {SPAN} is usual.")
    x = np.log(np.array(step))
    window = min(len(x), max(_FEWEST_IN_WINDOW, int(np.ceil(span * len(x)))))
    S = np.zeros((len(x), len(x)))
    for i, centre in enumerate(x):
        distance = np.abs(x - centre)
        near = np.argsort(distance, kind="stable")[:window]
        # the farthest of the window has no weight in the tricube; a little further out it has some
        weight = (1 - (distance[near] / (distance[near].max() * 1.001)) ** 3) ** 3
        offset = (x[near] - centre) / distance[near].max()
        root = np.sqrt(weight)
        basis = np.stack([root, root * offset, root * offset**2], axis=1)
        S[i, near] = np.linalg.pinv(basis)[0] * root  # the parabola's value at its centre
    S.flags.writeable = False
    return S
