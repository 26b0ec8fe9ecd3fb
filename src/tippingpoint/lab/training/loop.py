"""The one loop: pretraining, guided pretraining and fine-tuning differ only in what they are handed.

Read it top to bottom in one sitting: the loss of one step, which guidance a step has, what is saved, the loop. A run
is a pure function of (initial weights, images, settings, seed, teachers) on one CPU thread, however often it was killed
and resumed on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.models.deit import VisionTransformerDistilled
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.models.maps import recording
from tippingpoint.lab.seeds import derive_seed
from tippingpoint.lab.training.batches import Feed, ImagesView, as_view, batch_order
from tippingpoint.lab.training.checkpoints import Checkpoints
from tippingpoint.lab.training.compiling import compiled_forward
from tippingpoint.lab.training.losses import Guidance, guided_loss
from tippingpoint.lab.training.optimizer import FlatAdamW
from tippingpoint.lab.training.record import Curve, TrainingRecord
from tippingpoint.lab.training.schedule import TrainingSettings, learning_rate
from tippingpoint.lab.training.targets import Targets, Teaching

__all__ = ["PRECISIONS", "train"]

PRECISIONS = ("float32", "bfloat16")


def _step_loss(
    model: nn.Module,
    batch: torch.Tensor,
    labels: torch.Tensor,
    guidance: Guidance | None,
    label_smoothing: float,
    targets: Targets | None = None,
    forward: Callable[[torch.Tensor], Any] | None = None,
) -> dict[str, torch.Tensor]:
    """Return the named parts of one batch's loss, in float32 whatever the model computes in.

    ``forward`` calls the model otherwise than plainly (compiled); its maps are those of the model.
    """
    compares = guidance is not None and guidance.attention_weight > 0
    recorded = recording(model, guidance.attention_temperature) if guidance and compares else nullcontext()
    with recorded as recorder:
        output = (forward or model)(batch)
        maps = recorder.maps() if recorder is not None else []
    student, distilled = output if isinstance(output, tuple) else (output, None)
    with torch.autocast(batch.device.type, enabled=False):
        return guided_loss(
            student.float(),
            labels,
            guidance=guidance,
            teachers=targets.logits if targets is not None else [],
            distilled=None if distilled is None else distilled.float(),
            student_maps=maps,
            teacher_maps=targets.maps if targets is not None else [],
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


@dataclass
class _State:
    """All that changes while a model is trained, and that a checkpoint therefore holds."""

    model: nn.Module
    optimizer: FlatAdamW
    steering: _Steering
    curve: Curve
    record: TrainingRecord
    started: float

    def save(self, checkpoints: Checkpoints, done: int) -> None:
        """Write down where the training stands after ``done`` steps."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        facts = {
            "guided": self.steering.guidance is not None,
            "n_guided": self.record.n_guided,
            "n_checks": self.record.n_checks,
            "seconds": self.record.seconds + time.perf_counter() - self.started,
            "curve": self.record.curve,
            "since": self.curve.since,
        }
        checkpoints.save(done, {**tensors, "curve": self.curve.sums}, facts)

    def resume(self, checkpoints: Checkpoints) -> int:
        """Go on from the newest checkpoint; return the steps that are done."""
        found = checkpoints.latest()
        self.record.notes += checkpoints.notes
        if found is None:
            return 0
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "curve": {}}
        for name, value in found.tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = value
        self.model.load_state_dict(parts["model"])
        self.optimizer.load(parts["optimizer"])
        self.curve.sums.copy_(parts["curve"][""])
        self.curve.since = found.facts["since"]
        self.record.curve += found.facts["curve"]
        self.record.n_guided, self.record.n_checks = found.facts["n_guided"], found.facts["n_checks"]
        self.record.seconds = found.facts["seconds"]
        if not found.facts["guided"]:
            self.steering.guidance = None
        return found.step


def _seed_noise(device: torch.device, seed: int) -> None:
    """Seed the numbers that a model itself draws (dropout), so that a step does not depend on those before it."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes many times as long
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _check(guidance: Guidance | None, teachers: Sequence[nn.Module], passed: object, precision: str) -> None:
    faults = []
    if guidance is not None and not guidance.is_plain and not teachers:
        faults.append("guidance: there is no teacher; name one, or set label_weight 1 and attention_weight 0.")
    if guidance is not None and guidance.schedule == "until_passed" and passed is None:
        faults.append("guidance: until_passed needs images held out to compare on; give `passed`.")
    if precision not in PRECISIONS:
        faults.append(f"training: precision is '{precision}'; it must be one of {', '.join(PRECISIONS)}.")
    if faults:
        raise ConfigError(faults)


def train(
    model: nn.Module,
    images: ImagesView | npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    settings: TrainingSettings,
    *,
    n_steps: int,
    seed: int,
    teachers: Sequence[nn.Module] = (),
    guidance: Guidance | None = None,
    passed: Callable[[nn.Module], bool] | None = None,
    label_smoothing: float = 0.0,
    augmentation: Augmentation | None = None,
    precision: str = "float32",
    compiled: bool = False,
    keep_targets: bool = False,
    device: torch.device | str = "cpu",
    checkpoints: Checkpoints | None = None,
    report: Callable[[int, int, Sequence[Mapping[str, float]]], None] | None = None,
) -> TrainingRecord:
    """Train a model in place.

    Parameters
    ----------
    model : nn.Module
        The student; ends in evaluation mode.
    images : ImagesView or ndarray
        The subset: some images of an array, or all of one, uint8 (n, height, width, channels).
    labels : ndarray
        int64 (n,).
    settings : TrainingSettings
        AdamW and its schedule.
    n_steps : int
        Optimiser steps, resolved by the caller (``Length.resolve``).
    seed : int
        Of the order of batches, of augmentation and of a model's own noise (dropout).
    teachers : sequence of nn.Module, default none
        Kept in evaluation mode, without gradients.
    guidance : Guidance, optional
        Weights and temperatures of Eq. (3) and their schedule; None trains on the labels alone.
    passed : callable, optional
        For the schedule ``until_passed``: whether the model has passed its teachers (``score.passes``). It may put the
        model in evaluation mode and must not draw random numbers.
    label_smoothing : float, default 0
        The control without a teacher.
    augmentation : Augmentation, optional
        How images are changed each time they are seen.
    precision : {"float32", "bfloat16"}, default "float32"
        What the models compute in; weights, the optimiser and the loss stay in float32.
    compiled : bool, default False
        Let torch's compiler write the student's passes (see `compiling`); teachers and scores are as ever.
    keep_targets : bool, default False
        Ask the teachers once for each image (`keeps_targets`); without effect where images are augmented.
    device : torch.device or str, default "cpu"
        Where to train.
    checkpoints : Checkpoints, optional
        Where the training goes on from, and is written to now and then.
    report : callable, optional
        Called with (steps done, steps in all, the loss curve so far) now and then.

    Returns
    -------
    TrainingRecord
        Steps, images seen and the loss curve.

    Raises
    ------
    ConfigError
        Guidance without a teacher or without what its schedule needs, a loss that is no longer finite, or a model that
        cannot be compiled here.
    EnvironmentFault
        A checkpoint cannot be written.
    """
    _check(guidance, teachers, passed, precision)
    device = torch.device(device)
    model.to(device).train()
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)  # both heads apart while it trains; their mean in evaluation
    for teacher in teachers:
        teacher.to(device).eval().requires_grad_(False)
    feed = Feed(as_view(images), augmentation, seed, device)
    answers, batch_size = torch.tensor(labels), settings.batch_size
    record = TrainingRecord(n_steps, n_steps * batch_size)
    steering, curve = _Steering(guidance, passed, record), Curve(record, device)
    teaching = Teaching(
        teachers, guidance or Guidance(), feed, batch_size=batch_size, seed=seed, keep=bool(teachers) and keep_targets
    )
    optimizer = FlatAdamW(model, weight_decay=settings.weight_decay, betas=settings.betas)
    forward = compiled_forward(model) if compiled else None
    state = _State(model, optimizer, steering, curve, record, time.perf_counter())
    start = 0 if checkpoints is None else state.resume(checkpoints)
    order = batch_order(len(answers), batch_size, seed, start)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(start, n_steps):
            _seed_noise(device, derive_seed("noise", seed, step))
            positions, passes = next(order)
            batch, chosen = feed.batch(positions, passes), answers[positions]
            now = steering.at(step, model)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                targets = None if now is None else teaching.at(step, positions, batch, chosen)
                answer = chosen.to(device, non_blocking=True)  # a GPU's queue is not waited for
                parts = _step_loss(model, batch, answer, now, label_smoothing, targets, forward)
            optimizer.zero_grad()
            parts["loss"].backward()  # type: ignore[no-untyped-call]
            if settings.clip_norm:
                optimizer.clip(settings.clip_norm)
            optimizer.step(learning_rate(step, n_steps, settings))
            if curve.add(step + 1, parts) and report is not None:
                report(step + 1, n_steps, record.curve)
            if checkpoints is not None and checkpoints.is_due:
                state.save(checkpoints, step + 1)
    model.eval()
    record.n_taught = record.n_guided * batch_size
    if teaching.keeps:
        record.n_taught = min(len(answers), record.n_taught)
    return record
