"""A weight of 2 is the row twice and a weight of 0 is no row, in every law, objective and finding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tippingpoint.errors import RunsError
from tippingpoint.fitting.additive import fit_additive, refit_additive
from tippingpoint.fitting.backtest import largest_folds
from tippingpoint.fitting.comparison import compare_laws
from tippingpoint.fitting.estimation import Estimate, estimate
from tippingpoint.fitting.objectives import OBJECTIVES
from tippingpoint.fitting.rivals import SurfaceEstimate, estimate_surface
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.surface import fit_surface, refit_surface
from tippingpoint.laws.multiplicative import FlooredProduct
from tippingpoint.runs import Runs, read_runs

AXES = ["n_pretrain", "n_finetune"]
HELD = {"fixed": {"floor": 0.05}, "bounds": {"n_pretrain.exponent": (0.1, 0.6)}}


def table(seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(np.geomspace(1e3, 1e6, 6), np.geomspace(1e2, 1e4, 5), indexing="ij")
    sizes = np.stack([axis.ravel() for axis in axes], axis=-1)
    y = 0.06 + 0.1 * (sizes[:, 0] / 3e4) ** -0.3 + 0.08 * (sizes[:, 1] / 1e3) ** -0.5
    y *= np.exp(0.05 * generator.standard_normal(len(y)))
    return pd.DataFrame(sizes, columns=AXES).assign(
        error=y, n_test=generator.integers(200, 5000, len(y)), count=generator.integers(0, 3, len(y)).astype(float)
    )


def repeated(frame: pd.DataFrame) -> Runs:
    return Runs(frame.loc[frame.index.repeat(frame["count"].astype(int))].reset_index(drop=True))


@pytest.mark.parametrize("held", [{}, HELD])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_additive_law(objective: str, held: dict[str, dict[str, float]]) -> None:
    frame = table()
    one = estimate(Runs(frame), AXES, "error", FitSetting(objective, weights="count", **held))
    two = estimate(repeated(frame), AXES, "error", FitSetting(objective, **held))
    np.testing.assert_allclose(one.solution.objective, two.solution.objective, rtol=1e-8)
    np.testing.assert_allclose(one.solution.exponents, two.solution.exponents, rtol=1e-5)
    np.testing.assert_allclose(one.solution.floor, two.solution.floor, rtol=1e-5, atol=1e-9)
    assert one.status == two.status
    same_findings(one, two)
    assert len(one.y) == (frame["count"] > 0).sum()
    assert f"{(frame['count'] == 0).sum()} of {len(frame)} rows set aside: their weight 'count' is 0." in one.notes
    np.testing.assert_allclose(one.weights.sum(), frame["count"].sum(), rtol=1e-12)


def same_findings(one: Estimate, two: Estimate) -> None:
    for mine, other in zip(one.terms, two.terms, strict=True):
        assert mine.identified == other.identified
        np.testing.assert_allclose(mine.swing, other.swing, rtol=1e-5)
        np.testing.assert_allclose(mine.allowed, other.allowed, rtol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_other_laws(objective: str) -> None:
    frame, formula = table(), FlooredProduct(AXES)
    one = estimate_surface(Runs(frame), formula, "error", FitSetting(objective, weights="count"))
    two = estimate_surface(repeated(frame), formula, "error", FitSetting(objective))
    np.testing.assert_allclose(one.solution.objective, two.solution.objective, rtol=1e-8)
    np.testing.assert_allclose(one.solution.theta[2:], two.solution.theta[2:], rtol=1e-4)
    for mine, other in zip(one.findings, two.findings, strict=True):
        assert (mine.identified, mine.needed) == (other.identified, other.needed)
        np.testing.assert_allclose(mine.swing, other.swing, rtol=1e-4)


def test_over_dispersion_counts_runs() -> None:
    frame = table()
    fits: list[Estimate | SurfaceEstimate] = []
    for fit in (estimate, lambda runs, axes, *rest: estimate_surface(runs, FlooredProduct(axes), *rest)):
        fits += [fit(Runs(frame), AXES, "error", FitSetting("binomial", weights="count"))]
        fits += [fit(repeated(frame), AXES, "error", FitSetting("binomial"))]
    for one, two in (fits[:2], fits[2:]):
        assert one.over_dispersion is not None
        assert two.over_dispersion is not None
        np.testing.assert_allclose(one.over_dispersion, two.over_dispersion, rtol=1e-6)


def test_refits_multiply_multiplicities() -> None:
    frame = table().query("count > 0")
    sizes, y = frame[AXES].to_numpy(float), frame["error"].to_numpy()
    count = frame["count"].to_numpy()
    start = fit_additive(sizes, y, weights=count, objective="log")
    drawn = np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)), 5).astype(float)
    many = refit_additive(sizes, y, drawn * count, start, objective="log")
    for row, objective in zip(drawn, many.objective, strict=True):
        rows = np.repeat(np.arange(len(y)), (row * count).astype(int))
        np.testing.assert_allclose(objective, fit_additive(sizes[rows], y[rows], objective="log").objective, rtol=1e-7)
    surface = fit_surface(FlooredProduct(AXES), sizes, y, weights=count, objective="log")
    again = refit_surface(surface, sizes, y, drawn * count, objective="log")
    for row, theta in zip(drawn, again.theta, strict=True):
        own = fit_surface(FlooredProduct(AXES), sizes, y, weights=row * count, objective="log")
        np.testing.assert_allclose(surface.predict(sizes, theta[None])[0], own.predict(sizes), rtol=1e-5)


@pytest.mark.parametrize("objective", ["log", "huber-log", "binomial"])
def test_backtests_and_aicc(objective: str) -> None:
    frame = table()
    laws = ["additive", "multiplicative"]
    one = compare_laws(Runs(frame), AXES, laws=laws, objective=objective, weights="count", blocks=False)
    two = compare_laws(repeated(frame), AXES, laws=laws, objective=objective, blocks=False)
    for mine, other in zip(one.scores, two.scores, strict=True):
        assert mine.law == other.law
        np.testing.assert_allclose(mine.rmsle, other.rmsle, rtol=1e-4)
        np.testing.assert_allclose(mine.aicc, other.aicc, rtol=1e-4)
        np.testing.assert_allclose(mine.objective, other.objective, rtol=1e-4)
    assert one.chosen == two.chosen


def test_folds_hold_out_a_tenth_by_weight() -> None:
    sizes = np.arange(1.0, 21.0)[:, None]
    count = np.where(sizes[:, 0] == 20, 5.0, 1.0)
    (fold,) = largest_folds(sizes, ["a"], count)
    assert fold.held.sum() == 1  # 5 of 24
    (plain,) = largest_folds(sizes, ["a"])
    assert plain.held.sum() == 2


def test_faults_name_rows() -> None:
    frame = table()
    frame.loc[2, "count"], frame.loc[5, "count"], frame.loc[7, "n_finetune"] = -1.0, np.nan, np.nan
    with pytest.raises(RunsError) as caught:
        estimate(read_runs(frame.assign(recipe="a")), AXES, "error", FitSetting(weights="count"))
    said = "\n".join(caught.value.faults)
    assert "row 2: column 'count' is negative" in said
    assert "row 5: column 'count' is empty" in said
    assert "row 7: column 'n_finetune'" in said
    with pytest.raises(RunsError, match="Did you mean 'count'"):
        estimate(read_runs(table()), AXES, "error", FitSetting(weights="counts"))
    with pytest.raises(RunsError, match="gives every run the weight 0"):
        estimate(read_runs(table().assign(count=0)), AXES, "error", FitSetting(weights="count"))
    with pytest.raises(RunsError, match="holds text"):
        estimate(Runs(table().assign(count="x")), AXES, "error", FitSetting(weights="count"))
