"""Where intervals come from: draws of a law's parameters, whatever the law and whatever made them.

Every source returns :class:`Draws`; what uses them (intervals of parameters, of predictions, of crossings) does not ask
which. The posterior over shapes (:mod:`tippingpoint.fitting.posterior`) is the usual source, the bootstrap over seed
blocks the other; both serve the additive law and its rivals alike.

Notation: R draws, k axes, m weights and q shapes of the law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import refit_additive
from tippingpoint.fitting.blocks import FEW_BLOCKS, block_weights, blocks_of
from tippingpoint.fitting.crossed import study_groups
from tippingpoint.fitting.estimation import Estimate
from tippingpoint.fitting.posterior import Posterior, posterior_of
from tippingpoint.fitting.surface import SurfaceSolution, refit_surface
from tippingpoint.fitting.variance import Shared, groups_of
from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.constrained import Constrained, constrain
from tippingpoint.laws.formula import Formula

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.fitting.rivals import SurfaceEstimate
    from tippingpoint.runs import Runs

__all__ = ["DEFAULT_RESAMPLES", "Draws", "check_level", "draws_for", "few_draws", "percentiles", "posterior_for"]

Array = NDArray[np.float64]

DEFAULT_RESAMPLES = 1000
_LOOKED_AT = 32  # runs at which draws are held against the fit
_FEWEST_DRAWS = 20  # below it the ends of a 90% interval are the least and greatest draw
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


class Scaled(NamedTuple):
    """A fitted law without units, and the way back.

    Attributes
    ----------
    formula : Formula
        The law over the axes that are told.
    told : ndarray of bool, shape (k,)
        Which these are: the additive law's term of an axis with one size is part of the floor.
    theta : ndarray, shape (m + q,)
        The fit, in the order of ``formula``.
    log_reference : ndarray, shape (k,)
        Of all axes.
    unit : float
        What y was divided by.
    names : tuple of str
        All parameters, in the order in which they are shown.
    """

    formula: Formula
    told: NDArray[np.bool_]
    theta: Array
    log_reference: Array
    unit: float
    names: tuple[str, ...]

    def raw(self, theta: Array) -> dict[str, Array]:
        """Return every parameter in raw units, (R,) each, of theta (R, m + q); those of axes not told are 0."""
        m, none = len(self.formula.weights), np.zeros(len(theta))
        found = self.formula.raw(theta[:, :m] * self.unit, theta[:, m:], self.log_reference[self.told])
        return {name: found.get(name, none) for name in self.names}


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
    drawn = _bootstrapped(fit, resamples, random_state) if bootstrap else _posterior(fit, resamples, random_state)
    return replace(drawn, warnings=(*drawn.warnings, *few_draws(resamples)))


def few_draws(count: int) -> list[str]:
    """Say that there are too few draws for the ends of an interval: one draw alone has an interval without width."""
    if count >= _FEWEST_DRAWS:
        return []
    draws = "1 draw" if count == 1 else f"{count} draws"
    return [f"Intervals and probabilities are of {draws} only and mean little; take 1000 or more."]


def _posterior(fit: Estimate | SurfaceEstimate, resamples: int, random_state: int | None) -> Draws:
    found, scaled = posterior_for(fit)
    drawn = found.draw(resamples, np.random.default_rng(random_state))
    warnings = _unknown_spread(fit.runs)
    if drawn.effective < _LEAST_EFFECTIVE:
        warnings.append(
            f"The posterior is poorly resolved ({drawn.effective:.0f} effective tuples); intervals are rough."
        )
    if _apart(fit, scaled, drawn.theta):
        warnings.append(
            "The intervals lie apart from the fit: the law does not follow these runs closely enough for them to hold. "
            "Try another law, or the bootstrap."
        )
    parameters = scaled.raw(drawn.theta)
    away = _outside(scaled.raw(scaled.theta[None]), parameters)
    if away:
        lie = "lies" if len(away) == 1 else "lie"
        warnings.append(
            f"The fitted {', '.join(away)} {lie} outside the middle 90% of the draws: the fit takes every run as "
            "independent, the intervals know what runs share. Trust the intervals."
        )
    return _in_form(fit, parameters, drawn.theta, "posterior", warnings)


def _outside(fitted: dict[str, Array], drawn: dict[str, Array]) -> list[str]:
    """Return the parameters whose fitted value lies beyond the middle 90% of their draws, exponents and floor only."""
    found = []
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.05, 0.95])
        slack = 1e-9 * max(abs(low), abs(high))
        if not name.endswith("coefficient") and not low - slack <= fitted[name][0] <= high + slack:
            found.append(name)
    return found


def _apart(fit: Estimate | SurfaceEstimate, scaled: Scaled, theta: Array) -> bool:
    """Whether the draws miss the fitted curve at most of the runs, which only a law that is far off makes them do."""
    m, some = len(scaled.formula.weights), np.unique(np.linspace(0, len(fit.y) - 1, _LOOKED_AT).astype(int))
    logs = (np.log(fit.sizes[some]) - scaled.log_reference)[:, scaled.told]
    rows = np.vstack([scaled.theta, theta])
    own, *drawn = np.einsum("rm,rmn->rn", rows[:, :m], scaled.formula.features(logs, rows[:, m:]))
    slack = 1e-6 * np.abs(own)
    outside = (own < np.min(drawn, axis=0) - slack) | (own > np.max(drawn, axis=0) + slack)
    return bool(outside.mean() > 0.5)


def posterior_for(fit: Estimate | SurfaceEstimate) -> tuple[Posterior, Scaled]:
    """Return the posterior of a fit, over the axes that are told, and the way back to its units.

    Parameters
    ----------
    fit : Estimate or SurfaceEstimate
        The fit to all runs; those of weight 0 do not count.
    """
    scaled = _additive_scaled(fit) if isinstance(fit, Estimate) else _surface_scaled(fit.solution)
    counted = fit.weights > 0
    weights = fit.weights[counted]
    frame, sizes = fit.runs.frame[counted], fit.sizes[counted][:, scaled.told]
    groups: Shared | None = study_groups(frame, sizes) if (weights == weights[0]).all() else None
    if groups is None:
        groups = groups_of(frame, len(weights), weights)
    logs = np.log(sizes) - scaled.log_reference[scaled.told]
    found = posterior_of(
        scaled.formula.in_units(scaled.unit),
        logs,
        fit.y[counted] / scaled.unit,
        scaled.theta,
        fit.chosen.scaled(scaled.unit),
        groups,
        weights=weights,
    )
    return found, scaled


def _surface_scaled(solution: SurfaceSolution) -> Scaled:
    told = np.ones(len(solution.log_reference), dtype=np.bool_)
    theta, reference = solution.theta, solution.log_reference
    return Scaled(solution.formula, told, theta, reference, solution.y_unit, tuple(solution.parameters))


def _additive_scaled(fit: Estimate) -> Scaled:
    """Return the additive law over the axes that are told, under the constraints that say something of them."""
    solution, told = fit.solution, ~fit.solution.constant
    axes = [axis for axis, one in zip(fit.axes, told, strict=True) if one]
    law: Formula = AdditiveFormula(axes, fit.setting.max_exponent)
    exponents = solution.exponents[told]
    known = {"floor", *(shape.name for shape in law.shapes)}
    shared = [[name for name in group if name in known] for group in fit.setting.shared]
    law = constrain(
        law,
        {name: value for name, value in fit.setting.fixed.items() if name in known},
        {name: ends for name, ends in fit.setting.bounds.items() if name in known},
        [group for group in shared if len(group) > 1],
    )
    if isinstance(law, Constrained):
        first = {law.place_of(shape.name): place for place, shape in reversed(list(enumerate(law.inner.shapes)))}
        exponents = exponents[[first[place] for place in range(len(law.shapes))]]
    unit = float(np.abs(fit.y).mean()) or 1.0
    terms = (solution.coefficients * solution.reference**-solution.exponents)[told]
    theta = np.concatenate([[solution.floor / unit], terms / unit, exponents])
    names = ["floor", *(f"{axis}.{what}" for axis in fit.axes for what in ("coefficient", "exponent"))]
    return Scaled(law, told, theta, np.log(solution.reference), unit, tuple(names))


def _bootstrapped(fit: Estimate | SurfaceEstimate, resamples: int, random_state: int | None) -> Draws:
    """Refit a law to resampled seed blocks."""
    blocks = blocks_of(fit.runs.frame)
    weights = block_weights(fit.runs.frame, resamples, random_state)
    theta = np.empty((resamples, 0))
    if not isinstance(fit, Estimate):
        theta, converged = _refitted(fit, fit.solution, fit.sizes, weights)
        parameters = _surface_scaled(fit.solution).raw(theta)
    elif fit.held is not None:
        held = fit.held
        theta, converged = _refitted(fit, held.inner, fit.sizes[:, held.moving], weights)
        found, none = held.inner.raw(theta), np.zeros(resamples)
        parameters = {name: found.get(name, none) for name in _additive_scaled(fit).names}
    else:
        parameters, converged = _refitted_additive(fit, weights)
    warnings = list(blocks.warnings)
    unsettled = int((~converged).sum())
    if unsettled:
        warnings.append(f"{unsettled} of {resamples} resampled fits did not come to rest; they are kept as they are.")
    return _in_form(fit, parameters, theta, f"bootstrap over {blocks.kind}", warnings)


def _refitted(
    fit: Estimate | SurfaceEstimate, solution: SurfaceSolution, sizes: Array, weights: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Return theta (R, m + q) of refits, and which came to rest; what few blocks give often is fitted once."""
    distinct, back = np.unique(weights, axis=0, return_inverse=True)
    done = refit_surface(
        solution,
        sizes,
        fit.y,
        distinct * fit.weights,
        objective=fit.setting.objective,
        huber_delta=fit.setting.huber_delta,
    )
    return done.theta[back.ravel()], done.converged[back.ravel()]


def _refitted_additive(fit: Estimate, weights: Array) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Return the raw parameters of the additive law's refits, and which came to rest."""
    done = refit_additive(
        fit.sizes,
        fit.y,
        weights * fit.weights,
        fit.solution,
        objective=fit.setting.objective,
        huber_delta=fit.setting.huber_delta,
        max_exponent=fit.setting.max_exponent,
    )
    found = {"floor": done.floor}
    for place, axis in enumerate(fit.axes):
        found |= {f"{axis}.coefficient": done.coefficients[:, place], f"{axis}.exponent": done.exponents[:, place]}
    return found, done.converged


def _in_form(
    fit: Estimate | SurfaceEstimate, parameters: dict[str, Array], theta: Array, source: str, warnings: list[str]
) -> Draws:
    """Return draws; those of the additive law, whatever holds its parameters, in the form of its own formula."""
    if isinstance(fit, Estimate):
        unit = float(np.abs(fit.y).mean()) or 1.0
        columns = [parameters["floor"] / unit]
        exponents = [parameters[f"{axis}.exponent"] for axis in fit.axes]
        for axis, exponent, reference in zip(fit.axes, exponents, fit.solution.reference, strict=True):
            with np.errstate(divide="ignore"):
                logs = np.log(parameters[f"{axis}.coefficient"] / unit)
            columns.append(np.exp(logs - exponent * np.log(reference)))
        theta = np.column_stack([*columns, *exponents])
    return Draws(parameters, theta, source, tuple(warnings))


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
