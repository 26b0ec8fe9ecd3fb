"""The loop on real tensors: what is trained, in which order, and that nothing hidden enters."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import DeiTShape, build_deit
from tippingpoint.lab.training.loop import as_batch, batch_order, train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import Length, TrainingSettings

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


def test_every_pass_sees_each_image_once() -> None:
    seen = torch.cat(list(islice(batch_order(10, 4, seed=0), 5)))
    assert sorted(seen[:10].tolist()) == list(range(10))
    assert sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_subset_smaller_than_a_batch_fills_it() -> None:
    (batch,) = islice(batch_order(3, 7, seed=0), 1)
    assert len(batch) == 7
    assert set(batch.tolist()) == {0, 1, 2}


def test_order_is_a_function_of_the_seed() -> None:
    orders = [torch.stack(list(islice(batch_order(20, 4, seed), 9))) for seed in (1, 1, 2)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_pixels_are_scaled_to_one() -> None:
    batch = as_batch(np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1))
    assert batch.shape == (1, 1, 1, 2)
    assert batch.flatten().tolist() == [-1.0, 1.0]


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


def test_decay_leaves_biases_norms_and_positions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[dict[str, object]] = []
    real = torch.optim.AdamW

    def spy(parameters: list[dict[str, object]], **settings: object) -> torch.optim.Optimizer:
        groups.extend(parameters)
        return real(parameters, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim, "AdamW", spy)
    trained()
    decay = {group["weight_decay"]: {tuple(p.shape) for p in group["params"]} for group in groups}  # type: ignore[attr-defined]
    assert set(decay) == {0.0, SETTINGS.weight_decay}
    assert (1, 5, 16) in decay[0.0], "position embedding"
    assert all(len(shape) > 1 for shape in decay[SETTINGS.weight_decay])
