"""A cell's directory: written aside, committed whole or not at all, verified by hash.

``cell.json`` says what the cell is and lists the size and SHA-256 of its other files. Since version 2 it also holds its
own hash: that of its bytes with 64 zeros in the hash's place. A cell of version 1 is checked by its key instead, which
is the hash of the task, the data and the parents.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tippingpoint.errors import StoreError
from tippingpoint.files import dump_json
from tippingpoint.study.cells import canonical_json, key_material

__all__ = [
    "CELL_VERSION",
    "RESULT_VERSION",
    "begin_cell",
    "cannot_write",
    "commit_cell",
    "is_litter",
    "read_cell",
    "require_known",
    "runner_of",
    "verify_cell",
]

CELL_VERSION = 2  # of cell.json; version 1 had no hash of its own and is read forever
RESULT_VERSION = 1  # of result.json
_NO_HASH = "0" * 64
_counter = itertools.count()


def begin_cell(root: Path, key: str, runner: str = "") -> Path:
    """Make the directory in which a cell is written aside.

    Parameters
    ----------
    root : Path
        The study directory.
    key : str
        The cell's key.
    runner : str, optional
        Name of the run that this is for: while it lives, nobody removes the directory.

    Returns
    -------
    Path
        An empty directory that only this writer knows.

    Raises
    ------
    StoreError
        The disk refuses; the message names the path.
    """
    folder = root / "cells" / f".tmp-{key}-{runner}~{os.getpid()}-{next(_counter)}"
    try:
        folder.mkdir()  # where the study has vanished, it is not made anew
    except OSError as error:
        raise cannot_write(folder, error) from error
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
        text = dump_json({"schema_version": RESULT_VERSION, **result}, indent=1)
        (aside / "result.json").write_text(text, encoding="utf-8")
        files = {}
        for path in sorted(aside.iterdir()):
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            _flush(path)
        _write(aside / "cell.json", _manifest(cell, files))
        _flush(aside)
        try:
            os.rename(aside, target)
        except OSError:
            if not (target / "cell.json").is_file():
                raise
            shutil.rmtree(aside, ignore_errors=True)
        _flush(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    return target


def verify_cell(folder: Path, *, deep: bool = True) -> str | None:
    """Return what is wrong with a cell's directory, or None.

    Parameters
    ----------
    folder : Path
        ``cells/<key>``.
    deep : bool, default True
        Compare the hashes of its files, not only their sizes.

    Raises
    ------
    StoreError
        A newer version of the package wrote it: it is whole, but not for this one to judge.
    """
    try:
        about, fault = _read_manifest(folder / "cell.json", deep=deep)
        if fault is None and about["key"] != folder.name:
            fault = "holds another cell's content"
        if fault is not None:
            return fault
        return _fault_in_files(folder, dict(about["files"]), deep=deep)
    except StoreError:
        raise
    except FileNotFoundError as error:
        fault = f"has no {Path(error.filename or 'cell.json').name}"
    except OSError as error:
        fault = f"cannot be read ({error.strerror or error})"
    except (ValueError, KeyError, TypeError, AttributeError):
        fault = "has a damaged cell.json"
    return fault


def is_litter(name: str) -> bool:
    """Say whether desktops that show a folder, or network disks, leave files of this name: they are nobody's fault."""
    return (name.startswith(".") and not name.startswith(".tmp-")) or name in ("Thumbs.db", "desktop.ini")


def _fault_in_files(folder: Path, files: Mapping[str, Any], *, deep: bool) -> str | None:
    if "result.json" not in files:
        return "has no result.json"
    for name, said in files.items():
        path = folder / name
        if not path.is_file():
            return f"has no {name}"
        if path.stat().st_size != said["bytes"] or (deep and _sha256(path) != said["sha256"]):
            return f"has a damaged {name}"
    strange = sorted({path.name for path in folder.iterdir() if not is_litter(path.name)} - {*files, "cell.json"})
    return f"holds {strange[0]}, which its cell.json does not list" if strange else None


def _manifest(cell: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """Return the text of ``cell.json``, its own hash in it."""
    text = dump_json({"schema_version": CELL_VERSION, "sha256": _NO_HASH, **cell, "files": files}, indent=1)
    return text.replace(_NO_HASH, hashlib.sha256(text.encode()).hexdigest(), 1)


def _read_manifest(path: Path, *, deep: bool) -> tuple[dict[str, Any], str | None]:
    """Return what ``cell.json`` says, and what is wrong with it."""
    raw = path.read_bytes()
    about: dict[str, Any] = json.loads(raw.decode("utf-8"))
    version, fault = about["schema_version"], None
    if version != 1 or isinstance(version, bool):
        said = str(about["sha256"])
        if hashlib.sha256(raw.replace(said.encode(), _NO_HASH.encode(), 1)).hexdigest() != said:
            fault = "has a damaged cell.json"
        elif version != CELL_VERSION:
            raise _newer(path)
    elif deep and _key_of(about) != about["key"]:
        fault = "has a damaged cell.json: it describes a cell of another key"
    return about, fault


def _key_of(about: Mapping[str, Any]) -> str:
    """Return the key that belongs to what a ``cell.json`` describes, in the stage's version of its day."""
    material = key_material(about["task"], about["data_fingerprint"], about["parents"])
    return hashlib.sha256(canonical_json({**material, "stage_version": about["stage_version"]}).encode()).hexdigest()


def runner_of(aside: Path) -> str:
    """Return the run that an unfinished cell belongs to, from its name; empty where it names none."""
    found = re.fullmatch(r"\.tmp-[0-9a-f]{64}-(.*)~\d+-\d+", aside.name)
    return found[1] if found else ""


def read_cell(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (cell.json, result.json) of a finished cell; StoreError where a newer version wrote the second."""
    about: dict[str, Any] = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    require_known(folder, result)
    return about, result


def require_known(folder: Path, result: Mapping[str, Any]) -> None:
    """Raise StoreError where a newer version of the package wrote a result: its keys may mean other things."""
    version = result.get("schema_version")
    if isinstance(version, int) and version > RESULT_VERSION:
        raise _newer(folder / "result.json")


def _newer(path: Path) -> StoreError:
    return StoreError(f"{path}: was written by a newer version of tippingpoint; upgrade the package.")


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


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Return the one sentence for a disk that refuses."""
    return StoreError(f"{path}: cannot be written ({error.strerror or error}); free room or choose another folder.")
