"""What the live page knows of a study: the files it publishes, read again when they change, however they look.

A run writes its files whole, but a copy, a full disk or a foreign hand may leave half of one, or none. What was read
last stays then, and a sentence says so; nothing that a file holds is an error here.
"""

from __future__ import annotations

import csv
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tippingpoint.report.published import SCHEMA_VERSION

if TYPE_CHECKING:
    from tippingpoint.report.live_running import RunningCell, RunningFiles

__all__ = ["PUBLISHED", "CellLine", "PublishedFile", "StudyReader", "number_of", "text_of"]

PUBLISHED = ("progress.json", "cells.jsonl", "runs.csv", "curves.jsonl")
STATES = ("done", "running", "todo", "failed", "blocked")
LONGEST = 300  # characters of a name or a reason that the page shows
LARGEST = 300_000_000  # bytes of a file; more would only stall the page
QUIET = 60.0  # seconds without a word after which a run that calls itself running may be dead
KEY = re.compile(r"[0-9a-f]{8,64}")  # of a cell
SHOWN = 50  # running cells, and failures, that the page lists

# What reading a file that somebody else made may raise: broken text, numbers or nesting without end.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, csv.Error)


class CellLine(NamedTuple):
    """What the page needs of a line of ``cells.jsonl``; the names are cut and printable."""

    key: str
    label: str
    recipe: str
    state: str
    reason: str


def text_of(value: Any, longest: int = LONGEST) -> str:
    """Return a value as text fit to show: printable, not too long, empty where there is none."""
    if value is None:
        return ""
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value)[: longest + 1])
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def number_of(value: Any) -> float | None:
    """Return a finite number, or None; text counts where it reads as one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


class PublishedFile:
    """One published file: read when it changes, as it stood before where it cannot be read.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Makes of its path what is kept, with a list that takes sentences about what it had to leave out.
    """

    def __init__(self, path: Path, read: Callable[[Path, list[str]], Any]) -> None:
        self.path = path
        self.read = read
        self.value: Any = None
        self.version = 0  # rises whenever the value is another
        self.written: float | None = None
        self.notes: list[str] = []
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Read the file if it is another than before."""
        name = self.path.name
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen == self._seen:
                return
            self._seen, self.notes = seen, []
            if not self.path.is_file() or found.st_size > LARGEST:
                self.notes = [f"{name} is not a file that can be shown."]
                return
            self.value = self.read(self.path, self.notes)
            self.version += 1
            self.written = found.st_mtime
        except FileNotFoundError:
            self._seen = None
            self.notes = [] if self.value is None else [f"{name} is gone; what it said last is shown."]
        except OSError as error:
            self._seen = None
            self.notes = [f"{name} cannot be read ({error.strerror or error}); {self._kept()}"]
        except BROKEN:
            self.notes = [f"{name} is half-written or damaged; {self._kept()}"]

    def _kept(self) -> str:
        return "nothing of it is shown." if self.value is None else "what it said before is shown."


class StudyReader:
    """All that a study directory publishes, as the live page tells it.

    Parameters
    ----------
    root : str or Path
        The study directory.
    read_runs, read_curves : callable
        Read ``runs.csv`` and ``curves.jsonl``, as of `PublishedFile`.
    telling : RunningFiles
        What runs tell of their cells.

    Attributes
    ----------
    at_work : list of RunningCell
        The cells that train now, as far as runs tell of them.
    """

    def __init__(
        self,
        root: str | Path,
        read_runs: Callable[[Path, list[str]], Any],
        read_curves: Callable[[Path, list[str]], Any],
        telling: RunningFiles,
    ) -> None:
        self.root = Path(root)
        self.progress = PublishedFile(self.root / "progress.json", _read_progress)
        self.cells = PublishedFile(self.root / "cells.jsonl", _read_cells)
        self.runs = PublishedFile(self.root / "runs.csv", read_runs)
        self.curves = PublishedFile(self.root / "curves.jsonl", read_curves)
        self.telling = telling
        self.at_work: Sequence[RunningCell] = ()

    def look(self) -> dict[str, Any]:
        """Return how the study stands now, as plain JSON types.

        Returns
        -------
        dict
            ``name``, ``state`` (as published; ``silent``: it calls itself running but has not written for a minute;
            ``gone``: the directory is; ``empty``: nothing is published yet), ``age_s``, ``cells`` by state,
            ``recipes`` (cells by state of each), ``running`` (label, steps done and in all, null where no run tells
            them) and ``failures`` (at most 50 each, with their numbers), ``eta_s``, ``wall_s``, ``workers``,
            ``n_runs``, ``notes`` of the study, ``faults`` of reading.
        """
        files = (self.progress, self.cells, self.runs, self.curves)
        for file in (*files, self.telling):
            file.look()
        progress: Mapping[str, Any] = self.progress.value or {}
        cells: list[CellLine] = self.cells.value or []
        faults = [note for file in (*files, self.telling) for note in file.notes]
        state, age = self._state(progress)
        self.at_work = ()
        if state == "gone":
            faults = [f"The directory {text_of(self.root)} is gone; what it said last is shown."]
        failed = [cell for cell in cells if cell.state == "failed"]
        running = self._at_work(cells) if state == "running" else []
        return {
            "name": progress.get("name") or text_of(self.root.resolve().name),
            "state": state,
            "age_s": age,
            "cells": progress.get("cells") or _counted(cells),
            "recipes": _by_recipe(cells),
            "running": running[:SHOWN],
            "failures": [
                {"key": cell.key, "label": cell.label, "reason": cell.reason, "log": self.log_of(cell.key) is not None}
                for cell in failed[:SHOWN]
            ],
            "n_failures": len(failed),
            "n_running": len(running),
            "eta_s": progress.get("eta_s") if state == "running" else None,
            "wall_s": progress.get("wall_s"),
            "workers": progress.get("workers"),
            "n_runs": len(self.runs.value or []),
            "notes": progress.get("notes") or [],
            "faults": faults,
        }

    def _state(self, progress: Mapping[str, Any]) -> tuple[str, float | None]:
        """Return the study's state, and the seconds since it last spoke."""
        written = self.progress.written
        age = None if written is None else max(0.0, time.time() - written)
        if not self.root.is_dir():
            return "gone", age
        if not progress:
            return ("empty" if self.cells.value is None and self.runs.value is None else "unknown"), age
        if progress["state"] == "running" and age is not None and age > QUIET:
            return "silent", age
        return progress["state"], age

    def _at_work(self, cells: list[CellLine]) -> list[dict[str, Any]]:
        """Return the cells that train now; where no run tells of its own, those that the list calls running."""
        self.at_work = self.telling.cells
        if self.telling.is_told:
            return [{"label": cell.label, "done": cell.done, "total": cell.total} for cell in self.at_work]
        return [{"label": cell.label, "done": None, "total": None} for cell in cells if cell.state == "running"]

    def log_of(self, key: str) -> Path | None:
        """Return the log of a failed cell, or None: a plain file in ``logs``, reached by no link."""
        if not KEY.fullmatch(key):
            return None
        folder = self.root / "logs"
        path = folder / f"{key}.log"
        try:
            inside = path.is_file() and path.resolve() == folder.resolve() / path.name
            return path if inside and folder.resolve() == self.root.resolve() / "logs" else None
        except (OSError, ValueError, RuntimeError):
            return None


def _read_progress(path: Path, notes: list[str]) -> dict[str, Any]:
    """Return what ``progress.json`` says, every value of the kind that the page expects."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        notes.append("progress.json is of another version than this tippingpoint reads; upgrade the package.")
        return {}
    study, cells, told = found.get("study"), found.get("cells"), found.get("notes")
    counts = {}
    if isinstance(cells, dict):
        counts = {state: max(0, int(number_of(cells.get(state)) or 0)) for state in STATES}
    numbers = {name: number_of(found.get(name)) for name in ("eta_s", "wall_s", "workers")}
    return {
        "name": text_of(study.get("name")) if isinstance(study, dict) else "",
        "state": text_of(found.get("state") or "unknown", 40),
        "cells": counts if sum(counts.values()) else None,
        **{name: None if value is None or value < 0 else value for name, value in numbers.items()},
        "notes": [text_of(note, 1000) for note in told[:SHOWN]] if isinstance(told, list) else [],
    }


def _read_cells(path: Path, notes: list[str]) -> list[CellLine]:
    """Return the lines of ``cells.jsonl``; those that cannot be read are counted."""
    cells, broken = [], 0
    for line in lines_of(path):
        try:
            cell = json.loads(line)
            where = (cell.get("inputs") or {}).get("where") or {}
            recipe = where.get("recipe") or cell.get("kind")
            label = cell.get("label") or cell["key"]
            state = cell["state"] if cell["state"] in STATES else "todo"
            cells.append(
                CellLine(
                    text_of(cell["key"], 64), text_of(label), text_of(recipe), state, text_of(cell.get("reason"), 1000)
                )
            )
        except BROKEN:
            broken += 1
    if broken:
        notes.append(f"cells.jsonl: {broken} line(s) cannot be read (half-written or damaged) and are left out.")
    return cells


def lines_of(path: Path) -> Iterator[str]:
    """Give the lines of a text file that are not empty, whatever bytes it holds."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        yield from (line for line in stream if line.strip())


def _counted(cells: list[CellLine]) -> dict[str, int]:
    found = Counter(cell.state for cell in cells)
    return {state: found[state] for state in STATES}


def _by_recipe(cells: list[CellLine]) -> list[dict[str, Any]]:
    """Return the cells of each recipe by state, in order of appearance."""
    groups: dict[str, list[CellLine]] = {}
    for cell in cells:
        groups.setdefault(cell.recipe, []).append(cell)
    return [{"recipe": recipe, **_counted(group)} for recipe, group in list(groups.items())[:SHOWN]]
