"""The measure of what runs are worth, against direct integration, simulation and conditioning all at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from tippingpoint.advice.next_rule import Belief, pick

Array = NDArray[np.float64]


def a_belief(seed: int, places: int = 41, runs: int = 6, draws: int = 4000, step: float | None = 0.05) -> Belief:
    """Draws of straight lines that cross zero somewhere, measured with noise at some places."""
    generator = np.random.default_rng(seed)
    x = np.linspace(-1, 1, places)
    theta = generator.normal([0.2, 1.0], [0.3, 0.25], (draws, 2))
    lines = theta[:, :1] + theta[:, 1:] * x
    at = generator.integers(0, places, runs)
    root = generator.normal(0, 0.1, (runs, runs))
    asked = lines if step is not None else lines[:, :1]
    return Belief.of(asked, lines[:, at], root @ root.T + 0.02 * np.eye(runs), step)


def test_what_is_open_is_the_integral_of_p_times_one_minus_p() -> None:
    belief = a_belief(0)
    p = norm.cdf(belief.mean / np.sqrt(belief.variance))
    assert belief.open() == pytest.approx(float((p * (1 - p)).sum() * 0.05), rel=1e-10)


def test_one_gaussian_crossing_is_its_standard_deviation_over_the_root_of_pi() -> None:
    x = np.linspace(-5, 5, 2001)
    at = np.random.default_rng(1).normal(0.3, 0.2, 20_000)
    belief = Belief.of(x - at[:, None], np.empty((20_000, 0)), np.empty((0, 0)), float(x[1] - x[0]))
    assert belief.open() == pytest.approx(0.2 / math.sqrt(math.pi), rel=0.03)  # the trimmed tails and 20,000 draws


@pytest.mark.parametrize("seed", range(3))
def test_the_expectation_is_that_of_simulated_outcomes(seed: int) -> None:
    belief = a_belief(seed)
    runs = np.array([0, 2, 3])
    expected = belief.open(runs)
    own, inner = belief.across[:, runs], belief.within[np.ix_(runs, runs)]
    gain = np.linalg.solve(inner, own.T).T
    left = belief.variance - (gain * own).sum(axis=1)
    outcomes = np.random.default_rng(seed).multivariate_normal(np.zeros(3), inner, 40_000)
    p = norm.cdf((belief.mean + outcomes @ gain.T) / np.sqrt(left))
    assert expected == pytest.approx(float((p * (1 - p)).mean(axis=0).sum() * 0.05), rel=0.02)


@given(st.integers(0, 1000), st.booleans())
def test_one_after_the_other_is_all_at_once(seed: int, one_value: bool) -> None:
    step = None if one_value else 0.05
    belief, together = (a_belief(seed, draws=200, step=step) for _ in range(2))
    expected = together.open(np.array([1, 4, 5]))
    belief.take(np.array([4]))
    belief.take(np.array([1]))
    assert belief.open(np.array([5])) == pytest.approx(expected, rel=1e-7)
    belief.take(np.array([5]))
    assert belief.open() == pytest.approx(expected, rel=1e-7)


@given(st.integers(0, 1000), st.sets(st.integers(0, 5), min_size=1), st.integers(0, 5))
def test_more_runs_never_leave_more_open(seed: int, some: set[int], more: int) -> None:
    belief = a_belief(seed, draws=200)
    few = belief.open(np.array(sorted(some)))
    assert belief.open(np.array(sorted(some | {more}))) <= few * (1 + 1e-9) <= belief.open() * (1 + 2e-9)


def test_a_prediction_is_its_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(3, 0.5, (50_000, 1))
    belief = Belief.of(values, values, np.array([[0.25]]), None)
    assert belief.open() == pytest.approx(0.5, rel=0.03)
    left = belief.open(np.array([0]))
    s = belief.variance[0]
    assert left == pytest.approx(math.sqrt(s * 0.25 / (s + 0.25)), rel=1e-9)


def test_gain_for_cost_is_greedy_and_what_is_shared_is_paid_once() -> None:
    belief = a_belief(3)
    runs = [np.array([0]), np.array([1]), np.array([0, 1])]
    cells = [frozenset({"t", "a"}), frozenset({"t", "b"}), frozenset({"t", "a", "b"})]
    costs = {"t": 100.0, "a": 1.0, "b": 1.0}
    first, *rest = pick(belief, runs, cells, costs, 5)
    assert (first.bundle, first.cost) == (2, 102.0)
    assert not rest, "what is made is not made again"
    separate = pick(a_belief(3), runs[:2], cells[:2], costs, 5)
    assert sorted(one.cost for one in separate) == [1.0, 101.0], "the teacher is paid once"
    assert separate[1].before == pytest.approx(separate[0].after, rel=1e-12)


def test_what_tells_nothing_is_not_picked() -> None:
    belief = Belief.of(a_belief(0).mean + np.zeros((50, 41)), np.zeros((50, 1)), np.eye(1), 0.05)
    assert pick(belief, [np.array([0])], [frozenset({"a"})], {"a": 1.0}, 3) == []
    noisy = a_belief(0)
    noisy.within = noisy.within + 1e9 * np.eye(6)
    assert pick(noisy, [np.array([0])], [frozenset({"a"})], {"a": 1.0}, 3) == []
