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

from typing import Any

import torch
from timm.layers import Attention

__all__ = ["MappedAttention"]

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
