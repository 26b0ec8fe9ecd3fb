"""Terms that the data do not determine are called so; those they do are not."""

from __future__ import annotations

import numpy as np
import pytest

from tippingpoint.fitting.additive import fit_additive
from tippingpoint.fitting.held_additive import fit_held_additive
from tippingpoint.fitting.identifiability import Identifiability, given_terms, term_identifiability
from tippingpoint.fitting.objectives import objective_named
from tippingpoint.fitting.setting import FitSetting


def judge(sizes: np.ndarray, y: np.ndarray, objective: str = "log") -> list[Identifiability]:
    fit = fit_additive(sizes, y, objective=objective)
    return term_identifiability(fit, sizes, y, objective_named(objective))


def grid(noise: float, second: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a study whose second term has the size ``second`` at the middle."""
    axes = np.meshgrid(np.geomspace(1e2, 1e6, 8), np.geomspace(1e6, 4e7, 5), indexing="ij")
    sizes = np.stack([axis.ravel() for axis in axes], axis=-1)
    y = 0.05 + 0.2 * (sizes[:, 0] / 1e4) ** -0.3 + second * (sizes[:, 1] / 1e7) ** -0.5
    return sizes, y * np.exp(noise * np.random.default_rng(seed).standard_normal(len(y)))


@pytest.mark.parametrize("objective", ["huber-log", "log", "squares"])
def test_strong_terms_are_identified(objective: str) -> None:
    first, second = judge(*grid(0.01, 0.2), objective)
    assert first.identified
    assert second.identified
    assert first.reason == ""
    truth = 0.2 * (np.array([1e-2, 1e2]) ** -0.3)
    np.testing.assert_allclose(first.swing, truth[0] - truth[1], rtol=0.1)
    assert 0.2 < first.allowed[0] <= first.allowed[1] < 0.4


@pytest.mark.parametrize("seed", range(5))
def test_a_term_of_one_in_a_million_is_not_identified(seed: int) -> None:
    first, second = judge(*grid(0.02, 1e-6, seed))  # the paper's Table 4: n_params term <= 1.3e-6 on error
    assert first.identified
    assert not second.identified
    assert second.reason
    assert second.swing < 0.02


def test_short_noisy_curve_has_a_flat_profile() -> None:
    sizes = np.geomspace(100, 1000, 6)[:, None]
    y = 0.1 + 0.3 * (sizes[:, 0] / 300) ** -0.5 + np.array([1, -1, 1, -1, 1, -1]) * 0.08
    (only,) = judge(sizes, y)
    assert only.flat
    assert not only.identified


def test_bound_and_single_and_two_sizes() -> None:
    sizes = np.geomspace(1, 30, 8)
    (steep,) = judge(sizes[:, None], 0.1 + sizes**-14.0)
    assert steep.at_bound
    assert "bound" in steep.reason
    single, two, _ = judge(
        np.column_stack([np.full(8, 3.0), np.array([1.0, 2.0] * 4), sizes]),
        0.1 + sizes**-0.5 + 0.1 * np.array([1, 0] * 4),
    )
    assert "single size" in single.reason
    assert "two sizes" in two.reason


def test_correlated_axes_are_not_both_identified() -> None:
    n = np.geomspace(1e2, 1e6, 12)
    y = (0.1 + (n / 1e3) ** -0.4) * np.exp(0.01 * np.random.default_rng(0).standard_normal(12))
    terms = judge(np.column_stack([n, 3 * n]), y)
    assert not all(term.identified for term in terms)


def test_given_terms_flag_what_cannot_have_been_measured() -> None:
    """CIFAR10's error row of the paper's Table 4, and a term that is fine."""
    ranges = np.array([[6.4e4, 1.28e6], [2.5e6, 3.84e7], [2500, 5e4]])
    pretrain, params, finetune = given_terms(
        1 / np.array([1.84, 1.22, 0.553]), np.array([10.129, 4.975, 0.331]), ranges
    )
    assert pretrain.greatest < 1.2e-48
    assert not pretrain.shows
    assert "optimiser" in pretrain.reason
    assert not params.shows
    assert finetune.shows
    assert finetune.reason == ""
    np.testing.assert_allclose(finetune.swing, (2500**-0.331 - 5e4**-0.331) / 0.553, rtol=1e-12)


def test_axes_in_proportion_are_unidentified_even_without_noise() -> None:
    n = np.geomspace(1e2, 1e6, 30)
    m = 40 * n * np.exp(0.01 * np.random.default_rng(0).standard_normal(30))
    fit = fit_additive(np.column_stack([n, m]), 0.1 + (n / 1e3) ** -0.4 + (m / 1e5) ** -0.9)
    assert fit.status == "unidentified"
    assert "axis 0 and axis 1 grow in proportion" in fit.reasons[0]


@pytest.mark.parametrize("unit", [1.0, 7.0])
def test_weights_of_any_size_say_the_same(unit: float) -> None:
    """Weights are up to one factor; how many runs count is told apart."""
    sizes, y = grid(0.02, 0.05)
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    fit = fit_additive(sizes, y, weights=weights, objective="log")
    plain = term_identifiability(fit, sizes, y, objective_named("log"), weights=weights)
    scaled = term_identifiability(
        fit, sizes, y, objective_named("log"), weights=unit * weights, independent=weights.sum()
    )
    rows = np.repeat(np.arange(len(y)), weights.astype(int))
    repeated = judge(sizes[rows], y[rows])
    for one, two, three in zip(plain, scaled, repeated, strict=True):
        assert one == two
        assert (one.identified, one.flat, one.needed, one.reason) == (
            three.identified, three.flat, three.needed, three.reason,
        )  # fmt: skip


def test_profiles_under_constraints_are_those_of_the_law() -> None:
    """With bounds that do not bind, every finding is the one without them."""
    sizes, y = grid(0.03, 0.05)
    setting = FitSetting("log", bounds={"a.exponent": (0.0, 9.0)})
    held = fit_held_additive(["a", "b"], sizes, y, setting, np.ones(len(y)))
    mine = term_identifiability(held.solution, sizes, y, objective_named("log"), held=held)
    for one, other in zip(mine, judge(sizes, y), strict=True):
        assert (one.identified, one.flat, one.needed, one.at_bound, one.reason) == (
            other.identified, other.flat, other.needed, other.at_bound, other.reason,
        )  # fmt: skip
        np.testing.assert_allclose(one.allowed, other.allowed, rtol=1e-5)
        np.testing.assert_allclose(one.swing, other.swing, rtol=1e-5)
