from __future__ import annotations

import pytest
import torch
from timm.layers import PatchEmbed
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tippingpoint.lab.models import linear as module
from tippingpoint.lab.models.linear import Linear, LinearPatchEmbed, linear, quicken

ONEDNN = pytest.mark.skipif(not module._AVAILABLE, reason="this build of torch has no oneDNN operator for x86")


def tensors(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


# Widths on both sides of each choice inside: narrow, widening, narrowing, as wide.
@pytest.mark.parametrize(("width", "out"), [(32, 32), (32, 96), (96, 32), (80, 80), (128, 384)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_torchs(width: int, out: int, bias: bool) -> None:
    x, weight, offset = tensors((64, 17, width), (out, width), (out,))
    given = (x, weight, offset) if bias else (x, weight)
    ours, theirs = linear(*given), F.linear(*given)
    assert ("_Linear" in type(ours.grad_fn).__name__) == module._AVAILABLE
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    # A gradient that comes transposed, as behind attention.
    (push,) = tensors((17, 64, out))
    gradients = [torch.autograd.grad((y * push.transpose(0, 1)).sum(), given) for y in (ours, theirs)]
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-3)  # sums over 1088 rows of order 30


@ONEDNN
def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, weight, offset = tensors((1100, 32), (48, 32), (48,))
    for wanted in ((x,), (weight,), (offset,), (x, offset)):
        asked = [value if any(value is one for one in wanted) else value.detach() for value in (x, weight, offset)]
        got = torch.autograd.grad(linear(*asked).square().sum(), wanted)
        expected = torch.autograd.grad(F.linear(*asked).square().sum(), wanted)
        for mine, plain in zip(got, expected, strict=True):
            torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-2)
    with torch.no_grad():
        alone = linear(x, weight, offset)
    assert not alone.requires_grad
    assert torch.equal(alone, linear(x, weight, offset)), "the same numbers, remembered or not"


@pytest.mark.parametrize(
    "shape",
    [pytest.param((2, 32), id="small"), pytest.param((0, 32), id="empty"), pytest.param((1100, 32), id="double")],
)
def test_what_gains_nothing_is_torchs_own(shape: tuple[int, int]) -> None:
    dtype = torch.float64 if shape[0] > 1000 else torch.float32
    x, weight, offset = tensors(shape, (64, 32), (64,), dtype=dtype)
    assert torch.equal(linear(x, weight, offset), F.linear(x, weight, offset))


def test_autocast_is_torchs_own() -> None:
    x, weight, offset = tensors((1100, 32), (64, 32), (64,))
    with torch.autocast("cpu", torch.bfloat16):
        out = linear(x, weight, offset)
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, F.linear(x, weight, offset))


def test_the_counter_of_operations_knows_it() -> None:
    x, weight, offset = tensors((1100, 32), (64, 32), (64,))
    with FlopCounterMode(display=False) as counter:
        linear(x, weight, offset)
    assert counter.get_total_flops() == 2 * 1100 * 32 * 64


def test_quickening_changes_nothing_but_the_class() -> None:
    model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Sequential(nn.Linear(64, 8, bias=False)))
    x = tensors((1100, 32))[0]
    state, expected = {name: value.clone() for name, value in model.state_dict().items()}, model(x)
    assert quicken(model) is model
    assert type(model[0]) is Linear
    assert type(model[2][0]) is Linear
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "patch", "channels"), [(28, 7, 1), (24, 4, 3)])
def test_the_patch_embedding_is_timms(size: int, patch: int, channels: int) -> None:
    shape = {"img_size": size, "patch_size": patch, "in_chans": channels, "embed_dim": 48}
    ours, theirs = LinearPatchEmbed(**shape), PatchEmbed(**shape)
    assert ours.state_dict()["proj.weight"].shape == (48, channels, patch, patch)
    theirs.load_state_dict(ours.state_dict())
    images = tensors((64, channels, size, size))[0]
    outs = [layer(images) for layer in (ours, theirs)]
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-5, atol=1e-5)
    push = tensors(tuple(outs[0].shape))[0].detach()
    for out in outs:
        (out * push).sum().backward()
    for mine, plain in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="pixels"):
        ours(torch.zeros(1, channels, size * 2, size // 2))
