"""``tippingpoint weights`` as a user types it, with a hub that stands in for the network."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import jsonschema
import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

import tippingpoint
from tippingpoint import cli
from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import fetching
from tippingpoint.lab.models.fetching import fetch_weights
from tippingpoint.lab.models.pixels import normalisation_of
from tippingpoint.lab.models.weights import load_weights, resolve_weights

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
NAME = "test_resnet.r160_in1k"


def check_schema(text: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))
    return found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Answer for the hub with random weights; the list tells what was asked of it."""
    asked: list[str] = []

    def answer(model_id: str, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
        asked.append(model_id)
        torch.manual_seed(7)
        made: dict[str, torch.Tensor] = timm.create_model("test_resnet").state_dict()
        return made

    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", answer)
    monkeypatch.setenv("TIPPINGPOINT_DATA", str(tmp_path / "data"))
    return asked


def test_fetched_once_and_found_by_a_study(capsys: pytest.CaptureFixture[str], hub: list[str], tmp_path: Path) -> None:
    assert cli.main(["weights", "list"]) == 0
    assert f"Nothing was fetched to {tmp_path / 'data' / 'weights'}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=f"run 'tippingpoint weights fetch {NAME}' first"):
        resolve_weights("test_resnet", "hub")
    assert cli.main(["weights", "fetch", "test_resnet"]) == 0
    out = capsys.readouterr().out
    path = tmp_path / "data" / "weights" / f"{NAME}.safetensors"
    assert f"{NAME}: fetched." in out
    assert str(path) in out
    assert "licence: apache-2.0" in out
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"SHA-256 {digest}" in out
    assert hub == [f"timm/{NAME}"]
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is left aside"
    assert cli.main(["weights", "fetch", NAME, "--json"]) == 0
    (found,) = check_schema(capsys.readouterr().out, "weights_fetch")["weights"]
    assert (found["reused"], found["sha256"], found["bytes"]) == (True, digest, path.stat().st_size)
    public = timm.create_model("test_resnet")
    assert found["n_params"] == sum(weight.numel() for weight in public.parameters())
    assert len(hub) == 1, "what is there is not fetched again"
    assert resolve_weights("test_resnet", "hub") == (path, digest, f"timm {NAME}")
    model = timm.create_model("test_resnet", num_classes=3)
    load_weights(model, path, digest)
    torch.manual_seed(7)
    public = timm.create_model("test_resnet")
    assert torch.equal(model.conv1[0].weight, public.conv1[0].weight)
    cfg = timm.get_pretrained_cfg(NAME)
    assert normalisation_of(model) == {"mean": list(cfg.mean), "std": list(cfg.std)}
    assert cli.main(["weights", "list", "test_resnet", "--json"]) == 0
    listed = check_schema(capsys.readouterr().out, "weights_list")
    assert [entry["sha256"] for entry in listed["fetched"]] == [digest]
    assert [entry["name"] for entry in listed["published"]] == [NAME]
    assert cli.main(["weights", "list", "test_resnet*"]) == 0
    assert f"{NAME}: apache-2.0, 160 pixels; fetched" in capsys.readouterr().out
    again = fetch_weights("test_resnet", tmp_path / "elsewhere.safetensors")
    assert again["sha256"] == digest, "the same weights give the same file"


def test_faults(capsys: pytest.CaptureFixture[str], hub: list[str], tmp_path: Path) -> None:
    assert cli.main(["weights", "fetch", "test_resnet", "resent18"]) == 2
    assert "'resent18' is no model of timm. Did you mean 'resne" in capsys.readouterr().err
    assert cli.main(["weights", "fetch", "test_resnet", "resnet18", "--to", "a.safetensors"]) == 2
    assert "--to takes the weights of one model" in capsys.readouterr().err
    assert cli.main(["weights", "fetch", "test_resnet", "--to", str(tmp_path / "a.pth")]) == 2
    assert "does not end in .safetensors" in capsys.readouterr().err
    (tmp_path / "notes.safetensors").write_text("hello", encoding="utf-8")
    assert cli.main(["weights", "fetch", "test_resnet", "--to", str(tmp_path / "notes.safetensors")]) == 2
    assert "is no file of fetched weights; remove it" in capsys.readouterr().err
    assert hub == [], "all of these are told before anything is fetched"
    fetch_weights("test_resnet", tmp_path / "one.safetensors")
    assert cli.main(["weights", "fetch", "test_vit", "--to", str(tmp_path / "one.safetensors")]) == 2
    assert f"holds the weights of {NAME}; remove it" in capsys.readouterr().err
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert cli.main(["weights", "fetch", "test_resnet", "--to", str(tmp_path / "file" / "w.safetensors")]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_a_download_that_fails_leaves_nothing(
    capsys: pytest.CaptureFixture[str], hub: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise LocalEntryNotFoundError("No route to the hub.\nMore lines.")

    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", refuse)
    monkeypatch.setattr(fetching, "_unreachable", lambda _: None)
    assert cli.main(["weights", "fetch", "test_resnet"]) == 3
    err = capsys.readouterr().err
    assert f"{NAME}: the weights could not be fetched (LocalEntryNotFoundError: No route to the hub); check" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_without_a_network_one_sentence_comes_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def unknown(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("TIPPINGPOINT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(fetching, "getproxies", dict)
    assert cli.main(["weights", "fetch", "test_resnet"]) == 3
    told = capsys.readouterr().err
    assert f"{NAME}: the weights could not be fetched (huggingface.co is not found from here: Name or service" in told
    assert told.count("\n") == 1, "no word of attempts"
    assert asked == ["huggingface.co"], "and none is made"
    assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(fetching, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert fetching._unreachable("https://huggingface.co") is None, "then the proxy knows"
