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

_FEW = 5  # unknowns up to which every support is tried
_EXCHANGES = 100
_BLOCKS = 3  # exchanges of all faults at once that may fail to lessen them, before one is exchanged at a time
_SLACK = 1e-12  # by which an optimality condition may fail, in units of the target
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
        solve = _try_supports if m <= _FEW else _exchange
        solution[open_] = solve(unit[open_], target[open_])
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


def _exchange(gram: Array, right: Array) -> Array:
    """Return the solutions, exchanging between support and its complement whatever is on the wrong side."""
    rows, m = right.shape
    support = np.ones((rows, m), dtype=bool)
    found = np.zeros_like(right)
    fewest, patience = np.full(rows, m + 1), np.full(rows, _BLOCKS)
    at = np.arange(rows)
    slack = _SLACK * np.abs(right).max(axis=1, keepdims=True)
    for _ in range(_EXCHANGES):
        solution, pull = _on_supports(gram[at], right[at], support[at])
        wrong = np.where(support[at], solution < -slack[at], pull > slack[at])
        faults = wrong.sum(axis=1)
        found[at[faults == 0]] = np.maximum(solution[faults == 0], 0.0)
        at, wrong, faults = at[faults > 0], wrong[faults > 0], faults[faults > 0]
        if not len(at):
            return found
        better = faults < fewest[at]
        fewest[at[better]], patience[at[better]] = faults[better], _BLOCKS
        patience[at[~better]] -= 1
        last = m - 1 - np.argmax(wrong[:, ::-1], axis=1)
        single = np.arange(m) == last[:, None]  # the last fault alone: Murty's rule, which never cycles
        support[at] ^= np.where((better | (patience[at] >= 0))[:, None], wrong, single)
    found[at] = _try_supports(gram[at], right[at])  # rounding kept two columns changing places
    return found


def _on_supports(gram: Array, right: Array, support: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the free solution of every problem on its own support, and the pull h - Gx on every unknown."""
    m = right.shape[1]
    inner = np.where(support[:, :, None] & support[:, None, :], gram, 0.0)
    inner[:, range(m), range(m)] += np.where(support, _RIDGE, 1.0)
    solution: Array = np.linalg.solve(inner, np.where(support, right, 0.0)[..., None])[..., 0]
    return solution, right - np.einsum("tij,tj->ti", gram, solution)
