"""The additive law as a :class:`~tippingpoint.laws.formula.Formula`: a floor and a power of every axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.formula import Formula, Shape, power
from tippingpoint.laws.latex import number, powers, sum_of

__all__ = ["AdditiveFormula"]

Array = NDArray[np.float64]


class AdditiveFormula(Formula):
    """Floor, and a power of every axis.

    What the parameters mean is said where the law is, in :mod:`tippingpoint.laws.additive`.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes.
    max_exponent : float, default 10
        Upper bound of exponents.
    """

    name: ClassVar[str] = "additive"
    title: ClassVar[str] = "Additive power law"

    def __init__(self, axes: Sequence[str], max_exponent: float = 10.0) -> None:
        super().__init__(axes, max_exponent)
        usual = (min(0.05, max_exponent), min(2.0, max_exponent))
        self.weights = ("floor", *(f"{axis}.coefficient" for axis in self.axes))
        self.shapes = tuple(Shape(f"{axis}.exponent", 0.0, max_exponent, usual, axis) for axis in self.axes)

    def features(self, logs: Array, shape: Array) -> Array:
        """Return [1, x_j^-e_j ...]."""
        columns = np.empty((len(shape), 1 + len(self.axes), len(logs)))
        columns[:, 0] = 1.0
        columns[:, 1:] = power(-shape[:, :, None] * logs.T)
        return columns

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return df by every e_j."""
        found: Array = -weights[:, 1:, None] * logs.T * power(-shape[:, :, None] * logs.T)
        return found

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return the coefficients in raw units, the exponents as they are."""
        found = {"floor": weights[:, 0]}
        with np.errstate(divide="ignore", over="ignore"):
            terms = np.exp(np.log(weights[:, 1:]) + shape * log_reference)
        for place, axis in enumerate(self.axes):
            found |= {f"{axis}.coefficient": terms[:, place], f"{axis}.exponent": shape[:, place]}
        return found

    def latex(self, parameters: Mapping[str, float]) -> str:
        """Return E + c_j x_j^-e_j + ..."""
        terms = [
            powers(parameters[f"{axis}.coefficient"], {axis: -parameters[f"{axis}.exponent"]}) for axis in self.axes
        ]
        return sum_of([number(parameters["floor"]), *terms])

    def from_additive(self, weights: Array, exponents: Array) -> Array:
        """Return the law itself, as the only start."""
        start: Array = np.concatenate([weights, exponents])[None]
        return start
