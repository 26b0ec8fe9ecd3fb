"""One posterior serves every law: against closed forms, within bounds, whatever the units, covering the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from tippingpoint.fitting.intervals import draws_for
from tippingpoint.fitting.nnls import solve_bounded
from tippingpoint.fitting.objectives import objective_named
from tippingpoint.fitting.posterior import posterior_of
from tippingpoint.fitting.variance import groups_of, inner_products, weighted
from tippingpoint.laws import AdditivePowerLaw
from tippingpoint.laws.formula import Formula, Shape
from tippingpoint.laws.interaction import InteractionLaw
from tippingpoint.laws.multiplicative import FlooredMultiplicativeLaw, FlooredProduct, MultiplicativeLaw, Product
from tippingpoint.laws.surface import SurfaceLaw
from tippingpoint.laws.transfer import TransferLaw, Transferred

AXES = ("n_params", "n_finetune")
LOGS = np.stack(np.meshgrid([-2.0, -1, 0, 1, 2], [-1.5, 0, 1.5], indexing="ij"), axis=-1).reshape(-1, 2)
TRUTHS = {  # weights and shape at the grid's references
    MultiplicativeLaw: ((0.3,), (0.2, 0.3)),
    FlooredMultiplicativeLaw: ((0.05, 0.3), (0.3, 0.4)),
    TransferLaw: ((0.05, 0.3), (0.5, 0.3, 0.5)),
    InteractionLaw: ((0.05, 0.15, 0.1, 0.05), (0.5, 0.4, 0.5, 0.5)),
}


class Bounded(FlooredProduct):
    """The floored product with a floor that has bounds."""

    floor = (0.0, np.inf)

    @property
    def low(self) -> np.ndarray:
        return np.concatenate([[self.floor[0]], super().low[1:]])

    @property
    def high(self) -> np.ndarray:
        return np.concatenate([[self.floor[1]], super().high[1:]])


def held(formula: Formula, *values: float) -> Formula:
    """Return the formula with every shape fixed."""
    formula.shapes = tuple(one._replace(low=at, high=at) for one, at in zip(formula.shapes, values, strict=True))
    return formula


def study(law: type[SurfaceLaw], seed: int, size: float = 1.0, unit: float = 1.0) -> tuple[pd.DataFrame, dict]:
    """Return 5 blocks of a law's truth, with noise that blocks share, and its parameters."""
    weights, shape = (np.array([part]) for part in TRUTHS[law])
    formula = law(AXES).formula
    generator = np.random.default_rng([8, seed])
    reference = np.log([1e7 * size, 1e3])
    truth = (weights[0] @ formula.features(LOGS, shape)[0]) * unit
    noise = 0.01 * generator.standard_normal((5, 1)) + 0.01 * generator.standard_normal((5, len(LOGS)))
    sizes = np.exp(np.tile(LOGS, (5, 1)) + reference)
    frame = pd.DataFrame(sizes, columns=AXES).assign(loss=(truth * np.exp(noise)).ravel())
    raw = formula.raw(weights * unit, shape, reference)
    return frame.assign(seed=np.repeat(np.arange(5), len(LOGS))), {name: float(one[0]) for name, one in raw.items()}


@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("floored", [False, True])
def test_linear_gaussian_case_has_its_closed_form(floored: bool, weigh: bool) -> None:
    formula = held((FlooredProduct if floored else Product)(AXES), 0.3, 0.5)
    generator = np.random.default_rng(1)
    columns = formula.features(LOGS, np.array([[0.3, 0.5]]))[0]
    counts = np.where(LOGS[:, 0] > 0, 4.0, 1.0) if weigh else np.ones(len(LOGS))
    truth = np.array([0.4, 1.0])[-len(columns) :]
    y = truth @ columns + 0.05 * generator.standard_normal(len(LOGS)) / np.sqrt(counts)
    groups = groups_of(None, len(y), counts)
    theta = np.concatenate([truth, [0.3, 0.5]])
    found = posterior_of(formula, LOGS, y, theta, objective_named("squares"), groups, weights=counts)
    drawn = found.draw(20_000, np.random.default_rng(0)).theta
    inverse = np.linalg.inv((columns * counts) @ columns.T)
    best = inverse @ (columns * counts) @ y
    freedom = len(y) - len(columns)
    sigma = np.sqrt(((y - best @ columns) ** 2 * counts).sum() / freedom)
    for place, one in enumerate(best):
        ends = one + sigma * np.sqrt(inverse[place, place]) * student.ppf([0.05, 0.5, 0.95], freedom)
        np.testing.assert_allclose(
            np.quantile(drawn[:, place], [0.05, 0.5, 0.95]), ends, atol=0.03 * (ends[2] - ends[0]), rtol=0
        )
    np.testing.assert_array_equal(drawn[:, len(columns) :], np.tile([0.3, 0.5], (20_000, 1)))


def test_shared_noise_of_weighted_runs_against_dense_algebra() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"seed": np.repeat([0, 1, 2], 8), "pretrain_id": np.repeat(np.arange(12), 2)})
    counts = generator.uniform(0.5, 3.0, 24)
    groups = groups_of(frame, 24, counts)
    rows, root = frame.iloc[groups.order], np.sqrt(counts[groups.order])
    same = [(rows[name].to_numpy()[:, None] == rows[name].to_numpy()) for name in ("seed", "pretrain_id")]
    covariance = np.eye(24) + np.outer(root, root) * (0.7 * same[0] + 2.0 * same[1])
    columns = generator.standard_normal((3, 24))
    found = weighted(inner_products(columns, groups), groups, 0.7, 2.0)
    np.testing.assert_allclose(found, columns @ np.linalg.solve(covariance, columns.T), rtol=1e-9)


def test_intervals_of_rates_say_so_where_the_law_is_far_off() -> None:
    frame, _ = study(FlooredMultiplicativeLaw, 0)
    share = np.random.default_rng(0).binomial(2000, 0.6 * frame["loss"]) / 2000
    runs = frame.assign(error=share, n_test=2000)
    right, wrong = (
        law(AXES, "binomial", random_state=0).fit(runs) for law in (FlooredMultiplicativeLaw, AdditivePowerLaw)
    )
    for name, (low, high) in right.intervals(0.95).items():
        assert low <= right.parameters_[name] <= high, name
    wrong.intervals(0.95)  # the additive law comes near 1, where no parabola follows the likelihood
    assert any("apart from the fit" in sentence for sentence in wrong.warnings_)
    assert not any("apart from the fit" in sentence for sentence in right.warnings_)


@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_only_the_ratios_of_weights_matter(scale: float) -> None:
    frame, _ = study(MultiplicativeLaw, 0)
    counts = np.where(frame["n_finetune"] > 500, 2.0, 1.0)
    ends = []
    for weights in (counts, scale * counts):
        groups = groups_of(frame, len(frame), weights)
        logs = np.log(frame[list(AXES)].to_numpy() / np.array([1e7, 1e3]))
        theta = np.array([0.3, 0.2, 0.3])
        y = frame["loss"].to_numpy()
        found = posterior_of(Product(AXES), logs, y, theta, objective_named("log"), groups, weights=weights)
        ends.append(np.quantile(found.draw(500, np.random.default_rng(0)).theta, [0.05, 0.95], axis=0))
    width = ends[0][1] - ends[0][0]  # the cloud's place moves a little with the scale
    np.testing.assert_allclose(ends[1], ends[0], atol=float(0.1 * width.min()), rtol=0)


def test_runs_of_weight_0_do_not_count() -> None:
    frame, _ = study(MultiplicativeLaw, 3)
    spoiled = pd.concat([frame.assign(counts=1.0), frame.iloc[:9].assign(loss=0.9, counts=0.0)], ignore_index=True)
    one = MultiplicativeLaw(AXES, random_state=0).fit(frame, "loss").intervals(0.9)
    two = MultiplicativeLaw(AXES, random_state=0).fit(spoiled, "loss", weights="counts").intervals(0.9)
    for name, ends in one.items():
        np.testing.assert_allclose(two[name], ends, rtol=0.02, atol=1e-12)


@pytest.mark.parametrize("law", list(TRUTHS))
def test_units_change_nothing_but_units_and_the_seed_decides(law: type[SurfaceLaw]) -> None:
    one, again, other = (
        law(AXES, random_state=0).fit(study(law, 1, *scale)[0], "loss") for scale in ((), (), (1e6, 16.0))
    )  # fmt: skip
    assert one.intervals(0.9) == again.intervals(0.9)
    assert one.intervals_from_ == "posterior"
    for name, (low, high) in one.intervals(0.9).items():
        ends = np.array(other.intervals(0.9)[name]) / (16.0 if name == "floor" else 1.0)
        if "coefficient" not in name:  # a raw coefficient moves with its exponent
            np.testing.assert_allclose(ends, [low, high], atol=0.15 * (high - low) + 1e-12, rtol=0, err_msg=name)
    points = np.array([[1e7, 1e3], [4e7, 4e3]])
    np.testing.assert_allclose(
        np.quantile(other.curves(points * [1e6, 1]), [0.1, 0.9], axis=0) / 16,
        np.quantile(one.curves(points), [0.1, 0.9], axis=0),
        rtol=3e-3,
    )


@pytest.mark.parametrize("ends", [(0.5, 0.9), (0.301, 0.302), (3.0, 9.0)])
def test_bounds_of_shapes_hold(ends: tuple[float, float]) -> None:
    frame, _ = study(FlooredMultiplicativeLaw, 2)
    formula = FlooredProduct(AXES)
    formula.shapes = (formula.shapes[0]._replace(low=ends[0], high=ends[1]), formula.shapes[1])
    logs, y = np.log(frame[list(AXES)].to_numpy() / np.array([1e7, 1e3])), frame["loss"].to_numpy()
    theta = np.array([0.05, 0.3, ends[0], 0.4])
    found = posterior_of(formula, logs, y, theta, objective_named("log"), groups_of(frame, len(y)))
    drawn = found.draw(500, np.random.default_rng(0))
    assert ends[0] * (1 - 1e-9) <= drawn.theta[:, 2].min() < drawn.theta[:, 2].max() <= ends[1] * (1 + 1e-9)
    assert drawn.effective > 50
    assert np.isfinite(drawn.theta).all()


@pytest.mark.parametrize("ends", [(0.0, 0.04), (0.06, np.inf), (0.06, 0.07), (0.055, 0.055), (0.0, 0.0)])
def test_bounds_of_the_floor_hold(ends: tuple[float, float]) -> None:
    frame, _ = study(FlooredMultiplicativeLaw, 2)
    formula = Bounded(AXES)
    formula.floor = ends
    logs, y = np.log(frame[list(AXES)].to_numpy() / np.array([1e7, 1e3])), frame["loss"].to_numpy()
    theta = np.array([ends[0], 0.3, 0.3, 0.4])
    found = posterior_of(formula, logs, y, theta, objective_named("log"), groups_of(frame, len(y)))
    drawn = found.draw(500, np.random.default_rng(0)).theta
    assert ends[0] - 1e-12 <= drawn[:, 0].min() <= drawn[:, 0].max() <= ends[1] + 1e-12
    # the truth, 0.05, lies beyond each of the bounds: draws gather at the nearest end
    nearest = min(ends, key=lambda end: abs(end - 0.05))
    assert np.median(drawn[:, 0]) == pytest.approx(nearest, abs=1e-3)


def test_bounded_least_squares_against_a_slow_search() -> None:
    generator = np.random.default_rng(0)
    columns, y = generator.standard_normal((60, 3, 9)), generator.standard_normal((60, 9))
    gram, right = columns @ columns.transpose(0, 2, 1), (columns @ y[..., None])[..., 0]
    low, high = 0.1, 0.3
    found, gain = solve_bounded(gram, right, 1, low, high)
    grid = np.linspace(low, high, 2001)
    for place in range(60):
        moved = y[place] - grid[:, None] * columns[place, 1]
        others = columns[place][[0, 2]]
        inner = np.tile(others @ others.T, (len(grid), 1, 1))
        rest, off = solve_bounded(inner, moved @ others.T, 0, 0.0, np.inf)
        loss = (moved**2).sum(axis=1) - off
        assert low - 1e-12 <= found[place, 1] <= high + 1e-12
        np.testing.assert_allclose((y[place] ** 2).sum() - gain[place], loss.min(), rtol=1e-5)
        assert (rest >= 0).all()


@pytest.mark.parametrize("law", list(TRUTHS))
def test_intervals_cover(law: type[SurfaceLaw]) -> None:
    """The small version of the part ``rivals`` of benchmarks/coverage.py: nominal 95%."""
    inside: list[bool] = []
    for seed in range(20):
        frame, truth = study(law, seed)
        fitted = law(AXES, random_state=0).fit(frame, "loss")
        spans = fitted.intervals(0.95)
        told = [name for name in spans if name != "floor" or "floor" in fitted.formula.weights]
        inside += [spans[name][0] <= truth[name] <= spans[name][1] for name in told]
    assert 0.86 <= np.mean(inside) <= 0.999, np.mean(inside)


def test_profile_intervals_serve_every_law() -> None:
    frame, _ = study(FlooredMultiplicativeLaw, 4)
    law = FlooredMultiplicativeLaw(AXES, objective="log", random_state=0).fit(frame, "loss")
    drawn, profiled = law.intervals(0.9), law.profile_intervals(0.9)
    assert set(drawn) == set(profiled)
    for name in ("n_params.exponent", "n_finetune.exponent"):
        width = drawn[name][1] - drawn[name][0]
        np.testing.assert_allclose(profiled[name], drawn[name], atol=0.35 * width, rtol=0, err_msg=name)


def test_bootstrap_is_the_alternative_for_every_law() -> None:
    frame, _ = study(MultiplicativeLaw, 5)
    for law in (MultiplicativeLaw(AXES, random_state=0), AdditivePowerLaw(AXES, random_state=0)):  # right and wrong
        rel = 0.05 if isinstance(law, MultiplicativeLaw) else 0.15
        fit = law.fit(frame, "loss")._fitted
        drawn = draws_for(fit, 30, 0, bootstrap=True)
        assert drawn.source == "bootstrap over seed blocks"
        posterior = draws_for(fit, 30, 0)
        assert list(drawn.parameters) == list(posterior.parameters)
        assert drawn.theta.shape == posterior.theta.shape
        sizes = frame[list(AXES)].to_numpy()[:4]
        for draws in (drawn, posterior):
            mean = np.mean([law.predict(dict(zip(AXES, at, strict=True))) for at in sizes])
            law._drawn = draws
            assert law.curves(sizes).mean() == pytest.approx(mean, rel=rel)


def test_priors_follow_from_bounds_unless_they_are_given() -> None:
    exponent, size = Shape("e", 0.0, 10.0, (0.05, 2.0)), Shape("scale", 1.0, 1e6, (10.0, 1000.0))
    assert exponent.on_logs
    assert exponent.belief == (0.6, 2.0)
    assert size.belief[0] == pytest.approx(100.0)
    assert not Shape("shift", -5.0, 5.0, (-1.0, 3.0)).on_logs
    assert Shape("shift", -5.0, 5.0, (-1.0, 3.0)).belief == (1.0, 2.0)
    transfer = Transferred(AXES).shapes[1]
    assert not transfer._replace(low=1.0).on_logs  # a bound does not change the scale
    assert transfer.belief == (0.0, 5.0)
