r"""Power law, M1.

.. math:: y = c\, x^{-a}

What the parameters mean:

* ``exponent`` a: doubling the images multiplies the error by 2^-a, for ever.
* ``coefficient`` c: the error at one image, if the law held so far down.
"""

from __future__ import annotations

import numpy as np

from tippingpoint.laws.curves.law import Array, CurveLaw, LinearForms, exp_capped

__all__ = ["PowerCurve"]


class PowerCurve(CurveLaw):
    """M1 of Alabdulmohsin et al. (2022)."""

    name = "power"
    title = "Power law (M1)"
    parameters = ("coefficient", "exponent")
    lower = (1e-30, 0.0)
    upper = (1e30, 20.0)
    on_log = (True, False)

    def predict(self, x: Array, theta: Array) -> Array:
        """Return c x^-a."""
        result: Array = theta[..., :1] * exp_capped(-theta[..., 1:2] * np.log(x))
        return result

    def gradient(self, x: Array, theta: Array) -> Array:
        """Return df by c and a."""
        power = exp_capped(-theta[1] * np.log(x))
        return np.stack([power, -theta[0] * power * np.log(x)], axis=-1)

    def linear_forms(self, x: Array, y: Array) -> LinearForms:
        """Return log y = log c - a log x."""
        design = np.stack([np.ones_like(x), -np.log(x)], axis=-1)[None]
        return LinearForms(np.empty((1, 0)), np.log(y)[None], design, np.ones((1, len(x))), (False, True))

    def join(self, shapes: Array, coefficients: Array) -> Array:
        """Return (c, a)."""
        return np.stack([exp_capped(coefficients[:, 0]), coefficients[:, 1]], axis=-1)

    def raw(self, theta: Array, unit: float) -> Array:
        """Return c unit^a, a."""
        return np.array([theta[0] * exp_capped(theta[1] * np.log(unit)), theta[1]])
