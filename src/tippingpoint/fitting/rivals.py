"""Rivals of the additive law: from runs and a formula to an estimate, its draws, and what it says of each axis."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.inputs import fit_inputs, independent_runs, read_inputs
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.search import MOST_AXES
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.surface import SurfaceSolution, fit_surface
from tippingpoint.laws.constrained import Constrained, constrain
from tippingpoint.laws.formula import Formula
from tippingpoint.runs import Runs

__all__ = ["AxisFinding", "SurfaceEstimate", "estimate_surface"]

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
        How far the target moves from the smallest to the largest size of the data, the other axes at their middle (the
        geometric mean of the runs, each by its weight).
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
        How much each run counted: ones, or a column of weights; under ``binomial`` times 1/(1/n_test + rho), scaled to
        keep their sum. Refits and posteriors start from these.
    chosen : Objective
        What was minimised.
    independent : float
        Runs that count as independent: checkpoints where they are told.
    over_dispersion : float or None
        Under ``binomial`` rho: how much more the rates vary than sampling explains, as a share of f (1 - f).
    """

    solution: SurfaceSolution
    target: str
    sizes: Array
    y: Array
    runs: Runs
    setting: FitSetting
    weights: Array
    chosen: Objective
    independent: float
    over_dispersion: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was set aside, and what the over-dispersion means."""
        return self.runs.notes

    @cached_property
    def findings(self) -> tuple[AxisFinding, ...]:
        """One for each axis; the law is fitted again without it."""
        return tuple(self._finding(place) for place in range(self.sizes.shape[1]))

    def _finding(self, place: int) -> AxisFinding:
        solution = self.solution
        middle = np.exp(np.average(np.log(self.sizes), axis=0, weights=self.weights))
        ends = np.tile(middle, (2, 1))
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
        linear = float(np.average(residuals > self.chosen.delta, weights=self.weights)) if self.chosen.on_logs else 0.0
        best = float(self.weights @ self.chosen.loss(solution.predict(self.sizes), self.chosen.aim(self.y)))
        exact = 1e-24 * float(self.weights.sum())
        ratio = np.log(max((other.objective + exact) / (best + exact), 1.0))
        needed = bool(self.independent * (1 + linear) * ratio > _NOT_NEEDED)
        return AxisFinding(*self._verdict(place, needed, float(low - high)))

    def _verdict(self, place: int, needed: bool, fall: float) -> tuple[bool, float, bool, str]:
        axis = self.solution.formula.axes[place]
        bounds = [reason for reason in self.solution.reasons if re.search(rf"(^|= ){re.escape(axis)}\b", reason)]
        law = self.solution.formula
        own = [shape.name for shape in law.inner.shapes if shape.axis == axis] if isinstance(law, Constrained) else []
        if bounds:
            reason = bounds[0].rstrip(".")
        elif not needed:
            reason = "leaving it out makes the fit no worse than chance would"
        elif isinstance(law, Constrained) and own and all(name in law.fixed for name in own):
            reason = "its exponent was given"
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
    inputs = read_inputs(runs, formula.axes, target, setting)
    law = constrain(formula, setting.fixed, setting.bounds, setting.shared)

    def fit(weights: Array, start: SurfaceSolution | None) -> SurfaceSolution:
        return fit_surface(
            law,
            inputs.sizes,
            inputs.y,
            weights=weights,
            objective=setting.objective,
            huber_delta=setting.huber_delta,
            start=start,
        )

    solution, weights, over_dispersion, runs = fit_inputs(fit, inputs, lambda one: one.n_parameters)
    count = independent_runs(runs, inputs.counts)
    return SurfaceEstimate(
        solution, target, inputs.sizes, inputs.y, runs, setting, weights, inputs.objective, count, over_dispersion
    )
