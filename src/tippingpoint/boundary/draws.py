r"""Two laws and the joint posterior of their difference, blocks and pairs kept together.

The runs of both recipes are fitted as one (:mod:`tippingpoint.boundary.pair_law`), with the noise that they share: all
runs of a seed block, all runs of one recipe in a block, fine-tunings of one checkpoint, runs of a block that were
fine-tuned on the same images, and pairs of the two recipes that share everything else. What a pair shares cancels in
the difference. How much one recipe's runs share within a block is hardly known from a few blocks: its ratio is
integrated over. See :mod:`tippingpoint.fitting.posterior` and :mod:`tippingpoint.fitting.crossed`;
benchmarks/crossings.py measures how often the intervals of crossings cover the truth.

Notation: R draws; along the axis, draw r has ``F_r(D) = offset_r + a_r D^-alpha_r - b_r D^-alpha'_r``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.noise import shared_noise
from tippingpoint.boundary.pair_law import PairLaw
from tippingpoint.boundary.power_difference import PowerDifference
from tippingpoint.boundary.selection import Selection
from tippingpoint.fitting.additive import AdditiveSolution, fit_additive
from tippingpoint.fitting.blocks import FEW_BLOCKS, blocks_of
from tippingpoint.fitting.crossed import CrossedGroups
from tippingpoint.fitting.intervals import few_draws
from tippingpoint.fitting.objectives import objective_named
from tippingpoint.fitting.posterior import posterior_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Draws", "FittedPair", "Joint", "RecipeFit", "Stacked", "few_blocks", "fit_pair", "fit_recipe"]

Array = NDArray[np.float64]


class RecipeFit(NamedTuple):
    """The law of one recipe along the axis, at the place that was asked for.

    Attributes
    ----------
    recipe, along : str
    level : float
        What is left where the axis is endless, in the target's unit; terms of other axes are in it.
    coefficient, exponent : float
        Of the term that falls along the axis; both 0 where the recipe does not depend on it.
    n_runs : int
    status : str
        Of the fit: ``converged``, ``bound hit``, ``unidentified`` or ``too few runs``.
    reasons : tuple of str
        One sentence for each thing that is not as it should be.
    """

    recipe: str
    along: str
    level: float
    coefficient: float
    exponent: float
    n_runs: int
    status: str
    reasons: tuple[str, ...]

    def predict(self, sizes: Array) -> Array:
        """Return the law at sizes of the axis."""
        if self.coefficient <= 0:
            return np.full(np.shape(sizes), self.level)
        found: Array = self.level + np.exp(np.log(self.coefficient) - self.exponent * np.log(sizes))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the law as plain JSON types, the coefficient in raw units; ``floor`` is the level."""
        term = {self.along: {"coefficient": self.coefficient, "exponent": self.exponent}}
        return {
            "recipe": self.recipe,
            "n_runs": self.n_runs,
            "status": self.status,
            "floor": self.level,
            "terms": term if self.coefficient > 0 else {},
        }


@dataclass(frozen=True)
class Draws:
    """Plausible pairs of laws, equally weighted.

    Attributes
    ----------
    recipes : ndarray, shape (R, 2, 3)
        Level, coefficient and exponent of both recipes along the axis.
    blocks : int
        How many independent blocks there were.
    """

    recipes: Array
    blocks: int

    @property
    def total(self) -> int:
        """How many draws there are."""
        return len(self.recipes)

    @cached_property
    def differences(self) -> tuple[PowerDifference, ...]:
        """F of every draw."""
        return tuple(difference_of(pair) for pair in self.recipes)

    def values(self, sizes: Array) -> Array:
        """Return F of every draw at every size, shape (R, len(sizes))."""
        level, coefficient, exponent = (self.recipes[:, :, place, None] for place in range(3))
        with np.errstate(divide="ignore", over="ignore"):
            curves = level + np.exp(np.log(coefficient) - exponent * np.log(sizes))
        result: Array = curves[:, 0] - curves[:, 1]
        return result

    def quantiles(self, values: Array, level: float) -> tuple[Array, Array]:
        """Return the ends of the central interval of values (R, ...), infinite ones included, never interpolated."""
        tail = (1 - level) / 2
        low, high = np.quantile(values, [tail, 1 - tail], axis=0, method="nearest")
        return low, high

    def middle(self, sizes: Array, kept: NDArray[np.bool_]) -> int:
        """Return which of the kept draws lies nearest to their mean over some sizes."""
        values = self.values(sizes)
        away = ((values - values[kept].mean(axis=0)) ** 2).sum(axis=1)
        return int(np.argmin(np.where(kept, away, np.inf)))


class Joint(NamedTuple):
    """The same draws with all their parameters, and the noise that runs share: what new runs would look like.

    Attributes
    ----------
    stacked : Stacked
        The law of both recipes and the runs that it was fitted to.
    theta : ndarray, shape (R, m + q)
        Every draw's parameters, scaled.
    ratios : dict of str to float
        Variance of each component of shared noise over that of single runs.
    """

    stacked: Stacked
    theta: Array
    ratios: dict[str, float]

    def curves(self, frame: pd.DataFrame, side: NDArray[np.intp]) -> Array:
        """Return the expected target of every draw for rows of sizes and the recipe (0 or 1) of each, (R, n)."""
        data, m = self.stacked, len(self.stacked.law.weights)
        columns = [np.nan_to_num(_logs(frame, axis) - data.log_reference[axis]) for axis in data.law.axes[:-1]]
        logs = np.column_stack([*columns, side.astype(float)])
        shapes = self.theta[:, m:]
        found: Array = data.unit * np.einsum("rm,rmn->rn", self.theta[:, :m], data.law.features(logs, shapes))
        return found


class FittedPair(NamedTuple):
    """Both laws as they are shown, and the draws of the joint posterior.

    Attributes
    ----------
    fits : tuple of RecipeFit
        Fitted one by one, or those of one draw (:meth:`shown`).
    draws : Draws
    warnings : tuple of str
        What limits the draws.
    joint : Joint or None
        What new runs would look like; None without draws.
    """

    fits: tuple[RecipeFit, RecipeFit]
    draws: Draws
    warnings: tuple[str, ...]
    joint: Joint | None = None

    @property
    def difference(self) -> PowerDifference:
        """F of the two laws."""
        return difference_of(np.array([[fit.level, fit.coefficient, fit.exponent] for fit in self.fits]))

    def shown(self, place: int) -> FittedPair:
        """Return the same with the laws of one draw."""
        both = zip(self.fits, self.draws.recipes[place].tolist(), strict=True)
        first, second = (fit._replace(level=a, coefficient=c, exponent=e) for fit, (a, c, e) in both)
        return self._replace(fits=(first, second))


def difference_of(pair: Array) -> PowerDifference:
    """Return F of level, coefficient and exponent of both recipes, shape (2, 3)."""
    (first, a, alpha), (second, b, alpha_prime) = pair.tolist()
    return PowerDifference(first - second, a, alpha, b, alpha_prime)


def fit_pair(
    chosen: Selection, *, resamples: int, random_state: int | np.random.Generator | None, objective: str
) -> FittedPair:
    """Fit both recipes, and draw their difference from the joint posterior.

    Parameters
    ----------
    chosen : Selection
        The runs.
    resamples : int
        Draws; 0 for none. A single seed block gives none either: it says nothing of how blocks differ.
    random_state : int, Generator or None
        Seed of the draws.
    objective : str
        As for :func:`tippingpoint.fitting.additive.fit_additive`.

    Returns
    -------
    FittedPair
    """
    import pandas as pd

    solutions = [
        fit_recipe(axes, frame, chosen.target, objective)
        for axes, frame in zip(chosen.axes, chosen.frames, strict=True)
    ]
    both = pd.concat(chosen.frames, ignore_index=True)
    blocks = blocks_of(both)
    law = PairLaw(chosen.along, [axis for axis in chosen.at if axis not in chosen.held], chosen.axes)
    data = Stacked.of(law, chosen.frames, chosen.target, chosen.at, solutions)
    own, copied = data.recipes(data.start[None]), _are_copies(chosen)
    if copied:  # draws of both are independent, and would part them by what the search leaves of a digit
        own[:, 1] = own[:, 0]
    first, second = (
        RecipeFit(recipe, chosen.along, line[0], line[1], line[2], len(frame), *_state(solution, axes))
        for recipe, axes, frame, solution, line in zip(
            chosen.recipes, chosen.axes, chosen.frames, solutions, own[0].tolist(), strict=True
        )
    )
    draws = Draws(np.empty((0, 2, 3)), blocks.count)
    warnings, joint = few_blocks(both, blocks.kind, blocks.count), None
    if resamples and blocks.count > 1:
        joint, rough = data.joint(resamples, random_state, objective)
        drawn = data.recipes(joint.theta)
        if copied:
            drawn[:, 1] = drawn[:, 0]
        draws = Draws(drawn, blocks.count)
        warnings += rough
    if copied:
        warnings.append("Both recipes have the same scores in all of their runs: is one a copy of the other?")
    return FittedPair((first, second), draws, tuple(warnings), joint)


def _are_copies(chosen: Selection) -> bool:
    """Say whether both recipes have the same runs, sizes and seeds and scores alike."""
    if len(chosen.frames[0]) != len(chosen.frames[1]):
        return False
    told = [*chosen.axes[0], "subset_seed", "seed"]
    names = [*(name for name in told if all(name in frame for frame in chosen.frames)), chosen.target]
    first, second = (frame[names].sort_values(names, ignore_index=True) for frame in chosen.frames)
    return first.equals(second)


def _state(solution: AdditiveSolution | float, axes: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return status and reasons of a fit, axes by their names."""
    if isinstance(solution, float):
        return "converged", ()
    named = (re.sub(r"\baxis (\d+)\b", lambda found: axes[int(found.group(1))], text) for text in solution.reasons)
    return solution.status, tuple(named)


def few_blocks(both: pd.DataFrame, kind: str, count: int) -> list[str]:
    """Say what the table does not tell of the noise that runs share."""
    if not {"subset_seed", "seed", "pretrain_id"} & set(both.columns):
        return ["The table has no subset_seed, seed or pretrain_id: its rows are taken as independent."]
    if kind != "seed blocks":
        return [f"There is one seed block only: {kind} are taken as independent, and how seeds differ is not known."]
    return [f"Only {count} seed blocks: intervals are rough; {FEW_BLOCKS} or more are better."] * (count < FEW_BLOCKS)


def fit_recipe(axes: Sequence[str], frame: pd.DataFrame, target: str, objective: str) -> AdditiveSolution | float:
    """Fit one recipe's additive law; return its mean where it depends on no axis."""
    y = frame[target].to_numpy(dtype=float, na_value=np.nan)
    if not axes:
        return float(np.exp(np.mean(np.log(y)))) if objective_named(objective).on_logs else float(np.mean(y))
    return fit_additive(frame[list(axes)].to_numpy(dtype=float, na_value=np.nan), y, objective=objective)


class Stacked(NamedTuple):
    """All recipes' runs in one, ready for the joint posterior.

    Attributes
    ----------
    law : PairLaw
    logs : ndarray, shape (n, k + 1)
        Log sizes over references, and the recipe.
    y : ndarray, shape (n,)
        The target over ``unit``.
    unit : float
        Its mean size.
    log_reference : dict of str to float
        Of every axis.
    at : dict of str to float
        The place.
    start : ndarray, shape (m + q,)
        The recipes' own additive fits, scaled.
    groups : CrossedGroups
        Which runs share noise.
    """

    law: PairLaw
    logs: Array
    y: Array
    unit: float
    log_reference: dict[str, float]
    at: dict[str, float]
    start: Array
    groups: CrossedGroups

    @classmethod
    def of(
        cls,
        law: PairLaw,
        frames: Sequence[pd.DataFrame],
        target: str,
        at: Mapping[str, float],
        solutions: Sequence[AdditiveSolution | float],
    ) -> Stacked:
        """Stack the runs of K recipes; an axis that a recipe does not have counts as at its reference there."""
        import pandas as pd

        both = pd.concat(frames, ignore_index=True)
        side = np.repeat(np.arange(len(frames), dtype=float), [len(frame) for frame in frames])
        columns, reference = [], {}
        for axis in law.axes[:-1]:
            own = _logs(both, axis)
            reference[axis] = float(np.nanmean(own))
            columns.append(np.nan_to_num(own - reference[axis]))
        y = both[target].to_numpy(dtype=float, na_value=np.nan)
        unit = float(np.abs(y).mean()) or 1.0
        start = _from_fits(law, solutions, reference, unit)
        groups = shared_noise(both, side.astype(np.intp), list(law.axes[:-1]))
        return cls(law, np.column_stack([*columns, side]), y / unit, unit, reference, dict(at), start, groups)

    def recipes(self, theta: Array) -> Array:
        """Return level, coefficient and exponent of every recipe at the place, in raw units, shape (R, K, 3)."""
        scaled = theta.copy()
        scaled[:, : len(self.law.weights)] *= self.unit
        return self.law.recipes_at(scaled, self.at, self.log_reference)

    def draw(
        self, resamples: int, random_state: int | np.random.Generator | None, objective: str
    ) -> tuple[Array, list[str]]:
        """Return draws of theta (R, m + q), and what limits them."""
        joint, said = self.joint(resamples, random_state, objective)
        return joint.theta, said

    def joint(
        self, resamples: int, random_state: int | np.random.Generator | None, objective: str
    ) -> tuple[Joint, list[str]]:
        """Return the draws with the noise that runs share, and what limits them."""
        aim = objective_named(objective).scaled(self.unit)
        found = posterior_of(self.law, self.logs, self.y, self.start, aim, self.groups)
        drawn = found.draw(resamples, np.random.default_rng(random_state))
        said = few_draws(resamples)
        if drawn.effective < _LEAST_EFFECTIVE:
            said.append(
                f"The posterior is poorly resolved ({drawn.effective:.0f} effective tuples): intervals are rough."
            )
        shares = np.array([node.weight for node in found.nodes])
        ratios = np.expm1(shares @ np.log1p(np.array([node.ratios for node in found.nodes])))
        return Joint(self, drawn.theta, dict(zip(self.groups.codes, ratios.tolist(), strict=True))), said


_LEAST_EFFECTIVE = 50


def _logs(frame: pd.DataFrame, axis: str) -> Array:
    found: Array = np.log(frame[axis].to_numpy(dtype=float, na_value=np.nan))
    return found


def _from_fits(
    law: PairLaw, solutions: Sequence[AdditiveSolution | float], log_reference: dict[str, float], unit: float
) -> Array:
    """Return theta (m + q,) of the recipes' additive fits, scaled."""
    known: dict[str, float] = {}
    for side, (own, fit) in enumerate(zip(law.of_recipes, solutions, strict=True)):
        known[f"{side}.level"] = (fit if isinstance(fit, float) else fit.floor) / unit
        if isinstance(fit, float):
            continue
        for axis, c, e in zip(own, fit.coefficients, fit.exponents, strict=True):
            head = f"{side}.fall" if axis == law.along else f"{side}.level.{axis}"
            known[head] = float(c * np.exp(-e * log_reference[axis])) / unit
            known[f"{side}.{axis}.exponent"] = float(e)
    names = (*law.weights, *(shape.name for shape in law.shapes))
    return np.array([known.get(name, 0.0) for name in names])
