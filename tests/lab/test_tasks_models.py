"""Tasks whose models are of timm: trained, guided, fine-tuned and refused like our own."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tippingpoint.errors import ConfigError
from tippingpoint.lab import tasks
from tippingpoint.lab.models import build_model, load_model, read_about, save_model
from tippingpoint.lab.models.export import export_model
from tippingpoint.lab.models.pixels import normalisation_of, set_normalisation

CNN = {"timm": "resnet18", "arguments": {"channels": [8, 8, 16, 16]}}
WIDE = {"timm": "resnet18", "arguments": {"channels": [16, 16, 32, 32]}}
DEIT = {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 7}
EQ3 = {"label_weight": 0.5, "temperature": 2.0, "attention_weight": 1.0, "attention_temperature": 1.0}
PRETRAIN: dict[str, Any] = {
    "kind": "pretrain",
    "model": CNN,
    "data": {"name": "digits[0-4]", "image_size": 14, "channels": 1, "validation_fraction": 0.2},
    "n_images": 60,
    "subset_seed": 0,
    "seed": 0,
    "training": {"length": {"steps": 60}, "batch_size": 16, "learning_rate": 5e-3, "warmup_steps": 3},
    "guidance": None,
    "teachers": [],
}


def changed(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(task), **changes}


FINETUNE = changed(PRETRAIN, kind="finetune", data={**PRETRAIN["data"], "name": "digits[5-9]"}, n_images=40)


def done(task: dict[str, Any], folder: Path, **parents: Path) -> tuple[dict[str, Any], Path]:
    tasks.prepare_worker()
    folder.mkdir()
    result = tasks.execute(task, parents, folder)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return result, folder


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def test_a_convolutional_network_is_trained_to_the_bit(tmp_path: Path) -> None:
    first, folder = done(PRETRAIN, tmp_path / "a")
    again, other = done(PRETRAIN, tmp_path / "b")
    assert weights(folder) == weights(other)
    assert first["scores"] == again["scores"]
    assert first["scores"]["error"] < 0.6, "chance is 0.8: it learned"
    about = tasks.describe(PRETRAIN)
    assert (first["n_params"], first["flops"]) == (about["n_params"], about["flops"])
    stored = load_file(folder / "weights.safetensors")
    assert int(stored["bn1.num_batches_tracked"]) == 60, "batch statistics are kept with the weights"
    assert all(torch.equal(value, stored[name]) for name, value in load_model(folder).state_dict().items())


def test_fine_tuning_goes_on_from_trunk_and_statistics(tmp_path: Path) -> None:
    _, pretrained = done(PRETRAIN, tmp_path / "pretrained")
    model = tasks._start(FINETUNE, 5, {"init": pretrained})
    stored, begun = load_file(pretrained / "weights.safetensors"), model.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in stored.items() if not name.startswith("fc."))
    assert not torch.equal(begun["fc.weight"], stored["fc.weight"]), "the head is fresh"
    result, _ = done(FINETUNE, tmp_path / "tuned", init=pretrained)
    assert result["scores"]["error"] < 0.6


def test_fine_tuning_keeps_the_scale_of_the_pixels(tmp_path: Path) -> None:
    told = {"mean": [0.4], "std": [0.3]}
    model = build_model(CNN, image_size=14, channels=1, n_classes=5, seed=1)
    set_normalisation(model, told)
    save_model(model, tmp_path, CNN, image_size=14, channels=1, n_classes=5)
    assert normalisation_of(tasks._start(FINETUNE, 5, {"init": tmp_path})) == told


@pytest.mark.parametrize(
    ("student", "teacher"),
    [(WIDE, CNN), ({**DEIT, "depth": 3, "heads": 3}, DEIT), (CNN, {**DEIT, "patch_size": 2})],
    ids=["spatial", "other depth", "outputs alone"],
)
def test_a_guided_student_hears_its_teacher(student: dict[str, Any], teacher: dict[str, Any], tmp_path: Path) -> None:
    outputs_alone = "timm" in student and "timm" not in teacher
    guidance = {**EQ3, "attention_weight": 0.0} if outputs_alone else EQ3
    short = changed(PRETRAIN, training={**PRETRAIN["training"], "length": {"steps": 12}})
    _, taught = done(changed(short, model=teacher), tmp_path / "teacher")
    before = weights(taught)
    task = changed(short, model=student, teachers=[teacher], guidance=guidance)
    result, folder = done(task, tmp_path / "guided", teacher_0=taught)
    assert weights(taught) == before
    curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))["curve"]
    assert all(point["kl"] > 0 and (point["attention"] > 0) == (not outputs_alone) for point in curve)
    scratch, plain = done(changed(short, model=student), tmp_path / "scratch")
    assert weights(plain) != weights(folder)
    assert result["flops"] == scratch["flops"]
    shuffled = changed(task, guidance={**guidance, "shuffle": "within_class"})
    _, mixed = done(shuffled, tmp_path / "shuffled", teacher_0=taught)
    assert weights(mixed) != weights(folder), "what the teacher says of the single image is gone"


def test_a_teacher_of_other_classes_is_named(tmp_path: Path) -> None:
    _, teacher = done(changed(PRETRAIN, data={**PRETRAIN["data"], "name": "digits[0-2]"}), tmp_path / "teacher")
    task = changed(PRETRAIN, teachers=[CNN], guidance=EQ3)
    with pytest.raises(ConfigError, match="knows 3 classes, the student's images have 5"):
        done(task, tmp_path / "guided", teacher_0=teacher)
    assert list((tmp_path / "guided").iterdir()) == [], "before any compute"


def test_weights_say_what_their_outputs_stand_for(tmp_path: Path) -> None:
    """A view numbers its classes anew, and nobody else can know which they were."""
    task = changed(PRETRAIN, data={**PRETRAIN["data"], "name": "digits[2,5,7]"})
    task["training"] = {**PRETRAIN["training"], "length": {"steps": 2}}
    _, folder = done(task, tmp_path / "view")
    assert read_about(folder).class_names == ["2", "5", "7"]
    told = export_model(folder, tmp_path / "model.safetensors", {})
    assert (told["n_classes"], told["class_names"]) == (3, ["2", "5", "7"])


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    _, pretrained = done(PRETRAIN, tmp_path / "pretrained")
    with pytest.raises(ConfigError, match="weights are of another model"):
        done(changed(FINETUNE, model=WIDE), tmp_path / "tuned", init=pretrained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"timm": "resnet81"}}, "has no model 'resnet81'"),
        ({"model": {**DEIT, "patch_size": 4}}, "do not tile"),
        ({"training": {**PRETRAIN["training"], "batch_size": 1}}, "set batch_size to at least 2"),
        ({"guidance": EQ3, "teachers": [DEIT]}, "are attention and those of the student resnet18 spatial"),
        ({"model": DEIT, "guidance": EQ3, "teachers": [{**DEIT, "patch_size": 2}]}, "has 50 tokens"),
        ({"guidance": EQ3, "teachers": [{"timm": "resnet81"}]}, "has no model 'resnet81'"),
        ({"grown_from": CNN}, "only a DeiT grows"),
    ],
)
def test_what_cannot_be_is_told_by_the_description(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tasks.describe(changed(PRETRAIN, **changes))


def test_faults_of_student_and_teacher_come_together() -> None:
    task = changed(PRETRAIN, model={"timm": "resnet81"}, guidance=EQ3, teachers=[{**DEIT, "patch_size": 3}])
    with pytest.raises(ConfigError) as caught:
        tasks.describe(task)
    assert len(caught.value.faults) == 2


def test_a_step_of_public_weights_is_timed_without_them() -> None:
    public = {**CNN, "weights": {"path": "nowhere.pth", "sha256": "0"}}
    assert 0 < tasks.time_step(changed(PRETRAIN, model=public), n_steps=1) < 5
