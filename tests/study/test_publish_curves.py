"""Publishing the training curves: after a run, and of a directory that an earlier release filled."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tippingpoint.errors import RunsError, StoreError
from tippingpoint.study.curves import publish_curves, write_curves
from tippingpoint.study.execute import run_study
from tippingpoint.study.load import Study

POINTS = [{"step": 5, "loss": 1.23456789, "ce": 1.0}, {"step": 10, "loss": 0.5, "ce": 0.25, "kl": 0.1}]


def cell(key: str, state: str = "done", kind: str = "finetune", student: Any = 4) -> dict[str, Any]:
    where = {"recipe": "distilled", "student": student, "teacher": "heads=2", "n_pretrain": 100, "subset_seed": 1}
    where |= {"seed": 2, "downstream": "beans" if kind == "finetune" else None, "n_finetune": 50}
    task = {"training": {"batch_size": 8, "warmup_steps": 3}}
    cost = {"n_params": 1000, "n_steps": 10}
    return {"key": key, "kind": kind, "state": state, "inputs": {"where": where, "task": task}, "cost": cost}


def directory(root: Path, *cells: dict[str, Any]) -> Path:
    (root / "cells.jsonl").write_text("".join(json.dumps(each) + "\n" for each in cells))
    (root / "progress.json").write_text(json.dumps({"study": {"upstream": "toys"}}))
    for each in cells:
        folder = root / "cells" / each["key"]
        folder.mkdir(parents=True)
        (folder / "curve.json").write_text(json.dumps({"schema_version": 1, "curve": POINTS}))
    return root


def lines(root: Path) -> list[dict[str, Any]]:
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "curves.schema.json").read_text("utf-8"))
    found = [json.loads(line) for line in (root / "curves.jsonl").read_text().splitlines()]
    for line in found:
        jsonschema.Draft202012Validator(schema).validate(line)
        assert len({len(value) for value in line.values() if isinstance(value, list)}) == 1
    return found


def test_a_line_says_which_cell_and_which_curve(tmp_path: Path) -> None:
    kinds = [cell("a" * 64), cell("b" * 64, "todo"), cell("c" * 64, kind="pretrain", student="deep")]
    assert write_curves(directory(tmp_path, *kinds)) == 2
    first, second = lines(tmp_path)
    assert (first["key"], first["stage"], first["upstream"], first["downstream"]) == (
        "a" * 64,
        "finetuned",
        "toys",
        "beans",
    )
    assert (first["student"], second["student"], second["stage"]) == ("heads=4", "deep", "pretrained")
    assert (first["step"], first["loss"], first["kl"]) == ([5, 10], [1.234568, 0.5], [None, 0.1])
    assert (first["batch_size"], first["warmup_steps"], first["n_steps"]) == (8, 3, 10)


def test_curves_are_gathered_where_they_are_missing_or_old(tmp_path: Path) -> None:
    root = directory(tmp_path, cell("a" * 64))
    path = publish_curves(root)
    assert path == root / "curves.jsonl"
    assert len(lines(root)) == 1
    path.write_text("kept")
    publish_curves(root)
    assert path.read_text() == "kept", "newer than the cells' list: it is left alone"
    os.utime(root / "cells.jsonl", ns=(path.stat().st_mtime_ns + 1,) * 2)
    publish_curves(root)
    assert len(lines(root)) == 1


def test_a_copy_of_what_was_published_is_used_as_it_is(tmp_path: Path) -> None:
    assert publish_curves(tmp_path) is None
    (tmp_path / "curves.jsonl").write_text("")
    assert publish_curves(tmp_path) == tmp_path / "curves.jsonl"


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    root = directory(tmp_path, cell("a" * 64), {**cell("b" * 64), "inputs": None})
    with pytest.raises(RunsError, match=r"cells\.jsonl, line 2: does not describe a cell"):
        write_curves(root)
    (root / "cells" / ("a" * 64) / "curve.json").write_text("{")
    with pytest.raises(StoreError, match=r"curve\.json: cannot be read; mend the study with tippingpoint fsck"):
        write_curves(root)


def test_a_run_publishes_the_curve_of_every_cell(
    load: Callable[..., Study], tmp_path: Path, environment: dict[str, str]
) -> None:
    outcome = run_study(load(), tmp_path / "study", workers=1, environment=environment)
    found = lines(tmp_path / "study")
    assert [line["key"] for line in found] == [
        json.loads(line)["key"] for line in (tmp_path / "study" / "cells.jsonl").read_text().splitlines()
    ]
    assert len(found) == outcome.trained
    damaged = tmp_path / "study" / "cells" / found[0]["key"] / "curve.json"
    damaged.write_text("{" * damaged.stat().st_size)
    again = run_study(load(), tmp_path / "study", workers=1, environment=environment)
    assert (again.state, again.trained) == ("done", 0), "a damaged curve spoils no result"
    assert f"{damaged}: cannot be read" in again.notes[-1]
