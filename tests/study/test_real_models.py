"""What the package's own laboratory finds wrong with a study's models, weights and augmentation, before any compute."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tippingpoint.errors import ConfigError
from tippingpoint.study.config import AugmentationSettings
from tippingpoint.study.laboratory import RealLaboratory
from tippingpoint.study.load import load_study
from tippingpoint.study.recipes import SelfDistilled

STUDY = """\
name: real
upstream: digits[0-4]
downstream: ["digits[5-9]"]
image: {size: 8, channels: 1}
model:
  patch_size: 4
  depth: 2
  head_dim: 4
  ladder:
    fine: {heads: 2, patch_size: 2}
    net: {timm: resnet18, arguments: {channels: [4, 4, 8, 8]}}
n_pretrain: [40]
n_finetune: [40]
recipes:
  scratch: {students: [1, 2, net, fine]}
  distilled: {pairs: [{teacher: 1, student: 2}]}
seeds: 1
pretraining: {batch_size: 16, learning_rate: 2e-3, length: {steps: 12}}
finetuning: {batch_size: 16, learning_rate: 1e-3, length: {steps: 8}}
"""
NET = "net: {timm: resnet18, arguments: {channels: [4, 4, 8, 8]}}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (NET, "net: {timm: resnet81}", "resnet18"),
        (NET, "net: {timm: resnet18, arguments: {chanels: [4, 4, 8, 8]}}", "chanels"),
        ("{teacher: 1, student: 2}]", "{teacher: fine, student: 2}]", "tokens"),
        ("{teacher: 1, student: 2}]", "{teacher: net, student: 2}]", "attention_weight"),
        ("pretraining: {batch_size: 16", "pretraining: {batch_size: 1", "set batch_size to at least 2"),
        (NET, NET[:-1] + ", weights: hub}", "tippingpoint weights fetch"),
        (NET, NET[:-1] + ", weights: nowhere.pth}", "there is no file"),
        (NET, NET[:-1] + ", weights: nowhere.txt}", "is neither 'hub' nor a file"),
        ("seeds: 1", "seeds: 1\naugmentation: {saturation: 0.5}", "saturation needs colour"),
        ("seeds: 1", "seeds: 1\naugmentation_of: {'digits[5-9]': {crop_padding: 8}}", "out of sight"),
    ],
)
def test_one_sentence_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str) -> None:
    assert STUDY.count(old) == 1
    monkeypatch.setenv("TIPPINGPOINT_DATA", str(tmp_path))
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    assert len(caught.value.faults) == 1, caught.value.faults
    line = next(
        number for number, text in enumerate(STUDY.replace(old, new).splitlines(), 1) if new.splitlines()[-1] in text
    )
    for fault in caught.value.faults:
        assert words in fault
        assert fault.startswith(f"{path}:")
        assert fault[-1] in ".?"
        assert not fault.endswith("?.")
        if "batch_size" not in words:  # that one stands at the model
            assert fault.startswith(f"{path}:{line}:")
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.yaml"]


def test_a_file_of_another_model_is_told_with_all_other_faults(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "wide.safetensors")
    given = NET[:-1] + f", weights: {tmp_path / 'wide.safetensors'}}}"
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace(NET, given).replace("[40]", "[4000]", 1), encoding="utf-8")
    for planning in (True, False):
        with pytest.raises(ConfigError) as caught:
            load_study(path, planning=planning)
        weights, sizes = caught.value.faults
        assert "model.ladder.net.weights: " in weights
        assert "wide.safetensors: does not fit resnet18" in weights
        assert "n_pretrain.0: 4000 images are asked for" in sizes


def test_settings_of_augmentation_are_the_laboratorys() -> None:
    """The study's own class exists for its words and places; keys and defaults are those of the laboratory."""
    from tippingpoint.lab.data.augmentation import Augmentation

    assert AugmentationSettings().model_dump() == vars(Augmentation())
    assert RealLaboratory().augmentation_faults(AugmentationSettings().model_dump(mode="json"), 8, 1) == []


@pytest.mark.parametrize("value", [9e-4, 1e-3, 1e3, 1001.0])
@pytest.mark.parametrize("name", ["temperature", "attention_temperature"])
def test_bounds_of_temperatures_are_the_laboratorys(name: str, value: float) -> None:
    """The study says them again, because it imports no torch."""
    from tippingpoint.lab.training.losses import Guidance

    for settings, words in ((Guidance, {}), (SelfDistilled, {"students": [1]})):
        with nullcontext() if 1e-3 <= value <= 1e3 else pytest.raises(ValueError, match="temperature"):
            settings(**words, **{name: value})
