from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import Attention, LayerNorm

from tippingpoint.lab.models import attention as module
from tippingpoint.lab.models.attention import MappedAttention

LENGTHS = [pytest.param(17, id="short"), pytest.param(80, id="long")]
WIDTH, HEADS = 24, 3


def pair(**kwargs: Any) -> tuple[MappedAttention, Attention]:
    """Return our layer and timm's, with the same weights, double precision."""
    torch.manual_seed(0)
    ours = MappedAttention(WIDTH, num_heads=HEADS, qkv_bias=True, **kwargs).double()
    theirs = Attention(WIDTH, num_heads=HEADS, qkv_bias=True, **kwargs).double()
    with torch.no_grad():
        for weight in ours.parameters():
            weight.normal_(std=0.6)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def inputs(N: int, B: int = 3) -> torch.Tensor:
    return torch.randn(B, N, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()


def written_out(layer: Attention, x: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the map by loops over images and heads."""
    q, k, _ = layer.qkv(x).chunk(3, dim=-1)
    d, maps = WIDTH // HEADS, []
    for b in range(len(x)):
        per_head = []
        for h in range(HEADS):
            mine, other = (layer.q_norm(q[b, :, h * d : h * d + d]), layer.k_norm(k[b, :, h * d : h * d + d]))
            per_head.append((mine @ other.T / d**0.5 / temperature).softmax(dim=-1))
        maps.append(sum(per_head) / HEADS)
    return torch.stack(maps)


def gradients(loss: torch.Tensor, layer: Attention, x: torch.Tensor) -> list[torch.Tensor]:
    wanted = [x, *layer.parameters()]
    got = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(v) if g is None else g for g, v in zip(got, wanted, strict=True)]


def same(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


KINDS = [
    pytest.param({}, id="plain"),
    pytest.param({"qk_norm": True, "scale_norm": True, "norm_layer": LayerNorm}, id="norms"),
    pytest.param({"gated": True}, id="gated"),
]


@pytest.mark.parametrize("N", LENGTHS)
@pytest.mark.parametrize("temperature", [None, 1.0, 3.0])
@pytest.mark.parametrize("kwargs", KINDS)
def test_the_layer_is_timms(N: int, temperature: float | None, kwargs: dict[str, Any]) -> None:
    """Recorded or not, in the open or fused: outputs and gradients are timm's."""
    ours, theirs = pair(**kwargs)
    ours.map_temperature = temperature
    x = inputs(N)
    outs = ours(x), theirs(x)
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-10, atol=1e-10)
    assert (ours.attention_map is None) == (temperature is None)
    push = torch.randn_like(outs[0])
    same(gradients((outs[0] * push).sum(), ours, x), gradients((outs[1] * push).sum(), theirs, x))


@pytest.mark.parametrize("N", LENGTHS)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("both", [True, False], ids=["output_and_map", "map_alone"])
@pytest.mark.parametrize("kwargs", KINDS[:2])
def test_maps_and_their_gradients(N: int, temperature: float, both: bool, kwargs: dict[str, Any]) -> None:
    ours, theirs = pair(**kwargs)
    ours.map_temperature = temperature
    x = inputs(N)
    out, expected = ours(x), written_out(theirs, x, temperature)
    assert ours.attention_map.dtype == torch.float32
    torch.testing.assert_close(ours.attention_map.double(), expected, rtol=1e-5, atol=1e-6)
    push, press = torch.randn_like(out), 10 * torch.randn_like(expected)
    press = press.float().double()  # the map is float32, and so is what pushes it
    mine, other = (ours.attention_map * press).sum(), (expected * press).sum()
    if both:
        mine, other = mine + (out * push).sum(), other + (theirs(x) * push).sum()
    same(gradients(mine, ours, x), gradients(other, theirs, x))


def test_long_sequences_are_taken_a_few_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = pair()
    ours.map_temperature = 2.0
    x, results = inputs(80, B=5), []
    for at_a_time in (2**24, 2 * HEADS * 80 * 80):
        monkeypatch.setitem(module.AT_A_TIME, "cpu", at_a_time)
        out = ours(x)
        kept = ours.attention_map
        results.append([out, kept, *gradients(out.square().sum() + kept.square().sum(), ours, x)])
    for one, few in zip(*results, strict=True):
        torch.testing.assert_close(one, few, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_long_sequences_keep_no_attention_for_the_backward_pass(temperature: float) -> None:
    N, sizes = 120, []
    ours, _ = pair()
    ours.map_temperature = temperature

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        ours(inputs(N, B=4))
    assert sizes
    assert max(sizes) <= 4 * N * 3 * WIDTH, "q, k and v are the largest thing that is kept"
    assert ours.attention_map.shape == (4, N, N)


def test_dropout_is_in_the_output_and_not_in_the_map() -> None:
    ours, theirs = pair(attn_drop=0.5)
    ours.map_temperature = 1.0
    x = inputs(17)
    torch.manual_seed(3)
    dropped = ours(x)
    torch.manual_seed(3)
    torch.testing.assert_close(dropped, theirs(x), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.attention_map.double(), written_out(theirs, x, 1.0), rtol=1e-5, atol=1e-6)
    assert not torch.equal(dropped, ours.eval()(x))


def test_masks() -> None:
    ours, theirs = pair()
    x = inputs(17)
    mask = torch.ones(17, 17, dtype=torch.bool).tril()
    assert torch.equal(ours(x, attn_mask=mask), theirs(x, attn_mask=mask))
    assert torch.equal(ours(x, is_causal=True), theirs(x, is_causal=True))
    ours.map_temperature = 1.0
    with pytest.raises(ValueError, match="masked"):
        ours(x, is_causal=True)


@pytest.mark.parametrize("N", LENGTHS)
def test_autocast_keeps_maps_in_float32(N: int) -> None:
    ours, theirs = pair()
    ours, theirs, x = ours.float(), theirs.float(), inputs(N).detach().float().requires_grad_()
    ours.map_temperature = 1.0
    with torch.autocast("cpu", torch.bfloat16):
        out = ours(x)
    assert out.dtype == torch.bfloat16
    assert ours.attention_map.dtype == torch.float32
    torch.testing.assert_close(ours.attention_map.sum(-1), torch.ones(3, N), rtol=1e-5, atol=1e-5)
    expected = written_out(theirs, x, 1.0)
    torch.testing.assert_close(ours.attention_map, expected, rtol=0.1, atol=0.02)  # bfloat16 has 8 bits
    mine = gradients(out.float().square().mean() + ours.attention_map.square().mean(), ours, x)
    other = gradients(theirs(x).square().mean() + expected.square().mean(), theirs, x)
    for one, plain in zip(mine, other, strict=True):
        assert float((one - plain).norm()) < 0.05 * float(plain.norm()) + 1e-4
