"""Frozen features: a public model without its head, run once over all images of a set.

What the probes of a study share (see ``lab.probe``): one file of float32 rows, training and test images in the order of
the set. The model sees each image once, in the middle of nothing: no augmentation, evaluation mode, float32.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from tippingpoint.errors import ConfigError, StoreError
from tippingpoint.lab.data import expect_image_set, load_image_set
from tippingpoint.lab.devices import training_device
from tippingpoint.lab.models import build_model, measure_model, without_weights
from tippingpoint.lab.tensor_files import save_tensors
from tippingpoint.lab.training.batches import as_batch

__all__ = ["FEATURES", "Features", "describe", "execute", "extract", "read_features", "time_step"]

FEATURES = "features.safetensors"
FEATURES_VERSION = 1  # of what stands in the file's metadata
BATCH = 100
Task = Mapping[str, Any]
Report = Callable[[int, int], None]


class Features(NamedTuple):
    """The features of a set.

    Attributes
    ----------
    train, test : torch.Tensor
        (n_train, D) and (n_test, D), float32, in the order of the set.
    fingerprint : str
        Of the set.
    """

    train: torch.Tensor
    test: torch.Tensor
    fingerprint: str


def describe(task: Task) -> dict[str, float]:
    """Return what the features of a task cost; nothing is computed.

    Parameters
    ----------
    task : mapping
        Of kind ``features``, see ``tippingpoint.lab.tasks``.

    Returns
    -------
    dict
        ``n_params`` (of the trunk), ``n_params_head`` (0), ``n_steps`` (batches), ``flops`` (one forward pass for every
        image) and ``guidance_flops`` (0).

    Raises
    ------
    ConfigError
        The model cannot be built for these images.
    """
    data = task["data"]
    facts = expect_image_set(data["name"], data.get("data_dir"))
    n_params, _, forward = measure_model(task["model"], data["image_size"], data["channels"], facts["n_classes"])
    n_images = facts["n_train"] + facts["n_test"]
    return {
        "n_params": n_params,
        "n_params_head": 0,
        "n_steps": -(-facts["n_train"] // BATCH) - (-facts["n_test"] // BATCH),
        "flops": float(forward * n_images),
        "guidance_flops": 0.0,
    }


def execute(task: Task, out: Path, report: Report | None = None) -> dict[str, Any]:
    """Compute the features of a whole set and write them.

    Parameters
    ----------
    task : mapping
        Of kind ``features``, see ``tippingpoint.lab.tasks``.
    out : Path
        An existing directory; gets ``features.safetensors`` with the tensors ``train`` and ``test``.
    report : callable, optional
        Called with (batches done, batches in all).

    Returns
    -------
    dict
        As ``lab.tasks.execute`` returns it, without ``scores``, and with ``n_features``.

    Raises
    ------
    TippingPointError
        Data or weights cannot be used, or the file cannot be written.
    """
    started = time.perf_counter()
    data, about = task["data"], describe(task)
    shape = {"image_size": data["image_size"], "channels": data["channels"]}
    images = load_image_set(data["name"], **shape, data_dir=data.get("data_dir"))
    model = _trunk(task["model"], shape)
    total, done = int(about["n_steps"]), 0

    def stepped() -> None:
        nonlocal done
        done += 1
        if report is not None:
            report(done, total)

    parts = {
        "train": extract(model, images.train_images, stepped),
        "test": extract(model, images.test_images, stepped),
    }
    _save(parts, images.fingerprint, out / FEATURES)
    return {
        "n_params": about["n_params"],
        "n_params_head": 0,
        "n_classes": len(images.class_names),
        "n_features": parts["train"].shape[1],
        "n_steps": total,
        "flops": about["flops"],
        "teacher_flops": 0.0,
        "n_guided": 0,
        "wall_s": time.perf_counter() - started,
        "data_fingerprint": images.fingerprint,
    }


def _trunk(spec: Mapping[str, Any], shape: Mapping[str, int]) -> nn.Module:
    """Return a model that gives features: its head is gone, what pools its tokens or its map has stayed."""
    model = build_model(spec, **shape, n_classes=2, seed=0)
    model.reset_classifier(0)  # type: ignore[operator]
    return model.eval().to(training_device())


def extract(model: nn.Module, images: npt.NDArray[np.uint8], stepped: Callable[[], None] | None = None) -> torch.Tensor:
    """Return the features of images.

    Parameters
    ----------
    model : nn.Module
        Without a head; in evaluation mode, on any device.
    images : ndarray of uint8, shape (n, height, width, channels)
        In memory or mapped from disk.
    stepped : callable, optional
        Called after every batch.

    Returns
    -------
    torch.Tensor
        (n, D), float32, on the CPU.

    Raises
    ------
    ConfigError
        The model gives something else than a vector for an image, or numbers that are not finite.
    """
    parts, device = [], next(model.parameters(), torch.empty(0)).device
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            found = model(as_batch(images[first : first + BATCH], device))
            if not isinstance(found, torch.Tensor) or found.ndim != 2:
                raise ConfigError("features: the model does not give one vector for an image; choose another model.")
            if not bool(found.isfinite().all()):
                raise ConfigError("features: the model gives numbers that are not finite; are these its weights?")
            parts.append(found.float().cpu())
            if stepped is not None:
                stepped()
    return torch.cat(parts)


def _save(parts: Mapping[str, torch.Tensor], fingerprint: str, path: Path) -> None:
    about = {"schema_version": FEATURES_VERSION, "data_fingerprint": fingerprint}
    try:
        save_tensors(parts, path, about)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}); free room on the disk.") from error


def read_features(folder: Path) -> Features:
    """Read the features that a cell has left.

    Parameters
    ----------
    folder : Path
        A finished cell of kind ``features``.

    Raises
    ------
    StoreError
        The file is missing or is not one of ours.
    """
    path = folder / FEATURES
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads(stream.metadata()["tippingpoint"])
            if about["schema_version"] != FEATURES_VERSION:
                raise ValueError(f"it is of version {about['schema_version']}")
            return Features(
                stream.get_tensor("train"), stream.get_tensor("test"), fingerprint=about["data_fingerprint"]
            )
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot be read as features ({error}); remove the cell and run it again.") from error


def time_step(task: Task) -> float:
    """Return the seconds of one batch, measured here on synthetic images and fresh weights.

    Parameters
    ----------
    task : mapping
        Of kind ``features``; its data and weights need not exist.

    Returns
    -------
    float
        Median of three timings, after one that is not counted, in seconds.
    """
    data = task["data"]
    shape = {"image_size": data["image_size"], "channels": data["channels"]}
    images = np.zeros((BATCH, data["image_size"], data["image_size"], data["channels"]), dtype=np.uint8)
    model = _trunk(without_weights(task["model"]), shape)
    timings = []
    for _ in range(4):
        started = time.perf_counter()
        extract(model, images)
        timings.append(time.perf_counter() - started)
    return float(np.median(timings[1:]))
