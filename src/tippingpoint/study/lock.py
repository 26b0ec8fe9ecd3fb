"""One runner at a time in a study directory; who holds it is said by name.

The operating system's file lock is freed the moment its holder dies, however it dies: no stale locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tippingpoint.errors import StoreError

__all__ = ["holder", "locked"]

ATTEMPTS, PAUSE = 4, 0.05  # seconds


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold a study directory while the block runs.

    Parameters
    ----------
    root : Path
        The study directory; made if it is missing.

    Raises
    ------
    StoreError
        Another process holds it, or the disk refuses.
    """
    path = root / "lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}); choose another folder.") from error
    with stream:
        if not _taken(stream, path):
            raise StoreError(
                f"{root}: another run holds this study ({_said(path)}); wait for it, stop it, or choose another folder "
                "with --dir."
            )
        stream.truncate(0)
        stream.write(json.dumps({"schema_version": 1, "pid": os.getpid(), "host": socket.gethostname()}))
        stream.flush()
        yield


def _taken(stream: TextIO, path: Path) -> bool:
    """Take the lock; try for a moment, for whoever asks for the holder touches it too."""
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        except OSError as error:
            raise StoreError(f"{path}: this file system has no file locks ({error.strerror or error}).") from error
        else:
            return True
    return False


def holder(root: Path) -> str | None:
    """Return who runs a study right now (``process 123 on name``), or None."""
    path = root / "lock"
    try:
        with path.open("r", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _said(path)
    except OSError:
        return None
    return None


def _said(path: Path) -> str:
    """Return what the holder wrote of itself."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it does not say who it is"
