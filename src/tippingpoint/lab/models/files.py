"""A trained model in a file: ``weights.safetensors`` with timm's names, and the words to build it again.

Version 1 of those words knew our DeiTs alone (their whole shape); version 2 says what `build_model` was told. Files of
both are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from tippingpoint.errors import ConfigError, StoreError
from tippingpoint.lab.models.building import build_model, without_weights
from tippingpoint.lab.models.pixels import normalisation_of, set_normalisation
from tippingpoint.lab.tensor_files import save_tensors

__all__ = ["WEIGHTS", "StoredModel", "load_model", "read_about", "save_model"]

WEIGHTS = "weights.safetensors"
VERSION = 2
UNREADABLE = (OSError, KeyError, TypeError, ValueError, RuntimeError, AttributeError, SafetensorError)


@dataclass(frozen=True)
class StoredModel:
    """What a file says of the model whose weights it holds.

    Attributes
    ----------
    spec : dict
        Its words, see `build_model`; of public weights that it started from the hash alone.
    image_size, channels, n_classes : int
        Of the images that it was trained on.
    normalisation : dict or None
        ``mean`` and ``std`` of pixels in [0, 1] that it expects, or None where it takes pixels in [-1, 1].
    class_names : list of str or None
        What its outputs stand for, in their order; None in files that did not say it yet.
    """

    spec: dict[str, Any]
    image_size: int
    channels: int
    n_classes: int
    normalisation: dict[str, list[float]] | None = None
    class_names: list[str] | None = None


def save_model(
    model: nn.Module,
    folder: Path,
    spec: Mapping[str, Any],
    *,
    image_size: int,
    channels: int,
    n_classes: int,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Write a model's weights, running statistics included, with what is needed to build it again.

    Parameters
    ----------
    model : nn.Module
        Of `build_model`.
    folder : Path
        Gets ``weights.safetensors``.
    spec, image_size, channels, n_classes
        What `build_model` was told.
    class_names : sequence of str, optional
        What its outputs stand for, in their order.

    Raises
    ------
    StoreError
        The disk refuses.
    """
    path = folder / WEIGHTS
    said = without_weights(spec)
    if spec.get("weights"):
        said["weights"] = {"sha256": spec["weights"]["sha256"]}
    about = {"schema_version": VERSION, "model": said, "image_size": image_size, "channels": channels}
    about |= {"n_classes": n_classes, "normalisation": normalisation_of(model)}
    if class_names is not None:
        about["class_names"] = list(class_names)
    # Copies: weights may be views of one buffer, on another device, or in another order of memory.
    state = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    try:
        save_tensors(state, path, about)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}); free room on the disk.") from error
    return path


def read_about(folder: Path) -> StoredModel:
    """Return what a finished cell's weights are the weights of.

    Raises
    ------
    StoreError
        The file is missing or is not one of ours.
    """
    try:
        return _about(folder / WEIGHTS)
    except UNREADABLE as error:
        raise _unreadable(folder / WEIGHTS, error) from error


def _about(path: Path) -> StoredModel:
    with safe_open(path, framework="pt") as stream:
        about = json.loads(stream.metadata()["tippingpoint"])
    if about["schema_version"] == 1:
        shape = dict(about["shape"])
        return StoredModel(
            image_size=shape.pop("image_size"), channels=shape.pop("channels"), n_classes=about["n_classes"], spec=shape
        )
    if about["schema_version"] != VERSION:
        raise ValueError(f"it was written by a later version of this package: schema {about['schema_version']}")
    later = (about.get("normalisation"), about.get("class_names"))
    return StoredModel(about["model"], about["image_size"], about["channels"], about["n_classes"], *later)


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: cannot be read as a model ({error}); remove the cell and run it again.")


def load_model(folder: Path) -> nn.Module:
    """Build a model from the ``weights.safetensors`` that a training left.

    Parameters
    ----------
    folder : Path
        A finished cell.

    Returns
    -------
    nn.Module
        With its classification head, in evaluation mode.

    Raises
    ------
    StoreError
        The file is missing or is not one of ours.
    """
    path = folder / WEIGHTS
    try:
        about = _about(path)
        model = build_model(
            without_weights(about.spec),
            image_size=about.image_size,
            channels=about.channels,
            n_classes=about.n_classes,
            seed=0,
        )
        model.load_state_dict(load_file(path))
        set_normalisation(model, about.normalisation)
    except (ConfigError, *UNREADABLE) as error:
        raise _unreadable(path, error) from error
    return model.eval()
