r"""Eq. (1) with one term more, which rises with the model and falls with the labels.

.. math:: y(x) = E + \sum_j c_j x_j^{-e_j} + d\, M^{u} D_f^{-v}, \qquad E, c_j, d, e_j, u, v \ge 0

What the parameters mean, beside those of the additive law (:mod:`tippingpoint.laws.additive`):

* ``interaction.coefficient`` d: how much a model suffers from too few labels; 0 is Eq. (1).
* ``interaction.model_exponent`` u: doubling the model multiplies that by 2^u.
* ``interaction.labels_exponent`` v: doubling the labels multiplies it by 2^-v.

The paper's appendix D shows error that rises with model size where labels are few; Eq. (1) cannot say that, this law
can: at given labels the best model size is where the fall of c_m M^-e_m meets the rise of d M^u D_f^-v.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.formula import Formula, Shape, check_role, power
from tippingpoint.laws.latex import powers, sum_of
from tippingpoint.laws.surface import SurfaceLaw

__all__ = ["Coupled", "InteractionLaw"]

Array = NDArray[np.float64]

_COUPLINGS = np.array([[0.1, 0.3], [0.3, 0.5], [0.7, 1.0], [1.5, 0.5]])  # (u, v) tried from an additive fit


class Coupled(Formula):
    """Floor, a power of every axis, and a power of model over labels.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes; two of them are ``model`` and ``labels``.
    max_exponent : float, default 10
        Upper bound of exponents.
    model, labels : str
        The axis with which the coupled term rises, and the one with which it falls.
    """

    name: ClassVar[str] = "interaction"
    title: ClassVar[str] = "Additive power law with a term of model over labels"

    def __init__(
        self, axes: Sequence[str], max_exponent: float = 10.0, model: str = "n_params", labels: str = "n_finetune"
    ) -> None:
        super().__init__(axes, max_exponent)
        self.model = check_role("model", model, self.axes, self.name)
        self.labels = check_role("labels", labels, self.axes, self.name)
        usual = (0.05, min(2.0, max_exponent))
        self.weights = ("floor", *(f"{axis}.coefficient" for axis in self.axes), "interaction.coefficient")
        self.shapes = (
            *(Shape(f"{axis}.exponent", 0.0, max_exponent, usual, axis) for axis in self.axes),
            Shape("interaction.model_exponent", 0.0, max_exponent, usual),
            Shape("interaction.labels_exponent", 0.0, max_exponent, usual),
        )

    def features(self, logs: Array, shape: Array) -> Array:
        """Return [1, x_j^-e_j ..., M^u D_f^-v]."""
        k = len(self.axes)
        falling = power(-shape[:, :k, None] * logs.T)
        coupled = power(shape[:, k, None] * logs[:, self.model] - shape[:, k + 1, None] * logs[:, self.labels])
        return np.concatenate([np.ones_like(coupled)[:, None], falling, coupled[:, None]], axis=1)

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return df by every e_j, u and v."""
        parts = self.features(logs, shape) * weights[..., None]
        coupled = parts[:, -1:]
        rise, fall = coupled * logs[:, self.model], -coupled * logs[:, self.labels]
        return np.concatenate([-parts[:, 1:-1] * logs.T, rise, fall], axis=1)

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return the coefficients in raw units, the exponents as they are."""
        k = len(self.axes)
        found = {"floor": weights[:, 0]}
        with np.errstate(divide="ignore", over="ignore"):
            logs = np.log(weights)
            for place, axis in enumerate(self.axes):
                found[f"{axis}.coefficient"] = np.exp(logs[:, 1 + place] + shape[:, place] * log_reference[place])
            moved = shape[:, k + 1] * log_reference[self.labels] - shape[:, k] * log_reference[self.model]
            found["interaction.coefficient"] = np.exp(logs[:, -1] + moved)
        return found | {one.name: shape[:, place] for place, one in enumerate(self.shapes)}

    def latex(self, parameters: Mapping[str, float]) -> str:
        """Return E + c_j x_j^-e_j + ... + d M^u D_f^-v."""
        rise, fall = parameters["interaction.model_exponent"], -parameters["interaction.labels_exponent"]
        coupled = {self.axes[self.model]: rise, self.axes[self.labels]: fall}
        if self.model == self.labels:
            coupled = {self.axes[self.model]: rise + fall}
        additive = AdditiveFormula(self.axes).latex(parameters)
        return sum_of([additive, powers(parameters["interaction.coefficient"], coupled)])

    def from_additive(self, weights: Array, exponents: Array) -> Array:
        """Return the additive law with a coupled term of next to nothing, for some couplings, and with none."""
        count = len(_COUPLINGS)
        base = np.tile(np.concatenate([weights, [0.0], exponents, [0.0, 0.0]]), (count + 1, 1))
        base[:count, len(weights)] = 1e-3
        base[:count, -2:] = np.minimum(_COUPLINGS, self.max_exponent)
        return base


class InteractionLaw(SurfaceLaw):
    """Eq. (1) with a coupled term; settings are those of :class:`SurfaceLaw`, and the axes ``model``, ``labels``."""

    name = "interaction"
    formula_class = Coupled
