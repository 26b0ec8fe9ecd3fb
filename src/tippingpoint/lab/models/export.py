"""A trained model for everybody else: weights under timm's names, and the call of timm that builds the model for them.

Beside ``NAME.safetensors`` lies ``NAME.json`` with ``create_model``: name and keyword arguments, so that

>>> about = json.load(open("NAME.json"))                                                         # doctest: +SKIP
>>> model = timm.create_model(about["create_model"]["name"], **about["create_model"]["kwargs"])  # doctest: +SKIP
>>> model.load_state_dict(load_file("NAME.safetensors"))                                         # doctest: +SKIP

It expects pixels (x - mean) / std with x in [0, 1] and the ``mean`` and ``std`` that the file says. Nothing of this
package is needed to use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save

from tippingpoint.errors import ConfigError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.lab.models.backbones import REFUSALS, timm_arguments
from tippingpoint.lab.models.deit import DeiTShape
from tippingpoint.lab.models.files import StoredModel, load_model, read_about

__all__ = ["EXPORT_VERSION", "export_model", "timm_call"]

EXPORT_VERSION = 1  # of the JSON file
# Any of timm's entries of the class will do: all that makes a shape is said.
PLAIN, WITH_TOKEN = "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"


def timm_call(stored: StoredModel) -> tuple[str, dict[str, Any]]:
    """Return name and keyword arguments of the ``timm.create_model`` that builds a model of ours.

    Parameters
    ----------
    stored : StoredModel
        What the file of weights says, see `read_about`.
    """
    ours = {"num_classes": stored.n_classes, "in_chans": stored.channels}
    spec = {word: value for word, value in stored.spec.items() if word != "weights"}
    if "timm" in spec:
        given = dict(spec.get("arguments", {}))
        return spec["timm"], {
            **given,
            **timm_arguments(spec["timm"], given, stored.image_size, stored.channels),
            **ours,
        }
    shape = DeiTShape(**spec, image_size=stored.image_size, channels=stored.channels)
    sizes = {"patch_size": shape.patch_size, "embed_dim": shape.embed_dim, "depth": shape.depth}
    name = WITH_TOKEN if shape.distillation_token else PLAIN
    return name, {"img_size": shape.image_size, **sizes, "num_heads": shape.heads, **ours}


def export_model(folder: Path, path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write a finished cell's model as a pair of files that timm alone can use.

    Parameters
    ----------
    folder : Path
        The cell.
    path : Path
        The ``.safetensors`` file to make; the ``.json`` goes beside it.
    about : mapping
        What else the JSON shall say of the model.

    Returns
    -------
    dict
        What the JSON says.

    Raises
    ------
    StoreError
        The cell's weights cannot be read.
    ConfigError
        The timm that is installed builds another model by that call.
    EnvironmentFault
        The files cannot be written.
    """
    stored, model = read_about(folder), load_model(folder)
    name, kwargs = timm_call(stored)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    _check(name, kwargs, {key: tuple(value.shape) for key, value in state.items()})
    scale = stored.normalisation or {"mean": [0.5] * stored.channels, "std": [0.5] * stored.channels}
    words = ", ".join([repr(name), *(f"{word}={value!r}" for word, value in kwargs.items())])
    told = {
        "schema_version": EXPORT_VERSION,
        "create_model": {"name": name, "kwargs": kwargs},
        "python": f"timm.create_model({words})",
        "timm_version": timm.__version__,
        "input": {"size": [stored.channels, stored.image_size, stored.image_size], **scale},
        "n_classes": stored.n_classes,
        "class_names": stored.class_names,
        **about,
    }
    # One key alone: safetensors writes several in any order. As another study's weights the file says its scale.
    scaled = dump_json({"schema_version": EXPORT_VERSION, "normalisation": scale})
    write_atomic(path, save(state, metadata={"tippingpoint": scaled}))
    write_atomic(path.with_suffix(".json"), dump_json(told, indent=1) + "\n")
    return told


def _check(name: str, kwargs: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a call that does not build a model for these weights: nobody should find out later."""
    try:
        with torch.device("meta"):
            built = timm.create_model(name, pretrained=False, **kwargs).state_dict()
    except REFUSALS as error:
        raise ConfigError(f"export: timm {timm.__version__} cannot build {name} ({error}); install another.") from error
    if {key: tuple(value.shape) for key, value in built.items()} != shapes:
        raise ConfigError(
            f"export: timm {timm.__version__} builds another {name} than the one that was trained; install the "
            "version that the study ran with."
        )
