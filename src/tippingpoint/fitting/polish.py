r"""Newton's method for the additive law on many problems at once.

Notation
--------
R problems share n runs and differ in weights and starts; k axes; p = 1 + 2k parameters.

========  =========  ===========================================================================================
symbol    shape      meaning
========  =========  ===========================================================================================
theta     (R, p)     floor, c_1..c_k, e_1..e_k, with sizes and y divided by their references (no units)
L         (n, k)     log of size over reference
f         (R, n)     floor + sum_j c_j exp(-e_j L_j)
D         (R, p, n)  df/dtheta
g, H      (R, p..)   gradient and Hessian of sum_i w_i rho(r_i), both analytic
M         (R, p, p)  D diag(w psi(r)/r ..) D': the curvature of the quadratic that lies above Huber's loss and touches
                     it, hence always a safe step; for rates, whose loss is convex in f, D diag(w rho'') D'
========  =========  ===========================================================================================

A step solves (H + lambda M) s = -g on the parameters that are free (those at a bound which the gradient pushes against
it are held), is cut at the bounds, and is taken only if the objective falls; lambda follows each problem by itself.
Huber's loss with a small delta is nearly a sum of absolute values, where Newton from afar stalls; so each problem
walks from a large delta down to its own, each stage starting where the last one ended.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.objectives import Objective

__all__ = ["Polished", "curve", "polish"]

Array = NDArray[np.float64]

_CHUNK = 60_000  # runs x problems worked on together: about what fits a processor's cache
HIGHEST = 300.0  # exponent of e up to which powers are followed: squares of larger ones would overflow
_STEP_DOWN = 5.0  # factor between stages of delta
APPROACH = 12  # Newton steps for each step of a rate that is taken up to 1
_RIDGE = 1e-11
_TINY = 1e-26  # objective per unit of weight below which a fit is exact


class Polished(NamedTuple):
    """What :func:`polish` returns: theta (R, p), objective (R,), converged (R,)."""

    theta: Array
    value: Array
    converged: NDArray[np.bool_]


class _Problem(NamedTuple):
    logs: Array  # (n, k)
    aim: Array  # (n,) y, or its logarithm where residuals are of logarithms
    weights: Array  # (R, n) or (1, n)
    objective: Objective
    upper: Array  # (p,)
    held: NDArray[np.bool_]  # (R, k) exponents that stay where they start


def polish(
    start: Array,
    logs: Array,
    y: Array,
    weights: Array,
    objective: Objective,
    max_exponent: float,
    *,
    held: NDArray[np.bool_] | None = None,
    first_delta: float = 0.0,
    iterations: int = 150,
) -> Polished:
    """Run every start down to its local minimum.

    Parameters
    ----------
    start : ndarray, shape (R, 1 + 2k)
        Scaled floor, coefficients and exponents.
    logs : ndarray, shape (n, k)
        Log of size over reference.
    y : ndarray, shape (n,)
        Scaled observations.
    weights : ndarray, shape (R, n) or (1, n)
        Weight of each run in each problem.
    objective : Objective
        What is minimised.
    max_exponent : float
        Upper bound of the exponents.
    held : ndarray of bool, shape (k,) or (R, k), optional
        Exponents that stay where they start.
    first_delta : float, default 0
        Where the walk of delta starts, if above the objective's own.
    iterations : int, default 150
        Steps at most.

    Returns
    -------
    Polished
    """
    k = logs.shape[1]
    upper = np.concatenate([np.full(1 + k, np.inf), np.full(k, max_exponent)])
    aims = [objective.aim(one) for one in objective.approach(y)]
    fixed = np.broadcast_to(np.zeros(k, dtype=bool) if held is None else held, (len(start), k))
    rows = len(start)
    size = max(1, _CHUNK // max(1, len(y)))
    parts = []
    for low in range(0, rows, size):
        own = weights if len(weights) == 1 else weights[low : low + size]
        problem = _Problem(logs, aims[-1], own, objective, upper, fixed[low : low + size])
        near = start[low : low + size]
        for aim in aims[:-1]:
            near = _polish_chunk(near, problem._replace(aim=aim), first_delta, min(iterations, APPROACH)).theta
        done = _polish_chunk(near, problem, first_delta, iterations)
        if len(aims) > 1:
            problem, delta = problem._replace(aim=objective.aim(y)), np.full(len(done.theta), objective.delta)
            done = done._replace(value=_values(done.theta, problem, delta, np.arange(len(done.theta))))
        parts.append(done)
    return Polished(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _polish_chunk(start: Array, problem: _Problem, first_delta: float, iterations: int) -> Polished:
    """Iterate one chunk; problems leave as they converge."""
    theta = np.clip(start, 0.0, problem.upper)
    rows = len(theta)
    delta = np.full(rows, max(first_delta, problem.objective.delta))
    damping = np.full(rows, 1e-3)
    done = np.zeros(rows, dtype=bool)
    active = np.arange(rows)
    value = _values(theta, problem, delta, active)
    for _ in range(iterations):
        step, expected = _step(theta[active], problem, delta[active], damping[active], active)
        trial = np.clip(theta[active] + step, 0.0, problem.upper)
        trial_value = _values(trial, problem, delta[active], active)
        better = trial_value < value[active]
        chosen = active[better]
        theta[chosen], value_before = trial[better], value[active]
        value[chosen] = trial_value[better]
        damping[active] = np.where(better, damping[active] * 0.1, damping[active] * 10.0)
        np.clip(damping, 1e-9, 1e9, out=damping)
        _advance(active, expected, value_before, better, (theta, value, delta, damping, done), problem)
        active = np.flatnonzero(~done)
        if not len(active):
            break
    return Polished(theta, value, done & np.isfinite(value))


def _advance(
    active: NDArray[np.intp],
    expected: Array,
    before: Array,
    better: NDArray[np.bool_],
    state: tuple[Array, Array, Array, Array, NDArray[np.bool_]],
    problem: _Problem,
) -> None:
    """Move finished problems to their next delta, or mark them done."""
    theta, value, delta, damping, done = state
    weight = problem.weights.sum(axis=1)
    weight = weight[active] if len(weight) > 1 else weight
    last = delta[active] <= problem.objective.delta
    tolerance = np.where(last, 1e-13, 1e-3)
    stuck = ~better & (damping[active] >= 1e8)
    small = (expected <= tolerance * before + _TINY * weight) & (damping[active] <= 1.0)
    finished = small | stuck
    done[active[finished & last & (small | (expected <= 1e-8 * before + _TINY * weight))]] = True
    onward = active[finished & ~last]
    if len(onward):
        delta[onward] = np.maximum(delta[onward] / _STEP_DOWN, problem.objective.delta)
        damping[onward] = 1e-3
        value[onward] = _values(theta[onward], problem, delta[onward], onward)


def curve(theta: Array, logs: Array) -> tuple[Array, list[Array]]:
    """Return f (R, n) and the powers u_j (R, n) of each axis."""
    k = logs.shape[1]
    powers = [np.exp(np.minimum(-theta[:, 1 + k + j, None] * logs[:, j], HIGHEST)) for j in range(k)]
    fitted = np.repeat(theta[:, :1], len(logs), axis=1)
    for j, power in enumerate(powers):
        fitted += theta[:, 1 + j, None] * power
    return fitted, powers


def _own(problem: _Problem, rows: NDArray[np.intp]) -> Array:
    return problem.weights if len(problem.weights) == 1 else problem.weights[rows]


def _values(theta: Array, problem: _Problem, delta: Array, rows: NDArray[np.intp]) -> Array:
    """Return the objective (R,); infinite where a logarithm has nothing to stand on, or a rate is not under 1."""
    fitted, _ = curve(theta, problem.logs)
    weights = _own(problem, rows)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        loss = problem.objective.loss(fitted, problem.aim, delta[:, None])
        if problem.objective.on_rates:
            loss = np.where(weights > 0, loss, 0.0)  # a run that does not count is no limit either
        total: Array = np.einsum("rn,rn->r", np.broadcast_to(weights, loss.shape), loss)
    return np.where(np.isfinite(total), total, np.inf)


def _step(theta: Array, problem: _Problem, delta: Array, damping: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return the damped, projected Newton step (R, p) and the fall it expects (R,)."""
    gradient, hessian, safe = derivatives(theta, problem, delta, rows)
    k = problem.logs.shape[1]
    held = ((theta <= 0) & (gradient >= 0)) | ((theta >= problem.upper) & (gradient <= 0))
    held[:, 1 + k :] |= (theta[:, 1 : 1 + k] <= 0) | problem.held[rows]  # without a coefficient there is no exponent
    system = hessian + damping[:, None, None] * safe
    size = np.sqrt(np.einsum("rpp->rp", safe)) + 1e-150
    system /= size[:, :, None] * size[:, None, :]
    free = ~held
    system *= free[:, :, None] & free[:, None, :]
    p = theta.shape[1]
    system[:, range(p), range(p)] += held + _RIDGE
    downhill = np.where(free, -gradient / size, 0.0)
    try:
        step = np.linalg.solve(system, downhill[..., None])[..., 0] / size
    except np.linalg.LinAlgError:
        step = downhill / size
    bad = ~np.isfinite(step).all(axis=1)
    step[bad] = 0.0
    expected = -np.einsum("rp,rp->r", gradient, step)
    uphill = expected < 0  # an indefinite Hessian: take no step, raise the damping
    step[uphill] = 0.0
    return step, np.where(bad | uphill, np.inf, expected)


def derivatives(theta: Array, problem: _Problem, delta: Array, rows: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Return gradient (R, p), Hessian (R, p, p) and the safe curvature M (R, p, p)."""
    logs, k = problem.logs, problem.logs.shape[1]
    fitted, powers = curve(theta, logs)
    first, second, curvature = problem.objective.slopes(fitted, problem.aim, _own(problem, rows), delta)
    design = np.empty((len(theta), 1 + 2 * k, len(logs)))
    design[:, 0] = 1.0
    for j, power in enumerate(powers):
        design[:, 1 + j] = power
        design[:, 1 + k + j] = -theta[:, 1 + j, None] * logs[:, j] * power
    across = design.transpose(0, 2, 1)
    gradient = (design @ first[..., None])[..., 0]
    hessian = (design * second[:, None, :]) @ across
    safe = (design * curvature[:, None, :]) @ across
    for j, power in enumerate(powers):
        mixed = -np.einsum("rn,rn,n->r", first, power, logs[:, j])
        hessian[:, 1 + j, 1 + k + j] += mixed
        hessian[:, 1 + k + j, 1 + j] += mixed
        curl = np.einsum("rn,rn,n->r", first, power, logs[:, j] ** 2)
        hessian[:, 1 + k + j, 1 + k + j] += theta[:, 1 + j] * curl
    return gradient, hessian, safe
