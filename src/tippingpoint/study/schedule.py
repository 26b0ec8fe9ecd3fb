"""Which cell runs next: of those whose parents are done, the one with the longest work still behind it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable

from tippingpoint.study.grid import Grid

__all__ = ["STATES", "Schedule"]

STATES = ("done", "running", "todo", "failed", "blocked")


class Schedule:
    """States of all cells of a grid, and the order of those to do.

    Parameters
    ----------
    grid : Grid
        The cells.
    done : iterable of str
        Keys that the store has already.
    only : collection of str, optional
        The cells that are wanted; all unless given, more by :meth:`want`. The others stay to do.

    Attributes
    ----------
    state : dict of str to str
        Key -> one of `STATES`; ``blocked`` waits for a cell that failed.
    """

    def __init__(self, grid: Grid, done: Iterable[str], only: Collection[str] | None = None) -> None:
        self.cells = grid.cells
        self.wanted = set(grid.cells)
        self.children = grid.children()
        finished = set(done)
        self.state = {key: "done" if key in finished else "todo" for key in grid.cells}
        self._counted = Counter(self.state.values())
        self.before = set(grid.cells) & finished
        self._waits = {
            key: sum(self.state[parent] != "done" for parent in set(cell.parents.values()))
            for key, cell in grid.cells.items()
        }
        self._behind = self._work_behind()
        self._ready: list[tuple[float, int, str]] = []
        self._place = {key: place for place, key in enumerate(grid.cells)}
        if only is not None:
            self.wanted = set()
            self.want(only)
            return
        for key, state in self.state.items():
            if state == "todo" and not self._waits[key]:
                self._push(key)

    def _work_behind(self) -> dict[str, float]:
        """Return the work of the longest chain that starts with each cell (children stand after their parents)."""
        behind: dict[str, float] = {}
        for key in reversed(self.cells):
            longest = max((behind[child] for child in self.children[key]), default=0.0)
            behind[key] = self.cells[key].estimate.work + longest
        return behind

    def _push(self, key: str) -> None:
        heapq.heappush(self._ready, (-self._behind[key], self._place[key], key))

    def _become(self, key: str, state: str) -> None:
        self._counted[self.state[key]] -= 1
        self._counted[state] += 1
        self.state[key] = state

    def want(self, keys: Iterable[str]) -> bool:
        """Want more cells, and all that they start from; return whether any of them is still to do."""
        pending, found = list(keys), False
        while pending:
            key = pending.pop()
            if key in self.wanted:
                continue
            self.wanted.add(key)
            pending += self.cells[key].parents.values()
            if self.state[key] == "todo":
                found = True
                if not self._waits[key]:
                    self._push(key)
        return found

    def take(self) -> str | None:
        """Return the next cell to run and mark it running; None where none is ready."""
        while self._ready:
            key = heapq.heappop(self._ready)[2]
            if self.state[key] == "todo" and not self._waits[key]:  # what it starts from may have been taken back
                self._become(key, "running")
                return key
        return None

    def finish(self, key: str) -> None:
        """Mark a cell done; what waited for it alone becomes ready."""
        self._become(key, "done")
        for child in self.children[key]:
            self._waits[child] -= 1
            if not self._waits[child] and self.state[child] == "todo" and child in self.wanted:
                self._push(child)

    def fail(self, key: str) -> list[str]:
        """Mark a cell failed and all that depends on it blocked; return the blocked ones."""
        self._become(key, "failed")
        blocked = []
        pending = list(self.children[key])
        while pending:
            child = pending.pop()
            if self.state[child] == "todo":
                self._become(child, "blocked")
                blocked.append(child)
                pending += self.children[child]
        return blocked

    def release(self, key: str) -> None:
        """Put a running cell back: its worker was stopped, not the cell at fault."""
        self._become(key, "todo")
        if not self._waits[key]:
            self._push(key)

    def reopen(self, key: str) -> None:
        """Take back that a cell is done: it runs again, and what starts from it waits."""
        if self.state[key] != "done":
            return
        for child in self.children[key]:
            self._waits[child] += 1
        self.release(key)

    def counts(self) -> dict[str, int]:
        """Return how many cells are in each state."""
        return {state: self._counted[state] for state in STATES}

    def keys(self, state: str) -> list[str]:
        """Return the cells in a state, in the order of the grid."""
        return [key for key, now in self.state.items() if now == state]
