"""The door between a study and the laboratory: true, tiny trainings on the images that come with scikit-learn."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tippingpoint.errors import ConfigError, StoreError
from tippingpoint.lab import tasks
from tippingpoint.lab.training.checkpoints import EVERY_VARIABLE
from tippingpoint.lab.training.loop import train

MODEL = {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 7}
SMALL = {**MODEL, "heads": 1}
PRETRAIN: dict[str, Any] = {
    "kind": "pretrain",
    "model": MODEL,
    "data": {"name": "digits[0-4]", "image_size": 14, "channels": 1, "validation_fraction": 0.2},
    "n_images": 60,
    "subset_seed": 0,
    "seed": 0,
    "score_on": "test",
    "training": {"length": {"steps": 30}, "batch_size": 16, "learning_rate": 3e-3, "warmup_steps": 3},
    "guidance": None,
    "teachers": [],
    "label_smoothing": 0.0,
    "extra_flops": 0.0,
}


def changed(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(task), **changes}


GUIDED = changed(
    PRETRAIN,
    guidance={"label_weight": 0.5, "temperature": 2.0, "attention_weight": 1.0, "attention_temperature": 1.0},
    teachers=[SMALL],
)
FINETUNE = changed(
    PRETRAIN,
    kind="finetune",
    data={"name": "digits[5-9]", "image_size": 14, "channels": 1, "validation_fraction": 0.2},
    n_images=40,
)


def done(task: dict[str, Any], folder: Path, **parents: Path) -> tuple[dict[str, Any], Path]:
    tasks.prepare_worker()
    folder.mkdir()
    result = tasks.execute(task, parents, folder)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return result, folder


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "wall_s"}


def test_a_pretraining_and_its_repeat(tmp_path: Path) -> None:
    first, folder = done(PRETRAIN, tmp_path / "a")
    second, again = done(PRETRAIN, tmp_path / "b")
    assert without_time(first) == without_time(second)
    assert (folder / "weights.safetensors").read_bytes() == (again / "weights.safetensors").read_bytes()
    assert first["scores"]["error"] < 0.5, "chance is 0.8: it learned"
    assert first["scores"]["n_test"] > 200
    about = tasks.describe(PRETRAIN)
    assert (first["flops"], first["n_params"]) == (about["flops"], about["n_params"])
    assert first["teacher_flops"] == 0
    curve = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    assert curve["schema_version"] == 1
    assert curve["curve"][-1]["step"] == 30


def test_guided_and_scratch_students_differ_by_the_guidance_alone(tmp_path: Path) -> None:
    teacher_result, teacher = done(changed(PRETRAIN, model=SMALL), tmp_path / "teacher")
    scratch, scratch_folder = done(PRETRAIN, tmp_path / "scratch")
    guided, guided_folder = done(GUIDED, tmp_path / "guided", teacher_0=teacher)
    labels_alone = changed(GUIDED, guidance={**GUIDED["guidance"], "label_weight": 1.0, "attention_weight": 0.0})
    plain, plain_folder = done(labels_alone, tmp_path / "plain")
    assert (plain_folder / "weights.safetensors").read_bytes() == (scratch_folder / "weights.safetensors").read_bytes()
    assert plain["teacher_flops"] == 0, "a teacher that enters nothing is not charged"
    assert guided["scores"] != scratch["scores"]
    assert guided["flops"] == scratch["flops"]
    about = tasks.describe(GUIDED)
    assert guided["teacher_flops"] == teacher_result["flops"] + about["guidance_flops"]
    assert 0 < about["guidance_flops"] < about["flops"] / 3
    curve = json.loads((guided_folder / "curve.json").read_text(encoding="utf-8"))["curve"]
    assert all(point["kl"] > 0 and point["attention"] > 0 for point in curve)


def test_a_grown_student_starts_as_the_small_model(tmp_path: Path) -> None:
    small_result, small = done(changed(PRETRAIN, model=SMALL), tmp_path / "small")
    task = changed(PRETRAIN, grown_from=SMALL)
    model = tasks._start(task, 5, {"grown_from": small}).eval()
    images = torch.randn(8, 1, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(model(images), tasks.load_model(small)(images), rtol=1e-4, atol=1e-5)
    result, folder = done(task, tmp_path / "grown", grown_from=small)
    assert (result["n_params"], result["flops"]) == (
        tasks.describe(PRETRAIN)["n_params"],
        tasks.describe(task)["flops"],
    )
    assert result["teacher_flops"] == small_result["flops"], "the small model's training, and no forward pass of it"
    tuned, _ = done(FINETUNE, tmp_path / "tuned", init=folder)
    assert tuned["teacher_flops"] == 0, "the checkpoint's row carries it"


def test_a_distillation_token_is_pretrained_scored_and_fine_tuned(tmp_path: Path) -> None:
    _, teacher = done(changed(PRETRAIN, model=SMALL), tmp_path / "teacher")
    model = {**MODEL, "distillation_token": True}
    task = changed(GUIDED, model=model, guidance={**GUIDED["guidance"], "attention_weight": 0.0})
    result, folder = done(task, tmp_path / "token", teacher_0=teacher)
    plain = tasks.describe(PRETRAIN)
    assert result["n_params"] == plain["n_params"]
    assert result["flops"] > plain["flops"], "one token more"
    assert result["scores"]["error"] < 0.6
    stored = load_file(folder / "weights.safetensors")
    start = tasks._start(task, 5, {}).state_dict()
    assert not torch.equal(stored["head_dist.weight"], start["head_dist.weight"])
    assert torch.equal(tasks.load_model(folder).state_dict()["dist_token"], stored["dist_token"])
    tune = changed(FINETUNE, model=model)
    begun = tasks._start(tune, 5, {"init": folder}).state_dict()
    assert torch.equal(begun["dist_token"], stored["dist_token"])
    assert not torch.equal(begun["head_dist.weight"], stored["head_dist.weight"]), "both heads are fresh"
    tuned, _ = done(tune, tmp_path / "tuned", init=folder)
    assert tuned["scores"]["error"] < 0.6


def test_guidance_until_passed_is_charged_as_far_as_it_went(tmp_path: Path) -> None:
    teacher_result, teacher = done(changed(PRETRAIN, model=SMALL), tmp_path / "teacher")
    watched = changed(GUIDED, guidance={**GUIDED["guidance"], "schedule": "until_passed", "check_every": 7})
    constant, most = tasks.describe(GUIDED), tasks.describe(watched)
    n_validation = 126  # a fifth of the 631 training images
    forward = constant["flops"] / 30 / 16 / 3
    guide = constant["guidance_flops"] / 60  # each of the 60 images once: it says the same at every pass
    assert most["guidance_flops"] == pytest.approx(
        constant["guidance_flops"] + n_validation * (guide + 4 * forward), rel=1e-12
    ), "the teacher is run once on the validation images, the student after 7, 14, 21 and 28 steps"
    result, _ = done(watched, tmp_path / "watched", teacher_0=teacher)
    steps = result["n_guided"]
    assert steps == 30 or steps % 7 == 0
    looks = 4 if steps == 30 else steps // 7
    spent = guide * (min(60, 16 * steps) + n_validation) + forward * looks * n_validation
    assert result["teacher_flops"] == pytest.approx(teacher_result["flops"] + spent, rel=1e-12)
    trial, _ = done(changed(watched, score_on="validation"), tmp_path / "trial", teacher_0=teacher)
    assert trial["scores"]["n_test"] == n_validation // 2, "it is compared on the half that is not scored"


def test_fine_tuning_starts_from_the_pretrained_trunk(tmp_path: Path) -> None:
    _, pretrained = done(PRETRAIN, tmp_path / "pretrained")
    still = changed(FINETUNE, training={**FINETUNE["training"], "length": {"steps": 1}, "learning_rate": 1e-30})
    still["training"].update(warmup_learning_rate=0.0, final_learning_rate=0.0, weight_decay=0.0)
    model = tasks._start(still, 5, {"init": pretrained})
    stored = load_file(pretrained / "weights.safetensors")
    trunk = {name for name in stored if not name.startswith("head.")}
    assert all(torch.equal(model.state_dict()[name], stored[name]) for name in trunk)
    assert not torch.equal(model.state_dict()["head.weight"], stored["head.weight"])
    result, folder = done(FINETUNE, tmp_path / "tuned", init=pretrained)
    assert result["scores"]["error"] < 0.6
    assert not (folder / "weights.safetensors").exists(), "fine-tuned weights are not kept"


def test_a_fine_tuned_teacher_guides_a_fine_tuning(tmp_path: Path) -> None:
    small_result, small = done(changed(PRETRAIN, model=SMALL), tmp_path / "small")
    _, start = done(PRETRAIN, tmp_path / "start")
    alone, _ = done(FINETUNE, tmp_path / "alone", init=start)
    teacher_task = changed(FINETUNE, model=SMALL, keep_weights=True)
    taught, teacher = done(teacher_task, tmp_path / "teacher", init=small)
    assert tasks.load_model(teacher).num_classes == 5
    task = changed(FINETUNE, guidance=GUIDED["guidance"], teachers=[SMALL])
    guided, folder = done(task, tmp_path / "guided", init=start, teacher_0=teacher, owed_0=small)
    assert guided["scores"] != alone["scores"]
    assert not (folder / "weights.safetensors").exists()
    about = tasks.describe(task)
    assert about["guidance_flops"] > 0
    assert guided["teacher_flops"] == about["guidance_flops"] + taught["flops"] + small_result["flops"]
    both, _ = done(task, tmp_path / "both", init=start, teacher_0=teacher)
    assert both["teacher_flops"] == about["guidance_flops"] + taught["flops"], "its start has paid for the rest"
    assert both["scores"] == guided["scores"]


def test_extra_compute_becomes_steps() -> None:
    plain = tasks.describe(PRETRAIN)
    per_step = plain["flops"] / plain["n_steps"]
    longer = tasks.describe(changed(PRETRAIN, extra_flops=2.5 * per_step))
    assert longer["n_steps"] == plain["n_steps"] + 3, "rounded up: the control gets no less than the teacher cost"


def test_trials_are_scored_on_validation_images(tmp_path: Path) -> None:
    result, _ = done(changed(PRETRAIN, score_on="validation"), tmp_path / "trial")
    n_train = 0.7 * 901
    assert result["scores"]["n_test"] == pytest.approx(0.1 * n_train, rel=0.1)


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"not a model")
    with pytest.raises(StoreError, match=r"weights\.safetensors: cannot be read as a model"):
        tasks.load_model(tmp_path)


def test_a_step_is_timed_without_data() -> None:
    absent = changed(GUIDED, data={**GUIDED["data"], "name": "no such set"})
    assert 0 < tasks.time_step(absent, n_steps=2) < 1


def test_a_teacher_is_charged_for_each_image_once_unless_images_are_augmented(tmp_path: Path) -> None:
    teacher_result, teacher = done(changed(PRETRAIN, model=SMALL), tmp_path / "teacher")
    augmented = changed(GUIDED, augmentation={"flip": True, "crop_padding": 2})
    forward = tasks.describe(changed(PRETRAIN, model=SMALL))["flops"] / (3 * 16 * 30)
    for name, task, n_taught in (("kept", GUIDED, 60), ("augmented", augmented, 16 * 30)):
        about = tasks.describe(task)
        assert about["guidance_flops"] == pytest.approx(n_taught * forward, rel=1e-12)
        result, _ = done(task, tmp_path / name, teacher_0=teacher)
        assert result["teacher_flops"] == teacher_result["flops"] + about["guidance_flops"], "said before, spent after"
    short = changed(GUIDED, training={**GUIDED["training"], "length": {"steps": 2}})
    assert tasks.describe(short)["guidance_flops"] == pytest.approx(32 * forward, rel=1e-12)


def test_augmentation_is_checked_before_any_compute() -> None:
    with pytest.raises(ConfigError) as error:
        tasks.describe(changed(PRETRAIN, augmentation={"crop_padding": 14, "saturation": 0.2}))
    assert len(error.value.faults) == 2


@pytest.mark.parametrize("score_on", ["test", "validation"])
def test_choices_are_made_on_images_that_neither_train_nor_score(
    score_on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When guidance ends and which temperature calibrates: both are settled on images held out for that alone."""
    _, teacher = done(changed(PRETRAIN, model=SMALL), tmp_path / "teacher")
    seen: dict[str, Any] = {}

    def spy(name: str, place: int) -> None:
        real = getattr(tasks, name)

        def called(*given: Any, **options: Any) -> Any:
            seen[name] = given[place]
            seen[f"{name} calibrated"] = (options.get("calibration") or [None])[0]
            return real(*given, **options)

        monkeypatch.setattr(tasks, name, called)

    for name in ("train", "passes", "score"):
        spy(name, 1)
    guidance = {**GUIDED["guidance"], "schedule": "until_passed", "check_every": 10}
    done(changed(GUIDED, guidance=guidance, score_on=score_on), tmp_path / "watched", teacher_0=teacher)
    images = tasks.load_image_set("digits[0-4]", image_size=14, channels=1)
    of_training = ["train", "passes", "score calibrated", *(["score"] if score_on == "validation" else [])]
    assert all(seen[name].array is images.train_images for name in of_training)
    assert score_on == "validation" or seen["score"] is images.test_images
    places = {name: set(seen[name].indices.tolist()) for name in of_training}
    assert places["passes"] == places["score calibrated"]
    del places["passes"]
    assert sum(map(len, places.values())) == len(set().union(*places.values())), "no image serves two ends"
    held = tasks.split_validation(images.train_labels, 0.2, images.fingerprint)[1]
    assert places["score calibrated"] | places.get("score", set()) == set(held.tolist())


@pytest.mark.parametrize(("task", "asked"), [(PRETRAIN, False), (changed(PRETRAIN, compile=True), True)])
def test_a_task_says_whether_its_training_is_compiled(
    task: dict[str, Any], asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def spy(*given: Any, **settings: Any) -> Any:
        compiled.append(settings.pop("compiled"))
        return train(*given, **settings)

    monkeypatch.setattr(tasks, "train", spy)
    done(task, tmp_path / "cell")
    assert compiled == [asked]


class KilledError(Exception):
    """Stands for the end of the process."""


KILLED = {
    "plain": PRETRAIN,
    "guided": changed(GUIDED, augmentation={"flip": True}, precision="bfloat16"),
    "until_passed": changed(GUIDED, guidance={**GUIDED["guidance"], "schedule": "until_passed", "check_every": 7}),
    "grown": changed(PRETRAIN, grown_from=SMALL),
    "smoothed": changed(PRETRAIN, label_smoothing=0.1, extra_flops=1e6),
    "token": changed(
        GUIDED,
        model={**MODEL, "distillation_token": True},
        guidance={**GUIDED["guidance"], "attention_weight": 0.0, "schedule": "decayed"},
    ),
}


@pytest.mark.parametrize("task", KILLED.values(), ids=KILLED)
def test_a_killed_cell_goes_on_and_is_the_same(
    tmp_path: Path, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, teacher = done(changed(PRETRAIN, model=SMALL), tmp_path / "teacher")
    parents = {"teacher_0": teacher} if task["teachers"] else {}
    if task.get("grown_from"):
        parents["grown_from"] = teacher
    n_steps = int(tasks.describe(task)["n_steps"])
    whole, folder = done(task, tmp_path / "whole", **parents)
    monkeypatch.setenv(EVERY_VARIABLE, "0")
    steps: list[int] = []

    def report(step: int, *_: object) -> None:
        steps.append(step)
        if step == 20 and len(steps) == 20:
            raise KilledError

    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(KilledError):
        tasks.execute(task, parents, again, report, tmp_path / "checkpoints" / "key")
    assert list(again.iterdir()) == []
    result = tasks.execute(task, parents, again, report, tmp_path / "checkpoints" / "key")
    assert steps == [*range(1, 21), *range(20, n_steps + 1)]
    assert without_time(result) == without_time(whole)
    for name in ("weights.safetensors", "curve.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    other, before = changed(task, seed=7), len(steps)
    assert tasks.execute(other, parents, again, report, tmp_path / "checkpoints" / "key")["scores"] != result["scores"]
    assert steps[before:] == list(range(1, n_steps + 1)), "another task does not go on from there"


def test_a_killed_cell_goes_on_on_whichever_gpu_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stood for by the CPU under its two names."""
    monkeypatch.setenv(EVERY_VARIABLE, "0")
    steps: list[int] = []

    def report(step: int, *_: object) -> None:
        steps.append(step)
        if len(steps) == 12:
            raise KilledError

    tasks.prepare_worker()
    here = tmp_path / "checkpoints" / "key"
    monkeypatch.setattr(tasks, "training_device", lambda: torch.device("cpu", 0))
    with pytest.raises(KilledError):
        tasks.execute(PRETRAIN, {}, tmp_path, report, here)
    monkeypatch.setattr(tasks, "training_device", lambda: torch.device("cpu"))
    tasks.execute(PRETRAIN, {}, tmp_path, report, here)
    assert steps == [*range(1, 13), *range(12, 31)], "the step that was killed is done again, and none before it"
