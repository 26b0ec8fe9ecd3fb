"""Figures as data (numbers), then drawn: the same bytes, no foreign markup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tippingpoint.errors import InputError
from tippingpoint.report import FIGURES, Analysis, analyse, save_figure
from tippingpoint.report.figures import draw, figure_bytes, panels_of
from tippingpoint.report.figures_data import (
    Crossing,
    DifferencePanel,
    difference_panel,
    law_panels,
    probability_panel,
    recipe_panel,
)
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


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_saved_with_the_same_bytes(analysis: Analysis, figure: str, tmp_path: Path) -> None:
    paths = [save_figure(analysis, figure, tmp_path / f"{place}.svg") for place in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"<text" not in paths[0].read_bytes()  # outlines: the file needs no font


def test_print_formats(analysis: Analysis, tmp_path: Path) -> None:
    assert save_figure(analysis, "difference", tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    content = save_figure(analysis, "difference", tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"CreationDate" not in content


def test_wrong_figure_and_format_are_told_together(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        save_figure(analysis, "pie", tmp_path / "a.bmp")
    assert len(caught.value.faults) == 2


def test_runs_that_do_not_allow_a_figure(analysis: Analysis, tmp_path: Path) -> None:
    empty = analysis._replace(primary=None)
    assert panels_of(empty, "difference") == []
    with pytest.raises(InputError, match="do not allow"):
        save_figure(empty, "difference", tmp_path / "a.png")


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
