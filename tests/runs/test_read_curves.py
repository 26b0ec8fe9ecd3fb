"""Reading the published training curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tippingpoint.errors import RunsError
from tippingpoint.runs.curves import read_curves

LINE: dict[str, Any] = {
    "schema_version": 1,
    "key": "0" * 64,
    "recipe": "distilled",
    "stage": "finetuned",
    "upstream": "toys",
    "downstream": "beans",
    "n_pretrain": 100,
    "n_params": 1000,
    "student": "heads=4",
    "teacher": "heads=2",
    "n_finetune": 50,
    "subset_seed": 1,
    "seed": 2,
    "batch_size": 8,
    "warmup_steps": 3,
    "n_steps": 20,
    "step": [10, 20],
    "loss": [1.5, 1.0],
    "ce": [1.0, 0.5],
    "kl": [0.5, None],
}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_curve_knows_its_place_and_its_parts(tmp_path: Path) -> None:
    empty = {**LINE, "step": [], "loss": [], "ce": [], "kl": []}
    path = write(tmp_path / "curves.jsonl", LINE, "", empty)
    for source in (path, tmp_path, str(tmp_path)):
        (curve,) = read_curves(source)
    assert curve.place == {
        name: LINE[name]
        for name in ("recipe", "stage", "upstream", "downstream", "n_pretrain", "student", "teacher", "n_finetune")
    } | {"subset_seed": 1, "seed": 2}
    assert (curve.n_steps, curve.warmup_steps) == (20, 3)
    np.testing.assert_array_equal(curve.step, [10, 20])
    np.testing.assert_array_equal(curve.parts["ce"], [1.0, 0.5])
    np.testing.assert_array_equal(curve.parts["kl"], [0.5, np.nan])


def test_a_file_of_another_kind_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunsError) as caught:
        read_curves(write(tmp_path / "runs.csv", "recipe,error", *["scratch,0.5"] * 30))
    (fault,) = caught.value.faults
    assert "is not a file of training curves; name a study directory" in fault
    assert read_curves(write(tmp_path / "curves.jsonl")) == ()  # a study whose cells have none


def test_every_faulty_line_is_named(tmp_path: Path) -> None:
    bad = [
        "{",
        "[]",
        {**LINE, "schema_version": 2},
        {**LINE, "ce": [1.0]},
        {**LINE, "step": [20, 10]},
        {**LINE, "step": [0, 10]},
        {name: value for name, value in LINE.items() if name != "seed"},
        {**LINE, "n_steps": "many"},
    ]
    with pytest.raises(RunsError) as caught:
        read_curves(write(tmp_path / "curves.jsonl", LINE, *bad))
    faults = caught.value.faults
    assert [fault.split("line ")[1][0] for fault in faults] == list("23456789")
    for fault, word in zip(faults[2:7], ("schema_version 2", "differ", "ascend", "ascend", "'seed'"), strict=True):
        assert word in fault


def test_no_file_and_a_file_of_bytes(tmp_path: Path) -> None:
    with pytest.raises(RunsError, match=r"curves\.jsonl: there is no such file"):
        read_curves(tmp_path)
    (tmp_path / "curves.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(RunsError, match="is not UTF-8"):
        read_curves(tmp_path)


def test_faults_are_counted_when_there_are_many(tmp_path: Path) -> None:
    with pytest.raises(RunsError) as caught:
        read_curves(write(tmp_path / "curves.jsonl", *["{"] * 30))
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1].endswith("10 more lines are faulty.")
