"""Several comparisons at once: p-values of paired means, and Holm's adjustment of all that are told together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["holm", "paired_p"]

Array = NDArray[np.float64]


def paired_p(mean: ArrayLike, standard_error: ArrayLike, n_pairs: ArrayLike) -> Array:
    """Return two-sided p-values of Student's paired t-test.

    Parameters
    ----------
    mean, standard_error : array_like
        Of the paired differences.
    n_pairs : array_like
        How many blocks they are means of.

    Returns
    -------
    ndarray
        NaN where there is one pair only; where all pairs are alike 0, or 1 if they are zero.
    """
    from scipy.special import stdtr

    means, errors, counts = (np.asarray(part, dtype=float) for part in (mean, standard_error, n_pairs))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(means == 0, 0.0, np.abs(means) / errors)
    p: Array = 2 * stdtr(np.maximum(counts - 1, 1), -statistic)
    return np.where((counts > 1) & np.isfinite(errors), p, np.nan)


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values (family-wise error over all that are given).

    Parameters
    ----------
    p_values : list of float
        Raw p-values; NaN for a test that could not be made: it stays NaN and does not count.

    Returns
    -------
    list of float
        Adjusted, in the given order, each at most 1 and never below its raw value.
    """
    adjusted = [float("nan")] * len(p_values)
    made = sorted((p, place) for place, p in enumerate(p_values) if not np.isnan(p))
    highest = 0.0
    for rank, (p, place) in enumerate(made):
        highest = max(highest, min(1.0, p * (len(made) - rank)))
        adjusted[place] = highest
    return adjusted
