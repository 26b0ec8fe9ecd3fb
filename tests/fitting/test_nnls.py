"""Non-negative least squares: both ways of solving agree with scipy's and with the optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from tippingpoint.fitting.nnls import solve_nonnegative


@pytest.mark.parametrize("m", [1, 3, 5, 6, 9, 14])
def test_it_is_scipys(m: int) -> None:
    generator = np.random.default_rng(m)
    columns, y = generator.standard_normal((50, 30, m)), generator.standard_normal((50, 30))
    columns[:, :, -1] = columns[:, :, 0] + 1e-4 * columns[:, :, -1]  # two columns that are nearly one
    gram, right = columns.transpose(0, 2, 1) @ columns, (columns.transpose(0, 2, 1) @ y[..., None])[..., 0]
    solution, gain = solve_nonnegative(gram, right)
    assert (solution >= 0).all()
    for place in range(len(y)):
        _, residual = nnls(columns[place], y[place])
        np.testing.assert_allclose((y[place] ** 2).sum() - gain[place], residual**2, rtol=1e-7)


@given(st.integers(6, 12), st.integers(0, 10_000), st.floats(-12, 12))
def test_the_conditions_hold_whatever_the_scales(m: int, seed: int, spread: float) -> None:
    """No unknown is negative, and none at 0 would lower the loss, however unlike the columns' units are."""
    generator = np.random.default_rng(seed)
    columns, y = generator.standard_normal((4, 40, m)), generator.standard_normal((4, 40))
    columns *= 10.0 ** generator.uniform(-abs(spread), abs(spread), m)
    gram, right = columns.transpose(0, 2, 1) @ columns, (columns.transpose(0, 2, 1) @ y[..., None])[..., 0]
    solution, _ = solve_nonnegative(gram, right)
    length = np.linalg.norm(columns, axis=1)
    pull = (right - np.einsum("tij,tj->ti", gram, solution)) / length
    assert (solution >= 0).all()
    assert (pull <= 1e-8).all()
    np.testing.assert_allclose(pull * (solution > 0), 0, atol=1e-8)
