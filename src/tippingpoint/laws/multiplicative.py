r"""The multiplying law: each axis takes a share off what the others have left.

.. math:: y(x) = E + c \prod_j x_j^{-e_j}, \qquad E, c \ge 0,\; e_j \ge 0

What the parameters mean:

* ``<axis>.exponent`` e_j: doubling axis j multiplies all that is above the floor by 2^-e_j, *whatever the other axes
  are*. In the additive law it multiplies one term only, so that a long axis stops helping; here none ever does.
* ``coefficient`` c: everything above the floor at size 1.
* ``floor`` E: the irreducible part. The plain law has none (``multiplicative``); ``multiplicative-floor`` has.

That effects add, as in Eq. (1), is a hypothesis; this law is the other simple one (docs/fitting.md, "Several axes").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.formula import Formula, Shape, power
from tippingpoint.laws.latex import number, powers, sum_of
from tippingpoint.laws.surface import SurfaceLaw

__all__ = ["FlooredMultiplicativeLaw", "FlooredProduct", "MultiplicativeLaw", "Product"]

Array = NDArray[np.float64]


class Product(Formula):
    """c times a power of every axis."""

    name: ClassVar[str] = "multiplicative"
    title: ClassVar[str] = "Multiplying power law"
    floored: ClassVar[bool] = False

    def __init__(self, axes: Sequence[str], max_exponent: float = 10.0) -> None:
        super().__init__(axes, max_exponent)
        self.weights = ("floor", "coefficient") if self.floored else ("coefficient",)
        self.shapes = tuple(
            Shape(f"{axis}.exponent", 0.0, max_exponent, (0.02, min(1.5, max_exponent)), axis) for axis in self.axes
        )

    def features(self, logs: Array, shape: Array) -> Array:
        """Return [1, prod_j x_j^-e_j]."""
        product = power(-shape @ logs.T)[:, None]
        return np.concatenate([np.ones_like(product), product], axis=1) if self.floored else product

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return -c log x_j prod_i x_i^-e_i."""
        product = weights[:, -1:] * power(-shape @ logs.T)
        result: Array = -product[:, None] * logs.T
        return result

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return c times prod_j reference_j^e_j, and the exponents as they are."""
        found = {"floor": weights[:, 0] if self.floored else np.zeros(len(weights))}
        with np.errstate(divide="ignore", over="ignore"):
            found["coefficient"] = np.exp(np.log(weights[:, -1]) + shape @ log_reference)
        return found | {one.name: shape[:, place] for place, one in enumerate(self.shapes)}

    def latex(self, parameters: Mapping[str, float]) -> str:
        """Return E + c x_1^-e_1 x_2^-e_2 ..."""
        product = powers(parameters["coefficient"], {axis: -parameters[f"{axis}.exponent"] for axis in self.axes})
        return sum_of([number(parameters["floor"]), product]) if self.floored else product

    def term(self, axis: str, parameters: dict[str, float]) -> tuple[float | None, float | None]:
        """Return the common coefficient and the axis's exponent."""
        return parameters["coefficient"], parameters[f"{axis}.exponent"]


class FlooredProduct(Product):
    """A floor, and c times a power of every axis."""

    name: ClassVar[str] = "multiplicative-floor"
    title: ClassVar[str] = "Multiplying power law with a floor"
    floored: ClassVar[bool] = True


class MultiplicativeLaw(SurfaceLaw):
    """The multiplying law without a floor; settings and results are those of :class:`SurfaceLaw`."""

    name = "multiplicative"
    formula_class = Product


class FlooredMultiplicativeLaw(SurfaceLaw):
    """The multiplying law with a floor; settings and results are those of :class:`SurfaceLaw`."""

    name = "multiplicative-floor"
    formula_class = FlooredProduct
