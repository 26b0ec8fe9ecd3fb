"""How long it still takes, from what was measured here: seconds per step of each shape of training.

A shape is what sets the time of one step (stage, model, teachers, batch). Shapes that have not run yet are judged by
their FLOPs and the throughput of those that have. Until enough has run there is no estimate, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tippingpoint.study.cells import Cell, canonical_json

__all__ = ["Throughput", "shape_of"]

ENOUGH_CELLS = 2
ENOUGH_SHARE = 0.05  # of all work that this run has to do


def shape_of(cell: Cell) -> str:
    """Return what sets the time of one training step of a cell."""
    task = cell.task
    if "training" not in task:
        return canonical_json([cell.kind, task["model"]])
    batch, half = task["training"]["batch_size"], [task["precision"]] if "precision" in task else []
    return canonical_json([cell.kind, task["model"], task["teachers"] if task["guidance"] else [], batch, *half])


@dataclass
class Throughput:
    """Measured times of finished cells.

    Attributes
    ----------
    seconds, steps, work : dict of str to float
        Sums over the finished cells of each shape.
    cells : int
        Finished cells.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    cells: int = 0
    _shapes: dict[str, str] = field(default_factory=dict, repr=False)

    def _shape(self, cell: Cell) -> str:
        """Return a cell's shape; it is asked for at every look at the whole study."""
        return self._shapes.get(cell.key) or self._shapes.setdefault(cell.key, shape_of(cell))

    def add(self, cell: Cell, wall_s: float) -> None:
        """Take note of a finished cell and the seconds it took."""
        shape = self._shape(cell)
        self.seconds[shape] = self.seconds.get(shape, 0.0) + wall_s
        self.steps[shape] = self.steps.get(shape, 0.0) + cell.estimate.n_steps
        self.work[shape] = self.work.get(shape, 0.0) + cell.estimate.work
        self.cells += 1

    def expected(self, cell: Cell) -> float | None:
        """Return the seconds that a cell will take, or None before anything was measured."""
        shape = self._shape(cell)
        if self.steps.get(shape):
            return self.seconds[shape] / self.steps[shape] * cell.estimate.n_steps
        total = sum(self.work.values())
        return sum(self.seconds.values()) / total * cell.estimate.work if total else None

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
