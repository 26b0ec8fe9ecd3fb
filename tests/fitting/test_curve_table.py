"""Tables of curves: groups, training flags, what is predicted, and every fault at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.errors import FitError, RunsError

SIZES = np.array([100.0, 200, 400, 800, 1600, 3200])


def table() -> pd.DataFrame:
    parts = []
    for name, exponent in (("a", 0.3), ("b", 0.5)):
        error = 0.1 + 3 * SIZES**-exponent
        train = (SIZES <= 800).astype(int)
        parts.append(pd.DataFrame({"model": name, "images": SIZES, "error": error, "train": train}))
    return pd.concat(parts, ignore_index=True)


def test_curves_keep_apart_and_are_scored() -> None:
    found = tp.extrapolate(table(), x="images", y="error", group=["model"], train="train", interval=0.9)
    assert [curve.group for curve in found.curves] == [{"model": "a"}, {"model": "b"}]
    assert [curve.n_train for curve in found.curves] == [4, 4]
    told = found.to_dict()
    assert told["mean_rmsle"] == pytest.approx(np.mean([curve["rmsle"] for curve in told["curves"]]), rel=1e-12)
    assert told["mean_rmsle"] < 0.06
    assert told["coverage"] == 1.0
    frame = found.to_frame()
    assert list(frame.columns) == ["model", "x", "y", "predicted", "low", "high"]
    assert len(frame) == 4


def test_rows_to_predict_may_lack_a_score() -> None:
    frame = table()
    frame.loc[frame["train"] == 0, "error"] = np.nan
    found = tp.extrapolate(frame, x="images", y="error", group=["model"], train="train")
    assert found.to_dict()["mean_rmsle"] is None
    assert all(np.isfinite(curve.predicted).all() for curve in found.curves)


def test_held_out_scores_change_nothing_but_the_score() -> None:
    frame = table()
    before = tp.extrapolate(frame, x="images", y="error", group=["model"], train="train", interval=0.9).to_frame()
    frame.loc[frame["train"] == 0, "error"] = 0.9
    after = tp.extrapolate(frame, x="images", y="error", group=["model"], train="train", interval=0.9).to_frame()
    pd.testing.assert_frame_equal(before.drop(columns="y"), after.drop(columns="y"))


def test_without_training_column_it_looks_beyond() -> None:
    found = tp.extrapolate(table(), x="images", y="error", group=["model"])
    np.testing.assert_allclose(found.curves[0].x, [4800.0, 6400.0, 12800.0], rtol=1e-12)
    asked = tp.extrapolate(table(), x="images", y="error", group=["model"], at=[1e4])
    assert asked.curves[0].x.tolist() == [1e4]


def test_summary_and_html(capsys: pytest.CaptureFixture[str]) -> None:
    found = tp.extrapolate(table(), x="images", y="error", group=["model"], train="train", interval=0.9)
    found.summary()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("model a: 4 training points, 2 predictions, RMSLE 0.0")
    assert said[1].startswith("  at 1600: 0.")
    assert "90% of the time in [" in said[1]
    assert said[-1].startswith("Intervals of level 0.9 hold 100.0%")
    assert "<table" in found._repr_html_()


def test_named_laws() -> None:
    found = tp.extrapolate(table(), x="images", y="error", group=["model"], train="train", law="m2")
    assert found.to_dict()["mean_rmsle"] < 1e-5
    with_ends = tp.extrapolate(table(), x="images", y="error", group=["model"], train="train", law="m2", interval=0.9)
    assert with_ends.to_dict()["coverage"] == 1.0
    assert with_ends.curves[0].warnings == found.curves[0].warnings
    twice = tp.extrapolate(table(), x="images", y="error", group=["model"], train="train", law="bnsl2", interval=0.9)
    assert "not calibrated on the law 'bnsl2'" in twice.curves[0].warnings[-1]


def test_far_predictions_are_marked() -> None:
    found = tp.extrapolate(table(), x="images", y="error", group=["model"], at=[1e7], interval=0.9)
    assert "calibrated up to 55 times" in found.curves[0].warnings[-1]


def test_all_faults_of_a_table_at_once() -> None:
    frame = table().astype({"train": float, "images": float})
    frame.loc[1, "images"] = -5
    frame.loc[2, "error"] = np.nan
    frame.loc[3, "train"] = 2
    with pytest.raises(RunsError) as caught:
        tp.extrapolate(frame, x="images", y="error", group=["model"], train="train")
    assert len(caught.value.faults) >= 1
    with pytest.raises(RunsError, match="Did you mean 'images'"):
        tp.extrapolate(frame, x="image", y="error", group=["modl"])
    with pytest.raises(RunsError, match="both size and score"):
        tp.extrapolate(table(), x="error", y="error")


def test_settings_are_checked_before_the_table() -> None:
    with pytest.raises(FitError) as caught:
        tp.extrapolate(table(), x="images", y="error", law="m9", interval=0.9, at=[-1])
    assert len(caught.value.faults) == 2


def test_a_short_curve_is_named() -> None:
    frame = table()
    frame.loc[(frame["model"] == "b") & (frame["images"] > 100), "train"] = 0
    with pytest.raises(FitError, match="curve model b"):
        tp.extrapolate(frame, x="images", y="error", group=["model"], train="train")


def test_whole_numbers_that_name_a_curve_stay_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table().assign(model=lambda rows: rows["model"].map({"a": 3, "b": 4}))
    frame.to_csv(tmp_path / "curves.csv", index=False)
    found = tp.extrapolate(tmp_path / "curves.csv", x="images", y="error", group=["model"], train="train")
    found.summary()
    assert capsys.readouterr().out.startswith("model 3: ")
    assert '{"model": 4}' in json.dumps([curve["group"] for curve in found.to_dict()["curves"]])
