"""Rivals of the additive law: from runs and a formula to an estimate, its draws, and what it says of each axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.inputs import read_inputs
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.search import MOST_AXES
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.surface import SurfaceSolution, fit_surface
from tippingpoint.laws.formula import Formula
from tippingpoint.runs import Runs

__all__ = ["AxisFinding", "SurfaceEstimate", "estimate_surface", "independent_runs"]

Array = NDArray[np.float64]

_NOT_NEEDED = 4.605  # 90% point of chi-squared with two degrees of freedom, as for the additive law's terms


@dataclass(frozen=True)
class AxisFinding:
    """What a law says of one axis.

    Attributes
    ----------
    identified : bool
        Whether the law needs the axis and the data determine its parameters.
    swing : float
        How far the target moves from the smallest to the largest size of the data, the other axes at their middle.
    needed : bool
        Whether the fit is visibly worse with the axis left out.
    reason : str
        Why it is not identified; empty if it is.
    """

    identified: bool
    swing: float
    needed: bool
    reason: str


@dataclass(frozen=True)
class SurfaceEstimate:
    """A formula fitted to one group of runs, with the data.

    Attributes
    ----------
    solution : SurfaceSolution
    target : str
    sizes : ndarray, shape (n, k)
    y : ndarray, shape (n,)
    runs : Runs
    setting : FitSetting
        What the fit was told.
    weights : ndarray, shape (n,)
        How much each run counted: ones unless a column of weights was named. Refits and posteriors start from these.
    chosen : Objective
        What was minimised.
    """

    solution: SurfaceSolution
    target: str
    sizes: Array
    y: Array
    runs: Runs
    setting: FitSetting
    weights: Array
    chosen: Objective

    @cached_property
    def findings(self) -> tuple[AxisFinding, ...]:
        """One for each axis; the law is fitted again without it."""
        return tuple(self._finding(place) for place in range(self.sizes.shape[1]))

    def _finding(self, place: int) -> AxisFinding:
        solution = self.solution
        ends = np.exp(np.tile(solution.log_reference, (2, 1)))
        ends[:, place] = self.sizes[:, place].min(), self.sizes[:, place].max()
        low, high = solution.predict(ends)
        without = self.sizes.copy()
        without[:, place] = ends[0, place]
        other = fit_surface(
            solution.formula,
            without,
            self.y,
            weights=self.weights,
            objective=self.setting.objective,
            huber_delta=self.setting.huber_delta,
        )
        residuals = np.abs(np.log(np.maximum(solution.predict(self.sizes), 1e-300)) - np.log(np.abs(self.y) + 1e-300))
        linear = float((residuals > self.chosen.delta).mean()) if self.chosen.on_logs else 0.0
        exact = 1e-24 * len(self.y)
        ratio = np.log(max((other.objective + exact) / (solution.objective + exact), 1.0))
        needed = bool(independent_runs(self.runs) * (1 + linear) * ratio > _NOT_NEEDED)
        return AxisFinding(*self._verdict(place, needed, float(low - high)))

    def _verdict(self, place: int, needed: bool, fall: float) -> tuple[bool, float, bool, str]:
        axis = self.solution.formula.axes[place]
        bounds = [reason for reason in self.solution.reasons if reason.startswith(axis)]
        if bounds:
            reason = bounds[0].rstrip(".")
        elif not needed:
            reason = "leaving it out makes the fit no worse than chance would"
        elif self.solution.status in {"unidentified", "too few runs"}:
            reason = "several parameters of the law are not determined"
        else:
            reason = ""
        return not reason, abs(fall), needed, reason


def estimate_surface(runs: Runs, formula: Formula, target: str, setting: FitSetting) -> SurfaceEstimate:
    """Fit a formula to a group of runs.

    Parameters
    ----------
    runs : Runs
        One group.
    formula : Formula
        The law; its axes are columns.
    target : str
        Column to explain.
    setting : FitSetting
        What is minimised, how much each run counts, and what holds the parameters.

    Returns
    -------
    SurfaceEstimate

    Raises
    ------
    RunsError
        Cells are missing or out of range, with their rows.
    FitError
        A setting is wrong.
    """
    if len(formula.axes) > MOST_AXES:
        raise FitError(f"A law has 1 to {MOST_AXES} axes, not {len(formula.axes)}.")
    sizes, y, weights, chosen = read_inputs(runs, formula.axes, target, setting)
    solution = fit_surface(
        formula, sizes, y, weights=weights, objective=setting.objective, huber_delta=setting.huber_delta
    )
    return SurfaceEstimate(solution, target, sizes, y, runs, setting, weights, chosen)


def independent_runs(runs: Runs) -> int:
    """Return how many runs count as independent: checkpoints where they are told, else rows."""
    if "pretrain_id" in runs.frame.columns:
        known = runs.frame["pretrain_id"]
        return max(int(known.nunique() + known.isna().sum()), 1)
    return len(runs)
