r"""Fit any law that is linear in its weights to arrays, without a start.

Shapes are laid out evenly over their usual ranges (an additive recurrence, no random numbers), the weights of each are
solved exactly (variable projection), and the best go down by Newton's method (:mod:`tippingpoint.fitting.descent`); the
lowest is the fit. A law that contains the additive one starts from its fit as well, so that it is never worse.

Notation: n runs, k axes, m weights, q shape parameters, R sets of multiplicities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import BELOW, check_arrays, fit_additive
from tippingpoint.fitting.descent import Descended, Problem, descend, values
from tippingpoint.fitting.nnls import solve_bounded
from tippingpoint.fitting.objectives import Objective, objective_named
from tippingpoint.fitting.status import STATUSES
from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.constrained import Constrained
from tippingpoint.laws.formula import Formula

__all__ = ["Refitted", "SurfaceSolution", "fit_surface", "lowered", "refit_surface"]

Array = NDArray[np.float64]

_LAYOUT = 384  # shapes laid out at search=1
_MOST_RUNS = 600  # of more runs, evenly chosen ones judge the layout; all of them fit
_ROUNDS = ((12, 6), (25, 2), (200, 1))  # (Newton steps, how many go on)
_STARTS = 16
_FIRST_DELTA = 0.05
_SINGULAR = 1e-8


@dataclass(frozen=True)
class SurfaceSolution:
    """A fitted law.

    Attributes
    ----------
    formula : Formula
    theta : ndarray, shape (m + q,)
        Weights and shape without units.
    log_reference : ndarray, shape (k,)
        Log of the geometric mean of each axis.
    y_unit : float
        What y was divided by.
    objective : float
        The sum that was minimised, in the units of y.
    status : str
        As of :class:`~tippingpoint.fitting.additive.AdditiveSolution`.
    reasons : tuple of str
        One sentence for each thing that is not as it should be.
    """

    formula: Formula
    theta: Array
    log_reference: Array
    y_unit: float
    objective: float
    status: str
    reasons: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        """Weights and shape parameters together, without those that were given."""
        return int((self.formula.low < self.formula.high).sum())

    @property
    def parameters(self) -> dict[str, float]:
        """Every parameter in raw units, by name."""
        return {name: float(column[0]) for name, column in self.raw(self.theta[None]).items()}

    def raw(self, theta: Array) -> dict[str, Array]:
        """Return parameters in raw units, (R,) each, of theta (R, m + q)."""
        m = len(self.formula.weights)
        return self.formula.raw(theta[:, :m] * self.y_unit, theta[:, m:], self.log_reference)

    @np.errstate(over="ignore")
    def predict(self, sizes: ArrayLike, theta: Array | None = None) -> Array:
        """Return f at sizes (points, k), shape (points,); with theta (R, m + q), shape (R, points)."""
        m = len(self.formula.weights)
        rows = self.theta[None] if theta is None else theta
        logs = np.log(np.asarray(sizes, dtype=float)) - self.log_reference
        features = self.formula.features(logs, rows[:, m:])
        found: Array = np.einsum("rm,rmn->rn", rows[:, :m], features) * self.y_unit
        return found[0] if theta is None else found


class Refitted(NamedTuple):
    """What :func:`refit_surface` returns: theta (R, m + q), converged (R,)."""

    theta: Array
    converged: NDArray[np.bool_]


class _Scaled(NamedTuple):
    logs: Array
    y: Array
    weights: Array
    log_reference: Array
    y_unit: float


@np.errstate(all="ignore")
def fit_surface(
    formula: Formula,
    sizes: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    objective: str = "huber-log",
    huber_delta: float = 1e-3,
    start: SurfaceSolution | None = None,
    search: int = 1,
) -> SurfaceSolution:
    """Fit a formula by a deterministic search.

    Parameters
    ----------
    formula : Formula
        The law.
    sizes : array_like, shape (n, k)
    y : array_like, shape (n,)
    weights : array_like, shape (n,), optional
        Multiplicities of the runs; those of 0 do not count at all.
    objective, huber_delta
        See :mod:`tippingpoint.fitting.objectives`.
    start : SurfaceSolution, optional
        A fit of the same runs under nearly the same weights: it goes down alone, and the search runs only if that does
        not come to rest.
    search : int, default 1
        More effort: the layout is this many times as long, and contains the shorter one.

    Returns
    -------
    SurfaceSolution

    Raises
    ------
    FitError
        As :func:`~tippingpoint.fitting.additive.fit_additive`.
    """
    chosen = objective_named(objective, huber_delta)
    size, target, weight = check_arrays(sizes, y, weights, chosen, formula.max_exponent)
    if size.shape[1] != len(formula.axes):
        raise FitError(f"The law has {len(formula.axes)} axes and the sizes have {size.shape[1]}.")
    data = _scale(size, target, weight)
    scaled, law = chosen.scaled(data.y_unit), formula.in_units(data.y_unit)
    if (law.low[: len(law.weights)] >= scaled.ceiling).any():
        raise FitError("The floor is 1 or more, and an error rate is below 1; lower its bound.")
    problem = Problem(law, data.logs, data.y[None], data.weights[None], scaled)
    best = None
    if start is not None:
        best = descend(start.theta[None], problem)
    if best is None or not best.converged[0]:
        nested = _nested(formula, size, target, weight, chosen, data)
        starts = np.concatenate([nested, _starts(law, data, scaled, search)])
        best = _race(lowered(starts, problem), problem, search)
        if len(nested) and np.isfinite(chosen.delta):  # the walk of delta leaves a good start, which may be the best
            straight = descend(lowered(nested, problem), problem)
            at = int(np.argmin(straight.value))
            if straight.value[at] < best.value[0]:
                row = slice(at, at + 1)
                best = Descended(straight.theta[row], straight.value[row], straight.converged[row])
    status, reasons = _status(law, best, data)
    value = float(best.value[0]) * scaled.in_units(data.y_unit)
    return SurfaceSolution(formula, best.theta[0], data.log_reference, data.y_unit, value, status, reasons)


@np.errstate(all="ignore")
def refit_surface(
    solution: SurfaceSolution,
    sizes: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike,
    *,
    objective: str = "huber-log",
    huber_delta: float = 1e-3,
) -> Refitted:
    """Fit the same runs under many sets of multiplicities, from a fit of all of them.

    Parameters
    ----------
    solution : SurfaceSolution
        Where to start.
    sizes, y
        As for :func:`fit_surface`.
    weights : array_like, shape (R, n)
        One row of multiplicities for each refit.
    objective, huber_delta
        As for the fit.

    Returns
    -------
    Refitted
    """
    chosen = objective_named(objective, huber_delta)
    size, target, _ = check_arrays(sizes, y, None, chosen, solution.formula.max_exponent)
    rows = np.atleast_2d(np.asarray(weights, dtype=float))
    logs = np.log(size) - solution.log_reference
    law, unit = solution.formula.in_units(solution.y_unit), solution.y_unit
    problem = Problem(law, logs, (target / unit)[None], rows, chosen.scaled(unit))
    done = descend(np.tile(solution.theta, (len(rows), 1)), problem)
    return Refitted(done.theta, done.converged)


def _scale(sizes: Array, y: Array, weights: Array) -> _Scaled:
    """Take the units away; runs of weight 0 are left out."""
    counted = weights > 0
    logs = np.log(sizes[counted])
    reference = logs.mean(axis=0)
    unit = float(np.abs(y[counted]).mean()) or 1.0
    return _Scaled(logs - reference, y[counted] / unit, weights[counted], reference, unit)


def _layout(formula: Formula, count: int) -> Array:
    """Return shapes (count, q) laid out evenly over their usual ranges: Roberts's additive recurrence."""
    q = len(formula.shapes)
    ratio = 2.0
    for _ in range(60):  # the root of x^(q+1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (q + 1))
    steps = ratio ** -np.arange(1.0, q + 1)
    unit = (0.5 + np.arange(1, count + 1)[:, None] * steps) % 1.0
    low, high = (np.array([shape.usual[end] for shape in formula.shapes]) for end in (0, 1))
    positive = low > 0
    logs = np.exp(np.log(np.where(positive, low, 1)) * (1 - unit) + np.log(np.where(positive, high, 1)) * unit)
    return np.where(positive, logs, low + (high - low) * unit)


def _starts(formula: Formula, data: _Scaled, objective: Objective, search: int) -> Array:
    """Return the best of the layout with their exact weights, shape (starts, m + q)."""
    shapes = _layout(formula, _LAYOUT * search)
    order = np.lexsort((data.y, *data.logs.T))
    some = order[:: max(1, len(order) // _MOST_RUNS)]
    logs, y, weights = data.logs[some], data.y[some], data.weights[some]
    weights = weights / objective.guessed_variance(y)
    thetas, losses = [], []
    for part in np.array_split(shapes, max(1, len(shapes) * len(some) // 100_000)):
        linear, loss_of_part = _exact_weights(formula, formula.features(logs, part), y, weights)
        thetas.append(np.concatenate([linear, part], axis=1))
        losses.append(loss_of_part)
    theta, loss = np.concatenate(thetas), np.nan_to_num(np.concatenate(losses), nan=np.inf)
    theta[~theta[:, : len(formula.weights)].any(axis=1), 0] = 1e-9  # a logarithm needs something to stand on
    best: Array = theta[np.argsort(loss, kind="stable")[: _STARTS * search]]
    return best


def _exact_weights(law: Formula, features: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Return the law's weights (T, m) that fit best for features (T, m, n), and their weighted sum of squares (T,)."""
    weighted = features * weights
    gram, right = weighted @ features.transpose(0, 2, 1), weighted @ y
    place = law.weights.index("floor") if "floor" in law.weights else 0
    linear, gain = solve_bounded(gram, right, place, float(law.low[place]), float(law.high[place]))
    return linear, weights @ (y * y) - gain


def lowered(starts: Array, problem: Problem) -> Array:
    """Return starts inside the bounds, their weights scaled down where they end above the ceiling of rates."""
    law = problem.formula
    m = len(law.weights)
    starts = np.clip(starts, law.low, law.high)
    if problem.objective.on_rates:
        features = law.features(problem.logs, starts[:, m:])
        least = np.einsum("m,rmn->rn", law.low[:m], features)
        above = np.einsum("rm,rmn->rn", starts[:, :m] - law.low[:m], features)
        room = np.where(above > 0, (BELOW * problem.objective.ceiling - least) / above, 1.0).min(axis=1)
        starts[:, :m] = law.low[:m] + (starts[:, :m] - law.low[:m]) * np.clip(room, 0.0, 1.0)[:, None]
    return starts


def _nested(formula: Formula, sizes: Array, y: Array, weights: Array, objective: Objective, data: _Scaled) -> Array:
    """Return starts at the additive law's fit, where the formula contains it, and at the fit without constraints."""
    k, none = sizes.shape[1], np.empty((0, len(formula.low)))
    delta = objective.delta if np.isfinite(objective.delta) else 1e-3
    if isinstance(formula, Constrained) and not isinstance(formula.inner, AdditiveFormula):
        free = fit_surface(formula.inner, sizes, y, weights=weights, objective=objective.name, huber_delta=delta)
        return formula.brought_in(free.theta[None])
    if formula.from_additive(np.ones(1 + k), np.ones(k)) is None:
        return none
    inner = fit_additive(
        sizes,
        y,
        weights=weights,
        objective=objective.name,
        huber_delta=delta,
        max_exponent=formula.max_exponent,
    )
    terms = inner.coefficients * np.exp(-inner.exponents * data.log_reference)
    found = formula.from_additive(np.concatenate([[inner.floor], terms]) / data.y_unit, inner.exponents)
    return none if found is None else found


def _race(starts: Array, problem: Problem, search: int) -> Descended:
    """Return the lowest of all starts as one row; stragglers are let go after each round."""
    for iterations, kept in _ROUNDS:
        done = descend(starts, problem, first_delta=_FIRST_DELTA, iterations=iterations)
        own = np.full(len(done.theta), problem.objective.delta)
        value = values(done.theta, problem, own)
        best = np.argsort(value, kind="stable")
        if done.converged.all():
            break
        starts = done.theta[best[: kept * search]]
    at = best[:1]
    return Descended(done.theta[at], value[at], done.converged[at])


def _status(formula: Formula, best: Descended, data: _Scaled) -> tuple[str, tuple[str, ...]]:
    """Return the status of a fit and one sentence for each thing that is not as it should be."""
    theta, m = best.theta[0], len(formula.weights)
    found = []
    points = len(np.unique(data.logs, axis=0))
    free = int((formula.low < formula.high).sum())
    if points < free:
        sentence = f"{points} distinct combinations of sizes cannot determine {free} parameters."
        found.append(("too few runs", sentence))
    for axis, column in zip(formula.axes, data.logs.T, strict=True):
        if np.ptp(column) == 0:
            found.append(("unidentified", f"{axis} has a single size: the law cannot say what it does."))
    for name, value, low, high in zip(formula.weights, theta, formula.low, formula.high, strict=False):
        if low == high:
            continue
        if value >= high or (value <= low and low > 0):
            found.append(("bound hit", f"The {name} is at its bound {value * data.y_unit:g}."))
        elif value <= 0 and name == "floor":
            found.append(("bound hit", "The floor is at its lower bound 0: no irreducible part shows in these runs."))
        elif value <= 0:
            found.append(("unidentified", f"{name} is 0: that part of the law does not show in these runs."))
    for shape, value in zip(formula.shapes, theta[m:], strict=True):
        if value >= shape.high * (1 - 1e-9) or value <= shape.low:
            found.append(("bound hit", f"{shape.name} is at its bound {value:g}."))
    if not found and _is_singular(formula, theta, data):
        sentence = "Several parameters trade off without changing a fitted value: the sizes do not tell them apart."
        found.append(("unidentified", sentence))
    if not best.converged[0]:
        found.append(("unidentified", "The search did not come to rest; the data hardly constrain the parameters."))
    status = min((state for state, _ in found), key=STATUSES.index, default="converged")
    return status, tuple(reason for _, reason in found)


def _is_singular(formula: Formula, theta: Array, data: _Scaled) -> bool:
    """Whether two directions of the parameters change the fitted values alike."""
    m = len(formula.weights)
    weights, shape = theta[None, :m], theta[None, m:]
    parts = [formula.features(data.logs, shape)[0], formula.slopes(data.logs, weights, shape)[0]]
    design = np.concatenate(parts)[formula.low < formula.high] * np.sqrt(data.weights)
    if not len(design):
        return False
    length = np.linalg.norm(design, axis=1)
    if (length == 0).any() or design.shape[1] < len(design):
        return True
    spectrum = np.linalg.svd(design / length[:, None], compute_uv=False)
    return bool(spectrum[-1] < _SINGULAR * spectrum[0])
