"""The search against the closed form, against brute force, and against what must hold for any law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tippingpoint.advice.search import Space, best_for_budget, cheapest_for_target, least_along

EXPONENTS = st.floats(0.1, 2.0)
TERMS = st.floats(0.01, 1.0)  # of the error, at 1,000 images or 100 labels
PRICES = st.floats(0.001, 10.0)
WIDE = (1e-6, 1e12)


def additive(floor: float, a: float, alpha: float, b: float, beta: float, images=WIDE, labels=WIDE, p=1.0, q=1.0):
    """Return a space: terms a and b at 1,000 images and 100 labels, prices p and q, nothing there yet."""

    def error(n, t):
        return floor + a * (n / 1000) ** -alpha + b * (t / 100) ** -beta

    return Space(error, lambda n, t: p * n + q * t, images, labels)


@given(TERMS, TERMS, EXPONENTS, PRICES, PRICES, st.floats(10, 1e6))
@settings(max_examples=60, deadline=None)
def test_two_terms_of_one_exponent_meet_the_closed_form(a, b, e, p, q, budget) -> None:
    # Lagrange: a e n^-(e+1) / p = b e t^-(e+1) / q in sizes over their references, on the budget's line
    found = best_for_budget(additive(0.1, a, e, b, e, p=p, q=q), budget)
    ratio = (a * 1000**e * q / (b * 100**e * p)) ** (1 / (e + 1))  # n / t
    labels = budget / (p * ratio + q)
    assert found is not None
    best = additive(0.1, a, e, b, e).error(np.array(ratio * labels), np.array(labels))
    np.testing.assert_allclose(found.error, best, rtol=2e-9)
    assume(best > 0.1 + 1e-5)  # where hardly a term is left, its last images are not bought
    np.testing.assert_allclose([found.images, found.labels], [ratio * labels, labels], rtol=1e-4)
    np.testing.assert_allclose(found.cost, budget, rtol=1e-9)


@given(TERMS, TERMS, EXPONENTS, EXPONENTS, PRICES, PRICES, st.floats(10, 1e6))
@settings(max_examples=60, deadline=None)
def test_nothing_moved_along_the_budget_is_better(a, b, alpha, beta, p, q, budget) -> None:
    space = additive(0.0, a, alpha, b, beta, p=p, q=q)
    found = best_for_budget(space, budget)
    assert found is not None
    for share in (-0.1, -0.01, -0.001, 0.001, 0.01, 0.1):
        images = found.images * (1 + share)
        labels = found.labels - (images - found.images) * p / q
        if labels > space.labels[0] and space.images[0] < images < space.images[1]:
            assert space.error(np.array(images), np.array(labels)) >= found.error * (1 - 1e-8)


def brute(space: Space, keep, value) -> float:
    """Return the least value over a dense grid of the amounts that are kept."""
    n = np.geomspace(*space.images, 500)[:, None] * np.ones(500)
    t = np.ones((500, 1)) * np.geomspace(*space.labels, 500)
    return float(np.where(keep(n, t), value(n, t), np.inf).min())


def strange(seed: int) -> Space:
    """Return a space of random kind: terms that multiply or rise again, what there is, and a compute with kinks."""
    random = np.random.default_rng(seed)
    floor, a, b = random.uniform(0, 0.2), *random.uniform(0.05, 0.5, 2)
    alpha, beta, mixed = *random.uniform(0.1, 1.5, 2), random.uniform(0, 0.3)
    bend = random.choice([0.0, 0.02])  # the error rises again where there are very many images
    p, q, hour = random.uniform(0.001, 0.1), random.uniform(0.05, 2), random.choice([0.0, 3.0])
    have = random.choice([0.0, 500.0])

    def error(n, t):
        one, other = a * (n / 1000) ** -alpha, b * (t / 100) ** -beta
        return floor + one + other + mixed * one * other + bend * (n / 1000) ** 0.7

    def cost(n, t):
        compute = hour * np.maximum(n / 2000, 1.0) * np.maximum(t / 50, 1.0) ** 0.5
        return p * np.maximum(n - have, 0) + q * np.maximum(t, 0) + compute

    return Space(error, cost, (50.0, 2e5), (10.0, 1e4))


@pytest.mark.parametrize("seed", range(30))
def test_no_grid_finds_better_than_the_search(seed: int) -> None:
    space = strange(seed)
    for budget in (40.0, 300.0, 5000.0):
        least = brute(space, lambda n, t, most=budget: space.cost(n, t) <= most, space.error)
        found = best_for_budget(space, budget)
        if found is None:
            assert least == np.inf
            continue
        assert found.cost <= budget * (1 + 1e-12)
        assert found.error <= least * (1 + 1e-9)
        assert found.error >= least * (1 - 0.03)  # a grid of 500 x 500 is that near: the search invents nothing


@pytest.mark.parametrize("seed", range(30))
def test_no_grid_reaches_a_target_for_less(seed: int) -> None:
    space = strange(seed)
    corner = float(space.error(np.array(2e4), np.array(1e3)))
    for target in (corner * 1.05, corner * 1.5):
        least = brute(space, lambda n, t, most=target: space.error(n, t) <= most, space.cost)
        found = cheapest_for_target(space, target)
        if found is None:
            assert least == np.inf
            continue
        assert found.error <= target * (1 + 1e-9)
        assert found.cost <= least * (1 + 1e-9)
        assert found.cost >= least * (1 - 0.1)


@given(st.integers(0, 10_000), st.floats(5, 1e5), st.floats(1.0, 10.0))
@settings(max_examples=60, deadline=None)
def test_more_money_never_gives_a_larger_error(seed: int, budget: float, factor: float) -> None:
    space = strange(seed)
    less, more = best_for_budget(space, budget), best_for_budget(space, budget * factor)
    if less is not None:
        assert more is not None
        assert more.error <= less.error * (1 + 1e-8)


@given(TERMS, TERMS, EXPONENTS, EXPONENTS, st.floats(100, 1e5))
@settings(max_examples=40, deadline=None)
def test_budget_and_target_are_two_sides_of_one_question(a, b, alpha, beta, budget) -> None:
    space = additive(0.05, a, alpha, b, beta, images=(1, 1e7), labels=(1, 1e7))
    best = best_for_budget(space, budget)
    assert best is not None
    back = cheapest_for_target(space, best.error * (1 + 1e-12))
    assert back is not None
    np.testing.assert_allclose(back.cost, budget, rtol=1e-4)


def test_a_term_that_is_nil_buys_nothing() -> None:
    found = best_for_budget(additive(0.1, 0.0, 0.5, 0.2, 0.5, images=(10, 1e6), labels=(10, 1e4)), 5000.0)
    assert found is not None
    assert found.images == pytest.approx(10, rel=1e-9)
    assert found.labels == pytest.approx(4990, rel=1e-6)
    alone = best_for_budget(additive(0.1, 0.0, 0.5, 0.0, 0.5, images=(10, 1e6), labels=(10, 1e4)), 5000.0)
    assert (alone.images, alone.labels, alone.cost) == pytest.approx((10, 10, 20), rel=1e-9)


def test_limits_are_kept_and_what_cannot_be_is_none() -> None:
    space = additive(0.1, 0.2, 0.5, 0.2, 0.5, images=(100, 1000), labels=(50, 200))
    assert best_for_budget(space, 149.9) is None
    found = best_for_budget(space, 1e9)
    assert (found.images, found.labels) == (1000, 200)
    assert cheapest_for_target(space, found.error * 0.999) is None
    assert cheapest_for_target(space, found.error).cost == pytest.approx(1200, rel=1e-9)
    fixed = best_for_budget(space._replace(labels=(70.0, 70.0)), 500)
    assert (fixed.images, fixed.labels) == pytest.approx((430, 70), rel=1e-9)


def test_the_least_of_one_number() -> None:
    assert least_along(lambda x: (x - 1.234) ** 2, -5, 7, rounds=10) == pytest.approx(1.234, abs=1e-4)
