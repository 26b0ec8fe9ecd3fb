"""The average over exponents: exact solves, weights that mean what they say, curves of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.fitting.tempered import EXPONENTS, Tempering, average, exponent_weights, solve_grid

X = np.geomspace(1e3, 1e6, 30)


@pytest.mark.parametrize("odds", [False, True])
def test_every_exponent_is_solved_exactly(odds: bool) -> None:
    y = 0.2 + 10 * X**-0.4 + 0.01 * np.sin(np.arange(30))
    grid = solve_grid(X, y, 3.0, 1.0, odds)
    z = y / (1 - y) if odds else y
    slope = (1 - y) ** 2 / y if odds else 1 / y
    root = np.sqrt((X / X.max()) ** 3) * slope
    for place in np.flatnonzero(grid.allowed)[1::10]:
        design = np.stack([np.ones_like(X), (X / X.max()) ** -EXPONENTS[place]], axis=1)
        best = np.linalg.lstsq(design * root[:, None], z * root, rcond=None)[0]
        found = np.array([grid.floor[place], grid.coefficient[place]]) * grid.unit
        np.testing.assert_allclose(found, best, rtol=1e-7)


def test_exponents_without_room_for_a_floor_are_left_out() -> None:
    grid = solve_grid(X, 30 * X**-0.5, 3.0, 5.0, odds=False)
    assert not grid.allowed[EXPONENTS < 0.4].any()
    assert grid.allowed[EXPONENTS > 0.5].all()
    assert exponent_weights(grid, Tempering())[~grid.allowed].max() == 0


def test_more_belief_in_the_likelihood_narrows_the_exponents() -> None:
    y = (0.1 + 20 * X**-0.45) * np.exp(np.random.default_rng(0).normal(0, 0.003, 30))
    grid = solve_grid(X, y, 3.0, 5.0, odds=False)
    spread = [average([grid], Tempering(temper=t), X[-1:] * 4)[1][0] for t in (0.01, 0.1, 1.0)]
    assert spread[0] > spread[1] > spread[2] > 0


def test_recency_gives_way_where_points_are_few() -> None:
    few = solve_grid(X[::10], 0.2 + X[::10] ** -0.5, 3.0, 5.0, odds=False)
    assert few.effective == pytest.approx(3.0, rel=1e-9)  # all three count the same
    many = solve_grid(X, 0.2 + X**-0.5, 3.0, 5.0, odds=False)
    assert 5.0 <= many.effective < 15


def test_a_score_of_one_has_no_say_in_the_odds() -> None:
    y = 0.2 + 0.6 * (X / X[0]) ** -0.5
    with_one = y.copy()
    with_one[0] = 1.0
    grid = solve_grid(X, with_one, 3.0, 5.0, odds=True)
    assert np.isfinite(grid.floor).all()
    assert np.isfinite(grid.log_predictions(X * 2)).all()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1e-12, 1e12), st.floats(1e-9, 1.0)),
        min_size=2,
        max_size=12,
        unique_by=lambda point: point[0],
    ),
    st.booleans(),
)
def test_whatever_the_curve_predictions_are_numbers(points: list[tuple[float, float]], odds: bool) -> None:
    x, y = np.array(points).T
    grid = solve_grid(x, y, 3.0, 5.5, odds and y.min() < 1)
    mean, spread = average([grid], Tempering(), np.array([x.min() / 2, x.max() * 2, x.max() * 1e3]))
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()
