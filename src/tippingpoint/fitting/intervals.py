"""Where intervals come from: draws of a law's parameters, whatever the law and whatever made them.

Every source returns :class:`Draws`; what uses them (intervals of parameters, of predictions, of crossings) does not ask
which. The posterior over shapes (:mod:`tippingpoint.fitting.posterior`) is the usual source, the bootstrap over seed
blocks the other; both serve the additive law and its rivals alike.

Notation: R draws, k axes, m weights and q shapes of the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import refit_additive
from tippingpoint.fitting.blocks import FEW_BLOCKS, block_weights, blocks_of
from tippingpoint.fitting.estimation import Estimate
from tippingpoint.fitting.posterior import Posterior, posterior_of
from tippingpoint.fitting.surface import refit_surface
from tippingpoint.fitting.variance import groups_of
from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.formula import Formula

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.fitting.rivals import SurfaceEstimate
    from tippingpoint.runs import Runs

__all__ = ["DEFAULT_RESAMPLES", "Draws", "check_level", "draws_for", "percentiles", "posterior_for"]

Array = NDArray[np.float64]

DEFAULT_RESAMPLES = 1000
_LEAST_EFFECTIVE = 50  # tuples that carry the posterior's weight


@dataclass(frozen=True)
class Draws:
    """Plausible parameters of a fitted law, equally weighted.

    Attributes
    ----------
    parameters : dict of str to ndarray, shape (R,)
        Every parameter in raw units, by the names it is printed with.
    theta : ndarray, shape (R, m + q)
        The same without units: weights before shapes, in the order of the law's formula.
    source : str
        What made them.
    warnings : tuple of str
        What limits them.
    """

    parameters: dict[str, Array]
    theta: Array
    source: str
    warnings: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Return a table with one row per draw and one column per parameter."""
        import pandas as pd

        return pd.DataFrame(self.parameters)


class Frame(NamedTuple):
    """A fitted law without units, and the way back.

    Attributes
    ----------
    formula : Formula
        The law over all its axes.
    told : ndarray of bool, shape (k,)
        Axes with a term of its own; the additive law's term of an axis with one size is part of the floor.
    theta : ndarray, shape (m + q,)
        The fit.
    log_reference : ndarray, shape (k,)
    unit : float
        What y was divided by.
    """

    formula: Formula
    told: NDArray[np.bool_]
    theta: Array
    log_reference: Array
    unit: float

    @property
    def moving(self) -> tuple[Formula, NDArray[np.bool_]]:
        """Return the law over the axes that are told, and which of its m + q parameters are left."""
        if self.told.all():
            return self.formula, np.ones(len(self.theta), dtype=bool)
        axes = [axis for axis, told in zip(self.formula.axes, self.told, strict=True) if told]
        part = type(self.formula)(axes, self.formula.max_exponent)
        shapes = {one.name: one for one in self.formula.shapes}
        part.shapes = tuple(shapes[one.name] for one in part.shapes)
        kept = {*part.weights, *(one.name for one in part.shapes)}
        names = [*self.formula.weights, *(one.name for one in self.formula.shapes)]
        return part, np.array([name in kept for name in names])

    def whole(self, theta: Array) -> Array:
        """Return theta (R, m + q) of the law over all axes, given that of the axes told."""
        _, kept = self.moving
        found = np.zeros((len(theta), len(kept)))
        found[:, kept] = theta
        return found

    def raw(self, theta: Array) -> dict[str, Array]:
        """Return every parameter in raw units, (R,) each, of theta (R, m + q)."""
        m = len(self.formula.weights)
        return self.formula.raw(theta[:, :m] * self.unit, theta[:, m:], self.log_reference)


def draws_for(
    fit: Estimate | SurfaceEstimate, resamples: int, random_state: int | None = None, *, bootstrap: bool = False
) -> Draws:
    """Draw parameters of a fitted law.

    Parameters
    ----------
    fit : Estimate or SurfaceEstimate
        The fit to all runs.
    resamples : int
        R.
    random_state : int or None
        Seed; the same seed gives every law the same resamples of blocks.
    bootstrap : bool, default False
        Refit the law to resampled seed blocks instead of drawing from the posterior over its shapes.

    Returns
    -------
    Draws
    """
    return _bootstrapped(fit, resamples, random_state) if bootstrap else _posterior(fit, resamples, random_state)


def _posterior(fit: Estimate | SurfaceEstimate, resamples: int, random_state: int | None) -> Draws:
    found, frame = posterior_for(fit)
    drawn = found.draw(resamples, np.random.default_rng(random_state))
    warnings = _unknown_spread(fit.runs)
    if drawn.effective < _LEAST_EFFECTIVE:
        warnings.append(
            f"The posterior is poorly resolved ({drawn.effective:.0f} effective tuples); intervals are rough."
        )
    theta = frame.whole(drawn.theta)
    return Draws(frame.raw(theta), theta, "posterior", tuple(warnings))


def posterior_for(fit: Estimate | SurfaceEstimate) -> tuple[Posterior, Frame]:
    """Return the posterior of a fit, over the axes that are told, and the way back to its units.

    Parameters
    ----------
    fit : Estimate or SurfaceEstimate
        The fit to all runs; those of weight 0 do not count.
    """
    frame = _frame(fit)
    formula, kept = frame.moving
    counted = fit.weights > 0
    weights = fit.weights[counted]
    groups = groups_of(fit.runs.frame[counted], len(weights), weights)
    logs = (np.log(fit.sizes[counted]) - frame.log_reference)[:, frame.told]
    found = posterior_of(
        formula,
        logs,
        fit.y[counted] / frame.unit,
        frame.theta[kept],
        fit.chosen.scaled(frame.unit),
        groups,
        weights=weights,
        floor_bounds=_floor_bounds(fit, frame.unit),
    )
    return found, frame


def _frame(fit: Estimate | SurfaceEstimate) -> Frame:
    """Return the fit without units."""
    if not isinstance(fit, Estimate):
        told = np.ones(len(fit.solution.log_reference), dtype=np.bool_)
        return Frame(fit.solution.formula, told, fit.solution.theta, fit.solution.log_reference, fit.solution.y_unit)
    solution = fit.solution
    unit = float(np.abs(fit.y).mean()) or 1.0
    terms = solution.coefficients * solution.reference**-solution.exponents
    theta = np.concatenate([[solution.floor / unit], terms / unit, solution.exponents])
    formula = AdditiveFormula(fit.axes, fit.max_exponent)
    return Frame(formula, ~solution.constant, theta, np.log(solution.reference), unit)


def _floor_bounds(fit: Estimate | SurfaceEstimate, unit: float) -> tuple[float, float]:
    """Return what the setting says of the floor, scaled."""
    if "floor" in fit.setting.fixed:
        return (fit.setting.fixed["floor"] / unit,) * 2
    low, high = fit.setting.bounds.get("floor", (None, None))
    return max(low or 0.0, 0.0) / unit, np.inf if high is None else high / unit


def _bootstrapped(fit: Estimate | SurfaceEstimate, resamples: int, random_state: int | None) -> Draws:
    """Refit a law to resampled seed blocks; few blocks give the same resample often, which is fitted once."""
    blocks, frame = blocks_of(fit.runs.frame), _frame(fit)
    drawn = block_weights(fit.runs.frame, resamples, random_state)
    if isinstance(fit, Estimate):
        theta, converged = _refitted(fit, drawn * fit.weights, frame)
    else:
        distinct, back = np.unique(drawn, axis=0, return_inverse=True)
        done = refit_surface(
            fit.solution,
            fit.sizes,
            fit.y,
            distinct * fit.weights,
            objective=fit.setting.objective,
            huber_delta=fit.setting.huber_delta,
        )
        theta, converged = done.theta[back.ravel()], done.converged[back.ravel()]
    warnings = list(blocks.warnings)
    unsettled = int((~converged).sum())
    if unsettled:
        warnings.append(f"{unsettled} of {resamples} resampled fits did not come to rest; they are kept as they are.")
    return Draws(frame.raw(theta), theta, f"bootstrap over {blocks.kind}", tuple(warnings))


def _refitted(fit: Estimate, weights: Array, frame: Frame) -> tuple[Array, NDArray[np.bool_]]:
    """Return theta (R, m + q) of the additive law's refits, and which came to rest."""
    done = refit_additive(
        fit.sizes,
        fit.y,
        weights,
        fit.solution,
        objective=fit.objective,
        huber_delta=fit.huber_delta,
        max_exponent=fit.max_exponent,
    )
    with np.errstate(divide="ignore"):
        terms = np.exp(np.log(done.coefficients) - done.exponents * frame.log_reference)
    return np.column_stack([done.floor / frame.unit, terms / frame.unit, done.exponents]), done.converged


def _unknown_spread(runs: Runs) -> list[str]:
    """Say what the table does not tell of the noise that runs share."""
    blocks = blocks_of(runs.frame)
    if blocks.kind == "seed blocks" and blocks.count < FEW_BLOCKS:
        return [f"Only {blocks.count} seed blocks: intervals are rough; {FEW_BLOCKS} or more seeds are better."]
    if blocks.kind == "checkpoints":
        return ["There is one seed block only: what its runs share is not in the intervals."]
    if blocks.kind == "rows":
        return ["The table does not tell several seeds apart: its rows are taken as independent."]
    return []


def percentiles(draws: Array, level: float) -> Array:
    """Return the ends (2, ...) of the central interval of draws (R, ...).

    Raises
    ------
    FitError
        The level is not between 0 and 1.
    """
    check_level(level)
    tail = (1 - float(level)) / 2
    ends: Array = np.quantile(draws, [tail, 1 - tail], axis=0)
    return ends


def check_level(level: float) -> None:
    """Raise FitError unless a level is between 0 and 1."""
    if not (isinstance(level, int | float | np.number) and 0 < level < 1):
        raise FitError(f"An interval's level is between 0 and 1, such as 0.9, not {level!r}.")
