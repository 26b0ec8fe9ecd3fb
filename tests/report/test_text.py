"""Each regime in a sentence; no boundary is said as plainly as a boundary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tippingpoint.report.analysis import Finding
from tippingpoint.report.looks import Look
from tippingpoint.report.pairs import PairedSize, PairedTest, Pairs
from tippingpoint.report.text import (
    beyond_sentence,
    headline,
    laws_sentence,
    level_sentence,
    probability_sentence,
    regime_sentence,
    trend_sentence,
)


def finding(regime: str, crossings: list[tuple[float, Any, bool]], **more: Any) -> Finding:
    look = Look(("scratch", "distilled"), "n_pretrain", "pretrained", "error")
    test = PairedTest(-0.01, 0.002, -0.015, -0.005, 0.01, 4)
    sizes = tuple(PairedSize(size, 0.0, 0.0, 0.0, 0.0, 4) for size in (250.0, 16_000.0))
    boundary = SimpleNamespace(
        regime=regime,
        regime_global=more.pop("regime_global", regime),
        regime_probability=more.pop("regime_probability", {regime: 1.0}),
        laws_hold=more.pop("laws_hold", True),
        sentence="In error, measured without a law, distilled is better up to about 900. "
        "The fitted laws would cross at 5,000.",
        measured=(SimpleNamespace(value=900.0, interval=(800.0, 1100.0)),),
        crossings=[SimpleNamespace(value=v, interval=i, in_range=r) for v, i, r in crossings],
    )
    return Finding(look, Pairs("n_pretrain", pd.DataFrame(), sizes, test, test, ()), boundary, "", 0.01, 0.01)  # type: ignore[arg-type]


def test_where_the_laws_miss_the_runs_only_the_runs_speak() -> None:
    made = finding("below", [(5000, (4000, 6000), True)], laws_hold=False)
    assert regime_sentence(made).startswith("In error, measured without a law, distilled is better up to about 900.")
    assert laws_sentence(made) == "The fitted laws would cross at 5,000."
    assert probability_sentence(made) == beyond_sentence(made) == ""
    assert made.crossings == ((900.0, 800.0, 1100.0, True),)


@pytest.mark.parametrize(
    ("regime", "crossings", "said"),
    [
        ("below", [(1000, (800, 1300), True)], "distilled is better up to about 1,000 pretraining images"),
        ("above", [(1000, (800, None), True)], "distilled is better from about 1,000 pretraining images"),
        ("window", [(500, (400, 600), True), (2000, None, True)], "better only between about 500"),
        ("outside_window", [(500, (400, 600), True), (2000, None, True)], "distilled is worse between about 500"),
        ("always", [], "No boundary from 250 to 16,000"),
        ("never", [(99_000, (5e4, None), False)], "scratch is better at every size"),
        ("equal", [], "the two recipes are equal"),
    ],
)
def test_every_regime(regime: str, crossings: list[tuple[float, Any, bool]], said: str) -> None:
    assert said in regime_sentence(finding(regime, crossings))


def test_an_interval_open_above_is_said() -> None:
    assert "800 or more, open above" in regime_sentence(finding("above", [(1000, (800, None), True)]))


def test_how_sure_the_regime_is() -> None:
    text = probability_sentence(finding("below", [], regime_probability={"below": 0.8, "always": 0.2}))
    assert text == "80% of the draws of the laws agree; 20% say instead that distilled is better at every size."
    assert probability_sentence(finding("below", [])) == "All draws of the laws agree."


def test_what_no_run_supports_is_said_so() -> None:
    assert "which no run supports" in beyond_sentence(finding("below", [], regime_global="window"))
    assert beyond_sentence(finding("below", [])) == ""


def test_level_and_trend_name_the_better_recipe() -> None:
    told = finding("below", [])
    assert level_sentence(told).startswith("Averaged over the sizes, scratch is better by 1.0 percentage points")
    assert "away from distilled, towards scratch" in trend_sentence(told)
    weak = told._replace(level_p=0.5, trend_p=0.5)
    assert "does not stand out of the noise" in level_sentence(weak)
    assert "does not stand out of the noise" in trend_sentence(weak)


def test_why_there_is_no_boundary() -> None:
    told = finding("below", [])._replace(boundary=None, reason="Two sizes only.")
    assert regime_sentence(told) == "No boundary could be fitted for error: Two sizes only."


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((-0.01, 0.01), "But at no size do the runs alone tell the two apart: the differences are within their noise."),
        ((0.01, 0.02), "The runs alone, without a fitted law, establish no change of sides."),
        ((float("nan"), float("nan")), "The runs alone, without a fitted law, establish no change of sides."),
    ],
)
def test_a_crossing_of_the_laws_that_no_run_shows_is_not_left_alone(ends: tuple[float, float], said: str) -> None:
    made = finding("below", [(5000, (4000, 6000), True)])
    sizes = tuple(size._replace(low=ends[0], high=ends[1]) for size in made.pairs.sizes)
    assert made.boundary is not None
    made.boundary.measured = ()  # type: ignore[misc]
    found = SimpleNamespace(primary=made._replace(pairs=made.pairs._replace(sizes=sizes)), level=0.9)
    assert headline(found).endswith(f"above that scratch is better. {said}")  # type: ignore[arg-type]
