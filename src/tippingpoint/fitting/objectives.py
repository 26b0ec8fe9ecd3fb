r"""What a fit minimises: :math:`\sum_i w_i\,\rho(r_i)`, summed and never averaged.

=============  ======================  ===========================================================================
objective      residual r              rho(r)
=============  ======================  ===========================================================================
``huber-log``  log f - log y           r^2/2 for \|r\| <= delta, delta (\|r\| - delta/2) beyond (Hoffmann et al. 2022)
``log``        log f - log y           r^2/2
``squares``    f - y                   r^2/2
=============  ======================  ===========================================================================

All but ``squares`` need y > 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError, did_you_mean

__all__ = ["OBJECTIVES", "Objective", "objective_named"]

Array = NDArray[np.float64]

OBJECTIVES = ("huber-log", "log", "squares")


class Objective(NamedTuple):
    """One objective.

    Attributes
    ----------
    name : str
        One of :data:`OBJECTIVES`.
    on_logs : bool
        Whether residuals are differences of logarithms.
    delta : float
        Where Huber's loss turns from quadratic to linear, in units of r; infinite for plain least squares.
    ceiling : float, default infinite
        What fitted values stay below, in units of y: 1 for error rates.
    """

    name: str
    on_logs: bool
    delta: float
    ceiling: float = np.inf

    def scaled(self, unit: float) -> Objective:
        """Return the objective for y divided by a unit; only a ceiling has one."""
        return self._replace(ceiling=self.ceiling / unit)

    def rho(self, residuals: Array, delta: Array | float | None = None) -> Array:
        """Return the loss of each residual, same shape; ``delta`` may be given to follow a path of objectives."""
        bend = self.delta if delta is None else delta
        size = np.abs(residuals)
        inner = np.minimum(size, bend)
        return inner * (size - 0.5 * inner)

    def residuals(self, fitted: Array, y: Array) -> Array:
        """Return r for fitted values and observations (broadcast)."""
        return np.log(fitted) - np.log(y) if self.on_logs else fitted - y

    def noise(self, fitted: Array) -> Array:
        """Return the standard deviation of y at fitted values, up to one factor, same shape."""
        return fitted if self.on_logs else np.ones_like(fitted)


def objective_named(name: str, huber_delta: float = 1e-3) -> Objective:
    """Return the objective of a name.

    Raises
    ------
    FitError
        The name is unknown (a near one is suggested), or delta is not positive.
    """
    if name not in OBJECTIVES:
        raise FitError(
            f"There is no objective '{name}'; there are {', '.join(OBJECTIVES)}.{did_you_mean(name, OBJECTIVES)}"
        )
    if not huber_delta > 0:
        raise FitError(f"huber_delta is {huber_delta}; it must be above 0 (Chinchilla's is 1e-3).")
    return Objective(name, name != "squares", float(huber_delta) if name == "huber-log" else np.inf)
