"""What a study publishes beside its runs: ``progress.json`` and ``cells.jsonl``; and the runs' own costs.

The statistics wing never opens a study's store: these two files are all it knows. Both are optional, and a file that
cannot be read costs a sentence, not the report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

SCHEMA_VERSION = 1  # of progress.json

__all__ = ["Cost", "Published", "costs_of", "read_published"]


class Published(NamedTuple):
    """A study's own account of itself.

    Attributes
    ----------
    name : str
        The study's name, or the table's where there is no study.
    endpoint : mapping or None
        The primary endpoint that was declared before the runs.
    state : str or None
        ``done``, ``running``, ...
    wall_s : float or None
        Wall-clock seconds of the study.
    cells : mapping of str to int
        Number of cells by state.
    kinds : tuple
        (kind, state, number of cells, seconds) from ``cells.jsonl``.
    notes : tuple of str
        What the study says of its images (unequal classes, images in two places), and what could not be read.
    """

    name: str
    endpoint: Mapping[str, Any] | None
    state: str | None
    wall_s: float | None
    cells: Mapping[str, int]
    kinds: tuple[tuple[str, str, int, float], ...]
    notes: tuple[str, ...]


class Cost(NamedTuple):
    """What one recipe cost: models trained, seconds, floating-point operations (teacher's charged apart)."""

    recipe: str
    n_pretrained: int
    n_finetuned: int
    wall_s: float
    pretrain_flops: float
    teacher_flops: float
    finetune_flops: float


def read_published(folder: str | Path | None, name: str = "") -> Published:
    """Read what lies beside the runs in a study directory.

    Parameters
    ----------
    folder : str, Path or None
        The study directory; None where the runs came alone.
    name : str
        What to call the table if the study has no name.

    Returns
    -------
    Published
        Empty but for the name where nothing is published.
    """
    notes: list[str] = []
    progress = _read_progress(folder, notes)
    study = progress.get("study")
    study = study if isinstance(study, dict) else {}
    endpoint = study.get("endpoint")
    cells = progress.get("cells")
    return Published(
        name=str(study.get("name") or name),
        endpoint=endpoint if isinstance(endpoint, dict) else None,
        state=str(progress["state"]) if progress.get("state") else None,
        wall_s=_number(progress.get("wall_s")),
        cells={str(k): int(v) for k, v in cells.items() if isinstance(v, int)} if isinstance(cells, dict) else {},
        kinds=_read_kinds(folder, notes),
        notes=(*_sentences(progress.get("notes")), *notes),
    )


def _read_progress(folder: str | Path | None, notes: list[str]) -> dict[str, Any]:
    path = None if folder is None else Path(folder) / "progress.json"
    if path is None or not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"progress.json could not be read ({error}): what the study declared is not known.")
        return {}
    if not isinstance(value, dict):
        notes.append("progress.json is not a JSON object: what the study declared is not known.")
        return {}
    if value.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        notes.append(
            "progress.json is of another version than this tippingpoint reads: what the study declared is not known; "
            "upgrade the package."
        )
        return {}
    return value


def _read_kinds(folder: str | Path | None, notes: list[str]) -> tuple[tuple[str, str, int, float], ...]:
    """Return cells and seconds by kind and state; empty without ``cells.jsonl``."""
    path = None if folder is None else Path(folder) / "cells.jsonl"
    if path is None or not path.is_file():
        return ()
    found: dict[tuple[str, str], tuple[int, float]] = {}
    broken = 0
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        notes.append(f"cells.jsonl could not be read ({error}).")
        return ()
    for line in lines:
        try:
            cell = json.loads(line)
            cost = cell.get("cost") if isinstance(cell.get("cost"), dict) else {}
            wall = _number(cell.get("wall_s", cost.get("wall_s")))
            key = (str(cell.get("kind", "cell")), str(cell.get("state", "unknown")))
            count, total = found.get(key, (0, 0.0))
            found[key] = (count + 1, total + (wall or 0.0))
        except (ValueError, AttributeError):
            broken += 1
    if broken:
        notes.append(f"cells.jsonl has {broken} line(s) that are not JSON objects; left out.")
    return tuple((*key, *found[key]) for key in sorted(found))


def _sentences(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def costs_of(frame: pd.DataFrame) -> tuple[Cost, ...]:
    """Sum what each recipe cost, every checkpoint counted once however often it was fine-tuned.

    Parameters
    ----------
    frame : DataFrame
        The runs; columns that are missing count as nothing.

    Returns
    -------
    tuple of Cost
        One a recipe, in order of appearance.
    """
    table = frame.copy()
    for name in ("wall_s", "pretrain_flops", "teacher_flops", "finetune_flops"):
        table[name] = pd.to_numeric(table[name], errors="coerce") if name in table else float("nan")
    if "pretrain_id" not in table:
        table["pretrain_id"] = None
    costs = []
    for recipe, runs in table.groupby("recipe", sort=False, dropna=False):
        tuned = runs[runs["stage"] == "finetuned"]
        checkpoints = runs.dropna(subset=["pretrain_id"]).drop_duplicates("pretrain_id")
        scored = runs[runs["stage"] == "pretrained"]
        costs.append(
            Cost(
                recipe=str(recipe),
                n_pretrained=len(checkpoints) or len(scored),
                n_finetuned=len(tuned),
                wall_s=float(runs["wall_s"].sum()),
                pretrain_flops=float((checkpoints if len(checkpoints) else scored)["pretrain_flops"].sum()),
                teacher_flops=float((checkpoints if len(checkpoints) else scored)["teacher_flops"].sum()),
                finetune_flops=float(tuned["finetune_flops"].sum()),
            )
        )
    return tuple(costs)
