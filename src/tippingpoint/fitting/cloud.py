"""Points to explore exponents with: evenly spread, heavy-tailed, the same every time; and the prior of exponents.

Notation: T tuples, k axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaln

__all__ = [
    "HEAVY",
    "PRIOR_MEDIAN",
    "PRIOR_SPREAD",
    "chi_squared",
    "even_points",
    "log_prior",
    "systematic",
    "t_constant",
]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

PRIOR_MEDIAN, PRIOR_SPREAD = 0.6, 2.0  # log-normal: two thirds of it between 0.08 and 4.4
HEAVY = 5.0  # degrees of freedom of the cloud's tails


def t_constant(k: int) -> float:
    """Return the log of the constant of a k-variate t density with :data:`HEAVY` degrees of freedom."""
    return float(gammaln((HEAVY + k) / 2) - gammaln(HEAVY / 2) - k / 2 * np.log(HEAVY * np.pi))


def chi_squared(uniform: Array) -> Array:
    """Return quantiles of chi-squared with :data:`HEAVY` degrees of freedom."""
    return np.asarray(chdtri(HEAVY, uniform), dtype=np.float64)


def even_points(count: int, dimensions: int, turn: int) -> Array:
    """Return evenly spread points in the open unit cube (an R-sequence, shifted by the turn), the same every time."""
    root = 2.0
    for _ in range(60):  # the positive root of r^(d+1) = r + 1
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    points: Array = (0.5 + 0.618034 * turn + np.outer(np.arange(1, count + 1), steps)) % 1.0
    return np.clip(points, 1e-9, 1 - 1e-9)


def log_prior(x: Array) -> Array:
    """Return the log prior (T,) of log exponents x (T, k)."""
    away = (x - np.log(PRIOR_MEDIAN)) / PRIOR_SPREAD
    result: Array = -0.5 * (away * away).sum(axis=1) - x.shape[1] * np.log(PRIOR_SPREAD * np.sqrt(2 * np.pi))
    return result


def systematic(share: Array, count: int, generator: np.random.Generator) -> Index:
    """Draw places by weight with the least noise: one uniform number, evenly spaced."""
    places = (generator.random() + np.arange(count)) / count
    at: Index = np.minimum(np.searchsorted(np.cumsum(share), places), len(share) - 1)
    return at
