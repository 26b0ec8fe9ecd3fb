"""Where a cell's checkpoints lie while it is trained, and when they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_faults import described, train

from tippingpoint.study.fsck import check_store
from tippingpoint.study.runners.worker import run_cell
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
        "result.json",
        "weights.safetensors",
    ]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_each_cell_has_a_folder_of_its_own(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    given: list[Path] = []

    def noting(_: Any, __: Any, out: Path, report: Any, checkpoints: Path) -> dict[str, Any]:
        given.append(checkpoints)
        return train({}, {}, out)

    for seed in (1, 2):
        run_cell(tmp_path, described(seed), {}, noting, lambda *_: None)
    assert given == [tmp_path / "checkpoints" / described(seed)["key"] for seed in (1, 2)]
