"""Studies of the stand-in laboratory of the tests, for the benchmarks of the engine: nothing is trained in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STUB = Path(__file__).resolve().parents[1] / "tests" / "study"
sys.path.insert(0, str(STUB))  # the stand-in is imported by name, here and in the workers

from stub_lab import StubLaboratory  # noqa: E402

from tippingpoint.study.grid import build_grid  # noqa: E402
from tippingpoint.study.load import Study, load_study  # noqa: E402

__all__ = ["ENVIRONMENT", "STUB", "cells_of", "stub_study"]

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(STUB), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
TEXT = """\
schema_version: 1
name: stub
upstream: toys[0-4]
downstream: [toys, beans]
image: {{size: 8, channels: 1}}
model: {{patch_size: 4, depth: 2, head_dim: 4}}
n_pretrain: {n_pretrain}
n_finetune: {n_finetune}
recipes:
  scratch: {{students: [1, 2, 4]}}
  distilled: {{pairs: [{{teacher: 1, student: 4}}], label_weight: 0.5}}
seeds: {seeds}
pretraining: {{batch_size: 32, learning_rate: 2e-3, length: {{epochs: 2, min_steps: 10}}}}
finetuning: {{batch_size: 16, learning_rate: 5e-4, length: {{steps: 20}}}}
"""


def stub_study(folder: Path, *, n_pretrain: int, n_finetune: int, seeds: int) -> Study:
    """Write ``folder/study.yaml`` and load it.

    Parameters
    ----------
    folder : Path
        Where the file goes.
    n_pretrain, n_finetune, seeds : int
        How many sizes of pretraining and of fine-tuning (on each of two sets), and how many blocks. The study has
        4 x n_pretrain x seeds pretrainings, and 2 x n_finetune fine-tunings of each.
    """
    sizes = ([40 + 20 * place for place in range(count)] for count in (n_pretrain, n_finetune))
    path = folder / "study.yaml"
    path.write_text(TEXT.format(n_pretrain=next(sizes), n_finetune=next(sizes), seeds=seeds), encoding="utf-8")
    return load_study(path, (), StubLaboratory())


def cells_of(study: Study) -> int:
    """Return how many cells a study has."""
    return len(build_grid(study).cells)
