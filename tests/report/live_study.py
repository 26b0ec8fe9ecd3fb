"""A small study as a run publishes it and tells of it, for the tests of the live page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

KEYS = [f"{place:064x}" for place in range(6)]


def publish(root: Path, *, name: str = "study", state: str = "running", label: str = "a cell", **more: Any) -> Path:
    """Publish a small study: two cells done, one running, one failed with its log, one that waits for it, one to do."""
    (root / "logs").mkdir(parents=True, exist_ok=True)
    states = ["done", "done", "running", "failed", "blocked", "todo"]
    counts = {state: states.count(state) for state in set(states)}
    progress = {"schema_version": 1, "study": {"name": name}, "state": state, "cells": {"total": 6, **counts}}
    progress |= {"eta_s": 75.0, "wall_s": 30.0, "workers": 2, "notes": [f"note of {name}"], **more}
    (root / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    cells = [
        {
            "schema_version": 1,
            "key": key,
            "kind": "pretrain",
            "label": f"{label} {key[-1]}",
            "state": one,
            "inputs": {"where": {"recipe": "scratch" if key < KEYS[4] else f"distilled {label}"}},
            "reason": f"reason {label}" if one == "failed" else None,
        }
        for key, one in zip(KEYS, states, strict=True)
    ]
    (root / "cells.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells), encoding="utf-8")
    (root / "logs" / f"{KEYS[3]}.log").write_text(f"{label}\nTraceback\n", encoding="utf-8")
    rows = [
        [label if recipe else "scratch", "pretrained", f"toys {label}", n, f"heads=4 {label}", 0.1 * recipe + 1 / n]
        for recipe in (0, 1)
        for n in (10, 20, 40)
    ]
    table = pd.DataFrame(rows, columns=["recipe", "stage", "upstream", "n_pretrain", "student", "error"])
    table.to_csv(root / "runs.csv", index=False)
    curve = {"recipe": label, "stage": "pretrained", "student": "heads=4", "teacher": None, "n_pretrain": 40}
    curve |= {"step": list(range(400)), "loss": [2 / (1 + step) for step in range(400)]}
    (root / "curves.jsonl").write_text(json.dumps(curve) + "\n", encoding="utf-8")
    tell(root, at_work(KEYS[2], label=f"{label} 2", recipe=label, n_pretrain=80))
    return root


def at_work(key: str, *, done: int = 120, **more: Any) -> dict[str, Any]:
    """Return what a run tells of a cell at work: a pretraining of 400 steps."""
    place = {"key": key, "label": key[-1], "recipe": "scratch", "stage": "pretrained", "student": "heads=4"}
    steps = list(range(1, done + 1))
    curve = {"step": steps, "loss": [3 / step**0.5 for step in steps], "ce": [2 / step**0.5 for step in steps]}
    return {**place, "teacher": None, "done": done, "total": 400, **curve, **more}


def tell(root: Path, *cells: dict[str, Any], run: str = "here-0-1-2-0", **more: Any) -> Path:
    """Write what a run tells of its cells at work."""
    path = root / "running" / f"{run}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"schema_version": 1, "cells": cells, **more}), encoding="utf-8")
    return path
