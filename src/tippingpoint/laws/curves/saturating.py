r"""Saturating power law, M3.

.. math:: y = c\, (x^{-1} + \gamma)^{a}

What the parameters mean:

* ``exponent`` a: while images are few, doubling them multiplies the error by 2^-a.
* ``saturation`` gamma: 1/gamma is the number of images from which more help little; 0 is the power law M1.
* ``coefficient`` c: the error at one image; the curve ends at c gamma^a.
"""

from __future__ import annotations

import numpy as np

from tippingpoint.laws.curves.law import Array, CurveLaw, LinearForms, exp_capped

__all__ = ["SaturatingCurve"]

_SATURATIONS = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 120)])


class SaturatingCurve(CurveLaw):
    """M3 of Alabdulmohsin et al. (2022), as in the authors' code (the paper writes the exponent with a minus)."""

    name = "saturating"
    title = "Saturating power law (M3)"
    parameters = ("coefficient", "saturation", "exponent")
    lower = (1e-30, 0.0, 0.0)
    upper = (1e30, 1e8, 50.0)
    on_log = (True, False, False)

    def predict(self, x: Array, theta: Array) -> Array:
        """Return c (1/x + gamma)^a."""
        result: Array = theta[..., :1] * exp_capped(theta[..., 2:] * np.log(1 / x + theta[..., 1:2]))
        return result

    def gradient(self, x: Array, theta: Array) -> Array:
        """Return df by c, gamma and a."""
        inner = 1 / x + theta[1]
        power = exp_capped(theta[2] * np.log(inner))
        return np.stack([power, theta[0] * theta[2] * power / inner, theta[0] * power * np.log(inner)], axis=-1)

    def linear_forms(self, x: Array, y: Array) -> LinearForms:
        """Return log y = log c + a log(1/x + gamma) for a grid of gamma."""
        logs = np.log(1 / x + _SATURATIONS[:, None])
        design = np.stack([np.ones_like(logs), logs], axis=-1)
        response = np.broadcast_to(np.log(y), logs.shape)
        return LinearForms(_SATURATIONS[:, None], response, design, np.ones_like(logs), (False, True))

    def join(self, shapes: Array, coefficients: Array) -> Array:
        """Return (c, gamma, a)."""
        return np.stack([exp_capped(coefficients[:, 0]), shapes[:, 0], coefficients[:, 1]], axis=-1)

    def raw(self, theta: Array, unit: float) -> Array:
        """Return c unit^a, gamma / unit, a."""
        return np.array([theta[0] * exp_capped(theta[2] * np.log(unit)), theta[1] / unit, theta[2]])
