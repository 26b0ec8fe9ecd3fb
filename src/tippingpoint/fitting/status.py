"""What state a fit is in, said before any number is shown.

``too few runs`` before ``unidentified`` before ``bound hit`` before ``converged``: the worst that applies is the
status, and every reason is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATUSES", "StatusInput", "of_axes", "status_of"]

Array = NDArray[np.float64]

STATUSES = ("too few runs", "unidentified", "bound hit", "converged")
_ALIKE = 0.999  # correlation of two axes' log sizes from which their terms are one
_SINGULAR = 1e-8  # smallest over largest singular value of the unit-length columns of the design


class StatusInput(NamedTuple):
    """A fit without units.

    Attributes
    ----------
    theta : ndarray, shape (1 + 2k',)
        Floor, coefficients and exponents of the k' axes with more than one size.
    logs : ndarray, shape (n, k')
        Log sizes over references.
    weights : ndarray, shape (n,)
        Multiplicities.
    moving : ndarray of int, shape (k',)
        Which of the k axes these are.
    held, constant : ndarray of bool, shape (k,)
        Axes whose exponent is held at a customary value, and axes with a single size.
    max_exponent : float
        Upper bound of the exponents.
    """

    theta: Array
    logs: Array
    weights: Array
    moving: NDArray[np.intp]
    held: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    max_exponent: float


def status_of(fit: StatusInput, *, settled: bool) -> tuple[str, tuple[str, ...]]:
    """Return the status and one sentence for each thing that is not as it should be.

    Parameters
    ----------
    fit : StatusInput
        The fit.
    settled : bool
        Whether the last Newton step was below its tolerance.

    Returns
    -------
    status : str
        One of :data:`STATUSES`.
    reasons : tuple of str
        Axes are named ``axis 0``, ``axis 1``, …; laws put the names in.
    """
    found = [*_too_few(fit), *_unidentified(fit), *_at_bounds(fit)]
    if not settled:
        found.append(("unidentified", "The search did not come to rest; the data hardly constrain the parameters."))
    status = min((state for state, _ in found), key=STATUSES.index, default="converged")
    return status, tuple(reason for _, reason in found)


def _too_few(fit: StatusInput) -> list[tuple[str, str]]:
    points = len(np.unique(fit.logs, axis=0)) if len(fit.moving) else 1
    needed = 1 + 2 * len(fit.moving) - int(fit.held.sum())
    if points >= needed:
        return []
    return [("too few runs", f"{points} distinct combinations of sizes cannot determine {needed} parameters.")]


def of_axes(fit: StatusInput) -> list[str]:
    """Return what the sizes alone leave untold: axes with one or two of them, and pairs that grow together."""
    return [*_few_sizes(fit), *_proportional(fit)]


def _few_sizes(fit: StatusInput) -> list[str]:
    found = []
    k = len(fit.moving)
    for axis in np.flatnonzero(fit.constant):
        found.append(f"axis {axis} has a single size: its term cannot be told from the floor and is counted in it.")
    for axis in np.flatnonzero(fit.held):
        found.append(
            f"axis {axis} has two sizes: only the difference between them is known, not exponent and coefficient both; "
            f"the exponent is held at {fit.theta[1 + k + int(np.searchsorted(fit.moving, axis))]:g}."
        )
    return found


def _unidentified(fit: StatusInput) -> list[tuple[str, str]]:
    found = _few_sizes(fit)
    k = len(fit.moving)
    for place in np.flatnonzero(fit.theta[1 : 1 + k] <= 0):
        found.append(f"axis {fit.moving[place]} has no falling term (coefficient 0), so that its exponent is unknown.")
    found += _proportional(fit)
    if not found and _is_singular(fit):
        found.append("Several parameters trade off without changing a fitted value: the sizes do not tell them apart.")
    return [("unidentified", sentence) for sentence in found]


def _proportional(fit: StatusInput) -> list[str]:
    """Name the pairs of axes that grow together, whose terms nothing but curvature could tell apart."""
    k = len(fit.moving)
    if k < 2:
        return []
    centred = fit.logs - np.average(fit.logs, axis=0, weights=fit.weights)
    cross = (centred * fit.weights[:, None]).T @ centred
    length = np.sqrt(np.diag(cross))
    alike = np.abs(cross / np.outer(length, length))
    return [
        f"axis {fit.moving[a]} and axis {fit.moving[b]} grow in proportion in these runs (correlation of logs "
        f"{alike[a, b]:.4f}): their terms cannot be told apart; add runs that vary one alone."
        for a in range(k)
        for b in range(a + 1, k)
        if alike[a, b] > _ALIKE
    ]


def _at_bounds(fit: StatusInput) -> list[tuple[str, str]]:
    k = len(fit.moving)
    found = []
    for place in np.flatnonzero(fit.theta[1 + k :] >= fit.max_exponent * (1 - 1e-9)):
        found.append(f"axis {fit.moving[place]}: the exponent is at its upper bound {fit.max_exponent:g}.")
    if fit.theta[0] <= 0:
        found.append("The floor is at its lower bound 0: no irreducible part shows in these runs.")
    return [("bound hit", sentence) for sentence in found]


def _is_singular(fit: StatusInput) -> bool:
    """Whether two directions of the free parameters change the fitted values alike."""
    k = len(fit.moving)
    powers = np.exp(-fit.theta[1 + k :] * fit.logs)
    slopes = -fit.theta[1 : 1 + k] * fit.logs * powers
    free = ~fit.held[fit.moving]
    design = np.column_stack([np.ones(len(fit.logs)), powers, slopes[:, free]]) * np.sqrt(fit.weights)[:, None]
    length = np.linalg.norm(design, axis=0)
    if (length == 0).any() or len(design) < design.shape[1]:
        return True
    values = np.linalg.svd(design / length, compute_uv=False)
    return bool(values[-1] < _SINGULAR * values[0])
