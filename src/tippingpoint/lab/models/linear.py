"""Linear layers that a CPU computes up to twice as fast.

torch multiplies float32 matrices on a CPU by MKL, which does not use the widest vectors of an AMD core; oneDNN, which
torch carries too, uses those of any x86 core. Its linear layer is reached by the operator that torch's own
compiler emits. Same products and sums, another order of summation: results agree to rounding. Elsewhere (other
devices, other number formats, autocast) these layers are torch's.

``python benchmarks/throughput.py`` measures what that gains.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import PatchEmbed
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

__all__ = ["Linear", "LinearPatchEmbed", "linear", "quicken"]

_X86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")  # elsewhere nothing was measured
_AVAILABLE = _X86 and hasattr(torch.ops.mkldnn, "_linear_pointwise")
_SMALL = 2**20  # multiply-adds below which calling oneDNN takes longer than it saves
_NARROW = 32  # up to this width on both sides torch's own product is the faster one for a weight's gradient


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return ``x @ weight.T + bias``, like ``torch.nn.functional.linear``.

    Parameters
    ----------
    x : torch.Tensor
        (..., in).
    weight : torch.Tensor
        (out, in).
    bias : torch.Tensor, optional
        (out,).

    Returns
    -------
    torch.Tensor
        (..., out).
    """
    if (
        _AVAILABLE
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel() * weight.shape[0] >= _SMALL
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # which writes the product itself
    ):
        if not torch.is_grad_enabled():
            return _product(x, weight, bias)  # a teacher, or scoring: nothing to remember
        return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return]
    return F.linear(x, weight, bias)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


def _weight_gradient(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return ``gradient.T @ x``, (out, in), from (rows, out) and (rows, in)."""
    wide, narrow = gradient.shape[1], x.shape[1]
    if wide <= _NARROW and narrow <= _NARROW:
        return gradient.t() @ x
    # The operator copies its first argument into rows: that is the smaller one of the two.
    return _product(x.t(), gradient.t()).t() if narrow < wide else _product(gradient.t(), x.t())


class _Linear(torch.autograd.Function):
    """``linear`` by oneDNN, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if needs_x else None,
            _weight_gradient(rows, x.reshape(-1, x.shape[-1])) if needs_weight else None,
            rows.sum(dim=0) if needs_bias else None,
        )


def _count(x_shape: torch.Size, weight_shape: torch.Size, *_: Any, **__: Any) -> int:
    """Return the operations of the product, for torch's counter."""
    return 2 * x_shape.numel() * weight_shape[0]


if _AVAILABLE:
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_count)


class Linear(nn.Linear):
    """torch's linear layer over :func:`linear`; same parameters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output, (..., out)."""
        return linear(x, self.weight, self.bias)


def quicken(model: nn.Module) -> nn.Module:
    """Let the linear layers of a model compute by :func:`linear`.

    Parameters
    ----------
    model : nn.Module
        Its layers of torch's plain class are changed in place; parameters, their names and hooks stay.

    Returns
    -------
    nn.Module
        The same model.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
    return model


class LinearPatchEmbed(PatchEmbed):  # type: ignore[misc]
    """timm's patch embedding as one linear layer over patches; its convolution's parameters keep names and shapes.

    A convolution whose stride is its kernel's side sees each pixel once: it is a linear layer over patches.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the patches' tokens, (B, patches, width), of images of the model's size."""
        B, C, height, width = x.shape
        if (height, width) != self.img_size:
            raise ValueError(f"images of {height} x {width} pixels; the model takes {self.img_size}")
        (rows, columns), (tall, broad) = self.grid_size, self.patch_size
        # (B, C, rows, tall, columns, broad) -> (B, rows, columns, C, tall, broad), a patch in the kernel's order.
        patches = x.reshape(B, C, rows, tall, columns, broad).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(B, rows * columns, C * tall * broad)
        return self.norm(linear(patches, self.proj.weight.flatten(1), self.proj.bias))  # type: ignore[no-any-return]
