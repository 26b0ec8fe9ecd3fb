"""Paired differences by hand, against the boundary room's own, and Holm's adjustment against its definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tippingpoint.boundary import paired_differences
from tippingpoint.boundary.adjusted import holm
from tippingpoint.report.looks import Look, look_frames, tidy
from tippingpoint.report.pairs import pair_runs


def table(values: list[tuple[int, int, float]]) -> pd.DataFrame:
    """Return runs of (size, seed, target)."""
    frame = pd.DataFrame(values, columns=["n_pretrain", "seed", "error"])
    return frame.assign(subset_seed=frame["seed"], n_params=100.0)


def test_differences_tests_and_trend_by_hand() -> None:
    first = table([(100, 0, 0.5), (200, 0, 0.4), (400, 0, 0.3), (100, 1, 0.6), (200, 1, 0.4), (400, 1, 0.2)])
    second = table([(100, 0, 0.4), (200, 0, 0.4), (400, 0, 0.4), (100, 1, 0.4), (200, 1, 0.4), (400, 1, 0.4)])
    pairs = pair_runs(first, second, along="n_pretrain", target="error")
    assert [point.size for point in pairs.sizes] == [100.0, 200.0, 400.0]
    np.testing.assert_allclose([point.mean for point in pairs.sizes], [0.15, 0.0, -0.15], atol=1e-12)
    assert [point.n_blocks for point in pairs.sizes] == [2, 2, 2]
    assert pairs.trend is not None
    assert pairs.trend.mean == pytest.approx(-0.15, rel=1e-12)  # slopes -0.1 and -0.2 a doubling
    expected = stats.ttest_1samp([-0.1, -0.2], 0.0)
    assert pairs.trend.p == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval(0.9)
    np.testing.assert_allclose([pairs.trend.low, pairs.trend.high], [low, high], rtol=1e-9)


def test_runs_that_do_not_pair_are_not_compared() -> None:
    pairs = pair_runs(table([(100, 0, 0.5)]), table([(100, 1, 0.4), (200, 0, 0.3)]), along="n_pretrain", target="error")
    assert pairs.points.empty
    assert pairs.sizes == ()
    assert pairs.level is None


def test_a_recipe_whose_runs_have_all_failed_is_not_compared() -> None:
    first = table([(100, 0, 0.5)])
    for none in (first.iloc[:0], first.assign(error=np.nan), first.assign(n_pretrain=np.nan)):
        for pair in ((first, none), (none, first), (none, none)):
            pairs = pair_runs(*pair, along="n_pretrain", target="error")
            assert pairs.points.empty
            assert pairs.sizes == ()


def test_incomplete_blocks_count_at_their_sizes_but_not_in_the_tests() -> None:
    first = table([(n, seed, 0.5 + 0.01 * seed) for n in (100, 200) for seed in range(3)])
    second = table([(n, seed, 0.4) for n in (100, 200) for seed in range(3) if (n, seed) != (200, 2)])
    pairs = pair_runs(first, second, along="n_pretrain", target="error")
    assert [point.n_blocks for point in pairs.sizes] == [3, 2]
    assert pairs.level is not None
    assert pairs.level.n_blocks == 2
    assert any("1 of 3 blocks lack a size" in note for note in pairs.notes)


def test_without_seeds_there_are_means_but_no_intervals() -> None:
    first, second = (table([(100, 0, 0.5), (200, 0, 0.4)]), table([(100, 0, 0.4), (200, 0, 0.5)]))
    drop = ["seed", "subset_seed"]
    pairs = pair_runs(first.drop(columns=drop), second.drop(columns=drop), along="n_pretrain", target="error")
    np.testing.assert_allclose([point.mean for point in pairs.sizes], [0.1, -0.1], atol=1e-12)
    assert all(np.isnan(point.low) for point in pairs.sizes)
    assert "no intervals" in pairs.notes[0]


def test_agrees_with_the_boundary_rooms_own_pairs(small_frame: pd.DataFrame) -> None:
    look = Look(
        ("scratch", "distilled"), "n_pretrain", "pretrained", "cross_entropy", n_params=51_000.0, teacher="heads=2"
    )
    ours = pair_runs(*look_frames(tidy(small_frame), look), along="n_pretrain", target="cross_entropy")
    theirs = paired_differences(
        small_frame, at={"n_params": 51_000}, target="cross_entropy", stage="pretrained", teacher="heads=2"
    )
    np.testing.assert_allclose([point.mean for point in ours.sizes], theirs["mean"], rtol=1e-9)
    np.testing.assert_allclose([point.low for point in ours.sizes], theirs["low"], rtol=1e-6)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, float("nan"), 0.9])[0] == pytest.approx(1.0)
    assert np.isnan(holm([0.5, float("nan")])[1])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(raw: list[float]) -> None:
    adjusted = holm(raw)
    assert all(a >= p and a <= 1 for a, p in zip(adjusted, raw, strict=True))
    ranked = [adjusted[k] for k in np.argsort(raw)]
    assert ranked == sorted(ranked)


def test_the_tests_know_that_errors_move_by_whole_images() -> None:
    sizes, seeds = (100, 200, 400), (0, 1)
    first = table([(size, seed, 38 / 62) for size in sizes for seed in seeds]).assign(n_test=62)
    second = table([(size, seed, (37 - (size == 400)) / 62) for size in sizes for seed in seeds]).assign(n_test=62)
    pairs = pair_runs(first, second, along="n_pretrain", target="error")
    hidden = 1 / 62 / np.sqrt(12) / np.sqrt(2)  # of the mean of two blocks
    assert pairs.level is not None
    assert pairs.trend is not None
    assert pairs.level.standard_error == pytest.approx(hidden / np.sqrt(3))
    assert pairs.trend.standard_error == pytest.approx(hidden / np.sqrt(2))
    assert pairs.trend.p > 0.1
    assert [point.standard_error for point in pairs.sizes] == pytest.approx([hidden] * 3)
