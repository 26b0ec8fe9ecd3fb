from __future__ import annotations

import math

import pytest

from tippingpoint.errors import ConfigError
from tippingpoint.lab.training.schedule import Length, TrainingSettings, learning_rate

SETTINGS = TrainingSettings(
    length=Length(steps=100),
    learning_rate=1.0,
    warmup_steps=10,
    warmup_learning_rate=0.1,
    final_learning_rate=0.01,
)


def test_warm_up_starts_at_its_own_rate_and_is_linear() -> None:
    assert learning_rate(0, 100, SETTINGS) == 0.1
    assert learning_rate(5, 100, SETTINGS) == pytest.approx(0.55, rel=1e-12)
    assert learning_rate(10, 100, SETTINGS) == pytest.approx(1.0, rel=1e-12)


def test_cosine_by_hand() -> None:
    assert learning_rate(55, 100, SETTINGS) == pytest.approx(0.505, rel=1e-12)  # half way: the mean of both ends
    expected = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 89 / 90))
    assert learning_rate(99, 100, SETTINGS) == pytest.approx(expected, rel=1e-12)


def test_warm_up_longer_than_training_is_cut() -> None:
    rates = [learning_rate(step, 4, SETTINGS) for step in range(4)]
    assert rates == sorted(rates)
    assert rates[-1] < 1.0


@pytest.mark.parametrize(
    ("length", "n", "expected"),
    [
        (Length(steps=7), 10_000, 7),
        (Length(epochs=2), 100, 4),  # 200 images in batches of 64: 3.1 steps, rounded up
        (Length(epochs=2, min_steps=50), 100, 50),
        (Length(epochs=2, min_steps=50), 6400, 200),
    ],
)
def test_length(length: Length, n: int, expected: int) -> None:
    assert length.resolve(n, 64) == expected


@pytest.mark.parametrize("given", [{}, {"epochs": 1, "steps": 1}, {"steps": 0}, {"epochs": -1.0}, {"epochs": math.nan}])
def test_length_faults(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="length"):
        Length(**given)  # type: ignore[arg-type]


def test_settings_from_json() -> None:
    settings = TrainingSettings.from_dict({"length": {"steps": 3}, "betas": [0.9, 0.95], "batch_size": 8})
    assert settings.betas == (0.9, 0.95)
    with pytest.raises(ConfigError, match="lerning_rate"):
        TrainingSettings.from_dict({"length": {"steps": 3}, "lerning_rate": 1})


def test_settings_name_every_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingSettings(length=Length(steps=1), batch_size=0, learning_rate=0, weight_decay=-1)
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("betas", [(0.9, 1.0), (-0.1, 0.999), (0.9, math.nan), (0.9,)])
def test_betas_must_let_the_moments_forget(betas: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="betas"):
        TrainingSettings(length=Length(steps=3), betas=betas)
