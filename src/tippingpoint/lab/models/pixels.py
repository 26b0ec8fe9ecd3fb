r"""The scale of pixels on their way into a public model.

Images enter the laboratory's models in [-1, 1]; a public model was trained on :math:`(x - \mu) / \sigma` of pixels x in
[0, 1], with its own mean and deviation for each colour. The batch is scaled when the model is called, in fine-tuning as
with frozen features, by a hook without parameters, so that weights keep timm's names. Folding the scale into the first
convolution would be exact only where that one does not pad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

__all__ = ["normalisation_of", "set_normalisation"]


def normalisation_of(model: nn.Module) -> dict[str, list[float]] | None:
    """Return the mean and deviation of pixels in [0, 1] that a model expects, or None where it takes [-1, 1].

    Parameters
    ----------
    model : nn.Module
        Any model; `set_normalisation` sets it.
    """
    scale = getattr(model, "_pixel_scale", None)
    return None if scale is None else {"mean": list(scale.mean), "std": list(scale.std)}


def set_normalisation(model: nn.Module, said: Mapping[str, Sequence[float]] | None) -> None:
    """Let a model scale what it is given from [-1, 1] to its own normalisation, whenever it is called.

    Parameters
    ----------
    model : nn.Module
        Is changed in place; it gets no parameters and no tensors.
    said : mapping or None
        ``mean`` and ``std`` of pixels in [0, 1], a number for each colour; grey images get the mean over colours of
        both, as in timm's loader. None leaves [-1, 1].
    """
    before: _PixelScale | None = getattr(model, "_pixel_scale", None)
    if before is not None:
        before.handle.remove()
    model._pixel_scale = None if said is None else _PixelScale(model, said["mean"], said["std"])  # type: ignore[assignment]


class _PixelScale:
    """The hook: [-1, 1] to (x - mean) / std, channel by channel."""

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self._kept: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        self.handle = model.register_forward_pre_hook(self)

    def __call__(self, _model: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        batch = arguments[0]
        key = batch.device, batch.dtype, batch.shape[1]
        if key not in self._kept:  # sent to a GPU once, for it would be waited for at every step
            with torch.inference_mode(False):  # what scoring makes must do for training too
                self._kept[key] = _for_channels(batch, self.mean), _for_channels(batch, self.std)
        mean, std = self._kept[key]
        return ((batch * 0.5 + (0.5 - mean)) / std, *arguments[1:])


def _for_channels(batch: torch.Tensor, values: Sequence[float]) -> torch.Tensor:
    """Return one number a channel, shaped to meet a batch (B, C, H, W)."""
    channels = batch.shape[1]
    told = values if len(values) == channels else [sum(values) / len(values)] * channels
    return torch.tensor(told, dtype=batch.dtype, device=batch.device)[:, None, None]
