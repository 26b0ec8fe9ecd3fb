"""What the runs of a question say so far: the curves of both recipes, and how wide the answer is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.next_belief import Curves, Means, means_of
from tippingpoint.boundary.draws import FittedPair, fit_pair
from tippingpoint.boundary.find import boundary_of
from tippingpoint.boundary.measured import established_signs
from tippingpoint.boundary.paired import pair_up
from tippingpoint.boundary.result import Boundary
from tippingpoint.boundary.selection import Selection, select_pair
from tippingpoint.errors import RunsError
from tippingpoint.fitting.blocks import blocks_of
from tippingpoint.runs import Runs

__all__ = ["Answer", "Prediction", "answer_of", "drawn_of", "limits_of", "width_of"]

Array = NDArray[np.float64]


class Prediction(NamedTuple):
    """One value that is to be known better: which recipe's, and at which size of the axis."""

    side: int
    size: float


@dataclass(frozen=True)
class Answer:
    """The runs of a question, and what they say.

    Attributes
    ----------
    chosen : Selection
        The runs.
    fitted : FittedPair
        Both laws.
    edge : Boundary
        Where the better recipe changes.
    curves : Curves
        Draws of both recipes' curves: the laws', or means of their own at every size.
    basis : str
        ``laws`` or ``runs``.
    """

    chosen: Selection
    fitted: FittedPair
    edge: Boundary
    curves: Curves
    basis: str


def answer_of(
    table: Runs, asked: Mapping[str, Any], pool: str, level: float, resamples: int, random_state: int, *, lawful: bool
) -> Answer:
    """Fit the runs; where the laws miss them, and no law is asked for, take a mean at every size instead."""
    import pandas as pd

    recipes = tuple(asked["recipes"])
    chosen = select_pair(table, **{**asked, "recipes": recipes}, pool=pool)
    fitted = fit_pair(chosen, resamples=resamples, random_state=random_state, objective="log")
    if fitted.joint is None or blocks_of(pd.concat(chosen.frames, ignore_index=True)).kind != "seed blocks":
        raise RunsError(
            "The runs are of one seed block only, and how blocks differ is not known: run some sizes in a second block "
            "first."
        )
    edge = boundary_of(chosen, fitted, notes=table.notes, stage=asked["stage"], level=level)
    pooled = [axis for axis in chosen.at if axis not in chosen.held]
    if edge.laws_hold or lawful or pooled:
        return Answer(chosen, fitted, edge, fitted.joint, "laws")
    return Answer(chosen, fitted, edge, means_of(chosen, resamples, random_state), "runs")


def drawn_of(found: Answer, grid: Array, wanted: Prediction | None) -> Array:
    """Return what is asked for of every draw, (R, G): the difference over the range, or the predicted value."""
    curves = found.curves
    if wanted is not None:
        level, coefficient, exponent = found.fitted.draws.recipes[:, wanted.side].T
        with np.errstate(divide="ignore"):
            value: Array = level + np.exp(np.log(coefficient) - exponent * math.log(wanted.size))
        return value[:, None]
    if isinstance(curves, Means):
        return curves.at(np.log(grid), 0) - curves.at(np.log(grid), 1)
    return found.fitted.draws.values(grid)


def width_of(found: Answer, drawn: Array, grid: Array, level: float, wanted: Prediction | None) -> tuple[float, bool]:
    """Return how wide the answer is, and whether sizes that were run lie on both sides of what is open."""
    if wanted is not None:
        ends = found.fitted.draws.quantiles(drawn[:, 0], level)
        return float(ends[1] - ends[0]), True
    low, high = found.chosen.low * (1 - 1e-9), found.chosen.high * (1 + 1e-9)
    if found.basis == "runs":
        return _measured_width(found, grid, level), bool(low <= grid[0] and grid[-1] <= high)
    tail, decades = (1 - level) / 2, math.log10(grid[-1] / grid[0])
    fine = np.geomspace(grid[0], grid[-1], 4 * len(grid))
    share = (found.fitted.draws.values(fine) > 0).mean(axis=0)
    undecided = (share > tail) & (share < 1 - tail)
    inside = (fine >= low) & (fine <= high)
    turns = len(set((share[inside] > 0.5).tolist())) > 1
    whole = bool(inside.all())
    return float(undecided.mean()) * decades, whole or (turns and not (undecided & ~inside).any())


def _measured_width(found: Answer, grid: Array, level: float) -> float:
    """Return the decades over which the paired runs leave it open which recipe is better.

    Those of the crossings' intervals, open ends taken to the end of the range; without a crossing those beyond the
    outermost sizes at which a difference stands out of its noise.
    """
    low, high = float(grid[0]), float(grid[-1])
    if found.edge.measured:
        ends = [one.interval for one in found.edge.measured]
        return float(sum(math.log10((last or high) / (first or low)) for first, last in ends))
    signs = established_signs(pair_up(found.chosen, level))
    return math.log10(signs[0][0] / low * (high / signs[-1][0])) if signs else math.log10(high / low)


def limits_of(found: Answer, span: tuple[float, float], wanted: Prediction | None, bracketed: bool) -> tuple[str, ...]:
    """Return what limits the ranking."""
    said = list(found.fitted.warnings)
    if found.basis == "runs":
        said.append(
            "The fitted laws miss the paired runs: width and ranking are those of a mean at every size, and only sizes "
            "that were run are known."
        )
    elif not found.edge.laws_hold:
        said.append("The fitted laws miss the paired runs: take the ranking with care.")
    if not bracketed:
        said.append("What is open reaches beyond the sizes that were run: there the laws extrapolate.")
    if wanted is not None and not span[0] <= wanted.size <= span[1]:
        said.append("The prediction lies beyond all sizes on offer: its interval holds only if the law does.")
    return tuple(said)
