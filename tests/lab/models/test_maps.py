"""Maps of transformers and of convolutional networks, against what the layers give."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import MappedAttention, attention_maps, build_model, inspect_model, map_kind, recording

DEIT = {"heads": 2, "head_dim": 8, "depth": 3, "patch_size": 8}
RESNET = {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}}
VIT = {"timm": "vit_tiny_patch16_224", "arguments": {"patch_size": 8, "depth": 3, "embed_dim": 16, "num_heads": 2}}


def build(spec: dict[str, Any], size: int = 32) -> Any:
    return build_model(spec, image_size=size, channels=3, n_classes=4, seed=1).eval()


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        (RESNET, 1),  # timm's first place is the stem's activation
        ({"timm": "resnet50", "arguments": {"channels": [8, 16, 32, 64]}}, 1),
        ({"timm": "convnext_atto", "arguments": {"dims": [8, 16, 32, 64]}}, 0),
        ({"timm": "regnety_002"}, 1),
        ({"timm": "mobilenetv3_small_050"}, 1),
        ({"timm": "densenet121", "arguments": {"growth_rate": 8}}, 1),
    ],
)
def test_spatial_maps_are_the_mean_squares_of_the_stages(spec: dict[str, Any], first: int) -> None:
    """Against timm's own way to the same stages."""
    model = build(spec)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        stages = model.forward_intermediates(images, intermediates_only=True)[first:]
        with recording(model) as recorder:
            model(images)
            maps = recorder.maps()
    assert recorder.kind == map_kind(model) == "spatial"
    assert len(maps) == len(stages)
    for found, stage in zip(maps, stages, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, (stage**2).sum(dim=1).flatten(1) / stage.shape[1], rtol=1e-5, atol=1e-7)
    sizes = inspect_model(spec, image_size=32, channels=3).map_sizes
    assert [size**2 for size in sizes] == [found.shape[1] for found in maps]


def test_stages_whose_channels_come_last() -> None:
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=28, embed_dim=12, depths=(1, 1), num_heads=(2, 2)
    )
    with torch.no_grad(), recording(model.eval()) as recorder:
        images = torch.randn(2, 3, 28, 28)
        stages = model.forward_intermediates(images, intermediates_only=True)
        model(images)
        for found, stage in zip(recorder.maps(), stages, strict=True):
            torch.testing.assert_close(found, stage.square().mean(dim=1).flatten(1), rtol=1e-5, atol=1e-7)


def test_a_transformer_of_timm_has_the_maps_of_ours() -> None:
    ours, theirs = build(DEIT), build(VIT)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 32, 32)
    # The patches go through a convolution in one and through a linear layer in the other: equal to rounding.
    maps = attention_maps(theirs, images, 2.0), attention_maps(ours, images, 2.0)
    torch.testing.assert_close(*maps, rtol=1e-5, atol=1e-6)


def test_other_attention_of_timm_is_left_as_it_is() -> None:
    """A model whose attention is of another kind is not changed in silence to have maps."""
    spec = {"timm": "vit_dpwee_patch16_reg1_gap_256", "arguments": {"patch_size": 16, "depth": 2}}
    model = build(spec)
    assert not any(isinstance(part, MappedAttention) for part in model.modules())
    assert inspect_model(spec, image_size=32, channels=3).map_kind is None


@pytest.mark.parametrize("spec", [DEIT, RESNET])
def test_nothing_is_kept_and_nothing_changed(spec: dict[str, Any]) -> None:
    model = build(spec)
    images = torch.randn(2, 3, 32, 32)
    plain = model(images)
    with recording(model) as recorder:
        assert recorder.maps() == [], "before a forward pass there is nothing"
        recorded = model(images)
        first = [one.clone() for one in recorder.maps()]
        model(2 * images)
        assert not torch.equal(first[-1], recorder.maps()[-1]), "they are those of the last pass"
    torch.testing.assert_close(recorded, plain, rtol=1e-5, atol=1e-6)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(getattr(module, "attention_map", None) is None for module in model.modules())


@pytest.mark.parametrize("spec", [DEIT, RESNET])
def test_gradients_flow_through_the_maps(spec: dict[str, Any]) -> None:
    model = build(spec).train()
    with recording(model) as recorder:
        model(torch.randn(2, 3, 32, 32))
        sum(one.square().sum() for one in recorder.maps()).backward()
    name = "blocks.0.attn.qkv.weight" if spec is DEIT else "conv1.weight"
    assert model.get_parameter(name).grad.abs().max() > 0


def test_a_mixer_has_no_maps() -> None:
    spec = {"timm": "resmlp_12_224"}
    assert inspect_model(spec, image_size=32, channels=3).map_kind is None
    model = build(spec)
    with recording(model), pytest.raises(ConfigError, match="attention_weight: 0"):
        model(torch.randn(2, 3, 32, 32))
