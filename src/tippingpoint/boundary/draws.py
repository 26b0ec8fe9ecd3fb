"""Two laws, fitted to the data and to resampled seed blocks, and the difference that each pair of fits makes.

Notation: R draws; each is one set of resampled blocks, the *same* for both recipes, so that what a block does to both
cancels in the difference as it does in the data. Along the axis, draw r has
``F_r(D) = offset_r + a_r D^-alpha_r - b_r D^-alpha'_r``; what pooled axes contribute at ``at`` is in the offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.power_difference import PowerDifference
from tippingpoint.boundary.selection import Selection
from tippingpoint.fitting.additive import AdditiveSolution, fit_additive, refit_additive
from tippingpoint.fitting.blocks import block_weights, blocks_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Draws", "FittedPair", "RecipeFit", "fit_pair"]

Array = NDArray[np.float64]
_LEAST_SIZES = 3  # of the axis that a resample must keep to be fitted


class RecipeFit(NamedTuple):
    """The law of one recipe.

    Attributes
    ----------
    recipe : str
    axes : tuple of str
        Empty where the recipe does not depend on any axis: a constant.
    floor : float
        In the target's unit; a constant recipe's only parameter.
    solution : AdditiveSolution or None
        None for a constant.
    n_runs : int
    """

    recipe: str
    axes: tuple[str, ...]
    floor: float
    solution: AdditiveSolution | None
    n_runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the law as plain JSON types, coefficients in raw units."""
        fit = self.solution
        terms = (
            {} if fit is None else dict(zip(self.axes, zip(fit.coefficients, fit.exponents, strict=True), strict=True))
        )
        return {
            "recipe": self.recipe,
            "n_runs": self.n_runs,
            "status": "converged" if fit is None else fit.status,
            "floor": self.floor,
            "terms": {axis: {"coefficient": float(c), "exponent": float(e)} for axis, (c, e) in terms.items()},
        }


@dataclass(frozen=True)
class Draws:
    """Resampled differences: distinct resamples once, with how often each was drawn.

    Attributes
    ----------
    parameters : ndarray, shape (R, 5)
        offset, a, alpha, b, alpha' of each distinct draw.
    counts : ndarray of int, shape (R,)
        How often it was drawn.
    blocks : int
        How many independent blocks there were.
    failed : int
        Resamples left out because they kept too few sizes of a recipe.
    """

    parameters: Array
    counts: NDArray[np.intp]
    blocks: int
    failed: int

    @property
    def total(self) -> int:
        """How many draws there are."""
        return int(self.counts.sum())

    @cached_property
    def differences(self) -> tuple[PowerDifference, ...]:
        """F of every distinct draw."""
        return tuple(PowerDifference(*map(float, row)) for row in self.parameters)

    def values(self, sizes: Array) -> Array:
        """Return F of every distinct draw at every size, shape (R, len(sizes))."""
        offset, a, alpha, b, alpha_prime = (column[:, None] for column in self.parameters.T)
        x = np.log(sizes)
        with np.errstate(divide="ignore", over="ignore"):
            result: Array = offset + np.exp(np.log(a) - alpha * x) - np.exp(np.log(b) - alpha_prime * x)
        return result

    def quantiles(self, values: Array, low: float, high: float) -> tuple[Array, Array]:
        """Return two quantiles over draws of values of shape (R, ...), infinite ones included, never interpolated."""
        order = np.argsort(values, axis=0, kind="stable")
        ranked = np.take_along_axis(values, order, axis=0)
        share = np.cumsum(self.counts[order], axis=0) / self.total
        places = [np.argmax(share >= q - 1e-12, axis=0)[None] for q in (low, high)]
        first, last = (np.take_along_axis(ranked, place, axis=0)[0] for place in places)
        return first, last


class FittedPair(NamedTuple):
    """Both laws, their difference and its draws."""

    fits: tuple[RecipeFit, RecipeFit]
    difference: PowerDifference
    draws: Draws
    warnings: tuple[str, ...]


def fit_pair(
    chosen: Selection, *, resamples: int, random_state: int | np.random.Generator | None, objective: str
) -> FittedPair:
    """Fit both recipes and refit them on the same resampled blocks.

    Parameters
    ----------
    chosen : Selection
        The runs.
    resamples : int
        Draws; 0 for none.
    random_state : int, Generator or None
        Seed of the resampling.
    objective : str
        As for :func:`tippingpoint.fitting.additive.fit_additive`.

    Returns
    -------
    FittedPair
    """
    import pandas as pd

    sides = [
        _Side(recipe, axes, frame, chosen, objective)
        for recipe, axes, frame in zip(chosen.recipes, chosen.axes, chosen.frames, strict=True)
    ]
    both = pd.concat(chosen.frames, ignore_index=True)
    blocks = blocks_of(both)
    split = len(chosen.frames[0])
    draws = Draws(np.empty((0, 5)), np.empty(0, dtype=np.intp), blocks.count, 0)
    if resamples and blocks.count > 1:
        weights, counts = np.unique(block_weights(both, resamples, random_state), axis=0, return_counts=True)
        usable = sides[0].usable(weights[:, :split]) & sides[1].usable(weights[:, split:])
        failed = int(counts[~usable].sum())
        weights, counts = weights[usable], counts[usable]
        if len(weights):
            parts = sides[0].refit(weights[:, :split]), sides[1].refit(weights[:, split:])
            draws = Draws(_differences(*parts), counts, blocks.count, failed)
    own = [side.parameters() for side in sides]
    difference = PowerDifference(*map(float, _differences(own[0], own[1])[0]))
    return FittedPair((sides[0].fit, sides[1].fit), difference, draws, blocks.warnings)


def _differences(first: Array, second: Array) -> Array:
    """Return offset, a, alpha, b, alpha' from (constant, coefficient, exponent) of both, shape (R, 5)."""
    return np.column_stack([first[:, 0] - second[:, 0], first[:, 1:], second[:, 1:]])


class _Side:
    """One recipe: its arrays, its fit and its refits."""

    def __init__(
        self, recipe: str, axes: tuple[str, ...], frame: pd.DataFrame, chosen: Selection, objective: str
    ) -> None:
        self.axes, self.along, self.at, self.objective = axes, chosen.along, chosen.at, objective
        self.y = frame[chosen.target].to_numpy(dtype=float, na_value=np.nan)
        self.sizes = frame[list(axes)].to_numpy(dtype=float, na_value=np.nan)
        solution = fit_additive(self.sizes, self.y, objective=objective) if axes else None
        floor = float(self._constant(np.ones((1, len(self.y))))[0]) if solution is None else solution.floor
        self.fit = RecipeFit(recipe, axes, floor, solution, len(self.y))

    def _constant(self, weights: Array) -> Array:
        """Return the weighted mean of a recipe that depends on no axis; in logs where the objective is."""
        on_logs = self.objective != "squares"
        values = np.log(self.y) if on_logs else self.y
        mean: Array = weights @ values / weights.sum(axis=1)
        return np.exp(mean) if on_logs else mean

    def usable(self, weights: Array) -> NDArray[np.bool_]:
        """Return which resamples keep enough of this recipe."""
        kept = weights > 0
        if self.along not in self.axes:
            return np.asarray(kept.any(axis=1))
        _, codes = np.unique(self.sizes[:, self.axes.index(self.along)], return_inverse=True)
        present = np.stack([kept[:, codes == code].any(axis=1) for code in range(codes.max() + 1)])
        return np.asarray(present.sum(axis=0) >= _LEAST_SIZES)

    def refit(self, weights: Array) -> Array:
        """Return (constant, coefficient, exponent) along the axis for each set of weights, shape (R, 3)."""
        if self.fit.solution is None:
            constant = self._constant(weights)
            return np.column_stack([constant, np.zeros((len(constant), 2))])
        found = refit_additive(self.sizes, self.y, weights, self.fit.solution, objective=self.objective)
        return self._place(found.floor, found.coefficients, found.exponents)

    def parameters(self) -> Array:
        """Return (constant, coefficient, exponent) of the fit itself, shape (1, 3)."""
        fit = self.fit.solution
        if fit is None:
            return np.array([[self.fit.floor, 0.0, 0.0]])
        return self._place(np.array([fit.floor]), fit.coefficients[None], fit.exponents[None])

    def _place(self, floor: Array, coefficients: Array, exponents: Array) -> Array:
        """Add the terms of the other axes at their place to the floor."""
        constant = floor.copy()
        along = np.zeros((len(floor), 2))
        for place, axis in enumerate(self.axes):
            if axis == self.along:
                along = np.column_stack([coefficients[:, place], exponents[:, place]])
            else:
                constant += coefficients[:, place] * self.at[axis] ** -exponents[:, place]
        return np.column_stack([constant, along])
