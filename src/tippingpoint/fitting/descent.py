r"""Newton's method for any law that is linear in its weights, on many problems at once.

:mod:`tippingpoint.fitting.polish` does the same for the additive law alone, with a Hessian written out; here a law
gives its first derivatives, and how the gradient bends with the shape is taken from central differences of them.

Notation
--------
R problems share n runs; m weights, q shape parameters, p = m + q.

========  =============  =======================================================================================
symbol    shape          meaning
========  =============  =======================================================================================
theta     (R, p)         weights, then shape (sizes and y without units)
L         (n, k)         log of size over reference
y         (1 or R, n)    observations, the same or other ones in each problem
D         (R, p, n)      df/dtheta
H, M      (R, p, p)      Hessian, and the curvature of a quadratic above Huber's loss that touches it: a safe step
========  =============  =======================================================================================

A step solves (H + lambda M) s = -g on the free parameters, is cut at the bounds, and is taken only if the objective
falls. Huber's loss with a small delta is nearly a sum of absolute values: each problem walks from a large delta down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.polish import APPROACH
from tippingpoint.laws.formula import Formula

__all__ = ["Descended", "Problem", "derivatives", "descend", "values"]

Array = NDArray[np.float64]

_CHUNK = 40_000  # runs x problems worked on together
_STEP_DOWN = 5.0  # factor between stages of delta
_RIDGE = 1e-11
_TINY = 1e-26  # objective per unit of weight below which a fit is exact
_NUDGE = 1e-5  # of a shape parameter, for the bend of the gradient


class Descended(NamedTuple):
    """What :func:`descend` returns: theta (R, p), objective (R,), converged (R,)."""

    theta: Array
    value: Array
    converged: NDArray[np.bool_]


class Problem(NamedTuple):
    """What the R problems share.

    Attributes
    ----------
    formula : Formula
    logs : ndarray, shape (n, k)
    y : ndarray, shape (R, n) or (1, n)
    weights : ndarray, shape (R, n) or (1, n)
        Multiplicities of the runs.
    objective : Objective
    held : ndarray of bool, shape (R, p), optional
        Parameters that stay where they start.
    """

    formula: Formula
    logs: Array
    y: Array
    weights: Array
    objective: Objective
    held: NDArray[np.bool_] | None = None

    def rows(self, at: NDArray[np.intp] | slice) -> Problem:
        """Return the problems at some rows."""
        y = self.y if len(self.y) == 1 else self.y[at]
        weights = self.weights if len(self.weights) == 1 else self.weights[at]
        return self._replace(y=y, weights=weights, held=None if self.held is None else self.held[at])


@np.errstate(all="ignore")
def descend(start: Array, problem: Problem, *, first_delta: float = 0.0, iterations: int = 150) -> Descended:
    """Run every start (R, p) down to its local minimum.

    Parameters
    ----------
    start : ndarray, shape (R, p)
        Weights and shape, without units.
    problem : Problem
        What is minimised.
    first_delta : float, default 0
        Where the walk of delta starts, if above the objective's own.
    iterations : int, default 150
        Steps at most.

    Returns
    -------
    Descended
    """
    size = max(1, _CHUNK // max(1, len(problem.logs)))
    parts = []
    for low in range(0, len(start), size):
        rows = slice(low, low + size)
        part, near = problem.rows(rows), start[rows]
        ways = part.objective.approach(part.y)
        for y in ways[:-1]:
            near = _descend_chunk(near, part._replace(y=y), first_delta, min(iterations, APPROACH)).theta
        done = _descend_chunk(near, part._replace(y=ways[-1]), first_delta, iterations)
        if len(ways) > 1:
            done = done._replace(value=values(done.theta, part, np.full(len(done.theta), part.objective.delta)))
        parts.append(done)
    return Descended(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _descend_chunk(start: Array, problem: Problem, first_delta: float, iterations: int) -> Descended:
    """Iterate one chunk; problems leave as they converge."""
    low, high = problem.formula.low, problem.formula.high
    theta = np.clip(start, low, high)
    rows = len(theta)
    own = problem.objective.delta
    delta, damping = np.full(rows, max(first_delta, own)), np.full(rows, 1e-3)
    done, settled = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    active = np.arange(rows)
    value = values(theta, problem, delta)
    for _ in range(iterations):
        part = problem.rows(active)
        step, expected = _step(theta[active], part, delta[active], damping[active])
        trial = np.clip(theta[active] + step, low, high)
        reached = values(trial, part, delta[active])
        before = value[active]
        better = reached < before
        theta[active[better]], value[active[better]] = trial[better], reached[better]
        damping[active] = np.clip(np.where(better, damping[active] * 0.1, damping[active] * 10.0), 1e-9, 1e9)
        last = delta[active] <= own
        total = np.broadcast_to(part.weights.sum(axis=1), active.shape)
        small = (expected <= np.where(last, 1e-13, 1e-3) * before + _TINY * total) & (damping[active] <= 1.0)
        stuck = ~better & (damping[active] >= 1e8)
        close = expected <= 1e-8 * before + _TINY * total
        finished = small | stuck
        done[active[finished & last]] = True
        settled[active[finished & last & (small | close)]] = True
        onward = active[finished & ~last]
        if len(onward):
            delta[onward] = np.maximum(delta[onward] / _STEP_DOWN, own)
            damping[onward] = 1e-3
            value[onward] = values(theta[onward], problem.rows(onward), delta[onward])
        active = np.flatnonzero(~done)
        if not len(active):
            break
    return Descended(theta, value, settled & np.isfinite(value))


def _fitted(theta: Array, problem: Problem) -> tuple[Array, Array]:
    """Return f (R, n) and the features (R, m, n)."""
    m = len(problem.formula.weights)
    features = problem.formula.features(problem.logs, theta[:, m:])
    return np.einsum("rm,rmn->rn", theta[:, :m], features), features


def values(theta: Array, problem: Problem, delta: Array) -> Array:
    """Return the objective (R,); infinite where a logarithm has nothing to stand on, or a rate is not under 1."""
    fitted, _ = _fitted(theta, problem)
    loss = problem.objective.loss(fitted, problem.objective.aim(problem.y), delta[:, None])
    if problem.objective.on_rates:
        loss = np.where(problem.weights > 0, loss, 0.0)  # a run that does not count is no limit either
    total = (problem.weights * loss).sum(axis=1)
    return np.where(np.isfinite(total), total, np.inf)


def derivatives(theta: Array, problem: Problem, delta: Array) -> tuple[Array, Array, Array]:
    """Return gradient (R, p), Hessian (R, p, p) and the safe curvature M (R, p, p)."""
    m = len(problem.formula.weights)
    fitted, features = _fitted(theta, problem)
    first, second, curvature = problem.objective.slopes(
        fitted, problem.objective.aim(problem.y), problem.weights, delta
    )
    design = np.concatenate([features, problem.formula.slopes(problem.logs, theta[:, :m], theta[:, m:])], axis=1)
    across = design.transpose(0, 2, 1)
    gradient = (design @ first[..., None])[..., 0]
    hessian = (design * second[:, None, :]) @ across
    safe = (design * curvature[:, None, :]) @ across
    _add_bend(hessian, theta, problem, first)
    return gradient, hessian, safe


def _add_bend(hessian: Array, theta: Array, problem: Problem, first: Array) -> None:
    """Add sum_n dO/df d2f/dtheta2 in place: how D' (dO/df) moves with each shape parameter, dO/df held."""
    formula, m = problem.formula, len(problem.formula.weights)
    low, high = formula.low[m:], formula.high[m:]
    for place in range(len(formula.shapes)):
        ends, moved = [], []
        for sign in (1.0, -1.0):
            shape = theta[:, m:].copy()
            shape[:, place] = np.clip(shape[:, place] + sign * _NUDGE, low[place], high[place])
            by_weights = formula.features(problem.logs, shape)
            by_shape = formula.slopes(problem.logs, theta[:, :m], shape)
            moved.append((np.concatenate([by_weights, by_shape], axis=1) @ first[..., None])[..., 0])
            ends.append(shape[:, place])
        bend = (moved[0] - moved[1]) / (ends[0] - ends[1])[:, None]
        hessian[:, m + place, :m] += bend[:, :m]
        hessian[:, :m, m + place] += bend[:, :m]
        hessian[:, m:, m + place] += bend[:, m:]
    hessian[:, m:, m:] = 0.5 * (hessian[:, m:, m:] + hessian[:, m:, m:].transpose(0, 2, 1))


def _step(theta: Array, problem: Problem, delta: Array, damping: Array) -> tuple[Array, Array]:
    """Return the damped step (R, p) on the free parameters and the fall it expects (R,)."""
    gradient, hessian, safe = derivatives(theta, problem, delta)
    low, high = problem.formula.low, problem.formula.high
    curvature = np.einsum("rpp->rp", safe)
    held = ((theta <= low) & (gradient >= 0)) | ((theta >= high) & (gradient <= 0)) | (curvature <= 1e-280)
    if problem.held is not None:
        held |= problem.held
    size = np.sqrt(curvature) + 1e-150
    system = (hessian + damping[:, None, None] * safe) / (size[:, :, None] * size[:, None, :])
    free = ~held
    system = np.where(free[:, :, None] & free[:, None, :], system, 0.0)
    p = theta.shape[1]
    system[:, range(p), range(p)] += held + _RIDGE
    downhill = np.where(free, -gradient / size, 0.0)
    bad = ~(np.isfinite(system).all(axis=(1, 2)) & np.isfinite(downhill).all(axis=1))
    system[bad], downhill[bad] = np.eye(p), 0.0
    try:
        step = np.linalg.solve(system, downhill[..., None])[..., 0] / size
    except np.linalg.LinAlgError:
        step = downhill / size
    bad |= ~np.isfinite(step).all(axis=1)
    step[bad] = 0.0
    expected = -np.einsum("rp,rp->r", gradient, np.where(free, step, 0.0))
    uphill = expected < 0  # an indefinite Hessian: take no step, raise the damping
    step[uphill] = 0.0
    return np.where(free, step, 0.0), np.where(bad | uphill, np.inf, expected)
