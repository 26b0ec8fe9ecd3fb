"""Every objective as weighted least squares about a curve, with outliers pulled in where the objective resists them.

Notation: n runs, s (n,) the noise of each run up to one factor, t (n,) the target in units of s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.objectives import Objective

__all__ = ["pseudo_data"]

Array = NDArray[np.float64]

HIGHEST_RATE = 0.98  # at which the noise of a rate is taken
EFFICIENT = 1.345  # robust standard deviations: 95% efficient where noise is Gaussian (Huber 1964)


def pseudo_data(curve: Array, y: Array, weights: Array, objective: Objective) -> tuple[Array, Array]:
    """Return s and t: least squares of t on the columns over s is the objective near the curve.

    Parameters
    ----------
    curve, y : ndarray, shape (n,)
        Fitted values above 0, and observations.
    weights : ndarray, shape (n,)
        How much each run counts, above 0: the noise of run i is as that of ``weights[i]`` runs averaged.
    objective : Objective
    """
    if objective.on_rates:  # a linear curve may pass 1, where a rate would have no noise and all the weight
        curve = np.minimum(curve, np.minimum((y + objective.ceiling) / 2, HIGHEST_RATE * objective.ceiling))
    noise = objective.noise(curve) / np.sqrt(weights)
    standard = (np.log(y / curve) * curve if objective.on_logs else y - curve) / noise
    if np.isfinite(objective.delta):
        bend = EFFICIENT * 1.4826 * float(np.median(np.abs(standard)))
        inside = float((np.abs(standard) <= bend).mean())
        if bend > 0:
            standard = np.clip(standard, -bend, bend) / max(inside, 0.1)
    return noise, curve / noise + standard
