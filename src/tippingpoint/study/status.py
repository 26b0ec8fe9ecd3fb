"""How a study directory stands, from what it publishes and holds; nothing is written, no torch is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tippingpoint.errors import EnvironmentFault, InputError
from tippingpoint.study.claims import holder
from tippingpoint.study.only import reproduce
from tippingpoint.study.schedule import STATES

__all__ = ["study_status"]

SCHEMA_VERSION = 1  # of progress.json and cells.jsonl


def study_status(root: str | Path) -> dict[str, Any]:
    """Return how a study stands.

    Parameters
    ----------
    root : str or Path
        The study directory.

    Returns
    -------
    dict
        ``study``, ``directory``, ``state`` (``running``, ``done``, ``failed``, ``interrupted``, or ``stopped``: its
        process died), ``held_by``, ``cells`` (by state), ``failures`` (cell, reason, log, key, command), ``eta_s``,
        ``wall_s``, ``rows``.

    Raises
    ------
    InputError
        It is not a study directory, or its files are damaged or of a newer version.
    EnvironmentFault
        They cannot be read.
    """
    root = Path(root)
    progress, cells = _read(root)
    held_by = holder(root)
    present = set(os.listdir(root / "cells")) if (root / "cells").is_dir() else set()
    counts = dict.fromkeys(STATES, 0)
    failures = []
    for cell in cells:
        state = _state(cell, present, running=held_by is not None)
        counts[state] += 1
        if state == "failed":
            log = root / "logs" / f"{cell['key']}.log"
            known = {"cell": cell["label"], "reason": cell.get("reason"), "log": str(log)}
            failures.append({**known, "key": cell["key"], "command": reproduce(root, str(cell["key"]))})
    state = str(progress["state"])
    if held_by is not None:
        state = "running"
    elif state == "running":
        state = "stopped"
    return {
        "study": progress["study"]["name"],
        "directory": str(root),
        "state": state,
        "held_by": held_by,
        "cells": {"total": len(cells), **counts},
        "failures": failures,
        "eta_s": progress.get("eta_s") if held_by else None,
        "wall_s": progress.get("wall_s"),
        "rows": _rows(root),
    }


def _read(root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read what the directory publishes of itself."""
    if not (root / "progress.json").is_file():
        what = (
            "it has no progress.json"
            if root.is_dir()
            else "it is a file"
            if root.exists()
            else "there is no such directory"
        )
        raise InputError(
            f"{root}: is not a study directory ({what}); 'tippingpoint run PRESET --dir {root}' makes one."
        )
    progress = _parsed(root / "progress.json", json.loads, lambda found: (found["state"], found["study"]["name"]))
    cells = _parsed(
        root / "cells.jsonl",
        lambda text: [json.loads(line) for line in text.splitlines()],
        lambda found: [(cell["key"], cell["state"], cell["label"]) for cell in found],
    )
    return progress, cells


def _parsed(path: Path, parse: Callable[[str], Any], look: Callable[[Any], Any]) -> Any:
    """Return what a published file says; ``look`` takes from it what is needed, and fails where that is not there."""
    remedy = "run the study again, which writes it anew"
    try:
        found = parse(path.read_text(encoding="utf-8"))
        versions = {part["schema_version"] for part in (found if isinstance(found, list) else [found])}
        look(found)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file beside the others of the study; {remedy}.") from error
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error}); check its permissions.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged and cannot be read; {remedy}.") from error
    if versions - {SCHEMA_VERSION}:
        raise InputError(f"{path}: was written by a newer version of tippingpoint; upgrade the package.")
    return found


def _state(cell: dict[str, Any], present: set[str], *, running: bool) -> str:
    """Return a cell's state now: what lies in the store counts, what only was running does not."""
    if cell["key"] in present:
        return "done"
    state = str(cell["state"])
    if state == "running" and running:
        return "running"
    return state if state in ("failed", "blocked") else "todo"


def _rows(root: Path) -> int:
    try:
        with (root / "runs.csv").open(encoding="utf-8") as stream:
            return max(0, sum(1 for _ in stream) - 1)
    except OSError:
        return 0
