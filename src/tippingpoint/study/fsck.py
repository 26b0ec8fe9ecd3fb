"""Checks the cells and the index of a study directory, and mends them on request.

Every cell is read in full: its files are there, their hashes match what was recorded when it was committed, JSON is
well formed and weights are laid out as their header says. The index is held against the directories, which are the
truth.

Mending never deletes a cell: what is damaged moves to ``quarantine/`` and the next run trains it again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tippingpoint.errors import InputError, StoreError
from tippingpoint.files import dump_json
from tippingpoint.study.cell_files import cannot_write, is_litter, read_cell, require_known, verify_cell
from tippingpoint.study.claims import holder, learn_clock
from tippingpoint.study.store import INDEX_VERSION, Store, is_key, set_aside

__all__ = ["Check", "Fault", "check_store", "require_study"]


class Fault(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    what : str
        ``cell`` or ``index``.
    path : Path
        Where.
    reason : str
        What is wrong, to be read after the path.
    """

    what: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}."


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes
    ----------
    root : Path
        The study directory.
    cells : int
        Finished cells that were read.
    faults : tuple of Fault
        What is wrong.
    mended : tuple of str
        What was done about it, one sentence each; empty where only a check was asked for.
    unfinished : int
        Cells in flight, or what dead runs left of them: no faults.
    behind : int
        Finished cells that the index does not know, because a run ended between the two: no faults, the next run adds
        them.
    """

    root: Path
    cells: int
    faults: tuple[Fault, ...]
    mended: tuple[str, ...]
    unfinished: int
    behind: int

    @property
    def exit_code(self) -> int:
        """0 where nothing is wrong, or all of it was mended; else 2."""
        return 2 if self.faults and not self.mended else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as ``fsck --json`` prints it."""
        return {
            "directory": str(self.root),
            "cells": self.cells,
            "faults": [{"what": one.what, "path": str(one.path), "reason": one.reason} for one in self.faults],
            "mended": list(self.mended),
            "unfinished": self.unfinished,
            "behind": self.behind,
        }


def require_study(root: Path) -> None:
    """Refuse what is not a study directory.

    Raises
    ------
    InputError
        There is no such directory, or it holds no cells.
    """
    if (root / "cells").is_dir() or (root / "index.sqlite").is_file() or (root / "progress.json").is_file():
        return
    what = "it holds no cells" if root.is_dir() else "it is a file" if root.exists() else "there is no such directory"
    raise InputError(f"{root}: is not a study directory ({what}); give the directory of a 'tippingpoint run'.")


def check_store(root: str | Path, *, repair: bool = False) -> Check:
    """Check every cell and the index of a study directory.

    Parameters
    ----------
    root : str or Path
        The study directory.
    repair : bool, default False
        Move damaged cells to the quarantine and build the index anew from the directories.

    Returns
    -------
    Check
        What is wrong and what was mended.

    Raises
    ------
    InputError
        It is not a study directory.
    StoreError
        It cannot be read or, with ``repair``, written, a newer version of the package wrote it, or a run holds it.
    """
    root = Path(root)
    require_study(root)
    if repair:
        learn_clock(root)
    busy = holder(root)
    if repair and busy:
        raise StoreError(f"{root}: a run holds this study ({busy}); wait for it or stop it, then repair.")
    cells = root / "cells"
    try:
        names = sorted(path.name for path in cells.iterdir() if not is_litter(path.name)) if cells.is_dir() else []
    except OSError as error:
        raise StoreError(f"{cells}: cannot be read ({error.strerror or error}); check its permissions.") from error
    unfinished = [name for name in names if name.startswith(".tmp-")]
    faults = []
    for name in (one for one in names if one not in unfinished):
        reason = _fault_of(cells / name) if is_key(name) else "is not a cell, and does not belong here"
        if reason is not None:
            faults.append(Fault("cell", cells / name, reason))
    keys = {name for name in names if is_key(name)}
    sound = keys - {fault.path.name for fault in faults}
    told, known = _check_index(root, sound, keys - sound)
    in_index = [Fault("index", root / "index.sqlite", reason) for reason in told]
    mended = _repair(root, faults) if repair and (faults or in_index or sound - known) else []
    return Check(root, len(keys), (*faults, *in_index), tuple(mended), len(unfinished), len(sound - known))


def _fault_of(folder: Path) -> str | None:
    """Return what is wrong with a cell, its files read in full."""
    if (fault := verify_cell(folder)) is not None:
        return fault
    for path in sorted(path for path in folder.iterdir() if not is_litter(path.name)):
        try:
            if path.suffix == ".json":
                found = json.loads(path.read_text(encoding="utf-8"))
                if path.name == "result.json":
                    require_known(folder, found)
            elif path.suffix == ".safetensors":
                _read_header(path)
        except StoreError:
            raise
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"holds {path.name} as it was written, but it is not well formed"
    return None


def _read_header(path: Path) -> None:
    """Hold the layout of a safetensors file against its size; ValueError where they differ."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ValueError(length)
        header = json.loads(stream.read(length).decode("utf-8"))
    spans = sorted(tuple(tensor["data_offsets"]) for name, tensor in header.items() if name != "__metadata__")
    end = 0
    for start, stop in spans:
        if start != end or stop < start:
            raise ValueError(spans)
        end = stop
    if end != size - 8 - length:
        raise ValueError(end)


# --- index ---


def _check_index(root: Path, sound: set[str], damaged: set[str]) -> tuple[list[str], set[str]]:
    """Return what is wrong with the index beyond what follows from the damaged cells, and the cells that it knows."""
    path = root / "index.sqlite"
    if not path.is_file():
        missing = f"is missing, and there are {len(sound)} cells; a run or --repair builds it"
        return [missing] if sound else [], sound
    try:
        rows = _read_rows(path)
    except sqlite3.Error as error:
        return [f"is damaged ({error})"], sound
    told = []
    for key, (state, text) in sorted(rows.items()):
        if key in damaged:
            continue
        if state not in ("done", "failed"):
            told.append(f"says '{state}' of cell {key}, which is no state")
        elif state == "done" and not (root / "cells" / key).is_dir():
            told.append(f"calls cell {key} done, but it is not there")
        elif state == "done" and not _same_result(root / "cells" / key, text):
            told.append(f"tells another result of cell {key} than its result.json")
    return told, {key for key, (state, _) in rows.items() if state == "done"}


def _read_rows(path: Path) -> dict[str, tuple[str, str]]:
    """Return key -> (state, text) of a sound index, or raise sqlite3.Error."""
    left = any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal"))
    # What a killed writer left is played back first, which writes; else the file alone is read and nothing touched.
    target = f"{path.absolute().as_uri()}?{'mode=rw' if left else 'immutable=1'}"
    with contextlib.closing(sqlite3.connect(target, uri=True, timeout=30)) as db:
        if (told := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(str(told).splitlines()[0])
        if (version := db.execute("PRAGMA user_version").fetchone()[0]) != INDEX_VERSION:
            raise sqlite3.DatabaseError(f"version {version}")
        return {key: (state, text) for key, state, text in db.execute("SELECT key, state, text FROM cells")}


def _same_result(folder: Path, text: str) -> bool:
    try:
        return bool(json.loads(text) == json.loads(dump_json(read_cell(folder)[1])))
    except StoreError:
        raise
    except (OSError, ValueError, TypeError):
        return False


# --- mending ---


def _repair(root: Path, faults: list[Fault]) -> list[str]:
    """Set damaged cells aside and build the index anew; return what was done."""
    path, failed = root / "index.sqlite", {}
    with contextlib.suppress(sqlite3.Error):  # what a sound index knows of failed cells is worth keeping
        failed = {key: text for key, (state, text) in _read_rows(path).items() if state == "failed"}
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    done = []
    for fault in faults:
        if (place := set_aside(root, fault.path.name)) is not None:
            again = "; the next run trains it again" if is_key(fault.path.name) else ""
            done.append(f"{fault.path} was moved to {place}{again}.")
    store = Store(root, write=True, aside=False)
    for key, reason in failed.items():
        if key not in store.done():
            store.record_failed(key, reason)
    done.append(f"{path} was built anew from {len(store.done())} cells.")
    store.close()
    return done
