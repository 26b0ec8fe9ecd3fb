"""Which runs could be made next and what each costs: from a table of runs alone.

A run needs its checkpoint, and a guided checkpoint its teacher, which is trained once for a block and a size however
many it guides. What the table has already costs nothing. Sizes are those of the table; blocks are its own, where they
lack a run, and new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.next_prices import Prices
from tippingpoint.boundary.levels import levels_of
from tippingpoint.boundary.selection import AXES, Selection
from tippingpoint.errors import RunsError
from tippingpoint.runs import Runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bundle", "Offers", "block_name", "bundles_of", "offers_of_table"]

Index = NDArray[np.intp]

_SEEDS = ("subset_seed", "seed")


@dataclass(frozen=True)
class Offers:
    """Runs that could be made.

    Attributes
    ----------
    rows : DataFrame
        One each: ``side`` (0 or 1), the sizes, ``subset_seed``, ``seed``, ``pretrain_id`` and ``new`` (of a block that
        has no run yet).
    needs : tuple of frozenset of str
        For each run the trainings that it needs and that are not done.
    costs : dict of str to float
        Of every such training, above 0.
    labels : dict of str to str
        What every training is, in words.
    unit : str
        Of the costs: ``FLOPs``, ``seconds`` or ``trainings``.
    notes : tuple of str
        What was assumed.
    """

    rows: pd.DataFrame
    needs: tuple[frozenset[str], ...]
    costs: dict[str, float]
    labels: dict[str, str]
    unit: str
    notes: tuple[str, ...] = field(default=())


class Bundle(NamedTuple):
    """Runs that are made together: which rows of the offers, and the trainings that they need."""

    rows: Index
    cells: frozenset[str]


def block_name(subset_seed: Any, seed: Any) -> str:
    """Return a block as a person says it: ``"3"``, or ``"3/103"`` where images and weights have seeds of their own."""
    return f"{subset_seed}" if subset_seed == seed else f"{subset_seed}/{seed}"


def bundles_of(offers: Offers) -> list[Bundle]:
    """Return what can be picked: at each place and block one recipe's run, the other's, or both.

    Where a checkpoint has several fine-tunings on offer, all of them together are a bundle too.
    """
    rows = offers.rows
    if not len(rows):
        return []
    axes = [axis for axis in AXES if axis in rows.columns and axis != "n_params_teacher"]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for by in dict.fromkeys([tuple(axes), tuple(axis for axis in axes if axis != "n_finetune")]):
        keys = rows[[*by, *_SEEDS]].astype(object).where(rows[[*by, *_SEEDS]].notna(), None)
        for place, key in enumerate(keys.itertuples(index=False, name=None)):
            groups.setdefault((len(by), *key), []).append(place)
    side = rows["side"].to_numpy()
    found: dict[tuple[int, ...], Bundle] = {}
    for own in groups.values():
        for part in (own, [i for i in own if side[i] == 0], [i for i in own if side[i] == 1]):
            if part:
                cells = frozenset().union(*(offers.needs[i] for i in part))
                found.setdefault(tuple(part), Bundle(np.array(part, dtype=np.intp), cells))
    return list(found.values())


# --- from a table ---


def offers_of_table(chosen: Selection, runs: Runs, *, extra_seeds: int, cost: str) -> Offers:
    """Return what could be run beyond a table.

    Parameters
    ----------
    chosen : Selection
        The runs of the question.
    runs : Runs
        The whole table, which knows the teachers.
    extra_seeds : int
        New blocks to offer.
    cost : str
        ``flops`` or ``seconds``.

    Returns
    -------
    Offers

    Raises
    ------
    RunsError
        The table does not say its blocks.
    """
    import pandas as pd

    blocks, fresh = _blocks(chosen, runs, extra_seeds)
    prices = Prices(runs.frame, cost)
    rows: list[dict[str, Any]] = []
    needs: list[frozenset[str]] = []
    for side, frame in enumerate(chosen.frames):
        axes = [axis for axis in AXES if axis in frame.columns and frame[axis].notna().any()]
        there = {_place(row, axes) for row in _records(frame)}
        for template in _places(chosen, side, axes):
            for block in blocks:
                row: dict[str, Any] = {
                    **template,
                    **dict(zip(_SEEDS, block, strict=True)),
                    "side": side,
                    "new": block in fresh,
                }
                if _place(row, axes) in there:
                    continue
                row["pretrain_id"], cells = prices.needs(row, str(chosen.recipes[side]))
                rows.append(row)
                needs.append(cells)
    columns = ["side", *AXES, *_SEEDS, "pretrain_id", "new"]
    table = pd.DataFrame(rows, columns=columns if not rows else None)
    return Offers(table, tuple(needs), prices.costs, prices.labels, prices.unit, prices.notes)


def _blocks(chosen: Selection, runs: Runs, extra: int) -> tuple[list[tuple[int, int]], set[tuple[int, int]]]:
    """Return all blocks of the table and new ones, as (subset_seed, seed), and which have no run of the question."""
    if not set(_SEEDS) <= set(runs.frame.columns):
        raise RunsError(
            f"{runs.source} does not say the seed block of each run (subset_seed and seed): without it there is no "
            "telling what a further run would add; add the columns."
        )
    frame = runs.frame.dropna(subset=list(_SEEDS))
    known = sorted(set(zip(*(frame[name].astype(int).tolist() for name in _SEEDS), strict=True)))
    begun = {block for own in chosen.frames for block in zip(*(own[name].tolist() for name in _SEEDS), strict=True)}
    top = [max((block[place] for block in known), default=-1) for place in (0, 1)]
    blocks = [*known, *((top[0] + step, top[1] + step) for step in range(1, extra + 1))]
    return blocks, set(blocks) - begun


def _place(row: dict[str, Any], axes: Sequence[str]) -> tuple[Any, ...]:
    """Return what tells one run from another: sizes to six digits, and the block."""
    return (*(f"{float(row[axis]):.6g}" for axis in axes), *(row[name] for name in _SEEDS))


def _places(chosen: Selection, side: int, axes: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row for every combination of sizes of one recipe; along the axis also the other recipe's sizes."""
    frame = chosen.frames[side]
    names = [name for name in ("teacher", "downstream", "stage") if name in frame.columns]
    walked = sorted({size for one in chosen.frames for size in levels_of(one, chosen.along)})
    others = [axis for axis in axes if axis != chosen.along]
    kinds = _records(frame.drop_duplicates(subset=[*others, *names])[[*others, *names]])
    if chosen.along not in axes:
        return kinds
    return [{**kind, chosen.along: size} for kind, size in product(kinds, walked)]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
