"""The loop on real tensors: what is trained, in which order, and that nothing hidden enters."""

from __future__ import annotations

import copy
from itertools import islice

import pytest
import torch
from torch import nn
from toy_training import SETTINGS, SHAPE, small, toy

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import DeiTShape, build_deit
from tippingpoint.lab.training.batches import as_batch, batch_order
from tippingpoint.lab.training.loop import _step_loss, train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import TrainingSettings, learning_rate
from tippingpoint.lab.training.score import passes
from tippingpoint.lab.training.targets import ask


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


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
    state = torch.get_rng_state()
    assert same(first, trained())
    assert torch.equal(state, torch.get_rng_state()), "nor is it moved"
    assert not same(first, trained(seed=2))


def test_a_models_own_noise_is_another_at_every_step_and_the_same_in_every_run() -> None:
    def masks(seed: int) -> list[torch.Tensor]:
        model, seen = build_deit(SHAPE, 2, seed=5), []
        model.pos_drop = nn.Dropout(0.5)
        model.pos_drop.register_forward_hook(lambda _, __, output: seen.append(output == 0))
        train(model, *toy(), SETTINGS, n_steps=3, seed=seed)
        return seen

    first, again, other = masks(1), masks(1), masks(2)
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    for one, another in ((first[0], first[1]), (first[1], first[2]), (first[0], other[0])):
        assert 0.3 < (one != another).double().mean() < 0.7, "independent halves differ in half of the places"


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


def test_the_settings_reach_the_optimiser() -> None:
    plain = trained()
    for name, value in {"weight_decay": 0.5, "betas": (0.5, 0.9), "clip_norm": 0.01, "learning_rate": 1e-3}.items():
        settings = TrainingSettings(**{**vars(SETTINGS), name: value})
        model = build_deit(SHAPE, 2, seed=5)
        train(model, *toy(), settings, n_steps=12, seed=1)
        assert not same(plain, model.state_dict()), name


def test_a_plain_run_is_that_of_torchs_own_optimiser() -> None:
    """The loop, written out: whole batches, AdamW of torch on the list of parameters, no flat tensors, no store."""
    model, (images, labels) = build_deit(SHAPE, 2, seed=5), toy()
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1 and name not in model.no_weight_decay()]
    others = [p for p in model.parameters() if not any(p is one for one in decayed)]
    groups = [{"params": decayed, "weight_decay": SETTINGS.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=SETTINGS.betas)
    losses = []
    for step, (chosen, _) in enumerate(islice(batch_order(len(images), 8, 1), 12)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, 12, SETTINGS)
        loss = nn.functional.cross_entropy(model(as_batch(images[chosen.numpy()])), torch.tensor(labels)[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    ours = build_deit(SHAPE, 2, seed=5)
    record = train(ours, images, labels, SETTINGS, n_steps=12, seed=1)
    assert [point["loss"] for point in record.curve] == pytest.approx(losses, rel=1e-5)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_a_long_curve_is_thinned_to_means() -> None:
    model, images = build_deit(SHAPE, 2, seed=5), toy()
    record = train(model, *images, SETTINGS, n_steps=405, seed=1)
    assert [point["step"] for point in record.curve[:3]] == [2, 4, 6]
    assert record.curve[-1]["step"] == 405, "the last point has what is left"
    assert len(record.curve) == 203
    first = train(build_deit(SHAPE, 2, seed=5), *images, SETTINGS, n_steps=2, seed=1).curve
    assert record.curve[0]["loss"] == pytest.approx((first[0]["loss"] + first[1]["loss"]) / 2, rel=1e-3)
