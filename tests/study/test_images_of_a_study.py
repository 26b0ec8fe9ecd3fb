"""What `plan` and `run` say of a study's images before anything trains, with the real laboratory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tippingpoint import cli
from tippingpoint.errors import ConfigError
from tippingpoint.lab.data import prepare_image_set
from tippingpoint.study.load import load_study
from tippingpoint.study.plan import plan_study

STUDY = """\
name: own
upstream: up
downstream: [down]
image: {size: 8, channels: 1}
model: {patch_size: 4, depth: 1, head_dim: 4}
n_pretrain: [20]
n_finetune: [8]
recipes: {scratch: {students: [1]}}
seeds: 1
pretraining: {batch_size: 4, learning_rate: 1e-3, length: {steps: 2}}
finetuning: {batch_size: 4, learning_rate: 1e-3, length: {steps: 2}}
"""


def pixels(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8)).astype(np.uint8)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two prepared sets of the user's own; one training image of `up` is a test image of `down`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIPPINGPOINT_DATA", raising=False)
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    train = pixels(0, 40)
    for name, arrays in {
        "up": (train, pixels(1, 8)),
        "down": (pixels(2, 40), np.concatenate([pixels(3, 7), train[5:6]])),
    }.items():
        labels: dict[str, Any] = {"y_train": np.arange(40) % 2, "y_test": np.arange(8) % 2}
        np.savez(f"{name}.npz", x_train=arrays[0], x_test=arrays[1], **labels)
        prepare_image_set(name, path=f"{name}.npz", to=name)
    return tmp_path


def test_training_images_that_are_test_images_stop_a_study(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leak = "1 training image of up is also a test image of down (by number from 0: 5 is 7)"
    assert cli.main(["run", "study.yaml", "--dir", "out"]) == 2
    told = capsys.readouterr().err
    assert told.count("tippingpoint: ") == 1
    assert f"tippingpoint: study.yaml:3:14: downstream.0: {leak}; remove them from one of the two, or set" in told
    assert "allow_overlap: true" in told
    assert not (place / "out" / "cells").exists(), "nothing was started"
    assert cli.main(["run", "study.yaml", "--dir", "out", "--workers", "1", "--set", "allow_overlap=true"]) == 0
    progress = json.loads((place / "out" / "progress.json").read_text(encoding="utf-8"))
    assert f"{leak}." in progress["notes"]
    assert cli.main(["run", "study.yaml", "--dir", "out"]) == 2, "what was allowed once is not allowed for ever"


def test_a_set_at_another_size_is_told_with_the_command(place: Path) -> None:
    said = "up: is prepared at 8x8 grey, and 16x16 RGB is asked for; prepare it at that size: "
    said += "tippingpoint data prepare up --from SOURCE --size 16 --channels 3 --to up-16"
    overrides = ["image={size: 16, channels: 3}"]
    with pytest.raises(ConfigError) as caught:
        load_study("study.yaml", overrides)
    assert caught.value.faults[0] == f"study.yaml:2:11: upstream: {said}."
    assert len(caught.value.faults) == 2, "that of the downstream set as well"
    plan = plan_study(load_study("study.yaml", overrides, planning=True), place / "none", timing=False)
    assert f"{said}. 'run' needs it at that size." in plan.notes
    assert not any("is prepared at" in note for note in _plan(place).notes), "at its own size there is nothing to say"


def _plan(place: Path) -> Any:
    return plan_study(load_study("study.yaml", planning=True), place / "none", timing=False)


@pytest.mark.parametrize("planning", [True, False])
def test_a_prepared_set_that_was_cut_has_a_place_in_the_file(place: Path, planning: bool) -> None:
    images = place / "down" / "test_images.npy"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"study.yaml:3:14: downstream.0: .*test_images.npy: has 639 bytes"):
        load_study("study.yaml", planning=planning)


def test_a_prepared_set_that_was_changed_stops_a_study(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = place / "up" / "train_images.npy"
    whole = images.read_bytes()
    images.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    assert cli.main(["run", "study.yaml", "--dir", "out"]) == 2
    assert "train_images.npy: has changed since it was prepared" in capsys.readouterr().err
