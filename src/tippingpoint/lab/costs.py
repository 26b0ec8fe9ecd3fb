"""What a task costs, known before anything is trained, and what of it can be known to be wrong by then."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tippingpoint.errors import ConfigError
from tippingpoint.lab import features, probe
from tippingpoint.lab.data import expect_image_set, subset_count
from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.devices import device_memory, training_device
from tippingpoint.lab.models import (
    build_model,
    check_guidance,
    check_model,
    inspect_model,
    measure_model,
    without_weights,
)
from tippingpoint.lab.training.batches import ImagesView
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import TrainingSettings
from tippingpoint.lab.training.targets import keeps_targets

__all__ = [
    "augmentation_of",
    "check",
    "describe",
    "guidance_flops",
    "guidance_of",
    "guides_of",
    "is_watched",
    "keeps_targets_of",
    "time_step",
    "time_steps",
]

Task = Mapping[str, Any]
FROZEN: Mapping[str, Any] = {"features": features, "probe": probe}  # kinds that train nothing of the model itself
BACKWARD = 3  # a training step costs three forward passes: one forward, two backward


def guidance_of(task: Task) -> Guidance | None:
    """Return a task's guidance, None without a teacher."""
    return Guidance(**task["guidance"]) if task.get("guidance") else None


def guides_of(task: Task) -> Sequence[Mapping[str, Any]]:
    """Return the models of the teachers that the loss really uses."""
    guidance = guidance_of(task)
    return [] if guidance is None or guidance.is_plain else task.get("teachers") or []


def is_watched(task: Task) -> bool:
    """Return whether the student is compared with its teachers while it trains."""
    guidance = guidance_of(task)
    return bool(guides_of(task)) and guidance is not None and guidance.schedule == "until_passed"


def augmentation_of(task: Task) -> Augmentation | None:
    """Return how a task changes its images; ConfigError where these images cannot be changed so."""
    if not task.get("augmentation"):
        return None
    augmentation = Augmentation.from_dict(task["augmentation"])
    augmentation.check(task["data"]["image_size"], task["data"]["channels"])
    return augmentation


def keeps_targets_of(task: Task, n_steps: int, n_classes: int) -> bool:
    """Return whether the teachers of a task are asked once for each image, not at every pass.

    Parameters
    ----------
    task : mapping
        See ``tippingpoint.lab.tasks``.
    n_steps : int
        Of its training.
    n_classes : int
        Of its images.
    """
    data, guidance, augmentation = task["data"], guidance_of(task), augmentation_of(task)
    if guidance is None or not guides_of(task) or not (augmentation is None or augmentation.is_plain):
        return False
    numbers = 0
    for teacher in guides_of(task):
        facts = inspect_model(teacher, image_size=data["image_size"], channels=data["channels"])
        maps = sum(side**2 for side in facts.map_sizes) if guidance.attention_weight > 0 else 0
        numbers += n_classes + maps
    n_seen = n_steps * TrainingSettings.from_dict(task["training"]).batch_size
    return keeps_targets(task["n_images"], n_seen, 4 * numbers)


def check(task: Task) -> None:
    """Raise where a training cannot be what its task says; nothing is trained and no weights are made.

    Parameters
    ----------
    task : mapping
        See ``tippingpoint.lab.tasks``.

    Raises
    ------
    ConfigError
        A model cannot be built for these images or these batches, the images cannot be augmented so, the teachers'
        maps cannot be compared with the student's, or a model cannot grow: all that is found.
    """
    data, faults = task["data"], []
    if task["kind"] in FROZEN:
        check_model(task["model"], data["image_size"], data["channels"])
        return
    image = {"image_size": data["image_size"], "channels": data["channels"]}
    batch = TrainingSettings.from_dict(task["training"]).batch_size
    for spec, size in [(task["model"], batch), *((teacher, None) for teacher in guides_of(task))]:
        try:
            check_model(spec, **image, batch_size=size)
        except ConfigError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    try:
        augmentation_of(task)
    except ConfigError as error:
        faults += error.faults
    if task.get("grown_from") and ("timm" in task["model"] or "timm" in task["grown_from"]):
        faults.append("grown: only a DeiT grows into a larger one; give both models by their heads.")
    if faults:
        raise ConfigError(faults)
    guidance = guidance_of(task)
    check_guidance(task["model"], guides_of(task), guidance.attention_weight if guidance else 0.0, **image)


def _forward_flops(model: Mapping[str, Any], data: Mapping[str, Any], n_classes: int) -> int:
    return measure_model(model, data["image_size"], data["channels"], n_classes)[2]


def _n_steps(task: Task, own_flops_per_step: float) -> int:
    """Return the steps of a task, the control's extra compute included."""
    settings = TrainingSettings.from_dict(task["training"])
    steps = settings.length.resolve(task["n_images"], settings.batch_size)
    return steps + math.ceil(float(task.get("extra_flops", 0.0)) / own_flops_per_step)


def describe(task: Task) -> dict[str, float]:
    """Return what a task costs, without training.

    Parameters
    ----------
    task : mapping
        See ``tippingpoint.lab.tasks``.

    Returns
    -------
    dict
        ``n_params``, ``n_params_head``, ``n_steps``, ``flops`` (the model's own training), ``guidance_flops`` (forward
        passes of its teachers; their own training is not in here). With guidance ``until_passed`` that is the most it
        can cost: the student never passes.

    Raises
    ------
    ConfigError
        See `check`.
    """
    check(task)
    if task["kind"] in FROZEN:
        about: dict[str, float] = FROZEN[task["kind"]].describe(task)
        return about
    data = task["data"]
    n_classes = expect_image_set(data["name"], data.get("data_dir"))["n_classes"]
    n_params, n_head, forward = measure_model(task["model"], data["image_size"], data["channels"], n_classes)
    batch = TrainingSettings.from_dict(task["training"]).batch_size
    n_steps = _n_steps(task, BACKWARD * forward * batch)
    guidance = guidance_of(task)
    checks = (n_steps - 1) // guidance.check_every if guidance is not None else 0
    n_seen = n_steps * batch
    n_taught = min(task["n_images"], n_seen) if keeps_targets_of(task, n_steps, n_classes) else n_seen
    return {
        "n_params": n_params,
        "n_params_head": n_head,
        "n_steps": n_steps,
        "flops": float(BACKWARD * forward * batch * n_steps),
        "guidance_flops": guidance_flops(task, n_taught, checks),
    }


def guidance_flops(task: Task, n_taught: int, n_checks: int) -> float:
    """Return the FLOPs of the teachers' forward passes, and of what it takes to see that the student passes them.

    Parameters
    ----------
    task : mapping
        See ``tippingpoint.lab.tasks``.
    n_taught : int
        Images that each teacher is run on: those of the steps that hear it, or each once where its answers are kept.
    n_checks : int
        Times that the student is compared with its teachers.
    """
    data, guidance, teachers = task["data"], guidance_of(task), guides_of(task)
    if guidance is None or not teachers:
        return 0.0
    facts = expect_image_set(data["name"], data.get("data_dir"))  # looks at every file of a folder
    guides = sum(_forward_flops(teacher, data, facts["n_classes"]) for teacher in teachers)
    if guidance.schedule != "until_passed":
        return float(guides * n_taught)
    held = subset_count(data["validation_fraction"], sum(facts["train_counts"]))
    looked = held if task.get("score_on", "test") == "test" else (held + 1) // 2
    own = _forward_flops(task["model"], data, facts["n_classes"])
    return float(guides * (n_taught + looked) + own * n_checks * looked)


def time_step(task: Task, n_steps: int = 12, repeats: int = 3, device: torch.device | str | None = None) -> float:
    """Return the median of `time_steps`, in seconds."""
    return float(np.median(time_steps(task, n_steps, repeats, device)))


def time_steps(
    task: Task, n_steps: int = 12, repeats: int = 3, device: torch.device | str | None = None
) -> list[float]:
    """Return timings of one training step of a task, measured here on synthetic images.

    Parameters
    ----------
    task : mapping
        See ``tippingpoint.lab.tasks``; its data need not exist, all models are freshly initialised.
    n_steps : int, default 12
        Steps timed, after two that are not. Their images repeat as often as the task's, which matters where the
        teachers' answers are kept.
    repeats : int, default 3
        Timings.
    device : torch.device or str, optional
        Where to train; by default where this process trains.

    Returns
    -------
    list of float
        Seconds of a step, a number for each timing; a single one for what is not trained in steps.
    """
    with device_memory():
        if task["kind"] in FROZEN:
            return [float(FROZEN[task["kind"]].time_step(task))]
        return _time_training(task, n_steps, repeats, device)


def _time_training(task: Task, n_steps: int, repeats: int, device: torch.device | str | None) -> list[float]:
    """Return what `time_steps` says of a training; all that it holds on a device goes with this call."""
    data, n_classes, n_distinct = task["data"], 10, 256
    rng = np.random.default_rng(0)
    images = rng.integers(
        0, 256, (n_distinct, data["image_size"], data["image_size"], data["channels"]), dtype=np.uint8
    )
    settings = TrainingSettings.from_dict(task["training"])
    whole = settings.length.resolve(task["n_images"], settings.batch_size)
    n = math.ceil(n_steps * settings.batch_size * min(1.0, task["n_images"] / (whole * settings.batch_size)))
    places = np.arange(n) % n_distinct
    shape = {"image_size": data["image_size"], "channels": data["channels"], "n_classes": n_classes}
    model = build_model(without_weights(task["model"]), **shape, seed=0)
    teachers = [build_model(without_weights(teacher), **shape, seed=1) for teacher in guides_of(task)]
    options: dict[str, Any] = {
        "seed": 0,
        "teachers": teachers,
        "guidance": guidance_of(task),
        "passed": lambda _: False,
        "augmentation": augmentation_of(task),
        "precision": task.get("precision", "float32"),
        "keep_targets": keeps_targets_of(task, whole, n_classes),
        "device": training_device() if device is None else device,
    }
    timings = []
    for steps in (2, *[n_steps] * repeats):
        started = time.perf_counter()
        train(model, ImagesView(images, places), places % n_classes, settings, n_steps=steps, **options)
        timings.append((time.perf_counter() - started) / steps)
    return timings[1:]
