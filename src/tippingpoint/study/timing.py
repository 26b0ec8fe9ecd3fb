"""How long cells take, with an interval: by cells that are done, by steps timed here, or by stated FLOPs a second.

The interval is that of the timings, from the fastest to the slowest, all cells at once: it knows how unsteady this
machine was while it was timed, not what else will run on it later. What is stated has none.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tippingpoint.study.cells import Cell
from tippingpoint.study.eta import shape_of
from tippingpoint.study.grid import Grid
from tippingpoint.study.load import Study
from tippingpoint.study.schedule import Schedule
from tippingpoint.study.store import Store

__all__ = ["LONGEST_TIMED", "Rate", "Span", "cell_times", "makespan", "measure_rates", "stated_rates"]

FORWARD_SHARE = 1 / 3  # of a training step that scoring costs an image: no backward pass
LONGEST_TIMED = 1e10  # FLOPs of a step; a few of them are timed in seconds on one core, more would take minutes
TAILS = (0.1, 0.9)  # of the cells that are done: where their interval ends


class Span(NamedTuple):
    """A number with its interval: at least, most likely, at most."""

    low: float
    middle: float
    high: float

    def times(self, factor: float) -> Span:
        """Return the whole span by a factor."""
        return Span(self.low * factor, self.middle * factor, self.high * factor)


@dataclass(frozen=True)
class Rate:
    """Seconds of one step of a shape.

    Attributes
    ----------
    seconds : Span
        Of one step.
    whole : bool
        Scoring and the rest of a cell are in it already.
    """

    seconds: Span
    whole: bool


def stated_rates(cells: Iterable[Cell], throughput: Callable[[Cell], float]) -> dict[str, Rate]:
    """Return shape -> rate by FLOPs a second that somebody states.

    Parameters
    ----------
    cells : iterable of Cell
        What is to run.
    throughput : callable
        FLOPs a second of the worker that trains a cell.
    """
    rates = {}
    for cell in cells:
        seconds = cell.estimate.work / max(1, cell.estimate.n_steps) / throughput(cell)
        rates[shape_of(cell)] = Rate(Span(seconds, seconds, seconds), whole=False)
    return rates


def measure_rates(
    study: Study, grid: Grid, store: Store, cells: Iterable[Cell], *, timing: bool = True, device: str = "cpu"
) -> dict[str, Rate]:
    """Return shape -> rate of every shape among some cells: of cells that are done, else of a few steps timed here.

    Parameters
    ----------
    study : Study
        Whose laboratory times.
    grid : Grid
        Its cells.
    store : Store
        Those that are done.
    cells : iterable of Cell
        Whose shapes are wanted.
    timing : bool, default True
        Time shapes of which no cell is done, unless a step is so large that it would take minutes.
    device : str, default "cpu"
        Where to time.
    """
    wanted: dict[str, Cell] = {}
    for cell in cells:
        wanted.setdefault(shape_of(cell), cell)
    known: dict[str, list[tuple[float, int]]] = {}
    for key in store.done() & set(grid.cells):
        shape, steps = shape_of(grid.cells[key]), grid.cells[key].estimate.n_steps
        if shape in wanted and steps:
            known.setdefault(shape, []).append((float(store.result(key)["wall_s"]), steps))
    rates = {shape: Rate(_of_cells(found), whole=True) for shape, found in known.items()}
    for shape, cell in wanted.items():
        if shape not in rates and timing and cell.estimate.work <= LONGEST_TIMED * cell.estimate.n_steps:
            found = list(study.laboratory.time_steps(cell.task, device))
            rates[shape] = Rate(Span(min(found), float(np.median(found)), max(found)), whole=False)
    return rates


def _of_cells(found: list[tuple[float, int]]) -> Span:
    """Return the seconds of a step: over all cells, and between those of the fast and of the slow ones."""
    total = sum(seconds for seconds, _ in found) / sum(steps for _, steps in found)
    low, high = np.quantile([seconds / steps for seconds, steps in found], TAILS)
    return Span(min(float(low), total), total, max(float(high), total))


def cell_times(study: Study, cells: Iterable[Cell], rates: Mapping[str, Rate]) -> dict[str, Span | None]:
    """Return key -> seconds of every cell, its scoring included; None of a shape without a rate.

    Parameters
    ----------
    study : Study
        Says what is scored.
    cells : iterable of Cell
        Of the study.
    rates : mapping of str to Rate
        By shape.
    """
    return {cell.key: _seconds(study, cell, rates.get(shape_of(cell))) for cell in cells}


def _seconds(study: Study, cell: Cell, rate: Rate | None) -> Span | None:
    if rate is None:
        return None
    steps: float = cell.estimate.n_steps
    if not rate.whole and "training" in cell.task:  # features and what learns from them are scored by the way
        facts = study.images[cell.task["data"]["name"]]
        scored = facts.n_validation + (facts.n_test if study.config.score_on == "test" else 0)
        own = cell.estimate.flops / cell.estimate.work / cell.task["training"]["batch_size"]
        steps += own * FORWARD_SHARE * scored
    return rate.seconds.times(steps)


def makespan(
    grid: Grid, seconds: Mapping[str, float], workers: int, *, done: Iterable[str] = (), only: Collection[str] | None
) -> float:
    """Return how long some cells take with so many workers, each cell after those that it starts from.

    Parameters
    ----------
    grid : Grid
        The cells, in the order in which a run takes them.
    seconds : mapping of str to float
        Of every cell that is to run.
    workers : int
        Cells that run at once.
    done : iterable of str
        Cells that cost nothing more.
    only : collection of str or None
        The cells that are wanted, and all that they start from; None for all.
    """
    schedule = Schedule(grid, done, only)
    running: list[tuple[float, str]] = []
    now = 0.0
    while True:
        while len(running) < workers and (key := schedule.take()) is not None:
            heapq.heappush(running, (now + seconds[key], key))
        if not running:
            return now
        now, key = heapq.heappop(running)
        schedule.finish(key)
