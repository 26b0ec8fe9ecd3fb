"""Trained models in files: what is saved is what is loaded, and files of earlier versions open for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tippingpoint.errors import StoreError
from tippingpoint.lab.models import DeiTShape, build_deit, build_model, load_model, read_about, save_model
from tippingpoint.lab.models.pixels import normalisation_of, set_normalisation

IMAGE = {"image_size": 32, "channels": 3, "n_classes": 4}
SPECS = [
    {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 8},
    {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 8, "distillation_token": True},
    {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}},
]


def lived(spec: dict[str, Any]) -> torch.nn.Module:
    """Return a model with weights and statistics as after training."""
    model = build_model(spec, **IMAGE, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model(torch.randn(8, 3, 32, 32) + 1)  # batch statistics move
    return model.eval()


@pytest.mark.parametrize("spec", SPECS)
def test_a_saved_model_is_the_same_when_loaded(spec: dict[str, Any], tmp_path: Path) -> None:
    model = lived(spec)
    save_model(model, tmp_path, spec, **IMAGE)
    again = load_model(tmp_path)
    assert not again.training
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    about = read_about(tmp_path)
    assert (about.spec, about.image_size, about.channels, about.n_classes) == (spec, 32, 3, 4)


def test_a_file_says_version_2_and_its_words(tmp_path: Path) -> None:
    spec = {**SPECS[2], "weights": {"path": "/home/someone/a.pth", "sha256": "ab"}}
    path = save_model(lived(SPECS[2]), tmp_path, spec, **IMAGE)
    with safe_open(path, framework="pt") as stream:
        about = json.loads(stream.metadata()["tippingpoint"])
    assert about["schema_version"] == 2
    assert about["model"] == {**SPECS[2], "weights": {"sha256": "ab"}}, "no path of a machine"
    assert read_about(tmp_path).n_classes == 4
    assert load_model(tmp_path) is not None, "public weights are not asked for again"


@pytest.mark.parametrize("token", [False, True])
def test_files_of_version_1_open(token: bool, tmp_path: Path) -> None:
    """As the first version of this package wrote them, word for word."""
    said = {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 7, "image_size": 28, "channels": 1}
    said |= {"distillation_token": True} if token else {}
    model = build_deit(DeiTShape(**said), 5, seed=9).eval()
    about = json.dumps({"schema_version": 1, "shape": said, "n_classes": 5})
    save_file(model.state_dict(), tmp_path / "weights.safetensors", metadata={"tippingpoint": about})
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(images), model(images))
    stored = read_about(tmp_path)
    assert (stored.image_size, stored.channels, stored.n_classes) == (28, 1, 5)
    assert build_model(stored.spec, image_size=28, channels=1, n_classes=5, seed=0) is not None


def test_the_scale_of_a_public_models_pixels_is_kept(tmp_path: Path) -> None:
    model = lived(SPECS[2])
    set_normalisation(model, {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]})
    save_model(model, tmp_path, SPECS[2], **IMAGE)
    again, images = load_model(tmp_path), torch.randn(2, 3, 32, 32)
    assert normalisation_of(again) == {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    with torch.no_grad():
        assert torch.equal(again(images), model(images))


def test_the_scale_serves_scoring_and_training_in_any_order() -> None:
    batch = torch.rand(2, 3, 32, 32) * 2 - 1
    first, second = lived(SPECS[2]), lived(SPECS[2])
    for model in (first, second):
        set_normalisation(model, {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.3]})
    with torch.inference_mode():
        scored = first(batch)
    asked = batch.clone().requires_grad_()
    for model in (first, second):
        told = model(asked)
        assert torch.equal(told, scored)
        told.sum().backward()
    assert asked.grad is not None
    wide = first.double()(batch.double())
    torch.testing.assert_close(wide, scored.double(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(wide.float(), scored), "in other numbers it is another scale"


def test_weights_that_share_one_buffer_or_another_order_of_memory_are_saved(tmp_path: Path) -> None:
    """As an optimiser lays them out that keeps all parameters in one tensor."""
    model = lived(SPECS[2]).to(memory_format=torch.channels_last)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = list(model.parameters())
    flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.data = part.view(parameter.shape)
    save_model(model, tmp_path, SPECS[2], **IMAGE)
    stored = load_file(tmp_path / "weights.safetensors")
    assert set(stored) == set(expected)
    assert all(torch.equal(stored[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 3}, "later version"),
        ({"model": {"timm": "no_such_model"}}, "has no model"),
        ({"model": {"heads": 3, "head_dim": 8, "depth": 2, "patch_size": 8}}, "size mismatch"),
    ],
)
def test_files_that_are_not_ours_are_named(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    about = {"schema_version": 2, "model": SPECS[0], **IMAGE, **change}
    state = {name: value.clone() for name, value in lived(SPECS[0]).state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors", metadata={"tippingpoint": json.dumps(about)})
    with pytest.raises(StoreError, match=f"(?s)cannot be read as a model .*{words}"):
        load_model(tmp_path)


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"weights\.safetensors: cannot be read as a model"):
        read_about(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(StoreError, match="cannot be read as a model"):
        load_model(tmp_path)


def test_a_disk_that_refuses_is_a_sentence_and_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"weights\.safetensors: cannot be written \(.*free room on the disk"
    ) as caught:
        save_model(lived(SPECS[0]), tmp_path / "vanished", SPECS[0], **IMAGE)
    assert isinstance(caught.value.__cause__, OSError), "by that a worker knows that no other cell would fare better"
