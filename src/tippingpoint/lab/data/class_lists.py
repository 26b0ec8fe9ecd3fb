"""Lists of classes: which folders of a large set make up a smaller one.

Several lists are called ImageNet-100. Ours is a rule, not a draw: of the 1,000 WordNet numbers of ILSVRC 2012 in
ascending order, the first and every tenth after it. Another list is a text file given with ``--classes``.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from tippingpoint.errors import DataError, EnvironmentFault

__all__ = ["ClassList", "imagenet100_list", "read_class_list"]

SHIPPED = "imagenet100.txt"
SHIPPED_NAME = "every tenth of ILSVRC 2012"


class ClassList(NamedTuple):
    """Names of class folders in ascending order, what the list is called, and their SHA-256 (hex), a line each."""

    classes: tuple[str, ...]
    name: str
    sha256: str


def imagenet100_list() -> ClassList:
    """Return the list that ``imagenet100`` stands for where no other is given."""
    words = resources.files("tippingpoint.lab.data").joinpath(SHIPPED).read_text(encoding="utf-8").split()
    return _listed(words, SHIPPED_NAME)


def read_class_list(path: Path) -> ClassList:
    """Read a list from a text file: one class folder a line, its first word; ``#`` begins a remark.

    Parameters
    ----------
    path : Path
        Text in UTF-8.

    Returns
    -------
    ClassList
        The order in the file plays no part.

    Raises
    ------
    DataError
        There is no such file, it is not text, names a class twice or fewer than two; all faults are named.
    EnvironmentFault
        It must not be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except PermissionError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror}); check the file's rights.") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); give the path of a class list."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; a class list has the name of a class folder a line.") from error
    words = [line.split()[0] for line in (line.partition("#")[0] for line in lines) if line.strip()]
    twice = sorted({word for word in words if words.count(word) > 1})
    faults = [f"{path}: names the class '{word}' twice; name each class once." for word in twice]
    if len(set(words)) < 2:
        faults.append(f"{path}: names fewer than two classes, and there is nothing to tell apart; name two or more.")
    if faults:
        raise DataError(faults)
    return _listed(words, "given")


def _listed(words: list[str], called: str) -> ClassList:
    classes = tuple(sorted(words))
    ours = imagenet100_list() if called != SHIPPED_NAME else None
    if ours is not None and ours.classes == classes:
        return ours
    return ClassList(classes, called, hashlib.sha256("".join(f"{name}\n" for name in classes).encode()).hexdigest())
