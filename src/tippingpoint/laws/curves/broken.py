r"""Broken power law (Caballero et al. 2023), with n breaks.

.. math:: y = E + b\, x^{-c_0} \prod_{i=1}^{n} \bigl(1 + (x / d_i)^{1/f_i}\bigr)^{-c_i f_i}

What the parameters mean:

* ``floor`` E: the error that no number of images removes.
* ``exponent`` c_0: before the first break, doubling the images multiplies what is above the floor by 2^-c_0.
* ``break_i`` d_i: the number of images at which the slope changes; ``change_i`` c_i: by how much (< 0: it flattens).
* ``sharpness_i`` f_i: over how many factors of e the change is spread; near 0 is a kink.
* ``coefficient`` b: what is above the floor at one image.

Without breaks it is M2, and with a break more that changes nothing it is the same curve: a fit starts from that of the
law with one break fewer as well, so that a break more never fits worse.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import expit

from tippingpoint.errors import FitError
from tippingpoint.laws.curves.floored import FlooredCurve
from tippingpoint.laws.curves.law import Array, CurveLaw, LinearForms, exp_capped

__all__ = ["MOST_BREAKS", "BrokenCurve"]

MOST_BREAKS = 9

_FLOORS = (0.0, 0.5, 0.8, 0.9, 0.97)  # of the lowest score
_SHARPNESS = (0.1, 0.5, 1.5)
_PLACES = {1: 12, 2: 7, 3: 6}  # of a break on the grid; two more than there are breaks from four on
_UNCHANGED = (0.25, 0.5, 0.75)  # shares of the range of log x where a break that changes nothing is put in


class BrokenCurve(CurveLaw):
    """BNSL of Caballero et al. (2023, arXiv 2210.14891).

    Parameters
    ----------
    breaks : int, default 1
        How many, 1 to 9.

    Raises
    ------
    FitError
        ``breaks`` is no such number.
    """

    name = "broken"

    def __init__(self, breaks: int = 1) -> None:
        if breaks not in range(1, MOST_BREAKS + 1):
            raise FitError(f"A broken power law has 1 to {MOST_BREAKS} breaks, not {breaks}.")
        self.breaks = breaks
        self.title = f"Broken power law with {breaks} break{'s' if breaks > 1 else ''} (BNSL)"
        named = [(f"break_{i}", f"change_{i}", f"sharpness_{i}") for i in range(1, breaks + 1)]
        self.parameters = ("floor", "coefficient", "exponent", *itertools.chain.from_iterable(named))
        self.lower = (0.0, 1e-30, -5.0, *(1e-8, -20.0, 0.02) * breaks)
        self.upper = (1e30, 1e30, 20.0, *(1e8, 20.0, 10.0) * breaks)
        self.on_log = (False, True, False, *(True, False, True) * breaks)

    def predict(self, x: Array, theta: Array) -> Array:
        """Return E + b x^-c_0 times the breaks."""
        log_x = np.log(x)
        logs = np.log(theta[..., 1:2]) - theta[..., 2:3] * log_x
        for i in range(self.breaks):
            place, change, sharp = (theta[..., 3 + 3 * i + j, None] for j in range(3))
            logs = logs - change * sharp * np.logaddexp(0.0, (log_x - np.log(place)) / sharp)
        result: Array = theta[..., :1] + exp_capped(logs)
        return result

    def gradient(self, x: Array, theta: Array) -> Array:
        """Return df by all parameters."""
        log_x = np.log(x)
        above = self.predict(x, theta) - theta[0]
        parts = [np.ones_like(x), above / theta[1], -above * log_x]
        for i in range(self.breaks):
            place, change, sharp = theta[3 + 3 * i : 6 + 3 * i]
            z = (log_x - np.log(place)) / sharp
            soft, share = np.logaddexp(0.0, z), expit(z)
            parts += [above * change * share / place, -above * sharp * soft, -above * change * (soft - z * share)]
        return np.stack(parts, axis=-1)

    def linear_forms(self, x: Array, y: Array) -> LinearForms:
        """Return log(y - E) = log b - c_0 log x - sum c_i f_i log(1 + (x/d_i)^(1/f_i)) for a grid of E, d and f."""
        log_x = np.log(x)
        places = np.linspace(log_x.min(), log_x.max(), _PLACES.get(self.breaks, self.breaks + 2) + 2)[1:-1]
        sets = list(itertools.product(_FLOORS, _SHARPNESS, itertools.combinations(places, self.breaks)))
        shapes = np.array([[floor * y.min(), sharp, *np.exp(at)] for floor, sharp, at in sets])
        sharp = shapes[:, 1:2]
        columns = [np.ones_like(log_x) + 0 * sharp, -log_x + 0 * sharp]
        for i in range(self.breaks):
            columns.append(-sharp * np.logaddexp(0.0, (log_x - np.log(shapes[:, 2 + i, None])) / sharp))
        above = y - shapes[:, :1]
        free = (False, False, *(False,) * self.breaks)
        return LinearForms(shapes, np.log(above), np.stack(columns, axis=-1), above / y, free)

    def simpler(self) -> CurveLaw:
        """Return the law with one break fewer; without any it is M2."""
        return BrokenCurve(self.breaks - 1) if self.breaks > 1 else FlooredCurve()

    def embed(self, theta: Array, x: Array) -> Array:
        """Return the curve of the law with one break fewer, with a break more that changes nothing, at some places."""
        logs = np.log(x)
        places = np.exp(logs.min() + np.array(_UNCHANGED) * np.ptp(logs))
        more = np.stack([places, np.zeros_like(places), np.full_like(places, _SHARPNESS[1])], axis=-1)
        return np.concatenate([np.broadcast_to(theta, (len(places), len(theta))), more], axis=-1)

    def join(self, shapes: Array, coefficients: Array) -> Array:
        """Return (E, b, c_0, d_1, c_1, f_1, ...)."""
        parts = [shapes[:, 0], exp_capped(coefficients[:, 0]), coefficients[:, 1]]
        for i in range(self.breaks):
            parts += [shapes[:, 2 + i], coefficients[:, 2 + i], shapes[:, 1]]
        return np.stack(parts, axis=-1)

    def raw(self, theta: Array, unit: float) -> Array:
        """Return b unit^c_0, d_i unit; the others do not change."""
        found = theta.copy()
        found[1] = theta[1] * exp_capped(theta[2] * np.log(unit))
        found[3::3] = theta[3::3] * unit
        return found
