"""Roughness against noise of known size, against what is exactly smooth, and against values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tippingpoint.errors import InputError
from tippingpoint.fitting.roughness import data_roughness, detrend, roughness, smooth_trend, steps_to_level

STEP = np.arange(3.0, 601.0, 3.0)
FALL = 0.3 + 2 * STEP**-0.5


def test_noise_of_known_size_is_measured_as_such() -> None:
    generator = np.random.default_rng(1)
    for sigma in (0.01, 0.2):
        found = [roughness(STEP, FALL + generator.normal(0, sigma, STEP.size), after=50) ** 2 for _ in range(200)]
        assert math.sqrt(np.mean(found)) == pytest.approx(sigma, rel=0.02)
    assert roughness(STEP, FALL, after=50) < 1e-4, "a power law alone is smooth"


def test_waves_longer_than_the_window_are_trend_and_shorter_ones_roughness() -> None:
    x = np.log(STEP)
    slow, fast = np.sin(x), np.sin(400 * x)
    assert roughness(STEP, slow, after=50) < 0.01
    assert roughness(STEP, fast, after=50) > 0.5
    np.testing.assert_allclose(smooth_trend(STEP, slow)[20:], slow[20:], atol=0.01)


@given(
    st.tuples(*[st.floats(-5, 5)] * 3),
    st.floats(0.1, 10),
    st.sampled_from([0.1, 0.15, 0.3, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_a_parabola_in_log_step_adds_nothing_and_units_scale(
    parabola: tuple[float, float, float], unit: float, span: float, seed: int
) -> None:
    y = np.random.default_rng(seed).normal(size=STEP.size)
    x = np.log(STEP)
    bent = y + parabola[0] + parabola[1] * x + parabola[2] * x**2
    np.testing.assert_allclose(detrend(STEP, bent, span), detrend(STEP, y, span), rtol=0, atol=1e-9)
    before = roughness(STEP, y, after=30, span=span)
    assert roughness(STEP, unit * bent, after=30, span=span) == pytest.approx(unit * before, rel=1e-8)


def test_the_warm_up_does_not_count() -> None:
    jump = np.where(STEP <= 60, 5.0 * (STEP % 2), 0.0) + FALL
    assert roughness(STEP, jump) > 0.5
    assert roughness(STEP, jump, after=150) < 1e-3
    assert math.isnan(roughness(STEP, FALL, after=580)), "too few points are left to tell"


def test_a_curve_too_short_and_a_span_that_is_none() -> None:
    with pytest.raises(InputError, match="19 points are too few"):
        smooth_trend(STEP[:19], FALL[:19])
    for span in (0.0, 1.5):
        with pytest.raises(InputError, match="is not a share of the points"):
            smooth_trend(STEP, FALL, span)


def test_steps_to_a_level() -> None:
    assert steps_to_level([1, 4, 16], [3.0, 2.0, 1.0], 1.5) == pytest.approx(8.0), "half way in log step"
    assert steps_to_level([1, 4, 16], [3.0, 2.0, 1.0], 5) == 1
    assert steps_to_level([1, 4, 16], [3.0, 1.0, 2.0], 1.0) == pytest.approx(4.0), "the first time counts"
    assert steps_to_level([1, 4, 16], [3.0, 2.0, 1.0], 0.9) == math.inf


def test_data_roughness_by_hand() -> None:
    sizes = np.array([100, 200, 400, 1600])
    assert data_roughness(sizes, 3 * sizes**-0.4) == pytest.approx(0, abs=1e-12), "a power law is a straight line"
    y = np.array([0.0, 0.3, -0.1, 0.2])
    bends = [0.3 - (0.0 - 0.1) / 2, -0.1 - (2 / 3 * 0.3 + 1 / 3 * 0.2)]  # 400 is a third of the way, in log size
    expected = math.sqrt((bends[0] ** 2 / 1.5 + bends[1] ** 2 / (1 + 4 / 9 + 1 / 9)) / 2)
    assert data_roughness(sizes, np.exp(y)) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(data_roughness(sizes[:2], [0.2, 0.1]))
    assert math.isnan(data_roughness(sizes, [0.2, 0.1, 0.0, 0.1])), "an error of zero has no logarithm"


def test_data_roughness_measures_noise_of_known_size() -> None:
    generator, sizes = np.random.default_rng(2), 225.0 * 2 ** np.arange(7)
    found = [data_roughness(sizes, sizes**-0.3 * np.exp(generator.normal(0, 0.05, 7))) ** 2 for _ in range(4000)]
    assert math.sqrt(np.mean(found)) == pytest.approx(0.05, rel=0.03)
