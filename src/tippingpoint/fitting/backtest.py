r"""How well a law foretells what it has not seen: hold out the largest scale of each axis, or one block of seeds.

A *fold* is a set of rows that a law does not see and must predict. Its score is the root mean square of
log(predicted / seen) (RMSLE; plain differences over the mean for targets that are not positive), in which a row counts
as much as in the fit. Folds come from the
rows given and nothing else, so that a choice made by them may be judged on rows kept aside.

* ``n_params``, ... (one an axis): the rows of the axis's largest sizes, from the top until a tenth of the rows is out.
* ``block``: one block of seeds after the other, scored together; says how well a law fits, not how far it reaches.

Notation: n runs, k axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import fit_additive
from tippingpoint.fitting.blocks import blocks_of
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.surface import fit_surface
from tippingpoint.laws.additive import AdditivePowerLaw
from tippingpoint.laws.formula import Formula
from tippingpoint.laws.registry import law_named
from tippingpoint.runs import Runs

__all__ = ["Fitted", "Fitter", "Fold", "block_folds", "fitter", "fold_score", "largest_folds"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SHARE = 0.1  # of the rows that the largest sizes of an axis must make up
_LEAST_KEPT = 2  # sizes of the axis that must be left to learn from
_MOST_BLOCKS = 10  # blocks left out one after the other; more are left out in ten groups


class Fitted(Protocol):
    """What a fitted law of arrays offers."""

    @property
    def objective(self) -> float:
        """The sum that was minimised."""

    @property
    def status(self) -> str:
        """The state of the fit."""

    def predict(self, sizes: Array, /) -> Array:
        """Return the law at sizes (points, k)."""


Fitter = Callable[[Array, Array, Array], Fitted]


class Fold(NamedTuple):
    """Rows to hold out together.

    Attributes
    ----------
    name : str
        The axis, or ``block``.
    held : ndarray of bool, shape (n,)
        Which rows are held out.
    """

    name: str
    held: Mask


class _Minimised(TypedDict):
    objective: str
    huber_delta: float


def fitter(name: str, axes: Sequence[str], setting: FitSetting) -> tuple[Fitter, int]:
    """Return how a law of a name is fitted to sizes (n, k), y and weights (n,), and how many parameters it has.

    Raises
    ------
    FitError
        The law is unknown or needs an axis that is not there.
    """
    law = law_named(name)
    if not hasattr(law, "formula_class") and law is not AdditivePowerLaw:
        raise FitError(f"'{name}' is an average of other laws; compare those.")
    minimised: _Minimised = {"objective": setting.objective, "huber_delta": setting.huber_delta}
    if law is AdditivePowerLaw:

        def additive(sizes: Array, y: Array, weights: Array) -> Fitted:
            return fit_additive(sizes, y, weights=weights, **minimised, max_exponent=setting.max_exponent)

        return additive, 1 + 2 * len(axes)
    formula: Formula = law.formula_class(axes, max_exponent=setting.max_exponent)

    def surface(sizes: Array, y: Array, weights: Array) -> Fitted:
        return fit_surface(formula, sizes, y, weights=weights, **minimised)

    return surface, len(formula.weights) + len(formula.shapes)


def largest_folds(sizes: Array, axes: Sequence[str], weights: Array | None = None) -> list[Fold]:
    """Return one fold for each axis that has three sizes or more: its largest scale.

    Parameters
    ----------
    sizes : ndarray, shape (n, k)
    axes : sequence of k str
    weights : ndarray, shape (n,), optional
        How often each row counts, above 0.

    Returns
    -------
    list of Fold
        Empty where no axis has three sizes.
    """
    folds = []
    share = np.full(len(sizes), 1 / max(len(sizes), 1)) if weights is None else weights / weights.sum()
    for axis, column in zip(axes, sizes.T, strict=True):
        distinct = np.unique(column)
        for size in distinct[: _LEAST_KEPT - 1 : -1]:
            held = column >= size
            if share[held].sum() >= _SHARE * (1 - 1e-12):
                folds.append(Fold(axis, held))
                break
    return folds


def block_folds(runs: Runs) -> list[Fold]:
    """Return folds that each leave out one block of seeds, at most ten; none where there is a single block."""
    blocks = blocks_of(runs.frame)
    if blocks.count < 2:
        return []
    groups = blocks.codes % min(blocks.count, _MOST_BLOCKS)
    return [Fold("block", groups == group) for group in range(int(groups.max()) + 1)]


def fold_score(fit: Fitter, sizes: Array, y: Array, weights: Array, fold: Fold) -> float:
    """Return the weighted mean squared log error (or relative error) on a fold's rows of a law fitted to all others.

    Infinite where the law cannot be fitted or predicts what has no logarithm.
    """
    try:
        law = fit(sizes[~fold.held], y[~fold.held], weights[~fold.held])
    except FitError:
        return float("inf")
    predicted, seen = law.predict(sizes[fold.held]), y[fold.held]
    if (y > 0).all():
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.log(predicted) - np.log(seen)
    else:
        error = (predicted - seen) / np.average(np.abs(y), weights=weights)
    score = float(np.average(error**2, weights=weights[fold.held]))
    return score if np.isfinite(score) else float("inf")
