"""Two recipes whose crossing is known, with the noise of blocks, checkpoints and fine-tunings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.boundary import PowerDifference

SIZES = (250, 500, 1000, 2000, 4000, 8000, 16000)
STUDENTS = (51216, 201888)
TEACHER = 13224
#: floor, coefficient, exponent along n_pretrain of each recipe, for the smaller student at 100 labels
TRUTH = {"scratch": (0.30, 16.0, 0.50), "distilled": (0.36, 8.0, 0.42)}


def true_difference(truth: dict[str, tuple[float, float, float]] = TRUTH) -> PowerDifference:
    """Return F without noise."""
    (floor, a, alpha), (other, b, alpha_prime) = truth["scratch"], truth["distilled"]
    return PowerDifference(floor - other, a, alpha, b, alpha_prime)


def simulate(
    *,
    blocks: int = 6,
    noise: float = 0.01,
    seed: int = 0,
    sizes: Sequence[int] = SIZES,
    students: Sequence[int] = STUDENTS[:1],
    n_finetune: Sequence[int] = (100,),
    truth: dict[str, tuple[float, float, float]] = TRUTH,
) -> pd.DataFrame:
    """Return a runs table of stage ``finetuned``; ``noise`` is relative, of one checkpoint."""
    random = np.random.default_rng(seed)
    rows = []
    for block in range(blocks):
        shared = random.normal(0, noise, len(sizes))  # the images of a block help or harm both recipes
        for recipe, (floor, coefficient, exponent) in truth.items():
            for student in students:
                for place, size in enumerate(sizes):
                    level = floor + coefficient * size**-exponent + 20 * (student**-0.5 - STUDENTS[0] ** -0.5)
                    level *= np.exp(shared[place] + random.normal(0, noise))
                    for labels in n_finetune:
                        own = level + 3 * (labels**-0.6 - 100**-0.6)
                        rows.append(
                            {
                                "recipe": recipe,
                                "stage": "finetuned",
                                "upstream": "up",
                                "downstream": "down",
                                "n_pretrain": size,
                                "n_params": student,
                                "n_params_teacher": TEACHER if recipe == "distilled" else None,
                                "teacher": "heads=2" if recipe == "distilled" else None,
                                "n_finetune": labels,
                                "subset_seed": block,
                                "seed": block,
                                "pretrain_id": f"{recipe}-{student}-{size}-{block}",
                                "cross_entropy": own * float(np.exp(random.normal(0, noise / 2))),
                                "train_flops": 2.0 if recipe == "distilled" else 1.0,
                            }
                        )
    frame = pd.DataFrame(rows)
    return frame.assign(error=0.25 * frame["cross_entropy"])


@pytest.fixture(scope="session")
def study() -> pd.DataFrame:
    """Return a study of six blocks; copy before changing it."""
    return simulate()


@pytest.fixture(scope="session")
def make_study() -> Callable[..., pd.DataFrame]:
    """Return the simulator."""
    return simulate


@pytest.fixture(scope="session")
def truth() -> Any:
    """Return the difference without noise."""
    return true_difference()
