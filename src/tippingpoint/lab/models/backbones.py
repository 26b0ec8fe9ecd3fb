"""timm's models by name, without their heads, and every fault of a name or of its arguments.

Deliberately not built: a list of our own. Whatever ``timm.create_model`` builds by a plain name will do; names that
fetch something (``hf-hub:...``) will not, for nothing is fetched during a study.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import timm
import torch
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tippingpoint.errors import ConfigError, did_you_mean
from tippingpoint.lab.models.attention import MappedAttention

__all__ = ["REFUSALS", "build_backbone", "check_backbone", "timm_arguments", "told_arguments"]

# What the laboratory says itself, and what would fetch or change more than a shape.
OURS = {
    "attn_layer": "maps are recorded through it",
    "cache_dir": "nothing is fetched",
    "checkpoint_path": "weights are named by the key weights",
    "features_only": "a model here ends in a classifier",
    "img_size": "it is the study's image size",
    "in_chans": "it is the study's number of channels",
    "num_classes": "it is the data's",
    "pretrained": "weights are named by the key weights",
    "pretrained_cfg": "weights are named by the key weights",
    "pretrained_cfg_overlay": "weights are named by the key weights",
}
REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def check_backbone(name: Any, arguments: Any) -> list[str]:
    """Return the faults of a name and of its arguments that show without building it.

    Parameters
    ----------
    name : object
        Should be a name of ``timm.list_models()``, with or without a tag such as ``resnet18.a1_in1k``.
    arguments : object
        Should be a mapping: keyword arguments of the model, as JSON.
    """
    faults = []
    if not isinstance(name, str) or not timm.is_model(name):
        hint = did_you_mean(str(name).partition(".")[0], timm.list_models())
        faults.append(f"model: timm {timm.__version__} has no model '{name}'.{hint}")
    if not isinstance(arguments, Mapping):
        return [*faults, f"model: the arguments of {name} are {arguments!r}; give a mapping such as {{depth: 4}}."]
    faults += [
        f"model: the argument {word} of {name} is not yours to set ({OURS[word]}); remove it."
        for word in arguments
        if word in OURS
    ]
    return [*faults, *_number_faults(name, arguments)]


def _number_faults(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return the arguments that are no numbers to build with, or that would first show in a training."""
    faults = []
    for word, value in arguments.items():
        is_rate = "drop" in word and word.endswith("_rate") and isinstance(value, (int, float))
        if not _is_finite(value):
            faults.append(f"model: the argument {word} of {name} is {value!r}; its numbers must be finite.")
        elif is_rate and not 0 <= value <= 1:
            faults.append(f"model: the argument {word} of {name} is {value}; it must lie in [0, 1].")
    return faults


def _is_finite(value: Any) -> bool:
    """Return whether a value of JSON holds neither infinity nor NaN, which no key of a cell could name."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def build_backbone(name: str, arguments: Mapping[str, Any], image_size: int, channels: int) -> nn.Module:
    """Build a timm model without a head, on torch's present device, from torch's global generator.

    Parameters
    ----------
    name : str
        See `check_backbone`.
    arguments : mapping
        Keyword arguments of the model.
    image_size, channels : int
        Side and colour channels of an image; the side is said to models that ask for it.

    Raises
    ------
    ConfigError
        timm cannot build it; says what timm said.
    """
    own = _own_arguments(name, json.dumps(arguments, sort_keys=True), image_size, channels)
    return _create(name, {**arguments, **own}, channels)


def timm_arguments(name: str, arguments: Mapping[str, Any], image_size: int, channels: int) -> dict[str, Any]:
    """Return which of our own arguments anybody has to give to have the same weights: an image's side, if it asks."""
    own = _own_arguments(name, json.dumps(arguments, sort_keys=True), image_size, channels)
    return {word: value for word, value in own.items() if word == "img_size"}


@lru_cache(maxsize=256)
def _own_arguments(name: str, text: str, image_size: int, channels: int) -> dict[str, Any]:
    """Return which of our own arguments a model takes: its image's side, and attention that can show its maps."""
    own: dict[str, Any] = {"img_size": image_size}
    arguments = json.loads(text)
    with torch.device("meta"):
        try:
            model = _create(name, {**arguments, **own}, channels)
        except ConfigError as error:
            if "img_size" not in str(error):
                raise
            own = {}
            model = _create(name, arguments, channels)
    # Only where timm's own plain attention would stand: other kinds compute something else.
    if isinstance(model, VisionTransformer) and all(
        type(getattr(block, "attn", None)) is Attention for block in model.blocks
    ):
        own["attn_layer"] = MappedAttention
    return own


def _create(name: str, arguments: Mapping[str, Any], channels: int) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels, **arguments)
    except REFUSALS as error:
        raise ConfigError(_refusal(name, arguments, error)) from error
    return model


def told_arguments(arguments: Mapping[str, Any]) -> str:
    """Return the arguments that a user gave, as a message says them behind a model's name."""
    given = ", ".join(f"{word}={value!r}" for word, value in arguments.items() if word not in OURS)
    return f" with the arguments {given}" if given else ""


def _refusal(name: str, arguments: Mapping[str, Any], error: Exception) -> str:
    """Return one sentence for what timm said; an argument that it does not know gets the nearest that it does."""
    fixed = re.search(r"multiple values for keyword argument '(\w+)'", str(error))
    if fixed is not None and fixed[1] in arguments:
        return f"model: the name {name} settles the argument {fixed[1]}; remove it, or choose another name."
    unknown = re.search(r"unexpected keyword argument\S*:? \[?'(\w+)'", str(error))
    if unknown is not None and unknown[1] in arguments:
        hint = did_you_mean(unknown[1], _known(name))
        return f"model: {name} does not take the argument {unknown[1]}; remove it.{hint}"
    said = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0].rstrip(".")
    return f"model: timm cannot build {name}{told_arguments(arguments)} ({said}); change the name or the arguments."


def _known(name: str) -> list[str]:
    """Return the arguments that a model's class names; empty where it cannot be asked."""
    try:
        with torch.device("meta"):
            kind = type(timm.create_model(name, pretrained=False))
    except REFUSALS:
        return []
    return [word for word in inspect.signature(kind.__init__).parameters if word not in {"self", "kwargs", *OURS}]
