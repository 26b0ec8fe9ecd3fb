r"""Paired differences between two recipes, free of any law.

Symbols: ``B`` seed blocks, ``S`` sizes along the axis, ``d[b, s]`` the difference (first recipe minus second, positive
where the second helps) of block ``b`` at size ``s``, averaged over whatever else varies there (fine-tunings).

The independent unit is the seed block, so every test is a one-sample t-test over blocks, with ``B - 1`` degrees of
freedom, of one contrast per block: its *level* (the mean over sizes of ``d[b, s]``) and its *trend* (the slope of
``d[b, s]`` over ``log2 s``: how much the second recipe gains by doubling the data). A tipping point needs a trend.
Incomplete blocks are left out of the two tests, so that every contrast is over the same sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tippingpoint.boundary.spread import score_step, standard_error

__all__ = ["BLOCK", "PairedSize", "PairedTest", "Pairs", "pair_runs"]

BLOCK = ("subset_seed", "seed")
SIZES = ("n_pretrain", "n_params", "n_finetune")


class PairedTest(NamedTuple):
    """A t-test over seed blocks: the mean contrast, its standard error, its interval, and p."""

    mean: float
    standard_error: float
    low: float
    high: float
    p: float
    n_blocks: int


class PairedSize(NamedTuple):
    """The paired difference at one size: mean over blocks, standard error, interval, number of blocks."""

    size: float
    mean: float
    standard_error: float
    low: float
    high: float
    n_blocks: int


class Pairs(NamedTuple):
    """All that is known of two recipes without a law.

    Attributes
    ----------
    along : str
        The axis.
    points : DataFrame
        One row per size and block: ``size``, ``block``, ``first``, ``second``, ``difference``.
    sizes : tuple of PairedSize
        Summary at each size, ascending.
    level, trend : PairedTest or None
        The two tests; None with fewer than two complete blocks (or, for the trend, two sizes).
    notes : tuple of str
        What was left out and why.
    """

    along: str
    points: pd.DataFrame
    sizes: tuple[PairedSize, ...]
    level: PairedTest | None
    trend: PairedTest | None
    notes: tuple[str, ...]


def pair_runs(first: pd.DataFrame, second: pd.DataFrame, *, along: str, target: str, level: float = 0.9) -> Pairs:
    """Pair the runs of two recipes by seeds and every size, and summarise the differences.

    Parameters
    ----------
    first, second : DataFrame
        Runs of the two recipes, of one stage and downstream set.
    along : str
        The axis along which the differences are told.
    target : str
        The column that is compared; lower is better.
    level : float, default 0.9
        Probability of the t intervals.

    Returns
    -------
    Pairs
        With no points where nothing pairs.
    """
    blocks = [name for name in BLOCK if name in first and name in second and first[name].notna().any()]
    sizes = [name for name in dict.fromkeys((*SIZES, along)) if name in first and name in second]
    points = _points(first, second, blocks, sizes, along, target)
    step = score_step((first, second), target)
    summary = tuple(
        _summary(at, points.loc[points["size"] == at, "difference"], level, bool(blocks), step)
        for at in sorted(map(float, points["size"].unique()))
    )
    table = points.pivot(index="block", columns="size", values="difference") if len(points) else pd.DataFrame()
    notes = (
        [] if blocks else ["The table has no subset_seed and seed: runs cannot be paired by block, so no intervals."]
    )
    complete = table.dropna()
    if blocks and len(complete) < len(table):
        notes.append(f"{len(table) - len(complete)} of {len(table)} blocks lack a size and are left out of the tests.")
    if not blocks or len(complete) < 2:
        return Pairs(along, points, summary, None, None, tuple(notes))
    values, n_sizes = complete.to_numpy(dtype=float), complete.shape[1]
    overall = _test(values, np.full(n_sizes, 1 / n_sizes), level, step)
    slope = _slope_weights(np.log2(complete.columns.to_numpy(dtype=float)))
    trend = None if slope is None else _test(values, slope, level, step)
    return Pairs(along, points, summary, overall, trend, tuple(notes))


def _points(
    first: pd.DataFrame, second: pd.DataFrame, blocks: list[str], sizes: list[str], along: str, target: str
) -> pd.DataFrame:
    """Return one row per (size, block) that both recipes have; repeated runs are averaged first."""
    keys = [*blocks, *sizes]
    usable = [part.dropna(subset=[target, along]) for part in (first, second)]
    if any(part.empty for part in usable):
        return pd.DataFrame(columns=["size", "block", "first", "second", "difference"], dtype=float)
    # A size that no run of either recipe has (n_finetune of the pretrained stage) cannot tell runs apart.
    keys = [key for key in keys if usable[0][key].notna().any() or usable[1][key].notna().any()]
    means = [part.groupby(keys, dropna=False)[target].mean() for part in usable]
    joint = pd.concat(means, axis=1, join="inner", keys=["first", "second"]).reset_index()
    joint["block"] = (
        ["·".join(f"{value:g}" for value in row) for row in joint[blocks].to_numpy(float)] if blocks else "all"
    )
    joint = joint.rename(columns={along: "size"}).groupby(["size", "block"], as_index=False)[["first", "second"]].mean()
    joint["difference"] = joint["first"] - joint["second"]
    return joint


def _summary(at: float, differences: pd.Series[float], level: float, has_blocks: bool, step: float) -> PairedSize:
    """Return mean and t interval over the blocks at one size."""
    values = differences.to_numpy(dtype=float)
    if not has_blocks or len(values) < 2:
        return PairedSize(at, float(values.mean()), np.nan, np.nan, np.nan, len(values) if has_blocks else 0)
    test = _test(values[:, None], np.ones(1), level, step)
    return PairedSize(at, test.mean, test.standard_error, test.low, test.high, len(values))


def _slope_weights(x: np.ndarray) -> np.ndarray | None:
    """Return how each size counts in the least-squares slope over ``x``; None with fewer than two sizes."""
    if len(x) < 2:
        return None
    centred = x - x.mean()
    return np.asarray(centred / (centred @ centred))


def _test(values: np.ndarray, weights: np.ndarray, level: float, step: float) -> PairedTest:
    """Return the t-test against zero of a contrast: ``weights`` over the sizes, of values (blocks, sizes)."""
    n, contrasts = len(values), values @ weights
    mean = float(contrasts.mean())
    error = float(standard_error(contrasts, step * float(np.linalg.norm(weights))))
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    statistic = abs(mean) / error if error > 0 else (np.inf if mean else 0.0)
    p = float(2 * stats.t.sf(statistic, n - 1))
    return PairedTest(mean, error, mean - half, mean + half, p, n)
