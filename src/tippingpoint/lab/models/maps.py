r"""Where a model looks: the maps that guidance compares, of transformers and of convolutional networks.

Notation
--------
B images, N tokens (class token first), C channels and H x W positions of a stage's output.

=============  ============  ======================================================================================
kind           shape         meaning
=============  ============  ======================================================================================
``attention``  (B, N, N)     one for each block: how much a query token looks at a key token, averaged over heads;
                             rows sum to 1
``spatial``    (B, H W)      one for each stage: :math:`\frac1C \sum_c A_c^2`, how strongly a position is answered
                             (Zagoruyko & Komodakis 2017, arXiv:1612.03928, activation-based attention with p = 2)
=============  ============  ======================================================================================

A vision transformer of timm's ``VisionTransformer`` class has the first kind. Any other timm model has the second,
where its stages give feature maps; their places are timm's ``feature_info``. Models of neither kind (MLP mixers, say)
can be trained and can teach by their outputs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models.attention import MappedAttention

__all__ = ["Recorder", "attention_maps", "map_kind", "recording"]


class Recorder:
    """What a model's last forward pass left, while it is recorded.

    Attributes
    ----------
    kind : {"attention", "spatial"} or None
        Which kind of map the model has.
    """

    def __init__(self, kind: str | None, layers: list[MappedAttention], n_stages: int) -> None:
        self.kind = kind
        self._layers = layers
        self._stages: list[torch.Tensor | None] = [None] * n_stages

    def maps(self) -> list[torch.Tensor]:
        """Return the maps of the last forward pass, first layer to last, float32; gradients flow through them.

        Empty before a forward pass and for a model without maps.
        """
        found = [layer.attention_map for layer in self._layers] if self.kind == "attention" else self._stages
        return [one for one in found if one is not None]

    def _see(self, place: int, last: bool, _module: nn.Module, _given: Any, output: Any) -> None:
        self._stages[place] = _spatial(output, last)


def _spatial(output: Any, channels_last: bool) -> torch.Tensor:
    """Return the mean square over channels of a stage's output, (B, H W)."""
    if not isinstance(output, torch.Tensor) or output.ndim != 4:
        raise ConfigError("guidance: the model's stages give no feature maps to compare; set attention_weight: 0.")
    return output.float().square().mean(dim=-1 if channels_last else 1).flatten(1)


def _attention_layers(model: nn.Module) -> list[MappedAttention]:
    return [module for module in model.modules() if isinstance(module, MappedAttention)]


def _stages(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose outputs are a network's stages; its stem is none. Empty where timm names no modules."""
    infos = getattr(model, "feature_info", None)
    infos = getattr(infos, "info", infos) or []
    names = [info["module"] for info in infos if info.get("module")]
    try:
        if len(names) > 1 and _is_stem(names[0], model.get_submodule(names[0])):
            names = names[1:]
        return [model.get_submodule(name) for name in names]
    except AttributeError:  # a few of timm's models name places that are no modules, such as Twins' "block.0"
        return []


def _is_stem(name: str, module: nn.Module) -> bool:
    """Return whether the first place that timm names lies before the first stage."""
    return name.startswith("stem") or not any(isinstance(part, (nn.Conv2d, nn.Linear)) for part in module.modules())


def map_kind(model: nn.Module) -> str | None:
    """Return the kind of a model's maps: "attention", "spatial", or None where there can be none.

    Whether the outputs of stages are maps shows in a forward pass alone (see `tippingpoint.lab.models.inspect_model`).
    """
    if _attention_layers(model):
        return "attention"
    return "spatial" if _stages(model) else None


@contextmanager
def recording(model: nn.Module, temperature: float = 1.0) -> Iterator[Recorder]:
    """Record a model's maps while the block runs.

    Parameters
    ----------
    model : nn.Module
        Of `build_model`.
    temperature : float, default 1
        tau_a, by which the scores are divided before the softmax of an attention map (not of the attention that is
        used). Spatial maps have no temperature.

    Yields
    ------
    Recorder
        Its ``maps()`` are those of the last forward pass; nothing is kept after the block.

    Raises
    ------
    ConfigError
        In a forward pass, where the outputs of the model's stages are no feature maps.
    """
    kind, layers = map_kind(model), _attention_layers(model)
    stages = _stages(model) if kind == "spatial" else []
    recorder = Recorder(kind, layers, len(stages))
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    handles = [
        stage.register_forward_hook(partial(recorder._see, place, channels_last)) for place, stage in enumerate(stages)
    ]
    for layer in layers:
        layer.map_temperature = float(temperature)
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers:
            layer.map_temperature = None
            layer.attention_map = None


def attention_maps(model: nn.Module, images: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return the attention maps of a batch, averaged over heads.

    Parameters
    ----------
    model : nn.Module
        A transformer of `build_model`.
    images : torch.Tensor
        (B, channels, height, width), normalised as in training.
    temperature : float, default 1
        tau_a of docs/theory.md, "The loss".

    Returns
    -------
    torch.Tensor
        (depth, B, N, N), float32; rows sum to 1.
    """
    training = model.training
    model.eval()
    with torch.no_grad(), recording(model, temperature) as recorder:
        model(images)
        maps = torch.stack(recorder.maps())
    model.train(training)
    return maps
