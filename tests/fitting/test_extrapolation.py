"""One curve as an estimator: invariances, odd curves, intervals, and the benchmark's figures where its data are."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.fitting.conformal import quantile, weighted_quantile
from tippingpoint.fitting.extrapolation import CurveExtrapolator
from tippingpoint.laws.curves import PowerCurve, registry

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


@pytest.mark.parametrize("law", ["m1", "m2", "m3", "m4", "bnsl", "bnsl2"])
def test_every_law_has_intervals(law: str) -> None:
    y = Y * np.exp(0.01 * np.sin(np.arange(20)))
    named, average = CurveExtrapolator(law).fit(X, y), CurveExtrapolator().fit(X, y)
    far = np.array([2e5, 1e6])
    wide, narrow = (named.predict(far, level) for level in (0.95, 0.5))
    for end in ("low", "high"):
        apart = [np.abs(np.log(getattr(one, end) / one.y)) for one in (wide, narrow)]
        assert np.all(apart[0] > apart[1])
    least = average.scale(far)
    distance = np.log(wide.y / average.predict(far).y)
    np.testing.assert_allclose(named.scale(far), np.sqrt(least**2 + (distance / 2) ** 2), rtol=1e-10)
    moved = CurveExtrapolator(law).fit(X * 1e6, y).predict(far * 1e6, 0.95)
    np.testing.assert_allclose(moved.high, wide.high, rtol=2e-3)
    assert bool(named.doubts(far)) == (law == "bnsl2")


def test_a_law_that_runs_off_says_so_by_its_width() -> None:
    flattening = 0.2 + 0.5 * (X / X[0]) ** -0.8
    power, average = CurveExtrapolator("m1").fit(X, flattening), CurveExtrapolator().fit(X, flattening)
    found, other = power.predict([3e6], 0.9), average.predict([3e6], 0.9)
    assert found.high is not None
    assert other.high is not None
    assert found.y[0] < 0.15  # no law that has no floor can know of this one
    assert found.high[0] > 0.2
    assert np.log(found.high[0] / found.y[0]) > 2 * np.log(other.high[0] / other.y[0])


class Own(PowerCurve):
    """A law of somebody else."""

    name = "own"


def test_a_law_of_another_package_has_intervals_and_says_on_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EntryPoint, "load", lambda self: Own)
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("own", "x:Own", registry.ENTRY_POINT)])
    own, ours = CurveExtrapolator("own").fit(X, Y), CurveExtrapolator("m1").fit(X, Y)
    np.testing.assert_allclose(own.predict([3e5], 0.9).high, ours.predict([3e5], 0.9).high, rtol=1e-12)
    assert "not calibrated on the law 'own'" in own.doubts(X)[0]
    assert ours.doubts(X) == ()


def test_rates_are_never_predicted_above_one() -> None:
    for law in ("auto", "m1"):
        found = CurveExtrapolator(law).fit([10, 20, 40, 80], [0.99, 0.985, 0.98, 0.97]).predict([0.001, 1, 1000], 0.9)
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
    found = curve.predict([1.0, 1e9], 0.9)
    assert np.isfinite(found.y).all()
    assert found.low is not None
    assert found.high is not None
    assert (found.low <= found.y).all()
    assert (found.y <= found.high * (1 + 1e-12)).all()


@pytest.mark.parametrize("named", [False, True])
def test_quantiles_rise_and_cover(named: bool) -> None:
    levels = np.linspace(0.05, 0.99, 50)
    values = [quantile(level, named=named) for level in levels]
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
