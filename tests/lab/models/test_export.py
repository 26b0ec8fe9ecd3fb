"""What is exported is used by timm alone, and gives what our model gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import build_model, load_model, save_model
from tippingpoint.lab.models.export import export_model
from tippingpoint.lab.models.pixels import set_normalisation

DEIT = {"heads": 3, "head_dim": 8, "depth": 2, "patch_size": 8}
IMAGE = {"image_size": 32, "channels": 3, "n_classes": 5}
SPECS = [
    DEIT,
    {**DEIT, "distillation_token": True},
    {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}},
    {"timm": "convnext_atto", "arguments": {"dims": [8, 16, 32, 64], "depths": [1, 1, 1, 1]}},
    {"timm": "vit_tiny_patch16_224", "arguments": {"patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3}},
]


def cell(folder: Path, spec: dict[str, Any], normalisation: dict[str, list[float]] | None = None) -> Path:
    """Save a model none of whose weights and statistics is as it started."""
    model = build_model(spec, **IMAGE, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model(torch.randn(8, 3, 32, 32) + 1)
    set_normalisation(model, normalisation)
    save_model(model, folder, spec, **IMAGE)
    return folder


def timms(path: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Load the pair of files as somebody would who has never heard of this package."""
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    model = timm.create_model(about["create_model"]["name"], **about["create_model"]["kwargs"])
    model.load_state_dict(load_file(path))
    return model.eval(), about


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("scale", [None, {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}])
def test_timm_alone_gives_our_models_logits(
    spec: dict[str, Any], scale: dict[str, list[float]] | None, tmp_path: Path
) -> None:
    folder, path = cell(tmp_path, spec, scale), tmp_path / "out" / "model.safetensors"
    export_model(folder, path, {"cell": "k"})
    theirs, about = timms(path)
    pixels = torch.rand(4, 3, 32, 32)  # in [0, 1], as everybody has them
    mean, std = (torch.tensor(about["input"][name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        expected = load_model(folder)(2 * pixels - 1)
        torch.testing.assert_close(theirs((pixels - mean) / std), expected, rtol=1e-4, atol=1e-5)
    assert expected.abs().max() > 0.05
    assert about["input"]["size"] == [3, 32, 32]
    assert about["cell"] == "k"
    assert about["class_names"] is None, "of files that did not keep them"
    call = eval(about["python"], {"timm": timm})
    call.load_state_dict(load_file(path))


def test_the_same_model_gives_the_same_files(tmp_path: Path) -> None:
    folder = cell(tmp_path, DEIT)
    first, again = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in (first, again):
        export_model(folder, path, {})
    assert first.read_bytes() == again.read_bytes()
    assert str(tmp_path) not in first.with_suffix(".json").read_text(encoding="utf-8")


def test_a_timm_that_builds_another_model_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, create = cell(tmp_path, DEIT), timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **kwargs: create(name, **{**kwargs, "num_classes": 7}))
    with pytest.raises(ConfigError, match="builds another vit_tiny_patch16_224"):
        export_model(folder, tmp_path / "a.safetensors", {})
    assert not (tmp_path / "a.safetensors").exists()
