"""Writing files so that a reader sees the old content or the new one, never a mix.

Deliberately not built: locking. Whoever shares a directory between writers claims it first (see ``study``).
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

from tippingpoint.errors import EnvironmentFault

__all__ = ["dump_json", "json_ready", "write_atomic"]


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    r"""Write a file aside, flush it to the disk, and rename it into place.

    Parameters
    ----------
    path : str or Path
        Where the file shall be; its folder is made if it is missing.
    content : str or bytes
        The whole content; text is written as UTF-8 with ``\n`` line ends.

    Returns
    -------
    Path
        The file's path.

    Raises
    ------
    EnvironmentFault
        The disk is full, read-only or gone; the message names the path.
    """
    target = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; results are meant to be shared
        os.replace(temporary, target)
        temporary = None
        _flush_folder(target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        fault = f"{target}: cannot be written ({reason}); free room or choose another folder."
        raise EnvironmentFault(fault) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return target


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; not every file system can (then it is left out)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def json_ready(value: Any) -> Any:
    """Return ``value`` as plain JSON types: arrays to lists, NaN and infinity to ``None``.

    Parameters
    ----------
    value : object
        Nested mappings, sequences, NumPy scalars and arrays, paths, numbers, strings.

    Returns
    -------
    object
        The same, of ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and ``None`` alone.
    """
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):  # NumPy arrays and scalars
        return json_ready(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Return strict JSON (no NaN), keys in their given order, floats at full precision."""
    return json.dumps(json_ready(value), indent=indent, ensure_ascii=False, allow_nan=False)
