"""The search for any law finds its optimum whatever the units, the order or the effort."""

from __future__ import annotations

import numpy as np
import pytest

from tippingpoint.errors import FitError
from tippingpoint.fitting.additive import fit_additive
from tippingpoint.fitting.descent import Problem, derivatives, descend, values
from tippingpoint.fitting.objectives import OBJECTIVES, objective_named
from tippingpoint.fitting.surface import fit_surface, refit_surface
from tippingpoint.laws.formula import Formula
from tippingpoint.laws.interaction import Coupled
from tippingpoint.laws.multiplicative import FlooredProduct, Product
from tippingpoint.laws.transfer import Transferred

AXES = ["n_pretrain", "n_params", "n_finetune"]
TRUTHS = {
    Product: [0.3, 0.2, 0.1, 0.3],
    FlooredProduct: [0.05, 0.3, 0.2, 0.5, 0.3],
    Transferred: [0.05, 0.3, 0.4, 1.0, 0.6, 0.3],
    Coupled: [0.05, 0.2, 0.1, 0.1, 0.08, 0.3, 0.5, 0.4, 0.6, 0.5],
}


def study(kind: type[Formula], noise: float = 0.0, seed: int = 0) -> tuple[Formula, np.ndarray, np.ndarray]:
    grids = [[1e3, 1e4, 1e5, 1e6, 3e6], [2.5e6, 1e7, 2.2e7, 3.8e7], [1e2, 1e3, 1e4, 1e5]]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=-1)
    formula = kind(AXES)
    m = len(formula.weights)
    logs = np.log(sizes) - np.log(sizes).mean(axis=0)
    truth = np.array(TRUTHS[kind])
    y = truth[:m] @ formula.features(logs, truth[None, m:])[0]
    return formula, sizes, y * np.exp(noise * np.random.default_rng(seed).standard_normal(len(y)))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", TRUTHS)
def test_truth_is_recovered_without_noise(kind: type[Formula], objective: str) -> None:
    formula, sizes, y = study(kind)
    if objective == "binomial":
        y *= 0.9 / y.max()
    found = fit_surface(formula, sizes, y, objective=objective)
    assert found.status == "converged"
    m = len(formula.weights)
    np.testing.assert_allclose(found.theta[m:], TRUTHS[kind][m:], rtol=1e-6)
    np.testing.assert_allclose(found.predict(sizes), y, rtol=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("kind", TRUTHS)
def test_derivatives_against_finite_differences(kind: type[Formula], name: str) -> None:
    formula, sizes, y = study(kind, noise=0.05)
    logs = np.log(sizes) - np.log(sizes).mean(axis=0)
    weights = np.random.default_rng(1).uniform(0, 2, (1, len(y)))
    objective = objective_named(name, 0.03)
    problem = Problem(formula, logs, y[None], weights, objective)
    theta = np.array([TRUTHS[kind]]) * 1.1
    if objective.on_rates:
        theta[:, : len(formula.weights)] *= 0.5 / y.max()
        problem = problem._replace(y=y[None] * 0.5 / y.max())
    delta = np.array([objective.delta])
    gradient, hessian, safe = derivatives(theta, problem, delta)
    assert np.linalg.eigvalsh(safe[0]).min() > -1e-9
    for place in range(theta.shape[1]):
        shift = np.zeros_like(theta)
        shift[0, place] = 1e-6
        rise = values(theta + shift, problem, delta) - values(theta - shift, problem, delta)
        np.testing.assert_allclose(gradient[0, place], rise[0] / 2e-6, rtol=1e-5, atol=1e-7)
        ahead, behind = (derivatives(theta + sign * shift, problem, delta)[0] for sign in (1, -1))
        np.testing.assert_allclose(hessian[0, place], (ahead - behind)[0] / 2e-6, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", TRUTHS)
def test_units_order_and_effort(kind: type[Formula]) -> None:
    formula, sizes, y = study(kind, noise=0.05)
    found = fit_surface(formula, sizes, y)
    order = np.random.default_rng(0).permutation(len(y))
    other = fit_surface(formula, sizes[order] * np.array([1e6, 1e-3, 10.0]), 1e3 * y[order])
    assert other.objective == pytest.approx(found.objective, rel=1e-9)
    scaled = other.predict(sizes * np.array([1e6, 1e-3, 10.0]))
    np.testing.assert_allclose(scaled, 1e3 * found.predict(sizes), rtol=1e-5)
    more = fit_surface(formula, sizes, y, search=3)
    assert more.objective <= found.objective * (1 + 1e-12)
    # the layout of one level is long enough: three times as many starts find nothing that matters
    assert more.objective >= found.objective * (1 - 1e-3)


@pytest.mark.parametrize("kind", TRUTHS)
def test_no_random_start_does_better(kind: type[Formula]) -> None:
    formula, sizes, y = study(kind, noise=0.05)
    found = fit_surface(formula, sizes, y, objective="log")
    logs = np.log(sizes) - found.log_reference
    problem = Problem(formula, logs, (y / found.y_unit)[None], np.ones((1, len(y))), objective_named("log"))
    random = np.random.default_rng(0).uniform(0.01, 1.5, (40, found.n_parameters))
    assert descend(random, problem).value.min() >= found.objective * (1 - 1e-9)


def test_the_additive_law_is_never_better_than_the_one_that_contains_it() -> None:
    for seed in range(5):
        formula, sizes, y = study(Coupled, noise=0.1, seed=seed)
        outer, inner = fit_surface(formula, sizes, y), fit_additive(sizes, y)
        assert outer.objective <= inner.objective * (1 + 1e-12)


def test_raw_parameters_are_the_law_in_raw_units() -> None:
    formula, sizes, y = study(Transferred)
    raw = fit_surface(formula, sizes, y).parameters
    p, m, f = sizes.T
    exponents = raw["n_pretrain.transfer_exponent"], raw["n_params.transfer_exponent"]
    moved = raw["transfer.coefficient"] * p ** exponents[0] * m ** exponents[1]
    by_hand = raw["floor"] + raw["coefficient"] * (f + moved) ** -raw["n_finetune.exponent"]
    np.testing.assert_allclose(by_hand, y, rtol=1e-8)
    formula, sizes, y = study(Coupled)
    raw = fit_surface(formula, sizes, y).parameters
    by_hand = raw["floor"] + sum(
        raw[f"{axis}.coefficient"] * column ** -raw[f"{axis}.exponent"]
        for axis, column in zip(AXES, sizes.T, strict=True)
    )
    by_hand += raw["interaction.coefficient"] * (
        m ** raw["interaction.model_exponent"] * f ** -raw["interaction.labels_exponent"]
    )
    np.testing.assert_allclose(by_hand, y, rtol=1e-8)


def test_refits_equal_fits_of_the_same_weights() -> None:
    formula, sizes, y = study(FlooredProduct, noise=0.05)
    found = fit_surface(formula, sizes, y, objective="log")
    weights = np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)), 6).astype(float)
    again = refit_surface(found, sizes, y, weights, objective="log")
    assert again.converged.all()
    for row, theta in zip(weights, again.theta, strict=True):
        own = fit_surface(formula, sizes, y, weights=row, objective="log")
        np.testing.assert_allclose(found.predict(sizes, theta[None])[0], own.predict(sizes), rtol=1e-6)


def test_states_and_faults() -> None:
    formula, sizes, y = study(FlooredProduct)
    assert fit_surface(formula, sizes[:3], y[:3]).status == "too few runs"
    single = sizes.copy()
    single[:, 1] = 7.0
    held = fit_surface(formula, single, y)
    assert held.status == "unidentified"
    assert any("n_params has a single size" in reason for reason in held.reasons)
    assert fit_surface(formula, sizes, y - 0.9 * y.min()).status in {"bound hit", "unidentified", "converged"}
    with pytest.raises(FitError, match="has 3 axes"):
        fit_surface(formula, sizes[:, :2], y)
    with pytest.raises(FitError, match="above 0"):
        fit_surface(formula, sizes, -y)
