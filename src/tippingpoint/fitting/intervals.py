"""Where intervals come from: draws of the parameters, whatever made them.

Every source returns :class:`Draws`; what uses them (intervals of parameters, of predictions, of crossings) does not ask
which. The posterior over exponents (:mod:`tippingpoint.fitting.posterior`) is the usual source, the bootstrap over
seed blocks the other.

Notation: R draws, k axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import refit_additive
from tippingpoint.fitting.blocks import FEW_BLOCKS, block_weights, blocks_of
from tippingpoint.fitting.objectives import objective_named
from tippingpoint.fitting.posterior import Posterior, posterior_of
from tippingpoint.fitting.variance import groups_of

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.fitting.estimation import Estimate

__all__ = ["DEFAULT_RESAMPLES", "Draws", "bootstrap_draws", "percentiles", "posterior_draws"]

Array = NDArray[np.float64]

DEFAULT_RESAMPLES = 1000
_LEAST_EFFECTIVE = 50  # tuples that carry the posterior's weight


@dataclass(frozen=True)
class Draws:
    """Plausible parameters of a fitted law, equally weighted.

    Attributes
    ----------
    floor : ndarray, shape (R,)
    coefficients, exponents : ndarray, shape (R, k)
        In raw units.
    source : str
        What made them.
    warnings : tuple of str
        What limits them.
    """

    floor: Array
    coefficients: Array
    exponents: Array
    source: str
    warnings: tuple[str, ...]

    def frame(self, axes: Sequence[str]) -> pd.DataFrame:
        """Return a table with the columns ``floor``, ``<axis>.coefficient``, ``<axis>.exponent``."""
        import pandas as pd

        columns = {"floor": self.floor}
        for place, axis in enumerate(axes):
            columns[f"{axis}.coefficient"] = self.coefficients[:, place]
            columns[f"{axis}.exponent"] = self.exponents[:, place]
        return pd.DataFrame(columns)


def bootstrap_draws(fit: Estimate, resamples: int, random_state: int | None = None) -> Draws:
    """Refit the law to resampled seed blocks.

    Parameters
    ----------
    fit : Estimate
        The fit to all runs.
    resamples : int
        R.
    random_state : int or None
        Seed.

    Returns
    -------
    Draws
    """
    weights = block_weights(fit.runs.frame, resamples, random_state)
    refits = refit_additive(
        fit.sizes,
        fit.y,
        weights,
        fit.solution,
        objective=fit.objective,
        huber_delta=fit.huber_delta,
        max_exponent=fit.max_exponent,
    )
    blocks = blocks_of(fit.runs.frame)
    warnings = list(blocks.warnings)
    unsettled = int((~refits.converged).sum())
    if unsettled:
        warnings.append(f"{unsettled} of {resamples} resampled fits did not come to rest; they are kept as they are.")
    return Draws(refits.floor, refits.coefficients, refits.exponents, f"bootstrap over {blocks.kind}", tuple(warnings))


def posterior_draws(fit: Estimate, resamples: int, random_state: int | None = None) -> Draws:
    """Draw parameters from the posterior over exponents, with exact coefficients.

    Parameters
    ----------
    fit : Estimate
        The fit to all runs.
    resamples : int
        R.
    random_state : int or None
        Seed.

    Returns
    -------
    Draws
        The term of an axis with a single size is 0 and part of the floor, as in the fit.
    """
    solution = fit.solution
    found, moving, unit = posterior_for(fit)
    drawn = found.draw(resamples, np.random.default_rng(random_state))
    coefficients, exponents = (np.zeros((resamples, fit.sizes.shape[1])) for _ in range(2))
    exponents[:, moving] = drawn.exponents
    coefficients[:, moving] = drawn.coefficients * unit * solution.reference[moving] ** drawn.exponents
    warnings = _unknown_spread(fit)
    if drawn.effective < _LEAST_EFFECTIVE:
        warnings.append(
            f"The posterior is poorly resolved ({drawn.effective:.0f} effective tuples); intervals are rough."
        )
    return Draws(drawn.floor * unit, coefficients, exponents, "posterior", tuple(warnings))


def posterior_for(fit: Estimate) -> tuple[Posterior, NDArray[np.intp], float]:
    """Return the posterior of a fit, the axes it moves (those with several sizes), and the unit of y in it."""
    solution = fit.solution
    moving = np.flatnonzero(~solution.constant)
    groups = groups_of(fit.runs.frame, len(fit.y))
    unit = float(np.abs(fit.y).mean()) or 1.0
    logs = np.log(fit.sizes / solution.reference)[:, moving]
    terms = (solution.coefficients * solution.reference**-solution.exponents)[moving]
    theta = np.concatenate([[solution.floor / unit], terms / unit, solution.exponents[moving]])
    chosen = objective_named(fit.objective, fit.huber_delta)
    return posterior_of(logs, fit.y / unit, theta, chosen, groups, fit.max_exponent), moving, unit


def _unknown_spread(fit: Estimate) -> list[str]:
    """Say what the table does not tell of the noise that runs share."""
    blocks = blocks_of(fit.runs.frame)
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
