"""Folds, weights, the choice among laws and the test of shared exponents."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.errors import FitError, TippingPointError
from tippingpoint.fitting.backtest import block_folds, fitter, fold_score, largest_folds
from tippingpoint.fitting.comparison import AVERAGED, backtest_weights, compare_laws
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.shared import compare_exponents
from tippingpoint.laws import AutoLaw
from tippingpoint.runs import Runs, read_runs

AXES = ["n_pretrain", "n_params", "n_finetune"]


def study(kind: str, noise: float = 0.02, seed: int = 0, exponents: tuple[float, ...] = (0.3, 0.4, 0.3)) -> Runs:
    """Return five blocks of a study on a small grid, noise partly common to a block."""
    grids = [[1e3, 1e4, 1e5, 1e6], [2.5e6, 1e7, 4e7], [1e2, 1e3, 1e4]]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=-1)
    logs = np.log(sizes) - np.log(sizes).mean(axis=0)
    if kind == "additive":
        y = 0.03 + (np.array([0.1, 0.05, 0.08]) * np.exp(-logs * exponents)).sum(axis=1)
    else:
        y = 0.15 * np.exp(-0.5 * logs @ np.array(exponents))
    frames = []
    for block in range(5):
        generator = np.random.default_rng([seed, block])
        jitter = noise * (generator.standard_normal(len(y)) + 0.5 * generator.standard_normal())
        frames.append(pd.DataFrame(sizes, columns=AXES).assign(error=np.minimum(y * np.exp(jitter), 1), seed=block))
    return read_runs(pd.concat(frames, ignore_index=True))


def test_largest_scales_are_held_out_and_nothing_else() -> None:
    sizes = np.column_stack([np.repeat([1.0, 2.0, 3.0, 4.0], 6), np.tile([1.0, 2.0], 12), np.arange(1.0, 25.0)])
    folds = largest_folds(sizes, ["a", "b", "c"])
    assert [fold.name for fold in folds] == ["a", "c"]  # b has two sizes
    np.testing.assert_array_equal(folds[0].held, sizes[:, 0] == 4)
    assert folds[1].held.sum() == 3  # a tenth of 24 rows, from the top
    assert sizes[folds[1].held, 2].min() > sizes[~folds[1].held, 2].max()


def test_a_fold_never_sees_its_rows() -> None:
    runs = study("additive")
    sizes, y = np.column_stack([runs.numbers(axis) for axis in AXES]), runs.numbers("error")
    fold = largest_folds(sizes, AXES)[0]
    seen: list[int] = []

    class Middle:
        objective, status = 0.0, "converged"

        def predict(self, sizes: np.ndarray, /) -> np.ndarray:
            return np.full(len(sizes), 0.2)

    def fit(sizes: np.ndarray, y: np.ndarray, weights: np.ndarray) -> Middle:
        seen.append(len(y))
        assert sizes[:, 0].max() < 1e6
        return Middle()

    score = fold_score(fit, sizes, y, np.ones(len(y)), fold)
    assert seen == [int((~fold.held).sum())]
    assert score == pytest.approx(np.mean(np.log(0.2 / y[fold.held]) ** 2))


def test_block_folds_cover_every_row_once() -> None:
    runs = study("additive")
    folds = block_folds(runs)
    assert len(folds) == 5
    np.testing.assert_array_equal(sum(fold.held.astype(int) for fold in folds), 1)
    assert block_folds(read_runs(runs.frame[runs.frame["seed"] == 0].head(1))) == []


@given(st.lists(st.one_of(st.floats(1e-30, 1e6), st.just(float("inf")), st.just(float("nan"))), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_weights_are_shares(errors: list[float]) -> None:
    weights = backtest_weights(errors, 2)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    finite = [error for error in errors if np.isfinite(error)]
    if finite:
        assert weights[errors.index(min(finite))] == weights.max()


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_the_true_kind_is_chosen(kind: str) -> None:
    found = compare_laws(study(kind), AXES, laws=AVERAGED)
    assert found.chosen.startswith(kind)
    assert sum(score.weight for score in found.scores) == pytest.approx(1.0)
    true, other = (
        next(score for score in found.scores if score.law == name)
        for name in (("additive", "multiplicative") if kind == "additive" else ("multiplicative", "additive"))
    )
    assert true.aicc < other.aicc
    assert true.rmsle < 0.7 * other.rmsle
    assert true.blocks == pytest.approx(0.02, rel=0.4)


def test_of_laws_about_as_good_the_simplest_is_chosen() -> None:
    found = compare_laws(study("additive"), AXES, laws=["additive", "interaction"], blocks=False)
    scores = {score.law: score.rmsle for score in found.scores}
    assert scores["interaction"] == pytest.approx(scores["additive"], rel=0.05)  # its coupled term finds nothing
    assert found.chosen == "additive"


def test_auto_averages_in_log_space() -> None:
    runs = study("additive", noise=0.05, exponents=(0.1, 0.1, 0.1))
    law = AutoLaw(AXES, bootstrap=20, random_state=0).fit(runs)
    point = {"n_pretrain": 1e7, "n_params": 1e8, "n_finetune": 1e5}
    logs = sum(share * np.log(float(law.laws_[name].predict(point))) for name, share in law.weights_.items())
    guess = law.predict(point, interval=0.9)
    assert float(guess) == pytest.approx(float(np.exp(logs)), rel=1e-12)
    assert guess.interval[0] <= guess <= guess.interval[1]
    assert guess.law == "auto"
    narrow = law.predict(point, interval=0.5).interval
    assert guess.interval[0] <= narrow[0] <= narrow[1] <= guess.interval[1]
    table = law.predict(pd.DataFrame([point, point]), interval=0.9)
    assert list(table.columns) == ["prediction", "low", "high"]
    assert "share" in str(law)
    assert "<pre>" in law._repr_html_()


def test_without_three_sizes_aicc_chooses() -> None:
    runs = study("additive")
    two = runs.keep(runs.frame.eval("n_pretrain < 2e4 and n_params < 2e7 and n_finetune < 2e3").to_numpy(bool))
    found = compare_laws(two, AXES, laws=AVERAGED)
    assert found.rule == "Chosen by AICc."
    assert any("No axis has three sizes" in sentence for sentence in found.warnings)
    assert len(AutoLaw(AXES).fit(two).weights_) >= 1
    assert list(AutoLaw(["n_pretrain"]).fit(runs).comparison_.axes) == ["n_pretrain"]


def test_shared_exponents_are_kept_and_rejected() -> None:
    same = {"a": study("additive", seed=1), "b": study("additive", seed=2)}
    found = compare_exponents(same, AXES, resamples=39)
    assert found.p_value > 0.1
    assert found.freed == 3
    np.testing.assert_allclose([found.shared[axis] for axis in AXES], [0.3, 0.4, 0.3], rtol=0.15)
    apart = {"a": study("additive", seed=1), "b": study("additive", seed=2, exponents=(0.3, 0.4, 0.8))}
    assert compare_exponents(apart, AXES, resamples=39).p_value <= 0.05
    again = compare_exponents(same, AXES, resamples=39)
    assert again.to_dict() == found.to_dict()
    with pytest.raises(FitError, match="two sets"):
        compare_exponents({"a": same["a"]}, AXES)


@given(
    st.lists(
        st.tuples(st.sampled_from([1.0, 10.0, 100.0]), st.sampled_from([1.0, 5.0]), st.floats(1e-6, 1.0)),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=8, deadline=None)
def test_whatever_the_table_only_our_errors_come_out(rows: list[tuple[float, float, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["n_pretrain", "n_params", "error"]).drop_duplicates()
    with contextlib.suppress(TippingPointError):  # nothing else may come out
        found = compare_laws(read_runs(frame), ["n_pretrain", "n_params"])
        assert found.chosen in AVERAGED
        float(AutoLaw(["n_pretrain", "n_params"]).fit(frame).predict({"n_pretrain": 1e3, "n_params": 10.0}))


def test_fitters_know_their_parameters() -> None:
    counts = {name: fitter(name, AXES, FitSetting("log"))[1] for name in (*AVERAGED, "transfer", "interaction")}
    assert counts == {
        "additive": 7, "multiplicative": 4, "multiplicative-floor": 5, "transfer": 6, "interaction": 10,
    }  # fmt: skip


def test_a_law_that_has_two_names_over_one_axis_counts_once() -> None:
    runs = read_runs(study("additive"), where="n_params == 1e7 and n_finetune == 1000")
    found = compare_laws(runs, "n_pretrain", blocks=False)  # one axis may be a name, as that of a law
    assert {one.law for one in found.scores} == {"additive", "multiplicative"}
    assert "is the additive law" in found.skipped["multiplicative-floor"]
    law = AutoLaw(["n_pretrain"], random_state=0).fit(runs)
    assert law.weights_ == pytest.approx(
        {one.law: one.weight for one in found.scores if one.law in law.weights_}, abs=0.01
    )
    assert (
        compare_laws(runs, ["n_pretrain"], laws=["multiplicative-floor"], blocks=False).chosen == "multiplicative-floor"
    )
