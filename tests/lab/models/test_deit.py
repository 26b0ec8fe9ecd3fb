from __future__ import annotations

import dataclasses

import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import (
    DeiTShape,
    MappedAttention,
    attention_maps,
    build_deit,
    count_parameters,
    forward_flops,
    recording,
)
from tippingpoint.lab.models.linear import Linear

SMALL = DeiTShape(heads=2, head_dim=8, depth=3, patch_size=7, image_size=28, channels=1)


@pytest.mark.parametrize(
    ("heads", "millions_100", "millions_1000"), [(2, 2.52, 2.63), (4, 9.75, 9.98), (6, 21.70, 22.05), (8, 38.38, 38.84)]
)
def test_the_papers_sizes(heads: int, millions_100: float, millions_1000: float) -> None:
    """DeiT with heads of 64, depth 12, 224/16; THEORY lists both counts."""
    shape = DeiTShape(heads=heads)
    for n_classes, millions in ((100, millions_100), (1000, millions_1000)):
        trunk, head = count_parameters(build_deit(shape, n_classes, seed=0))
        assert head == (shape.embed_dim + 1) * n_classes
        assert round((trunk + head) / 1e6, 2) == millions


def test_trunk_size_does_not_depend_on_the_classes() -> None:
    sizes = {count_parameters(build_deit(SMALL, n_classes, seed=0))[0] for n_classes in (2, 10, 100)}
    assert len(sizes) == 1


def test_flops_by_hand() -> None:
    d, tokens, patches, depth = SMALL.embed_dim, 17, 16, SMALL.depth
    macs = patches * 49 * d  # patch embedding
    macs += depth * tokens * (3 * d * d + d * d + 8 * d * d)  # qkv, projection, MLP
    macs += depth * 2 * tokens * tokens * d  # scores and their use
    macs += d * 10  # head
    assert forward_flops(build_deit(SMALL, 10, seed=0), 28, 1) == 2 * macs


def test_weights_are_a_function_of_the_seed() -> None:
    state = torch.get_rng_state()
    first, again, other = (build_deit(SMALL, 4, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left alone"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], other["blocks.0.attn.qkv.weight"])


def test_trunk_weights_do_not_depend_on_the_classes() -> None:
    first, other = build_deit(SMALL, 4, seed=3).state_dict(), build_deit(SMALL, 7, seed=3).state_dict()
    assert all(torch.equal(first[name], other[name]) for name in first if not name.startswith("head."))


def test_heads_start_alike_whatever_the_depth() -> None:
    deeper = DeiTShape(**{**vars(SMALL), "depth": 4})
    first, other = build_deit(SMALL, 4, seed=3).state_dict(), build_deit(deeper, 4, seed=3).state_dict()
    assert torch.equal(first["head.weight"], other["head.weight"])
    assert not torch.equal(first["head.weight"], build_deit(SMALL, 4, seed=4).state_dict()["head.weight"])


def test_attention_maps_are_the_softmax_of_the_scores() -> None:
    model = build_deit(SMALL, 4, seed=1).eval()
    images = torch.randn(3, 1, 28, 28)
    maps = attention_maps(model, images, temperature=2.0)
    assert maps.shape == (3, 3, 17, 17)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 3, 17), rtol=1e-5, atol=1e-6)
    # The first layer by hand, from the inputs of its attention.
    block = model.blocks[0]
    with torch.no_grad():
        x = block.norm1(model._pos_embed(model.patch_embed(images)))
        q, k, _ = block.attn.qkv(x).reshape(3, 17, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        expected = (q @ k.transpose(-2, -1) / 8**0.5 / 2.0).softmax(-1).mean(1)
    torch.testing.assert_close(maps[0], expected, rtol=1e-5, atol=1e-6)


def test_the_layer_is_timms() -> None:
    """Recording or not, open or fused, the layer computes what timm's computes."""
    ours = MappedAttention(16, num_heads=2, qkv_bias=True)
    fused = MappedAttention.__mro__[1](16, num_heads=2, qkv_bias=True)
    fused.load_state_dict(ours.state_dict())
    x = torch.randn(2, 17, 16)
    torch.testing.assert_close(ours(x), fused(x), rtol=1e-5, atol=1e-6)
    with recording(ours, 3.0) as recorder:
        torch.testing.assert_close(ours(x), fused(x), rtol=1e-5, atol=1e-6)
        assert recorder.maps()[0].shape == (2, 17, 17)
    assert ours.attention_map is None, "nothing is kept after the block"
    long = torch.randn(1, 80, 16)
    torch.testing.assert_close(ours(long), fused(long), rtol=1e-5, atol=1e-6)


def test_a_distillation_token_leaves_the_rest_of_the_model_alone() -> None:
    plain = build_deit(SMALL, 4, seed=3)
    token = build_deit(dataclasses.replace(SMALL, distillation_token=True), 4, seed=3)
    first, other = plain.state_dict(), token.state_dict()
    assert set(other) - set(first) == {"dist_token", "head_dist.weight", "head_dist.bias"}
    assert all(torch.equal(first[name], other[name]) for name in first if name != "pos_embed")
    assert torch.equal(first["pos_embed"], other["pos_embed"][:, [0, *range(2, 18)]])
    assert not torch.equal(other["head.weight"], other["head_dist.weight"])
    (size, head), (same_size, more) = count_parameters(plain), count_parameters(token)
    assert same_size == size
    assert more == 2 * head + 2 * SMALL.embed_dim, "a token, its position and a second head"
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        token.set_distilled_training(True)
        apart, together = token.train()(images), token.eval()(images)
    torch.testing.assert_close(together, (apart[0] + apart[1]) / 2, rtol=1e-5, atol=1e-6)


def test_shape_faults_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        DeiTShape(heads=0, depth=0)
    assert len(caught.value.faults) == 2
    with pytest.raises(ConfigError, match="do not tile"):
        DeiTShape(heads=2, patch_size=5, image_size=28)


@pytest.mark.parametrize("token", [False, True])
def test_faster_layers_compute_what_timms_compute(token: bool) -> None:
    ours = build_deit(dataclasses.replace(SMALL, distillation_token=token), 5, seed=0)
    assert type(ours.blocks[1].mlp.fc2) is Linear
    kind = VisionTransformerDistilled if token else VisionTransformer
    theirs = kind(img_size=28, patch_size=7, in_chans=1, num_classes=5, embed_dim=16, depth=3, num_heads=2)
    theirs.load_state_dict(ours.state_dict())
    images, results = torch.randn(100, 1, 28, 28), []
    for model in (ours, theirs):
        logits = model.train()(images)
        logits.square().sum().backward()
        results.append([logits.detach(), *(weight.grad for weight in model.parameters())])
    for mine, plain in zip(*results, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)
