"""Publishes ``curves.jsonl``: the training curve of every finished cell, beside ``runs.csv``.

One line for each cell, in the order of ``cells.jsonl``, which says what the cell is; the curve is the one that the cell
keeps (``curve.json``). Only published facts and cells are read, never the study file: a directory that an earlier
release filled can be published too. While a run goes on its curves are told beside it (see `running`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tippingpoint.errors import RunsError, StoreError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.cells import STAGES

__all__ = ["CURVES", "CURVES_VERSION", "columns", "curve_line", "place_of", "publish_curves", "write_curves"]

CURVES = "curves.jsonl"
CURVES_VERSION = 1


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
            if cell["state"] == "done" and (line := curve_line(root, cell, upstream)) is not None:
                lines.append(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunsError(
                f"{root / 'cells.jsonl'}, line {number}: does not describe a cell ({error}); run the study again."
            ) from error
    write_atomic(root / CURVES, "".join(line + "\n" for line in lines))
    return len(lines)


def curve_line(root: Path, cell: Mapping[str, Any], upstream: str | None) -> str | None:
    """Return a finished cell's line of ``curves.jsonl``, without its end.

    Parameters
    ----------
    root : Path
        The study directory.
    cell : mapping
        ``key``, ``kind``, ``inputs`` and ``cost`` as in ``cells.jsonl``.
    upstream : str or None
        The study's upstream set.

    Returns
    -------
    str or None
        None where the cell has no curve: not every kind trains over steps.

    Raises
    ------
    StoreError
        The cell's curve cannot be read.
    """
    path = root / "cells" / str(cell["key"]) / "curve.json"
    if not path.is_file():
        return None
    return dump_json({**_about(cell), "upstream": upstream, **columns(_read(path))})


def place_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a cell of ``cells.jsonl`` stands in the study, in the words of ``runs.csv``."""
    where = cell["inputs"]["where"]
    student = where["student"]
    return {
        "recipe": where["recipe"],
        "stage": STAGES[cell["kind"]],
        "downstream": where["downstream"],
        "n_pretrain": where["n_pretrain"],
        "n_params": cell["cost"]["n_params"],
        "student": f"heads={student}" if isinstance(student, int) else student,
        "teacher": where["teacher"],
        "n_finetune": where["n_finetune"],
        "subset_seed": where["subset_seed"],
        "seed": where["seed"],
    }


def _about(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a curve's line says of its cell: enough to pair it and to know its steps."""
    training = cell["inputs"]["task"]["training"]
    return {
        "schema_version": CURVES_VERSION,
        "key": cell["key"],
        **place_of(cell),
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


def columns(points: Iterable[Mapping[str, float]], names: Sequence[str] = ()) -> dict[str, list[float | None]]:
    """Return a curve's points as one list for each part of the loss, in seven digits: float32 has no more.

    Parameters
    ----------
    points : iterable of mapping
        As ``curve.json`` has them.
    names : sequence of str, default all
        The parts to return.
    """
    points = list(points)
    names = names or list(dict.fromkeys(["step", "loss", "ce", *(name for point in points for name in point)]))
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
