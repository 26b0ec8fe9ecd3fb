"""Every objective as weighted least squares about a curve, with outliers pulled in where the objective resists them.

Notation: n runs, k axes, s (n,) the noise of each run up to one factor, t (n,) the target in units of s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.polish import HIGHEST

__all__ = ["curve_of", "pseudo_data"]

Array = NDArray[np.float64]

EFFICIENT = 1.345  # robust standard deviations: 95% efficient where noise is Gaussian (Huber 1964)


def curve_of(linear: Array, exponents: Array, logs: Array) -> Array:
    """Return the law (n,) for floor and coefficients (1 + k,) and exponents (k,) at log sizes (n, k)."""
    powers = np.exp(np.minimum(-exponents * logs, HIGHEST))
    curve: Array = np.maximum(linear[0] + powers @ linear[1:], 1e-12)
    return curve


def pseudo_data(curve: Array, y: Array, objective: Objective) -> tuple[Array, Array]:
    """Return s and t: least squares of t on the columns over s is the objective near the curve."""
    noise = objective.noise(curve)
    standard = (np.log(y / curve) * curve if objective.on_logs else y - curve) / noise
    if np.isfinite(objective.delta):
        bend = EFFICIENT * 1.4826 * float(np.median(np.abs(standard)))
        inside = float((np.abs(standard) <= bend).mean())
        if bend > 0:
            standard = np.clip(standard, -bend, bend) / max(inside, 0.1)
    return noise, curve / noise + standard
