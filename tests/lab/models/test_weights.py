"""Public weights: found, read and written into models as timm does it, or refused in one sentence."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import DeiTShape, build_deit, build_model, check_model, save_model, weights
from tippingpoint.lab.models.export import export_model
from tippingpoint.lab.models.pixels import normalisation_of, set_normalisation
from tippingpoint.lab.models.weights import find_weights, load_weights, published_name, resolve_weights, weights_folder

NARROW = {"channels": [8, 8, 8, 8]}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def resnet(n_classes: int = 4, seed: int = 0, **more: Any) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model("resnet18", num_classes=n_classes, **NARROW, **more)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(buffer)
    return model.eval()


def vit(size: int, patch: int = 8, seed: int = 0, **more: Any) -> nn.Module:
    torch.manual_seed(seed)
    shape = {"img_size": size, "patch_size": patch, "embed_dim": 16, "depth": 1, "num_heads": 2}
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=3, **shape, **more)
    nn.init.normal_(model.pos_embed)
    return model.eval()


def saved(tensors: Mapping[str, torch.Tensor], path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


def trunk(model: nn.Module, head: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if not name.startswith(f"{head}.")}


@pytest.mark.parametrize("wrapped", ["plain", "model", "state_dict", "both"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_every_wrapping_gives_the_same_trunk_and_keeps_the_head(tmp_path: Path, wrapped: str, suffix: str) -> None:
    public, model = resnet(10), resnet(4, seed=1)
    tensors: Any = {f"module.{name}": value for name, value in public.state_dict().items()}
    content = {
        "plain": tensors,
        "model": {"model": tensors, "args": argparse.Namespace(lr=1.0), "epoch": 3},
        "state_dict": {"state_dict": tensors},
        "both": {"state_dict": {"model": tensors}},
    }[wrapped]
    torch.save(content, tmp_path / f"w{suffix}")
    head = copy.deepcopy(model.fc.state_dict())
    load_weights(model, tmp_path / f"w{suffix}")
    torch.testing.assert_close(trunk(model, "fc"), trunk(public, "fc"), rtol=0, atol=0)
    torch.testing.assert_close(dict(model.fc.state_dict()), dict(head), rtol=0, atol=0)


def test_the_model_sees_pixels_as_it_was_trained_on_them(tmp_path: Path) -> None:
    public, model = resnet(), resnet(seed=1)
    path = saved(public.state_dict(), tmp_path / "w.safetensors")
    load_weights(model, path)
    assert normalisation_of(model) == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    model.fc.load_state_dict(public.fc.state_dict())
    pixels = torch.rand(3, 3, 20, 20)
    with torch.no_grad():
        torch.testing.assert_close(model(pixels * 2 - 1), public((pixels - MEAN) / STD), rtol=1e-4, atol=1e-5)
        load_weights(model, path)  # the scale is set, not set again on top
        torch.testing.assert_close(model(pixels * 2 - 1), public((pixels - MEAN) / STD), rtol=1e-4, atol=1e-5)
        twin = copy.deepcopy(model)
        set_normalisation(model, None)
        torch.testing.assert_close(model(pixels), public(pixels), rtol=0, atol=0)
        torch.testing.assert_close(twin(pixels * 2 - 1), public((pixels - MEAN) / STD), rtol=1e-4, atol=1e-5)
    assert normalisation_of(model) is None
    assert set(model.state_dict()) == set(public.state_dict()), "the scale has no tensors"


def test_grey_images_are_read_by_the_sum_over_colours(tmp_path: Path) -> None:
    public, model = resnet(), resnet(seed=1, in_chans=1)
    load_weights(model, saved(public.state_dict(), tmp_path / "w.safetensors"))
    model.fc.load_state_dict(public.fc.state_dict())
    torch.testing.assert_close(model.conv1.weight[:, 0], public.conv1.weight.sum(dim=1), rtol=1e-6, atol=1e-7)
    grey = torch.rand(2, 1, 20, 20)
    with torch.no_grad():
        scaled = (grey - MEAN.mean()) / STD.mean()
        torch.testing.assert_close(model(grey * 2 - 1), public(scaled.expand(2, 3, 20, 20)), rtol=1e-4, atol=1e-5)


def test_positions_are_resampled_as_timm_does_it(tmp_path: Path) -> None:
    public = vit(32)
    path = saved(public.state_dict(), tmp_path / "w.safetensors")
    model, oracle = vit(48, seed=1), vit(48, seed=2)
    load_weights(model, path)
    timm.models.load_pretrained(
        oracle,
        {"file": str(path), "num_classes": 3, "input_size": (3, 32, 32), "classifier": "head"},
        num_classes=3,
        filter_fn=timm.models.vision_transformer.checkpoint_filter_fn,
    )
    assert model.pos_embed.shape[1] == 37
    torch.testing.assert_close(trunk(model, "head"), trunk(oracle, "head"), rtol=0, atol=0)
    assert normalisation_of(model) == {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize("name", ["test_convnext2", "test_efficientnet", "test_vit2", "test_vit_relpos", "test_nfnet"])
def test_every_family_is_what_timm_makes_of_the_file(name: str, tmp_path: Path) -> None:
    """Grey images of another size, other classes: timm's own way from a file is the oracle."""
    torch.manual_seed(0)
    path = saved(timm.create_model(name).state_dict(), tmp_path / "w.safetensors")
    spec = {"timm": name, "weights": {"path": str(path)}}
    model = build_model(spec, image_size=96, channels=1, n_classes=3, seed=1).eval()
    size = {"img_size": 96} if "vit" in name else {}
    overlay = {"file": str(path)}
    oracle = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, in_chans=1, num_classes=3, **size)
    assert normalisation_of(model) == {key: list(oracle.pretrained_cfg[key]) for key in ("mean", "std")}
    set_normalisation(model, None)
    model.reset_classifier(0)
    oracle.eval().reset_classifier(0)
    images = torch.randn(2, 1, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(images), oracle(images), rtol=1e-4, atol=1e-5)


def test_layers_of_another_name_are_renamed_as_timm_does_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"img_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2, "num_classes": 3}
    public = timm.create_model("deit3_small_patch16_224", **shape)
    old = {name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): value for name, value in
           public.state_dict().items()}  # fmt: skip
    assert "blocks.0.gamma_1" in old
    model = timm.create_model("deit3_small_patch16_224", **shape)
    load_weights(model, saved(old, tmp_path / "w.safetensors"))
    torch.testing.assert_close(trunk(model, "head"), trunk(public, "head"), rtol=0, atol=0)


def test_a_file_of_ours_says_its_own_scale(tmp_path: Path) -> None:
    shape = DeiTShape(2, head_dim=4, depth=1, patch_size=4, image_size=8, channels=1)
    public, model = build_deit(shape, 5, 0), build_deit(shape, 3, 1)
    save_file(public.state_dict(), tmp_path / "w.safetensors", metadata={"tippingpoint": '{"schema_version": 1}'})
    load_weights(model, tmp_path / "w.safetensors")
    torch.testing.assert_close(trunk(model, "head"), trunk(public, "head"), rtol=0, atol=0)
    assert normalisation_of(model) is None, "ours are trained in [-1, 1]"
    about = '{"normalisation": {"mean": [0.2], "std": [0.4]}}'
    save_file(public.state_dict(), tmp_path / "v.safetensors", metadata={"tippingpoint": about})
    load_weights(model, tmp_path / "v.safetensors")
    assert normalisation_of(model) == {"mean": [0.2], "std": [0.4]}
    larger = build_deit(DeiTShape(2, head_dim=4, depth=1, patch_size=4, image_size=12, channels=1), 3, 1)
    load_weights(larger, tmp_path / "w.safetensors")
    assert larger.pos_embed.shape[1] == 10


@pytest.mark.parametrize("scale", [None, {"mean": [0.2], "std": [0.4]}])
def test_what_one_study_exports_is_public_weights_for_another(
    tmp_path: Path, scale: dict[str, list[float]] | None
) -> None:
    spec, image = {"timm": "resnet18", "arguments": NARROW}, {"image_size": 16, "channels": 1}
    trained = build_model(spec, **image, n_classes=6, seed=0)
    set_normalisation(trained, scale)
    save_model(trained, tmp_path, spec, **image, n_classes=6)
    export_model(tmp_path, tmp_path / "out.safetensors", {})
    found = resolve_weights("resnet18", str(tmp_path / "out.safetensors"))
    weights = {"path": str(found.path), "sha256": found.sha256}
    model = build_model({**spec, "weights": weights}, **image, n_classes=3, seed=1).eval()
    model.reset_classifier(0)
    trained.eval().reset_classifier(0)
    pixels = torch.rand(4, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model(pixels), trained(pixels), rtol=1e-5, atol=1e-6)


def test_all_that_differs_is_told_at_once(tmp_path: Path) -> None:
    tensors = dict(resnet().state_dict())
    del tensors["layer1.0.conv1.weight"], tensors["layer1.0.bn1.num_batches_tracked"]
    tensors["extra.weight"] = torch.zeros(2)
    tensors["layer4.1.conv2.weight"] = torch.zeros(8, 9, 3, 3)
    model = resnet(seed=1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError) as caught:
        load_weights(model, saved(tensors, tmp_path / "w.safetensors"))
    (said,) = caught.value.faults
    assert "does not fit resnet18: missing of its 126 tensors: 1 (layer1.0.conv1.weight);" in said
    assert "; not its own: 1 (extra.weight);" in said
    assert "; of another shape: 1 (layer4.1.conv2.weight is 8x9x3x3 and not 8x8x3x3)" in said
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert normalisation_of(model) is None, "nothing was changed"


def test_weights_of_another_kind_are_refused_in_short(tmp_path: Path) -> None:
    path = saved(vit(32).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        ConfigError, match=r"tensors: 105 \(conv1.weight, .*, …\); not its own: 20 \(.*, …\)\. Name"
    ) as caught:
        load_weights(resnet(), path)
    assert len(str(caught.value)) < 600
    with pytest.raises(ConfigError, match="missing of its"):
        load_weights(vit(32), saved(resnet().state_dict(), tmp_path / "v.safetensors"))
    one = saved(resnet(in_chans=1).state_dict(), tmp_path / "grey.safetensors")
    with pytest.raises(ConfigError, match=r"conv1\.weight is 64x1x7x7 and not 64x3x7x7"):
        load_weights(resnet(), one)


class Stranger:
    """What a pickle must not bring to life."""


def test_files_that_are_none(tmp_path: Path) -> None:
    model = resnet()
    torch.save({"model": Stranger()}, tmp_path / "code.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    (tmp_path / "text.safetensors").write_text("hello", encoding="utf-8")
    (tmp_path / "nothing.pt").write_bytes(b"")
    saved({"a": torch.zeros(300)}, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:200])
    for name in ("code.pth", "text.pth", "text.safetensors", "nothing.pt", "cut.safetensors", "absent.pth"):
        with pytest.raises(ConfigError, match=f"{name}: cannot be read as weights") as caught:
            load_weights(model, tmp_path / name)
        assert len(caught.value.faults) == 1
    for name in ("empty.pth", "list.pth"):
        with pytest.raises(ConfigError, match="holds no tensors by name"):
            load_weights(model, tmp_path / name)
    path = saved(resnet(seed=3).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="is not the file that was planned with"):
        load_weights(model, path, "0" * 64)
    load_weights(model, path, resolve_weights("resnet18", str(path)).sha256)


def test_where_weights_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIPPINGPOINT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    full = published_name("resnet18")
    assert full.startswith("resnet18.")
    assert published_name(full) == full
    assert find_weights("resnet18", "hub") is None
    with pytest.raises(ConfigError, match=rf"a study fetches nothing: run 'tippingpoint weights fetch {full}' first"):
        resolve_weights("resnet18", "hub", tmp_path)
    monkeypatch.setenv("TIPPINGPOINT_DATA", str(tmp_path / "data"))
    assert weights_folder() == tmp_path / "data" / "weights"
    weights_folder().mkdir(parents=True)
    path = saved({"a": torch.zeros(2)}, weights_folder() / f"{full}.safetensors")
    for folder in (None, tmp_path / "elsewhere"):
        found = resolve_weights("resnet18", "hub", folder)
        assert found == (path, found.sha256, f"timm {full}")
    before = found.sha256
    saved({"a": torch.ones(3)}, path)
    assert resolve_weights("resnet18", "hub").sha256 != before, "a changed file is read anew"
    saved({"a": torch.zeros(2)}, tmp_path / "own.safetensors")
    assert resolve_weights("resnet18", "own.safetensors", tmp_path) == (tmp_path / "own.safetensors", before, "file")


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("resnet81", "hub", r"'resnet81' is no model of timm. Did you mean 'resnet\d+'?"),
        ("resnet18.mine", "hub", "timm knows no weights 'mine' of resnet18: published are resnet18."),
        ("resnet10t", "other.bin", "is neither 'hub' nor a file that ends in .safetensors, .pth, .pt"),
        ("resnet10t", "other.pth", "there is no file other.pth; give the path"),
    ],
)
def test_names_that_are_none(name: str, given: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        find_weights(name, given)


def test_a_model_is_held_against_its_file_before_anything_is_trained(tmp_path: Path) -> None:
    """So that a study of days does not fail at the cell whose turn comes last."""
    net, former = {"timm": "resnet18", "arguments": NARROW}, {"timm": "vit_tiny_patch16_224"}
    fits = saved(resnet().state_dict(), tmp_path / "net.safetensors")
    large = timm.create_model("vit_tiny_patch16_224")  # of 224 pixels: its positions are resampled
    other = saved(large.state_dict(), tmp_path / "former.safetensors")
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")

    def check(words: Mapping[str, Any], path: Path) -> None:
        found = resolve_weights(str(words["timm"]), str(path))
        check_model({**words, "weights": {"path": str(found.path), "sha256": found.sha256}}, 32, 3)

    check(net, fits)
    check(former, other)
    for words, path, fault in (
        (net, other, r"former\.safetensors: does not fit resnet18: missing"),
        (former, fits, r"net\.safetensors: does not fit vit_tiny_patch16_224: missing"),
        ({"timm": "resnet18"}, fits, r"of another shape: 95 \(layer1\.0\.bn1\.bias is 8 and not 64"),
        (net, tmp_path / "text.pth", r"text\.pth: cannot be read as weights: "),
    ):
        with pytest.raises(ConfigError, match=fault):
            check(words, path)


def test_a_rule_of_timm_that_needs_the_models_own_numbers_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(tensors: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
        return tensors if float(model.state_dict()["conv1.weight"].abs().sum()) else {}

    monkeypatch.setattr(weights, "_filter_of", lambda model: rule)
    path = saved(resnet().state_dict(), tmp_path / "w.safetensors")
    check_model({"timm": "resnet18", "arguments": NARROW, "weights": {"path": str(path)}}, 32, 3)
