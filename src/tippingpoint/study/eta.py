"""How long it still takes, from what was measured here: seconds per step of each shape of training.

A shape is what sets the time of one step (stage, model, teachers, batch). Its rate is the median of its cells, for the
first ones of a process are slow. Shapes that have not run yet are judged by their FLOPs and the throughput of those
that have. Until enough has run there is no estimate, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from tippingpoint.study.cells import Cell, canonical_json

__all__ = ["Throughput", "shape_of"]

ENOUGH_CELLS = 2
ENOUGH_SHARE = 0.05  # of all work that this run has to do


def shape_of(cell: Cell) -> str:
    """Return what sets the time of one training step of a cell."""
    task = cell.task
    if "training" not in task:
        return canonical_json([cell.kind, task["model"]])
    batch, how = task["training"]["batch_size"], [task[name] for name in ("precision", "compile") if name in task]
    return canonical_json([cell.kind, task["model"], task["teachers"] if task["guidance"] else [], batch, *how])


@dataclass
class Throughput:
    """Measured times of finished cells.

    Attributes
    ----------
    paces : dict of str to list of float
        Seconds of a step of every finished cell, by shape.
    steps, work : dict of str to float
        Sums over the finished cells of each shape.
    cells : int
        Finished cells.
    """

    paces: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    cells: int = 0
    _medians: dict[str, float] = field(default_factory=dict)
    _shapes: dict[str, str] = field(default_factory=dict)

    def add(self, cell: Cell, wall_s: float) -> None:
        """Take note of a finished cell and the seconds it took."""
        shape, steps = self._shape(cell), max(1, cell.estimate.n_steps)
        self.paces.setdefault(shape, []).append(wall_s / steps)
        self.steps[shape] = self.steps.get(shape, 0.0) + steps
        self.work[shape] = self.work.get(shape, 0.0) + cell.estimate.work
        self.cells += 1
        self._medians.pop(shape, None)

    def _shape(self, cell: Cell) -> str:
        if cell.key not in self._shapes:  # all waiting cells are asked for every few seconds
            self._shapes[cell.key] = shape_of(cell)
        return self._shapes[cell.key]

    def _pace(self, shape: str) -> float:
        if shape not in self._medians:
            self._medians[shape] = median(self.paces[shape])
        return self._medians[shape]

    def expected(self, cell: Cell) -> float | None:
        """Return the seconds that a cell will take, or None before anything was measured."""
        shape = self._shape(cell)
        if shape in self.paces:
            return self._pace(shape) * max(1, cell.estimate.n_steps)
        total = sum(self.work.values())
        spent = sum(self._pace(known) * steps for known, steps in self.steps.items())
        return spent / total * cell.estimate.work if total else None

    def remaining(self, waiting: Iterable[Cell], running: Iterable[tuple[Cell, float]], workers: int) -> float | None:
        """Return the seconds until all is done, or None while it is too early to say.

        Parameters
        ----------
        waiting : iterable of Cell
            Not started.
        running : iterable of (Cell, float)
            Started, each with the share of it that is done, 0..1.
        workers : int
            Cells that run at once.
        """
        waiting, running = list(waiting), list(running)
        done = sum(self.work.values())
        left = sum(cell.estimate.work for cell in waiting) + sum(cell.estimate.work for cell, _ in running)
        if self.cells < ENOUGH_CELLS or done < ENOUGH_SHARE * (done + left):
            return None
        times = [self.expected(cell) or 0.0 for cell in waiting]
        current = [(self.expected(cell) or 0.0) * (1 - share) for cell, share in running]
        longest = max([*times, *current], default=0.0)
        return max(longest, (sum(times) + sum(current)) / max(1, workers))
