"""Where the shapes of a law are explored, with which prior, and the points to explore with: the same every time.

A shape parameter that cannot be negative, such as an exponent, is explored by its logarithm, another one as it is; one
whose bounds meet is not explored. Priors are normal on the explored scale.

Notation: T tuples, p explored parameters of the q of a formula, x (T, p) their values on the explored scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaln

from tippingpoint.laws.formula import Shape

__all__ = ["HEAVY", "Space", "chi_squared", "even_points", "space_of", "systematic", "t_constant"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

HEAVY = 5.0  # degrees of freedom of the cloud's tails
LEAST_EXPONENT = 0.01  # a log scale has no 0: a smaller power is a constant over any data there are


@dataclass(frozen=True)
class Space:
    """The explored parameters.

    Attributes
    ----------
    free : ndarray of int, shape (p,)
        Their places among the q shapes.
    fixed : ndarray, shape (q,)
        Values of the others.
    on_logs : ndarray of bool, shape (p,)
    low, high : ndarray, shape (p,)
        Bounds, on the explored scale as all that follows.
    middle, spread : ndarray, shape (p,)
        Of the prior.
    """

    free: Index
    fixed: Array
    on_logs: NDArray[np.bool_]
    low: Array
    high: Array
    middle: Array
    spread: Array

    def shape(self, x: Array) -> Array:
        """Return shapes (T, q) at x (T, p)."""
        whole = np.tile(self.fixed, (len(x), 1))
        whole[:, self.free] = np.where(self.on_logs, np.exp(np.where(self.on_logs, x, 0.0)), x)
        return whole

    def place(self, shape: Array, known: NDArray[np.bool_]) -> Array:
        """Return x (p,) at one shape (q,); the prior's middle stands in for what is not known (q,)."""
        own = shape[self.free]
        x = np.where(self.on_logs, np.log(np.where(self.on_logs, np.maximum(own, 1e-300), 1.0)), own)
        found: Array = np.clip(np.where(known[self.free], x, self.middle), self.low, self.high)
        return found

    def stretch(self, x: Array) -> Array:
        """Return how much each shape moves with x (p,)."""
        return np.where(self.on_logs, np.exp(np.where(self.on_logs, x, 0.0)), 1.0)

    def inside(self, x: Array) -> NDArray[np.bool_]:
        """Return whether a tuple is between the bounds, (T,)."""
        return np.asarray(((x >= self.low - 1e-12) & (x <= self.high + 1e-12)).all(axis=1), dtype=np.bool_)

    def log_prior(self, x: Array) -> Array:
        """Return the log prior (T,) of x (T, p)."""
        away = (x - self.middle) / self.spread
        constant = np.log(self.spread * np.sqrt(2 * np.pi)).sum()
        result: Array = -0.5 * (away * away).sum(axis=1) - constant
        return result


def space_of(shapes: Sequence[Shape]) -> Space:
    """Return where shapes are explored.

    Parameters
    ----------
    shapes : sequence of Shape
        All q of a formula.

    Returns
    -------
    Space
    """
    free = [place for place, one in enumerate(shapes) if one.high > one.low]
    moving = [shapes[place] for place in free]
    on_logs = np.array([one.on_logs for one in moving], dtype=bool)
    ends = np.array([[_least(one), one.high, one.belief[0]] for one in moving]).reshape(-1, 3).T
    low, high, middle = np.where(on_logs, np.log(np.where(on_logs, ends, 1.0)), ends)
    spread = np.array([one.belief[1] for one in moving], dtype=float)
    fixed = np.array([one.low for one in shapes], dtype=float)
    return Space(np.array(free, dtype=np.intp), fixed, on_logs, low, high, middle, spread)


def _least(shape: Shape) -> float:
    """Return the lower bound; on a log scale one that is above 0."""
    if not shape.on_logs or shape.low > 0:
        return shape.low
    usual = shape.usual[0] if shape.usual[0] > 0 else LEAST_EXPONENT
    return min(LEAST_EXPONENT, usual, shape.high / 2)


def t_constant(p: int) -> float:
    """Return the log of the constant of a p-variate t density with :data:`HEAVY` degrees of freedom."""
    return float(gammaln((HEAVY + p) / 2) - gammaln(HEAVY / 2) - p / 2 * np.log(HEAVY * np.pi))


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


def systematic(share: Array, count: int, generator: np.random.Generator) -> Index:
    """Draw places by weight with the least noise: one uniform number, evenly spaced."""
    places = (generator.random() + np.arange(count)) / count
    at: Index = np.minimum(np.searchsorted(np.cumsum(share), places), len(share) - 1)
    return at
