r"""Profile likelihood intervals: how far a parameter can go before no choice of the others fits well enough.

A parameter's interval is the shadow of the region whose loss stays under :math:`S_{min}(1 + F/\nu)`, with F the
quantile of Fisher's distribution with 1 and nu degrees of freedom. The exponents are explored by the posterior's own
cloud of tuples; given a tuple, the region of a linear parameter is an ellipsoid and its shadow is exact. The shadow of
an exponent ends at the last tuple inside, a little short of the region's end. Variance ratios are held at their mean,
so that with few blocks the posterior, which integrates over them, is the wider and the more honest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from tippingpoint.fitting.intervals import check_level, posterior_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tippingpoint.fitting.estimation import Estimate

__all__ = ["profile_intervals"]

Array = NDArray[np.float64]


@np.errstate(all="ignore")
def profile_intervals(fit: Estimate, axes: Sequence[str], level: float = 0.9) -> dict[str, tuple[float, float]]:
    """Return profile likelihood intervals of ``floor``, ``<axis>.coefficient`` (raw) and ``<axis>.exponent``.

    Parameters
    ----------
    fit : Estimate
        A fit.
    axes : sequence of str
        Its axes.
    level : float, default 0.9
        Nominal coverage.

    Raises
    ------
    FitError
        The level is not between 0 and 1.
    """
    check_level(level)
    found, moving, unit = posterior_for(fit)
    x, linear, loss, gram = found.region()
    freedom = max(len(fit.y) - 1 - 2 * len(moving), 1)
    limit = float(loss.min()) * (1 + float(fisher.ppf(level, 1, freedom)) / freedom)
    inside = loss <= limit
    x, linear, left = x[inside], linear[inside], limit - loss[inside]
    inverse = np.linalg.pinv(gram[inside], hermitian=True)
    reach = np.sqrt(left[:, None] * np.maximum(np.einsum("tii->ti", inverse), 0.0))
    ends = np.maximum(linear - reach, 0.0), linear + reach
    spans = {"floor": (float(ends[0][:, 0].min()) * unit, float(ends[1][:, 0].max()) * unit)}
    for place, axis in enumerate(axes):
        spans[f"{axis}.coefficient"] = spans[f"{axis}.exponent"] = (0.0, 0.0)
        for column in np.flatnonzero(moving == place):
            raw = unit * fit.solution.reference[place] ** np.exp(x[:, column])
            low, high = (end[:, 1 + column] * raw for end in ends)
            spans[f"{axis}.coefficient"] = (float(low.min()), float(high.max()))
            spans[f"{axis}.exponent"] = (float(np.exp(x[:, column].min())), float(np.exp(x[:, column].max())))
    return spans
