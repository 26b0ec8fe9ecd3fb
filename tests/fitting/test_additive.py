"""The search finds the optimum whatever the units, the order or the start; the derivatives are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.errors import FitError, TippingPointError
from tippingpoint.fitting.additive import fit_additive, refit_additive
from tippingpoint.fitting.nnls import solve_nonnegative
from tippingpoint.fitting.objectives import OBJECTIVES, objective_named
from tippingpoint.fitting.polish import _Problem, _values, curve, derivatives, polish

SHARED = Path(__file__).parents[2].parent / "shared"
CHINCHILLA = SHARED / "data" / "fitting" / "chinchilla_epoch" / "svg_extracted_data.csv"


def study(noise: float = 0.0, seed: int = 0, axes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes (n, axes) and y of a simulated study on a grid like the paper's."""
    grids = [[1e3, 1e4, 1e5, 1e6, 3e6], [2.5e6, 1e7, 2.2e7, 3.8e7], [1e2, 1e3, 1e4, 1e5]][:axes]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=-1)
    shares, exponents = np.array([0.3, 0.1, 0.2])[:axes], np.array([0.3, 0.5, 0.4])[:axes]
    y = 0.05 + (shares * (sizes / np.array([1e5, 1e7, 1e3])[:axes]) ** -exponents).sum(axis=1)
    return sizes, y * np.exp(noise * np.random.default_rng(seed).standard_normal(len(y)))


def unit_of(objective: str) -> float:
    """Return what y is multiplied by, so that rates are under 1."""
    return 0.4 if objective == "binomial" else 1.0


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_truth_is_recovered_without_noise(objective: str, axes: int) -> None:
    sizes, y = study(axes=axes)
    unit = unit_of(objective)
    y *= unit
    fit = fit_additive(sizes, y, objective=objective)
    assert fit.status == "converged"
    assert fit.reasons == ()
    np.testing.assert_allclose(fit.exponents, [0.3, 0.5, 0.4][:axes], rtol=1e-6)
    np.testing.assert_allclose(fit.floor, 0.05 * unit, rtol=1e-6)
    truth = (
        unit * np.array([0.3, 0.1, 0.2])[:axes] * np.array([1e5, 1e7, 1e3])[:axes] ** np.array([0.3, 0.5, 0.4])[:axes]
    )
    np.testing.assert_allclose(fit.coefficients, truth, rtol=1e-5)
    np.testing.assert_allclose(fit.predict(sizes), y, rtol=1e-9)


@pytest.mark.parametrize(("floor", "exponent"), [(0.0, 0.2), (0.2, 2.0), (0.0, 2.0), (0.3, 0.05)])
def test_exponents_far_from_usual_are_recovered(floor: float, exponent: float) -> None:
    sizes = np.geomspace(10, 1e5, 12)[:, None]
    fit = fit_additive(sizes, floor + 0.8 * sizes[:, 0] ** -exponent)
    np.testing.assert_allclose(fit.exponents, exponent, rtol=1e-6)
    np.testing.assert_allclose(fit.floor, floor, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_derivatives_against_finite_differences(name: str) -> None:
    sizes, y = study(noise=0.05)
    y *= unit_of(name)
    logs = np.log(sizes / np.exp(np.log(sizes).mean(axis=0)))
    objective = objective_named(name, 0.03)
    problem = _Problem(
        logs, objective.aim(y), np.random.default_rng(1).uniform(0, 2, (1, len(y))), objective, np.full(7, 10.0),
        np.zeros((1, 3), dtype=bool),
    )  # fmt: skip
    theta = np.array([[0.06, 0.2, 0.1, 0.1, 0.35, 0.45, 0.5]])
    theta[:, :4] *= unit_of(name)
    delta, rows = np.array([objective.delta]), np.arange(1)
    gradient, hessian, _ = derivatives(theta, problem, delta, rows)
    step = 1e-6
    for place in range(7):
        shift = np.zeros_like(theta)
        shift[0, place] = step
        rise = _values(theta + shift, problem, delta, rows) - _values(theta - shift, problem, delta, rows)
        np.testing.assert_allclose(gradient[0, place], rise[0] / (2 * step), rtol=1e-6, atol=1e-8)
        ahead, behind = (derivatives(theta + sign * shift, problem, delta, rows)[0] for sign in (1, -1))
        np.testing.assert_allclose(hessian[0, place], (ahead - behind)[0] / (2 * step), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_random_start_does_better(objective: str) -> None:
    sizes, y = study(noise=0.05)
    y *= unit_of(objective)
    fit = fit_additive(sizes, y, objective=objective)
    logs = np.log(sizes / fit.reference)
    unit = np.abs(y).mean()
    generator = np.random.default_rng(0)
    starts = np.column_stack([generator.uniform(0, 1, (60, 4)), generator.uniform(0.05, 3, (60, 3))])
    chosen = objective_named(objective).scaled(float(unit))
    if chosen.on_rates:  # all starts stay under 1
        starts[:, :4] *= 0.9 * chosen.ceiling / curve(starts, logs)[0].max(axis=1, keepdims=True)
    done = polish(starts, logs, y / unit, np.ones((1, len(y))), chosen, 10.0, first_delta=0.1)
    best = done.value.min() * chosen.in_units(float(unit))
    assert fit.objective <= best * (1 + 1e-9)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(OBJECTIVES),
    st.floats(1e-6, 1e6),
    st.floats(1e-3, 1e3),
)
def test_units_change_nothing_but_units(seed: int, objective: str, axis_unit: float, y_unit: float) -> None:
    sizes, y = study(noise=0.03, seed=seed)
    if objective == "binomial":  # a rate has no unit
        y, y_unit = y * unit_of(objective), 1.0
    one = fit_additive(sizes, y, objective=objective)
    other = fit_additive(sizes * np.array([axis_unit, 1, 1]), y * y_unit, objective=objective)
    np.testing.assert_allclose(other.exponents, one.exponents, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(other.floor, one.floor * y_unit, rtol=1e-5, atol=1e-8 * y_unit)
    scale = y_unit * np.array([axis_unit, 1, 1]) ** one.exponents
    np.testing.assert_allclose(other.coefficients, one.coefficients * scale, rtol=1e-4)
    factor = y_unit**2 if objective == "squares" else 1.0
    np.testing.assert_allclose(other.objective, one.objective * factor, rtol=1e-8)
    assert other.status == one.status


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_order_of_runs_and_axes_does_not_matter(seed: int, axes: list[int]) -> None:
    sizes, y = study(noise=0.03, seed=seed)
    rows = np.random.default_rng(seed).permutation(len(y))
    one = fit_additive(sizes, y)
    other = fit_additive(sizes[rows][:, axes], y[rows])
    np.testing.assert_allclose(other.objective, one.objective, rtol=1e-8)
    np.testing.assert_allclose(other.exponents, one.exponents[axes], rtol=1e-5, atol=1e-7)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(OBJECTIVES), st.floats(0.0, 0.3))
def test_more_search_is_never_worse(seed: int, objective: str, noise: float) -> None:
    sizes, y = study(noise=noise, seed=seed, axes=2)
    y *= 0.9 / y.max()
    found = [fit_additive(sizes, y, objective=objective, search=level).objective for level in (1, 2, 3)]
    assert found[1] <= found[0]
    assert found[2] <= found[1]


def test_weights_are_multiplicities() -> None:
    sizes, y = study(noise=0.05)
    counts = np.random.default_rng(3).integers(0, 3, len(y))
    weighted = fit_additive(sizes, y, weights=counts)
    repeated = fit_additive(np.repeat(sizes, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.objective, repeated.objective, rtol=1e-9)
    np.testing.assert_allclose(weighted.exponents, repeated.exponents, rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_refits_are_the_fits(objective: str) -> None:
    sizes, y = study(noise=0.05)
    y *= unit_of(objective)
    start = fit_additive(sizes, y, objective=objective)
    weights = np.random.default_rng(4).multinomial(len(y), np.full(len(y), 1 / len(y)), size=12).astype(float)
    many = refit_additive(sizes, y, weights, start, objective=objective)
    assert many.converged.all()
    near = 5e-2 if objective == "huber-log" else 1e-7  # Huber's local minima: a refit may end in the next one
    for row, own in enumerate(weights):
        alone = fit_additive(sizes, y, weights=own, objective=objective)
        np.testing.assert_allclose(many.objective[row], alone.objective, rtol=near)
        again = fit_additive(sizes, y, weights=own, objective=objective, start=start)
        np.testing.assert_allclose(again.objective, many.objective[row], rtol=near)
        if objective != "huber-log":
            np.testing.assert_allclose(many.exponents[row], alone.exponents, rtol=1e-4, atol=1e-6)


class TestStatus:
    def test_single_size(self) -> None:
        sizes, y = study(noise=0.01)
        fit = fit_additive(np.column_stack([sizes[:, 0], np.full(len(y), 7.0)]), y)
        assert fit.status == "unidentified"
        assert fit.constant.tolist() == [False, True]
        assert "single size" in fit.reasons[0]
        assert fit.coefficients[1] == 0

    def test_two_sizes_hold_the_exponent(self) -> None:
        sizes, y = study()
        two = (sizes[:, 1] < 3e6) | (sizes[:, 1] > 3e7)
        fit = fit_additive(sizes[two], y[two])
        assert fit.status == "unidentified"
        assert fit.held.tolist() == [False, True, False]
        assert fit.exponents[1] == 0.7
        np.testing.assert_allclose(fit.predict(sizes[two]), y[two], rtol=1e-6)
        assert fit.objective < 1e-15

    def test_two_sizes_far_apart_in_y_need_a_steeper_exponent(self) -> None:
        fit = fit_additive([[1.0], [2.0]] * 3, [1.0, 0.1] * 3)
        assert fit.exponents[0] > 0.7
        np.testing.assert_allclose(fit.predict([[1.0], [2.0]]), [1.0, 0.1], rtol=1e-6)

    def test_rising_error(self) -> None:
        sizes = np.geomspace(1, 100, 8)[:, None]
        fit = fit_additive(sizes, sizes[:, 0] ** 0.3)
        assert fit.status == "unidentified"
        assert fit.coefficients[0] == 0
        assert "no falling term" in fit.reasons[0]

    def test_bound(self) -> None:
        sizes = np.geomspace(1, 30, 8)[:, None]
        fit = fit_additive(sizes, 0.1 + sizes[:, 0] ** -14)
        assert fit.status == "bound hit"
        assert "upper bound 10" in fit.reasons[0]

    def test_floor_at_zero(self) -> None:
        sizes = np.geomspace(1, 1000, 9)[:, None]
        fit = fit_additive(sizes, sizes[:, 0] ** -0.5 * np.array([1, 1.01, 0.99] * 3) * np.linspace(1, 0.9, 9))
        assert fit.floor == 0
        assert fit.status == "bound hit"

    def test_too_few(self) -> None:
        fit = fit_additive([[1.0, 1.0], [2.0, 3.0], [3.0, 9.0]], [0.5, 0.4, 0.3])
        assert fit.status == "too few runs"
        assert "3 distinct combinations" in fit.reasons[0]
        assert fit_additive([[5.0]], [0.3]).floor == pytest.approx(0.3, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[1.0], [0.0]], [1.0, 1.0]), "above 0"),
        (([[1.0], [np.nan]], [1.0, 1.0]), "finite"),
        (([[1.0], [2.0]], [1.0, 0.0]), "logarithms"),
        (([[1.0], [2.0]], [1.0, np.inf]), "finite"),
        (([[1.0], [2.0]], [1.0, 1e-150]), "orders of magnitude"),
        (([1.0, 2.0], [1.0, 1.0]), "Shapes"),
        (([["a"], ["b"]], [1.0, 1.0]), "numbers"),
        (([[1.0] * 7], [1.0]), "1 to 6 axes"),
        ((np.empty((0, 1)), []), "at least one run"),
    ],
)
def test_faulty_arrays(arguments: tuple[object, object], said: str) -> None:
    with pytest.raises(FitError) as caught:
        fit_additive(*arguments)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_faulty_settings() -> None:
    data = np.array([[1.0], [2.0], [3.0]]), np.array([3.0, 2.0, 1.0])
    with pytest.raises(FitError, match="Did you mean 'squares'"):
        fit_additive(*data, objective="square")
    with pytest.raises(FitError, match="huber_delta"):
        fit_additive(*data, huber_delta=0)
    with pytest.raises(FitError, match="max_exponent"):
        fit_additive(*data, max_exponent=0)
    with pytest.raises(FitError, match="Weights"):
        fit_additive(*data, weights=[1, 1, -1])
    fit = fit_additive(*data)
    with pytest.raises(FitError, match="one column a run"):
        refit_additive(*data, np.ones((3, 2)), fit)
    with pytest.raises(FitError, match="axes"):
        refit_additive(np.ones((3, 2)), data[1], np.ones((3, 3)), fit)


POSITIVE = st.floats(1e-12, 1e15)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda k: st.lists(st.tuples(*[POSITIVE] * k, st.floats(-10, 1e6)), min_size=1, max_size=8)
    ),
    st.sampled_from(OBJECTIVES),
)
def test_any_numbers_give_a_fit_or_our_error(rows: list[tuple[float, ...]], objective: str) -> None:
    table = np.array(rows)
    try:
        fit = fit_additive(table[:, :-1], table[:, -1], objective=objective)
    except TippingPointError:
        return
    assert np.isfinite(fit.floor)
    assert fit.floor >= 0
    assert np.isfinite(fit.objective)
    assert (fit.coefficients >= 0).all()
    assert ((fit.exponents >= 0) & (fit.exponents <= 10)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_nnls_meets_its_optimality_conditions(seed: int, m: int) -> None:
    generator = np.random.default_rng(seed)
    columns, target = generator.uniform(0, 1, (3, 9, m)), generator.normal(size=(3, 9))
    gram, right = columns.transpose(0, 2, 1) @ columns, np.einsum("tnm,tn->tm", columns, target)
    solution, gain = solve_nonnegative(gram, right)
    slope = np.einsum("tij,tj->ti", gram, solution) - right
    assert (solution >= 0).all()
    assert (slope >= -1e-8).all()
    np.testing.assert_allclose(solution * slope, 0, rtol=0, atol=1e-8)
    np.testing.assert_allclose(gain, np.einsum("tm,tm->t", right, solution), rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not CHINCHILLA.is_file(), reason="needs ../shared/data/fitting/chinchilla_epoch")
def test_chinchilla_beats_the_published_grid() -> None:
    table = np.genfromtxt(CHINCHILLA, delimiter=",", skip_header=1, usecols=(3, 4, 6), comments=None)
    size, flop, loss = table[np.argsort(table[:, 2])[:-5]].T
    fit = fit_additive(np.column_stack([size, flop / (6 * size)]), loss)
    assert fit.objective <= 0.00101827402
    assert fit.status == "converged"
    np.testing.assert_allclose(fit.exponents, [0.3473105, 0.3671724], rtol=1e-6)
    np.testing.assert_allclose(fit.coefficients, [477.82587, 2143.41736], rtol=1e-6)
    np.testing.assert_allclose(fit.floor, 1.8172181, rtol=1e-6)
