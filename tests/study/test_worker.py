"""Where a cell's checkpoints lie while it is trained, when they go, and what its log says."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from test_faults import described, train

from tippingpoint.study.fsck import check_store
from tippingpoint.study.runners.worker import Reporter, answer, run_cell
from tippingpoint.study.store import Store


def checkpointed(_: Any, __: Any, out: Path, report: Any, checkpoints: Path) -> dict[str, Any]:
    """Train, write a checkpoint on the way, and go on from one that is there."""
    assert checkpoints.parent.name == "checkpoints"
    state = checkpoints / "step-00000001.safetensors"
    if not state.exists():
        checkpoints.mkdir(parents=True)
        state.write_text("half way")
        raise RuntimeError("killed half way")
    return train({}, {}, out)


def test_checkpoints_outlive_a_killed_training_and_go_with_the_commit(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    cell = described(1)
    with pytest.raises(RuntimeError, match="half way"):
        run_cell(tmp_path, cell, {}, checkpointed, lambda *_: None)
    assert (tmp_path / "checkpoints" / cell["key"] / "step-00000001.safetensors").is_file()
    assert list((tmp_path / "cells").iterdir()) == []
    assert check_store(tmp_path).faults == (), "checkpoints are no fault of a study"
    folder = run_cell(tmp_path, cell, {}, checkpointed, lambda *_: None)
    assert sorted(path.name for path in folder.iterdir()) == [
        "cell.json",
        "curve.json",
        "log.txt",
        "result.json",
        "weights.safetensors",
    ]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_cell_that_was_committed_before_its_worker_was_killed_is_not_trained_again(tmp_path: Path) -> None:
    """As where a node is lost before its last word gets out: the cell is placed again."""
    Store(tmp_path, write=True).close()
    folder = run_cell(tmp_path, described(1), {}, train, lambda *_: None)
    left = tmp_path / "checkpoints" / folder.name / "step-00000001.safetensors"
    left.parent.mkdir(parents=True)
    left.touch()
    events: list[dict[str, Any]] = []
    out = Reporter(lambda line: events.append(json.loads(line)))
    answer(tmp_path, {"cell": described(1), "parents": {}}, lambda *_: pytest.fail("trained again"), "", out)
    assert [event["event"] for event in events] == ["done"]
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [folder.name]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def warning(_: Any, __: Any, out: Path, report: Any, checkpoints: Path) -> dict[str, Any]:
    """Warn as the laboratory does of a damaged checkpoint; fail if asked to."""
    logging.getLogger("tippingpoint.lab.training.checkpoints").warning("step-7 is passed over")
    if os.environ.get("STUB_FAIL"):
        raise RuntimeError("asked to")
    return train({}, {}, out)


def test_a_cell_has_a_log_and_a_failure_takes_it_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path, write=True).close()
    begun, warned, ended = (
        (run_cell(tmp_path, described(1), {}, warning, lambda *_: None) / "log.txt").read_text().splitlines()
    )
    assert f"begun by process {os.getpid()} on " in begun
    assert warned.endswith("WARNING: step-7 is passed over")
    assert "trained in 0.0 s" in ended
    monkeypatch.setenv("STUB_FAIL", "x")
    events: list[dict[str, Any]] = []
    out = Reporter(lambda line: events.append(json.loads(line)))
    answer(tmp_path, {"cell": described(2), "parents": {}}, warning, "", out)
    assert events[-1]["reason"] == "RuntimeError: asked to"
    assert "WARNING: step-7 is passed over" in events[-1]["trace"]
    assert logging.getLogger("tippingpoint").handlers == [], "nothing is left behind"


def test_what_is_warned_of_is_told_to_the_run(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    events: list[dict[str, Any]] = []
    out = Reporter(lambda line: events.append(json.loads(line)))
    answer(tmp_path, {"cell": described(1), "parents": {}}, warning, "", out)
    assert events[0] == {"event": "note", "text": "step-7 is passed over"}
    assert [event["event"] for event in events] == ["note", "done"]


def test_each_cell_has_a_folder_of_its_own(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    given: list[Path] = []

    def noting(_: Any, __: Any, out: Path, report: Any, checkpoints: Path) -> dict[str, Any]:
        given.append(checkpoints)
        return train({}, {}, out)

    for seed in (1, 2):
        run_cell(tmp_path, described(seed), {}, noting, lambda *_: None)
    assert given == [tmp_path / "checkpoints" / described(seed)["key"] for seed in (1, 2)]
