"""The one door to models: what any model by name or by heads must keep to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import timm
import torch
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import (
    build_deit,
    build_model,
    check_model,
    count_parameters,
    forward_flops,
    head_names,
    inspect_model,
    measure_model,
    without_weights,
)
from tippingpoint.lab.models.deit import DeiTShape

DEIT = {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 7}
RESNET = {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}}
CONVNEXT = {"timm": "convnext_atto", "arguments": {"dims": [8, 16, 32, 64], "depths": [1, 1, 1, 1]}}
VIT = {
    "timm": "vit_tiny_patch16_224",
    "arguments": {"patch_size": 7, "depth": 2, "embed_dim": 16, "num_heads": 2},
}
MODELS = [pytest.param(spec, id=str(spec.get("timm", "deit"))) for spec in (DEIT, RESNET, CONVNEXT, VIT)]


def build(spec: dict[str, Any], n_classes: int = 4, seed: int = 3) -> nn.Module:
    return build_model(spec, image_size=56, channels=1, n_classes=n_classes, seed=seed)


@pytest.mark.parametrize("spec", MODELS)
def test_weights_are_a_function_of_the_seed(spec: dict[str, Any]) -> None:
    state = torch.get_rng_state()
    first, again, other = (build(spec, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left alone"
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name, value in first.items() if value.ndim > 1]
    assert sum(not torch.equal(first[name], other[name]) for name in drawn) > len(drawn) / 2


@pytest.mark.parametrize("spec", MODELS)
def test_a_trunk_does_not_depend_on_the_classes(spec: dict[str, Any]) -> None:
    model = build(spec, 4)
    first, other, head = model.state_dict(), build(spec, 7).state_dict(), head_names(model)
    assert {name: first[name].shape[0] for name in head} == dict.fromkeys(head, 4)
    assert len(head) == 2, "a matrix and a bias"
    assert set(first) == set(other)
    assert all(torch.equal(first[name], other[name]) for name in first if name not in head)


@pytest.mark.parametrize("spec", MODELS)
def test_a_model_takes_grey_images_of_the_studys_size(spec: dict[str, Any]) -> None:
    model = build(spec)
    assert model.training
    assert not any(type(part) is nn.Linear for part in model.modules()), "all linear layers are the fast ones"
    assert model.eval()(torch.randn(3, 1, 56, 56)).shape == (3, 4)


@pytest.mark.parametrize("spec", MODELS)
def test_a_models_facts_are_those_of_the_built_one(spec: dict[str, Any]) -> None:
    """Counted without weights, they are those of the model with weights."""
    model = build(spec, 10)
    measured = measure_model(spec, 56, 1, 10)
    weights = {name: value.numel() for name, value in model.named_parameters()}
    head = sum(size for name, size in weights.items() if name in head_names(model))
    assert measured == (sum(weights.values()) - head, head, forward_flops(model, 56, 1))
    assert model.training, "it is left as it was"
    assert all(weight.requires_grad for weight in model.parameters())
    assert inspect_model(spec, image_size=56, channels=1).n_params == measured[0], "whatever the classes"


@pytest.mark.parametrize(("heads", "trunk"), [(2, 2_503_296), (4, 9_725_184), (6, 21_665_664), (8, 38_324_736)])
def test_the_papers_four_models_by_hand(heads: int, trunk: int) -> None:
    """2.5, 9.7, 21.7 and 38.3 million without a head: 12 blocks of width 64 heads, patches of 16 in 224 pixels."""
    d = 64 * heads
    block = 2 * 2 * d + (3 * d * d + 3 * d) + (d * d + d) + (8 * d * d + 5 * d)  # norms, qkv, projection, MLP
    assert trunk == 12 * block + (3 * 16 * 16 * d + d) + d + 197 * d + 2 * d  # patches, class token, places, last norm
    spec = {"heads": heads, "head_dim": 64, "depth": 12, "patch_size": 16}
    assert measure_model(spec, 224, 3, 1000)[:2] == (trunk, 1000 * (d + 1))


@pytest.mark.parametrize(
    ("name", "total", "macs"),
    # Parameters: torchvision's documentation of ResNet-18 and -50. Multiply-adds: 1.814 and 4.089 billion there.
    [("resnet18", 11_689_512, 1.814e9), ("resnet50", 25_557_032, 4.089e9)],
)
def test_sizes_of_known_resnets(name: str, total: int, macs: float) -> None:
    trunk, head, flops = measure_model({"timm": name}, 224, 3, 1000)
    assert trunk + head == total
    assert head == 1000 * (512 if name == "resnet18" else 2048) + 1000
    assert flops == pytest.approx(2 * macs, rel=5e-4)


def test_flops_of_a_resnet_by_hand() -> None:
    """Every convolution: outputs x inputs a group x kernel, at each position that it gives; then the head."""
    model = build(RESNET, 10).eval()
    counted = []

    def count(module: nn.Conv2d, _: Any, output: torch.Tensor) -> None:
        counted.append(output[0].numel() * module.in_channels // module.groups * module.kernel_size[0] ** 2)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    model(torch.zeros(1, 1, 56, 56))
    assert len(counted) == 21, "a stem, two a block, and one where a stage changes its width"
    by_hand = 2 * (sum(counted) + 64 * 10)
    assert forward_flops(model, 56, 1) == by_hand


def test_flops_count_the_attention_of_timms_transformers() -> None:
    """Timm's ViT of our shape is our DeiT: the same weights and the same work."""
    shape = DeiTShape(heads=2, head_dim=8, depth=2, patch_size=7, image_size=56, channels=1)
    ours, theirs = build_deit(shape, 4, seed=0), build(VIT)
    assert count_parameters(ours) == count_parameters(theirs)
    assert forward_flops(ours, 56, 1) == forward_flops(theirs, 56, 1)


def test_flops_of_fused_attention_are_counted_on_every_device() -> None:
    """A ViT of timm's as it comes, whose attention is one fused call on a CPU."""
    plain = timm.create_model("vit_tiny_patch16_224", img_size=56, in_chans=1, num_classes=4, **VIT["arguments"])
    assert plain.blocks[0].attn.fused_attn
    assert forward_flops(plain, 56, 1) == measure_model(VIT, 56, 1, 4)[2]


def test_heads_of_one_width_start_alike_whatever_the_trunk() -> None:
    deeper = {"timm": "resnet34", "arguments": RESNET["arguments"]}
    first, other = build(RESNET).state_dict(), build(deeper).state_dict()
    assert torch.equal(first["fc.weight"], other["fc.weight"])
    assert not torch.equal(first["fc.weight"], build(RESNET, seed=4).state_dict()["fc.weight"])


def test_batch_statistics_belong_to_the_weights() -> None:
    """Training moves them; they are in the state, and are no parameters."""
    model = build(RESNET)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(4, 1, 56, 56) + 3)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    assert sum(count_parameters(model)) == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("spec", "size", "words"),
    [
        ({"timm": "resnet81"}, 56, r"has no model 'resnet81'\. Did you mean 'resnet18'\?"),
        ({"timm": "hf-hub:timm/resnet18"}, 56, "has no model 'hf-hub"),
        ({"timm": "resnet18.no_such_tag"}, 56, "Invalid pretrained tag"),
        ({"timm": "resnet18", "arguments": {"chanels": [8]}}, 56, r"chanels; remove it\. Did you mean 'channels'"),
        ({"timm": "resnet18", "arguments": {"pretrained": True}}, 56, "pretrained of resnet18 is not yours"),
        ({"timm": "resnet18", "arguments": [8]}, 56, "give a mapping"),
        ({"timm": "resnet18", "arguments": {"channels": [8, 16]}}, 56, r"the arguments channels=\[8, 16\] cannot"),
        ({"timm": "resnet18", "arguments": {"channels": "wide"}}, 56, "timm cannot build resnet18 with the arguments"),
        ({"timm": "resmlp_12_224", "arguments": {"embed_dim": 8}}, 56, "resmlp_12_224 settles the argument embed_dim"),
        ({"timm": "resnet18", "arguments": {"drop_path_rate": 1.5}}, 56, r"drop_path_rate of .* 1\.5; it must lie in"),
        ({"timm": "resnet18", "arguments": {"channels": [8, math.inf]}}, 56, "its numbers must be finite"),
        ({"timm": "vit_tiny_patch16_224", "arguments": {"num_heads": 0}}, 56, "ZeroDivisionError"),
        ({"timm": "resnet18", "heads": 2}, 56, "there is no setting 'heads'"),
        ({"timm": "convnext_atto"}, 28, "convnext_atto cannot take images of 28 x 28"),
        ({"timm": "mobilenetv5_300m_enc"}, 56, "mobilenetv5_300m_enc ends in no classifier"),
        ({"timm": "vit_tiny_patch16_224"}, 56, "16 pixels wide, do not tile an image of 56"),
        ({**DEIT, "dephts": 3}, 56, "there is no setting 'dephts' here; remove it. Did you mean 'depth'"),
        ({**DEIT, "patch_size": 9}, 56, "do not tile"),
        ({}, 56, "say its number of heads"),
    ],
)  # fmt: skip
def test_bad_models_are_named_before_they_are_built(spec: dict[str, Any], size: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_model(spec, size, 3)
    assert all("\n" not in fault for fault in caught.value.faults), "one sentence each"


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_model_with_several_outputs_is_refused() -> None:
    with pytest.raises(ConfigError, match="one row of logits"):
        check_model({"timm": "inception_v3", "arguments": {"aux_logits": True}}, 299, 3)


def test_all_faults_of_a_name_and_its_arguments_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        check_model({"timm": "resnet81", "arguments": {"num_classes": 3, "in_chans": 1}, "head": 2}, 56, 1)
    assert len(caught.value.faults) == 4


def test_batch_normalisation_needs_a_batch() -> None:
    check_model(RESNET, 56, 1, batch_size=2)
    check_model(CONVNEXT, 56, 1, batch_size=1)
    with pytest.raises(ConfigError, match="set batch_size to at least 2"):
        check_model(RESNET, 56, 1, batch_size=1)


def test_a_checked_model_takes_no_memory() -> None:
    """A model far larger than this machine's memory is measured all the same."""
    trunk, _, _ = measure_model({"timm": "vit_giant_patch14_224", "arguments": {"embed_dim": 16384}}, 224, 3, 10)
    assert trunk > 1e11


def test_the_shape_of_a_model_is_its_words_without_weights() -> None:
    spec = {"timm": "resnet18", "weights": {"path": "a.pth", "sha256": "0"}}
    assert without_weights(spec) == {"timm": "resnet18"}


@pytest.mark.parametrize(
    "name",
    ["regnety_002", "mobilenetv3_small_050", "densenet121", "swin_tiny_patch4_window7_224", "coatnet_nano_rw_224"],
)
def test_other_families_are_built_and_measured(name: str) -> None:
    assert timm.is_model(name)
    facts = inspect_model({"timm": name}, image_size=224, channels=3)
    assert facts.map_kind == "spatial"
    assert facts.map_sizes[-1] == 7
    assert facts.n_params > 5e5


@pytest.mark.parametrize(
    ("name", "size", "kind"),
    [
        ("pvt_v2_b0", 64, "spatial"),  # its patches of 7 overlap: they need not tile the image
        ("twins_pcpvt_small", 64, None),  # timm says that its stages are modules, and they are none
        ("vit_small_r26_s32_224", 70, "attention"),  # tokens of a network's last map
    ],
)
def test_unusual_families_are_not_refused(name: str, size: int, kind: str | None) -> None:
    spec = {"timm": name}
    assert inspect_model(spec, image_size=size, channels=3).map_kind == kind
    if kind != "attention":
        model = build_model(spec, image_size=size, channels=3, n_classes=4, seed=1)
        assert model(torch.randn(2, 3, size, size)).shape == (2, 4)
