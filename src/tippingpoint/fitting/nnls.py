"""Non-negative least squares of many small problems at once, exact, by trying every active set.

Notation: T problems, m unknowns (m <= 8), G (T, m, m) Gram matrices, h (T, m) right-hand sides, x (T, m) >= 0.
Each minimises x'Gx/2 - h'x. With so few unknowns the 2^m supports are cheaper than any iteration, and the answer does
not depend on where it starts.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["solve_bounded", "solve_nonnegative"]

Array = NDArray[np.float64]

_RIDGE = 1e-13  # relative to each column: keeps equal columns (an exponent of nearly zero) from dividing by zero


def solve_nonnegative(gram: Array, right: Array) -> tuple[Array, Array]:
    """Solve T non-negative least-squares problems given by their normal equations.

    Parameters
    ----------
    gram : ndarray, shape (T, m, m)
        Weighted inner products of the columns.
    right : ndarray, shape (T, m)
        Weighted inner products of the columns with the target.

    Returns
    -------
    solution : ndarray, shape (T, m)
        x >= 0.
    gain : ndarray, shape (T,)
        h'x = how much the solution takes off the weighted sum of squares of the target.
    """
    scale = np.sqrt(np.maximum(np.einsum("tii->ti", gram), np.finfo(float).tiny))
    unit = gram / (scale[:, :, None] * scale[:, None, :])
    target = right / scale
    m = gram.shape[1]
    solution = _solve_on(unit, target, tuple(range(m)))
    open_ = np.flatnonzero((solution < 0).any(axis=1))  # the others have found their optimum: the free one is feasible
    if len(open_):
        solution[open_] = _try_supports(unit[open_], target[open_])
    return solution / scale, np.einsum("tm,tm->t", target, solution)


def solve_bounded(gram: Array, right: Array, place: int, low: float, high: float) -> tuple[Array, Array]:
    """Solve T such problems in which one unknown lies between bounds of its own; the others are 0 or more.

    Parameters
    ----------
    gram, right : ndarray, shape (T, m, m) and (T, m)
        As for :func:`solve_nonnegative`.
    place : int
        Which unknown.
    low, high : float
        Its bounds, 0 <= low <= high; both may be the same.

    Returns
    -------
    solution : ndarray, shape (T, m)
    gain : ndarray, shape (T,)
        2h'x - x'Gx: how much the solution takes off the weighted sum of squares of the target.
    """
    if low == 0 and high == np.inf:
        return solve_nonnegative(gram, right)
    solution, _ = solve_nonnegative(gram, right - low * gram[:, :, place])
    solution[:, place] += low
    over = np.flatnonzero(solution[:, place] >= high)
    if len(over):  # a convex problem: where the bound is passed without it, it is where the solution lies
        others = np.delete(np.arange(gram.shape[1]), place)
        left = right[over[:, None], others] - high * gram[over[:, None], others, place]
        solution[over, place] = high
        solution[over[:, None], others] = solve_nonnegative(gram[over[:, None, None], others[:, None], others], left)[0]
    fitted = np.einsum("tij,tj->ti", gram, solution)
    return solution, np.einsum("ti,ti->t", 2 * right - fitted, solution)


def _solve_on(gram: Array, right: Array, support: tuple[int, ...]) -> Array:
    """Return the free solution on a support, zero elsewhere."""
    solution = np.zeros_like(right)
    if support:
        at = np.array(support)
        inner = gram[:, at[:, None], at] + _RIDGE * np.eye(len(at))
        solution[:, at] = np.linalg.solve(inner, right[:, at, None])[..., 0]
    return solution


def _try_supports(gram: Array, right: Array) -> Array:
    """Return the best feasible solution over all proper supports."""
    m = gram.shape[1]
    best = np.zeros_like(right)
    best_gain = np.zeros(len(right))
    for size in range(1, m):
        for support in combinations(range(m), size):
            trial = _solve_on(gram, right, support)
            gain = np.einsum("tm,tm->t", right, trial)
            better = (gain > best_gain) & (trial >= 0).all(axis=1)
            best[better], best_gain[better] = trial[better], gain[better]
    return best
