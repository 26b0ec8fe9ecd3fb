"""The second opinion: paired differences as they were measured, without any law.

A pair is a run of each recipe that shares ``subset_seed``, ``seed`` and every size. Repeats within a block are averaged
first; blocks are the independent units, so that the interval is Student's t over blocks. Their spread is not taken for
less than few test images can show (``spread``).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tippingpoint.boundary.selection import Selection, select_pair
from tippingpoint.boundary.spread import score_step, standard_error
from tippingpoint.errors import InputError
from tippingpoint.runs import read_runs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import pandas as pd

__all__ = [
    "SignChange",
    "block_differences",
    "blocks_to_settle",
    "pair_up",
    "paired_differences",
    "sign_changes",
]

_SEEDS = ("subset_seed", "seed")
COLUMNS = ("mean", "standard_error", "n_pairs", "low", "high")


class SignChange(NamedTuple):
    """Two neighbouring sizes between which the mean paired difference changes its sign.

    Attributes
    ----------
    low, high : float
        The sizes.
    direction : int
        1 where the second recipe starts to help, -1 where it stops.
    sure : bool
        Whether both means stand out of their intervals.
    """

    low: float
    high: float
    direction: int
    sure: bool


def paired_differences(
    runs: Any,
    along: str = "n_pretrain",
    at: Mapping[str, float] | None = None,
    *,
    target: str = "error",
    stage: str | None = "finetuned",
    recipes: tuple[str, str] = ("scratch", "distilled"),
    where: str | None = None,
    level: float = 0.9,
    upstream: str | None = None,
    downstream: str | None = None,
    teacher: str | None = None,
) -> pd.DataFrame:
    """Return the paired difference at every size that was measured: first recipe minus second.

    Parameters
    ----------
    runs, along, at, target, stage, recipes, where, level, upstream, downstream, teacher
        As for :func:`find_boundary`; every other axis is held at a size that was measured.

    Returns
    -------
    DataFrame
        ``along``, ``mean``, ``standard_error``, ``n_pairs`` (blocks with both), ``low``, ``high`` (Student's t over
        blocks; NaN for a single pair). Positive where the second recipe is better.

    Raises
    ------
    RunsError
        As :func:`find_boundary`.
    """
    chosen = select_pair(
        read_runs(runs, where=where),
        along=along,
        at=dict(at or {}),
        target=target,
        stage=stage,
        recipes=recipes,
        upstream=upstream,
        downstream=downstream,
        teacher=teacher,
        pool="none",
    )
    return pair_up(chosen, level)


def pair_up(chosen: Selection, level: float) -> pd.DataFrame:
    """Return the paired differences of a selection, at the sizes of ``at`` exactly.

    Parameters
    ----------
    chosen : Selection
        Pooled axes are filtered here.
    level : float
        Probability of the intervals.

    Returns
    -------
    DataFrame
        As :func:`paired_differences`; empty where no runs pair up.
    """
    import pandas as pd

    if not 0 < level < 1:
        raise InputError(f"level: {level} is not a probability between 0 and 1; 0.9 is usual.")
    differences, step = block_differences(chosen), score_step(chosen.frames, chosen.target)
    rows = [
        {chosen.along: size, **_t_interval(differences[size].dropna().to_numpy(), level, step)} for size in differences
    ]
    return pd.DataFrame(rows, columns=[chosen.along, *COLUMNS], dtype=float).astype({"n_pairs": int})


def block_differences(chosen: Selection) -> pd.DataFrame:
    """Return each seed block's difference at every size: one row per block, one column per size.

    Parameters
    ----------
    chosen : Selection
        Pooled axes are filtered to the sizes of ``at``.

    Returns
    -------
    DataFrame
        First recipe minus second; columns ascending, NaN where a block lacks a pair, no columns where nothing pairs.
    """
    import pandas as pd

    sides = [_at_place(frame, chosen) for frame in chosen.frames]
    seeds = [name for name in _SEEDS if all(_has_axis(side, name) for side in sides)]
    if not seeds or any(not len(side) for side in sides):
        return pd.DataFrame()
    keys = [[*seeds, chosen.along] if _has_axis(side, chosen.along) else seeds for side in sides]
    means = [side.groupby(key)[chosen.target].mean().reset_index() for side, key in zip(sides, keys, strict=True)]
    shared = min(keys, key=len)  # a recipe without the axis has one value for all its sizes
    pairs = means[0].merge(means[1], on=shared, suffixes=("_first", "_second"))
    pairs["difference"] = pairs[f"{chosen.target}_first"] - pairs[f"{chosen.target}_second"]
    return pairs.pivot_table(index=seeds, columns=chosen.along, values="difference", aggfunc="mean").sort_index(axis=1)


def _at_place(frame: pd.DataFrame, chosen: Selection) -> pd.DataFrame:
    """Return the runs at exactly the sizes of ``at``."""
    keep = np.ones(len(frame), dtype=bool)
    for axis, value in chosen.at.items():
        if _has_axis(frame, axis):
            keep &= np.abs(frame[axis].to_numpy(dtype=float, na_value=np.nan) / value - 1) <= 1e-6
    return frame[keep]


def _has_axis(frame: pd.DataFrame, axis: str) -> bool:
    return axis in frame.columns and bool(frame[axis].notna().any())


def _t_interval(values: Any, level: float, step: float) -> dict[str, float]:
    """Return mean, standard error, number and Student's interval."""
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"mean": mean, "standard_error": math.nan, "n_pairs": n, "low": math.nan, "high": math.nan}
    error = float(standard_error(values, step))
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * error
    return {"mean": mean, "standard_error": error, "n_pairs": n, "low": mean - half, "high": mean + half}


def sign_changes(paired: pd.DataFrame) -> tuple[SignChange, ...]:
    """Return where the mean paired difference changes its sign between neighbouring sizes."""
    found = []
    sizes, means = paired.iloc[:, 0].to_numpy(dtype=float), paired["mean"].to_numpy(dtype=float)
    sure = (paired["low"] * paired["high"] > 0).to_numpy()
    solid = [i for i in range(len(means)) if means[i] != 0]
    for i, j in pairwise(solid):
        if means[i] * means[j] < 0:
            found.append(
                SignChange(float(sizes[i]), float(sizes[j]), int(np.sign(means[j])), bool(sure[i] and sure[j]))
            )
    return tuple(found)


def blocks_to_settle(paired: pd.DataFrame, level: float, most: int = 1000) -> int | None:
    """Return how many more seed blocks would lift the clearest difference out of its noise.

    Parameters
    ----------
    paired : DataFrame
        From :func:`pair_up`; no size stands out yet.
    level : float
        Probability of the interval that shall exclude zero.
    most : int, default 1000
        Beyond this the answer is None.

    Returns
    -------
    int or None
        At the size where fewest are needed, if mean and spread stay what they are. None where nothing can be said.
    """
    from scipy.special import stdtrit

    best: int | None = None
    usable = paired[(paired["n_pairs"] > 1) & (paired["standard_error"] > 0) & (paired["mean"] != 0)]
    for mean, error, have in usable[["mean", "standard_error", "n_pairs"]].to_numpy(dtype=float):
        spread = error * math.sqrt(have)
        counts = np.arange(int(have) + 1, most + 1)
        enough = np.abs(mean) > stdtrit(counts - 1.0, 0.5 + level / 2) * spread / np.sqrt(counts)
        if enough.any():
            more = int(counts[np.argmax(enough)] - have)
            best = more if best is None else min(best, more)
    return best
