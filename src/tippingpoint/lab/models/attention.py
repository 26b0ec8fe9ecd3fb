"""Attention that can show its maps.

Notation
--------
B images, H heads, N tokens (class token first), d width of a head, tau_a the maps' temperature.

``P[b, i, j]``: how much query token i of image b looks at key token j, averaged over heads; each row sums to 1.

timm's attention is fused: its maps never exist. ``MappedAttention`` is the same layer with the same parameters (timm's
``attn_layer`` argument takes it), which computes in the open while somebody records, and on a CPU where sequences are
so short that the open way is the faster one.

Open attention of long sequences would keep H x N x N numbers of every image and layer for the backward pass. There the
images are taken a few at a time, and the backward pass computes their attention again: what is kept is the input and
the map.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention
from torch import nn

__all__ = ["MappedAttention"]

# Tokens up to which the open way is taken on a CPU though nobody records, and up to which attention is kept for the
# backward pass. ``python benchmarks/throughput.py`` times both ways: docs/speed.md.
SHORT = 64
# Numbers of attention that exist at a time for long sequences. On a CPU they should lie in a core's own cache; on a GPU
# many images at once keep it busy (256 MB in float32, not tuned).
AT_A_TIME = {"cpu": 2**18, "cuda": 2**26}


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

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        """Return the layer's output, (B, N, C); keep the map where it is recorded.

        Raises
        ------
        ValueError
            The map of masked attention is asked for.
        """
        masked, dropping = attn_mask is not None or is_causal, self.training and self.attn_drop.p > 0
        if self.map_temperature is None and (masked or dropping or x.is_cuda or x.shape[1] > SHORT):
            return super().forward(x, attn_mask, is_causal)  # type: ignore[no-any-return]
        if masked:
            raise ValueError("maps of masked attention are not recorded")
        qkv = self._normed(self.qkv(x))
        out, self.attention_map = _Attention.apply(qkv, self.num_heads, self.scale, self.map_temperature)
        if dropping:  # what is dropped is part of the output, not of the map
            return super().forward(x)  # type: ignore[no-any-return]
        out = self.norm(out)
        if self.gate is not None:
            out = out * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(out))  # type: ignore[no-any-return]

    def _normed(self, qkv: torch.Tensor) -> torch.Tensor:
        """Return q, k and v side by side, q and k through their norms where the layer has them."""
        if isinstance(self.q_norm, nn.Identity) and isinstance(self.k_norm, nn.Identity):
            return qkv
        split = [part.reshape(*part.shape[:2], self.num_heads, self.head_dim) for part in qkv.chunk(3, dim=-1)]
        normed = [self.q_norm(split[0]), self.k_norm(split[1]), split[2]]
        return torch.cat([part.to(qkv.dtype).flatten(2) for part in normed], dim=-1)


def _by_head(x: torch.Tensor, parts: int, heads: int) -> torch.Tensor:
    """Return (B, N, parts x H x d) as (parts, B x H, N, d), contiguous: each matrix of a product in one piece."""
    B, N, width = x.shape
    split = x.view(B, N, parts, heads, width // (parts * heads)).permute(2, 0, 3, 1, 4)
    return split.reshape(parts, B * heads, N, -1)


def _by_token(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (parts, B x H, N, d) as (B, N, parts x H x d)."""
    parts, many, N, d = x.shape
    return x.view(parts, many // heads, heads, N, d).permute(1, 3, 0, 2, 4).reshape(many // heads, N, -1)


def _scores(q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
    """Return ``scale`` q k^T, (B x H, N, N), never coarser than float32; the scale costs no pass of its own."""
    scores = torch.baddbmm(q.new_empty(()), q, k.transpose(1, 2), beta=0, alpha=scale)
    return scores.to(torch.promote_types(q.dtype, torch.float32))


def _softened(scores: torch.Tensor, attention: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the attention at the maps' temperature; at 1 it is the attention itself."""
    return attention if temperature == 1 else (scores / temperature).softmax(dim=-1)


class _Attention(torch.autograd.Function):
    """Open attention of (B, N, 3 x H x d): its output, (B, N, H x d), and its map where there is a temperature.

    The backward pass is written out, because torch's own would copy q, k, v and their gradients once each, and would
    keep every layer's attention.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: torch.Tensor, heads: int, scale: float, temperature: float | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        N = qkv.shape[1]
        short = N <= SHORT
        outs, maps, kept = [], [], [] if short else [qkv]
        for images in _few(qkv, heads):
            split = _by_head(images, 3, heads)
            q, k, v = split.unbind(0)
            scores = _scores(q, k, scale)
            attention = scores.softmax(dim=-1)
            outs.append(_by_token((attention.to(v.dtype) @ v)[None], heads))
            if temperature is not None:
                maps.append(_softened(scores, attention, temperature).view(-1, heads, N, N).mean(dim=1).float())
            if short:
                kept += [split, attention] if temperature in (None, 1) else [split, attention, scores]
        ctx.save_for_backward(*kept)
        ctx.set_materialize_grads(False)
        ctx.heads, ctx.scale, ctx.temperature, ctx.short = heads, scale, temperature, short
        return _joined(outs), _joined(maps) if maps else None

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: torch.Tensor | None, g_map: torch.Tensor | None) -> tuple[Any, ...]:
        if ctx.short:
            return _gradient(ctx, *ctx.saved_tensors, g_out=g_out, g_map=g_map), None, None, None
        (qkv,) = ctx.saved_tensors
        parts, first = [], 0
        for images in _few(qkv, ctx.heads):
            now = slice(first, first + len(images))
            split = _by_head(images, 3, ctx.heads)
            scores = _scores(split[0], split[1], ctx.scale)
            part_out, part_map = (None if g is None else g[now] for g in (g_out, g_map))
            parts.append(_gradient(ctx, split, scores.softmax(dim=-1), scores, g_out=part_out, g_map=part_map))
            first = now.stop
        return _joined(parts), None, None, None


def _few(qkv: torch.Tensor, heads: int) -> tuple[torch.Tensor, ...]:
    """Return the images in pieces whose attention has about `AT_A_TIME` numbers; short sequences are one piece."""
    N = qkv.shape[1]
    if N <= SHORT:
        return (qkv,)
    return torch.split(qkv, max(1, AT_A_TIME.get(qkv.device.type, AT_A_TIME["cpu"]) // (heads * N * N)))


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _gradient(
    ctx: Any,
    split: torch.Tensor,
    attention: torch.Tensor,
    scores: torch.Tensor | None = None,
    *,
    g_out: torch.Tensor | None,
    g_map: torch.Tensor | None,
) -> torch.Tensor:
    """Return the gradient of q, k, v, (B, N, 3 x H x d), from those of the output and of the map."""
    heads, N = ctx.heads, split.shape[2]
    q, k, v = split.unbind(0)
    result = torch.zeros_like(split) if g_out is None else torch.empty_like(split)
    parts = []
    if g_out is not None:
        (g,) = _by_head(g_out, 1, heads)
        torch.bmm(attention.to(v.dtype).transpose(1, 2), g, out=result[2])
        g_attention = torch.bmm(g, v.transpose(1, 2)).to(attention.dtype)
        parts.append(torch._softmax_backward_data(g_attention, attention, -1, attention.dtype))
    if g_map is not None:
        soft = attention if ctx.temperature == 1 or scores is None else _softened(scores, attention, ctx.temperature)
        each = (g_map.to(soft.dtype) / (heads * ctx.temperature)).unsqueeze(1).expand(-1, heads, N, N)
        parts.append(torch._softmax_backward_data(each.reshape(soft.shape), soft, -1, soft.dtype))
    g_scores = (parts[0] if len(parts) == 1 else parts[0] + parts[1]).to(q.dtype)
    torch.baddbmm(result[0], g_scores, k, beta=0, alpha=ctx.scale, out=result[0])
    torch.baddbmm(result[1], g_scores.transpose(1, 2), q, beta=0, alpha=ctx.scale, out=result[1])
    return _by_token(result, heads)
