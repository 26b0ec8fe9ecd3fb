"""Removes what nobody needs: what dead runs left unfinished, logs and checkpoints of cells that are done since.

Nothing that a live run may still write is touched. Finished cells go only where that is asked for, and only those that
the directory's own study does not have.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tippingpoint.errors import InputError, StoreError
from tippingpoint.study.cell_files import cannot_write, runner_of
from tippingpoint.study.claims import holder, is_dead, learn_clock, sweep
from tippingpoint.study.fsck import require_study
from tippingpoint.study.running import left_by_dead_runs
from tippingpoint.study.store import Store, is_key

__all__ = ["Collected", "Orphan", "collect"]

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # as files.write_atomic names them


class Orphan(NamedTuple):
    """Something to remove.

    Attributes
    ----------
    path : Path
        A file or a directory.
    why : str
        Why nobody needs it.
    size : int
        Bytes in it.
    """

    path: Path
    why: str
    size: int


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be.

    Attributes
    ----------
    root : Path
        The study directory.
    orphans : tuple of Orphan
        What nobody needs.
    removed : bool
        Whether it is gone; False for a dry run.
    notes : tuple of str
        What was left alone, and why.
    """

    root: Path
    orphans: tuple[Orphan, ...]
    removed: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as ``gc --json`` prints it."""
        return {
            "directory": str(self.root),
            "orphans": [{"path": str(one.path), "why": one.why, "bytes": one.size} for one in self.orphans],
            "bytes": sum(one.size for one in self.orphans),
            "removed": self.removed,
            "notes": list(self.notes),
        }


def collect(root: str | Path, *, dry_run: bool = False, unreferenced: bool = False) -> Collected:
    """Remove the orphans of a study directory.

    Parameters
    ----------
    root : str or Path
        The study directory.
    dry_run : bool, default False
        Only say what would go.
    unreferenced : bool, default False
        Remove finished cells and checkpoints too that ``cells.jsonl``, the study as it was last run, does not name.

    Returns
    -------
    Collected
        What went, with its size.

    Raises
    ------
    InputError
        It is not a study directory, or with ``unreferenced`` its ``cells.jsonl`` cannot be read.
    StoreError
        The disk refuses, or with ``unreferenced`` a run holds the directory.
    """
    root = Path(root)
    require_study(root)
    if not dry_run:
        learn_clock(root)
    busy, notes = holder(root), []
    if busy and unreferenced:
        raise StoreError(f"{root}: a run holds this study ({busy}); wait for it or stop it, then remove cells.")
    try:
        orphans = [*_stale_logs(root), *_unfinished(root), *_told(root), *_claimed(root)]
        if busy:
            notes.append(f"A run holds this study ({busy}); what it may be writing was left alone.")
        else:
            orphans += [*_temporary(root), *_stale_checkpoints(root)]
        if unreferenced:
            orphans += _unreferenced(root)
        if not dry_run:
            _remove(root, orphans)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise cannot_write(Path(error.filename or root), error) from error
    return Collected(root, tuple(orphans), not dry_run, tuple(notes))


def _unfinished(root: Path) -> Iterator[Orphan]:
    for path in _inside(root / "cells"):
        if path.name.startswith(".tmp-") and is_dead(root, runner_of(path)):
            yield Orphan(path, "an unfinished cell of a run that is dead", _size(path))


def _told(root: Path) -> Iterator[Orphan]:
    for path in left_by_dead_runs(root):
        yield Orphan(path, "what a run that is dead told of its cells", _size(path))


def _claimed(root: Path) -> Iterator[Orphan]:
    for path in sweep(root):
        yield Orphan(path, "a claim of a run that is dead", _size(path))


def _temporary(root: Path) -> Iterator[Orphan]:
    for folder in (root, root / "logs", *_inside(root / "checkpoints")):
        for path in _inside(folder):
            if _TEMPORARY.fullmatch(path.name):
                yield Orphan(path, "a temporary file of a run that is dead", _size(path))


def _stale_logs(root: Path) -> Iterator[Orphan]:
    for path in _inside(root / "logs"):
        if path.suffix == ".log" and (root / "cells" / path.stem / "cell.json").is_file():
            yield Orphan(path, "the log of a failure of a cell that is done since", _size(path))


def _stale_checkpoints(root: Path) -> Iterator[Orphan]:
    for path in _inside(root / "checkpoints"):
        if (root / "cells" / path.name).is_dir():
            yield Orphan(path, "checkpoints of a cell that is done since", _size(path))


def _unreferenced(root: Path) -> list[Orphan]:
    path = root / "cells.jsonl"
    try:
        named = {str(json.loads(line)["key"]) for line in path.read_text(encoding="utf-8").splitlines()}
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing, and it alone names the cells to keep; run the study again.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged, and it alone names the cells to keep; run the study again.") from error
    finished = [folder for folder in _inside(root / "cells") if is_key(folder.name)]
    begun = [folder for folder in _inside(root / "checkpoints") if not (root / "cells" / folder.name).is_dir()]
    return [
        Orphan(folder, f"{what} that the study does not have", _size(folder))
        for what, folders in (("a finished cell", finished), ("checkpoints of a cell", begun))
        for folder in folders
        if folder.name not in named
    ]


def _remove(root: Path, orphans: list[Orphan]) -> None:
    """Remove the orphans; a finished cell loses its name first, so that no half of it is ever seen."""
    lost = False
    for one in orphans:
        path = one.path
        with contextlib.suppress(FileNotFoundError):  # a run that begins removes them too
            if is_key(path.name) and path.parent.name == "cells":
                lost, path = True, path.rename(path.with_name(f".tmp-gone-{path.name}"))
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    if lost:
        Store(root, write=True).close()  # takes the lost cells out of the index


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    """Return the bytes of a file or of all in a folder; what another removes meanwhile counts nothing."""
    inside = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    size = 0
    for one in inside if path.is_dir() else [path]:
        with contextlib.suppress(FileNotFoundError):
            size += one.stat().st_size
    return size
