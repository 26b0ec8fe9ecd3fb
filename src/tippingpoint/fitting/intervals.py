"""Where intervals come from: draws of the parameters, whatever made them.

Every source returns :class:`Draws`; what uses them (intervals of parameters, of predictions, of crossings) does not ask
which. There is one source so far, the bootstrap over seed blocks; the posterior over exponents will be another.

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
from tippingpoint.fitting.blocks import block_weights, blocks_of

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.fitting.estimation import Estimate

__all__ = ["DEFAULT_RESAMPLES", "Draws", "bootstrap_draws", "percentiles"]

Array = NDArray[np.float64]

DEFAULT_RESAMPLES = 1000


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


def percentiles(draws: Array, level: float) -> Array:
    """Return the ends (2, ...) of the central interval of draws (R, ...).

    Raises
    ------
    FitError
        The level is not between 0 and 1.
    """
    if not (isinstance(level, int | float | np.number) and 0 < level < 1):
        raise FitError(f"An interval's level is between 0 and 1, such as 0.9, not {level!r}.")
    tail = (1 - float(level)) / 2
    ends: Array = np.quantile(draws, [tail, 1 - tail], axis=0)
    return ends
