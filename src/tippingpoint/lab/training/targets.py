"""What teachers say of a batch: asked in the step, or once for each image and kept.

Where images are never augmented, a teacher says the same of an image at every pass. Its logits and head-averaged maps
are then kept, if those of the whole subset fit into `TARGET_BYTES`. They are filled in by the batches of the first
pass, each when one of its images is first needed: so they do not depend on where a killed training went on, and in the
first pass they are bit for bit what the step would have asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import NamedTuple

import torch
from torch import nn

from tippingpoint.lab.models.maps import recording
from tippingpoint.lab.training.batches import Feed, batch_order
from tippingpoint.lab.training.losses import Guidance, shuffled_order

__all__ = ["TARGET_BYTES", "Targets", "Teaching", "ask", "keeps_targets"]

TARGET_BYTES = 256 * 2**20  # of teachers' targets that a training keeps, on the device that it runs on


class Targets(NamedTuple):
    """What the teachers say of B images.

    Attributes
    ----------
    logits : list of torch.Tensor
        Of each teacher, (B, C), float32.
    maps : list of list of torch.Tensor
        Of each teacher its K maps, float32, first dimension B; empty where none are compared.
    """

    logits: list[torch.Tensor]
    maps: list[list[torch.Tensor]]

    def select(self, chosen: torch.Tensor) -> Targets:
        """Return the targets of some of the images, in this order."""
        return self._each(lambda part: part.index_select(0, chosen))

    def empty(self, count: int) -> Targets:
        """Return room for the targets of ``count`` images."""
        return self._each(lambda part: part.new_empty((count, *part.shape[1:])))

    def put(self, where: torch.Tensor, said: Targets) -> None:
        """Write the targets of some images to their places."""
        for mine, theirs in zip(self.logits, said.logits, strict=True):
            mine.index_copy_(0, where, theirs)
        for kept, maps in zip(self.maps, said.maps, strict=True):
            for mine, theirs in zip(kept, maps, strict=True):
                mine.index_copy_(0, where, theirs)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Targets:
        return Targets([change(part) for part in self.logits], [[change(part) for part in maps] for maps in self.maps])


def ask(teachers: Sequence[nn.Module], batch: torch.Tensor, map_temperature: float | None) -> Targets:
    """Run the teachers on a batch, without gradients.

    Parameters
    ----------
    teachers : sequence of nn.Module
        In evaluation mode.
    batch : torch.Tensor
        (B, channels, height, width).
    map_temperature : float or None
        tau_a of the maps; None leaves maps alone.

    Returns
    -------
    Targets
        Logits and maps.
    """
    with torch.no_grad(), ExitStack() as stack:
        if map_temperature is None:
            return Targets([teacher(batch).float() for teacher in teachers], [])
        recorders = [stack.enter_context(recording(teacher, map_temperature)) for teacher in teachers]
        logits = [teacher(batch).float() for teacher in teachers]
        return Targets(logits, [recorder.maps() for recorder in recorders])


def keeps_targets(n_images: int, n_seen: int, bytes_per_image: int) -> bool:
    """Return whether the targets of images that are never augmented are kept.

    Parameters
    ----------
    n_images : int
        Distinct images.
    n_seen : int
        Images seen in the whole training, repeats counted: without repeats there is nothing to keep them for.
    bytes_per_image : int
        Of the logits and maps of all teachers, in float32.
    """
    return n_seen > n_images and n_images * bytes_per_image <= TARGET_BYTES


class Teaching:
    """The targets of each step, asked for in the step or once for each image.

    Parameters
    ----------
    teachers : sequence of nn.Module
        In evaluation mode, on the device.
    guidance : Guidance
        Of the training.
    feed : Feed
        Of the training.
    batch_size, seed : int
        Of the training.
    keep : bool
        Ask once for each image; without effect on a training that augments its images.
    """

    def __init__(
        self, teachers: Sequence[nn.Module], guidance: Guidance, feed: Feed, *, batch_size: int, seed: int, keep: bool
    ) -> None:
        self.teachers = teachers
        self.map_temperature = guidance.attention_temperature if guidance.attention_weight > 0 else None
        self.shuffle = guidance.shuffle
        self.seed = seed
        self.keeps = keep and feed.augmentation is None
        self._groups = _Groups(len(feed.images), batch_size, seed) if self.keeps else None
        self._feed = feed
        self._kept: Targets | None = None

    def at(self, step: int, positions: torch.Tensor, batch: torch.Tensor, labels: torch.Tensor) -> Targets:
        """Return the targets of a step's images; those of other images of the batch where the guidance shuffles them.

        Parameters
        ----------
        step : int
            Of the training.
        positions, labels : torch.Tensor
            int64 (B,) on the CPU.
        batch : torch.Tensor
            The images as the student sees them.
        """
        if self._groups is None:
            targets = ask(self.teachers, batch, self.map_temperature)
        else:
            for group in self._groups.needed(positions):
                self._keep(group)
            assert self._kept is not None  # noqa: S101 - every image belongs to a group, and all needed ones are kept
            targets = self._kept.select(positions.to(batch.device, non_blocking=True))
        if self.shuffle is None:
            return targets
        order = shuffled_order(labels, self.shuffle, self.seed, step)
        return targets.select(order.to(batch.device, non_blocking=True))

    def _keep(self, positions: torch.Tensor) -> None:
        batch = self._feed.batch(positions, torch.zeros_like(positions))
        said = ask(self.teachers, batch, self.map_temperature)
        if self._kept is None:
            self._kept = said.empty(len(self._feed.images))
        self._kept.put(positions.to(batch.device), said)


class _Groups:
    """The batches of the first pass, each to be asked for once, together."""

    def __init__(self, n_images: int, batch_size: int, seed: int) -> None:
        count = -(-n_images // batch_size)
        order = torch.cat([positions for positions, _ in islice(batch_order(n_images, batch_size, seed), count)])
        self._groups = torch.split(order[:n_images], batch_size)
        self._group_of = torch.empty(n_images, dtype=torch.int64)
        for number, positions in enumerate(self._groups):
            self._group_of[positions] = number
        self._missing = set(range(count))

    def needed(self, positions: torch.Tensor) -> list[torch.Tensor]:
        """Return the groups of these images that nobody has asked for yet; from now on they count as asked for."""
        if not self._missing:
            return []
        found = self._missing.intersection(self._group_of[positions].tolist())
        self._missing -= found
        return [self._groups[number] for number in sorted(found)]
