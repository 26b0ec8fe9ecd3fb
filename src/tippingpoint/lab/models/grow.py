r"""A trained small model written into a larger one, which at first computes the same function.

Notation
--------
d, D widths of the small and the large model (heads x head_dim), s = sqrt(D / d).

The idea is that of lossless expansion (LEMON, arXiv:2310.07999). A token of the large model holds s times the small
one's token and, in its D - d new features, s times the *mean* of that token:

.. math::  X = s\,(x_1, …, x_d, \bar x, …, \bar x)

Its mean is s times the mean of x, and its variance s^2 d / D = 1 times the variance of x, so that layer normalisation
gives s (x - mean) / sqrt(var + eps) in the old features and 0 in the new: with its weights divided by s it gives what
the small model's gives, its eps included, for *any* D > d. Mean and scale are linear, so every layer that writes into
a token (patches, positions, the outputs of attention and MLP) can write them. New heads and hidden units are not heard
at first: what leaves them is multiplied by 0. All other new weights keep the large model's own initial values: none is
a copy of another, so nothing keeps two features, heads or units the same for ever.
"""

from __future__ import annotations

import math

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tippingpoint.errors import ConfigError

__all__ = ["grow"]


def grow(small: nn.Module, large: nn.Module) -> None:
    """Write a small model into a larger one, in place.

    Parameters
    ----------
    small : nn.Module
        Trained, of ``build_deit``.
    large : nn.Module
        Freshly built: wider by whole heads, with the same depth, head width, patches and classes. Afterwards its logits
        are the small model's, but for rounding.

    Raises
    ------
    ConfigError
        The two differ in more than their heads, or the second has fewer, or one is no DeiT.
    """
    if not (isinstance(small, VisionTransformer) and isinstance(large, VisionTransformer)):
        raise ConfigError("grown: only a DeiT grows into a larger one; give both models by their heads.")
    _check(small, large)
    old, scale = small.state_dict(), math.sqrt(large.embed_dim / small.embed_dim)
    with torch.no_grad():
        large.load_state_dict(
            {name: _grown(name, old[name], value.clone(), scale) for name, value in large.state_dict().items()}
        )


def _check(small: VisionTransformer, large: VisionTransformer) -> None:
    shapes = [
        (len(model.blocks), model.blocks[0].attn.head_dim, model.pos_embed.shape[1], model.num_classes)
        for model in (small, large)
    ]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            "grown: the small and the large model must share depth, head width, tokens and classes; "
            f"they have {shapes[0]} and {shapes[1]}."
        )
    if small.embed_dim > large.embed_dim:
        raise ConfigError(
            f"grown: a model of width {small.embed_dim} cannot grow into one of width {large.embed_dim}; "
            "start from one with fewer heads."
        )


def _grown(name: str, old: torch.Tensor, new: torch.Tensor, scale: float) -> torch.Tensor:
    """Return one tensor of the large model; ``new`` holds its own initial values."""
    layer, kind = name.rpartition(".")[::2]
    last = layer.rpartition(".")[2]
    if kind in ("cls_token", "dist_token", "pos_embed"):
        return _token(old, new.shape[-1], scale, axis=-1)
    if last in ("proj", "fc2"):  # they write into tokens; patch_embed.proj reads pixels, the others what may be new
        token = _token(old, new.shape[0], scale, axis=0)
        if new.ndim == 2:
            new.zero_()[:, : old.shape[1]] = token
            return new
        return token
    if last == "qkv":  # queries, keys and values stand in three parts, each of all heads
        parts = old.reshape(3, -1, *old.shape[1:])
        whole = new.reshape(3, -1, *new.shape[1:])
        whole[tuple(slice(length) for length in parts.shape)] = parts
        return whole.reshape(new.shape)
    if last.startswith("norm") and kind == "weight":
        old = old / scale
    new[tuple(slice(length) for length in old.shape)] = old  # norms, fc1, head
    return new


def _token(old: torch.Tensor, width: int, scale: float, axis: int) -> torch.Tensor:
    """Return s times what is written into a token, new features holding the mean of the old ones."""
    missing = list(old.shape)
    missing[axis] = width - old.shape[axis]
    return scale * torch.cat([old, old.mean(dim=axis, keepdim=True).expand(missing)], dim=axis)
