"""Killed and resumed at any step: the same weights, the same curve; a damaged checkpoint is passed over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy_training import SETTINGS, small, toy

from tippingpoint.errors import EnvironmentFault
from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.devices import prepare_worker
from tippingpoint.lab.models import build_model
from tippingpoint.lab.training.checkpoints import EVERY_S, EVERY_VARIABLE, KEPT, Checkpoints, checkpoint_seconds
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.record import TrainingRecord

N_STEPS = 12
MODEL = {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 7}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"settings": {"clip_norm": 0.1}},
    "augmented": {"augmentation": Augmentation(flip=True, crop_padding=2, erasing=0.3)},
    "guided": {"guidance": Guidance(shuffle="images"), "keep_targets": True},
    "decayed": {"guidance": Guidance(schedule="decayed"), "augmentation": Augmentation(flip=True)},
    "until_passed": {"guidance": Guidance(schedule="until_passed", check_every=3), "keep_targets": True},
    "bfloat16": {"precision": "bfloat16"},
    "dropout": {"dropout": 0.3},
    "convolutional": {"model": {"timm": "resnet18", "arguments": {"channels": [4, 4, 4, 4]}}},
    "token": {"model": {**MODEL, "distillation_token": True}, "guidance": Guidance(attention_weight=0)},
}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def run(
    kind: str, checkpoints: Checkpoints | None = None, kill_after: int | None = None
) -> tuple[dict[str, torch.Tensor], TrainingRecord]:
    """Train from the start, or go on; killed right after the checkpoint of a step."""
    options = dict(KINDS[kind])
    model = build_model(options.pop("model", MODEL), image_size=14, channels=1, n_classes=2, seed=5)
    if "dropout" in options:
        model.pos_drop = nn.Dropout(options.pop("dropout"))
    settings = type(SETTINGS)(**{**vars(SETTINGS), **options.pop("settings", {})})
    if "guidance" in options:
        options["teachers"] = [small(8), small(9)]
    if kind == "until_passed":
        start = model.head.weight.detach().clone()
        options["passed"] = lambda student: float((student.head.weight.detach() - start).abs().max()) > 0.01

    def report(done: int, *_: object) -> None:
        if done - 1 == kill_after:  # the checkpoint of the step before is the last
            raise KilledError

    record = train(model, *toy(), settings, n_steps=N_STEPS, seed=1, checkpoints=checkpoints, report=report, **options)
    return model.state_dict(), record


def same(first: tuple[dict[str, torch.Tensor], TrainingRecord], second: tuple[Any, TrainingRecord]) -> bool:
    weights = all(torch.equal(value, second[0][name]) for name, value in first[0].items())
    counts = ("n_steps", "n_seen", "n_guided", "n_checks", "n_taught", "curve")
    return weights and all(getattr(first[1], name) == getattr(second[1], name) for name in counts)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_it_is_bit_identical(tmp_path: Path, kind: str) -> None:
    whole = run(kind)
    assert whole[1].n_guided in {"until_passed": (3, 6, 9)}.get(kind, (0, N_STEPS)), "guidance ends on the way"
    for step in (1, 2, 5, 8, 11):
        folder = tmp_path / f"{step}"
        with pytest.raises(KilledError):
            run(kind, Checkpoints(folder, "me", every_s=0), kill_after=step)
        going_on = Checkpoints(folder, "me", every_s=1e9)
        found = going_on.latest()
        assert found is not None
        assert found.step == step
        assert same(whole, run(kind, going_on)), f"killed after step {step}"


@pytest.mark.parametrize("short", [64, 1])
@pytest.mark.parametrize("kind", ["guided", "bfloat16", "dropout", "convolutional", "token"])
def test_nothing_is_read_before_it_is_written(kind: str, short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch fills what it reserves with NaN, the bits are those of workers, for whom it does not."""
    prepare_worker()
    monkeypatch.setattr("tippingpoint.lab.models.attention.SHORT", short)
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    plain = run(kind)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    assert torch.empty(3).isnan().all()
    assert same(plain, run(kind))


def test_a_point_of_the_curve_may_lie_on_both_sides_of_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tippingpoint.lab.training.record.CURVE_POINTS", 4)
    with pytest.raises(KilledError):
        run("plain", Checkpoints(tmp_path / "here", "me", every_s=0), kill_after=5)
    again = run("plain", Checkpoints(tmp_path / "here", "me"))
    assert [point["step"] for point in again[1].curve] == [3, 6, 9, 12]
    assert same(run("plain"), again), "the point of steps 4 to 6 has what came before the kill"


def test_killed_again_and_again(tmp_path: Path) -> None:
    whole = run("guided")
    for step in range(1, 11, 2):
        with pytest.raises(KilledError):
            run("guided", Checkpoints(tmp_path / "here", "me", every_s=0), kill_after=step)
    weights, record = run("guided", Checkpoints(tmp_path / "here", "me", every_s=0))
    assert same(whole, (weights, record))
    assert record.notes == []
    assert len(list((tmp_path / "here").iterdir())) == KEPT
    assert record.seconds > 0


def test_when_checkpoints_are_taken_changes_nothing(tmp_path: Path) -> None:
    often = run("guided", Checkpoints(tmp_path / "often", "me", every_s=0))
    never = run("guided", Checkpoints(tmp_path / "never", "me"))
    assert same(often, never)
    assert not (tmp_path / "never").exists(), "a short training writes none"


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    elif how == "flipped in a weight":
        data[-5] ^= 4
    elif how == "flipped in the text":
        data[data.index(b"n_guided") + 13] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped in a weight", "flipped in the text"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, how: str) -> None:
    with pytest.raises(KilledError):
        run("guided", Checkpoints(tmp_path / "here", "me", every_s=0), kill_after=7)
    last = tmp_path / "here" / "step-00000007.safetensors"
    damaged(last, how)
    before = Checkpoints(tmp_path / "here", "me").latest()
    assert before is not None
    assert before.step == 6
    weights, record = run("guided", Checkpoints(tmp_path / "here", "me", every_s=0))
    assert same(run("guided"), (weights, record))
    assert len(record.notes) == 1
    assert record.notes[0].startswith(f"{last}: is passed over (")


def test_a_damaged_later_checkpoint_does_not_push_good_ones_out(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path / "here", "me")
    for step in (3, 9):
        store.save(step, {"a": torch.ones(3)}, {})
    damaged(tmp_path / "here" / "step-00000009.safetensors", "truncated")
    for step in (4, 5):
        store.save(step, {"a": torch.ones(3)}, {})
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "step-00000004.safetensors",
        "step-00000005.safetensors",
    ]


def test_all_damaged_means_from_the_start(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("plain", Checkpoints(tmp_path / "here", "me", every_s=0), kill_after=7)
    for path in (tmp_path / "here").iterdir():
        damaged(path, "truncated")
    weights, record = run("plain", Checkpoints(tmp_path / "here", "me"))
    assert same(run("plain"), (weights, record))
    assert len(record.notes) == KEPT


def test_a_checkpoint_of_another_training_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("plain", Checkpoints(tmp_path / "here", "another", every_s=0), kill_after=7)
    weights, record = run("plain", Checkpoints(tmp_path / "here", "me"))
    assert same(run("plain"), (weights, record))
    assert ["it belongs to another training" in note for note in record.notes] == [True] * KEPT


def test_a_checkpoint_of_a_newer_layout_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tippingpoint.lab.training.checkpoints.CHECKPOINT_VERSION", 9)
    path = Checkpoints(tmp_path / "here", "me").save(3, {"a": torch.ones(3)}, {"b": 1.5})
    monkeypatch.undo()
    store = Checkpoints(tmp_path / "here", "me")
    assert store.latest() is None
    assert store.notes == [f"{path}: is passed over (it is of version 9); the training goes on from an older state."]


def test_what_is_saved_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    flat = torch.rand(10)
    tensors = {
        "a": flat[:4],
        "b": flat[4:].view(2, 3).T,
        "count": torch.tensor(7),
        "weird": torch.tensor([1e-45, 3e38]),
    }
    facts = {"curve": [{"step": 1, "loss": 0.1 + 0.2}], "guided": True, "since": 3}
    store = Checkpoints(tmp_path / "here", "me")
    path = store.save(5, tensors, facts)
    found = store.latest()
    assert found is not None
    assert (found.step, found.facts) == (5, facts)
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())
    assert set(load_file(path)) == set(tensors), "any reader of safetensors opens it"
    plain = tmp_path / "here" / "step-00000006.safetensors"
    save_file({"a": torch.ones(1)}, plain)
    assert store.latest() is not None
    assert "is passed over" in store.notes[-1], "a file without our text"


def test_a_study_that_has_vanished_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be made"):
        Checkpoints(tmp_path / "gone" / "checkpoints" / "key", "me").save(1, {"a": torch.ones(1)}, {})
    assert not (tmp_path / "gone").exists()


DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
import test_checkpoints as tests
from pathlib import Path
tests.torch.set_num_threads(1)
real = tests.Checkpoints.save
def slowly(self, step, tensors, facts):
    real(self, step, tensors, facts)
    tests.time.sleep(0.05 if step < tests.N_STEPS - 2 else 600)  # it never ends, however late it is killed
tests.Checkpoints.save = slowly
tests.run("guided", tests.Checkpoints(Path(sys.argv[2]), "me", every_s=0))
"""


def test_a_process_that_is_killed_leaves_what_the_next_goes_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(folder)])
    limit = time.monotonic() + 60
    while len(list(folder.glob("step-*"))) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    store = Checkpoints(folder, "me", every_s=1e9)
    found = store.latest()
    assert found is not None
    assert 1 <= found.step < N_STEPS, "killed on the way"
    weights, record = run("guided", store)
    assert same(run("guided"), (weights, record))
    assert json.dumps(record.curve) == json.dumps(run("guided")[1].curve)


def test_the_environment_may_say_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EVERY_VARIABLE, raising=False)
    assert checkpoint_seconds() == EVERY_S
    monkeypatch.setenv(EVERY_VARIABLE, "0.25")
    assert checkpoint_seconds() == 0.25
    for wrong in ("often", "-1", "nan"):
        monkeypatch.setenv(EVERY_VARIABLE, wrong)
        with pytest.raises(EnvironmentFault, match=f"'{wrong}'; it must be seconds"):
            checkpoint_seconds()
