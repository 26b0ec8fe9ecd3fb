"""Tensors on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tippingpoint.lab.tensor_files import save_tensors


def test_tensors_and_words_come_back(tmp_path: Path) -> None:
    path, kept = tmp_path / "some.safetensors", torch.arange(6.0).reshape(2, 3)
    save_tensors({"kept": torch.zeros(1)}, path, {"name": "old"})
    save_tensors({"kept": kept}, path, {"name": "new"})
    with safe_open(path, framework="pt") as stream:
        assert json.loads(stream.metadata()["tippingpoint"]) == {"name": "new"}
        assert torch.equal(stream.get_tensor("kept"), kept)


def test_a_refusal_is_an_os_error_whoever_writes(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        save_tensors({"kept": torch.zeros(1)}, tmp_path / "vanished" / "some.safetensors", {})
