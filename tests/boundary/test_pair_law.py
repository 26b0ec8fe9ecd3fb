"""Both recipes' laws as one formula: its derivatives, its two sides, and the difference it makes at a place."""

from __future__ import annotations

import numpy as np
import pytest

from tippingpoint.boundary.pair_law import PairLaw

AXES = ("n_pretrain", "n_finetune")


@pytest.fixture
def law() -> PairLaw:
    return PairLaw("n_pretrain", ["n_finetune"], (AXES, AXES))


def points(n: int = 12) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.column_stack([generator.uniform(-2, 2, (n, 2)), np.arange(n) % 2])


def test_slopes_are_the_derivatives(law: PairLaw) -> None:
    generator = np.random.default_rng(1)
    weights, shape = generator.uniform(0.1, 1, (3, len(law.weights))), generator.uniform(0.2, 1.5, (3, len(law.shapes)))
    logs, step = points(), 1e-6
    slopes = law.slopes(logs, weights, shape)
    for place in range(len(law.shapes)):
        moved = np.zeros_like(shape)
        moved[:, place] = step
        up, down = (np.einsum("rm,rmn->rn", weights, law.features(logs, shape + sign * moved)) for sign in (1, -1))
        np.testing.assert_allclose(slopes[:, place], (up - down) / (2 * step), rtol=1e-6, atol=1e-9)


def test_a_recipe_has_its_own_runs_only(law: PairLaw) -> None:
    logs = points()
    features = law.features(logs, np.full((1, len(law.shapes)), 0.5))[0]
    for name, column in zip(law.weights, features, strict=True):
        assert (column[logs[:, -1] != int(name[0])] == 0).all()
        assert (column[logs[:, -1] == int(name[0])] > 0).all()


def test_at_a_place_a_level_and_one_power_are_left(law: PairLaw) -> None:
    """The law at raw sizes is level + coefficient D^-exponent of its side."""
    generator = np.random.default_rng(2)
    theta = np.concatenate(
        [generator.uniform(0.1, 1, (4, len(law.weights))), generator.uniform(0.2, 1.5, (4, 4))], axis=1
    )
    reference = {"n_pretrain": np.log(3e4), "n_finetune": np.log(500.0)}
    found = law.recipes_at(theta, {"n_finetune": 200.0}, reference)
    sizes = np.geomspace(1e3, 1e6, 5)
    for side in (0, 1):
        place = np.log(200.0) - reference["n_finetune"]
        logs = np.column_stack([np.log(sizes) - reference["n_pretrain"], np.full(5, place), np.full(5, side)])
        m = len(law.weights)
        direct = np.einsum("rm,rmn->rn", theta[:, :m], law.features(logs, theta[:, m:]))
        level, coefficient, exponent = found[:, side].T[..., None]
        np.testing.assert_allclose(level + coefficient * sizes**-exponent, direct, rtol=1e-10)


def test_a_recipe_without_the_axis_is_a_constant() -> None:
    law = PairLaw("n_params_teacher", [], ((), ("n_params_teacher",)))
    assert law.weights == ("0.level", "1.level", "1.fall")
    found = law.recipes_at(np.array([[0.4, 0.2, 0.1, 0.5]]), {}, {"n_params_teacher": 0.0})
    np.testing.assert_allclose(found[0], [[0.4, 0, 0], [0.2, 0.1, 0.5]], rtol=1e-12)
