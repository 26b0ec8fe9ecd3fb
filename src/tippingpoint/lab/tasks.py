"""One training described by plain JSON: the only door between a study and the laboratory.

A *task* is what a cell hands over. Its keys:

=====================  ==============================================================================================
``kind``               ``pretrain``, ``finetune``; with public weights also ``features`` (frozen features of a whole
                       set, which leave no row) and ``probe`` (a linear classifier on the features of the subset)
``model``              a DeiT ``{"heads", "head_dim", "depth", "patch_size"}`` and optionally ``distillation_token``, or
                       ``{"timm": NAME}`` and optionally ``arguments`` and ``weights`` (see ``lab.models.building``)
``data``               ``{"name", "image_size", "channels", "validation_fraction"}`` and optionally ``data_dir``
``n_images``           images of the subset (a count)
``subset_seed``        which images: subsets of one seed are nested
``seed``               initial weights, order of batches, augmentation
``training``           see ``TrainingSettings``
``score_on``           ``test``, or ``validation`` for trials (then one half calibrates, the other is scored)
``guidance``           see ``Guidance``; null without a teacher
``teachers``           list of ``model``, in the order of the parents ``teacher_0``, ``teacher_1``, …
``grown_from``         ``model`` of the smaller one whose weights are grown into this one; absent otherwise
``keep_weights``       true where a fine-tuning's weights are kept, because others learn from it; absent otherwise
``label_smoothing``    0 but for the control
``augmentation``       see ``Augmentation``; absent where images stay as they are
``precision``          ``bfloat16``; absent in float32
``compile``            true where torch's compiler writes the student's passes; absent otherwise
``extra_flops``        FLOPs spent on more steps of the same schedule: the control that is given the teacher's compute
=====================  ==============================================================================================

Parents are directories with ``weights.safetensors`` and ``result.json``: ``init`` of a fine-tuning (absent: from
scratch), ``teacher_i`` of a guided training (of a fine-tuning: fine-tuned too), ``grown_from`` of a pretraining that
starts from a smaller model, ``owed_i`` whose training is charged and nothing else, ``features`` of a probe. Features
are told ``kind``, ``model`` and ``data`` alone, a probe ``n_images``, ``subset_seed`` and ``score_on`` as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.lab import features, probe
from tippingpoint.lab.costs import (
    augmentation_of,
    describe,
    guidance_flops,
    guidance_of,
    guides_of,
    is_watched,
    keeps_targets_of,
    time_step,
    time_steps,
)
from tippingpoint.lab.data import ImageSet, load_image_set, nested_subset, split_validation
from tippingpoint.lab.devices import device_memory, prepare_worker, training_device
from tippingpoint.lab.models import build_model, grow, head_names, load_model, read_about, save_model, without_weights
from tippingpoint.lab.models.pixels import normalisation_of, set_normalisation
from tippingpoint.lab.training.batches import ImagesView
from tippingpoint.lab.training.checkpoints import Checkpoints, checkpoint_seconds
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.schedule import TrainingSettings
from tippingpoint.lab.training.score import Scores, passes, score

__all__ = ["describe", "execute", "load_model", "prepare_worker", "time_step", "time_steps"]

Task = Mapping[str, Any]
CURVE_VERSION = 1


def _image(task: Task) -> dict[str, int]:
    """Return the side and the channels of a task's images."""
    return {name: task["data"][name] for name in ("image_size", "channels")}


def _image_set(task: Task) -> ImageSet:
    return load_image_set(task["data"]["name"], **_image(task), data_dir=task["data"].get("data_dir"))


def _start(task: Task, n_classes: int, parents: Mapping[str, Path]) -> nn.Module:
    """Return the model to train: fresh, of public weights, grown from a smaller one, or a trunk under a fresh head."""
    spec = without_weights(task["model"]) if "init" in parents else task["model"]
    model = build_model(spec, **_image(task), n_classes=n_classes, seed=task["seed"])
    if task.get("grown_from"):
        grow(load_model(parents["grown_from"]), model)
    if "init" in parents:
        _continue(model, parents["init"])
    return model


def _continue(model: nn.Module, folder: Path) -> None:
    """Write a pretrained trunk into a model, in place; its head stays fresh."""
    trained, head = load_model(folder), head_names(model)
    trunk = {name: value for name, value in trained.state_dict().items() if name not in head}
    own = model.state_dict()
    if {name: value.shape for name, value in own.items() if name not in head} != {
        name: value.shape for name, value in trunk.items()
    }:
        raise ConfigError(f"{folder}: its weights are of another model than the task's; give both the same model.")
    model.load_state_dict({**own, **trunk})
    set_normalisation(model, normalisation_of(trained))


def _teachers(task: Task, n_classes: int, parents: Mapping[str, Path]) -> list[nn.Module]:
    """Return the trained teachers; each must tell apart what the student shall."""
    folders = _teacher_folders(task, parents)
    faults = [
        f"{folder}: the teacher knows {found} classes, the student's images have {n_classes}; train the teacher on "
        "the same classes."
        for folder in folders
        if (found := read_about(folder).n_classes) != n_classes
    ]
    if faults:
        raise ConfigError(faults)
    return [load_model(folder) for folder in folders]


def _score(model: nn.Module, task: Task, images: ImageSet, validation: np.ndarray[Any, Any]) -> Scores:
    """Score on the test set, calibrated on validation images; trials use two halves of the validation images."""
    if task.get("score_on", "test") == "test":
        calibration = _held_out(task, images, validation)
        return score(model, images.test_images, images.test_labels, calibration=calibration, device=training_device())
    second = validation[1::2]
    return score(
        model,
        ImagesView(images.train_images, second),
        images.train_labels[second],
        calibration=_held_out(task, images, validation),
        device=training_device(),
    )


def _held_out(task: Task, images: ImageSet, validation: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the images and labels on which choices are made: never those that are scored."""
    chosen = validation if task.get("score_on", "test") == "test" else validation[::2]
    return ImagesView(images.train_images, chosen), images.train_labels[chosen]


def execute(
    task: Task,
    parents: Mapping[str, Path],
    out: Path,
    report: Callable[..., None] | None = None,
    checkpoints: Path | None = None,
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
        Called with (steps done, steps in all) now and then, and thirdly the loss curve so far where there is one.
    checkpoints : Path, optional
        Folder of this training alone, in one that exists: the training goes on from what lies there, and is written
        there now and then. The caller removes it.

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
    with device_memory():
        if task["kind"] == "features":
            return features.execute(task, out, report)
        if task["kind"] == "probe":
            return probe.execute(task, parents, report)
        return _train(task, parents, out, report, checkpoints)


def _train(
    task: Task,
    parents: Mapping[str, Path],
    out: Path,
    report: Callable[..., None] | None,
    checkpoints: Path | None,
) -> dict[str, Any]:
    """Do what `execute` says of the kinds that train a model; all that it holds on a device goes with this call."""
    started = time.perf_counter()
    images, data = _image_set(task), task["data"]
    about, n_classes = describe(task), len(images.class_names)
    pool, validation = split_validation(images.train_labels, data["validation_fraction"], images.fingerprint)
    chosen = nested_subset(images.train_labels, pool, task["n_images"], images.fingerprint, task["subset_seed"])
    teachers = _teachers(task, n_classes, parents)
    model, device = _start(task, n_classes, parents), training_device()
    saved = None
    if checkpoints is not None:
        # Which of several GPUs it was on is no matter: the next worker to take the cell may have another one.
        saved = Checkpoints(checkpoints, dump_json([task, device.type]), checkpoint_seconds())
    record = train(
        model,
        ImagesView(images.train_images, chosen),
        images.train_labels[chosen],
        TrainingSettings.from_dict(task["training"]),
        n_steps=int(about["n_steps"]),
        seed=task["seed"],
        teachers=teachers,
        guidance=guidance_of(task),
        passed=passes(teachers, *_held_out(task, images, validation), device) if is_watched(task) else None,
        label_smoothing=task.get("label_smoothing", 0.0),
        augmentation=augmentation_of(task),
        precision=task.get("precision", "float32"),
        compiled=task.get("compile", False),
        keep_targets=keeps_targets_of(task, int(about["n_steps"]), n_classes),
        device=device,
        checkpoints=saved,
        report=report,
    )
    scores = _score(model, task, images, validation)
    write_atomic(out / "curve.json", dump_json({"schema_version": CURVE_VERSION, "curve": record.curve}))
    if task["kind"] == "pretrain" or task.get("keep_weights"):
        save_model(model, out, task["model"], **_image(task), n_classes=n_classes, class_names=images.class_names)
    return {
        "scores": scores.to_dict(),
        "n_params": about["n_params"],
        "n_params_head": about["n_params_head"],
        "n_classes": n_classes,
        "n_steps": record.n_steps,
        "flops": about["flops"],
        "teacher_flops": guidance_flops(task, record.n_taught, record.n_checks)
        + sum(map(_trained_flops, _owed_folders(task, parents))),
        "n_guided": record.n_guided,
        "wall_s": record.seconds + time.perf_counter() - started,
        "data_fingerprint": images.fingerprint,
    }


def _teacher_folders(task: Task, parents: Mapping[str, Path]) -> list[Path]:
    return [parents[f"teacher_{place}"] for place in range(len(guides_of(task)))]


def _owed_folders(task: Task, parents: Mapping[str, Path]) -> list[Path]:
    """Return the models whose training is charged: teachers, a model that this one grew from, what else is owed."""
    others = [folder for role, folder in parents.items() if role == "grown_from" or role.startswith("owed_")]
    return _teacher_folders(task, parents) + others


def _trained_flops(folder: Path) -> float:
    """Return what another model's own training cost, its teachers' included."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return float(result["flops"]) + float(result["teacher_flops"])
