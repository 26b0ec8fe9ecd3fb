r"""Sigmoidal law, M4, solved for y.

.. math:: \frac{y - E}{(E_0 - y)^a} = b\, x^{-c}

What the parameters mean:

* ``floor`` E and ``ceiling`` E_0: the error with endless images, and with none (guessing).
* ``exponent`` c: once the curve has left the ceiling, doubling the images multiplies what is above the floor by 2^-c.
* ``bend`` a: how long the curve stays at the ceiling; 0 is M2, 1 is the power law on odds.
* ``coefficient`` b: the right side at one image.

With u = (y - E) / (E_0 - E) = sigmoid(v) the law is log u - a log(1 - u) = t with
t = log b - c log x + (a - 1) log(E_0 - E). The left side rises with v, and is solved for it by Newton's method.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import expit

from tippingpoint.laws.curves.law import Array, CurveLaw, LinearForms, exp_capped

__all__ = ["SigmoidalCurve"]

_FLOORS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.96, 0.99)  # of the lowest score
_CEILINGS = (1.001, 1.01, 1.05, 1.2, 1.6, 3.0, 10.0)  # of the highest score
_BENDS = (0.02, 0.25, 0.5, 1.0, 2.0, 4.0)
_STEPS = 60


class SigmoidalCurve(CurveLaw):
    """M4 of Alabdulmohsin et al. (2022)."""

    name = "sigmoidal"
    title = "Sigmoidal law (M4)"
    parameters = ("floor", "ceiling", "coefficient", "exponent", "bend")
    lower = (0.0, 1e-12, 1e-30, 0.0, 1e-3)
    upper = (1e30, 1e30, 1e30, 20.0, 10.0)
    on_log = (False, True, True, False, True)

    def predict(self, x: Array, theta: Array) -> Array:
        """Return y; a ceiling at or below the floor gives the floor."""
        floor, ceiling = theta[..., :1], theta[..., 1:2]
        result: Array = floor + np.maximum(ceiling - floor, 0.0) * expit(_logit(x, theta))
        return result

    def gradient(self, x: Array, theta: Array) -> Array:
        """Return df by all five, from the implicit function theorem."""
        floor, ceiling, coefficient, _, bend = theta
        gap = max(ceiling - floor, 1e-300)
        v = _logit(x, theta)
        share = expit(v)
        by_t = share * (1 - share) / (1 - share + bend * share)  # du/dt
        by_gap = (bend - 1) / gap * by_t  # du through log(E_0 - E) in t
        parts = [
            1 - share - gap * by_gap,
            share + gap * by_gap,
            gap * by_t / coefficient,
            -gap * by_t * np.log(x),
            gap * by_t * (np.log(gap) - np.logaddexp(0.0, v)),
        ]
        return np.stack(parts, axis=-1)

    def linear_forms(self, x: Array, y: Array) -> LinearForms:
        """Return log(y - E) - a log(E_0 - y) = log b - c log x for a grid of E, E_0 and a."""
        grid = np.array(list(itertools.product(_FLOORS, _CEILINGS, _BENDS)))
        shapes = grid * np.array([y.min(), y.max(), 1.0])
        above, below, bend = y - shapes[:, :1], shapes[:, 1:2] - y, shapes[:, 2:]
        response = np.log(above) - bend * np.log(below)
        design = np.broadcast_to(np.stack([np.ones_like(x), -np.log(x)], axis=-1), (*response.shape, 2))
        slope = 1 / (y * (1 / above + bend / below))
        return LinearForms(shapes, response, design, slope, (False, True))

    def join(self, shapes: Array, coefficients: Array) -> Array:
        """Return (E, E_0, b, c, a)."""
        return np.concatenate(
            [shapes[:, :2], exp_capped(coefficients[:, :1]), coefficients[:, 1:], shapes[:, 2:]], axis=1
        )

    def raw(self, theta: Array, unit: float) -> Array:
        """Return b unit^c; the others do not change."""
        found = theta.copy()
        found[2] = theta[2] * exp_capped(theta[3] * np.log(unit))
        return found


def _logit(x: Array, theta: Array) -> Array:
    """Return v with -softplus(-v) + a softplus(v) = t; increasing, with slopes 1 at the left and a at the right."""
    floor, ceiling, coefficient, exponent, bend = (theta[..., place, None] for place in range(5))
    gap = np.log(np.maximum(ceiling - floor, 1e-300))
    t = np.log(coefficient) - exponent * np.log(x) + (bend - 1) * gap
    v = np.where(t < 0, t, np.minimum(t / bend, 1e6))
    for _ in range(_STEPS):
        share = expit(v)
        step = (bend * np.logaddexp(0.0, v) - np.logaddexp(0.0, -v) - t) / (1 - share + bend * share)
        v = v - np.clip(step, -1e3, 1e3)
        if np.abs(step).max(initial=0.0) < 1e-12 * (1 + np.abs(v).max(initial=0.0)):
            break
    result: Array = v
    return result
