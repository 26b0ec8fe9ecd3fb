"""The stand-in laboratory, and small studies of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # workers import the stand-in by name, and so do the tests

from stub_lab import StubLaboratory

from tippingpoint.study.load import Study, load_study

STUDY = """\
schema_version: 1
name: stub
upstream: toys[0-4]
downstream: [toys, beans]
image: {size: 8, channels: 1}
model: {patch_size: 4, depth: 2, head_dim: 4}
n_pretrain: [100, 400, 0.5]
n_finetune: [20, 50]
recipes:
  scratch: {students: [1, 2, 4]}
  distilled: {pairs: [{teacher: 1, student: 2}, {teacher: [1, 2], student: 4}], label_weight: 0.5}
  smoothed: {students: [2], label_smoothing: 0.1}
  scratch_extra_compute: {pairs: [{teacher: 1, student: 2}], n_pretrain: [400]}
  no_pretraining: {students: [2]}
seeds: 2
pretraining: {batch_size: 32, learning_rate: 2e-3, length: {epochs: 2, min_steps: 10}}
finetuning: {batch_size: 16, learning_rate: 5e-4, length: {steps: 20}}
endpoint: {recipes: [scratch, distilled], student: 2, teacher: 1, stage: finetuned, downstream: beans, target: error}
"""


@pytest.fixture
def study_text() -> str:
    return STUDY


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Study]:
    """Load a study of the stand-in laboratory from text."""

    def loader(text: str = STUDY, *overrides: str, **facts: Any) -> Study:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path, overrides, StubLaboratory(**facts))

    return loader


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment in which workers find the stand-in and log what they train."""
    return {"PYTHONPATH": str(Path(__file__).parent), "STUB_LOG": str(tmp_path / "trained.log")}
