"""The store of a study: the only truth about what is done.

Layout of a study directory::

    cells/<key>/cell.json            what the cell is, its hash, and the size and SHA-256 of its other files
               /result.json          scores and costs
               /curve.json           loss over steps
               /log.txt              where and when it was trained, and what was warned of
               /weights.safetensors  of a pretraining
    cells/.tmp-<key>-<runner>~<n>/   a cell in flight, or what a dead run left
    index.sqlite                     a copy of the results for quick reading; rebuilt from the directories
    quarantine/<key>.<n>/            a cell that was found damaged, kept for a look
    logs/<key>.log                   traceback of a failed cell

A cell is written aside, every file flushed to the disk, ``cell.json`` last, then the directory is renamed: under
``cells/<key>`` there is a whole cell or nothing.

Deliberately not built: a server. Runs share a directory by claims (see `claims`); whoever only reads needs none.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tippingpoint.errors import StoreError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.cell_files import cannot_write, read_cell, require_known, runner_of, verify_cell
from tippingpoint.study.claims import is_dead

__all__ = ["INDEX_VERSION", "QUARANTINE", "Store", "is_key", "set_aside"]

INDEX_VERSION = 1
QUARANTINE = "quarantine"  # damaged cells, kept for a look
REFUSED = {  # by the disk: to build the index anew would help nobody
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
INDEX_EVERY = 1.0  # seconds that finished cells may wait for the index: it is flushed to the disk at every writing


def is_key(name: str) -> bool:
    """Say whether a name in ``cells/`` is that of a finished cell."""
    return re.fullmatch(r"[0-9a-f]{64}", name) is not None


def set_aside(root: Path, name: str) -> Path | None:
    """Move what lies under a name in ``cells/`` to the quarantine, which keeps it.

    Returns
    -------
    Path or None
        Where it lies now; None where nothing lay there, as where another runner was first.

    Raises
    ------
    StoreError
        The disk refuses.
    """
    room = root / QUARANTINE
    try:
        room.mkdir(exist_ok=True)
        place = next(path for n in itertools.count(1) if not (path := room / f"{name}.{n}").exists())
        os.rename(root / "cells" / name, place)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_write(root / "cells" / name, error) from error
    return place


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


class Store:
    """Finished and failed cells of one study directory.

    Parameters
    ----------
    root : str or Path
        The study directory.
    write : bool, default False
        Make what is missing, repair the index, set damaged cells aside.
    aside : bool, default True
        Remove what dead writers left of unfinished cells, too.

    Attributes
    ----------
    notes : list of str
        What was found and mended, one sentence each.
    """

    def __init__(self, root: str | Path, *, write: bool = False, aside: bool = True) -> None:
        self.root = Path(root)
        self.write = write
        self.notes: list[str] = []
        self._results: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, str] = {}
        self._unwritten: list[tuple[str, str, str]] = []  # finished cells that the index does not have yet
        self._next_write = 0.0
        self._db: sqlite3.Connection | None = None
        if write:
            self._prepare(aside)
        self._load()

    # --- reading ---

    @property
    def cells(self) -> Path:
        """The folder of finished cells."""
        return self.root / "cells"

    def folder(self, key: str) -> Path:
        """Return where a cell lies once it is finished."""
        return self.cells / key

    def done(self) -> set[str]:
        """Return the keys of all finished cells."""
        return set(self._results)

    def result(self, key: str) -> dict[str, Any]:
        """Return what a finished cell scored and cost."""
        return self._results[key]

    def failed(self) -> dict[str, str]:
        """Return key -> reason of the cells that failed when they were last tried."""
        return dict(self._failed)

    def damaged(self) -> set[str]:
        """Return the keys of cells that were found damaged, now or before, and are not done again."""
        aside = {path.name.partition(".")[0] for path in _inside(self.root / QUARANTINE)}
        return (self.lying() | aside) - self._results.keys()

    def lying(self) -> set[str]:
        """Return the keys of cells that lie there now, whoever committed them, sound or not."""
        return {path.name for path in _inside(self.cells) if is_key(path.name)}

    def described(self) -> Iterator[dict[str, Any]]:
        """Yield the ``cell.json`` of every finished cell that can be read."""
        for key in sorted(self._results):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads((self.folder(key) / "cell.json").read_text(encoding="utf-8"))

    # --- writing ---

    def record_done(self, key: str) -> dict[str, Any]:
        """Take note of a cell that a worker has committed; return its result.

        The index may learn of it a moment later, at the latest by :meth:`flush`: the cell's directory is the truth.
        """
        try:
            _, result = read_cell(self.folder(key))
        except StoreError:
            raise
        except (OSError, ValueError) as error:
            self.require()
            raise StoreError(f"{self.folder(key)}: was just written and cannot be read; check the disk.") from error
        self._results[key] = result
        self._failed.pop(key, None)
        self._unwritten.append((key, "done", dump_json(result)))
        if time.monotonic() >= self._next_write:
            self.flush()
        return result

    def flush(self) -> None:
        """Bring the index up to date.

        Raises
        ------
        StoreError
            The disk refuses.
        """
        self._put([])

    def record_failed(self, key: str, reason: str, log: str | None = None) -> None:
        """Take note of a cell that failed; ``log`` is what its log shall hold."""
        self._failed[key] = reason
        self._put([(key, "failed", reason)])
        if log is not None:
            write_atomic(self.log_path(key), log)

    def require(self) -> None:
        """Raise StoreError where the study directory has vanished: nothing is written that would make half of one."""
        if not self.cells.is_dir():
            raise StoreError(f"{self.cells}: has vanished under the run; bring it back, or run in another folder.")

    def log_path(self, key: str) -> Path:
        """Return where the log of a failed cell lies."""
        return self.root / "logs" / f"{key}.log"

    def failed_since(self, moment: float, key: str) -> str | None:
        """Return why a cell failed in any run since a moment by the disk's clock; None where it did not."""
        path = self.log_path(key)
        with contextlib.suppress(OSError):
            if path.stat().st_mtime > moment:
                return (path.read_text(encoding="utf-8", errors="replace").splitlines() + [""] * 2)[1]
        return None

    def set_aside(self, key: str) -> Path | None:
        """Move a damaged cell to the quarantine and forget its result; return where it lies now, if it was there."""
        place = set_aside(self.root, key)
        self._results.pop(key, None)
        self._put([], [key])
        return place

    def refresh(self) -> None:
        """Ask a shared disk anew which cells there are: its clients remember for a while that one was not there."""
        with contextlib.suppress(OSError):  # opening a folder asks the server (close-to-open); it costs no listing
            os.close(os.open(self.cells, os.O_RDONLY))

    def has(self, key: str) -> bool:
        """Say whether a cell is there, whoever committed it."""
        return (self.folder(key) / "cell.json").is_file()

    def clean(self, ours: str | None = None) -> int:
        """Remove the unfinished cells of dead runs, and of our own; return how many there were."""
        left = [
            path for path in self.cells.glob(".tmp-*") if (run := runner_of(path)) == ours or is_dead(self.root, run)
        ]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return len(left)

    def close(self) -> None:
        """Close the index."""
        if self._db is not None:
            with contextlib.suppress(StoreError):  # what it lacks is found in the directories when it is next opened
                self.flush()
            self._db.close()
            self._db = None

    def __del__(self) -> None:
        if getattr(self, "_db", None) is not None:
            self.close()

    # --- opening ---

    def _prepare(self, aside: bool) -> None:
        """Make the folders; remove what dead runs left."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            (self.root / "logs").mkdir(exist_ok=True)
            left = self.clean() if aside else 0
        except OSError as error:
            raise cannot_write(self.root, error) from error
        if left:
            count = f"{left} unfinished cells, which begin" if left > 1 else "1 unfinished cell, which begins"
            where = "from a checkpoint where there is one"
            self.notes.append(f"Removed what an interrupted run had left of {count} again, {where}.")

    def _load(self) -> None:
        """Read the index, hold it against the directories, and mend what differs."""
        indexed = self._open_index()
        try:
            present = (
                {path.name for path in self.cells.iterdir() if is_key(path.name)} if self.cells.is_dir() else set()
            )
        except OSError as error:
            raise StoreError(
                f"{self.cells}: cannot be read ({error.strerror or error}); check its permissions."
            ) from error
        new = []
        for key in sorted(present):
            fault = verify_cell(self.folder(key), deep=False)
            if fault is None and (indexed.get(key, ("", ""))[0] == "done"):
                with contextlib.suppress(ValueError):
                    self._results[key] = json.loads(indexed[key][1])
                    require_known(self.folder(key), self._results[key])
                    continue
            if fault is None and self.write:
                fault = verify_cell(self.folder(key))
            if fault is not None:
                self._distrust(key, fault)
                continue
            self._results[key] = read_cell(self.folder(key))[1]
            new.append((key, "done", dump_json(self._results[key])))
        self._failed = {
            key: text for key, (state, text) in indexed.items() if state == "failed" and key not in self._results
        }
        gone = [key for key, (state, _) in indexed.items() if state == "done" and key not in self._results]
        self._put(new, gone)
        if not self.write:
            self.close()

    def _distrust(self, key: str, fault: str) -> None:
        """Take a damaged cell out of the way, so that it runs again; who only reads says so."""
        if not self.write:
            self.notes.append(f"{self.folder(key)} {fault}; the next run trains it again.")
            return
        if (aside := self.set_aside(key)) is not None:  # else another run has moved it, and tells of it
            self.notes.append(f"{self.folder(key)} {fault}; it was moved to {aside} and is trained again.")

    # --- index ---

    def _open_index(self) -> dict[str, tuple[str, str]]:
        """Open the index, a damaged one anew; return key -> (state, result or reason)."""
        path = self.root / "index.sqlite"
        if not self.write and not path.is_file():
            return {}
        for attempt in (1, 2):
            try:
                return self._read_index(path)
            except sqlite3.Error as error:
                self.close()
                if not self.write:
                    return {}
                if attempt == 2:
                    raise StoreError(
                        f"{path}: cannot be used ({error}); free room or choose another folder."
                    ) from error
                self._remove_index(path)
                self.notes.append(f"{path}: was damaged ({error}) and is rebuilt from the cells.")
        raise AssertionError("unreachable")

    def _remove_index(self, path: Path) -> None:
        try:
            for suffix in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as refused:
            raise cannot_write(path, refused) from refused

    def _read_index(self, path: Path) -> dict[str, tuple[str, str]]:
        # A reader leaves no trace, so it does not look into the log of a live writer: the directories tell the rest.
        target = str(path) if self.write else f"{path.absolute().as_uri()}?immutable=1"
        self._db = sqlite3.connect(target, timeout=30, isolation_level=None, uri=not self.write)
        if self.write:
            self._db.execute("PRAGMA journal_mode=DELETE")  # runs on several hosts may share it: they share no memory
            self._db.execute("PRAGMA synchronous=NORMAL")  # the directories are the truth: an index may lose its tail
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, INDEX_VERSION):
                raise sqlite3.DatabaseError(f"version {version}")
            self._db.execute("CREATE TABLE IF NOT EXISTS cells (key TEXT PRIMARY KEY, state TEXT NOT NULL, text TEXT)")
            self._db.execute(f"PRAGMA user_version={INDEX_VERSION}")
        rows = self._db.execute("SELECT key, state, text FROM cells").fetchall()
        return {key: (state, text) for key, state, text in rows}

    def _put(self, rows: list[tuple[str, str, str]], gone: list[str] | None = None) -> None:
        if not self.write or self._db is None or not (rows or gone or self._unwritten):
            return
        rows, path = [*self._unwritten, *rows], self.root / "index.sqlite"
        try:
            if not path.exists():
                raise sqlite3.DatabaseError("it is gone")
            self._write_index(rows, gone or [])
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in REFUSED:
                raise StoreError(f"{path}: cannot be written ({error}); free room on the disk.") from error
            self._rebuild_index(path)  # it is only a copy
        self._unwritten.clear()
        self._next_write = time.monotonic() + INDEX_EVERY

    def _write_index(self, rows: list[tuple[str, str, str]], gone: list[str]) -> None:
        assert self._db is not None  # noqa: S101 - who calls has looked
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", rows)
            self._db.executemany("DELETE FROM cells WHERE key = ?", [(key,) for key in gone])
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _rebuild_index(self, path: Path) -> None:
        """Write the index anew, where it was damaged, lost or locked for long while this run was at work."""
        rows = [(key, "done", dump_json(result)) for key, result in self._results.items()]
        rows += [(key, "failed", reason) for key, reason in self._failed.items()]
        try:
            if self._db is not None:
                self._db.close()
            self._remove_index(path)
            self._read_index(path)
            self._write_index(rows, [])
        except sqlite3.Error as error:
            self.require()
            raise StoreError(f"{path}: cannot be used ({error}); free room or choose another folder.") from error
