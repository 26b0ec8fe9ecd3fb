"""The better recipe over two axes: the page shows the map as a figure and in numbers, or says why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.report import Analysis, analyse, page
from tippingpoint.report.canvas import SHADES
from tippingpoint.report.figures_phase import phase_panel
from tippingpoint.report.looks import look_frames
from tippingpoint.report.markup import safe
from tippingpoint.report.spots import runs_behind_map
from tippingpoint.report.two_axes import two_axes
from tippingpoint.report.words import percent

UPSTREAM = "fashion_mnist[0-5]"  # of the simulated study


@pytest.fixture(scope="module")
def frame(make_runs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    runs = make_runs(blocks=3, sizes=(250, 1000, 4000, 16000))
    return runs[runs["recipe"].isin(["scratch", "distilled"]) & (runs["downstream"] != "digits")]


@pytest.fixture(scope="module")
def analysis(frame: pd.DataFrame, endpoint: dict[str, Any]) -> Analysis:
    return analyse(frame, endpoint, resamples=40)


@pytest.fixture(scope="module")
def text(analysis: Analysis) -> str:
    return two_axes(analysis)


def test_a_map_is_found_for_each_other_axis(analysis: Analysis) -> None:
    assert [item.over for item in analysis.maps] == ["n_params", "n_finetune"]
    assert analysis.maps[0].look.stage == "pretrained"
    assert analysis.maps[1].look.stage == "finetuned"
    assert [len(item.found.slices) for item in analysis.maps if item.found is not None] == [2, 2]


def test_an_answer_while_a_study_runs_looks_for_none(frame: pd.DataFrame, endpoint: dict[str, Any]) -> None:
    assert analyse(frame, endpoint, resamples=20, primary_only=True).maps == ()


def test_the_section_shows_and_says_each_map(text: str, analysis: Analysis) -> None:
    labels = re.findall(r'<svg [^>]*aria-label="([^"]+)"', text)
    assert len(labels) == len(analysis.maps) == text.count("<table")
    for item, label in zip(analysis.maps, labels, strict=True):
        assert item.found is not None
        assert item.found.sentence in label
        assert f"<p>{safe(item.found.claims)}</p>" in text
    assert 'href="#axes"' in page(analysis)


def test_sizes_are_counted_as_people_say_them(analysis: Analysis) -> None:
    text = page(analysis)
    assert "No row for 13,200 parameters: only scratch was run" in text
    assert "from 200,000 parameters: RMSLE" in text
    assert not re.search(r"\d model size", text)


def test_its_colours_follow_the_theme(text: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.S))
    assert not any(shade in drawn.lower() for shade in SHADES)
    assert len(set(re.findall(r"var\(--shade-(\d)\)", drawn))) == len(SHADES)
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)


def test_the_table_has_the_chances_of_the_map(text: str, analysis: Analysis) -> None:
    for item, table in zip(analysis.maps, re.findall(r"<tbody>(.*?)</tbody>", text, re.S), strict=True):
        assert item.found is not None
        rows = [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)
        ]
        for one, row in zip(item.found.slices, rows, strict=True):
            assert row[0] == f"{one.size:,.0f}"
            pairs = item.found.paired_[item.found.paired_[item.over] == one.size]
            for cell, (_, pair) in zip(row[1:-2], pairs.sort_values("n_pretrain").iterrows(), strict=True):
                assert cell.endswith(" *") == bool(pair["established"])
                curve = one.boundary.curve_
                if one.boundary.laws_hold:
                    chance = np.interp(
                        np.log(pair["n_pretrain"]), np.log(curve["n_pretrain"]), curve["probability_helps"]
                    )
                    told = percent(float(np.clip(chance, 0.0125, 0.9875)))  # of 40 draws
                    assert cell.removesuffix(" *") == told
            assert ("none in range" in row[-2]) == (not one.crossings)


def test_each_point_knows_the_runs_behind_it(analysis: Analysis) -> None:
    for item in analysis.maps:
        assert item.found is not None
        panel = phase_panel(item.found)
        behind = runs_behind_map(panel, analysis.frame, item.look, item.over)["runs-0"]
        assert len(behind) == len(panel.measured) == 8
        both = pd.concat(look_frames(analysis.frame, item.look))
        for (over, along), places in zip(panel.measured, behind, strict=True):
            rows = analysis.frame.loc[[int(place) for place in places.split()]]
            assert set(rows["recipe"]) == set(item.look.recipes)
            assert (rows[item.over] == over).all()
            assert (rows["n_pretrain"] == along).all()
            assert len(rows) == ((both[item.over] == over) & (both["n_pretrain"] == along)).sum()


def test_every_point_that_is_drawn_carries_them(text: str) -> None:
    for drawn in re.findall(r"<svg.*?</svg>", text, re.S):
        assert len(re.findall(r"<use [^>]*data-runs=", drawn)) == 8


def test_runs_that_allow_none_get_one_plain_sentence(analysis: Analysis) -> None:
    said = two_axes(analysis._replace(maps=()))
    assert "<svg" not in said
    assert (
        "<p>No diagram over two axes: scratch and distilled were not both run at two sizes of another axis than "
        "pretraining images (model size (parameters) or fine-tuning images).</p>"
    ) in said
    assert two_axes(analysis._replace(primary=None, maps=())) == ""


def test_a_map_that_cannot_be_answered_says_why(analysis: Analysis) -> None:
    item = analysis.maps[0]._replace(found=None, reason="No size of n_params can be answered: <too few>.")
    assert "<p>No diagram: No size of n_params can be answered: &lt;too few&gt;.</p>" in two_axes(
        analysis._replace(maps=(item,))
    )


def test_one_model_and_one_stage_give_no_map(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> None:
    frame = make_runs(blocks=2, sizes=(250, 1000, 4000), finetuned=False)
    found = analyse(frame[frame["n_params"] <= 51_000], endpoint, resamples=10)
    assert found.maps == ()
    assert "No diagram over two axes" in page(found)


def test_faulty_sizes_are_told_and_not_thrown(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> None:
    frame = make_runs(blocks=1, sizes=(250, 1000), finetuned=False)  # too few sizes for any law
    found = analyse(frame, endpoint, resamples=5)
    assert [item.found for item in found.maps] == [None]
    assert found.maps[0].reason
    assert "No diagram: " in page(found)


def test_hostile_names_are_text_in_a_map(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>$x$'
    frame = make_runs(blocks=2, sizes=(250, 1000, 4000, 16000), finetuned=False)
    frame = frame.replace({"recipe": {"distilled": evil}, "teacher": {"heads=2": evil}, "upstream": {UPSTREAM: evil}})
    asked = {**endpoint, "recipes": ["scratch", evil], "teacher": evil, "upstream": evil}
    said = two_axes(analyse(frame, asked, resamples=10))
    assert said.count("<svg") == 1
    assert "<script" not in said
    assert "<img" not in said
    assert "&lt;script&gt;" in said
