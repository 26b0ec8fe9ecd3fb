r"""Effective data transferred (Hernandez et al. 2021): pretraining is worth so many labels.

.. math:: y(x) = E + c\,(D_f + D_T)^{-g}, \qquad D_T = k \prod_{j \ne f} x_j^{a_j}, \qquad E, c, k, g, a_j \ge 0

What the parameters mean (D_f are the labels, the other axes are images of pretraining, model size, ...):

* ``transfer.coefficient`` k and ``<axis>.transfer_exponent`` a_j: D_T, the number of labels that pretraining and model
  are worth; doubling axis j multiplies it by 2^a_j. Few labels beside D_T change little, many make pretraining idle.
* ``<labels>.exponent`` g: doubling labels and D_T together multiplies what is above the floor by 2^-g.
* ``coefficient`` c: what is above the floor at one label in effect. ``floor`` E: the irreducible part.

It bends where Eq. (1) adds: pretraining helps where labels are few and stops helping where they are many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.formula import Formula, Shape, check_role, power
from tippingpoint.laws.latex import name, number, powers, sum_of
from tippingpoint.laws.surface import SurfaceLaw

__all__ = ["TransferLaw", "Transferred"]

Array = NDArray[np.float64]

_FARTHEST = 60.0  # |log| of D_T over the labels, at the references: beyond it either one is idle


class Transferred(Formula):
    """Floor and one power of labels plus transferred labels.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes; one of them is ``labels``.
    max_exponent : float, default 10
        Upper bound of exponents.
    labels : str, default "n_finetune"
        The axis whose images D_T is counted in.
    """

    name: ClassVar[str] = "transfer"
    title: ClassVar[str] = "Effective data transferred"

    def __init__(self, axes: Sequence[str], max_exponent: float = 10.0, labels: str = "n_finetune") -> None:
        super().__init__(axes, max_exponent)
        self.place = check_role("labels", labels, self.axes, self.name)
        others = [axis for axis in self.axes if axis != labels]
        self.others = np.array([self.axes.index(axis) for axis in others], dtype=np.intp)
        usual = (0.05, min(1.5, max_exponent))
        self.weights = ("floor", "coefficient")
        self.shapes = (
            # the prior of the log of D_T over the labels: at two spreads, a factor of 22,000, either one is idle
            Shape(f"{labels}.exponent", 0.0, max_exponent, (0.05, min(2.0, max_exponent)), labels),
            Shape("transfer.coefficient", -_FARTHEST, _FARTHEST, (-5.0, 5.0), prior=(0.0, 5.0), logarithmic=False),
            *(Shape(f"{axis}.transfer_exponent", 0.0, max_exponent, usual, axis) for axis in others),
        )

    def _effective(self, logs: Array, shape: Array) -> tuple[Array, Array]:
        """Return log(D_f + D_T), 0 at the references, and D_T's share of D_f + D_T, (R, n) each.

        Counted from the references, so that the coefficient is what is above the floor *there* and hardly moves with
        the shape: counted from one label it moves by powers of ten, and a search crawls.
        """
        own = logs[:, self.place]
        moved = shape[:, 1:2] + shape[:, 2:] @ logs[:, self.others].T
        total = np.logaddexp(own, moved)
        return total - np.logaddexp(0.0, shape[:, 1:2]), np.exp(moved - total)

    def features(self, logs: Array, shape: Array) -> Array:
        """Return [1, (D_f + D_T)^-g]."""
        total, _ = self._effective(logs, shape)
        falling = power(-shape[:, :1] * total)
        return np.stack([np.ones_like(falling), falling], axis=1)

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return df by g, log k and every a_j."""
        total, share = self._effective(logs, shape)
        falling = weights[:, 1:2] * power(-shape[:, :1] * total)
        by_total = -shape[:, :1] * falling
        at_reference = np.exp(shape[:, 1:2] - np.logaddexp(0.0, shape[:, 1:2]))
        by_transfer = by_total * (share - at_reference)
        rest = (by_total * share)[:, None] * logs[:, self.others].T
        return np.concatenate([-(total * falling)[:, None], by_transfer[:, None], rest], axis=1)

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return c and k in raw labels, the exponents as they are."""
        labels, rest = log_reference[self.place], log_reference[self.others]
        with np.errstate(divide="ignore", over="ignore"):
            in_effect = labels + np.logaddexp(0.0, shape[:, 1])
            coefficient = np.exp(np.log(weights[:, 1]) + shape[:, 0] * in_effect)
            worth = np.exp(shape[:, 1] + labels - shape[:, 2:] @ rest)
        found = {"floor": weights[:, 0], "coefficient": coefficient, self.shapes[0].name: shape[:, 0]}
        found["transfer.coefficient"] = worth
        return found | {one.name: shape[:, 2 + place] for place, one in enumerate(self.shapes[2:])}

    def latex(self, parameters: Mapping[str, float]) -> str:
        """Return E + c (D_f + k x_j^a_j ...)^-g."""
        labels = self.axes[self.place]
        others = {axis: parameters[f"{axis}.transfer_exponent"] for axis in self.axes if axis != labels}
        worth = powers(parameters["transfer.coefficient"], others)
        falling = rf"\left({name(labels)} + {worth}\right)^{{{number(-parameters[f'{labels}.exponent'])}}}"
        return sum_of([number(parameters["floor"]), rf"{number(parameters['coefficient'])}\,{falling}"])

    def term(self, axis: str, parameters: dict[str, float]) -> tuple[float | None, float | None]:
        """Return c and g for the labels; the other axes have no falling term of their own."""
        own = parameters.get(f"{axis}.exponent")
        return (None, None) if own is None else (parameters["coefficient"], own)


class TransferLaw(SurfaceLaw):
    """Effective data transferred; settings are those of :class:`SurfaceLaw`, and ``labels``, the axis of labels."""

    name = "transfer"
    formula_class = Transferred
