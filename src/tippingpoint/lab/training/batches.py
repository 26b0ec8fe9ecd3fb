"""Which images a step sees, and how they get onto the device.

Notation
--------
n images of a subset, B of a batch; a *position* is a place in the subset (0..n-1), an *index* one in the whole set; the
*pass* of an image is how often it was seen before.

A subset is never copied as a whole where it is large: it is an array, often mapped from disk, and a list of indices.
Small ones (`RESIDENT_BYTES`, or a share of a GPU's free memory) are held as uint8 tensors on the device; of larger ones
each batch is gathered from the array. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.data.images import ImagesView
from tippingpoint.lab.seeds import derive_seed, generator

__all__ = ["RESIDENT_BYTES", "Feed", "ImagesView", "as_batch", "as_view", "batch_order", "normalise"]

RESIDENT_BYTES = 256 * 2**20  # of pixels that a process holds in a CPU's memory; beyond, batches come from the array
RESIDENT_SHARE = 0.3  # of a GPU's free memory
CHUNK_BYTES = 32 * 2**20  # of pixels that are copied at a time: their way onto a GPU keeps as much memory of the CPU


def as_view(images: ImagesView | npt.NDArray[np.uint8]) -> ImagesView:
    """Return a view as it is, and of a plain array a view of all its images."""
    return images if isinstance(images, ImagesView) else ImagesView(images, np.arange(len(images)))


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Return grey values 0..255 as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1.0


def as_batch(images: npt.NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Return uint8 images (n, height, width, channels) as a float32 batch (n, channels, height, width) in [-1, 1]."""
    return normalise(_to_device(images, torch.device(device)))


def _to_device(images: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Return images as a uint8 tensor (n, channels, height, width)."""
    pixels = torch.from_numpy(np.array(images))  # a copy: mapped arrays are read-only, tensors never are
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return pixels.permute(0, 3, 1, 2).contiguous()


class Feed:
    """Hands out batches of a subset, augmented, as float32 on the device.

    Parameters
    ----------
    images : ImagesView
        The subset.
    augmentation : Augmentation or None
        How images are changed each time they are seen.
    seed : int
        Of the training.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(self, images: ImagesView, augmentation: Augmentation | None, seed: int, device: torch.device) -> None:
        self.images = images
        self.augmentation = None if augmentation is None or augmentation.is_plain else augmentation
        self.seed = derive_seed("augmentation", seed)
        self.device = device
        self.resident: torch.Tensor | None = None
        _, height, width, channels = images.array.shape
        if self.augmentation is not None:
            self.augmentation.check(height, channels)
        if len(images) * height * width * channels <= _room(device):
            self.resident = torch.empty((len(images), channels, height, width), dtype=torch.uint8, device=device)
            chunk = max(1, CHUNK_BYTES // (height * width * channels))
            for first in range(0, len(images), chunk):
                part = slice(first, first + chunk)
                self.resident[part] = _to_device(images[part], device)

    def batch(self, positions: torch.Tensor, passes: torch.Tensor) -> torch.Tensor:
        """Return a batch, (B, channels, height, width) in [-1, 1].

        Parameters
        ----------
        positions, passes : torch.Tensor
            int64 (B,) on the CPU: what `batch_order` gives.
        """
        pixels = self._gather(positions)
        if self.augmentation is not None:
            index = torch.from_numpy(self.images.indices[positions.numpy()])
            where = (part.to(self.device, non_blocking=True) for part in (index, passes))
            pixels = self.augmentation.apply(pixels, self.seed, *where)
        return normalise(pixels)

    def _gather(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the images at these positions as uint8 (B, channels, height, width)."""
        if self.resident is None:
            return _to_device(self.images[positions.numpy()], self.device)
        return self.resident.index_select(0, positions.to(self.device, non_blocking=True))  # copies whole images


def _room(device: torch.device) -> float:
    """Return the bytes of pixels that may be held on a device."""
    if device.type == "cuda":
        return RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    return RESIDENT_BYTES


def batch_order(
    n_images: int, batch_size: int, seed: int, start: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield one batch after the other, forever: positions (B,) and the pass of each image (B,), both int64.

    Every pass is a new shuffle; batches run on over the end of a pass, so that all are full and a subset smaller than
    a batch is simply seen more than once. The order depends on (n_images, batch_size, seed) alone: scratch and guided
    students of a cell see the same batches. Each pass has its own stream of random numbers, so that ``start``, the step
    to begin with, costs no more than one shuffle.
    """
    place, shuffled_pass, shuffled = start * batch_size, -1, torch.empty(0, dtype=torch.int64)
    while True:
        positions, passes, wanted = [], [], batch_size
        while wanted:
            now, offset = divmod(place, n_images)
            if now != shuffled_pass:
                shuffled_pass = now
                shuffled = torch.randperm(n_images, generator=generator("order", seed, now))
            taken = shuffled[offset : offset + wanted]
            positions.append(taken)
            passes.append(torch.full_like(taken, now))
            place, wanted = place + len(taken), wanted - len(taken)
        yield torch.cat(positions), torch.cat(passes)
