"""The most informative part of a study that fits a budget of time or of FLOPs, and that can be used by itself.

Cells are taken in bundles, each with all that its cells start from, so that no recipe of a comparison is without the
other. The endpoint comes first, for it is what the study asks; all else is exploratory:

1. the three smallest sizes of the endpoint's axis in the first two blocks, for both recipes: the least that a law and
   the spread of blocks can be had from (`tippingpoint.study.adaptive` begins with it too);
2. in these blocks every other size upward, the largest, then the sizes between;
3. further blocks, each whole: all sizes that the first two have;
4. the rest of the study, by blocks, sizes and students, all recipes of a student together.

A bundle that does not fit is passed over, and smaller ones behind it are tried. Time is taken at the upper end of the
estimate's interval. What was chosen is written to ``budget.json`` before it starts, so that the same command goes on
with the same cells, and a larger budget with these and more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tippingpoint.errors import InputError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.cells import Cell
from tippingpoint.study.display import duration
from tippingpoint.study.endpoint import FIRST_BLOCKS, FIRST_SIZES, endpoint_cells, endpoint_numbers
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.store import Store
from tippingpoint.study.timing import cell_times, makespan, measure_rates
from tippingpoint.study.values import above_zero, model_name

__all__ = ["RECORD", "Budget", "Budgeted", "bundles", "read_budget"]

RECORD = "budget.json"
SCHEMA_VERSION = 1  # of the record
_FORM = re.compile(r"\s*([0-9.eE_+-]+)\s*(s|min|h|d|flops)\s*", re.IGNORECASE)
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class Budget(NamedTuple):
    """What may be spent: ``seconds`` of wall-clock time, or ``flops``."""

    unit: str
    amount: float

    def words(self, amount: float) -> str:
        """Return an amount of this budget's unit in words."""
        if self.unit != "seconds":
            return f"{amount:.3g} FLOPs"
        return duration(amount) if amount >= 1 else f"{amount:.2g} s"

    def __str__(self) -> str:
        return self.words(self.amount)


def read_budget(text: str) -> Budget:
    """Read ``2h``, ``45min``, ``90s``, ``1.5d`` or ``1e16flops``.

    Raises
    ------
    InputError
        It has another form, or the number is not above 0.
    """
    found = _FORM.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        amount = above_zero(found[1])
    except ValueError as error:
        raise InputError(
            f"--budget: '{text}' is not of the form 2h, 45min, 90s, 1.5d or 1e16flops, with a number above 0."
        ) from error
    unit = found[2].lower()
    return Budget("flops", amount) if unit == "flops" else Budget("seconds", amount * _SECONDS[unit])


# --- what belongs together ---


class Bundle(NamedTuple):
    """Cells that are of use together.

    Attributes
    ----------
    step : int
        Of the order that the module's text gives, 1 to 4.
    size : int or None
        Of the axis, for steps 2 and 3.
    keys : tuple of str
        Cells that score rows.
    """

    step: int
    size: int | None
    keys: tuple[str, ...]


def _in_order(sizes: Sequence[int]) -> list[int]:
    """Return sizes so that any beginning is spread: the three smallest, every other one and the largest, the rest."""
    places = list(range(len(sizes)))
    spread = [place for place in places[FIRST_SIZES:] if place % 2 == 0 or place == places[-1]]
    order = [*places[:FIRST_SIZES], *spread]
    return [sizes[place] for place in [*order, *(place for place in places if place not in order)]]


def bundles(study: Study, grid: Grid) -> list[Bundle]:
    """Return all rows of a study as bundles, the most informative first; a pure function of the study.

    Parameters
    ----------
    study : Study
        With or without an endpoint; without one everything is the question.
    grid : Grid
        Its cells.
    """
    endpoint = endpoint_numbers(study, grid)
    along = "n_pretrain" if endpoint is None else str(endpoint["along"])
    scoring = [grid.cells[key] for key in dict.fromkeys(row.cell for row in grid.rows)]
    asked = endpoint_cells(grid, endpoint) if endpoint is not None else []
    core = asked or [cell for cell in scoring if cell.where[along] is not None] or scoring
    blocks = [(block.subset_seed, block.seed) for block in study.config.all_blocks()]
    sizes: list[Any] = _in_order(sorted({cell.where[along] for cell in core if cell.where[along] is not None}))

    def of(step: int, size: int | None, of_sizes: Collection[int | None], of_blocks: Collection[Any]) -> list[Bundle]:
        keys = tuple(cell.key for cell in core if cell.where[along] in of_sizes and _block(cell) in of_blocks)
        return [Bundle(step, size, keys)] if keys else []

    begun = blocks[:FIRST_BLOCKS]
    found = of(1, None, [*sizes[:FIRST_SIZES], None], begun)
    for size in sizes[FIRST_SIZES:]:
        found += of(2, size, [size], begun)
    for block in blocks[FIRST_BLOCKS:]:
        for length in sizes or [None]:
            found += of(3, length, [length], [block])
    taken = {cell.key for cell in core}
    rest: dict[tuple[int, int, str], list[str]] = {}
    for cell in scoring:
        if cell.key not in taken:
            rest.setdefault(_place(cell, along, blocks, sizes), []).append(cell.key)
    return found + [Bundle(4, None, tuple(rest[place])) for place in sorted(rest)]


def _block(cell: Cell) -> tuple[int, int]:
    return cell.where["subset_seed"], cell.where["seed"]


def _place(cell: Cell, along: str, blocks: Sequence[tuple[int, int]], sizes: Sequence[int]) -> tuple[int, int, str]:
    """Return where a cell of the rest stands: its block (the first two are one), its size, its student."""
    size = cell.where[along]
    rank = -1 if size is None else sizes.index(size) if size in sizes else len(sizes)
    return max(0, blocks.index(_block(cell)) - FIRST_BLOCKS + 1), rank, model_name(cell.where["student"])


# --- what fits ---


class _Part:
    """Cells that are chosen, with all that they start from, and what they cost: FLOPs, or the workers' time."""

    def __init__(self, grid: Grid, each: Mapping[str, float], workers: int | None) -> None:
        self.grid, self.each, self.workers = grid, each, workers
        self.chosen: set[str] = set()
        self.total = self.longest = 0.0
        self.chain: dict[str, float] = {}  # of the longest chain that ends with a cell
        for key, cell in grid.cells.items():
            before = max((self.chain[parent] for parent in cell.parents.values()), default=0.0)
            self.chain[key] = each[key] + before

    def add(self, keys: Iterable[str], amount: float = math.inf) -> bool:
        """Choose cells if all still fit; return whether they do."""
        new: set[str] = set()
        pending = list(keys)
        while pending:
            key = pending.pop()
            if key not in self.chosen and key not in new:
                new.add(key)
                pending += self.grid.cells[key].parents.values()
        total = self.total + sum(self.each[key] for key in sorted(new))
        longest = max((self.chain[key] for key in new), default=self.longest)
        if not self._fits(new, total, max(longest, self.longest), amount):
            return False
        self.chosen |= new
        self.total, self.longest = total, max(longest, self.longest)
        return True

    def _fits(self, new: set[str], total: float, longest: float, amount: float) -> bool:
        """Return whether cells fit; the order of a run is only gone through where no bound decides."""
        if self.workers is None:
            return total <= amount
        if total / self.workers > amount:
            return False
        if total / self.workers + longest * (1 - 1 / self.workers) <= amount:  # Graham's bound of list scheduling
            return True
        return makespan(self.grid, self.each, self.workers, only=self.chosen | new) <= amount

    def cost(self) -> float:
        """Return what the chosen cells cost."""
        if self.workers is None:
            return self.total
        return makespan(self.grid, self.each, self.workers, only=self.chosen)


def _fill(grid: Grid, order: Sequence[Bundle], part: _Part, amount: float) -> None:
    """Choose what fits, in this order."""
    skipped: set[int | None] = set()  # sizes that the first blocks do not have
    blocks: dict[tuple[int, int], list[str]] = {}  # step 3: a block is taken whole or not at all
    for bundle in order:
        if bundle.step == 3 and bundle.size not in skipped:
            blocks.setdefault(_block(grid.cells[bundle.keys[0]]), []).extend(bundle.keys)
        elif bundle.step < 3 and not part.add(bundle.keys, amount):
            skipped.add(bundle.size)
    for keys in (*blocks.values(), *(bundle.keys for bundle in order if bundle.step > 3)):
        part.add(keys, amount)


@dataclass
class Budgeted:
    """Chooses the part of a study that fits, for :func:`tippingpoint.study.execute.run_study`.

    Parameters
    ----------
    study : Study
        What would run; ``precision: auto`` is decided.
    root : Path
        The study directory; cells that it has are part of the budget, at the time they took.
    budget : Budget
        What the part may cost in all, from the first cell on.
    workers : int
        Cells that train at once; of a cluster, as many as it has room for when it is asked.
    device : str, default "cpu"
        Where cells train. Steps are timed there on this machine, also for the nodes of a cluster.

    Attributes
    ----------
    chosen : list of str
        Keys, in the order of the grid.
    cost : float
        What they cost by the estimate's upper end, in the budget's unit.

    Raises
    ------
    InputError
        Not even the least part fits, a step is too large to be timed or this machine lacks the device, a cluster has no
        room, or ``budget.json`` is damaged.
    """

    study: Study
    root: Path
    budget: Budget
    workers: int
    device: str = "cpu"
    chosen: list[str] = field(init=False)
    cost: float = field(init=False)

    def __post_init__(self) -> None:
        self.grid = build_grid(self.study)
        order = bundles(self.study, self.grid)
        timed = self.budget.unit == "seconds"
        if timed and not self.workers:
            raise InputError("--budget: no node of the cluster has room now; say with --workers how many cells will.")
        each, workers = (self._seconds(), self.workers) if timed else (self._flops(), None)
        part = _Part(self.grid, each, workers)
        before, amount = self._before()
        part.add(before)
        if not before and not part.add(order[0].keys, self.budget.amount):
            part.add(order[0].keys)
            raise InputError(
                f"--budget: {self.budget} is too little: the least that can be used ({self._least(order[0])}) takes "
                f"up to {self.budget.words(part.cost())} with all that it starts from."
            )
        if amount != self.budget.amount:
            _fill(self.grid, order, part, self.budget.amount)
        self.chosen = [key for key in self.grid.cells if key in part.chosen]
        self.cost = part.cost()
        self._asked = False

    def __call__(self) -> Collection[str]:
        """Return the cells to train, once; what was chosen is written down before."""
        if self._asked:
            return ()
        self._asked = True
        about = {
            "schema_version": SCHEMA_VERSION,
            "unit": self.budget.unit,
            "amount": self.budget.amount,
            "cost": self.cost,
            "left_out": len(self.grid.cells) - len(self.chosen),
            "cells": self.chosen,
        }
        write_atomic(self.root / RECORD, dump_json(about, indent=1) + "\n")
        return self.chosen

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as ``run --json`` prints it."""
        return {
            "unit": self.budget.unit,
            "amount": self.budget.amount,
            "cost": self.cost,
            "cells": len(self.chosen),
            "left_out": len(self.grid.cells) - len(self.chosen),
        }

    def sentence(self) -> str:
        """Return what is trained and what is left out, in a few words."""
        n_all, n = len(self.grid.cells), len(self.chosen)
        up_to = f"up to {self.budget.words(self.cost)}"
        if n == n_all:
            return f"--budget {self.budget}: the whole study fits ({up_to})."
        said = "; ".join(self._missing())
        return f"--budget {self.budget}: {n} of {n_all} cells ({up_to}). Left out: {said or f'{n_all - n} cells'}."

    def _missing(self) -> list[str]:
        """Return what of the study has no run at all, and how many more cells are left out."""
        kept = set(self.chosen)
        rows = [(row.columns, row.cell in kept) for row in self.grid.rows]
        found: list[str] = []
        asks: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "recipes": lambda row: row["recipe"],
            "students": lambda row: row["student"],
            "n_pretrain": lambda row: row["n_pretrain"],
            "downstream sets": lambda row: row["downstream"],
            "blocks": lambda row: f"{row['subset_seed']}/{row['seed']}",
        }
        for name, of in asks.items():
            there = {of(columns) for columns, is_kept in rows if is_kept}
            gone = dict.fromkeys(of(columns) for columns, is_kept in rows if of(columns) not in there | {None})
            found += [f"{name} {', '.join(map(str, gone))}"] if gone else []
        return [*found, f"{len(self.grid.cells) - len(kept)} cells in all"] if found else []

    def _least(self, bundle: Bundle) -> str:
        cells = [self.grid.cells[key] for key in bundle.keys]
        recipes = " and ".join(dict.fromkeys(str(cell.where["recipe"]) for cell in cells))
        return f"{recipes} at the smallest sizes in {len({_block(cell) for cell in cells})} blocks"

    def _flops(self) -> dict[str, float]:
        return {key: cell.estimate.work for key, cell in self.grid.cells.items()}

    def _seconds(self) -> dict[str, float]:
        """Return the seconds of every cell: as measured where it is done, else the upper end of the estimate."""
        store = Store(self.root)
        done = store.done()
        todo = [cell for cell in self.grid.cells.values() if cell.key not in done]
        here = self.device == "cpu" or self.study.laboratory.count_gpus() > 0
        rates = measure_rates(self.study, self.grid, store, todo, timing=here, device=self.device)
        spans = cell_times(self.study, todo, rates)
        seconds = {key: float(store.result(key)["wall_s"]) for key in self.grid.cells if key in done}
        store.close()
        if None in spans.values():
            why = "some steps are too large" if here else "this machine has no GPU for steps"
            raise InputError(f"--budget: {why} to be timed first; give the budget in FLOPs, 1e16flops.")
        return seconds | {key: span.high for key, span in spans.items() if span is not None}

    def _before(self) -> tuple[set[str], float]:
        """Return the cells that an earlier budget of this unit chose, no larger than this one, and its amount."""
        path = self.root / RECORD
        if not path.is_file():
            return set(), 0.0
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            version, unit, amount = found["schema_version"], found["unit"], float(found["amount"])
            cells = {str(key) for key in found["cells"]}
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(
                f"{path}: is damaged and cannot be read; delete it, and the part is chosen anew."
            ) from error
        if version != SCHEMA_VERSION:
            raise InputError(f"{path}: was written by a newer version of tippingpoint; upgrade the package.")
        if unit != self.budget.unit or amount > self.budget.amount or not cells <= set(self.grid.cells):
            return set(), 0.0
        return cells, amount
