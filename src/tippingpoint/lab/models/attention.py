"""Attention that can show its maps.

Notation
--------
B images, H heads, N tokens (class token first), d width of a head, tau_a the maps' temperature.

``P[b, i, j]``: how much query token i of image b looks at key token j, averaged over heads; each row sums to 1.

timm's attention is fused: its maps never exist. ``MappedAttention`` is the same layer with the same parameters (timm's
``attn_layer`` argument takes it), which computes in the open while somebody records, and on a CPU where sequences are
so short that the open way is the faster one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import Attention
from torch import nn

__all__ = ["MappedAttention", "attention_maps", "recording"]

# Tokens up to which the open way is taken on a CPU: at the presets' 17 tokens its training steps are the faster ones
# (compare ``lab.tasks.time_step`` with this at 64 and at 0); beyond, nothing was measured and timm's choice stands.
SHORT = 64


class MappedAttention(Attention):  # type: ignore[misc]
    """Multi-head self-attention with maps on demand.

    Attributes
    ----------
    map_temperature : float or None
        tau_a while maps are recorded, else None.
    attention_map : torch.Tensor or None
        The last map, (B, N, N), float32, averaged over heads; gradients flow through it.
    """

    map_temperature: float | None
    attention_map: torch.Tensor | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.map_temperature = None
        self.attention_map = None

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the layer's output, (B, N, C); keep the map where it is recorded."""
        B, N, _ = x.shape
        if self.map_temperature is None and (x.is_cuda or N > SHORT):
            return super().forward(x, *args, **kwargs)  # type: ignore[no-any-return]
        q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        scores = (q * self.scale) @ k.transpose(-2, -1)  # (B, H, N, N)
        attention = scores.softmax(dim=-1)
        if self.map_temperature is not None:
            # The map at temperature 1 is the attention itself: no second softmax.
            softened = attention if self.map_temperature == 1 else (scores / self.map_temperature).softmax(dim=-1)
            self.attention_map = softened.float().mean(dim=1)
        out = (self.attn_drop(attention) @ v).transpose(1, 2).reshape(B, N, self.attn_dim)
        return self.proj_drop(self.proj(self.norm(out)))  # type: ignore[no-any-return]


def _layers(model: nn.Module) -> list[MappedAttention]:
    return [module for module in model.modules() if isinstance(module, MappedAttention)]


@contextmanager
def recording(model: nn.Module, temperature: float = 1.0) -> Iterator[list[MappedAttention]]:
    """Record attention maps while the block runs.

    Parameters
    ----------
    model : nn.Module
        A model of ``build_deit``.
    temperature : float, default 1
        tau_a, by which the scores are divided before the softmax of the map (not of the attention that is used).

    Yields
    ------
    list of MappedAttention
        One layer for each block, first to last; after a forward pass each holds its ``attention_map``.
    """
    layers = _layers(model)
    for layer in layers:
        layer.map_temperature = float(temperature)
    try:
        yield layers
    finally:
        for layer in layers:
            layer.map_temperature = None
            layer.attention_map = None


def attention_maps(model: nn.Module, images: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return the attention maps of a batch, averaged over heads.

    Parameters
    ----------
    model : nn.Module
        A model of ``build_deit``.
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
    with torch.no_grad(), recording(model, temperature) as layers:
        model(images)
        maps = torch.stack([layer.attention_map for layer in layers if layer.attention_map is not None])
    model.train(training)
    return maps
