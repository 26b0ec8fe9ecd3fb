r"""How far a mean over seed blocks may be off, also where the test images are too few to show it.

An error is a share of the test images and moves in steps of one of them, 1/n. Blocks that differ by less may give the
very same number, and two such blocks would claim a difference with no doubt at all. So their standard deviation is not
taken for smaller than what such steps alone hide, that of a number that was rounded to them: 1/(n sqrt(12)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["score_step", "standard_error"]

Array = NDArray[np.float64]


def score_step(frames: Sequence[pd.DataFrame], target: str) -> float:
    """Return the step in which scores move: one test image.

    Parameters
    ----------
    frames : sequence of DataFrame
        Runs that are compared.
    target : str
        The score.

    Returns
    -------
    float
        0 where the score has no steps (all but ``error``) or the runs do not say their ``n_test``.
    """
    if target != "error" or not all("n_test" in frame for frame in frames):
        return 0.0
    most = max((float(np.nanmax(counts)) for frame in frames if (counts := _counts(frame)).size), default=0.0)
    return 1 / most if most >= 1 else 0.0


def _counts(frame: pd.DataFrame) -> Array:
    counts: Array = frame["n_test"].to_numpy(dtype=float, na_value=np.nan)
    return counts[np.isfinite(counts)]


def standard_error(values: Array, step: float | Array = 0.0) -> Array:
    """Return the standard error of the mean over blocks.

    Parameters
    ----------
    values : ndarray, shape (blocks, ...)
        One value for each block.
    step : float or ndarray, shape (...), default 0
        In which the values move, see `score_step`.

    Returns
    -------
    ndarray, shape (...)
        NaN for a single block.
    """
    blocks = len(values)
    if blocks < 2:
        return np.full(values.shape[1:], np.nan)
    found: Array = np.maximum(values.std(axis=0, ddof=1), np.asarray(step) / math.sqrt(12)) / math.sqrt(blocks)
    return found
