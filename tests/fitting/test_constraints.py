"""Parameters that are fixed, bounded or shared: exact, never better than free ones, and told in plain words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tippingpoint.errors import FitError, TippingPointError
from tippingpoint.fitting.additive import fit_additive
from tippingpoint.fitting.descent import Problem, derivatives, values
from tippingpoint.fitting.estimation import estimate
from tippingpoint.fitting.objectives import OBJECTIVES, objective_named
from tippingpoint.fitting.rivals import estimate_surface
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.surface import fit_surface
from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.constrained import Constrained, constrain
from tippingpoint.laws.formula import Formula
from tippingpoint.laws.interaction import Coupled
from tippingpoint.laws.multiplicative import FlooredProduct, Product
from tippingpoint.laws.transfer import Transferred
from tippingpoint.runs import Runs

AXES = ["n_pretrain", "n_params", "n_finetune"]
NAMES = ["n_pretrain.exponent", "n_finetune.exponent"]


def arrays(noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    grids = [[1e3, 1e4, 1e5, 1e6], [2.5e6, 1e7, 3.8e7], [1e2, 1e3, 1e4]]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=-1)
    logs = np.log(sizes) - np.log(sizes).mean(axis=0)
    y = 0.05 + (np.array([0.08, 0.06, 0.05]) * np.exp(-np.array([0.3, 0.5, 0.4]) * logs)).sum(axis=1)
    return sizes, y * np.exp(noise * np.random.default_rng(seed).standard_normal(len(y)))


def runs(seed: int = 0, noise: float = 0.05) -> Runs:
    sizes, y = arrays(noise, seed)
    n_test = np.random.default_rng(seed).integers(500, 5000, len(y))
    return Runs(pd.DataFrame(sizes, columns=AXES).assign(error=y, n_test=n_test))


def objective_of(kind: type[Formula], setting: FitSetting, data: Runs) -> tuple[float, dict[str, float], str]:
    """Return objective, parameters and status of a law's fit."""
    if kind is AdditiveFormula:
        fit = estimate(data, AXES, "error", setting)
        found = {"floor": float(fit.solution.floor)}
        found |= {f"{axis}.exponent": float(e) for axis, e in zip(AXES, fit.solution.exponents, strict=True)}
        return fit.solution.objective, found, fit.status
    surface = estimate_surface(data, kind(AXES), "error", setting).solution
    return surface.objective, surface.parameters, surface.status


LAWS = [AdditiveFormula, Product, FlooredProduct, Transferred, Coupled]


@pytest.mark.parametrize("kind", LAWS)
@pytest.mark.parametrize("objective", ["log", "squares", "huber-log"])
def test_fixed_at_the_fit_is_the_fit(kind: type[Formula], objective: str) -> None:
    free, parameters, status = objective_of(kind, FitSetting(objective), runs())
    near = 1e-4 if status == "unidentified" else 1e-10  # a free fit that does not come to rest may end a little above
    names = [shape.name for shape in kind(AXES).shapes if shape.name.endswith("exponent")]
    some = {name: parameters[name] for name in [*(["floor"] if "floor" in kind(AXES).weights else []), *names[:2]]}
    for held in (some, {name: parameters[name] for name in names}):
        fixed, found, _ = objective_of(kind, FitSetting(objective, fixed=held), runs())
        assert fixed <= free * (1 + 1e-10)
        np.testing.assert_allclose(fixed, free, rtol=near)
        for name, value in held.items():
            assert found[name] == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_bounds_that_do_not_bind_change_nothing(objective: str) -> None:
    for kind in (AdditiveFormula, FlooredProduct):
        free, parameters, status = objective_of(kind, FitSetting(objective), runs())
        wide = {"floor": (0.0, 0.9), NAMES[0]: (None, 9.0), NAMES[1]: (1e-4, None)}
        held, found, same = objective_of(kind, FitSetting(objective, bounds=wide), runs())
        np.testing.assert_allclose(held, free, rtol=1e-9)
        assert same == status
        for name, value in found.items():
            np.testing.assert_allclose(value, parameters[name], rtol=1e-4, atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(LAWS), st.floats(0.05, 1.5), st.floats(0.0, 0.15), st.integers(0, 50))
def test_constraints_never_lower_the_objective(kind: type[Formula], exponent: float, floor: float, seed: int) -> None:
    name = kind(AXES).shapes[0].name
    near = 1e-3 if kind is Coupled else 1e-7  # ten parameters, 36 runs: minima lie side by side in a flat valley
    data = runs(seed)
    free, *_ = objective_of(kind, FitSetting("log"), data)
    wide, *_ = objective_of(kind, FitSetting("log", bounds={name: (exponent, 2 * exponent)}), data)
    narrow, found, _ = objective_of(kind, FitSetting("log", bounds={name: (exponent, 1.2 * exponent)}), data)
    fixed, *_ = objective_of(kind, FitSetting("log", fixed={name: exponent}), data)
    assert free <= wide * (1 + near)
    assert wide <= narrow * (1 + near)
    assert narrow <= fixed * (1 + near)
    assert exponent * (1 - 1e-12) <= found[name] <= 1.2 * exponent * (1 + 1e-12)
    if "floor" in kind(AXES).weights:
        least, found, _ = objective_of(kind, FitSetting("log", bounds={"floor": (floor, None)}), data)
        assert free <= least * (1 + near)
        assert found["floor"] >= floor


def scipy_best(loss: Callable[[np.ndarray], float], start: np.ndarray, ends: list[tuple[float, float]]) -> float:
    generator = np.random.default_rng(0)
    starts = [start * np.exp(0.3 * generator.standard_normal(len(start))) for _ in range(6)]
    return min(
        minimize(
            loss,
            np.clip(one, *np.array(ends).T),
            method="L-BFGS-B",
            bounds=ends,
            options={"maxiter": 5000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10},
        ).fun
        for one in starts
    )


@pytest.mark.parametrize("objective", ["log", "binomial"])
def test_against_scipy(objective: str) -> None:
    """Exponents shared, one bounded, and a floor that binds."""
    sizes, y = arrays()
    logs = np.log(sizes) - np.log(sizes).mean(axis=0)
    chosen = objective_named(objective)

    def law(z: np.ndarray, exponents: np.ndarray) -> float:
        f = z[0] + (z[1:4] * np.exp(-exponents * logs)).sum(axis=1)
        return float(np.where(f < 1, chosen.loss(np.clip(f, 1e-6, 0.9999), chosen.aim(y)), 10.0).sum())

    def shared(z: np.ndarray) -> float:
        return law(z, z[[4, 5, 4]])

    ends = [(0.0, 1.0)] + [(0.0, 1.0)] * 3 + [(0.01, 5.0)] * 2
    best = scipy_best(shared, np.array([0.05, 0.08, 0.06, 0.05, 0.3, 0.5]), ends)
    found = fit_surface(constrain(AdditiveFormula(AXES), {}, {}, [NAMES]), sizes, y, objective=objective)
    assert found.objective <= best * (1 + 1e-7)
    np.testing.assert_allclose(found.objective, best, rtol=1e-4)
    assert found.parameters[NAMES[0]] == found.parameters[NAMES[1]]
    assert found.n_parameters == 6
    held = constrain(AdditiveFormula(AXES), {}, {"floor": (0.0, 0.02), NAMES[0]: (0.35, None)}, [])
    ends = [(0.0, 0.02)] + [(0.0, 1.0)] * 3 + [(0.35, 5.0), (0.01, 5.0), (0.01, 5.0)]
    best = scipy_best(lambda z: law(z, z[4:]), np.array([0.02, 0.08, 0.06, 0.05, 0.4, 0.5, 0.4]), ends)
    found = fit_surface(held, sizes, y, objective=objective)
    assert found.objective <= best * (1 + 1e-7)
    np.testing.assert_allclose(found.objective, best, rtol=1e-4)
    assert found.status == "bound hit"
    assert found.parameters["floor"] == 0.02


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["log", "squares", "huber-log"]), st.floats(1e-3, 1e3))
def test_order_and_units(seed: int, objective: str, unit: float) -> None:
    """The floor's bounds are in units of y; those of exponents have none."""
    sizes, y = arrays(seed=seed)
    order = np.random.default_rng(seed).permutation(len(y))
    for kind in (AdditiveFormula, FlooredProduct):
        one, other = (
            constrain(kind(AXES), {NAMES[0]: 0.4}, {"floor": (0.07 * factor, 0.08 * factor)}, [])
            for factor in (1.0, unit)
        )
        plain = fit_surface(one, sizes, y, objective=objective)
        moved = fit_surface(other, sizes[order] * np.array([1e6, 1e-3, 10.0]), unit * y[order], objective=objective)
        factor = unit**2 if objective == "squares" else 1.0
        np.testing.assert_allclose(moved.objective, factor * plain.objective, rtol=1e-7)
        assert moved.status == plain.status
        np.testing.assert_allclose(moved.parameters["floor"], unit * plain.parameters["floor"], rtol=1e-5)


def test_derivatives_under_constraints() -> None:
    sizes, y = arrays()
    logs = np.log(sizes) - np.log(sizes).mean(axis=0)
    law = constrain(Coupled(AXES), {"n_params.exponent": 0.5}, {}, [[*NAMES, "interaction.model_exponent"]])
    assert len(law.shapes) == 2
    objective = objective_named("huber-log", 0.03)
    problem = Problem(law, logs, y[None], np.ones((1, len(y))), objective)
    theta, delta = np.array([[0.05, 0.05, 0.04, 0.03, 0.02, 0.3, 0.4]]), np.array([objective.delta])
    gradient, hessian, _ = derivatives(theta, problem, delta)
    for place in range(theta.shape[1]):
        shift = np.zeros_like(theta)
        shift[0, place] = 1e-6
        rise = values(theta + shift, problem, delta) - values(theta - shift, problem, delta)
        np.testing.assert_allclose(gradient[0, place], rise[0] / 2e-6, rtol=1e-5, atol=1e-7)
        ahead, behind = (derivatives(theta + sign * shift, problem, delta)[0] for sign in (1, -1))
        np.testing.assert_allclose(hessian[0, place], (ahead - behind)[0] / 2e-6, rtol=1e-3, atol=1e-4)


def test_held_parameters_stay_held_while_others_descend() -> None:
    sizes, y = arrays()
    found = fit_surface(AdditiveFormula(AXES), sizes, y, objective="log")
    held = constrain(AdditiveFormula(AXES), {"floor": found.parameters["floor"]}, {}, [])
    one = fit_surface(held, sizes, y, objective="log")
    np.testing.assert_allclose(one.objective, found.objective, rtol=1e-10)
    assert one.n_parameters == found.n_parameters - 1


# -- what is said ----------------------------------------------------------------------------------------------------


def test_states() -> None:
    data = runs(noise=0.01)
    plain = estimate(data, AXES, "error", FitSetting())
    assert plain.status == "converged"
    fixed = estimate(data, AXES, "error", FitSetting(fixed={NAMES[0]: 0.3, "floor": 0.05}))
    assert fixed.status == "converged"  # what was given is no fault
    assert fixed.warnings == ()
    assert [term.reason for term in fixed.terms] == ["its exponent was given", "", ""]
    assert not fixed.terms[0].identified
    assert fixed.terms[0].needed
    assert fixed.held is not None
    assert isinstance(fixed.held.law, Constrained)
    bound = estimate(data, AXES, "error", FitSetting(bounds={NAMES[0]: (0.4, None), "floor": (None, 0.03)}))
    assert bound.status == "bound hit"
    assert sorted(bound.warnings) == ["The floor is at its bound 0.03.", "n_pretrain.exponent is at its bound 0.4."]
    assert bound.terms[0].at_bound
    assert bound.terms[0].reason == "its exponent is at the bound 0.4"
    surface = estimate_surface(data, FlooredProduct(AXES), "error", FitSetting(fixed={NAMES[0]: 0.3}))
    assert surface.findings[0].reason == "its exponent was given"
    shared = estimate(data, AXES, "error", FitSetting(shared=[NAMES]))
    assert shared.status == "converged"
    assert shared.solution.exponents[0] == shared.solution.exponents[2]
    assert all(term.identified for term in shared.terms)


def test_axes_with_few_sizes_under_constraints() -> None:
    """As without constraints: a single size joins the floor, two sizes hold an exponent unless another tells it."""
    data = runs(noise=0.01).frame
    one = Runs(data[data["n_params"] == 1e7].reset_index(drop=True))
    single = estimate(one, AXES, "error", FitSetting(fixed={NAMES[0]: 0.3}))
    assert single.solution.constant.tolist() == [False, True, False]
    assert single.solution.coefficients[1] == 0
    assert any("n_params has a single size" in sentence for sentence in single.warnings)
    two = Runs(data[data["n_params"] > 3e6].reset_index(drop=True))
    held = estimate(two, AXES, "error", FitSetting(fixed={NAMES[0]: 0.3}))
    free = estimate(two, AXES, "error", FitSetting())
    assert held.solution.held.tolist() == free.solution.held.tolist() == [False, True, False]
    assert held.solution.exponents[1] == free.solution.exponents[1] == 0.7
    assert held.status == "unidentified"
    told = estimate(two, AXES, "error", FitSetting(shared=[["n_params.exponent", "n_finetune.exponent"]]))
    assert not told.solution.held.any()
    known = estimate(two, AXES, "error", FitSetting(fixed={"floor": 0.05}))
    assert not known.solution.held.any()
    given = estimate(two, AXES, "error", FitSetting(fixed={"n_params.exponent": 0.5}))
    assert not given.solution.held.any()
    assert given.solution.exponents[1] == 0.5


@pytest.mark.parametrize(
    ("setting", "sentences"),
    [
        (
            {"fixed": {"flor": 1, "n_params.coefficient": 2.0, NAMES[0]: -1.0}},
            ["no parameter 'flor' that could be held. Did you mean 'floor'?", "n_params.coefficient is a coefficient",
             "n_pretrain.exponent is fixed at -1.0; it must be a number from 0 to 100"],
        ),
        (
            {"bounds": {NAMES[0]: (2, 1), "floor": ("x", 1), NAMES[1]: 3}},
            ["2 to 1; the first must not be", "The bounds of floor are ('x', 1)", "are 3; they must be two numbers"],
        ),
        ({"fixed": {NAMES[0]: 0.3}, "bounds": {NAMES[0]: (0.4, 1)}}, ["fixed at 0.3, outside its bounds 0.4 to 1"]),
        ({"fixed": {NAMES[0]: 0.3, NAMES[1]: 0.4}, "shared": [NAMES]}, ["shared and fixed at different values"]),
        ({"bounds": {NAMES[0]: (0.1, 0.2), NAMES[1]: (0.3, 0.4)}, "shared": [NAMES]}, ["no value in common"]),
        ({"fixed": {NAMES[0]: 0.3}, "bounds": {NAMES[1]: (0.5, 1)}, "shared": [NAMES]}, ["outside the bounds of one"]),
        ({"shared": [NAMES, [NAMES[0], "n_params.exponent"]]}, ["n_pretrain.exponent is in two groups"]),
        ({"shared": [["floor", NAMES[0]]]}, ["The floor cannot be shared"]),
        ({"shared": [[NAMES[0]]]}, ["Sharing needs two parameters or more"]),
        ({"objective": "binomial", "fixed": {"floor": 1.5}}, ["an error rate is below 1"]),
    ],
)  # fmt: skip
def test_faults_are_told_together(setting: dict[str, object], sentences: list[str]) -> None:
    for fit in (estimate, lambda data, axes, *rest: estimate_surface(data, Coupled(axes), *rest)):
        with pytest.raises(FitError) as caught:
            fit(runs(), AXES, "error", FitSetting(**setting))  # type: ignore[arg-type]
        assert len(caught.value.faults) == len(sentences)
        for sentence, fault in zip(sentences, caught.value.faults, strict=True):
            assert sentence in fault


def test_a_coefficient_among_the_shapes_cannot_be_held() -> None:
    """That of the transferred data is searched for, but in units of its own."""
    with pytest.raises(FitError, match=r"transfer\.coefficient is a coefficient"):
        estimate_surface(runs(), Transferred(AXES), "error", FitSetting(fixed={"transfer.coefficient": 1.0}))


def test_a_law_without_a_floor_says_so() -> None:
    with pytest.raises(FitError, match="multiplicative law has no floor"):
        estimate_surface(runs(), Product(AXES), "error", FitSetting(fixed={"floor": 0.1}))


def test_no_constraint_is_the_formula_itself() -> None:
    formula = Product(AXES)
    assert constrain(formula, {}, {}, []) is formula
    sizes, y = arrays()
    own = estimate(runs(), AXES, "error", FitSetting("log"))
    assert own.held is None
    assert own.solution.objective == fit_additive(sizes, y, objective="log").objective  # the fast path's own number


_CELLS = st.tuples(
    st.sampled_from([1.0, 10.0, 100.0]),
    st.sampled_from([1.0, 5.0, 30.0]),
    st.one_of(st.sampled_from([0.0, 1.0]), st.floats(1e-6, 1.0)),
    st.integers(1, 10_000),
    st.sampled_from([0.0, 1.0, 2.5]),
)
_SETTINGS = [
    {},
    {"fixed": {"a.exponent": 0.3}},
    {"fixed": {"floor": 0.2}},
    {"bounds": {"floor": (0.1, 0.3), "b.exponent": (0.2, 0.2)}},
    {"shared": [["a.exponent", "b.exponent"]]},
]


@given(st.lists(_CELLS, min_size=1, max_size=9), st.sampled_from(OBJECTIVES), st.sampled_from(_SETTINGS))
@settings(max_examples=60, deadline=None)
def test_whatever_the_table_only_our_errors_come_out(
    rows: list[tuple[float, ...]], objective: str, held: dict[str, dict[str, float]]
) -> None:
    data = Runs(pd.DataFrame(rows, columns=["a", "b", "error", "n_test", "count"]))
    setting = FitSetting(objective, weights="count", **held)
    with contextlib.suppress(TippingPointError):  # nothing else may come out
        fit = estimate(data, ["a", "b"], "error", setting)
        assert np.isfinite(fit.solution.predict(fit.sizes)).all()
        assert np.isfinite(fit.solution.objective)
        assert len(fit.terms) == 2
    with contextlib.suppress(TippingPointError):
        surface = estimate_surface(data, FlooredProduct(["a", "b"]), "error", setting)
        assert np.isfinite(surface.solution.objective)
        assert len(surface.findings) == 2
