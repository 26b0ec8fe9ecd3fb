"""What a run publishes while it runs: strict JSON, and no more often than the writing is worth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tippingpoint.study import execute
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.publish import write_cells

Load = Callable[..., Study]


def test_a_time_that_is_no_number_is_null(load: Load, study_text: str, tmp_path: Path) -> None:
    grid = build_grid(load(study_text, "seeds=1"))
    first, second = list(grid.cells)[:2]
    state = dict.fromkeys(grid.cells, "todo")
    write_cells(tmp_path, grid, state, {first: {"wall_s": float("nan")}, second: {"wall_s": 1.5}}, {first: "é"})
    lines = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["key"] for line in lines] == list(grid.cells)
    assert [line["wall_s"] for line in lines[:3]] == [None, 1.5, None]
    assert lines[0]["reason"] == "é"
    assert "NaN" not in (tmp_path / "cells.jsonl").read_text(encoding="utf-8")


def test_a_table_that_takes_long_is_written_seldom(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writing that takes 0.03 s may be made again after 0.6 s, however often it is due."""
    written = []

    def slowly(*arguments: Any) -> int:
        written.append(arguments)
        time.sleep(0.03)
        return real(*arguments)

    def count(root: Path) -> tuple[int, float]:
        written.clear()
        outcome = run_study(load(study_text, "seeds=1", "n_pretrain=[400]"), root, workers=2, environment=environment)
        assert outcome.state == "done"
        return len(written), outcome.wall_s

    real = execute.write_runs
    monkeypatch.setattr(execute, "write_runs", slowly)
    monkeypatch.setattr(execute, "PUBLISH_EVERY", 0.0)
    times, seconds = count(tmp_path / "study")  # of 39 cells
    assert times <= 2 + seconds / (0.03 * execute.SELDOM), "at the beginning, at the end, and seldom between"
    monkeypatch.setattr(execute, "SELDOM", 0)
    assert count(tmp_path / "other")[0] > 13, "else it would be written with every turn, of three cells at most"
