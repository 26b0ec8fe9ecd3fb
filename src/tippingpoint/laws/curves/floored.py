r"""Power law with a floor, M2: the additive law of one axis.

.. math:: y = E + c\, x^{-a}

What the parameters mean:

* ``floor`` E: the error that no number of images removes.
* ``exponent`` a: doubling the images multiplies what is above the floor by 2^-a.
* ``coefficient`` c: what is above the floor at one image.
"""

from __future__ import annotations

import numpy as np

from tippingpoint.laws.curves.law import Array, CurveLaw, LinearForms, exp_capped

__all__ = ["FlooredCurve"]

_EXPONENTS = np.geomspace(0.01, 20.0, 80)


class FlooredCurve(CurveLaw):
    """M2 of Alabdulmohsin et al. (2022)."""

    name = "floored"
    title = "Power law with a floor (M2)"
    parameters = ("floor", "coefficient", "exponent")
    lower = (0.0, 1e-30, 0.0)
    upper = (1e30, 1e30, 20.0)
    on_log = (False, True, False)

    def predict(self, x: Array, theta: Array) -> Array:
        """Return E + c x^-a."""
        result: Array = theta[..., :1] + theta[..., 1:2] * exp_capped(-theta[..., 2:] * np.log(x))
        return result

    def gradient(self, x: Array, theta: Array) -> Array:
        """Return df by E, c and a."""
        power = exp_capped(-theta[2] * np.log(x))
        return np.stack([np.ones_like(x), power, -theta[1] * power * np.log(x)], axis=-1)

    def linear_forms(self, x: Array, y: Array) -> LinearForms:
        """Return y = E + c x^-a for a grid of exponents a."""
        powers = exp_capped(-_EXPONENTS[:, None] * np.log(x))
        design = np.stack([np.ones_like(powers), powers], axis=-1)
        response = np.broadcast_to(y, powers.shape)
        return LinearForms(_EXPONENTS[:, None], response, design, 1 / response, (True, True))

    def join(self, shapes: Array, coefficients: Array) -> Array:
        """Return (E, c, a)."""
        return np.concatenate([coefficients, shapes], axis=1)

    def raw(self, theta: Array, unit: float) -> Array:
        """Return E, c unit^a, a."""
        return np.array([theta[0], theta[1] * exp_capped(theta[2] * np.log(unit)), theta[2]])
