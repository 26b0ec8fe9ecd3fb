"""What every law of a curve must keep; subclass the case in your tests to prove yours.

>>> class TestMine(CurveLawConformance):  # doctest: +SKIP
...     law = MyCurve()
...     theta = (0.1, 2.0, 0.5)
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tippingpoint.laws.curves.law import CurveLaw

__all__ = ["CurveLawConformance"]


class CurveLawConformance:
    """A test case; set ``law`` and ``theta``, a parameter vector for sizes of order 1.

    Attributes
    ----------
    law : CurveLaw
        The law to examine.
    theta : tuple of float
        Its parameters somewhere inside the bounds.
    """

    law: ClassVar[CurveLaw]
    theta: ClassVar[tuple[float, ...]]
    x: ClassVar[tuple[float, ...]] = (0.05, 0.2, 0.6, 1.0, 1.7, 4.0, 11.0)

    def test_parameters_agree_in_number(self) -> None:
        """Names, bounds, scales and theta have one length, and theta lies inside the bounds."""
        law = self.law
        lengths = {len(part) for part in (law.parameters, law.lower, law.upper, law.on_log, self.theta)}
        _require(len(lengths) == 1, f"different numbers of parameters: {lengths}")
        inside = np.array(law.lower) <= np.array(self.theta)
        _require(bool(np.all(inside & (np.array(self.theta) <= np.array(law.upper)))), "theta is out of bounds")

    def test_predictions_broadcast(self) -> None:
        """Many parameter vectors at once give what each gives alone."""
        x, theta = np.array(self.x), np.array(self.theta)
        many = self.law.predict(x, np.stack([theta, theta * 1.01]))
        np.testing.assert_allclose(many[0], self.law.predict(x, theta), rtol=1e-12, atol=0)
        np.testing.assert_allclose(many[1], self.law.predict(x, theta * 1.01), rtol=1e-12, atol=0)

    def test_gradient_is_the_slope(self) -> None:
        """Central differences agree with the analytic gradient."""
        x, theta = np.array(self.x), np.array(self.theta)
        gradient = self.law.gradient(x, theta)
        for place, value in enumerate(theta):
            step = np.zeros_like(theta)
            step[place] = 1e-6 * max(abs(value), 1e-2)
            slope = (self.law.predict(x, theta + step) - self.law.predict(x, theta - step)) / (2 * step[place])
            np.testing.assert_allclose(gradient[:, place], slope, rtol=1e-5, atol=1e-8)

    def test_raw_is_the_same_curve(self) -> None:
        """Changing the unit of x changes nothing but units."""
        x, theta, unit = np.array(self.x), np.array(self.theta), 1e6
        again = self.law.predict(x * unit, self.law.raw(theta, unit))
        np.testing.assert_allclose(again, self.law.predict(x, theta), rtol=1e-9, atol=0)

    def test_linear_forms_hold_the_law(self) -> None:
        """On points of the law itself, some shape of the grid comes near it after the linear solve."""
        x, theta = np.array(self.x), np.array(self.theta)
        y = self.law.predict(x, theta)
        forms = self.law.linear_forms(x, y)
        weight = forms.slope[..., None]
        solved = [
            np.linalg.lstsq(d * w, r * w[:, 0], rcond=None)[0]
            for d, r, w in zip(forms.design, forms.response, weight, strict=True)
        ]
        found = self.law.predict(x, self.law.join(forms.shapes, np.array(solved)))
        with np.errstate(invalid="ignore", divide="ignore"):
            misfit = np.abs(np.log(found / y)).max(axis=1)
        _require(float(np.nanmin(misfit)) < 0.1, f"the nearest shape misses log y by {np.nanmin(misfit):.2g}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
