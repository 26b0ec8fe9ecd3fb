"""Sizes and costs of a model, of whatever kind: parameters, floating-point operations, which weights are the head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from timm.models.deit import VisionTransformerDistilled
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tippingpoint.lab.models.maps import map_kind, recording

__all__ = ["count_parameters", "forward_flops", "head_names"]


def head_names(model: nn.Module) -> set[str]:
    """Return the names, in ``state_dict``, of the weights of the classification head (or of both, with a token)."""
    heads = model.get_classifier()  # type: ignore[operator]
    found = {id(part) for part in (heads if isinstance(heads, tuple) else (heads,))}
    prefixes = tuple(f"{name}." for name, module in model.named_modules() if id(module) in found)
    return {name for name in model.state_dict() if name.startswith(prefixes)}


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return (parameters without the classification head, parameters of the head).

    The head is the layer that makes logits, no more. A distillation token, its position and its head count with the
    head: models with and without it are one size. Running statistics of batch normalisation are no parameters.
    """
    names = head_names(model)
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    head = sum(size for name, size in sizes.items() if name in names)
    if isinstance(model, VisionTransformerDistilled):
        head += model.dist_token.numel() + model.embed_dim
    return sum(sizes.values()) - head, head


@contextmanager
def _plainly(model: nn.Module) -> Iterator[None]:
    """Let a model compute without gradients and without random numbers, and put it back as it was."""
    training, wanted = model.training, [weight.requires_grad for weight in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for weight, flag in zip(model.parameters(), wanted, strict=True):
            weight.requires_grad_(flag)


def forward_flops(model: nn.Module, image_size: int, channels: int) -> int:
    """Return the floating-point operations of one image's forward pass (a multiply-add is two).

    Matrix products and convolutions alone are counted, by torch's own counter, attention's products included. One
    training step costs three forward passes (one forward, two backward).

    Parameters
    ----------
    model : nn.Module
        Of `build_model`, on any device ("meta" will do).
    image_size, channels : int
        Side and colour channels of an image.
    """
    image = torch.zeros(1, channels, image_size, image_size, device=next(model.parameters()).device)
    # Attention is computed in the open: its products are then plain ones, which the counter knows on every device.
    recorded = recording(model) if map_kind(model) == "attention" else nullcontext()
    with _plainly(model), sdpa_kernel(SDPBackend.MATH), recorded, FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops())
