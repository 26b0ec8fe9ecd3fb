"""Training one cell alone: the command that does it, and the cells that a user means by the beginning of a key."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tippingpoint.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from tippingpoint.study.grid import Grid

__all__ = ["find_cells", "once", "reproduce"]

SHORTEST = 6  # digits of a key
SHOWN = 12


def reproduce(root: Path, key: str) -> str:
    """Return the command that trains one cell of a study directory, and what it starts from, and nothing else."""
    study = shlex.quote(str(root / "study.yaml"))
    return f"tippingpoint run {study} --dir {shlex.quote(str(root))} --only {key[:SHOWN]}"


def find_cells(grid: Grid, given: Sequence[str]) -> list[str]:
    """Return the cells of a study that the beginnings of keys mean.

    Parameters
    ----------
    grid : Grid
        Of the study.
    given : sequence of str
        At least six digits of each key.

    Raises
    ------
    InputError
        One is too short, or means no cell or several; every such one is named.
    """
    faults, found = [], []
    for text in given:
        word = text.strip().lower()
        keys = [key for key in grid.cells if key.startswith(word)]
        if len(word) < SHORTEST:
            faults.append(f"--only {text}: give at least {SHORTEST} digits of the cell's key; cells.jsonl lists them.")
        elif not keys:
            near = did_you_mean(word, [key[: len(word)] for key in grid.cells])
            faults.append(f"--only {text}: the study has no cell whose key begins so.{near} cells.jsonl lists them.")
        elif len(keys) > 1:
            faults.append(f"--only {text}: {len(keys)} cells have keys that begin so; give more digits.")
        found += keys
    if faults:
        raise InputError(faults)
    return found


def once(keys: Collection[str]) -> Callable[[], Collection[str]]:
    """Return what says which cells to train, for `tippingpoint.study.execute.run_study`: these, and then none."""
    waiting = [keys]
    return lambda: waiting.pop() if waiting else ()
