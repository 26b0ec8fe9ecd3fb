"""The store of a study: the only truth about what is done.

Layout of a study directory::

    cells/<key>/cell.json            what the cell is, and the size and SHA-256 of its other files
               /result.json          scores and costs
               /curve.json           loss over steps
               /weights.safetensors  of a pretraining
    cells/.tmp-<key>-<pid>-<n>/      a cell in flight, or what a dead writer left
    index.sqlite                     a copy of the results for quick reading; rebuilt from the directories
    logs/<key>.log                   traceback of a failed cell

A cell is written aside, every file flushed to the disk, ``cell.json`` last, then the directory is renamed: under
``cells/<key>`` there is a whole cell or nothing.

Deliberately not built: a server. One runner at a time holds ``lock``; whoever only reads needs no lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tippingpoint.errors import StoreError
from tippingpoint.files import dump_json

__all__ = ["CELL_VERSION", "INDEX_VERSION", "Store", "begin_cell", "commit_cell", "read_cell", "verify_cell"]

CELL_VERSION = 1  # of cell.json and result.json
INDEX_VERSION = 1
_counter = itertools.count()


def begin_cell(root: Path, key: str) -> Path:
    """Make the directory in which a cell is written aside.

    Parameters
    ----------
    root : Path
        The study directory.
    key : str
        The cell's key.

    Returns
    -------
    Path
        An empty directory that only this writer knows.
    """
    folder = root / "cells" / f".tmp-{key}-{os.getpid()}-{next(_counter)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return folder


def commit_cell(aside: Path, root: Path, cell: Mapping[str, Any], result: Mapping[str, Any]) -> Path:
    """Make a cell that was written aside part of the study, wholly or not at all.

    Parameters
    ----------
    aside : Path
        What `begin_cell` gave, with the files of the training in it.
    root : Path
        The study directory.
    cell : mapping
        What `Cell.describe` says; its ``key`` names the directory.
    result : mapping
        What the laboratory returned.

    Returns
    -------
    Path
        The finished directory. If another writer was first, its cell stands and this one is dropped.

    Raises
    ------
    StoreError
        The disk refuses; the message names the path.
    """
    target = root / "cells" / str(cell["key"])
    try:
        _write(aside / "result.json", dump_json({"schema_version": CELL_VERSION, **result}, indent=1))
        files = {}
        for path in sorted(aside.iterdir()):
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            _flush(path)
        _write(aside / "cell.json", dump_json({"schema_version": CELL_VERSION, **cell, "files": files}, indent=1))
        _flush(aside)
        try:
            os.rename(aside, target)
        except OSError:
            if not (target / "cell.json").is_file():
                raise
            shutil.rmtree(aside, ignore_errors=True)
        _flush(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error
    return target


def verify_cell(folder: Path, *, deep: bool = True) -> str | None:
    """Return what is wrong with a cell's directory, or None.

    Parameters
    ----------
    folder : Path
        ``cells/<key>``.
    deep : bool, default True
        Compare hashes, not only sizes.
    """
    try:
        about = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
        if about["schema_version"] != CELL_VERSION:
            return f"is of version {about['schema_version']}, which this version of tippingpoint does not read"
        if about["key"] != folder.name:
            return "holds another cell's content"
        for name, said in about["files"].items():
            path = folder / name
            if path.stat().st_size != said["bytes"] or (deep and _sha256(path) != said["sha256"]):
                return f"has a damaged {name}"
        if "result.json" not in about["files"]:
            return "has no result.json"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    return None


def read_cell(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (cell.json, result.json) of a finished cell."""
    about: dict[str, Any] = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return about, result


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cannot_write(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror or error}); free room or choose another folder.")


class Store:
    """Finished and failed cells of one study directory.

    Parameters
    ----------
    root : str or Path
        The study directory.
    write : bool, default False
        Make what is missing, clean what dead writers left, repair the index. Only the holder of the lock may.

    Attributes
    ----------
    notes : list of str
        What was found and mended, one sentence each.
    """

    def __init__(self, root: str | Path, *, write: bool = False) -> None:
        self.root = Path(root)
        self.write = write
        self.notes: list[str] = []
        self._results: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, str] = {}
        self._db: sqlite3.Connection | None = None
        if write:
            self._prepare()
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

    def described(self) -> Iterator[dict[str, Any]]:
        """Yield the ``cell.json`` of every finished cell that can be read."""
        for key in sorted(self._results):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads((self.folder(key) / "cell.json").read_text(encoding="utf-8"))

    # --- writing ---

    def record_done(self, key: str) -> dict[str, Any]:
        """Take note of a cell that a worker has committed; return its result."""
        _, result = read_cell(self.folder(key))
        self._results[key] = result
        self._failed.pop(key, None)
        self._put([(key, "done", dump_json(result))])
        return result

    def record_failed(self, key: str, reason: str) -> None:
        """Take note of a cell that failed."""
        self._failed[key] = reason
        self._put([(key, "failed", reason)])

    def log_path(self, key: str) -> Path:
        """Return where the log of a failed cell lies."""
        return self.root / "logs" / f"{key}.log"

    def clean(self) -> int:
        """Remove unfinished cells, when no worker lives any more; return how many there were."""
        left = [path for path in self.cells.iterdir() if path.name.startswith(".tmp-")]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return len(left)

    def close(self) -> None:
        """Close the index."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def __del__(self) -> None:
        if getattr(self, "_db", None) is not None:
            self.close()

    # --- opening ---

    def _prepare(self) -> None:
        """Make the folders; remove what dead writers left (the lock says that no other writer lives)."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            (self.root / "logs").mkdir(exist_ok=True)
            left = self.clean()
        except OSError as error:
            raise _cannot_write(self.root, error) from error
        if left:
            count = f"{left} unfinished cell{'s' if left > 1 else ''}"
            self.notes.append(f"Removed what an interrupted run had left of {count}; they start again.")

    def _load(self) -> None:
        """Read the index, hold it against the directories, and mend what differs."""
        indexed = self._open_index()
        try:
            present = (
                {path.name for path in self.cells.iterdir() if len(path.name) == 64} if self.cells.is_dir() else set()
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
                    continue
            if fault is None and self.write:
                fault = verify_cell(self.folder(key))
            if fault is not None:
                self._set_aside(key, fault)
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

    def _set_aside(self, key: str, fault: str) -> None:
        """Take a damaged cell out of the way (kept for a look), so that it runs again."""
        if not self.write:
            self.notes.append(f"{self.folder(key)} {fault}; the next run trains it again.")
            return
        aside = self.cells / f".bad-{key}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            os.rename(self.folder(key), aside)
        except OSError as error:
            raise _cannot_write(self.folder(key), error) from error
        self.notes.append(f"{self.folder(key)} {fault}; it was moved to {aside.name} and is trained again.")

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
                try:
                    for suffix in ("", "-wal", "-shm"):
                        path.with_name(path.name + suffix).unlink(missing_ok=True)
                except OSError as refused:
                    raise _cannot_write(path, refused) from error
                self.notes.append(f"{path}: was damaged ({error}) and is rebuilt from the cells.")
        raise AssertionError("unreachable")

    def _read_index(self, path: Path) -> dict[str, tuple[str, str]]:
        # A reader leaves no trace, so it does not look into the log of a live writer: the directories tell the rest.
        target = str(path) if self.write else f"{path.absolute().as_uri()}?immutable=1"
        self._db = sqlite3.connect(target, timeout=30, isolation_level=None, uri=not self.write)
        if self.write:
            self._db.execute("PRAGMA journal_mode=WAL")  # where a file system has none, SQLite keeps its own default
            self._db.execute("PRAGMA synchronous=NORMAL")  # the directories are the truth: an index may lose its tail
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, INDEX_VERSION):
                raise sqlite3.DatabaseError(f"version {version}")
            self._db.execute("CREATE TABLE IF NOT EXISTS cells (key TEXT PRIMARY KEY, state TEXT NOT NULL, text TEXT)")
            self._db.execute(f"PRAGMA user_version={INDEX_VERSION}")
        rows = self._db.execute("SELECT key, state, text FROM cells").fetchall()
        return {key: (state, text) for key, state, text in rows}

    def _put(self, rows: list[tuple[str, str, str]], gone: list[str] | None = None) -> None:
        if not self.write or self._db is None or not (rows or gone):
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", rows)
            self._db.executemany("DELETE FROM cells WHERE key = ?", [(key,) for key in gone or []])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.root / 'index.sqlite'}: cannot be written ({error}); free room on the disk."
            ) from error
