"""What a run tells of its cells while it lives, for the live page: the folder ``running/`` of the study directory.

Layout::

    running/<runner>.json          the cells that the run has at work: steps done, steps in all, the curve so far
    running/<runner>.curves.jsonl  the curves of the cells that it has finished, each a line of ``curves.jsonl``

Each file has one writer, also where several runs share the directory on a network disk. The first is replaced as a
whole. The second only grows, so that ten thousand curves are written once and not again and again: a line counts when
its end is there, and says its own version. It is not flushed to the disk: a cell's own directory is the truth.

When a run ends ``curves.jsonl`` holds all curves, in order, and both files go. What a killed run left of the first goes
when the next one begins, of the second when that one has written ``curves.jsonl``; ``gc`` removes either.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tippingpoint.errors import StoreError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.cell_files import cannot_write
from tippingpoint.study.cells import Cell
from tippingpoint.study.claims import is_dead
from tippingpoint.study.curves import CURVES, curve_line, place_of
from tippingpoint.study.runners.pool import Event
from tippingpoint.study.store import Store

__all__ = ["FOLDER", "RUNNING_VERSION", "Running", "left_by_dead_runs"]

FOLDER = "running"
RUNNING_VERSION = 1  # of <runner>.json
SELDOM = 20  # times as long as a writing of finished curves took passes before the next
DRAWN = 50  # cells at work whose curves are told; of the others the steps
AT_ONCE = 25  # finished curves in one writing: a tenth of a second, for which nothing else is done
_CURVES = ".curves.jsonl"
_OURS = re.compile(
    r"\.?(.+)\.(?:curves\.jsonl|json(?:\.[a-z0-9_]{8}\.tmp)?)"
)  # the last as files.write_atomic names it
_KEY = re.compile(rb'"key": ?"([0-9a-f]{64})"')
_NO_CURVE: dict[str, list[float | None]] = {"step": [], "loss": [], "ce": []}


def left_by_dead_runs(root: Path) -> list[Path]:
    """Return the files in ``running/`` whose run has ended, however it ended."""
    folder = root / FOLDER
    found = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    named = [(path, _OURS.fullmatch(path.name)) for path in found]
    return [path for path, name in named if name and is_dead(root, name[1])]


class Running:
    """The cells that a run has at work, and the curves of those that it has finished.

    Parameters
    ----------
    store : Store
        Of the study.
    runner : str
        Name of the run.
    cells : mapping of str to Cell
        Those of the study.
    upstream : str or None
        The study's upstream set.

    Attributes
    ----------
    steps : dict of str to (int, int)
        Steps done and in all of each cell at work, in the order in which they began.
    """

    def __init__(self, store: Store, runner: str, cells: Mapping[str, Cell], upstream: str | None) -> None:
        self.store, self.cells, self.upstream = store, cells, upstream
        self.path = store.root / FOLDER / f"{runner}.json"
        self.curves = store.root / FOLDER / f"{runner}{_CURVES}"
        self.steps: dict[str, tuple[int, int]] = {}
        self._drawn: dict[str, Mapping[str, Any]] = {}
        self._finished: deque[str] = deque()
        self._next = 0.0  # when finished curves may be written again
        self._open = False

    def open(self, done: Sequence[str]) -> None:
        """Remove what dead runs told of cells at work; publish in time the curves that no file has of cells done."""
        with contextlib.suppress(OSError):  # what cannot be removed is passed over by its age
            for path in left_by_dead_runs(self.store.root):
                if not path.name.endswith(_CURVES):
                    path.unlink(missing_ok=True)
        published = _keys_in(self.store.root / CURVES) if done else set()
        self._finished.extend(key for key in done if key not in published)
        self._open = True

    # --- what becomes of cells ---

    def begin(self, key: str) -> None:
        """Take note that a cell was given to a worker."""
        self.steps[key] = (0, self.cells[key].estimate.n_steps)

    def step(self, event: Event) -> None:
        """Take note of how far a cell is: a ``step`` of a worker."""
        key = event["key"]
        self.steps[key] = (event["done"], event["total"])
        if "curve" in event:
            self._drawn[key] = event["curve"]

    def leave(self, key: str, *, done: bool = False) -> None:
        """Take note that a cell is no longer at work; one that is done gets its curve published."""
        self.steps.pop(key, None)
        self._drawn.pop(key, None)
        if done:
            self._finished.append(key)

    # --- telling ---

    def publish(self) -> None:
        """Write both files, finished curves not too often; without effect unless the run is at work.

        Raises
        ------
        StoreError, EnvironmentFault
            The disk refuses, or the study has vanished.
        """
        if not self._open:
            return
        self.store.require()
        told = [self._told(key, drawn=place < DRAWN) for place, key in enumerate(self.steps)]
        write_atomic(self.path, dump_json({"schema_version": RUNNING_VERSION, "cells": told}) + "\n")
        if (begun := time.monotonic()) >= self._next:
            self._append()
            ended = time.monotonic()
            self._next = ended + SELDOM * (ended - begun)

    def _told(self, key: str, *, drawn: bool) -> dict[str, Any]:
        """Return what is told of a cell at work."""
        cell, (done, total) = self.cells[key], self.steps[key]
        curve = self._drawn.get(key, _NO_CURVE) if drawn else _NO_CURVE
        return {"key": key, "label": cell.label, **place_of(_listed(cell)), "done": done, "total": total, **curve}

    def _append(self) -> None:
        """Write the curves of cells that have been finished since."""
        lines: list[str] = []
        while self._finished and len(lines) < AT_ONCE:
            cell = _listed(self.cells[self._finished.popleft()])
            with contextlib.suppress(StoreError):  # a damaged curve spoils no result, and is told at the end
                line = curve_line(self.store.root, cell, self.upstream)
                lines += [] if line is None else [line + "\n"]
        if not lines:
            return
        try:
            with self.curves.open("ab") as stream:
                stream.write("".join(lines).encode())
        except OSError as error:
            raise cannot_write(self.curves, error) from error

    def close(self) -> None:
        """Say that nothing is at work any more."""
        self._open = False
        with contextlib.suppress(OSError):  # passed over by its age where it cannot be removed
            self.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what ``curves.jsonl`` holds by now, of this run and of dead ones."""
        with contextlib.suppress(OSError):
            for path in (self.curves, *left_by_dead_runs(self.store.root)):
                path.unlink(missing_ok=True)


def _listed(cell: Cell) -> dict[str, Any]:
    """Return of a cell what ``cells.jsonl`` would say and a curve's line needs."""
    cost = {"n_params": cell.estimate.n_params, "n_steps": cell.estimate.n_steps}
    return {"key": cell.key, "kind": cell.kind, "inputs": {"where": cell.where, "task": cell.task}, "cost": cost}


def _keys_in(path: Path) -> set[str]:
    """Return the cells whose curves a file holds, without reading the curves."""
    try:
        with path.open("rb") as stream:
            heads = (_KEY.search(line[:300]) for line in stream if line.endswith(b"\n"))
            return {found[1].decode() for found in heads if found}
    except OSError:
        return set()
