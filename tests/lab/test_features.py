"""Frozen features of a whole set: the public model's own numbers, in the order of the set."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tippingpoint.errors import ConfigError, StoreError
from tippingpoint.lab import tasks
from tippingpoint.lab.data import load_image_set
from tippingpoint.lab.features import extract, read_features

ARGUMENTS = {"channels": [8, 8, 8, 16]}
DATA = {"name": "digits[0-3]", "image_size": 16, "channels": 3}


def public(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return a model that stands for a published one, and how a task names it."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model("resnet18", num_classes=7, **ARGUMENTS)
    with torch.no_grad():
        for _ in range(5):
            model.train()(torch.randn(16, 3, 16, 16))
    save_file(model.state_dict(), folder / "public.safetensors")
    digest = hashlib.sha256((folder / "public.safetensors").read_bytes()).hexdigest()
    weights = {"path": str(folder / "public.safetensors"), "sha256": digest}
    return model.eval(), {"timm": "resnet18", "arguments": ARGUMENTS, "weights": weights}


def test_features_are_what_the_public_model_gives(tmp_path: Path) -> None:
    model, spec = public(tmp_path)
    task = {"kind": "features", "model": spec, "data": DATA}
    told: list[tuple[int, int]] = []
    tasks.prepare_worker()
    result = tasks.execute(task, {}, tmp_path, lambda done, total: told.append((done, total)))
    found = read_features(tmp_path)
    images = load_image_set("digits[0-3]", image_size=16, channels=3)
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    model.reset_classifier(0)  # type: ignore[operator]
    for part, pixels in (("train", images.train_images), ("test", images.test_images)):
        batch = torch.tensor(np.asarray(pixels)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            expected = model((batch - mean) / std)
        got = getattr(found, part)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    n_images = len(images.train_images) + len(images.test_images)
    assert (len(found.train), len(found.test), found.fingerprint) == (504, 216, images.fingerprint)
    assert "scores" not in result
    assert (result["n_features"], result["n_classes"], result["n_params_head"], result["n_steps"]) == (16, 4, 0, 9)
    assert result["n_params"] == sum(weight.numel() for weight in model.parameters())
    about = tasks.describe(task)
    assert about["flops"] == result["flops"]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 16, 16))
    head = 2 * 16 * 4  # a model is measured with its head
    assert about["flops"] == n_images * (counter.get_total_flops() + head)
    assert told == [(done, 9) for done in range(1, 10)]
    tasks.execute(task, {}, (tmp_path / "again").mkdir() or tmp_path / "again")
    assert (tmp_path / "again" / "features.safetensors").read_bytes() == (
        tmp_path / "features.safetensors"
    ).read_bytes()
    assert tasks.time_step({**task, "model": {**spec, "weights": {"path": "absent.pth", "sha256": ""}}}) > 0


def test_changed_weights_and_damaged_features_are_refused(tmp_path: Path) -> None:
    _, spec = public(tmp_path)
    other = {**spec, "weights": {**spec["weights"], "sha256": "0" * 64}}
    with pytest.raises(ConfigError, match="is not the file that was planned with"):
        tasks.execute({"kind": "features", "model": other, "data": DATA}, {}, tmp_path)
    with pytest.raises(StoreError, match=r"features.safetensors: cannot be read as features"):
        read_features(tmp_path)
    save_file({"train": torch.zeros(2, 2), "test": torch.zeros(1, 2)}, tmp_path / "features.safetensors")
    with pytest.raises(StoreError, match="remove the cell and run it again"):
        read_features(tmp_path)


class Map(nn.Module):
    """Gives a map where a vector is wanted, or numbers that are none."""

    def __init__(self, value: float, *shape: int) -> None:
        super().__init__()
        self.value, self.shape = value, shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), *self.shape), self.value)


def test_what_is_no_vector_of_numbers_is_refused() -> None:
    images = np.zeros((3, 4, 4, 1), dtype=np.uint8)
    assert extract(Map(2.0, 5), images).shape == (3, 5)
    with pytest.raises(ConfigError, match="one vector for an image"):
        extract(Map(2.0, 5, 2, 2), images)
    with pytest.raises(ConfigError, match="not finite"):
        extract(Map(float("nan"), 5), images)


def test_our_own_models_give_features_too(tmp_path: Path) -> None:
    model = {"heads": 2, "head_dim": 4, "depth": 1, "patch_size": 4}
    task = {
        "kind": "pretrain",
        "model": model,
        "data": {"name": "digits[0-4]", "image_size": 8, "channels": 1, "validation_fraction": 0.2},
        "n_images": 60,
        "subset_seed": 0,
        "seed": 0,
        "training": {"length": {"steps": 3}, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 1},
    }
    tasks.execute(task, {}, tmp_path)
    path = tmp_path / "weights.safetensors"
    weights = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    features = {
        "kind": "features",
        "model": {**model, "weights": weights},
        "data": {"name": "digits[5-9]", "image_size": 8, "channels": 1},
    }
    tasks.execute(features, {}, tmp_path)
    images = load_image_set("digits[5-9]", image_size=8, channels=1)
    trained = tasks.load_model(tmp_path)
    trained.reset_classifier(0)
    torch.testing.assert_close(
        load_file(tmp_path / "features.safetensors")["test"], extract(trained, images.test_images), rtol=0, atol=0
    )
