"""Which runs of a table share noise: seed blocks, recipes within blocks, checkpoints, pairs, fine-tuning sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.blocks import blocks_of
from tippingpoint.fitting.crossed import CrossedGroups, crossed, crossed_groups

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["noise_codes", "shared_noise"]


def shared_noise(both: pd.DataFrame, side: NDArray[np.intp], axes: list[str]) -> CrossedGroups:
    """Return which runs of two recipes, or more, share noise: the components of :func:`noise_codes` that can be told.

    Parameters
    ----------
    both, side, axes
        As there.

    Returns
    -------
    CrossedGroups
        The doubtful component is that of recipes within blocks.
    """
    codes, cells = noise_codes(both, side, axes)
    return crossed_groups(codes, cells, doubtful=["recipe"])


def noise_codes(
    both: pd.DataFrame, side: NDArray[np.intp], axes: list[str]
) -> tuple[dict[str, NDArray[np.intp]], NDArray[np.intp]]:
    """Return the groups of runs that share noise, by component, and the cells of runs with equal sizes.

    Parameters
    ----------
    both : DataFrame
        Runs of all recipes.
    side : ndarray of int, shape (n,)
        Which recipe a run is of.
    axes : list of str
        The axes over which runs differ.

    Returns
    -------
    tuple
        Codes (n,) of blocks, recipes within blocks, checkpoints, pairs of checkpoints, fine-tuning sets and pairs of
        runs; the cell of every run (n,).
    """
    blocks = blocks_of(both)
    sizes = {axis: both[axis].astype(object).where(both[axis].notna(), 0.0).factorize()[0] for axis in axes}
    cells = crossed(side, *sizes.values())
    if blocks.kind != "seed blocks":
        return {"checkpoint": blocks.codes}, cells
    upstream = [sizes[axis] for axis in ("n_pretrain", "n_params") if axis in sizes]
    codes = {"block": blocks.codes, "recipe": crossed(blocks.codes, side)}
    if "pretrain_id" in both.columns and both["pretrain_id"].notna().all():
        codes["checkpoint"] = crossed(side, both["pretrain_id"].astype(str).factorize()[0])
    codes["upstream"] = crossed(blocks.codes, *upstream)
    codes["labels"] = crossed(blocks.codes, *(sizes[axis] for axis in ("n_finetune",) if axis in sizes))
    codes["pair"] = crossed(blocks.codes, *sizes.values())
    return codes, cells
