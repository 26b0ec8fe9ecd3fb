"""A training that takes a fraction of a second: two classes of small grey images, a student and its teachers."""

from __future__ import annotations

import numpy as np
from timm.models.vision_transformer import VisionTransformer

from tippingpoint.lab.models import DeiTShape, build_deit
from tippingpoint.lab.training.schedule import Length, TrainingSettings

SHAPE = DeiTShape(heads=2, head_dim=8, depth=2, patch_size=7, image_size=14, channels=1)
SETTINGS = TrainingSettings(length=Length(steps=12), batch_size=8, learning_rate=3e-3, warmup_steps=2)


def toy(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, bright above or bright below, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 60, (n, 14, 14, 1))
    images[labels == 0, :7] += 150
    images[labels == 1, 7:] += 150
    return images.astype(np.uint8), labels.astype(np.int64)


def small(seed: int = 8) -> VisionTransformer:
    return build_deit(DeiTShape(heads=1, head_dim=8, depth=2, patch_size=7, image_size=14, channels=1), 2, seed=seed)
