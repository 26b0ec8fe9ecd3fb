r"""The additive power law: a floor, and one falling term for each axis.

.. math:: y(x) = E + \sum_j c_j\, x_j^{-e_j}, \qquad E \ge 0,\; c_j \ge 0,\; e_j \ge 0

What the parameters mean:

* ``floor`` E: what is left of the error when every axis is endless; more of nothing helps below it.
* ``exponents`` e_j: doubling axis j multiplies its term by 2^-e_j (0.5 means a third off, 1 means half).
* ``coefficients`` c_j: the term at size 1, which nobody has; read ``at_reference`` instead, the part of the error that
  axis j explains at the data's middle (the paper's 1/lambda, 1/omega, 1/delta are the c_j in raw units).

Eq. (1) and (2) of the paper are this law over ``["n_pretrain", "n_params", "n_finetune"]`` for error and for
cross-entropy; Eq. (4), of the distilled recipe, has the further axis ``n_params_teacher``; Chinchilla's law is it over
model size and tokens, and with one axis it is the plain learning curve:

>>> AdditivePowerLaw(["n_pretrain", "n_params", "n_finetune"])                       # Eq. (1), (2)
AdditivePowerLaw(axes=['n_pretrain', 'n_params', 'n_finetune'])
>>> AdditivePowerLaw(["n_pretrain", "n_params", "n_params_teacher", "n_finetune"])   # Eq. (4)
AdditivePowerLaw(axes=['n_pretrain', 'n_params', 'n_params_teacher', 'n_finetune'])

It cannot express an error that rises with an axis (the paper's appendix D): such a term ends at coefficient 0 and is
reported so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.base import Law

if TYPE_CHECKING:
    from tippingpoint.fitting.estimation import Estimate
    from tippingpoint.fitting.intervals import Draws
    from tippingpoint.fitting.setting import FitSetting
    from tippingpoint.runs import Runs

__all__ = ["AdditivePowerLaw", "gradient", "value"]

Array = NDArray[np.float64]


def value(sizes: ArrayLike, floor: ArrayLike, coefficients: ArrayLike, exponents: ArrayLike) -> Array:
    """Return y, shape (...), at sizes of shape (..., k) for coefficients and exponents of shape (..., k)."""
    terms = np.asarray(coefficients) * np.asarray(sizes, dtype=float) ** -np.asarray(exponents)
    result: Array = np.asarray(floor) + terms.sum(axis=-1)
    return result


def gradient(sizes: ArrayLike, coefficients: ArrayLike, exponents: ArrayLike) -> Array:
    """Return dy/d(floor, coefficients, exponents), shape (..., 1 + 2k)."""
    size = np.asarray(sizes, dtype=float)
    powers = size ** -np.asarray(exponents)
    slopes = -np.asarray(coefficients) * np.log(size) * powers
    return np.concatenate([np.ones((*powers.shape[:-1], 1)), powers, slopes], axis=-1)


class AdditivePowerLaw(Law):
    """Floor plus one power of each axis; the settings, and what all laws say once fitted, are those of :class:`Law`.

    Attributes
    ----------
    floor_ : float
        E, in the target's units.
    coefficients_, exponents_, reference_ : dict of str to float
        For each axis c_j in raw units, e_j, and the geometric mean of its sizes.
    identifiability_ : dict of str to Identifiability
        For each axis: its swing over the data, whether its profile is flat, whether it is at a bound.
    """

    name: ClassVar[str] = "additive"

    def _fit_group(self, group: Runs, target: str, setting: FitSetting) -> Estimate:
        from tippingpoint.fitting.estimation import estimate

        return estimate(group, self._axes, target, setting)

    # -- what was fitted -----------------------------------------------------------------------------------------

    def _by_axis(self, values: Array) -> dict[str, float]:
        return dict(zip(self._axes, values.tolist(), strict=True))

    @property
    def floor_(self) -> float:
        """E, in the target's units."""
        return float(self._fitted.solution.floor)

    @property
    def coefficients_(self) -> dict[str, float]:
        """c_j in raw units, by axis."""
        return self._by_axis(self._fitted.solution.coefficients)

    @property
    def exponents_(self) -> dict[str, float]:
        """e_j, by axis."""
        return self._by_axis(self._fitted.solution.exponents)

    @property
    def reference_(self) -> dict[str, float]:
        """Geometric mean of the sizes, by axis."""
        return self._by_axis(self._fitted.solution.reference)

    @property
    def parameters_(self) -> dict[str, float]:
        """Every parameter in raw units: ``floor``, ``<axis>.coefficient``, ``<axis>.exponent``."""
        found = {"floor": self.floor_}
        for axis, coefficient in self.coefficients_.items():
            found |= {f"{axis}.coefficient": coefficient, f"{axis}.exponent": self.exponents_[axis]}
        return found

    # -- asking --------------------------------------------------------------------------------------------------

    def curves(self, points: Array) -> Array:
        """Return the law of every draw at points (p, k), shape (draws, p); draws are made on first use."""
        draws = self._draw()
        result: Array = np.repeat(draws.parameters["floor"][:, None], len(points), axis=1)
        for axis, sizes in zip(self._axes, points.T, strict=True):
            result += _term_of(draws, axis, sizes)
        return result

    def swings(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return for each axis the interval of its swing: how far its term moves the target over the data.

        Parameters
        ----------
        level : float, default 0.9
            Share of the draws inside.
        """
        from tippingpoint.fitting.intervals import percentiles

        draws, sizes = self._draw(), self._fitted.sizes
        found = {}
        for axis, column in zip(self._axes, sizes.T, strict=True):
            first, last = _term_of(draws, axis, np.array([column.min(), column.max()])).T
            low, high = percentiles(first - last, level)
            found[axis] = (float(low), float(high))
        return found

    # -- showing -------------------------------------------------------------------------------------------------

    @property
    def _heading(self) -> str:
        return f"Additive power law of {self.target_}"

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [("floor", f"{self.floor_:.6g}", "floor")]
        for axis, term in self.identifiability_.items():
            rows.append((f"{axis} exponent", f"{self.exponents_[axis]:.5g}", f"{axis}.exponent"))
            rows.append((f"{axis} coefficient", f"{self.coefficients_[axis]:.6g}", f"{axis}.coefficient"))
            rows.append((f"{axis} term at {self.reference_[axis]:.4g}", f"{term.at_reference:.5g}", ""))
        return rows

    def _term(self, axis: str) -> dict[str, Any]:
        found = self.identifiability_[axis]
        return {
            "coefficient": self.coefficients_[axis],
            "exponent": self.exponents_[axis],
            "reference": self.reference_[axis],
            "at_reference": found.at_reference,
            "flat": found.flat,
            "at_bound": found.at_bound,
        }

    def _latex(self) -> str:
        return AdditiveFormula(self._axes).latex(self.parameters_)


def _term_of(draws: Draws, axis: str, sizes: Array) -> Array:
    """Return one axis's term of every draw at sizes (p,), shape (draws, p)."""
    with np.errstate(divide="ignore"):
        coefficients = np.log(draws.parameters[f"{axis}.coefficient"][:, None])
    term: Array = np.exp(coefficients - draws.parameters[f"{axis}.exponent"][:, None] * np.log(sizes))
    return term
