"""The one loop: pretraining, guided pretraining and fine-tuning differ only in what they are handed.

Read it top to bottom in one sitting: order of batches, one step, the loop. A run is a pure function of (initial
weights, images, settings, seed, teachers) on one CPU thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.optim import param_groups_weight_decay
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models.attention import MappedAttention, recording
from tippingpoint.lab.seeds import generator
from tippingpoint.lab.training.losses import Guidance, guided_loss
from tippingpoint.lab.training.schedule import TrainingSettings, learning_rate

__all__ = ["TrainingRecord", "as_batch", "batch_order", "train"]

CURVE_POINTS = 200  # of the loss curve that every cell keeps


@dataclass
class TrainingRecord:
    """What a training leaves besides its weights.

    Attributes
    ----------
    n_steps : int
        Optimiser steps taken.
    n_seen : int
        Images seen, repeats counted.
    n_guided : int
        Steps whose loss heard the teachers.
    n_checks : int
        Times that the student was compared with its teachers.
    curve : list of dict
        ``{"step", "loss", "ce", "kl", "attention"}``: means over the steps since the point before.
    """

    n_steps: int
    n_seen: int
    n_guided: int = 0
    n_checks: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def as_batch(images: npt.NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Return uint8 images (n, height, width, channels) as a float32 batch (n, channels, height, width) in [-1, 1]."""
    pixels = torch.tensor(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).contiguous()
    return pixels.float().div_(127.5).sub_(1.0)


def batch_order(n_images: int, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield the indices of one batch after the other, forever.

    Every pass is a new shuffle; batches run on over the end of a pass, so that all are full and a subset smaller than
    a batch is simply seen more than once. The order depends on (n_images, batch_size, seed) alone: scratch and guided
    students of a cell see the same batches.
    """
    pending = torch.empty(0, dtype=torch.int64)
    epoch = 0
    while True:
        while len(pending) < batch_size:
            shuffled = torch.randperm(n_images, generator=generator("order", seed, epoch))
            pending = torch.cat([pending, shuffled])
            epoch += 1
        yield pending[:batch_size]
        pending = pending[batch_size:]


def _maps(layers: list[MappedAttention]) -> list[torch.Tensor]:
    return [layer.attention_map for layer in layers if layer.attention_map is not None]


def _heads(output: torch.Tensor | tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits of the class head and, where there is one, of the distillation head."""
    return output if isinstance(output, tuple) else (output, None)


def _step_loss(
    model: nn.Module,
    teachers: Sequence[nn.Module],
    batch: torch.Tensor,
    labels: torch.Tensor,
    guidance: Guidance | None,
    label_smoothing: float,
) -> dict[str, torch.Tensor]:
    """Return the named parts of one batch's loss."""
    if guidance is None or guidance.is_plain:
        student, distilled = _heads(model(batch))
        return guided_loss(student, labels, distilled=distilled, label_smoothing=label_smoothing)
    with ExitStack() as stack:
        layers: list[list[MappedAttention]] = []
        if guidance.attention_weight > 0:
            layers = [
                stack.enter_context(recording(network, guidance.attention_temperature))
                for network in (model, *teachers)
            ]
        with torch.no_grad():
            targets = [teacher(batch) for teacher in teachers]
        student, distilled = _heads(model(batch))
        maps = [_maps(recorded) for recorded in layers] or [[]]
        return guided_loss(
            student,
            labels,
            guidance=guidance,
            teachers=targets,
            distilled=distilled,
            student_maps=maps[0],
            teacher_maps=maps[1:],
            label_smoothing=label_smoothing,
        )


class _Steering:
    """Says which guidance a step has, and remembers when it has ended.

    Parameters
    ----------
    guidance : Guidance or None
        Of the training.
    passed : callable or None
        Whether the student has passed its teachers.
    record : TrainingRecord
        Gets the counts of guided steps and of comparisons.
    """

    def __init__(
        self, guidance: Guidance | None, passed: Callable[[nn.Module], bool] | None, record: TrainingRecord
    ) -> None:
        self.guidance = None if guidance is None or guidance.is_plain else guidance
        self.passed = passed
        self.record = record

    def at(self, step: int, model: nn.Module) -> Guidance | None:
        """Return the guidance of a step, None once it has ended: then the rest is plain training."""
        now = self.guidance
        if now is None:
            return None
        if now.schedule == "until_passed" and self.passed is not None and step and step % now.check_every == 0:
            self.record.n_checks += 1
            over = self.passed(model)
            model.train()
            if over:
                self.guidance = None
                return None
        self.record.n_guided += 1
        return now.at(step, self.record.n_steps)


def train(
    model: nn.Module,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    settings: TrainingSettings,
    *,
    n_steps: int,
    seed: int,
    teachers: Sequence[nn.Module] = (),
    guidance: Guidance | None = None,
    passed: Callable[[nn.Module], bool] | None = None,
    label_smoothing: float = 0.0,
    device: torch.device | str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> TrainingRecord:
    """Train a model in place.

    Parameters
    ----------
    model : nn.Module
        The student; ends in evaluation mode.
    images, labels : arrays
        The subset: uint8 (n, height, width, channels) and int64 (n,).
    settings : TrainingSettings
        AdamW and its schedule.
    n_steps : int
        Optimiser steps, resolved by the caller (``Length.resolve``).
    seed : int
        Of the order of batches.
    teachers : sequence of nn.Module, default none
        Kept in evaluation mode, without gradients.
    guidance : Guidance, optional
        Weights and temperatures of Eq. (3) and their schedule; None trains on the labels alone.
    passed : callable, optional
        For the schedule ``until_passed``: whether the model has passed its teachers (``score.passes``). It may put the
        model in evaluation mode and must not draw random numbers.
    label_smoothing : float, default 0
        The control without a teacher.
    device : torch.device or str, default "cpu"
        Where to train.
    report : callable, optional
        Called with (steps done, steps in all) now and then.

    Returns
    -------
    TrainingRecord
        Steps, images seen and the loss curve.

    Raises
    ------
    ConfigError
        Guidance without a teacher or without what its schedule needs, or a loss that is no longer finite.
    """
    if guidance is not None and not guidance.is_plain and not teachers:
        raise ConfigError("guidance: there is no teacher; name one, or set label_weight 1 and attention_weight 0.")
    if guidance is not None and guidance.schedule == "until_passed" and passed is None:
        raise ConfigError("guidance: until_passed needs images held out to compare on; give `passed`.")
    model.to(device).train()
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)  # both heads apart while it trains; their mean in evaluation
    for teacher in teachers:
        teacher.to(device).eval().requires_grad_(False)
    pixels, targets = as_batch(images, device), torch.tensor(labels).to(device)
    skip: set[str] = getattr(model, "no_weight_decay", set)()
    optimizer = torch.optim.AdamW(
        param_groups_weight_decay(model, settings.weight_decay, no_weight_decay_list=skip),
        lr=settings.learning_rate,
        betas=settings.betas,
        fused=True,
    )
    record = TrainingRecord(n_steps, n_steps * settings.batch_size)
    steering = _Steering(guidance, passed, record)
    every = max(1, n_steps // CURVE_POINTS)
    order = batch_order(len(images), settings.batch_size, seed)
    sums: dict[str, torch.Tensor] = {}
    since = 0
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, n_steps, settings)
        chosen = next(order).to(device)
        now = steering.at(step, model)
        parts = _step_loss(model, teachers, pixels[chosen], targets[chosen], now, label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        sums = {name: sums.get(name, 0.0) + value.detach() for name, value in parts.items()}
        since += 1
        if since == every or step == n_steps - 1:
            record.curve.append(_curve_point(step + 1, sums, since))
            sums, since = {}, 0
            if report is not None:
                report(step + 1, n_steps)
    model.eval()
    return record


def _curve_point(step: int, sums: dict[str, torch.Tensor], count: int) -> dict[str, float]:
    """Return the mean parts of the last steps; a loss that is not finite ends the training with a reason."""
    point = {name: float(total) / count for name, total in sums.items()}
    if not np.isfinite(point["loss"]):
        raise ConfigError(f"training: the loss is no longer finite at step {step}; lower the learning_rate.")
    return {"step": step, **point}
