"""Publishes ``curves.jsonl``: the training curve of every finished cell, beside ``runs.csv``.

One line for each cell, in the order of ``cells.jsonl``, which says what the cell is; the curve is the one that the cell
keeps (``curve.json``). Only published facts and cells are read, never the study file: a directory that an earlier
release filled can be published too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tippingpoint.errors import RunsError, StoreError
from tippingpoint.files import dump_json, write_atomic

__all__ = ["CURVES", "CURVES_VERSION", "publish_curves", "write_curves"]

CURVES = "curves.jsonl"
CURVES_VERSION = 1
_STAGES = {"pretrain": "pretrained", "finetune": "finetuned", "probe": "finetuned"}


def publish_curves(root: str | Path) -> Path | None:
    """Write the curves of a study directory unless they are there and fresh.

    Parameters
    ----------
    root : str or Path
        A study directory.

    Returns
    -------
    Path or None
        ``curves.jsonl``; None where the directory has neither curves nor cells to gather them from.

    Raises
    ------
    RunsError, StoreError
        As :func:`write_curves`.
    """
    path, listed = Path(root) / CURVES, Path(root) / "cells.jsonl"
    if not listed.is_file() or not (Path(root) / "cells").is_dir():
        return path if path.is_file() else None  # a copy of what was published
    if not path.is_file() or path.stat().st_mtime_ns < listed.stat().st_mtime_ns:
        write_curves(root)
    return path


def write_curves(root: str | Path) -> int:
    """Write ``curves.jsonl`` from what the study directory has published and from its finished cells.

    Parameters
    ----------
    root : str or Path
        A study directory with ``cells.jsonl``.

    Returns
    -------
    int
        Number of curves.

    Raises
    ------
    RunsError
        A line of ``cells.jsonl`` is not what it should be.
    StoreError
        A cell's curve cannot be read.
    EnvironmentFault
        The disk refuses.
    """
    root = Path(root)
    upstream = _upstream(root)
    lines = []
    for number, text in enumerate((root / "cells.jsonl").read_text(encoding="utf-8").splitlines(), start=1):
        try:
            cell = json.loads(text)
            path = root / "cells" / cell["key"] / "curve.json"
            if cell["state"] == "done" and path.is_file():  # a cell whose kind has no training leaves no curve
                lines.append(dump_json({**_about(cell), "upstream": upstream, **_columns(_read(path))}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunsError(
                f"{root / 'cells.jsonl'}, line {number}: does not describe a cell ({error}); run the study again."
            ) from error
    write_atomic(root / CURVES, "".join(line + "\n" for line in lines))
    return len(lines)


def _about(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a curve's line says of its cell: enough to pair it and to know its steps."""
    where, task = cell["inputs"]["where"], cell["inputs"]["task"]
    training = task["training"]
    student = where["student"]
    return {
        "schema_version": CURVES_VERSION,
        "key": cell["key"],
        "recipe": where["recipe"],
        "stage": _STAGES[cell["kind"]],
        "downstream": where["downstream"],
        "n_pretrain": where["n_pretrain"],
        "n_params": cell["cost"]["n_params"],
        "student": f"heads={student}" if isinstance(student, int) else student,
        "teacher": where["teacher"],
        "n_finetune": where["n_finetune"],
        "subset_seed": where["subset_seed"],
        "seed": where["seed"],
        "batch_size": training["batch_size"],
        "warmup_steps": training.get("warmup_steps", 0),
        "n_steps": cell["cost"]["n_steps"],
    }


def _read(path: Path) -> list[dict[str, float]]:
    try:
        points: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))["curve"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read; mend the study with tippingpoint fsck {path.parents[2]}.") from error
    return points


def _columns(points: Iterable[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """Return the points as one list for each part of the loss, in seven digits: float32 has no more."""
    points = list(points)
    names = dict.fromkeys(["step", "loss", "ce", *(name for point in points for name in point)])
    return {name: [_seven(point.get(name)) for point in points] for name in names}


def _seven(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.7g}")


def _upstream(root: Path) -> str | None:
    """Return the study's upstream set, as ``progress.json`` says it."""
    try:
        study = json.loads((root / "progress.json").read_text(encoding="utf-8"))["study"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(study["upstream"]) if study.get("upstream") else None
