"""The two training loops that ``throughput.py`` compares, each in processes of its own that do what a pipe tells them.

``serve_plain`` is the loop that one writes first: timm's model, torchvision's transforms on PIL images, torch's
DataLoader with two workers, timm's AdamW, torch's default threads. ``serve_ours`` is the laboratory's ``train`` on one
thread. Both take the same uint8 images, shapes, batches and augmentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from timm.optim import create_optimizer_v2
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tippingpoint.lab.data import load_image_set
from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.models import DeiTShape, build_deit
from tippingpoint.lab.tasks import prepare_worker
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import Length, TrainingSettings

RATE, DECAY, PADDING, LOADERS = 5e-4, 0.05, 4, 2
WARM = 6  # steps before anything is timed


@dataclass(frozen=True)
class Case:
    """One training that is timed; ``teacher`` is a number of heads, 0 for none."""

    heads: int
    augmented: bool
    head_dim: int = 16
    depth: int = 4
    patch_size: int = 7
    image_size: int = 28
    channels: int = 1
    batch: int = 64
    n_images: int = 5120
    teacher: int = 0

    def shape(self, heads: int) -> DeiTShape:
        """Return a model's shape, the student's or the teacher's by its heads."""
        return DeiTShape(heads, self.head_dim, self.depth, self.patch_size, self.image_size, self.channels)


@lru_cache(maxsize=4)
def _data(n_images: int, image_size: int, channels: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the first images of Fashion-MNIST, (n, S, S, C), enlarged where they should be, and their labels."""
    images = load_image_set("fashion_mnist", image_size=28, channels=1)
    found = images.train_images[:n_images]
    if (image_size, channels) != (28, 1):
        large = [Image.fromarray(one[:, :, 0]).resize((image_size, image_size)) for one in found]
        found = np.stack([np.asarray(one.convert("RGB" if channels == 3 else "L")) for one in large])
    return found.reshape(len(found), image_size, image_size, channels), images.train_labels[:n_images]


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's data sets give them: one PIL image at a time, through transforms."""

    def __init__(self, case: Case) -> None:
        self.images, self.labels = _data(case.n_images, case.image_size, case.channels)
        grey = (0.5,) * case.channels
        random = [transforms.RandomCrop(case.image_size, padding=PADDING), transforms.RandomHorizontalFlip()]
        last = [transforms.ToTensor(), transforms.Normalize(grey, grey)]
        self.transform = transforms.Compose([*(random if case.augmented else []), *last])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = self.images[index]
        return self.transform(Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)), int(
            self.labels[index]
        )


def _forever(loader: DataLoader[Any]) -> Iterator[list[torch.Tensor]]:
    while True:
        yield from loader


def plain_loop(case: Case) -> Callable[[int], None]:
    """Return a function that trains for some steps."""
    model = VisionTransformer(
        img_size=case.image_size,
        patch_size=case.patch_size,
        in_chans=case.channels,
        num_classes=10,
        embed_dim=case.heads * case.head_dim,
        depth=case.depth,
        num_heads=case.heads,
    ).train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=RATE, weight_decay=DECAY)
    batches = _forever(
        DataLoader(
            Pictures(case), case.batch, shuffle=True, num_workers=LOADERS, persistent_workers=True, drop_last=True
        )
    )

    def steps(count: int) -> None:
        for _ in range(count):
            images, labels = next(batches)
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return steps


def our_loop(case: Case) -> Callable[[int], None]:
    """Return a function that trains for some steps, as the laboratory does."""
    model = build_deit(case.shape(case.heads), 10, seed=0)
    teachers = [build_deit(case.shape(case.teacher), 10, seed=1)] if case.teacher else []
    images, labels = _data(case.n_images, case.image_size, case.channels)
    augmentation = Augmentation(flip=True, crop_padding=PADDING) if case.augmented else None
    guidance = Guidance() if case.teacher else None

    def steps(count: int) -> None:
        settings = TrainingSettings(Length(steps=count), case.batch, RATE, DECAY)
        train(
            model,
            images,
            labels.astype(np.int64),
            settings,
            n_steps=count,
            seed=0,
            teachers=teachers,
            guidance=guidance,
            augmentation=augmentation,
            keep_targets=not case.augmented,
        )

    return steps


def _serve(pipe: Connection, build: Callable[[Case], Callable[[int], None]]) -> None:
    """Build a loop for each case that comes in and answer with a step's seconds; then run as many steps as asked."""
    loops: dict[Case, Callable[[int], None]] = {}
    while (order := pipe.recv()) is not None:
        case, count = order
        if case not in loops:
            loops[case] = build(case)
            loops[case](WARM if case.image_size < 100 else 1)
        started = time.perf_counter()
        loops[case](count)
        pipe.send((time.perf_counter() - started) / count)


def serve_plain(pipe: Connection) -> None:
    """Be the plain loop's process: torch's default threads."""
    _serve(pipe, plain_loop)


def serve_ours(pipe: Connection) -> None:
    """Be one of the laboratory's processes: one thread."""
    prepare_worker()
    _serve(pipe, our_loop)
