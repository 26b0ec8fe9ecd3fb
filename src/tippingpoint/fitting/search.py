r"""Where to start: exponents on a grid, everything else solved exactly (variable projection).

For fixed exponents the law is linear in floor and coefficients, so that a whole grid of exponent tuples is solved at
once: the inner products of two axes' powers over all pairs of exponents are one matrix product, and each tuple's
non-negative least-squares problem is solved exactly (:mod:`tippingpoint.fitting.nnls`). Objectives on logs are met by
weights 1/y^2 (log f - log y is (f - y)/y to first order). Local minima of the grid become starts of the polish.

Notation: n runs, k axes, T tuples of exponents, m = 1 + k unknowns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.nnls import solve_nonnegative
from tippingpoint.fitting.polish import HIGHEST

__all__ = ["exponent_grid", "grid_starts", "solve_grid"]

Array = NDArray[np.float64]

_LEAST = 0.02  # a smaller exponent is a straight line in log size over any data there are
_MINIMA = 8  # local minima of the grid that are always tried
_POINTS = {1: 48, 2: 22, 3: 11, 4: 7, 5: 5, 6: 4}  # an axis, at search=1
MOST_AXES = 6


def exponent_grid(k: int, max_exponent: float, search: int = 1) -> Array:
    """Return the log-spaced exponents tried on each of k axes; ``search`` multiplies their number."""
    return np.geomspace(min(_LEAST, max_exponent / 2), max_exponent, _POINTS[k] * search)


def solve_grid(logs: Array, y: Array, weights: Array, grids: Sequence[Array]) -> tuple[Array, Array]:
    """Solve floor and coefficients for every tuple of exponents.

    Parameters
    ----------
    logs : ndarray, shape (n, k)
        Log of size over reference.
    y, weights : ndarray, shape (n,)
        Observations and the weights of their squared residuals.
    grids : sequence of k ndarrays
        Exponents tried on each axis.

    Returns
    -------
    theta : ndarray, shape (T, 1 + 2k)
        Floor, coefficients, exponents; tuples in C order.
    loss : ndarray, shape (T,)
        Weighted sum of squared residuals.
    """
    k = logs.shape[1]  # powers: (q, n) each
    powers = [np.exp(np.minimum(-np.outer(grid, column), HIGHEST)) for grid, column in zip(grids, logs.T, strict=True)]
    total = int(np.prod([len(grid) for grid in grids]))
    index = np.indices([len(grid) for grid in grids]).reshape(k, total)
    gram = np.empty((total, 1 + k, 1 + k))
    right = np.empty((total, 1 + k))
    gram[:, 0, 0] = weights.sum()
    right[:, 0] = weights @ y
    for a in range(k):
        weighted = powers[a] * weights
        gram[:, 0, 1 + a] = gram[:, 1 + a, 0] = weighted.sum(axis=1)[index[a]]
        gram[:, 1 + a, 1 + a] = np.einsum("qn,qn->q", weighted, powers[a])[index[a]]
        right[:, 1 + a] = (weighted @ y)[index[a]]
        for b in range(a):
            inner = weighted @ powers[b].T
            gram[:, 1 + a, 1 + b] = gram[:, 1 + b, 1 + a] = inner[index[a], index[b]]
    linear, gain = solve_nonnegative(gram, right)
    loss = np.maximum(weights @ (y * y) - gain, 0.0)
    exponents = [grid[row][:, None] for grid, row in zip(grids, index, strict=True)]
    return np.concatenate([linear, *exponents], axis=1), loss


def grid_starts(theta: Array, loss: Array, grids: Sequence[Array], count: int) -> Array:
    """Return starts from a solved grid: its best local minima (8 at most), and its ``count`` best tuples.

    With few runs and a loss like Huber's the objective has many local minima near the best tuples of the grid, which
    is why more than the grid's own minima are tried.
    """
    field = loss.reshape([len(grid) for grid in grids])
    low = np.ones_like(field, dtype=bool)
    for axis in range(len(grids)):
        ahead = np.diff(field, axis=axis)
        front, back = [slice(None)] * len(grids), [slice(None)] * len(grids)
        front[axis], back[axis] = slice(None, -1), slice(1, None)
        low[tuple(front)] &= ahead >= 0
        low[tuple(back)] &= ahead <= 0
    minima = np.flatnonzero(low.ravel())
    minima = minima[np.argsort(loss[minima], kind="stable")[:_MINIMA]]
    rest = np.setdiff1d(np.argsort(loss, kind="stable")[:count], minima, assume_unique=True)
    rest = rest[np.argsort(loss[rest], kind="stable")]
    chosen: Array = theta[np.concatenate([minima, rest])]
    return chosen
