"""The independent unit of a study is the seed block: resample blocks, never the runs of one checkpoint apart.

Fine-tunings of one checkpoint share its error, and all cells of a block share images, initial weights and teacher. With
rows taken as independent a nominal 95% interval of the expected value inside the grid covers 59% of 300 simulated
studies, and 96% with what they share told (``benchmarks/coverage.py``, parts ``rows`` and ``main``).

The resampling is Rao and Wu's (1988) rescaled bootstrap: of B blocks, B - 1 are drawn with replacement and counted
B / (B - 1) times. The plain bootstrap's variance is too small by (B - 1) / B, which matters with four seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEW_BLOCKS", "Blocks", "block_weights", "blocks_of"]

Array = NDArray[np.float64]

FEW_BLOCKS = 5
_LEVELS = (("subset_seed", "seed"), ("pretrain_id",))
_NAMES = {("subset_seed", "seed"): "seed blocks", ("pretrain_id",): "checkpoints"}


@dataclass(frozen=True)
class Blocks:
    """Which runs belong together.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        Number of each run's block, 0 to ``count - 1``.
    count : int
        How many blocks there are.
    kind : str
        ``seed blocks``, ``checkpoints`` or ``rows``.
    warnings : tuple of str
        What makes intervals from these blocks rough or too narrow.
    """

    codes: NDArray[np.intp]
    count: int
    kind: str
    warnings: tuple[str, ...]


def blocks_of(frame: pd.DataFrame) -> Blocks:
    """Return the blocks of a table: (subset_seed, seed), else pretrain_id, else rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        Runs; the columns ``subset_seed``, ``seed`` and ``pretrain_id`` are used where they are. One of the two seeds
        is enough. A level with a single block cannot be resampled, and the next finer one is taken.

    Returns
    -------
    Blocks
    """
    for level in _LEVELS:
        present = [name for name in level if name in frame.columns and not frame[name].isna().all()]
        if not present:
            continue
        keys = [frame[name].astype(str) if frame[name].dtype == object else frame[name] for name in present]
        codes = frame.groupby(keys, sort=True, dropna=False).ngroup().to_numpy().astype(np.intp)
        count = int(codes.max(initial=-1)) + 1
        if count > 1:
            return Blocks(codes, count, _NAMES[level], _warn(count, _NAMES[level], frame))
    return Blocks(np.arange(len(frame)), len(frame), "rows", _warn(len(frame), "rows", frame))


def _warn(count: int, kind: str, frame: pd.DataFrame) -> tuple[str, ...]:
    said = []
    if kind == "rows" and not {"subset_seed", "seed", "pretrain_id"} & set(frame.columns):
        said.append("The table has no subset_seed, seed or pretrain_id: rows are resampled as if independent.")
    elif kind != "seed blocks":
        said.append(f"There is one seed block only: {kind} are resampled, and the spread between seeds is not known.")
    if count < FEW_BLOCKS:
        said.append(f"Only {count} {kind} to resample: intervals are rough; 5 or more seeds are better.")
    return tuple(said)


def block_weights(frame: pd.DataFrame, resamples: int, random_state: int | np.random.Generator | None = None) -> Array:
    """Return resampled multiplicities of runs, equal within each block.

    Parameters
    ----------
    frame : pandas.DataFrame
        Runs. For two recipes of one study give both in one frame, so that a block is drawn for both or for neither.
    resamples : int
        How many.
    random_state : int, numpy.random.Generator or None
        Seed; the same seed gives the same weights whatever the order of the rows within blocks.

    Returns
    -------
    ndarray, shape (resamples, n)
        Weights >= 0, whose mean over resamples is 1 for every run.
    """
    blocks = blocks_of(frame)
    generator = np.random.default_rng(random_state)
    count = blocks.count
    if count < 2:
        return np.ones((resamples, len(frame)))
    drawn = generator.multinomial(count - 1, np.full(count, 1.0 / count), size=resamples)
    return drawn[:, blocks.codes].astype(np.float64) * (count / (count - 1))
