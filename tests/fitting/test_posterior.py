"""Intervals from the posterior cover what they say, whatever the units, and know what runs share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tippingpoint.errors import FitError
from tippingpoint.fitting.intervals import draws_for, percentiles
from tippingpoint.fitting.variance import groups_of, inner_products, log_determinant, shared_variance, weighted
from tippingpoint.laws import AdditivePowerLaw
from tippingpoint.runs import load_example


def study(seed: int, floor: float = 0.05, exponent: float = 0.5, unit: float = 1.0) -> pd.DataFrame:
    """Return 6 blocks over 6 sizes; blocks share an error, and so do the two fine-tunings of a checkpoint."""
    generator = np.random.default_rng(seed)
    block, place, tuning = np.indices((6, 6, 2)).reshape(3, -1)
    n = np.geomspace(250, 8000, 6)[place]
    shared = 0.01 * generator.standard_normal(6)[block] + 0.01 * generator.standard_normal((6, 6))[block, place]
    y = (floor + 0.3 * (n / 250) ** -exponent) * np.exp(shared + 0.006 * generator.standard_normal(len(n)))
    checkpoint = [f"{b}-{p}" for b, p in zip(block, place, strict=True)]
    known = {"n_pretrain": n * unit, "seed": block, "pretrain_id": checkpoint}
    return pd.DataFrame({**known, "n_finetune": 100.0 * (1 + tuning), "error": y})


def ends(frame: pd.DataFrame, level: float = 0.95, objective: str = "log") -> dict[str, tuple[float, float]]:
    law = AdditivePowerLaw(["n_pretrain"], objective=objective, random_state=0).fit(frame)
    return law.intervals(level)


@pytest.mark.parametrize(("floor", "exponent"), [(0.05, 0.5), (0.0, 0.2), (0.1, 2.0)])
def test_intervals_cover(floor: float, exponent: float) -> None:
    """The small version of benchmarks/coverage.py: 20 studies, nominal 19 of 20."""
    inside = {"floor": 0, "n_pretrain.exponent": 0}
    for seed in range(20):
        spans = ends(study(seed, floor, exponent))
        for name, truth in (("floor", floor), ("n_pretrain.exponent", exponent)):
            inside[name] += spans[name][0] <= truth <= spans[name][1]
    assert min(inside.values()) >= 16, inside  # a coverage of 93% gives fewer one time in 100


def test_same_seed_same_draws_and_units_change_nothing_but_units() -> None:
    one, again, other = ends(study(1)), ends(study(1)), ends(study(1, unit=1e6))
    assert one == again
    for name in ("floor", "n_pretrain.exponent"):
        np.testing.assert_allclose(other[name], one[name], rtol=0.05, atol=2e-3)  # draws step from tuple to tuple
    low, high = one["n_pretrain.coefficient"]
    assert other["n_pretrain.coefficient"][0] > low < high


def test_shared_noise_widens_the_curve() -> None:
    widths = []
    for frame in (study(3), study(3).drop(columns=["seed", "pretrain_id"]).assign(row=range(72))):
        law = AdditivePowerLaw(["n_pretrain"], objective="log", random_state=0).fit(frame)
        low, high = law.predict({"n_pretrain": 1000.0}, interval=0.9).interval
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize("objective", ["huber-log", "log", "squares"])
def test_every_objective_has_a_posterior_around_its_fit(objective: str) -> None:
    law = AdditivePowerLaw(["n_pretrain"], objective=objective, random_state=0).fit(study(2))
    low, high = law.intervals(0.99)["n_pretrain.exponent"]
    assert low < law.exponents_["n_pretrain"] < high
    assert high - low < 1.0


def test_an_outlier_moves_the_robust_posterior_little() -> None:
    frame = study(4)
    spoiled = frame.copy()
    spoiled.loc[0, "error"] = 0.9
    clean, robust, plain = (
        ends(frame, objective="huber-log"), ends(spoiled, objective="huber-log"), ends(spoiled, objective="log"),
    )  # fmt: skip
    name = "n_pretrain.exponent"
    width = clean[name][1] - clean[name][0]
    assert abs(np.mean(robust[name]) - np.mean(clean[name])) < width
    assert plain[name][1] - plain[name][0] > robust[name][1] - robust[name][0]


def test_degenerate_tables_have_draws() -> None:
    for sizes, y in (([1.0, 2.0], [0.5, 0.4]), ([1.0, 1.0], [0.5, 0.4]), ([1.0, 2.0, 4.0], [0.4, 0.5, 0.6])):
        law = AdditivePowerLaw(["n_pretrain"], random_state=0).fit({"n_pretrain": sizes, "error": y})
        draws = draws_for(law._fitted, 50, 0).frame().to_numpy()
        assert np.isfinite(draws).all()
        assert (draws >= 0).all()


def test_covariance_against_dense_algebra() -> None:
    frame = study(5).drop(index=[0, 7, 8, 30])
    groups = groups_of(frame, len(frame))
    rows = frame.iloc[groups.order]
    blocks = (rows["seed"].to_numpy()[:, None] == rows["seed"].to_numpy()).astype(float)
    checkpoints = (rows["pretrain_id"].to_numpy()[:, None] == rows["pretrain_id"].to_numpy()).astype(float)
    covariance = np.eye(len(rows)) + 0.7 * blocks + 2.0 * checkpoints
    columns = np.random.default_rng(0).standard_normal((3, len(rows)))
    found = weighted(inner_products(columns, groups), groups, 0.7, 2.0)
    np.testing.assert_allclose(found, columns @ np.linalg.solve(covariance, columns.T), rtol=1e-9)
    np.testing.assert_allclose(log_determinant(groups, 0.7, 2.0), np.linalg.slogdet(covariance)[1], rtol=1e-9)


def test_variance_ratios_are_found() -> None:
    generator = np.random.default_rng(0)
    block, checkpoint, _ = np.indices((40, 10, 4)).reshape(3, -1)
    frame = pd.DataFrame({"seed": block, "pretrain_id": block * 10 + checkpoint})
    noise = 2 * generator.standard_normal(40)[block] + 3 * generator.standard_normal((40, 10))[block, checkpoint]
    groups = groups_of(frame, len(frame))
    nodes = shared_variance(np.ones((1, 1600)), (noise + generator.standard_normal(1600))[groups.order], groups)
    np.testing.assert_allclose(sum(node.weight * node.ratios[0] for node in nodes), 4.0, rtol=0.5)
    np.testing.assert_allclose(sum(node.weight * node.ratios[1] for node in nodes), 9.0, rtol=0.3)


def test_percentiles_of_a_mixture_reach_zero() -> None:
    assert percentiles(np.concatenate([np.zeros(100), np.ones(900)]), 0.9)[0] == 0


def test_profile_intervals_agree_with_the_posterior() -> None:
    law = AdditivePowerLaw(["n_pretrain"], objective="log", random_state=0).fit(study(6))
    drawn, profiled = law.intervals(0.9), law.profile_intervals(0.9)
    assert set(drawn) == set(profiled)
    for name, (low, high) in profiled.items():
        np.testing.assert_allclose(high - low, drawn[name][1] - drawn[name][0], rtol=0.3, err_msg=name)
        np.testing.assert_allclose((low + high) / 2, np.mean(drawn[name]), rtol=0.1, err_msg=name)
    wider = law.profile_intervals(0.99)
    assert wider["floor"][0] < profiled["floor"][0]
    with pytest.raises(FitError, match="between 0 and 1"):
        law.profile_intervals(2)


def test_a_fit_outside_its_own_intervals_is_said() -> None:
    """The example's digits are such a case; a law that its runs follow is not."""
    axes = ["n_pretrain", "n_finetune", "n_params"]
    law = AdditivePowerLaw(axes, random_state=0).fit(load_example(), recipe="scratch", downstream="digits")
    low, high = law.intervals(0.9)["n_pretrain.exponent"]
    assert not low <= law.exponents_["n_pretrain"] <= high
    assert any("n_pretrain.exponent lies outside the middle 90%" in text for text in law.warnings_)
    law.fit(load_example(), "cross_entropy", recipe="scratch", downstream="digits").intervals(0.9)
    assert any("n_pretrain.exponent, n_finetune.exponent lie outside" in text for text in law.warnings_)
    D = np.tile(1000.0 * 2.0 ** np.arange(7), 5)
    error = (0.1 + 8 * D**-0.5) * np.exp(0.01 * np.random.default_rng(0).standard_normal(35))
    right = AdditivePowerLaw(["n_pretrain"], random_state=0).fit({"n_pretrain": D, "error": error})
    right.intervals(0.9)
    assert not any("outside" in text for text in right.warnings_)
