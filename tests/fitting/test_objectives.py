"""The binomial likelihood of error rates: its derivatives, its optimum, its over-dispersion, what it is good for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize, minimize_scalar

from tippingpoint.errors import FitError, RunsError
from tippingpoint.fitting.additive import fit_additive, refit_additive
from tippingpoint.fitting.estimation import estimate
from tippingpoint.fitting.objectives import OBJECTIVES, objective_named
from tippingpoint.fitting.rates import over_dispersion
from tippingpoint.fitting.rivals import estimate_surface
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.surface import fit_surface
from tippingpoint.laws.multiplicative import FlooredProduct
from tippingpoint.laws.transfer import Transferred
from tippingpoint.runs import read_runs

AXES = ["n_pretrain", "n_finetune"]
RATES = FitSetting("binomial")
TRUTH = np.array([0.08, 0.12, 0.1, 0.3, 0.5])  # floor, terms at the middle, exponents
MIDDLE = np.array([3e4, 3e3])


def law(sizes: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return np.asarray(theta[0] + (theta[1:3] * (sizes / MIDDLE) ** -theta[3:]).sum(axis=-1))


def grid() -> np.ndarray:
    axes = np.meshgrid(np.geomspace(1e3, 1e6, 8), np.geomspace(3e2, 3e4, 6), indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=-1)


def study(seed: int, rho: float, greatest: float = 1e4) -> pd.DataFrame:
    """Return rates drawn from beta-binomial counts over 100 to ``greatest`` images."""
    generator = np.random.default_rng(seed)
    sizes = grid()
    f = law(sizes, TRUTH)
    n = np.exp(generator.uniform(np.log(100), np.log(greatest), len(f))).round()
    rate = generator.beta(f * (1 - rho) / rho, (1 - f) * (1 - rho) / rho) if rho else f
    y = generator.binomial(n.astype(int), rate) / n
    return pd.DataFrame(sizes, columns=AXES).assign(error=y, n_test=n)


# -- the loss itself -------------------------------------------------------------------------------------------------


@given(st.floats(0, 1), st.floats(1e-6, 1 - 1e-6), st.floats(0.01, 100))
@settings(max_examples=200, deadline=None)
def test_loss_is_half_the_deviance(y: float, f: float, unit: float) -> None:
    plain = (y * np.log(y / f) if y > 0 else 0.0) + ((1 - y) * np.log((1 - y) / (1 - f)) if y < 1 else 0.0)
    objective = objective_named("binomial")
    loss = objective.loss(np.array([f]), np.array([y]))[0]
    assert loss >= 0
    np.testing.assert_allclose(loss, plain, rtol=1e-9, atol=1e-14)
    scaled = objective.scaled(unit)
    in_units = scaled.loss(np.array([f / unit]), np.array([y / unit]))[0] * scaled.in_units(unit)
    np.testing.assert_allclose(in_units, loss, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("y", [1e-9, 1e-3, 0.3, 0.999])
def test_loss_keeps_its_digits_next_to_the_rate(y: float) -> None:
    """Next to y it is (f - y)^2 / 2y(1 - y), which the plain formula loses."""
    f = y * (1 + 1e-7)
    loss = objective_named("binomial").loss(np.array([f]), np.array([y]))[0]
    np.testing.assert_allclose(loss, (f - y) ** 2 / (2 * y * (1 - y)), rtol=2e-4 if y > 0.9 else 1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_slopes_against_finite_differences(name: str) -> None:
    objective = objective_named(name, 0.05).scaled(2.0)
    y = np.array([0.0, 0.02, 0.1, 0.2, 0.3, 0.49, 0.5]) + (0.01 if objective.on_logs else 0.0)
    f = np.array([0.1, 0.04, 0.05, 0.4, 0.31, 0.45, 0.3])
    weights, delta, aim, step = np.linspace(0.5, 2, 7), np.array([objective.delta]), objective.aim(y), 1e-6

    def loss(at: np.ndarray) -> np.ndarray:
        return np.asarray(weights * objective.loss(at, aim))

    first, second, safe = (
        np.broadcast_to(part, (1, 7))[0] for part in objective.slopes(f[None], aim, weights[None], delta)
    )
    np.testing.assert_allclose(first, (loss(f + step) - loss(f - step)) / (2 * step), rtol=1e-6, atol=1e-9)
    slopes = [objective.slopes((f + sign * step)[None], aim, weights[None], delta)[0][0] for sign in (1, -1)]
    np.testing.assert_allclose(second, (slopes[0] - slopes[1]) / (2 * step), rtol=1e-6, atol=1e-9)
    assert (safe >= 0).all()
    if objective.on_rates:
        assert (second > 0).all()  # convex in f


def test_values_that_are_no_rates_are_refused() -> None:
    objective = objective_named("binomial")
    assert np.isinf(objective.loss(np.array([1.0, 1.2, 0.0, -0.1]), np.array([0.5, 1.0, 0.0, 0.0]))).all()
    np.testing.assert_allclose(objective.noise(np.array([0.5, 0.1])), [0.5, 0.3])
    assert (objective.noise(np.array([0.0, 1.0, 1.5])) > 0).all()


# -- fits ------------------------------------------------------------------------------------------------------------


def test_rates_of_zero_and_one_are_followed() -> None:
    sizes = np.geomspace(1, 1000, 8)[:, None]
    y = np.array([1.0, 0.9, 0.55, 0.3, 0.2, 0.1, 0.0, 0.0])
    objective = objective_named("binomial")
    edge = minimize_scalar(  # the optimum lies where the law is 1 at the first size
        lambda e: objective.loss((1 - 1e-12) * sizes[:, 0] ** -e, y).sum(), (0.3, 0.5), tol=1e-12
    )
    laws = (fit_additive, lambda *data, **rest: fit_surface(FlooredProduct(["a"]), *data, **rest))
    for found in (fit(sizes, y, objective="binomial") for fit in laws):
        fitted = found.predict(sizes)
        assert ((fitted > 0) & (fitted < 1)).all()
        np.testing.assert_allclose(found.objective, edge.fun, rtol=1e-7)
        assert found.status == "bound hit"
    with pytest.raises(FitError, match="Every rate is 0"):
        fit_additive(sizes, np.zeros(8), objective="binomial")
    with pytest.raises(FitError, match="from 0 to 1"):
        fit_additive(sizes, y + 0.1, objective="binomial")


@pytest.mark.parametrize("seed", range(3))
def test_no_start_of_scipy_does_better(seed: int) -> None:
    """The beta-binomial variance's quasi-likelihood, at the rho that was found, minimised from many starts."""
    frame = study(seed, 0.002)
    found = estimate(read_runs(frame), AXES, "error", RATES)
    assert found.over_dispersion is not None
    sizes, y, n = frame[AXES].to_numpy(float), frame["error"].to_numpy(), frame["n_test"].to_numpy()
    weights = 1 / (1 / n + found.over_dispersion)

    def loss(z: np.ndarray) -> float:
        f = law(sizes, np.exp(z))
        if (f >= 1).any():
            return 1e6
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(y > 0, y * np.log(y / f), 0) + np.where(y < 1, (1 - y) * np.log((1 - y) / (1 - f)), 0)
        return float(weights @ parts)

    generator = np.random.default_rng(seed)
    ends = [
        minimize(loss, np.log(TRUTH) + 0.5 * generator.standard_normal(5), method="Nelder-Mead",
                 options={"maxiter": 4000, "maxfev": 4000, "xatol": 1e-9, "fatol": 1e-12})
        for _ in range(8)
    ]  # fmt: skip
    best = min(ends, key=lambda end: end.fun)
    assert found.solution.objective <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(found.solution.objective, best.fun, rtol=1e-6)
    fitted = law(sizes, np.exp(best.x))
    np.testing.assert_allclose(found.solution.predict(sizes), fitted, rtol=1e-3)


def test_over_dispersion_solves_pearsons_equation_and_rests() -> None:
    frame = study(5, 0.003)
    found = estimate(read_runs(frame), AXES, "error", RATES)
    y, n, f = frame["error"].to_numpy(), frame["n_test"].to_numpy(), found.solution.predict(frame[AXES].to_numpy(float))
    rho = brentq(lambda rho: ((y - f) ** 2 / (f * (1 - f) * (1 / n + rho))).sum() - (len(y) - 5), 0, 1, xtol=1e-15)
    np.testing.assert_allclose(found.over_dispersion, rho, rtol=1e-8)
    weights = 1 / (1 / n + rho)
    np.testing.assert_allclose(found.weights, weights * len(y) / weights.sum(), rtol=1e-8)
    alone = fit_additive(frame[AXES].to_numpy(float), y, weights=weights, objective="binomial")
    np.testing.assert_allclose(found.solution.objective, alone.objective, rtol=1e-8)
    assert "beyond sampling" in found.notes[-1]


def test_over_dispersion_at_its_ends() -> None:
    n, counts = np.full(10, 1e6), np.ones(10)
    f = np.linspace(0.1, 0.5, 10)
    assert over_dispersion(f + 1e-6, f, n, counts, 3) == 0.0  # less spread than sampling
    assert over_dispersion(f + 0.1, f, n, counts, 10) == 0.0  # nothing left to measure it with
    assert over_dispersion(1 - (f < 0.3), np.full(10, 0.5), n, counts, 9) == 1.0
    exact = read_runs(pd.DataFrame(grid(), columns=AXES).assign(error=law(grid(), TRUTH), n_test=1000))
    found = estimate(exact, AXES, "error", RATES)
    assert found.over_dispersion == 0.0
    assert "no more" in found.notes[-1]
    np.testing.assert_allclose(found.solution.exponents, TRUTH[3:], rtol=1e-6)


@pytest.fixture(scope="module")
def simulated() -> dict[str, np.ndarray]:
    """Errors of both objectives over 40 studies whose test sets have 100 to 10,000 images."""
    errors: dict[str, list[float]] = {"binomial": [], "log": []}
    found = []
    sizes = grid()
    f = law(sizes, TRUTH)
    for seed in range(40):
        runs = read_runs(study(seed, 0.001))
        for name, into in errors.items():
            fit = estimate(runs, AXES, "error", FitSetting(name))
            into.append(float(np.sqrt(np.mean(np.log(fit.solution.predict(sizes) / f) ** 2))))
            if fit.over_dispersion is not None:
                found.append(fit.over_dispersion)
    return {**{name: np.array(values) for name, values in errors.items()}, "rho": np.array(found)}


def test_the_likelihood_of_rates_recovers_more_than_logs(simulated: dict[str, np.ndarray]) -> None:
    better = simulated["log"] - simulated["binomial"]
    assert simulated["binomial"].mean() < 0.8 * simulated["log"].mean()
    assert better.mean() > 3 * better.std(ddof=1) / np.sqrt(len(better))  # paired over 40 seeds


def test_over_dispersion_is_recovered(simulated: dict[str, np.ndarray]) -> None:
    found = simulated["rho"]
    assert abs(found.mean() - 0.001) < 3 * found.std(ddof=1) / np.sqrt(len(found))
    assert (found > 0).mean() > 0.9


def test_refits_are_fits_of_the_same_weights() -> None:
    frame = study(1, 0.002)
    found = estimate(read_runs(frame), AXES, "error", RATES)
    rows = np.random.default_rng(0).multinomial(len(frame), np.full(len(frame), 1 / len(frame)), 6) * found.weights
    many = refit_additive(found.sizes, found.y, rows, found.solution, objective="binomial")
    for row, objective in zip(rows, many.objective, strict=True):
        own = fit_additive(found.sizes, found.y, weights=row, objective="binomial")
        np.testing.assert_allclose(objective, own.objective, rtol=1e-8)


@pytest.mark.parametrize("formula", [FlooredProduct(AXES), Transferred(AXES)])
def test_every_law_fits_rates(formula: FlooredProduct | Transferred) -> None:
    found = estimate_surface(read_runs(study(2, 0.002)), formula, "error", RATES)
    assert found.over_dispersion is not None
    assert found.over_dispersion > 0
    assert "beyond sampling" in found.notes[-1]
    assert (found.solution.predict(found.sizes) < 1).all()
    residuals = (found.y - found.solution.predict(found.sizes)) ** 2
    spread = found.solution.predict(found.sizes) * (1 - found.solution.predict(found.sizes))
    n = study(2, 0.002)["n_test"].to_numpy()
    pearson = (residuals / spread / (1 / n + found.over_dispersion)).sum()
    np.testing.assert_allclose(pearson, len(n) - found.solution.n_parameters, rtol=1e-6)


# -- what users may get wrong ----------------------------------------------------------------------------------------


def test_faults_of_the_table_are_told_together() -> None:
    frame = study(0, 0.002).rename(columns={"error": "cross_entropy"})
    with pytest.raises(RunsError, match="--define n_test=10000"):
        estimate(read_runs(frame.drop(columns="n_test")), AXES, "cross_entropy", RATES)
    frame.loc[3, "cross_entropy"], frame.loc[4, "n_test"] = 2.3, 0.5
    for fit in (estimate, lambda runs, axes, *rest: estimate_surface(runs, FlooredProduct(axes), *rest)):
        with pytest.raises(RunsError) as caught:
            fit(read_runs(frame), AXES, "cross_entropy", RATES)
        assert len(caught.value.faults) == 2
        assert "row 3" in caught.value.faults[0]
        assert "'cross_entropy' is outside 0..1" in caught.value.faults[0]
        assert "row 4" in caught.value.faults[1]
        assert "'n_test'" in caught.value.faults[1]
    with pytest.raises(FitError, match="Did you mean 'binomial'"):
        objective_named("binomal")
