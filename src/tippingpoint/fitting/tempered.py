r"""``--law auto``: an average over exponents for learning curves, made to extrapolate.

Two laws, each a straight line in its own z once the exponent c is fixed:

.. math:: z = E + b\,(x/x_{max})^{-c}, \qquad z = y \quad\text{or, for error rates, the odds}\quad z = y / (1 - y)

For each exponent of a grid, floor E and coefficient b are solved for exactly, with weights (x/x_max)^p on squared log
residuals: what lies far below the end of the curve says little about what comes. Predictions are averaged in log y
over the exponents with weights

.. math:: q(c) \propto S(c)^{-\kappa n_e / 2}\; e^{-(\log(c/m)/s)^2 / 2}, \qquad
          n_e = \Bigl(\sum w\Bigr)^2 / \sum w^2,

S the weighted mean squared log residual, over exponents that leave room for a floor above 0 (a smaller exponent fits
worse than the pure power law and survives tempering all the same). Then the two laws are averaged.

Symbols: n points, T new sizes, J exponents. All five constants of :class:`Tempering` were chosen by looking at curves;
``benchmarks/extrapolation.py`` chooses them again without the data set that is scored, and its docstring counts what
was tried. The tempering kappa is for extrapolation alone: intervals of parameters need none. Where a curve is known to
follow one law with independent noise, that law by its name (``--law m2``) extrapolates better than this average.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.curves.law import Array

__all__ = ["EXPONENTS", "Grid", "Tempering", "average", "exponent_weights", "solve_grid"]

Mask = NDArray[np.bool_]

EXPONENTS: Array = np.geomspace(0.03, 5.0, 48)
_TINY = 1e-12  # below it a prediction (in units of the curve), a misfit or a variance counts as this
_HUGE = 1e200


class Tempering(NamedTuple):
    """The constants of the average.

    Attributes
    ----------
    recency : float
        p: weights are (x/x_max)^p; a point at half the largest size weighs 2^-p.
    effective : float
        p is lowered until the weights are worth at least this many points n_e.
    temper : float
        kappa: the share of the likelihood that is believed.
    median, spread : float
        m and s of the exponent's log-normal prior.
    """

    recency: float = 3.0
    effective: float = 5.5
    temper: float = 0.1
    median: float = 0.7
    spread: float = 0.5


class Grid(NamedTuple):
    """One law solved for every exponent.

    Attributes
    ----------
    floor, coefficient : ndarray, shape (J,)
        E and b in units of ``unit``.
    misfit : ndarray, shape (J,)
        S, weighted mean squared log residual.
    allowed : ndarray of bool, shape (J,)
        Exponents that leave room for a floor.
    effective : float
        n_e.
    largest : float
        x_max.
    unit : float
        Geometric mean of z over the curve's points.
    odds : bool
        Whether z is the odds.
    """

    floor: Array
    coefficient: Array
    misfit: Array
    allowed: Mask
    effective: float
    largest: float
    unit: float
    odds: bool

    def log_predictions(self, x: Array) -> Array:
        """Return log y by every exponent at sizes (T,), shape (J, T)."""
        result: Array = np.log(_back(self.floor, self.coefficient, _powers(x, self.largest), self.unit, self.odds))
        return result


def solve_grid(x: Array, y: Array, recency: float, effective: float, odds: bool) -> Grid:
    """Solve one law for every exponent.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Sizes above 0, at least two different ones.
    y : ndarray, shape (n,)
        Scores above 0; with ``odds`` none above 1, and some below (a score of 1 has weight 0: its odds are infinite).
    recency, effective : float
        See :class:`Tempering`.
    odds : bool
        Whether the law is one of y / (1 - y).
    """
    weight = _recent(x, recency, effective)
    powers = _powers(x, float(x.max()))
    scaled = 1 - y if odds else np.ones_like(y)  # d log y / d z, times z
    used = scaled > 0
    logs = np.log(y[used]) - (np.log1p(-y[used]) if odds else 0.0)  # log z
    unit = float(np.exp(np.mean(logs)))
    slope = np.zeros_like(y)  # d log y / d z, z in units of ``unit``
    slope[used] = scaled[used] / np.exp(logs - np.mean(logs))
    floor, coefficient, clipped = _solve(weight, powers, slope, scaled)
    fitted = _back(floor, coefficient, powers, unit, odds)
    misfit = np.sum(weight * np.log(fitted / y) ** 2, axis=1) + _TINY
    return Grid(
        floor, coefficient, misfit, _allowed(clipped, misfit), float(1 / np.sum(weight**2)), float(x.max()), unit, odds
    )


def exponent_weights(grid: Grid, tempering: Tempering) -> Array:
    """Return q, shape (J,), summing to 1."""
    likelihood = -tempering.temper * grid.effective / 2 * np.log(grid.misfit)
    prior = -0.5 * (np.log(EXPONENTS / tempering.median) / tempering.spread) ** 2
    logs = np.where(grid.allowed, likelihood + prior, -np.inf)
    weights = np.exp(logs - logs.max())
    result: Array = weights / weights.sum()
    return result


def average(grids: list[Grid], tempering: Tempering, x: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of log y over laws and exponents at sizes (T,), (T,) each."""
    weights = np.concatenate([exponent_weights(grid, tempering) for grid in grids]) / len(grids)
    logs = np.concatenate([grid.log_predictions(x) for grid in grids])
    mean = weights @ logs
    spread = np.sqrt(np.maximum(weights @ (logs - mean) ** 2, 0.0))
    return mean, spread


def _recent(x: Array, recency: float, effective: float) -> Array:
    """Return weights (n,) that sum to 1: (x/x_max)^p with the largest p that keeps n_e at ``effective`` (or at n)."""
    logs = np.log(x / x.max())
    powers = np.linspace(recency, 0.0, 41)
    weights = np.exp(powers[:, None] * logs)
    weights /= weights.sum(axis=1, keepdims=True)
    enough = 1 / np.sum(weights**2, axis=1) >= min(effective, len(x)) - 1e-9
    result: Array = weights[int(np.argmax(enough))]
    return result


def _solve(weight: Array, powers: Array, slope: Array, scaled: Array) -> tuple[Array, Array, Mask]:
    """Return floor, coefficient (J,) and where the floor would be negative; least squares in slope * z, both >= 0."""
    largest = slope.max()
    slope = slope / largest  # so that no square overflows
    scaled = scaled / largest
    v = weight * slope**2
    total = v.sum()
    mean_p = powers @ v / total
    mean_z = np.sum(weight * slope * scaled) / total
    centred = powers - mean_p[:, None]
    variance = centred**2 @ v
    usable = variance > _TINY * (powers**2 @ v)
    slopes = np.where(usable, centred @ (weight * slope * scaled) / np.where(usable, variance, 1.0), 0.0)
    coefficient = np.maximum(slopes, 0.0)
    floor = mean_z - coefficient * mean_p
    clipped = floor < 0
    alone = powers @ (weight * slope * scaled) / np.maximum(powers**2 @ v, 1e-300)
    return np.where(clipped, 0.0, floor), np.where(clipped, alone, coefficient), clipped


def _allowed(clipped: Mask, misfit: Array) -> Mask:
    """Return which exponents count: those with a floor, and the largest without; if none has, the best fitting."""
    allowed: Mask = ~clipped
    if not allowed.any():
        allowed[int(np.argmin(misfit))] = True
    first = int(np.argmax(allowed))
    allowed[max(first - 1, 0)] = True
    return allowed


def _powers(x: Array, largest: float) -> Array:
    """Return (x / x_max)^-c, shape (J, T), cut where it would overflow."""
    result: Array = np.exp(np.clip(-EXPONENTS[:, None] * np.log(x / largest), -300.0, 300.0))
    return result


def _back(floor: Array, coefficient: Array, powers: Array, unit: float, odds: bool) -> Array:
    """Return y, shape (J, n), from z = unit (floor + coefficient powers)."""
    with np.errstate(over="ignore"):
        z = np.clip(floor[:, None] + coefficient[:, None] * powers, _TINY, _HUGE) * unit
        result: Array = z / (1 + z) if odds else z
    return np.clip(result, 1e-300, 1e300)
