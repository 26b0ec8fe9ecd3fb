"""What a study directory publishes: ``runs.csv``, ``cells.jsonl`` and ``progress.json``.

The statistics wing reads only these. Rows stand in the order of the grid, floats in their shortest exact form, so that
two runs of one study publish the same bytes in every column but ``wall_s``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tippingpoint._version import __version__
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.cells import Cell, RowPlan
from tippingpoint.study.config import StudyConfig
from tippingpoint.study.grid import Grid
from tippingpoint.study.laboratory import ImageFacts

__all__ = [
    "COLUMNS",
    "SCHEMA_VERSION",
    "image_words",
    "machine",
    "runs_table",
    "study_words",
    "write_cells",
    "write_progress",
    "write_runs",
]

SCHEMA_VERSION = 1
_PLAIN = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
COLUMNS = (
    "recipe",
    "stage",
    "upstream",
    "downstream",
    "n_pretrain",
    "n_params",
    "n_params_head",
    "n_params_teacher",
    "student",
    "teacher",
    "n_finetune",
    "subset_seed",
    "seed",
    "pretrain_id",
    "error",
    "cross_entropy",
    "cross_entropy_calibrated",
    "n_test",
    "scored_on",
    "n_steps",
    "pretrain_flops",
    "teacher_flops",
    "finetune_flops",
    "train_flops",
    "wall_s",
    "schema_version",
)


def _row(plan: RowPlan, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row of the runs table."""
    own = results[plan.cell]
    start = results[plan.pretrain] if plan.pretrain else None
    scores = own["scores"]
    tuned = float(own["flops"]) if plan.columns["stage"] == "finetuned" else 0.0
    pretrained = float(start["flops"]) if start else 0.0
    guided = float(start["teacher_flops"]) if start else 0.0
    if plan.columns["stage"] == "finetuned":
        guided += float(own["teacher_flops"])  # of teachers that guided the fine-tuning
    return {
        **plan.columns,
        "n_params": int(own["n_params"]),
        "n_params_head": int(own["n_params_head"]),
        "pretrain_id": plan.pretrain[:12] if plan.pretrain else None,
        **{name: scores[name] for name in ("error", "cross_entropy", "cross_entropy_calibrated", "n_test")},
        "n_steps": int(own["n_steps"]),
        "pretrain_flops": pretrained,
        "teacher_flops": guided,
        "finetune_flops": tuned,
        "train_flops": pretrained + guided + tuned,
        "wall_s": float(own["wall_s"]),
        "schema_version": SCHEMA_VERSION,
    }


def runs_table(grid: Grid, results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose cells are done, in the order of the grid.

    Parameters
    ----------
    grid : Grid
        The rows to come.
    results : mapping of str to mapping
        Key -> result of every finished cell.
    """
    return [
        _row(plan, results)
        for plan in grid.rows
        if plan.cell in results and (plan.pretrain is None or plan.pretrain in results)
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def write_runs(root: Path, grid: Grid, results: Mapping[str, Mapping[str, Any]]) -> int:
    """Write ``runs.csv``; return its number of rows."""
    rows = runs_table(grid, results)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_text(row[name]) for name in COLUMNS] for row in rows)
    write_atomic(root / "runs.csv", stream.getvalue())
    return len(rows)


def _cell_line(cell: Cell, state: str, result: Mapping[str, Any] | None, reason: str | None) -> dict[str, Any]:
    """Return one line of ``cells.jsonl``."""
    cost = cell.estimate
    return {
        "schema_version": SCHEMA_VERSION,
        "key": cell.key,
        "kind": cell.kind,
        "label": cell.label,
        "state": state,
        "inputs": {
            "where": cell.where,
            "parents": cell.parents,
            "data_fingerprint": cell.fingerprint,
            "task": cell.task,
        },
        "cost": {
            "n_params": cost.n_params,
            "n_steps": cost.n_steps,
            "flops": cost.flops,
            "guidance_flops": cost.guidance_flops,
        },
        "wall_s": result["wall_s"] if result else None,
        "reason": reason,
    }


def _dumped(line: Mapping[str, Any]) -> str:
    """Return JSON; a line that is plain JSON already, as nearly all are, is not gone through twice."""
    try:
        return _PLAIN.encode(line)
    except (TypeError, ValueError):
        return dump_json(line)


def write_cells(
    root: Path,
    grid: Grid,
    state: Mapping[str, str],
    results: Mapping[str, Mapping[str, Any]],
    reasons: Mapping[str, str],
) -> None:
    """Write ``cells.jsonl``: key, state, inputs, cost and time of every cell of the study."""
    lines = [
        _dumped(_cell_line(cell, state[cell.key], results.get(cell.key), reasons.get(cell.key)))
        for cell in grid.cells.values()
    ]
    write_atomic(root / "cells.jsonl", "".join(line + "\n" for line in lines))


def write_progress(root: Path, progress: Mapping[str, Any]) -> None:
    """Write ``progress.json``."""
    write_atomic(root / "progress.json", dump_json({"schema_version": SCHEMA_VERSION, **progress}, indent=2) + "\n")


def study_words(config: StudyConfig, endpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what ``progress.json`` says of a study; its endpoint has sizes as numbers."""
    return {
        "name": config.name,
        "endpoint": endpoint,
        "upstream": config.upstream,
        "downstream": config.downstream,
        "scored_on": config.score_on,
    }


def image_words(facts: ImageFacts) -> dict[str, Any]:
    """Return what ``progress.json`` says of a set of images."""
    names = ("fingerprint", "n_pool", "n_validation", "n_test", "n_classes", "remark")
    return {name: getattr(facts, name) for name in names}


def _processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Return what the times depend on: versions of software and the hardware's description."""
    versions: dict[str, str | None] = {"tippingpoint": __version__, "python": platform.python_version()}
    for name in ("torch", "timm", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "versions": versions,
        "hardware": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
    }
