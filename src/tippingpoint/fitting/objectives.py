r"""What a fit minimises: :math:`\sum_i w_i\,\rho_i`, summed and never averaged.

=============  ======================  ===========================================================================
objective      residual r              rho
=============  ======================  ===========================================================================
``huber-log``  log f - log y           r^2/2 for \|r\| <= delta, delta (\|r\| - delta/2) beyond (Hoffmann et al. 2022)
``log``        log f - log y           r^2/2
``squares``    f - y                   r^2/2
``binomial``   f - y                   y log(y/f) + (1 - y) log((1 - y)/(1 - f)), half the unit deviance
=============  ======================  ===========================================================================

``huber-log`` and ``log`` need y > 0. ``binomial`` is for error rates: 0 <= y <= 1, where 0 log 0 = 0, and fitted values
stay between 0 and 1. A rate measured on n images has the variance f (1 - f) (1/n + rho): that of sampling, and rho more
because seeds vary too (the variance of a beta-binomial count, to first order in 1/n). So run i weighs
w_i = 1/(1/n_i + rho), and the objective is in units of the variance of single runs: about half the number of runs less
that of parameters, where the law is right. :mod:`tippingpoint.fitting.rates` finds rho as Williams (1982,
"Extra-binomial variation in logistic linear models", Applied Statistics 31) does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError, did_you_mean

__all__ = ["OBJECTIVES", "Objective", "objective_named"]

Array = NDArray[np.float64]

OBJECTIVES = ("huber-log", "log", "squares", "binomial")
_SERIES = 0.1  # below this u, u - log(1 + u) is summed: the difference would lose its digits
_SHRUNK = 0.2  # towards the mean, of rates whose variance is guessed from themselves: a rate of 0 has one too
_EDGE = 1e-3  # rates nearer to 1 than this are approached in steps
_STEPS = 10.0 ** -np.arange(2.0, 10.0)
_NEAREST = 1e-9  # relative distance to the ceiling at which a variance is taken


class Objective(NamedTuple):
    """One objective.

    Attributes
    ----------
    name : str
        One of :data:`OBJECTIVES`.
    on_logs : bool
        Whether residuals are differences of logarithms.
    delta : float
        Where Huber's loss turns from quadratic to linear, in units of r; infinite for plain least squares.
    ceiling : float, default infinite
        What fitted values stay below, in units of y: 1 for error rates.
    """

    name: str
    on_logs: bool
    delta: float
    ceiling: float = np.inf

    @property
    def on_rates(self) -> bool:
        """Whether y is a share, between 0 and the ceiling."""
        return bool(np.isfinite(self.ceiling))

    def scaled(self, unit: float) -> Objective:
        """Return the objective for y divided by a unit; only a ceiling has one."""
        return self._replace(ceiling=self.ceiling / unit)

    def in_units(self, unit: float) -> float:
        """Return what the objective is multiplied by when y is multiplied by a unit (logs have none)."""
        if self.on_logs:
            return 1.0
        return unit if self.on_rates else unit**2

    def rho(self, residuals: Array, delta: Array | float | None = None) -> Array:
        """Return Huber's loss of each residual, same shape; ``delta`` may be given to follow a path of objectives."""
        bend = self.delta if delta is None else delta
        size = np.abs(residuals)
        inner = np.minimum(size, bend)
        return inner * (size - 0.5 * inner)

    def aim(self, y: Array) -> Array:
        """Return what residuals are taken from, same shape: y, or its logarithm."""
        return np.log(y) if self.on_logs else y

    def approach(self, y: Array) -> list[Array]:
        """Return the observations that a descent follows one after the other, each the same shape as y.

        A rate of 1 lets the optimum lie where f is 1, which Newton's steps would only creep towards. So rates near 1
        are taken down and let up again in steps: each is then a barrier that keeps f under 1.
        """
        if not self.on_rates or y.max() <= self.ceiling * (1 - _EDGE):
            return [y]
        near = y > self.ceiling * (1 - _EDGE)
        return [np.where(near, np.minimum(y, self.ceiling * (1 - away)), y) for away in _STEPS]

    def residuals(self, fitted: Array, y: Array) -> Array:
        """Return r for fitted values and observations (broadcast)."""
        return np.log(fitted) - np.log(y) if self.on_logs else fitted - y

    def loss(self, fitted: Array, aim: Array, delta: Array | float | None = None) -> Array:
        """Return rho of each run for fitted values and :meth:`aim` (broadcast).

        It is infinite or NaN where a fitted value has no logarithm.
        """
        if self.on_rates:
            return self._half_deviance(fitted, aim)
        return self.rho(np.log(fitted) - aim if self.on_logs else fitted - aim, delta)

    def _half_deviance(self, fitted: Array, y: Array) -> Array:
        """Return the loss of rates as y h(f/y - 1) + (1 - y) h((1 - f)/(1 - y) - 1), with h(u) = u - log(1 + u)."""
        away, left = fitted - y, self.ceiling - y
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.where(y > 0, y * _excess(away / y), away)
            high = np.where(left > 0, left * _excess(-away / left), -away)
        loss: Array = np.where((fitted > 0) & (fitted < self.ceiling), low + high, np.inf)
        return loss

    def slopes(self, fitted: Array, aim: Array, weights: Array, delta: Array) -> tuple[Array, Array, Array]:
        """Return the first and second derivative of w rho by f, and a curvature that is never negative.

        Parameters
        ----------
        fitted : ndarray, shape (R, n)
        aim : ndarray, shape (n,) or (R, n)
            Of :meth:`aim`.
        weights : ndarray, shape (1 or R, n)
        delta : ndarray, shape (R,)

        Returns
        -------
        first, second, safe : ndarray, shape (R, n)
        """
        if self.on_rates:
            return self._slopes_of_rates(fitted, aim, weights)
        if self.on_logs:
            residuals, inverse = np.log(fitted) - aim, 1.0 / fitted
        else:
            residuals, inverse = fitted - aim, np.ones_like(fitted)
        size, bend = np.abs(residuals), delta[:, None]
        inner = size <= bend
        slope = np.where(inner, residuals, np.copysign(np.minimum(bend, 1e300), residuals)) * weights  # w psi(r)
        first = slope * inverse
        ratio = np.where(inner, 1.0, bend / np.maximum(size, 1e-300)) if np.isfinite(delta).all() else 1.0
        squared = inverse * inverse
        second = weights * inner * squared
        if self.on_logs:
            second = second - first * inverse
        return first, second, weights * ratio * squared

    def _slopes_of_rates(self, fitted: Array, y: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Return the derivatives for rates, whose loss is convex in f; 0 for runs that do not count."""
        counted = weights > 0
        left = self.ceiling - fitted
        first = np.where(counted, weights * self.ceiling * (fitted - y) / (fitted * left), 0.0)
        second = np.where(counted, weights * (y / (fitted * fitted) + (self.ceiling - y) / (left * left)), 0.0)
        return first, second, second

    def guessed_variance(self, y: Array) -> Array:
        """Return the variance of each y up to one factor as far as y itself tells it, same shape."""
        if self.on_rates:
            middle: Array = (1 - _SHRUNK) * y + _SHRUNK * float(y.mean())
            return middle * (self.ceiling - middle)
        squared: Array = np.maximum(y, 1e-100) ** 2
        return squared if self.on_logs else np.ones_like(y)

    def noise(self, fitted: Array) -> Array:
        """Return the standard deviation of y at fitted values, up to one factor, same shape."""
        if self.on_rates:
            least = _NEAREST * self.ceiling
            spread: Array = np.sqrt(np.maximum(fitted, least) * np.maximum(self.ceiling - fitted, least))
            return spread
        return fitted if self.on_logs else np.ones_like(fitted)


def _excess(u: Array) -> Array:
    """Return u - log(1 + u) to full relative accuracy: near 0 by the series in z = u/(2 + u)."""
    z = u / (2.0 + u)
    square = z * z
    series = np.zeros_like(z)
    for place in range(15, 1, -2):
        series = series * square + 1.0 / place
    return np.where(np.abs(u) < _SERIES, u * z - 2.0 * z * square * series, u - np.log1p(u))


def objective_named(name: str, huber_delta: float = 1e-3) -> Objective:
    """Return the objective of a name.

    Raises
    ------
    FitError
        The name is unknown (a near one is suggested), or delta is not positive.
    """
    if name not in OBJECTIVES:
        raise FitError(
            f"There is no objective '{name}'; there are {', '.join(OBJECTIVES)}.{did_you_mean(name, OBJECTIVES)}"
        )
    if not huber_delta > 0:
        raise FitError(f"huber_delta is {huber_delta}; it must be above 0 (Chinchilla's is 1e-3).")
    delta = float(huber_delta) if name == "huber-log" else np.inf
    return Objective(name, name in {"huber-log", "log"}, delta, 1.0 if name == "binomial" else np.inf)
