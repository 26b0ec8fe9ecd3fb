"""One curve as an estimator: invariances, odd curves, intervals, and the benchmark's figures where its data are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.fitting.conformal import quantile, weighted_quantile
from tippingpoint.fitting.extrapolation import CurveExtrapolator

X = np.geomspace(1e3, 1e5, 20)
Y = 0.1 + 20 * X**-0.5
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "fitting" / "revisiting_nsl"


def test_a_clean_curve_is_followed() -> None:
    found = CurveExtrapolator().fit(X, Y).predict([2e5], interval=0.9)
    np.testing.assert_allclose(found.y, 0.1 + 20 * 2e5**-0.5, rtol=0.03)
    assert found.low is not None
    assert found.high is not None
    assert found.low[0] < 0.1 + 20 * 2e5**-0.5 < found.high[0]


def test_unit_order_and_repetition() -> None:
    found = CurveExtrapolator().fit(X, Y).predict([3e5], 0.9)
    moved = CurveExtrapolator().fit(X * 1e6, Y).predict([3e11], 0.9)
    shuffled = CurveExtrapolator().fit(X[::-1], Y[::-1]).predict([3e5], 0.9)
    for other in (moved, shuffled):
        np.testing.assert_allclose(other.y, found.y, rtol=1e-9)
        np.testing.assert_allclose(other.high, found.high, rtol=1e-9)


def test_losses_scale_with_their_unit() -> None:
    nats = CurveExtrapolator().fit(X, 10 * Y + 1).predict([3e5], 0.9)
    more = CurveExtrapolator().fit(X, 50 * Y + 5).predict([3e5], 0.9)
    np.testing.assert_allclose(more.y, 5 * nats.y, rtol=1e-9)
    np.testing.assert_allclose(more.low, 5 * np.asarray(nats.low), rtol=1e-9)


def test_intervals_widen_with_distance_and_level() -> None:
    curve = CurveExtrapolator().fit(X, Y * np.exp(0.01 * np.sin(np.arange(20))))
    wide, narrow = (curve.predict([2e5, 1e6], level) for level in (0.95, 0.5))
    assert wide.high is not None
    assert narrow.high is not None
    assert np.all(wide.high > narrow.high)
    widths = np.log(wide.high / wide.y)
    assert widths[1] > widths[0]


def test_rates_are_never_predicted_above_one() -> None:
    found = CurveExtrapolator().fit([10, 20, 40, 80], [0.99, 0.985, 0.98, 0.97]).predict([0.001, 1, 1000], 0.9)
    assert found.high is not None
    assert max(found.y.max(), found.high.max()) <= 1


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([1, 2, 4, 8], [0.1, 0.2, 0.3, 0.4], "do not fall"),
        ([1, 2, 4, 8, 16], [0.5, 0.4, 0.3, 0.2, 0.0], "1 training points with score 0"),
        ([1, 2, 2], [0.5, 0.4, 0.41], "only 2 training sizes"),
    ],
)
def test_odd_curves_are_predicted_with_a_warning(x: list[float], y: list[float], said: str) -> None:
    curve = CurveExtrapolator().fit(x, y)
    assert any(said in warning for warning in curve.warnings_)
    assert 0 < curve.predict([32.0]).y[0] <= 1


def test_faults() -> None:
    with pytest.raises(NotFittedError):
        CurveExtrapolator().predict([1.0])
    with pytest.raises(FitError, match="2 different sizes"):
        CurveExtrapolator().fit([1.0, 2.0], [0.0, 0.5])
    with pytest.raises(FitError) as caught:
        CurveExtrapolator().fit([1.0, -2.0], [0.1, np.nan])
    assert len(caught.value.faults) == 2
    with pytest.raises(FitError, match="no law 'm9'"):
        CurveExtrapolator("m9").fit(X, Y)
    with pytest.raises(FitError, match="'auto' alone"):
        CurveExtrapolator("m2").fit(X, Y).predict([1.0], 0.9)
    with pytest.raises(FitError, match="levels from"):
        CurveExtrapolator().fit(X, Y).predict([1.0], 0.999)
    with pytest.raises(FitError, match="above 0"):
        CurveExtrapolator().fit(X, Y).predict([0.0])


numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=8), st.sampled_from(["auto", "m1"]))
def test_whatever_the_points_only_our_errors_come_out(points: list[tuple[float, float]], law: str) -> None:
    x, y = [one for one, _ in points], [one for _, one in points]
    try:
        curve = CurveExtrapolator(law).fit(x, y)
    except FitError:
        return
    assert np.isfinite(curve.predict([1.0, 1e9], 0.9 if law == "auto" else None).y).all()


def test_quantiles_rise_and_cover() -> None:
    levels = np.linspace(0.05, 0.99, 50)
    values = [quantile(level) for level in levels]
    assert np.all(np.diff(values) > 0)
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 8.0]), 0.9) == 2.0


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/fitting/revisiting_nsl")
def test_published_curves_are_met_as_recorded() -> None:
    frame = pd.read_csv(SHARED / "benchmark.vision.csv")
    scores, covered = [], []
    for _, rows in frame.groupby(["Task", "Model"]):
        x, y, train = (rows[name].to_numpy() for name in ("Seen Examples", "Loss", "Training"))
        found = CurveExtrapolator().fit(x[train == 1], y[train == 1]).predict(x[train == 0], 0.9)
        truth = y[train == 0]
        scores.append(np.sqrt(np.mean(np.log(found.y / truth) ** 2)))
        covered.append(np.mean((np.asarray(found.low) <= truth) & (truth <= np.asarray(found.high))))
    assert len(scores) == 72
    assert np.mean(scores) <= 0.0260
    assert np.median(scores) <= 0.0215
    assert 0.85 <= np.mean(covered) <= 0.96
