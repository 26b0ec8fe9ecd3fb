"""What every law over several axes must keep; subclass the case in your tests to prove yours.

>>> class TestMine(SurfaceLawConformance):  # doctest: +SKIP
...     law = MyLaw
...     weights = (0.1, 0.3)      # floor, coefficient: without units, y about 1 at the references
...     shape = (0.2, 0.5, 0.4)   # exponents

Run them with pytest. A law that passes is fitted, drawn, compared and printed like ours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.formula import Formula
from tippingpoint.laws.surface import SurfaceLaw

__all__ = ["SurfaceLawConformance"]

Array = NDArray[np.float64]


class SurfaceLawConformance:
    """A test case; set ``law``, ``weights`` and ``shape``.

    Attributes
    ----------
    law : type of SurfaceLaw
        The law to examine.
    weights, shape : tuple of float
        Parameters without units, inside their bounds; all weights above 0.
    axes : tuple of str
        The axes to examine it over.
    options : dict
        What else its formula takes.
    """

    law: ClassVar[type[SurfaceLaw]]
    weights: ClassVar[tuple[float, ...]]
    shape: ClassVar[tuple[float, ...]]
    axes: ClassVar[tuple[str, ...]] = ("n_pretrain", "n_params", "n_finetune")
    options: ClassVar[dict[str, Any]] = {}

    def _formula(self) -> Formula:
        return self.law.formula_class(self.axes, **self.options)

    def _sizes(self) -> Array:
        """Return a grid of sizes (n, k), four an axis, over three decades each."""
        grids = [10.0 ** (2 + place) * np.array([1.0, 7.0, 90.0, 1000.0]) for place in range(len(self.axes))]
        return np.stack([column.ravel() for column in np.meshgrid(*grids, indexing="ij")], axis=-1)

    def _problem(self) -> tuple[Formula, Array, Array, Array]:
        """Return formula, logs (n, k), weights (1, m) and shape (1, q)."""
        logs = np.log(self._sizes())
        return self._formula(), logs - logs.mean(axis=0), np.array([self.weights]), np.array([self.shape])

    def test_parameters_agree_in_number(self) -> None:
        """Names, bounds and the given parameters have one length, names differ, and the parameters lie inside."""
        formula = self._formula()
        _require(len(formula.weights) == len(self.weights), f"weights are {formula.weights}; {len(self.weights)} given")
        _require(len(formula.shapes) == len(self.shape), f"{len(formula.shapes)} shapes; {len(self.shape)} given")
        theta = np.array([*self.weights, *self.shape])
        _require(bool(((formula.low <= theta) & (theta <= formula.high)).all()), "the parameters are out of bounds")
        names = [*formula.weights, *(shape.name for shape in formula.shapes)]
        _require(len(set(names)) == len(names), f"two parameters have one name: {names}")

    def test_features_broadcast(self) -> None:
        """Many shapes at once give what each gives alone, in the agreed order of dimensions."""
        formula, logs, weights, shape = self._problem()
        both = formula.features(logs, np.concatenate([shape, shape * 1.01]))
        _require(both.shape == (2, weights.shape[1], len(logs)), f"features have the shape {both.shape}")
        np.testing.assert_allclose(both[1:], formula.features(logs, shape * 1.01), rtol=1e-12, atol=0)

    def test_slopes_are_the_slopes(self) -> None:
        """Central differences agree with the analytic slopes."""
        formula, logs, weights, shape = self._problem()
        slopes = formula.slopes(logs, weights, shape)
        _require(slopes.shape == (1, shape.shape[1], len(logs)), f"slopes have the shape {slopes.shape}")
        for place in range(shape.shape[1]):
            step = np.zeros_like(shape)
            step[0, place] = 1e-6
            rise = formula.features(logs, shape + step) - formula.features(logs, shape - step)
            numeric = np.einsum("rm,rmn->rn", weights, rise) / 2e-6
            np.testing.assert_allclose(slopes[:, place], numeric, rtol=1e-6, atol=1e-8)

    def test_raw_names_every_parameter(self) -> None:
        """Parameters in raw units carry the names of weights and shapes, and are finite."""
        formula, _, weights, shape = self._problem()
        raw = formula.raw(weights, shape, np.log(self._sizes()).mean(axis=0))
        wanted = {*formula.weights, *(one.name for one in formula.shapes)}
        _require(wanted <= set(raw), f"raw() lacks {sorted(wanted - set(raw))}")
        _require(all(np.isfinite(column).all() for column in raw.values()), "raw() gives what is not finite")

    def test_truth_is_recovered(self) -> None:
        """A surface of the law itself is fitted to 1e-6, and rescaled axes change nothing but units."""
        from tippingpoint.fitting.surface import fit_surface

        formula, logs, weights, shape = self._problem()
        y = np.einsum("rm,rmn->n", weights, formula.features(logs, shape))
        sizes = self._sizes()
        found = fit_surface(formula, sizes, y, objective="log")
        np.testing.assert_allclose(found.predict(sizes), y, rtol=1e-6, atol=0)
        other = fit_surface(formula, sizes * 1e6, y, objective="log")
        np.testing.assert_allclose(other.predict(sizes * 1e6), y, rtol=1e-6, atol=0)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
