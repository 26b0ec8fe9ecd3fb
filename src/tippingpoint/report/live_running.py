"""What running studies tell of their cells: how far each is, and the curves of those that are finished, as they come.

The files of ``running/`` (see ``docs/formats.md``), of any number of runs. Those of cells at work are read again when
they change; those of finished curves only grow, and only what is new of them is read. A line without its end is on its
way, and no fault.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tippingpoint.report.live_reading import BROKEN, QUIET, PublishedFile, number_of, text_of
from tippingpoint.report.live_results import Curve, best_of, curve_of, keep_curve, unread

__all__ = ["RunningCell", "RunningFiles"]

_VERSION = 1
FOLDER = "running"
CURVES = ".curves.jsonl"
MOST_FILES = 1000  # that are looked at
MOST_CELLS = 2000  # of one run
AT_ONCE = 32_000_000  # bytes of new curves that one look reads; the rest at the next


class RunningCell(NamedTuple):
    """A cell at work: its name, how far it is, and its curve so far with what it is of."""

    key: str
    label: str
    done: int
    total: int
    curve: Curve


class GrowingFile:
    """A file of finished curves that its run only adds to.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.chosen: dict[str, Curve] = {}
        self.version = 0  # rises whenever lines were added
        self._at = 0
        self._inode = 0
        self._broken: dict[str, int] = {}

    @property
    def notes(self) -> list[str]:
        """A sentence for each kind of lines that were left out."""
        return unread(f"{FOLDER}/{self.path.name}", self._broken)

    def look(self) -> None:
        """Read what is new."""
        with contextlib.suppress(OSError), self.path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            if found.st_ino != self._inode or found.st_size < self._at:  # another file of that name
                self.chosen, self._at, self._inode, self._broken = {}, 0, found.st_ino, {}
            if found.st_size == self._at:
                return
            stream.seek(self._at)
            new = stream.read(AT_ONCE)
            end = new.rfind(b"\n") + 1 or len(new) * (len(new) == AT_ONCE)  # no curve is as long as that
            for line in new[:end].splitlines():
                keep_curve(self.chosen, line.decode("utf-8", "replace"), self._broken)
            self._at += end
            self.version += end > 0


class RunningFiles:
    """All that the runs of a study tell of their cells.

    Parameters
    ----------
    root : str or Path
        The study directory.

    Attributes
    ----------
    cells : list of RunningCell
        At work, of the runs that told of them within the last minute; each once.
    is_told : bool
        Whether a run tells of its cells at all: those of earlier releases do not.
    notes : list of str
        What cannot be read.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.cells: list[RunningCell] = []
        self.is_told = False
        self.notes: list[str] = []
        self._working: dict[str, PublishedFile] = {}
        self._growing: dict[str, GrowingFile] = {}

    @property
    def version(self) -> list[tuple[str, int]]:
        """What changes whenever there are other finished curves."""
        return [(name, file.version) for name, file in self._growing.items()]

    @property
    def finished(self) -> dict[str, Curve]:
        """The curves that were finished since ``curves.jsonl`` was written, chosen as `read_curves` does."""
        return best_of(*(file.chosen for file in self._growing.values()))

    def look(self) -> None:
        """Read what has changed; files that are gone are forgotten, their runs have ended; unless the study is."""
        if not self.root.is_dir():
            return
        paths = {path.name: path for path in self._paths()}
        growing = {name: path for name, path in paths.items() if name.endswith(CURVES)}
        self._growing = {name: self._growing.get(name) or GrowingFile(path) for name, path in growing.items()}
        self._working = {
            name: self._working.get(name) or PublishedFile(path, _read_working)
            for name, path in paths.items()
            if name.endswith(".json")
        }
        for growing_file in self._growing.values():
            growing_file.look()
        for file in self._working.values():
            file.look()
        fresh = [file for file in self._working.values() if file.written and time.time() - file.written <= QUIET]
        told = [file.value for file in fresh if file.value is not None]
        self.cells = list({cell.key: cell for cells in told for cell in cells}.values())
        self.is_told = bool(told)
        self.notes = [f"{FOLDER}/{note}" for file in self._working.values() for note in file.notes]
        self.notes += [note for file in self._growing.values() for note in file.notes]

    def _paths(self) -> Iterator[Path]:
        """Give the files: plain ones in the study's own folder, reached by no link."""
        folder = self.root / FOLDER
        with contextlib.suppress(OSError, RuntimeError):
            if folder.is_symlink() or not folder.is_dir():
                return
            names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
            yield from (path for path in names[:MOST_FILES] if path.is_file() and not path.is_symlink())


def _read_working(path: Path, notes: list[str]) -> list[RunningCell] | None:
    """Return the cells that a run has at work, None of another version; those that cannot be read are counted."""
    found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    if found["schema_version"] != _VERSION:
        notes.append(f"{path.name} is of another version than this tippingpoint reads; upgrade the package.")
        return None
    cells, broken = [], 0
    for told in found["cells"][:MOST_CELLS]:
        try:
            done, total = (max(0, int(number_of(told[name]) or 0)) for name in ("done", "total"))
            key, label = text_of(told["key"], 64), text_of(told["label"])
            cells.append(RunningCell(key, label, min(done, total), total, curve_of(told)))
        except BROKEN:
            broken += 1
    if broken:
        notes.append(f"{path.name}: {broken} cell(s) cannot be read and are left out.")
    return cells
