r"""Fitting a law of a learning curve: exact solves over a grid of shapes, then a polish; no random start.

It minimises :math:`\sum_i w_i (\log f(x_i; \theta) - \log y_i)^2`. For every shape of the law's grid the linear
parameters are solved for exactly (to first order in log y), all candidates are scored on the true objective, and the
best few are polished by Levenberg-Marquardt steps within the bounds, with the analytic gradient; so is the fit of the
simpler law that the law holds, where it names one: it never fits worse. The same points give the same fit, in any order
and unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tippingpoint.errors import FitError
from tippingpoint.laws.curves import CurveLaw, LinearForms, curve_law
from tippingpoint.laws.curves.law import Array

__all__ = ["FittedCurve", "fit_curve"]

_POLISHED = 4  # candidates that are polished, the best of the grid
_LOWEST = 1e-300
_STEPS = 500
_STUCK = 1e10  # a damping above which no step helps
_SMALL_GAIN = 1e-12  # of the objective, in one step


@dataclass(frozen=True)
class FittedCurve:
    """One curve's fitted law.

    Attributes
    ----------
    law : CurveLaw
        The law.
    theta : ndarray, shape (k,)
        Its parameters in raw units.
    objective : float
        Weighted sum of squared log residuals.
    status : str
        ``converged``; ``bound: NAME`` where a parameter stands at a bound; ``too few points`` with fewer sizes than
        parameters.
    """

    law: CurveLaw
    theta: Array
    objective: float
    status: str

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters in raw units by name."""
        return dict(zip(self.law.parameters, map(float, self.theta), strict=True))

    def predict(self, x: Array) -> Array:
        """Return f at sizes (n,) above 0."""
        return self.law.predict(np.asarray(x, dtype=float), self.theta)


def fit_curve(x: Array, y: Array, law: CurveLaw | str, *, weights: Array | None = None) -> FittedCurve:
    """Fit one law to one curve.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Sizes, above 0.
    y : ndarray, shape (n,)
        Scores, above 0 (the objective is on logarithms).
    law : CurveLaw or str
        A law or its name.
    weights : ndarray, shape (n,), optional
        Weights of the squared log residuals; 1 unless given.

    Returns
    -------
    FittedCurve

    Raises
    ------
    FitError
        Points are not finite and above 0, or have a single size.
    """
    chosen = curve_law(law) if isinstance(law, str) else law
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weight = np.ones_like(x) if weights is None else np.asarray(weights, dtype=float)
    _check(x, y, weight)
    order = np.lexsort((y, x))  # so that the order of rows changes nothing, not even the last digit
    x, y, weight = x[order], y[order], weight[order]
    unit = float(np.exp(np.mean(np.log(x))))
    found, objective = _search(chosen, x / unit, y, np.sqrt(weight))
    return FittedCurve(chosen, chosen.raw(found, unit), objective, _status(chosen, found, len(np.unique(x))))


def _check(x: Array, y: Array, weight: Array) -> None:
    faults = []
    if x.ndim != 1 or x.shape != y.shape or x.shape != weight.shape:
        raise FitError(
            f"Sizes, scores and weights must be lists of one length, not {x.shape}, {y.shape}, {weight.shape}."
        )
    for name, values in (("size", x), ("score", y)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            faults.append(f"A curve needs a finite {name} above 0 at every point; leave the other points out.")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        faults.append("Weights must be finite, not negative, and not all 0.")
    if not faults and len(np.unique(x[weight > 0])) < 2:
        faults.append("A curve needs at least 2 different sizes; score more sizes.")
    if faults:
        raise FitError(faults)


def _search(law: CurveLaw, x: Array, y: Array, root: Array) -> tuple[Array, float]:
    """Return the best parameters and their objective, for sizes of order 1."""
    low, high = _inner(law, np.array(law.lower)), _inner(law, np.array(law.upper))
    with np.errstate(all="ignore"):
        candidates = law.join(*_solve(law.linear_forms(x, y), root))
        candidates = candidates[np.isfinite(candidates).all(axis=1)]
        candidates = np.clip(candidates, law.lower, law.upper)
        scores = np.sum((root * (np.log(np.maximum(law.predict(x, candidates), _LOWEST)) - np.log(y))) ** 2, axis=-1)
    scores = np.where(np.isfinite(scores), scores, np.inf)
    best, objective = candidates[int(np.argmin(scores))], float(np.min(scores))
    starts = candidates[np.argsort(scores, kind="stable")[:_POLISHED]]
    simpler = law.simpler()
    if simpler is not None:
        starts = np.concatenate([starts, law.embed(_search(simpler, x, y, root)[0], x)])
    for start in starts:
        theta, value = _polish(law, x, y, root, start, low, high)
        if value < objective:
            best, objective = theta, value
    return best, objective


def _solve(forms: LinearForms, root: Array) -> tuple[Array, Array]:
    """Return shapes and coefficients: least squares for each shape, a negative coefficient that may not be set to 0."""
    weight = np.where(np.isfinite(forms.slope), forms.slope, 0.0) * root
    usable = np.isfinite(forms.response).all(axis=1) & np.isfinite(forms.design).all(axis=(1, 2))
    shapes, weight = forms.shapes[usable], weight[usable]
    design = forms.design[usable] * weight[..., None]
    response = forms.response[usable] * weight
    solved = _least_squares(design, response)
    for place in np.flatnonzero(forms.at_least_zero):
        wrong = solved[:, place] < 0
        if wrong.any():
            without = design[wrong].copy()
            without[..., place] = 0.0
            solved[wrong] = np.maximum(
                _least_squares(without, response[wrong]), np.where(forms.at_least_zero, 0, -np.inf)
            )
    return shapes, solved


def _least_squares(design: Array, response: Array) -> Array:
    """Return coefficients (m, p) of m least-squares problems (m, n, p), (m, n); a column of zeros gets 0."""
    norm = np.sqrt(np.sum(design**2, axis=1))
    scale = np.where(norm > 0, norm, 1.0)
    inverse = np.linalg.pinv(design / scale[:, None], rcond=1e-10)
    result: Array = np.einsum("mpn,mn->mp", inverse, response) / scale
    return result


def _polish(
    law: CurveLaw, x: Array, y: Array, root: Array, start: Array, low: Array, high: Array
) -> tuple[Array, float]:
    """Return the local optimum from one start, found on the logarithm of the parameters that spread over decades."""
    log_y, on_log = np.log(y), np.array(law.on_log)

    def outer(inner: Array) -> Array:
        return np.where(on_log, np.exp(np.where(on_log, inner, 0.0)), inner)

    def residual(inner: Array) -> Array:
        with np.errstate(all="ignore"):
            values = np.log(np.maximum(law.predict(x, outer(inner)), _LOWEST))
        result: Array = root * np.nan_to_num(values - log_y, nan=1e3, posinf=1e3, neginf=-1e3)
        return result

    def slope(inner: Array) -> Array:
        theta = outer(inner)
        with np.errstate(all="ignore"):
            values = law.gradient(x, theta) * np.where(on_log, theta, 1.0)
            values /= np.maximum(law.predict(x, theta), _LOWEST)[:, None]
        result: Array = root[:, None] * np.clip(np.nan_to_num(values), -1e12, 1e12)
        return result

    best, cost = _descend(residual, slope, np.clip(_inner(law, start), low, high), low, high)
    return outer(best), cost


def _descend(
    residual: Callable[[Array], Array], slope: Callable[[Array], Array], start: Array, low: Array, high: Array
) -> tuple[Array, float]:
    """Return the minimum of the sum of squares by Levenberg-Marquardt steps, cut at the bounds."""
    theta, r = start, residual(start)
    cost, damping = float(r @ r), 1e-3
    for _ in range(_STEPS):
        jacobian = slope(theta)
        downhill = -(jacobian.T @ r)
        free = ~(((theta <= low) & (downhill < 0)) | ((theta >= high) & (downhill > 0)))
        if not free.any():
            break
        size = np.maximum(np.sqrt(np.sum(jacobian[:, free] ** 2, axis=0)), 1e-12)
        better = False
        while not better and damping < _STUCK:
            tall = np.concatenate([jacobian[:, free], np.sqrt(damping) * np.diag(size)])
            step = np.linalg.lstsq(tall / size, np.concatenate([-r, np.zeros(len(size))]), rcond=None)[0] / size
            trial = theta.copy()
            trial[free] = np.clip(theta[free] + step, low[free], high[free])
            r_trial = residual(trial)
            trial_cost = float(r_trial @ r_trial)
            better = trial_cost < cost
            damping = max(damping / 5, 1e-15) if better else damping * 4
        if not better:
            break
        done = cost - trial_cost <= _SMALL_GAIN * cost
        theta, r, cost = trial, r_trial, trial_cost
        if done:
            break
    return theta, cost


def _inner(law: CurveLaw, theta: Array) -> Array:
    """Return parameters as the polish sees them."""
    on_log = np.array(law.on_log)
    result: Array = np.where(on_log, np.log(np.where(on_log, np.maximum(theta, _LOWEST), 1.0)), theta)
    return result


def _status(law: CurveLaw, theta: Array, sizes: int) -> str:
    if sizes < len(law.parameters):
        return "too few points"
    low, high = np.array(law.lower), np.array(law.upper)
    near = np.isclose(theta, low, rtol=1e-6, atol=1e-9) | np.isclose(theta, high, rtol=1e-6, atol=0)
    named = [name for name, hit in zip(law.parameters, near, strict=True) if hit]
    return f"bound: {', '.join(named)}" if named else "converged"
