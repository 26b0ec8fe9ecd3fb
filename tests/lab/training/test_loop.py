"""The loop on real tensors: what is trained, in which order, and that nothing hidden enters."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import DeiTShape, build_deit
from tippingpoint.lab.training.batches import as_batch
from tippingpoint.lab.training.loop import _step_loss, train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import Length, TrainingSettings
from tippingpoint.lab.training.score import passes
from tippingpoint.lab.training.targets import ask

SHAPE = DeiTShape(heads=2, head_dim=8, depth=2, patch_size=7, image_size=14, channels=1)
SETTINGS = TrainingSettings(length=Length(steps=12), batch_size=8, learning_rate=3e-3, warmup_steps=2)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def toy(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, bright above or bright below, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 60, (n, 14, 14, 1))
    images[labels == 0, :7] += 150
    images[labels == 1, 7:] += 150
    return images.astype(np.uint8), labels.astype(np.int64)


def trained(**changes: object) -> dict[str, torch.Tensor]:
    model = build_deit(SHAPE, 2, seed=5)
    options: dict[str, object] = {"n_steps": 12, "seed": 1, **changes}
    train(model, *toy(), SETTINGS, **options)  # type: ignore[arg-type]
    return model.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_training_is_bit_reproducible_and_moves_with_the_seed() -> None:
    first = trained()
    torch.manual_seed(99)  # the global generator must not matter
    assert same(first, trained())
    assert not same(first, trained(seed=2))


def test_labels_alone_equals_plain_training_bit_for_bit() -> None:
    teacher = build_deit(SHAPE, 2, seed=8)
    guided = trained(teachers=[teacher], guidance=Guidance(label_weight=1, attention_weight=0))
    assert same(trained(), guided)


def test_guidance_changes_training_and_not_the_teacher() -> None:
    teacher = build_deit(DeiTShape(heads=1, head_dim=8, depth=2, patch_size=7, image_size=14, channels=1), 2, seed=8)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    guided = trained(teachers=[teacher], guidance=Guidance(label_weight=0.5))
    assert not same(trained(), guided)
    assert same(before, teacher.state_dict())
    assert not teacher.training


def small(seed: int = 8) -> VisionTransformer:
    return build_deit(DeiTShape(heads=1, head_dim=8, depth=2, patch_size=7, image_size=14, channels=1), 2, seed=seed)


def test_gradients_flow_to_the_student_alone() -> None:
    """Teachers that ask for gradients get none, neither from the outputs nor from the maps."""
    teachers = [small(8), small(9)]
    model = build_deit(SHAPE, 2, seed=5)
    train(model, *toy(), SETTINGS, n_steps=2, seed=1, teachers=teachers, guidance=Guidance(label_weight=0.2))
    assert all(parameter.grad is None for teacher in teachers for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())
    fresh, teacher = build_deit(SHAPE, 2, seed=5), small()  # and before the loop freezes them
    images, labels = toy()
    batch = as_batch(images)
    parts = _step_loss(fresh, batch, torch.tensor(labels), Guidance(), 0.0, ask([teacher], batch, 1.0))
    parts["loss"].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in fresh.parameters())


def test_a_teacher_that_is_the_student_adds_nothing() -> None:
    model = build_deit(SHAPE, 2, seed=5)
    images, labels = toy()
    batch = as_batch(images)
    targets = ask([copy.deepcopy(model)], batch, 1.0)
    parts = _step_loss(model, batch, torch.tensor(labels), Guidance(), 0.0, targets)
    assert parts["kl"].item() == pytest.approx(0, abs=1e-7)
    assert parts["attention"].item() == pytest.approx(0, abs=1e-7)
    assert parts["loss"].item() == pytest.approx(0.5 * parts["ce"].item(), abs=1e-6)


def test_several_teachers_that_agree_are_one_teacher() -> None:
    one = trained(teachers=[small()], guidance=Guidance())
    two = trained(teachers=[small(), small()], guidance=Guidance())
    assert all(torch.allclose(one[name], two[name], rtol=1e-4, atol=1e-5) for name in one)


def test_decayed_guidance_starts_as_constant_and_fades() -> None:
    constant, decayed = (Guidance(schedule=schedule) for schedule in ("constant", "decayed"))
    first = [trained(n_steps=1, teachers=[small()], guidance=guidance) for guidance in (constant, decayed)]
    assert same(*first), "the first step is the whole guidance"
    whole = [trained(teachers=[small()], guidance=guidance) for guidance in (constant, decayed)]
    assert not same(*whole)
    model = build_deit(SHAPE, 2, seed=5)
    record = train(model, *toy(), SETTINGS, n_steps=12, seed=1, teachers=[small()], guidance=decayed)
    assert record.n_guided == 12
    for point in record.curve:
        left = 1 - (point["step"] - 1) / 12
        w = 1 - 0.5 * left
        expected = w * point["ce"] + (1 - w) * 4 * point["kl"] + left * point["attention"]
        assert point["loss"] == pytest.approx(expected, rel=1e-5)


def test_guidance_that_is_never_passed_is_constant_bit_for_bit() -> None:
    """The comparisons themselves leave no trace: no random number is drawn, nothing but the loss changes."""
    watched = Guidance(schedule="until_passed", check_every=3)
    never = passes([small()], *toy())
    constant = trained(teachers=[small()], guidance=Guidance())
    steps: list[bool] = []

    def look(model: nn.Module) -> bool:
        steps.append(model.training)
        never(model)
        return False

    assert same(constant, trained(teachers=[small()], guidance=watched, passed=look))
    assert steps == [True, True, True], "after 3, 6 and 9 of the 12 steps"


def test_guidance_ends_where_the_student_passes_its_teacher() -> None:
    looks: list[int] = []

    def look(_: nn.Module) -> bool:
        looks.append(1)
        return len(looks) == 2

    model = build_deit(SHAPE, 2, seed=5)
    guidance = Guidance(schedule="until_passed", check_every=4)
    record = train(model, *toy(), SETTINGS, n_steps=12, seed=1, teachers=[small()], guidance=guidance, passed=look)
    assert (record.n_guided, record.n_checks, len(looks)) == (8, 2, 2)
    assert [point["kl"] > 0 for point in record.curve] == [True] * 8 + [False] * 4
    assert all(point["loss"] == point["ce"] for point in record.curve[8:]), "from there on it is plain training"
    constant = build_deit(SHAPE, 2, seed=5)
    other = train(constant, *toy(), SETTINGS, n_steps=12, seed=1, teachers=[small()], guidance=Guidance())
    assert record.curve[:8] == other.curve[:8], "up to there it is the constant guidance, bit for bit"


def test_a_schedule_that_compares_needs_images() -> None:
    with pytest.raises(ConfigError, match="until_passed needs images held out"):
        trained(teachers=[small()], guidance=Guidance(schedule="until_passed"))


def test_it_learns() -> None:
    model = build_deit(SHAPE, 2, seed=5)
    images, labels = toy()
    record = train(model, images, labels, SETTINGS, n_steps=200, seed=1)
    assert record.curve[-1]["loss"] < 0.2 * record.curve[0]["loss"]
    assert (model(as_batch(images)).argmax(1).numpy() == labels).mean() == 1.0
    assert [point["step"] for point in record.curve] == list(range(1, 201))
    assert record.n_seen == 200 * 8


def test_guidance_without_a_teacher_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="there is no teacher"):
        trained(guidance=Guidance())


def test_a_loss_that_explodes_says_so() -> None:
    model = build_deit(SHAPE, 2, seed=5)
    with torch.no_grad():
        model.head.weight.fill_(float("inf"))
    with pytest.raises(ConfigError, match="no longer finite"):
        train(model, *toy(), SETTINGS, n_steps=3, seed=1)
