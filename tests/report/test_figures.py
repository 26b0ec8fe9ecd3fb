"""Figures as data (numbers), then drawn: the same bytes, no foreign markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import tippingpoint
from tippingpoint.report import Analysis, analyse
from tippingpoint.report.canvas import SERIES, SHADES
from tippingpoint.report.figures import draw, figure_bytes
from tippingpoint.report.figures_checks import (
    Foretold,
    MatchPanel,
    TermPanel,
    TermPoint,
    backtest_panel,
    predicted_panel,
    residual_panels,
    term_panel,
)
from tippingpoint.report.figures_data import (
    Crossing,
    DifferencePanel,
    concept_panel,
    difference_panel,
    probability_panel,
    recipe_panel,
)
from tippingpoint.report.figures_scaling import law_panels
from tippingpoint.report.spots import runs_behind
from tippingpoint.report.svg import inline_svg


@pytest.fixture(scope="module")
def analysis(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> Analysis:
    frame = make_runs(blocks=3, sizes=(250, 1000, 4000, 16000))
    return analyse(frame[frame["downstream"] != "digits"], endpoint, resamples=40)


def panel(**more: Any) -> DifferencePanel:
    x = np.geomspace(100, 10_000, 30)
    values: dict[str, Any] = {
        "title": "",
        "x_label": "pretraining images",
        "y_label": "error saved",
        "recipes": ("scratch", "distilled"),
        "x": x,
        "difference": 0.1 - x / 1e5,
        "low": 0.05 - x / 1e5,
        "high": 0.15 - x / 1e5,
        "sizes": np.array([100.0, 1000.0, 10_000.0]),
        "means": np.array([0.1, 0.09, 0.0]),
        "mean_low": np.array([0.05, np.nan, -0.1]),
        "mean_high": np.array([0.15, np.nan, 0.1]),
        "helps": ((100.0, 9000.0),),
        "crossings": (Crossing(9000.0, 7000.0, np.nan, True),),
        "laws_hold": True,
        "level": 0.9,
    }
    return DifferencePanel(**{**values, **more})


def test_the_difference_is_the_paired_means_and_the_fitted_curve(analysis: Analysis) -> None:
    assert analysis.primary is not None
    shown = difference_panel(analysis.primary)
    np.testing.assert_array_equal(shown.sizes, [250, 1000, 4000, 16000])
    frame = analysis.frame
    rows = frame[(frame["stage"] == "pretrained") & (frame["n_params"] == 51_000) & (frame["n_pretrain"] == 250)]
    means = rows.groupby("recipe")["cross_entropy"].mean()
    assert shown.means[0] == pytest.approx(means["scratch"] - means["distilled"], rel=1e-9)
    assert np.all(shown.low <= shown.difference + 1e-12)
    assert np.all(shown.difference <= shown.high + 1e-12)
    ((start, end),) = shown.helps
    assert start == pytest.approx(250)
    inside = [crossing.value for crossing in shown.crossings if crossing.in_range]
    assert end == pytest.approx(inside[0], rel=0.01)


def test_error_is_drawn_in_percentage_points(analysis: Analysis) -> None:
    finding = next(item for item in analysis.second if item.look.target == "error")
    shown = difference_panel(finding)
    assert "percentage points" in shown.y_label
    np.testing.assert_allclose(shown.means, [100 * point.mean for point in finding.pairs.sizes], rtol=1e-12)


def test_recipes_show_block_spread_and_their_curves_differ_by_the_difference(analysis: Analysis) -> None:
    assert analysis.primary is not None
    shown = recipe_panel(analysis.frame, analysis.primary)
    first, second = shown.series
    assert (first.recipe, second.recipe) == ("scratch", "distilled")
    assert np.all(first.low <= first.mean)
    assert np.all(first.mean <= first.high)
    curve = difference_panel(analysis.primary)
    at_start = first.curve_y[0] - second.curve_y[0]
    assert at_start == pytest.approx(curve.difference[0], rel=1e-6)


def test_probability_lies_between_none_and_all(analysis: Analysis) -> None:
    assert analysis.primary is not None
    shown = probability_panel(analysis.primary)
    assert shown is not None
    assert shown.probability.min() >= 0
    assert shown.probability.max() <= 1
    assert shown.probability[0] > 0.9
    assert shown.probability[-1] < 0.1


def test_laws_by_model_size_and_scored_set(analysis: Analysis) -> None:
    panels = law_panels(analysis, "n_pretrain", "cross_entropy", "scratch")
    assert [item.title for item in panels] == ["upstream test set", "fine-tuned: fashion_mnist[6-9]"]
    assert [item.label for item in panels[0].series] == [f"{n} parameters" for n in ("13,200", "51,000", "200,000")]
    assert all(len(item.x) == 3 * 4 and len(item.curve_x) for item in panels[0].series)
    assert panels[1].note == "at 400 fine-tuning images"
    series = panels[0].series[1]
    near = np.interp(1000, series.curve_x, series.curve_y)
    assert near == pytest.approx(series.y[series.x == 1000].mean(), rel=0.05)
    assert [item.title for item in law_panels(analysis, "n_finetune", "error", "scratch")] == [panels[1].title]


def test_a_law_has_a_band_around_its_curve_and_a_floor_beneath(analysis: Analysis) -> None:
    for along in ("n_pretrain", "n_params"):
        for series in law_panels(analysis, along, "cross_entropy", "scratch")[0].series:
            assert len(series.curve_x) == len(series.low) == len(series.high) == 60
            assert np.all(series.low <= series.high)
            assert np.mean((series.low <= series.curve_y) & (series.curve_y <= series.high)) > 0.8
            assert 0 < series.floor < series.curve_y.min()
            np.testing.assert_array_equal(analysis.frame.loc[series.rows, along], series.x)
            np.testing.assert_array_equal(analysis.frame.loc[series.rows, "cross_entropy"], series.y)


def test_a_floor_is_the_law_where_the_axis_is_endless(analysis: Analysis) -> None:
    panel = law_panels(analysis, "n_pretrain", "cross_entropy", "scratch")[0]
    law = next(r for r in analysis.laws if (r.recipe, r.stage, r.target) == ("scratch", "pretrained", "cross_entropy"))
    for series, params in zip(panel.series, (13_200, 51_000, 200_000), strict=True):
        endless = law.curve({"n_pretrain": 1e60, "n_params": params})
        assert series.floor == pytest.approx(endless[0], rel=1e-9)


def test_over_model_sizes_there_is_a_series_for_each_pretraining_size(analysis: Analysis) -> None:
    labels = [item.label for item in law_panels(analysis, "n_params", "error", "scratch")[0].series]
    assert labels == [f"{size} pretraining images" for size in ("250", "1,000", "4,000", "16,000")]
    many = analysis.frame.copy()
    many["n_pretrain"] = many["n_pretrain"] + many["subset_seed"]  # twelve sizes: too many to tell apart
    series = law_panels(analysis._replace(frame=many), "n_params", "error", "scratch")[0].series
    assert len(series) == 5
    assert [series[0].label, series[-1].label] == ["250 pretraining images", "16,002 pretraining images"]


def test_the_concept_shows_who_is_better_where(analysis: Analysis) -> None:
    assert analysis.primary is not None
    shown = concept_panel(analysis.frame, analysis.primary)
    assert shown is not None
    assert shown.by_laws
    (start, tip, first), (same, end, second) = shown.parts
    assert (start, end, first, second) == (pytest.approx(250), pytest.approx(16_000), True, False)
    assert tip == same == pytest.approx(shown.crossings[0].value, rel=0.02)
    better = shown.first > shown.second
    np.testing.assert_array_equal(better, shown.x < tip)


def test_predictions_are_those_of_the_law(analysis: Analysis) -> None:
    law = next(r for r in analysis.laws if (r.recipe, r.stage, r.target) == ("scratch", "pretrained", "error"))
    panel = predicted_panel(analysis, law)
    assert panel is not None
    for group in panel.groups:
        rows = analysis.frame.loc[group.rows]
        np.testing.assert_array_equal(rows["error"], group.observed)
        np.testing.assert_allclose(
            law.curve({a: rows[a].to_numpy(float) for a in law.axes}), group.predicted, rtol=1e-12
        )
        np.testing.assert_allclose(group.observed, group.predicted, rtol=0.1)
    assert sum(len(group.rows) for group in panel.groups) == law.n_runs
    assert predicted_panel(analysis, law._replace(law=None)) is None


def test_residuals_scatter_around_zero_and_a_wrong_law_shows(analysis: Analysis) -> None:
    law = next(r for r in analysis.laws if (r.recipe, r.stage, r.target) == ("scratch", "pretrained", "cross_entropy"))
    first, second = residual_panels(analysis, law)
    assert [first.x_label, second.x_label] == ["pretraining images", "model size (parameters)"]
    assert np.abs(first.y).max() < 8  # the runs scatter by 1.4%
    assert np.abs(first.middle).max() < 3
    bent = analysis.frame.copy()
    bent.loc[bent["n_pretrain"] == 16_000, "cross_entropy"] *= 1.2
    worse = residual_panels(analysis._replace(frame=bent), law)[0]
    assert worse.middle[-1] == pytest.approx(first.middle[-1] + 100 * np.log(1.2), rel=1e-9)
    assert residual_panels(analysis, law._replace(law=None)) == ()


def test_a_backtest_foretells_the_largest_scale_without_it(analysis: Analysis) -> None:
    law = next(r for r in analysis.laws if (r.recipe, r.stage, r.target) == ("scratch", "pretrained", "cross_entropy"))
    panel = backtest_panel(analysis, law)
    assert panel is not None
    images, models = panel.groups
    assert images.label.startswith("from 16,000 pretraining images: RMSLE 0.")
    assert models.label.startswith("from 200,000 parameters: RMSLE 0.")
    assert set(analysis.frame.loc[images.rows, "n_pretrain"]) == {16_000}
    np.testing.assert_allclose(images.predicted, images.observed, rtol=0.15)
    changed = analysis.frame.copy()
    changed.loc[images.rows, "cross_entropy"] *= 3  # what is held out moves no prediction of it
    again = backtest_panel(analysis._replace(frame=changed), law)
    assert again is not None
    np.testing.assert_allclose(again.groups[0].predicted, images.predicted, rtol=1e-9)


def test_exponents_say_whether_they_are_determined(analysis: Analysis) -> None:
    laws = tuple(result for result in analysis.laws if result.target == "cross_entropy")
    panel = term_panel(laws)
    assert panel is not None
    assert len(panel.points) == sum(len(result.terms) for result in laws)
    point = panel.points[0]
    assert (point.axis, point.identified) == ("n_pretrain", True)
    assert point.low < 0.5 < point.high  # the truth of plain training
    assert term_panel(()) is None


@pytest.mark.parametrize("count", [1, 9])
def test_the_key_of_the_exponents_stands_within_the_figure(count: int) -> None:
    point = TermPoint("all, all runs", "n_pretrain", 0.32, 0.08, 0.42, False)
    figure = draw(TermPanel("Exponents of error", "exponent", (point,) * count), width=8.0, height=1.2 + 0.3 * count)
    figure.canvas.draw()
    (axes,) = figure.axes
    box = axes.get_legend().get_window_extent()
    assert box.y1 <= figure.bbox.y1
    assert box.y0 >= axes.get_window_extent().y1  # over no exponent


def test_a_long_name_above_a_law_is_not_cut_at_the_edge(analysis: Analysis) -> None:
    shown = law_panels(analysis, "n_pretrain", "cross_entropy", "distilled")[0]
    for title in ("short", "fine-tuned: a_very_long_downstream_data_set_name_that_nobody_types"):
        figure = draw(shown._replace(title=title, note="at 1,000,000 fine-tuning images"), width=4.6, height=3.3)
        figure.canvas.draw()
        (axes,) = figure.axes
        (said,) = [text for text in axes.findobj(Text) if "fine-tuning images" in text.get_text()]
        assert said.get_window_extent().x1 <= figure.bbox.x1


def test_the_runs_behind_a_point_are_known(analysis: Analysis) -> None:
    assert analysis.primary is not None
    look = analysis.primary.look
    shown = difference_panel(analysis.primary)
    (points,) = runs_behind(shown, analysis.frame, look).values()
    for size, places in zip(shown.sizes, points, strict=True):
        rows = analysis.frame.loc[[int(place) for place in places.split()]]
        assert set(rows["n_pretrain"]) == {size}
        assert sorted(rows["recipe"]) == ["distilled"] * 3 + ["scratch"] * 3
    recipes = runs_behind(recipe_panel(analysis.frame, analysis.primary), analysis.frame, look)
    assert sorted(recipes) == ["runs-0", "runs-1"]
    assert analysis.frame.loc[int(recipes["runs-1"][0].split()[0]), "recipe"] == "distilled"
    law = law_panels(analysis, "n_pretrain", "error", "scratch")[0]
    behind = runs_behind(law)
    assert [len(group) for group in behind.values()] == [len(item.rows) for item in law.series]
    assert runs_behind(shown) == {}


def test_marks_of_a_page_figure_carry_their_runs(analysis: Analysis) -> None:
    law = law_panels(analysis, "n_pretrain", "error", "scratch")[0]
    behind = runs_behind(law)
    root = ElementTree.fromstring(inline_svg(draw(law), "f", "law", behind))
    carried = [element.attrib["data-runs"] for element in root.iter("use") if "data-runs" in element.attrib]
    assert carried == [place for group in behind.values() for place in group]
    one_less = {name: group[1:] for name, group in behind.items()}
    root = ElementTree.fromstring(inline_svg(draw(law), "f", "law", one_less))
    assert not [element for element in root.iter("use") if "data-runs" in element.attrib]  # rather none than another's


def test_names_from_the_data_are_text_and_nothing_else() -> None:
    evil = "</text><script>alert(1)</script>$x^2$-->\x00\x1b\"'"
    shown = panel(recipes=("_scratch", evil), x_label=evil, y_label=evil)
    svg = inline_svg(draw(shown), "f", evil)
    root = ElementTree.fromstring(svg)
    assert {element.tag for element in root.iter()} <= {"svg", "g", "defs", "path", "use", "text", "clipPath", "rect"}
    assert "<script" not in svg
    assert any("<script>" in (element.text or "") for element in root.iter("text"))  # shown, not run
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]


def test_a_page_figure_follows_the_theme_and_owns_its_identifiers() -> None:
    svg = inline_svg(draw(panel()), "mine", "what it shows")
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == "what it shows"
    assert "width" not in root.attrib
    assert "var(--vermillion)" in svg
    assert "#d55e00" not in svg.lower()
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert all(name.startswith("mine-") for name in ids)
    referenced = {element.attrib["href"][1:] for element in root.iter("use")}
    assert referenced <= set(ids)


def test_a_figure_without_a_law_or_with_one_size_is_drawn() -> None:
    none = np.empty(0)
    for sizes in (np.array([100.0, 1000.0]), np.array([100.0]), none):
        bare = panel(
            x=none, difference=none, low=none, high=none, sizes=sizes, means=sizes * 0 + 0.1,
            mean_low=sizes * np.nan, mean_high=sizes * np.nan, helps=(), crossings=(),
        )  # fmt: skip
        assert figure_bytes(draw(bare), "png").startswith(b"\x89PNG")


def _linear(colour: str) -> np.ndarray:
    """Return the linear light of a colour such as #0072b2."""
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


# What the two common kinds of red-green blindness see, in linear light (Machado, Oliveira and Fernandes 2009).
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


@pytest.mark.parametrize("eye", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["usual", "protanopia", "deuteranopia"])
def test_series_are_told_apart_by_any_eye_and_in_grey(eye: np.ndarray) -> None:
    colours = [_linear(colour) for colour, _, _ in SERIES]
    seen = [np.clip(eye @ colour, 0, 1) ** (1 / 2.2) for colour in colours]
    for place, one in enumerate(seen):
        for other in seen[place + 1 :]:
            assert np.abs(one - other).max() > 0.1
    luminance = [float(np.array([0.2126, 0.7152, 0.0722]) @ colour) for colour in colours]
    assert all(1.05 / (level + 0.05) >= 3.5 for level in luminance)  # dark enough on white paper
    assert len({marker for _, marker, _ in SERIES}) == len({str(dash) for _, _, dash in SERIES}) == len(SERIES)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_no_point_lies_under_the_legend_of_predicted_against_observed(factor: float) -> None:
    observed = np.linspace(0.36, 0.40, 5)
    predicted = np.full(5, 0.38 * factor)  # one forecast for all runs of the largest scale
    group = Foretold("from 3,600 pretraining images: RMSLE 0.05", observed, predicted, np.arange(5))
    figure = draw(MatchPanel("distilled", "observed", "foretold", (group,)), width=4.6, height=3.4)
    figure.canvas.draw()
    (axes,) = figure.axes
    box = axes.get_legend().get_window_extent()
    points = axes.transData.transform(np.column_stack([observed, predicted]))
    assert not any(box.contains(*point) for point in points)


@pytest.mark.parametrize(("laws_hold", "said"), [(True, "3,300"), (False, "3,340")])
def test_a_crossing_is_written_as_the_answer_writes_it(laws_hold: bool, said: str) -> None:
    shown = panel(crossings=(Crossing(3338.0, 1780.0, 3570.0, True),), laws_hold=laws_hold)
    (axes,) = draw(shown).axes
    assert said in [text.get_text() for text in axes.texts]


def test_shades_grow_lighter_all_the_way_in_both_themes() -> None:
    style = (Path(tippingpoint.__file__).parent / "report" / "style.css").read_text(encoding="utf-8")
    pairs = re.findall(r"--shade-\d: light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", style)
    assert [light for light, _ in pairs] == list(SHADES)
    weights = np.array([0.2126, 0.7152, 0.0722])
    for shades in zip(*pairs, strict=True):
        luminance = np.array([float(weights @ _linear(shade)) for shade in shades])
        assert (np.diff(luminance) > 0).all()
    ink = float(weights @ _linear("#e9edf2"))  # of lines and words over the dark theme's shades
    assert (ink + 0.05) / (luminance[-1] + 0.05) >= 3


@pytest.mark.parametrize("along", ["n_params", "n_pretrain"])
def test_no_run_of_a_law_lies_under_its_legend(analysis: Analysis, along: str) -> None:
    for shown in law_panels(analysis, along, "cross_entropy", "scratch"):
        figure = draw(shown, width=4.6, height=3.3)
        figure.canvas.draw()
        (axes,) = figure.axes
        box = axes.get_legend().get_window_extent()
        for item in shown.series:
            points = axes.transData.transform(np.column_stack([item.x, item.y]))
            assert not any(box.contains(*point) for point in points)


@pytest.mark.parametrize("value", [400.0, 14_000.0])
def test_the_words_at_a_tipping_point_take_no_room_from_the_figure(analysis: Analysis, value: float) -> None:
    assert analysis.primary is not None
    shown = concept_panel(analysis.frame, analysis.primary)
    assert shown is not None
    figure = draw(shown._replace(crossings=(Crossing(value, value / 2, value * 2, True),)), width=6.4, height=3.7)
    figure.canvas.draw()
    (axes,) = figure.axes
    (text,) = (one for one in axes.texts if one.get_text().startswith("tipping point"))
    box = text.get_window_extent()
    assert box.x0 >= axes.bbox.x0
    assert box.x1 <= axes.bbox.x1


def test_the_words_at_a_late_tipping_point_lie_above_the_curves(analysis: Analysis) -> None:
    """Curves that fall to a crossing at the right stand left of it at the height where its words used to be."""
    assert analysis.primary is not None
    shown = concept_panel(analysis.frame, analysis.primary)
    assert shown is not None
    at = float(np.sqrt(shown.sizes[-2] * shown.sizes[-1]))
    falling = {"first": 0.1 + 2 * shown.x**-0.3, "second": 0.12 + 1.8 * shown.x**-0.3}
    means = {f"{name}_means": np.interp(shown.sizes, shown.x, curve) for name, curve in falling.items()}
    crossing = Crossing(at, at / 1.1, at * 1.1, True)
    figure = draw(shown._replace(crossings=(crossing,), **falling, **means), width=6.4, height=3.7)
    figure.canvas.draw()
    (axes,) = figure.axes
    (text,) = (one for one in axes.texts if one.get_text().startswith("tipping point"))
    for curve in falling.values():
        points = axes.transData.transform(np.column_stack([shown.x, curve]))
        assert not any(text.get_window_extent().contains(*point) for point in points)
