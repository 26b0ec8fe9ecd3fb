r"""Fit an additive power law to arrays: the same answer from every start, because none is needed.

Notation: n runs, k axes, p = 1 + 2k parameters, R sets of weights.

.. math:: f(x) = E + \sum_j c_j x_j^{-e_j}, \qquad E, c_j \ge 0,\; 0 \le e_j \le e_{max}

A grid of exponents, solved exactly (:mod:`tippingpoint.fitting.search`), gives the basins; Newton with analytic
derivatives (:mod:`tippingpoint.fitting.polish`) ends in each; the lowest is the fit. Inside, every axis is divided by
its geometric mean and y by its own, so that units change nothing but units.

Deliberately not built: negative coefficients. A law whose error rises with an axis is another law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.objectives import Objective, objective_named
from tippingpoint.fitting.polish import Polished, curve, polish
from tippingpoint.fitting.search import MOST_AXES, exponent_grid, grid_starts, solve_grid
from tippingpoint.fitting.status import StatusInput, status_of

__all__ = ["BELOW", "MAX_EXPONENT", "AdditiveSolution", "Refits", "check_arrays", "fit_additive", "refit_additive"]

Array = NDArray[np.float64]

MAX_EXPONENT = 10.0
_EFFORT = 1000  # runs x starts at search=1: few runs have many local minima, and cost little
_STARTS = (1, 64)  # least and greatest number of starts, the grid's own minima apart
_ROUNDS = ((12, 6), (25, 2), (150, 1))  # (Newton steps, how many go on): stragglers far behind are let go
_LEAST_Y = 1e-100  # relative to the greatest y: smaller ones would overflow the weights 1/y^2
CUSTOMARY_EXPONENT = 0.7  # held where two sizes cannot tell an exponent: the middle of those published
BELOW = 0.98  # of the ceiling of rates: what starts that end above it are scaled to
NO_WORSE = 1e-6  # relative: a held exponent stays unless freeing it gains more than this


@dataclass(frozen=True)
class AdditiveSolution:
    """A fitted additive power law, in raw units.

    Attributes
    ----------
    floor : float
        E, in units of y.
    coefficients : ndarray, shape (k,)
        c_j, in units of y times (axis unit)^exponent; 0 for a term that is not there.
    exponents : ndarray, shape (k,)
        e_j, no unit; 0 for a term that is not there.
    objective : float
        The sum that was minimised.
    status : str
        ``converged``, ``bound hit``, ``unidentified`` or ``too few runs``: the first that applies, worst first.
    reasons : tuple of str
        One sentence for each thing that is not as it should be; axes are named by position (``axis 0``).
    reference : ndarray, shape (k,)
        Geometric mean of each axis: ``coefficients * reference**-exponents`` are the terms there.
    held : ndarray of bool, shape (k,)
        Exponents kept at a customary value because the axis has only two sizes.
    constant : ndarray of bool, shape (k,)
        Axes with one size, whose term cannot be told from the floor and is part of it.
    max_exponent : float
        The upper bound of the exponents.
    """

    floor: float
    coefficients: Array
    exponents: Array
    objective: float
    status: str
    reasons: tuple[str, ...]
    reference: Array
    held: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    max_exponent: float

    @property
    def n_parameters(self) -> int:
        """Floor, and a coefficient and an exponent for each axis that has several sizes; held exponents are none."""
        return 1 + 2 * int((~self.constant).sum()) - int(self.held.sum())

    def predict(self, sizes: ArrayLike) -> Array:
        """Return f at sizes of shape (..., k), in units of y."""
        logs = np.log(np.asarray(sizes, dtype=float) / self.reference)
        terms = self.coefficients * self.reference**-self.exponents * np.exp(-self.exponents * logs)
        result: Array = self.floor + terms.sum(axis=-1)
        return result


class Refits(NamedTuple):
    """What :func:`refit_additive` returns: one row for each set of weights, in raw units.

    Attributes
    ----------
    floor : ndarray, shape (R,)
    coefficients : ndarray, shape (R, k)
    exponents : ndarray, shape (R, k)
    objective : ndarray, shape (R,)
    converged : ndarray of bool, shape (R,)
    """

    floor: Array
    coefficients: Array
    exponents: Array
    objective: Array
    converged: NDArray[np.bool_]


class _Scaled(NamedTuple):
    """The data without units; only axes with more than one size are in ``logs``."""

    logs: Array
    y: Array
    weights: Array
    y_unit: float
    reference: Array
    moving: NDArray[np.intp]
    held: Array  # exponents of the moving axes that have two sizes only, NaN for the others


@np.errstate(all="ignore")
def fit_additive(
    sizes: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    objective: str = "huber-log",
    huber_delta: float = 1e-3,
    max_exponent: float = MAX_EXPONENT,
    start: AdditiveSolution | None = None,
    search: int = 1,
) -> AdditiveSolution:
    """Fit floor, coefficients and exponents by a deterministic global search.

    Parameters
    ----------
    sizes : array_like, shape (n, k)
        Sizes of the runs, one column an axis, above 0; k <= 6.
    y : array_like, shape (n,)
        Error or loss of each run: above 0 for objectives on logs, from 0 to 1 for ``binomial``.
    weights : array_like, shape (n,), optional
        Multiplicity of each run; 1 by default. Runs of weight 0 do not count at all.
    objective : {"huber-log", "log", "squares", "binomial"}
        See :mod:`tippingpoint.fitting.objectives`; the weighted *sum* over runs is minimised.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    max_exponent : float, default 10
        Upper bound of each exponent; a fit that ends there says ``bound hit``.
    start : AdditiveSolution, optional
        A fit of nearly the same data: it is polished alone, and the search runs only if that does not converge.
    search : int, default 1
        More effort: the grid of every level up to this one is searched, so that more never gives less.

    Returns
    -------
    AdditiveSolution

    Raises
    ------
    FitError
        The arrays do not fit together, are not finite, or are not positive where they must be.
    """
    chosen = objective_named(objective, huber_delta)
    data = _scale(*check_arrays(sizes, y, weights, chosen, max_exponent), max_exponent)
    chosen = chosen.scaled(data.y_unit)
    best: Polished | None = None
    if start is not None:
        own = data._replace(held=_held_in(start, data))
        theta = _from_solution(start, data)[None]
        best = polish(theta, data.logs, data.y, data.weights[None], chosen, max_exponent, held=~np.isnan(own.held))
    if best is None or not best.converged[0]:
        best = _search(data, chosen, max_exponent, search)
    return _report(best, data, chosen, max_exponent)


@np.errstate(all="ignore")
def refit_additive(
    sizes: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike,
    start: AdditiveSolution,
    *,
    objective: str = "huber-log",
    huber_delta: float = 1e-3,
    max_exponent: float = MAX_EXPONENT,
) -> Refits:
    """Fit the same runs under many sets of weights at once, from a fit of all of them.

    Parameters
    ----------
    sizes, y
        As for :func:`fit_additive`.
    weights : array_like, shape (R, n)
        One row of multiplicities for each refit.
    start : AdditiveSolution
        The fit of these runs; its held and missing terms stay held and missing.
    objective, huber_delta, max_exponent
        As for :func:`fit_additive`.

    Returns
    -------
    Refits
        Problems that do not converge from the start are searched globally, each by itself. With ``huber-log`` and
        few runs a refit may end in a local minimum next to the global one: the tests compare the objectives of twelve
        refits of one small study with those of searches of their own, and hold them to a relative 0.05 (1e-7 for
        ``log`` and ``squares``).

    Raises
    ------
    FitError
        As :func:`fit_additive`; also where a row of weights is zero throughout.
    """
    chosen = objective_named(objective, huber_delta)
    rows = np.atleast_2d(np.asarray(weights, dtype=float))
    size, target, _ = check_arrays(sizes, y, None, chosen, max_exponent)
    if rows.shape[1] != len(target) or not (np.isfinite(rows).all() and (rows >= 0).all() and (rows.sum(1) > 0).all()):
        raise FitError("weights must have one column a run, be finite and not negative, and not be 0 in a whole row.")
    data = _scale(size, target, np.ones(len(target)), max_exponent)
    data = data._replace(held=_held_in(start, data))
    chosen = chosen.scaled(data.y_unit)
    own = np.tile(_from_solution(start, data), (len(rows), 1))
    done = polish(own, data.logs, data.y, rows, chosen, max_exponent, held=~np.isnan(data.held))
    for row in np.flatnonzero(~done.converged):
        again = _search_level(data._replace(weights=rows[row]), chosen, max_exponent, 1)
        if again.value[0] <= done.value[row]:
            for whole, part in zip(done, again, strict=True):
                whole[row] = part[0]
    floor, coefficients, exponents = _raw(done.theta, data)
    return Refits(floor, coefficients, exponents, done.value * chosen.in_units(data.y_unit), done.converged)


def check_arrays(
    sizes: ArrayLike, y: ArrayLike, weights: ArrayLike | None, objective: Objective, max_exponent: float
) -> tuple[Array, Array, Array]:
    """Return the three arrays as floats, or raise FitError with every fault."""
    try:
        size, target = np.asarray(sizes, dtype=float), np.asarray(y, dtype=float)
        weight = np.ones(target.shape) if weights is None else np.asarray(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise FitError(f"Sizes, y and weights must be numbers ({error}).") from error
    if size.ndim != 2 or target.ndim != 1 or len(size) != len(target) or weight.shape != target.shape:
        shapes = f"{size.shape}, {target.shape}, {weight.shape}"
        raise FitError(f"Shapes must be (n, k), (n,), (n,) for sizes, y, weights; they are {shapes}.")
    faults = []
    if not 1 <= size.shape[1] <= MOST_AXES:
        faults.append(f"A law has 1 to {MOST_AXES} axes, not {size.shape[1]}.")
    if not (np.isfinite(size).all() and (size > 0).all()):
        faults.append("Sizes must be finite and above 0.")
    if not np.isfinite(target).all():
        faults.append("y must be finite.")
    elif objective.on_rates:
        faults += _rate_faults(target, weight)
    elif objective.on_logs and not (target > 0).all():
        faults.append(f"y must be above 0 for '{objective.name}', which works on logarithms; 'squares' takes any.")
    elif objective.on_logs and len(target) and target.min() < target.max() * _LEAST_Y:
        faults.append("y spans more than 100 orders of magnitude, which no law can follow; check its smallest values.")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        faults.append("Weights must be finite and not negative, and at least one run must count.")
    if not 0 < max_exponent <= 100:
        faults.append(f"max_exponent is {max_exponent}; it must be above 0 and at most 100.")
    if faults:
        raise FitError(faults)
    return size, target, weight


def _rate_faults(y: Array, weights: Array) -> list[str]:
    """Return what keeps y from being rates that a law can follow."""
    if not ((y >= 0) & (y <= 1)).all():
        return ["y must be from 0 to 1 for 'binomial', which is for error rates; 'log' takes any y above 0."]
    counted = y[weights > 0]
    if len(counted) and (counted.max() <= 0 or counted.min() >= 1):
        return [f"Every rate is {counted[0]:g}, so that there is nothing to fit."]
    return []


def _scale(sizes: Array, y: Array, weights: Array, max_exponent: float) -> _Scaled:
    """Take the units away; only runs of positive weight decide references and distinct sizes."""
    counted = weights > 0
    log_sizes = np.log(sizes)
    reference = np.exp(log_sizes[counted].mean(axis=0))
    distinct = np.array([len(np.unique(column)) for column in sizes[counted].T])
    moving = np.flatnonzero(distinct > 1)
    unit = float(np.abs(y[counted]).mean()) or 1.0
    logs = (log_sizes - np.log(reference))[:, moving]
    held = np.where(distinct[moving] == 2, min(CUSTOMARY_EXPONENT, max_exponent), np.nan)
    return _Scaled(logs[counted], y[counted] / unit, weights[counted], unit, reference, moving, held)


def _search(data: _Scaled, objective: Objective, max_exponent: float, search: int) -> Polished:
    """Return the best of all starts.

    Two sizes of an axis fix only a difference, which every exponent can meet that leaves the floor above 0: the
    smallest that does so is held, from the customary one upwards.
    """
    best = _search_levels(data, objective, max_exponent, search)
    two_sized = ~np.isnan(data.held)
    while two_sized.any() and best.theta[0, 0] <= 0 and (data.held[two_sized] < max_exponent).all():
        data = data._replace(held=np.minimum(data.held * 2, max_exponent))
        other = _search_levels(data, objective, max_exponent, search)
        if other.value[0] < best.value[0] * (1 - NO_WORSE) - 1e-20 * data.weights.sum():
            best = other
    return best


def _search_levels(data: _Scaled, objective: Objective, max_exponent: float, search: int) -> Polished:
    """Return the best over the grids of every level up to ``search``, as one row."""
    tried = [_search_level(data, objective, max_exponent, level) for level in range(1, max(1, search) + 1)]
    return min(tried, key=lambda one: float(one.value[0]))


def _search_level(data: _Scaled, objective: Objective, max_exponent: float, level: int) -> Polished:
    k = len(data.moving)
    grid = exponent_grid(k, max_exponent, level) if k else np.empty(0)
    grids = [grid if np.isnan(fixed) else np.array([fixed]) for fixed in data.held]
    weights = data.weights / objective.guessed_variance(data.y)
    theta, loss = solve_grid(data.logs, data.y, weights, grids)
    crooked = np.isfinite(objective.delta)  # Huber's loss; the smooth ones have few local minima
    count = level * int(np.clip(_EFFORT // len(data.y) if crooked else 0, *_STARTS))
    starts = grid_starts(theta, loss, grids, count)
    starts[starts[:, : 1 + k].sum(axis=1) <= 0, 0] = 1e-9  # a logarithm needs something to stand on
    if objective.on_rates:
        highest = curve(starts, data.logs)[0].max(axis=1)
        starts[:, : 1 + k] *= np.minimum(1.0, BELOW * objective.ceiling / highest)[:, None]
    for iterations, kept in _ROUNDS:
        done = polish(
            starts,
            data.logs,
            data.y,
            data.weights[None],
            objective,
            max_exponent,
            held=~np.isnan(data.held),
            iterations=iterations,
        )
        best = np.argsort(done.value, kind="stable")
        if done.converged.all():
            break
        starts = done.theta[best[: kept * level]]
    at = best[:1]
    return Polished(done.theta[at], done.value[at], done.converged[at])


def _from_solution(start: AdditiveSolution, data: _Scaled) -> Array:
    """Return a solution as a scaled theta of these data's moving axes."""
    if len(start.exponents) != len(data.reference):
        raise FitError(f"The start has {len(start.exponents)} axes and the sizes have {len(data.reference)}.")
    at = data.moving
    exponents = start.exponents[at]
    floor = start.floor + (start.coefficients * data.reference**-start.exponents)[_others(at, data)].sum()
    linear = start.coefficients[at] * data.reference[at] ** -exponents
    return np.concatenate([[floor], linear, exponents * data.y_unit]) / data.y_unit


def _held_in(start: AdditiveSolution, data: _Scaled) -> Array:
    """Return the exponents that a fit holds, NaN where they are free."""
    held: Array = np.where(start.held, start.exponents, np.nan)[data.moving]
    return held


def _others(moving: NDArray[np.intp], data: _Scaled) -> NDArray[np.intp]:
    return np.setdiff1d(np.arange(len(data.reference)), moving)


def _raw(theta: Array, data: _Scaled) -> tuple[Array, Array, Array]:
    """Return floor (R,), coefficients (R, k), exponents (R, k) in raw units, absent terms as 0."""
    k, inner = len(data.reference), len(data.moving)
    coefficients, exponents = np.zeros((len(theta), k)), np.zeros((len(theta), k))
    exponents[:, data.moving] = theta[:, 1 + inner :]
    terms = theta[:, 1 : 1 + inner] * data.y_unit
    coefficients[:, data.moving] = terms * data.reference[data.moving] ** exponents[:, data.moving]
    exponents[coefficients == 0] = 0.0
    return theta[:, 0] * data.y_unit, coefficients, exponents


def _report(best: Polished, data: _Scaled, objective: Objective, max_exponent: float) -> AdditiveSolution:
    """Put a scaled theta into raw units and say what state the fit is in."""
    floor, coefficients, exponents = _raw(best.theta, data)
    moving, inner = data.moving, len(data.moving)
    held = np.zeros(len(data.reference), dtype=bool)
    held[moving] = ~np.isnan(data.held) & (best.theta[0, 1 : 1 + inner] > 0)
    constant = np.ones(len(data.reference), dtype=bool)
    constant[moving] = False
    design = StatusInput(best.theta[0], data.logs, data.weights, moving, held, constant, max_exponent)
    status, reasons = status_of(design, settled=bool(best.converged[0]))
    return AdditiveSolution(
        float(floor[0]),
        coefficients[0],
        exponents[0],
        float(best.value[0]) * objective.in_units(data.y_unit),
        status,
        reasons,
        data.reference,
        held,
        constant,
        max_exponent,
    )
