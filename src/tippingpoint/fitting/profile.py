r"""Profile likelihood intervals: how far a parameter can go before no choice of the others fits well enough.

A parameter's interval is the shadow of the region whose loss stays under :math:`S_{min}(1 + F/\nu)`, with F the
quantile of Fisher's distribution with 1 and nu degrees of freedom. The shapes are explored by the posterior's own
cloud of tuples; given a tuple, the region of the weights is an ellipsoid and the shadow on each is exact. The shadow of
a shape ends at the last tuple inside, a little short of the region's end. Variance ratios are held at their mean,
so that with few blocks the posterior, which integrates over them, is the wider and the more honest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from tippingpoint.fitting.intervals import check_level, posterior_for

if TYPE_CHECKING:
    from tippingpoint.fitting.estimation import Estimate
    from tippingpoint.fitting.rivals import SurfaceEstimate

__all__ = ["profile_intervals"]

Array = NDArray[np.float64]


@np.errstate(all="ignore")
def profile_intervals(fit: Estimate | SurfaceEstimate, level: float = 0.9) -> dict[str, tuple[float, float]]:
    """Return profile likelihood intervals of every parameter, in raw units by name.

    Parameters
    ----------
    fit : Estimate or SurfaceEstimate
        A fit of any law.
    level : float, default 0.9
        Nominal coverage.

    Raises
    ------
    FitError
        The level is not between 0 and 1.
    """
    check_level(level)
    found, scaled = posterior_for(fit)
    shape, linear, loss, gram = found.region()
    freedom = max(len(found.data.target) - found.data.unknown - len(found.centre), 1)
    limit = float(loss.min()) * (1 + float(fisher.ppf(level, 1, freedom)) / freedom)
    inside = loss <= limit
    shape, linear, left = shape[inside], linear[inside], limit - loss[inside]
    inverse = np.linalg.pinv(gram[inside], hermitian=True)
    reach = np.sqrt(left[:, None] * np.maximum(np.einsum("tii->ti", inverse), 0.0))
    low, high = np.zeros(linear.shape[1]), np.full(linear.shape[1], np.inf)
    if found.data.floor:
        place = found.data.formula.weights.index("floor")
        low[place], high[place] = found.data.bounds
    ends = [scaled.raw(np.hstack([np.clip(linear + side * reach, low, high), shape])) for side in (-1.0, 1.0)]
    return {name: (float(ends[0][name].min()), float(ends[1][name].max())) for name in ends[0]}
