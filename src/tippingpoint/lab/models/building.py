"""The one door to models: from the plain words of a task to a model with its initial weights.

A model is said in one of two ways::

    {"heads": 2, "head_dim": 8, "depth": 4, "patch_size": 7}            a DeiT, optionally with "distillation_token"
    {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}}    any model of timm, "arguments" as its own

Either may name ``"weights": {"path", "sha256"}``: public weights that its trunk starts from. Side and channels of an
image and the number of classes come from the study. Initial weights are a function of (words, seed) alone: the trunk
does not depend on the number of classes, so that one pretraining serves many downstream sets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from tippingpoint.errors import ConfigError, did_you_mean
from tippingpoint.lab.models.backbones import REFUSALS, build_backbone, check_backbone, told_arguments
from tippingpoint.lab.models.deit import DeiTShape, build_deit
from tippingpoint.lab.models.linear import quicken
from tippingpoint.lab.models.maps import recording
from tippingpoint.lab.models.measuring import count_parameters, forward_flops
from tippingpoint.lab.seeds import derive_seed

__all__ = ["ModelFacts", "build_model", "check_model", "inspect_model", "measure_model", "without_weights"]

SHAPE = ("heads", "head_dim", "depth", "patch_size", "distillation_token")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model without any weights.

    Attributes
    ----------
    n_params, n_params_head : int
        Parameters without the head, and of the head.
    forward_flops : int
        Of one image.
    map_kind : {"attention", "spatial"} or None
        What guidance could compare (see `tippingpoint.lab.models.maps`).
    map_sizes : tuple of int
        For each layer or stage the tokens N, or the side H = W of its map.
    has_batch_norm : bool
        Whether an image's output depends, in training, on the other images of its batch.
    drops_tokens : bool
        Whether attention sees fewer tokens in training (timm's ``patch_drop_rate``).
    """

    n_params: int
    n_params_head: int
    forward_flops: int
    map_kind: str | None
    map_sizes: tuple[int, ...]
    has_batch_norm: bool
    drops_tokens: bool


def without_weights(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's words without its public weights: what its shape is."""
    return {word: value for word, value in spec.items() if word != "weights"}


def build_model(spec: Mapping[str, Any], *, image_size: int, channels: int, n_classes: int, seed: int) -> nn.Module:
    """Build a model with its initial weights.

    Parameters
    ----------
    spec : mapping
        See the module's text.
    image_size, channels : int
        Side and colour channels of an image.
    n_classes : int
        Outputs of the classification head, which is fresh even where the trunk has public weights.
    seed : int
        Of the initial weights; torch's global generator is left as it was.

    Returns
    -------
    nn.Module
        In training mode, on the CPU, float32; weights have timm's names.

    Raises
    ------
    ConfigError
        Its words are wrong, or the image does not fit it.
    """
    faults = _faults(spec)
    if faults:
        raise ConfigError(faults)
    if "timm" in spec:
        model = _build_timm(spec, image_size, channels, n_classes, seed)
    else:
        shape = DeiTShape(**without_weights(spec), image_size=image_size, channels=channels)
        model = build_deit(shape, n_classes, seed)
    if spec.get("weights"):
        from tippingpoint.lab.models.weights import load_weights

        load_weights(model, spec["weights"]["path"], spec["weights"].get("sha256"))
    return model


def _build_timm(spec: Mapping[str, Any], image_size: int, channels: int, n_classes: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("weights", seed))
        model = build_backbone(spec["timm"], spec.get("arguments", {}), image_size, channels)
        if not hasattr(model, "reset_classifier"):
            raise ConfigError(f"model: {spec['timm']} ends in no classifier (it is an encoder); choose another model.")
        # The head is added last and by its own seed, so that the trunk is the same whatever the number of classes.
        torch.manual_seed(derive_seed("head", seed))
        model.reset_classifier(n_classes)  # type: ignore[operator]
    return quicken(model).train()


def _faults(spec: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a model's words as words."""
    known = ("timm", "arguments", "weights") if "timm" in spec else (*SHAPE, "weights")
    faults = [
        f"model: there is no setting '{word}' here; remove it.{did_you_mean(word, known)}"
        for word in spec
        if word not in known
    ]
    if "timm" in spec:
        return [*faults, *check_backbone(spec["timm"], spec.get("arguments", {}))]
    if "heads" not in spec:
        faults.append("model: say its number of heads, or the name of a timm model (timm: resnet18).")
    return faults


def inspect_model(spec: Mapping[str, Any], *, image_size: int, channels: int, n_classes: int = 2) -> ModelFacts:
    """Return what is known of a model without building any weights; asked twice, it is known.

    Parameters
    ----------
    spec, image_size, channels, n_classes
        See `build_model`.

    Raises
    ------
    ConfigError
        Its words are wrong, or the image does not fit it.
    """
    text = json.dumps(without_weights(spec), sort_keys=True)
    return _inspect(text, image_size, channels, n_classes)


@lru_cache(maxsize=256)
def _inspect(text: str, image_size: int, channels: int, n_classes: int) -> ModelFacts:
    spec = json.loads(text)
    with torch.device("meta"):  # shapes are all that is needed
        model = build_model(spec, image_size=image_size, channels=channels, n_classes=n_classes, seed=0)
    _check_patches(spec, model, image_size)
    try:
        _check_output(spec, model, torch.zeros(2, channels, image_size, image_size, device="meta"), n_classes)
        n_params, n_head = count_parameters(model)
        flops = forward_flops(model, image_size, channels)
    except ConfigError:
        raise
    except REFUSALS as error:
        said = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0].rstrip(".")
        raise ConfigError(
            f"model: {spec.get('timm', 'the model')}{told_arguments(spec.get('arguments', {}))} cannot take images of "
            f"{image_size} x {image_size} pixels with {channels} channels ({said}); choose another image size, other "
            "arguments or another model."
        ) from error
    images = torch.zeros(2, channels, image_size, image_size, device="meta")
    kind, sizes = _maps_of(model.eval(), images)
    drops = kind == "attention" and _maps_of(model.train(), images)[1] != sizes
    norm = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules())
    return ModelFacts(n_params, n_head, flops, kind, sizes, norm, drops)


def _check_patches(spec: Mapping[str, Any], model: nn.Module, image_size: int) -> None:
    """Refuse patches that do not tile the image: timm's own would leave out the image's last rows."""
    reads = getattr(getattr(model, "patch_embed", None), "proj", None)
    # Patches that overlap are none: such a convolution pads the image.
    side = reads.kernel_size[0] if isinstance(reads, nn.Conv2d) and reads.stride == reads.kernel_size else 1
    if image_size % side:
        raise ConfigError(
            f"model: the patches of {spec.get('timm', 'the model')}, {side} pixels wide, do not tile an image of "
            f"{image_size}; choose an image size that they divide."
        )


def _check_output(spec: Mapping[str, Any], model: nn.Module, images: torch.Tensor, n_classes: int) -> None:
    """Run a model once as in training: it must give one row of logits for each image."""
    with torch.no_grad():
        logits = model.train()(images)
    if not isinstance(logits, torch.Tensor) or logits.shape != (len(images), n_classes):
        raise ConfigError(
            f"model: {spec.get('timm', 'the model')} does not give one row of logits for an image "
            "(it may have several heads); choose a plain classifier."
        )


def _maps_of(model: nn.Module, images: torch.Tensor) -> tuple[str | None, tuple[int, ...]]:
    """Return the kind of a model's maps and their sizes; (None, ()) where its stages give none."""
    try:
        with torch.no_grad(), recording(model) as recorder:
            model(images)
            kind, sizes = recorder.kind, [one.shape[-1] for one in recorder.maps()]
    except ConfigError:
        return None, ()
    if kind == "spatial":
        sizes = [round(positions**0.5) for positions in sizes]
    return (kind, tuple(sizes)) if sizes else (None, ())


def check_model(spec: Mapping[str, Any], image_size: int, channels: int, *, batch_size: int | None = None) -> None:
    """Raise where a model cannot be trained as asked, or a file of weights that its words name does not fit it.

    Parameters
    ----------
    spec, image_size, channels
        See `build_model`.
    batch_size : int, optional
        Images of a training batch: batch normalisation needs two.

    Raises
    ------
    ConfigError
        With every fault that could be found.
    """
    facts = inspect_model(spec, image_size=image_size, channels=channels)
    if facts.has_batch_norm and batch_size is not None and batch_size < 2:
        raise ConfigError(
            f"model: {spec.get('timm', 'the model')} normalises over the images of a batch, and a batch_size of "
            f"{batch_size} has none to normalise over; set batch_size to at least 2."
        )
    if spec.get("weights"):
        _check_weights(json.dumps(dict(spec), sort_keys=True), image_size, channels)


@lru_cache(maxsize=256)
def _check_weights(text: str, image_size: int, channels: int) -> None:
    """Raise where a file of weights is not of its model; a file that fits is read once."""
    from tippingpoint.lab.models.weights import fitting_weights

    spec = json.loads(text)
    words = {"image_size": image_size, "channels": channels, "n_classes": 2, "seed": 0}
    try:
        with torch.device("meta"):
            model = build_model(without_weights(spec), **words)
        fitting_weights(model, spec["weights"]["path"])
    except ConfigError:
        build_model(spec, **words)  # timm may need the model's own numbers to read a file: then no fault was found


def measure_model(spec: Mapping[str, Any], image_size: int, channels: int, n_classes: int) -> tuple[int, int, int]:
    """Return (parameters without the head, parameters of the head, forward FLOPs of one image); asked twice, known.

    Parameters
    ----------
    spec, image_size, channels, n_classes
        See `build_model`.

    Raises
    ------
    ConfigError
        Its words are wrong, or the image does not fit it.
    """
    facts = inspect_model(spec, image_size=image_size, channels=channels, n_classes=n_classes)
    return facts.n_params, facts.n_params_head, facts.forward_flops
