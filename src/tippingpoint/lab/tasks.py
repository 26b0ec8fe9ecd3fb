"""One training described by plain JSON: the only door between a study and the laboratory.

A *task* is what a cell hands over. Its keys:

=====================  ==============================================================================================
``kind``               ``pretrain`` or ``finetune``
``model``              ``{"heads", "head_dim", "depth", "patch_size"}`` and optionally ``distillation_token``
``data``               ``{"name", "image_size", "channels", "validation_fraction"}`` and optionally ``data_dir``
``n_images``           images of the subset (a count)
``subset_seed``        which images: subsets of one seed are nested
``seed``               initial weights and order of batches
``training``           see ``TrainingSettings``
``score_on``           ``test``, or ``validation`` for trials (then one half calibrates, the other is scored)
``guidance``           see ``Guidance``; null without a teacher
``teachers``           list of ``model``, in the order of the parents ``teacher_0``, ``teacher_1``, …
``grown_from``         ``model`` of the smaller one whose weights are grown into this one; absent otherwise
``keep_weights``       true where a fine-tuning's weights are kept, because others learn from it; absent otherwise
``label_smoothing``    0 but for the control
``extra_flops``        FLOPs spent on more steps of the same schedule: the control that is given the teacher's compute
=====================  ==============================================================================================

Parents are directories with ``weights.safetensors`` and ``result.json``: ``init`` of a fine-tuning (absent: from
scratch), ``teacher_i`` of a guided training (of a fine-tuning: fine-tuned too), ``grown_from`` of a pretraining that
starts from a smaller model, ``owed_i`` whose training is charged and nothing else.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

from tippingpoint.errors import StoreError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.lab.data import (
    ImageSet,
    expect_image_set,
    load_image_set,
    nested_subset,
    split_validation,
    subset_count,
)
from tippingpoint.lab.models import DeiTShape, build_deit, count_parameters, forward_flops, grow
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import TrainingSettings
from tippingpoint.lab.training.score import Scores, passes, score

__all__ = ["describe", "execute", "load_model", "prepare_worker", "time_step"]

Task = Mapping[str, Any]
CURVE_VERSION = 1
BACKWARD = 3  # a training step costs three forward passes: one forward, two backward


def prepare_worker(threads: int = 1) -> None:
    """Make this process compute bit-reproducibly: one thread, deterministic kernels.

    Parameters
    ----------
    threads : int, default 1
        Threads of torch; only one is bit-reproducible across machines with more or fewer cores.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _shape(model: Mapping[str, Any], data: Mapping[str, Any]) -> DeiTShape:
    return DeiTShape(**model, image_size=data["image_size"], channels=data["channels"])


def _image_set(task: Task) -> ImageSet:
    data = task["data"]
    return load_image_set(
        data["name"], image_size=data["image_size"], channels=data["channels"], data_dir=data.get("data_dir")
    )


def _n_steps(task: Task, own_flops_per_step: float) -> int:
    """Return the steps of a task, the control's extra compute included."""
    settings = TrainingSettings.from_dict(task["training"])
    steps = settings.length.resolve(task["n_images"], settings.batch_size)
    return steps + math.ceil(float(task.get("extra_flops", 0.0)) / own_flops_per_step)


@lru_cache(maxsize=64)
def _measure(shape: DeiTShape, n_classes: int) -> tuple[int, int, int]:
    """Return (parameters, parameters of the head, forward FLOPs an image)."""
    with torch.device("meta"):  # counting needs shapes, not weights
        model = build_deit(shape, n_classes, seed=0)
    return *count_parameters(model), forward_flops(model, shape)


def describe(task: Task) -> dict[str, float]:
    """Return what a task costs, without training.

    Parameters
    ----------
    task : mapping
        See the module's text.

    Returns
    -------
    dict
        ``n_params``, ``n_params_head``, ``n_steps``, ``flops`` (the model's own training), ``guidance_flops`` (forward
        passes of its teachers; their own training is not in here). With guidance ``until_passed`` that is the most it
        can cost: the student never passes.
    """
    data = task["data"]
    n_classes = expect_image_set(data["name"], data.get("data_dir"))["n_classes"]
    n_params, n_head, forward = _measure(_shape(task["model"], data), n_classes)
    batch = TrainingSettings.from_dict(task["training"]).batch_size
    n_steps = _n_steps(task, BACKWARD * forward * batch)
    guidance = _guidance(task)
    checks = (n_steps - 1) // guidance.check_every if guidance is not None else 0
    return {
        "n_params": n_params,
        "n_params_head": n_head,
        "n_steps": n_steps,
        "flops": float(BACKWARD * forward * batch * n_steps),
        "guidance_flops": _guidance_flops(task, n_steps, checks),
    }


def _guidance_flops(task: Task, n_guided: int, n_checks: int) -> float:
    """Return the FLOPs of the teachers' forward passes, and of what it takes to see that the student passes them."""
    data, guidance = task["data"], _guidance(task)
    facts = expect_image_set(data["name"], data.get("data_dir"))
    guides = sum(_measure(_shape(teacher, data), facts["n_classes"])[2] for teacher in _guides(task))
    images = TrainingSettings.from_dict(task["training"]).batch_size * n_guided
    if not guides or guidance is None or guidance.schedule != "until_passed":
        return float(guides * images)
    held = subset_count(data["validation_fraction"], sum(facts["train_counts"]))
    looked = held if task.get("score_on", "test") == "test" else (held + 1) // 2
    own = _measure(_shape(task["model"], data), facts["n_classes"])[2]
    return float(guides * (images + looked) + own * n_checks * looked)


def _guidance(task: Task) -> Guidance | None:
    return Guidance(**task["guidance"]) if task.get("guidance") else None


def _guides(task: Task) -> Sequence[Mapping[str, Any]]:
    """Return the models of the teachers that the loss really uses."""
    guidance = _guidance(task)
    return [] if guidance is None or guidance.is_plain else task.get("teachers") or []


def _is_watched(task: Task) -> bool:
    """Return whether the student is compared with its teachers while it trains."""
    guidance = _guidance(task)
    return bool(_guides(task)) and guidance is not None and guidance.schedule == "until_passed"


def load_model(folder: Path) -> VisionTransformer:
    """Build a model from the ``weights.safetensors`` that a pretraining left.

    Parameters
    ----------
    folder : Path
        A finished pretraining cell.

    Returns
    -------
    timm.models.vision_transformer.VisionTransformer
        With its classification head, in evaluation mode.

    Raises
    ------
    StoreError
        The file is missing or is not one of ours.
    """
    path = folder / "weights.safetensors"
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads(stream.metadata()["tippingpoint"])
        model = build_deit(DeiTShape(**about["shape"]), about["n_classes"], seed=0)
        model.load_state_dict(load_file(path))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot be read as a model ({error}); remove the cell and run it again.") from error
    return model.eval()


def _start(task: Task, shape: DeiTShape, n_classes: int, parents: Mapping[str, Path]) -> VisionTransformer:
    """Return the model to train: fresh, grown from a smaller one, or a pretrained trunk under a fresh head."""
    model = build_deit(shape, n_classes, task["seed"])
    if task.get("grown_from"):
        grow(load_model(parents["grown_from"]), model)
    if "init" in parents:
        head = {name: value for name, value in model.state_dict().items() if name.startswith("head")}
        trunk = load_model(parents["init"]).state_dict()
        model.load_state_dict({**trunk, **head})
    return model


def _score(model: VisionTransformer, task: Task, images: ImageSet, validation: np.ndarray[Any, Any]) -> Scores:
    """Score on the test set, calibrated on validation images; trials use two halves of the validation images."""
    if task.get("score_on", "test") == "test":
        calibration = _held_out(task, images, validation)
        return score(model, images.test_images, images.test_labels, calibration=calibration)
    second = validation[1::2]
    return score(
        model,
        images.train_images[second],
        images.train_labels[second],
        calibration=_held_out(task, images, validation),
    )


def _held_out(task: Task, images: ImageSet, validation: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the images and labels on which choices are made: never those that are scored."""
    chosen = validation if task.get("score_on", "test") == "test" else validation[::2]
    return images.train_images[chosen], images.train_labels[chosen]


def execute(
    task: Task, parents: Mapping[str, Path], out: Path, report: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Do one training and score it.

    Parameters
    ----------
    task : mapping
        See the module's text.
    parents : mapping of str to Path
        Finished cells that this one starts from or learns from.
    out : Path
        An existing directory; gets ``curve.json`` and, of a pretraining or where weights are kept,
        ``weights.safetensors`` (timm's names).
    report : callable, optional
        Called with (steps done, steps in all) now and then.

    Returns
    -------
    dict
        ``scores``, ``n_params``, ``n_params_head``, ``n_classes``, ``n_steps``, ``flops`` (its own), ``teacher_flops``
        (the training of its teachers or of the model that it grew from, and the teachers' forward passes), ``n_guided``
        (steps that heard a teacher), ``wall_s``, ``data_fingerprint``.

    Raises
    ------
    TippingPointError
        The data or a parent cannot be used.
    """
    started = time.perf_counter()
    images, data = _image_set(task), task["data"]
    shape, n_classes = _shape(task["model"], data), len(images.class_names)
    pool, validation = split_validation(images.train_labels, data["validation_fraction"], images.fingerprint)
    chosen = nested_subset(images.train_labels, pool, task["n_images"], images.fingerprint, task["subset_seed"])
    about = describe(task)
    model = _start(task, shape, n_classes, parents)
    guidance = _guidance(task)
    teachers = [load_model(folder) for folder in _teacher_folders(task, parents)]
    record = train(
        model,
        images.train_images[chosen],
        images.train_labels[chosen],
        TrainingSettings.from_dict(task["training"]),
        n_steps=int(about["n_steps"]),
        seed=task["seed"],
        teachers=teachers,
        guidance=guidance,
        passed=passes(teachers, *_held_out(task, images, validation)) if _is_watched(task) else None,
        label_smoothing=task.get("label_smoothing", 0.0),
        report=report,
    )
    scores = _score(model, task, images, validation)
    write_atomic(out / "curve.json", dump_json({"schema_version": CURVE_VERSION, "curve": record.curve}))
    if task["kind"] == "pretrain" or task.get("keep_weights"):
        _save(model, shape, n_classes, out / "weights.safetensors")
    return {
        "scores": scores.to_dict(),
        "n_params": about["n_params"],
        "n_params_head": about["n_params_head"],
        "n_classes": n_classes,
        "n_steps": record.n_steps,
        "flops": about["flops"],
        "teacher_flops": _guidance_flops(task, record.n_guided, record.n_checks)
        + sum(map(_trained_flops, _owed_folders(task, parents))),
        "n_guided": record.n_guided,
        "wall_s": time.perf_counter() - started,
        "data_fingerprint": images.fingerprint,
    }


def _teacher_folders(task: Task, parents: Mapping[str, Path]) -> list[Path]:
    return [parents[f"teacher_{place}"] for place in range(len(_guides(task)))]


def _owed_folders(task: Task, parents: Mapping[str, Path]) -> list[Path]:
    """Return the models whose training is charged: teachers, a model that this one grew from, what else is owed."""
    others = [folder for role, folder in parents.items() if role == "grown_from" or role.startswith("owed_")]
    return _teacher_folders(task, parents) + others


def _trained_flops(folder: Path) -> float:
    """Return what another model's own training cost, its teachers' included."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return float(result["flops"]) + float(result["teacher_flops"])


def _save(model: VisionTransformer, shape: DeiTShape, n_classes: int, path: Path) -> None:
    """Write the weights under timm's names, with what is needed to build the model again."""
    said = {name: value for name, value in vars(shape).items() if value is not False}
    about = dump_json({"schema_version": 1, "shape": said, "n_classes": n_classes})
    try:
        save_file(model.state_dict(), path, metadata={"tippingpoint": about})
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}); free room on the disk.") from error


def time_step(task: Task, n_steps: int = 12) -> float:
    """Return the seconds of one training step of a task, measured here on synthetic images.

    Parameters
    ----------
    task : mapping
        See the module's text; its data need not exist, teachers are freshly initialised.
    n_steps : int, default 12
        Steps timed, after two that are not.

    Returns
    -------
    float
        Median of three timings, in seconds.
    """
    data, n_classes = task["data"], 10
    rng = np.random.default_rng(0)
    n = 256
    images = rng.integers(0, 256, (n, data["image_size"], data["image_size"], data["channels"]), dtype=np.uint8)
    labels = rng.integers(0, n_classes, n)
    settings = TrainingSettings.from_dict(task["training"])
    model = build_deit(_shape(task["model"], data), n_classes, 0)
    teachers = [build_deit(_shape(teacher, data), n_classes, 1) for teacher in _guides(task)]
    options: dict[str, Any] = {"seed": 0, "teachers": teachers, "guidance": _guidance(task), "passed": lambda _: False}
    timings = []
    for steps in (2, n_steps, n_steps, n_steps):
        started = time.perf_counter()
        train(model, images, labels, settings, n_steps=steps, **options)
        timings.append((time.perf_counter() - started) / steps)
    return float(np.median(timings[1:]))
