"""What teachers say: kept, it is what they would say in the step; and it costs what is charged for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from toy_training import SETTINGS, SHAPE, small, toy

from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.models import build_deit
from tippingpoint.lab.training import targets
from tippingpoint.lab.training.batches import Feed, as_view, batch_order
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance, shuffled_order
from tippingpoint.lab.training.record import TrainingRecord
from tippingpoint.lab.training.targets import Targets, Teaching, ask, keeps_targets

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Counting:
    """Counts the images that a teacher is run on."""

    def __init__(self, model: VisionTransformer) -> None:
        self.seen: list[int] = []
        model.register_forward_pre_hook(lambda _, given: self.seen.append(len(given[0])))


def taught(guidance: Guidance, steps: int = 12, **options: Any) -> tuple[dict[str, Any], TrainingRecord, list[int]]:
    model, teachers = build_deit(SHAPE, 2, seed=5), [small(8), small(9)]
    counting = Counting(teachers[1])
    record = train(model, *toy(), SETTINGS, n_steps=steps, seed=1, teachers=teachers, guidance=guidance, **options)
    return model.state_dict(), record, counting.seen


GUIDANCES = [
    Guidance(),
    Guidance(attention_weight=0),
    Guidance(label_weight=1, attention_temperature=2.0),
    Guidance(schedule="decayed", shuffle="images"),
    Guidance(shuffle="within_class"),
]


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_kept_targets_train_as_those_of_the_step(guidance: Guidance) -> None:
    asked, first, seen = taught(guidance)
    kept, second, seen_once = taught(guidance, keep_targets=True)
    assert sum(seen) == first.n_taught == 12 * 8
    assert sum(seen_once) == second.n_taught == 30, "each of the 30 images once"
    for name, value in asked.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-3, atol=1e-5)
    for one, other in zip(first.curve, second.curve, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-7)
    assert first.curve[:3] == second.curve[:3], "the first pass asks for the very same batches"


def test_what_is_charged_is_what_was_asked_for_when_guidance_ends_early() -> None:
    watched = Guidance(schedule="until_passed", check_every=2)
    _, record, seen = taught(watched, keep_targets=True, passed=lambda _: True)
    assert (record.n_guided, record.n_taught, sum(seen)) == (2, 16, 16)
    _, record, seen = taught(Guidance(), steps=3, keep_targets=True)
    assert (record.n_taught, sum(seen)) == (24, 24), "less than a pass"


def test_augmented_images_are_asked_about_each_time() -> None:
    _, record, seen = taught(Guidance(), keep_targets=True, augmentation=Augmentation(flip=True))
    assert record.n_taught == sum(seen) == 96
    _, record, _ = taught(Guidance(), keep_targets=True, augmentation=Augmentation())
    assert record.n_taught == 30, "settings that change nothing are no augmentation"


def test_a_teacher_sees_the_pixels_that_the_student_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = build_deit(SHAPE, 2, seed=5), small()
    shown: dict[str, list[torch.Tensor]] = {"student": [], "teacher": [], "scratch": []}
    for name, model in (("student", student), ("teacher", teacher)):
        model.register_forward_pre_hook(lambda _, given, name=name: shown[name].append(given[0].clone()))
    options: dict[str, Any] = {"n_steps": 6, "seed": 1, "augmentation": Augmentation(flip=True, crop_padding=3)}
    train(student, *toy(), SETTINGS, teachers=[teacher], guidance=Guidance(), **options)
    scratch = build_deit(SHAPE, 2, seed=5)
    scratch.register_forward_pre_hook(lambda _, given: shown["scratch"].append(given[0].clone()))
    train(scratch, *toy(), SETTINGS, **options)
    for one, other, third in zip(*shown.values(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third), "a cell's scratch and guided students are paired"


def batches(teaching: Teaching, feed: Feed, labels: torch.Tensor, count: int) -> Iterator[tuple[torch.Tensor, Targets]]:
    for step, (positions, passes) in enumerate(islice(batch_order(30, 8, 1), count)):
        yield positions, teaching.at(step, positions, feed.batch(positions, passes), labels[positions])


@pytest.mark.parametrize("keep", [True, False])
def test_a_shuffle_gives_an_image_what_is_said_of_another(keep: bool) -> None:
    images, labels = toy()
    feed, guidance = Feed(as_view(images), None, 1, CPU), Guidance(shuffle="within_class")
    answers, teacher = torch.tensor(labels), small().eval()
    teaching = Teaching([teacher], guidance, feed, batch_size=8, seed=1, keep=keep)
    moved = 0
    for step, (positions, found) in enumerate(batches(teaching, feed, answers, 6)):
        order = shuffled_order(answers[positions], "within_class", 1, step)
        direct = ask([teacher], feed.batch(positions[order], positions), 1.0)
        torch.testing.assert_close(found.logits, direct.logits, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.maps, direct.maps, rtol=1e-4, atol=1e-6)
        assert len(found.maps[0]) == 2
        moved += int((order != torch.arange(8)).sum())
    assert moved > 12


def test_targets_do_not_depend_on_where_a_training_goes_on() -> None:
    images, labels = toy()
    feed, answers, teacher = Feed(as_view(images), None, 1, CPU), torch.tensor(labels), small().eval()
    whole = Teaching([teacher], Guidance(), feed, batch_size=8, seed=1, keep=True)
    expected = [found.logits[0] for _, found in batches(whole, feed, answers, 9)]
    late = Teaching([teacher], Guidance(), feed, batch_size=8, seed=1, keep=True)
    for step, (positions, passes) in enumerate(islice(batch_order(30, 8, 1, 5), 4), 5):
        found = late.at(step, positions, feed.batch(positions, passes), answers[positions])
        assert torch.equal(found.logits[0], expected[step])


def test_targets_are_kept_as_far_as_there_is_room_and_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeps_targets(1000, 5000, 4 * 10)
    assert not keeps_targets(1000, 1000, 4 * 10), "nothing is seen twice"
    monkeypatch.setattr(targets, "TARGET_BYTES", 40_000)
    assert keeps_targets(1000, 5000, 40)
    assert not keeps_targets(1000, 5000, 41)


def test_no_step_waits_for_what_it_sends_to_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that blocks would hold the CPU until a GPU's queue is empty."""
    sent: list[bool] = []
    real = torch.Tensor.to

    def spy(tensor: torch.Tensor, *where: Any, **options: Any) -> torch.Tensor:
        if tensor.dtype == torch.int64 and where and isinstance(where[0], torch.device):
            sent.append(bool(options.get("non_blocking")))
        return real(tensor, *where, **options)

    monkeypatch.setattr(torch.Tensor, "to", spy)
    taught(Guidance(shuffle="within_class"), augmentation=Augmentation(flip=True))
    assert len(sent) >= 12 * 4, "positions or their kin, labels and the order of every step"
    assert all(sent)


def test_nothing_of_a_teacher_asks_for_gradients() -> None:
    teacher = small()
    said = ask([teacher], torch.rand(2, 1, 14, 14), 1.0)
    assert not said.logits[0].requires_grad
    assert not any(part.requires_grad for part in said.maps[0])
    assert np.isfinite(said.logits[0].numpy()).all()
