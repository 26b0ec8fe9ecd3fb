"""The report in a real browser: it looks right at three widths in both themes, fetches nothing, and computes as Python.

Needs Playwright and a Chromium (its own or the system's); axe-core comes with ``axe-playwright-python`` where that is
installed. What is missing is said, and its tests are skipped.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.report import Analysis, analyse, page
from tippingpoint.report.planner import Plan, plans_of

WIDTHS = (360, 800, 1400)
THEMES = ("light", "dark")
EVIL = "\"><script>window.hacked=1</script><img src=x onerror=window.hacked=1>'--></script><svg onload=window.hacked=1>"
FAR = "https://example.com/x.png"


@pytest.fixture(scope="module")
def analysis(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> Analysis:
    frame = make_runs(blocks=3, sizes=(250, 1000, 4000, 16000))
    few = frame["recipe"].isin(["scratch", "distilled"]) & (frame["n_params"] < 200_000)
    return analyse(frame[few & (frame["downstream"] != "digits")], endpoint, resamples=20)


@pytest.fixture(scope="module")
def plan(analysis: Analysis) -> Plan:
    return plans_of(analysis)[0]


@pytest.fixture(scope="module")
def report(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(analysis), encoding="utf-8")
    return path


class Watched:
    """A page that remembers what it should never have done."""

    def __init__(self, browser: Any, path: Path, **more: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **more})
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda said: self.faults.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: request.url != path.as_uri() and self.faults.append(request.url))
        self.page.goto(path.as_uri())

    def ready(self) -> Any:
        self.page.wait_for_selector("html[data-ready=yes]")
        return self.page


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Return what opens a page; afterwards no page may have a fault."""
    watched: list[Watched] = []

    def open_page(path: Path, **more: Any) -> Watched:
        watched.append(Watched(browser, path, **more))
        return watched[-1]

    yield open_page
    for one in watched:
        faults = one.faults
        one.context.close()
        assert faults == []


def values(page: Any) -> list[dict[str, Any]]:
    """Return the numbers of the advice as the page holds them."""
    found: list[dict[str, Any]] = page.eval_on_selector_all(
        "#plan-rows tr",
        "rows => rows.map(row => ({name: row.cells[0].textContent, "
        "numbers: [...row.querySelectorAll('data')].map(one => Number(one.value))}))",
    )
    return found


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_width_and_theme(opened: Callable[..., Watched], report: Path, width: int, theme: str) -> None:
    shown = opened(report, viewport={"width": width, "height": 900}, color_scheme=theme).ready()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    head = shown.locator("h1").bounding_box()
    figure = shown.locator("#answer svg").bounding_box()
    assert head["y"] + head["height"] < 900  # the answer and the figure that shows it are on the first screen
    assert figure["y"] < (800 if width < 700 else 500)
    assert figure["x"] >= 0
    assert figure["x"] + figure["width"] <= width
    ink, paper = shown.eval_on_selector(
        "section", "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    dark = [sum(int(part) for part in text[4:-1].split(",")) for text in (ink, paper)]
    assert (dark[0] > dark[1]) == (theme == "dark")
    shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    smallest = shown.eval_on_selector_all(
        "main svg text",
        "all => Math.min(...all.map(e => [parseFloat(getComputedStyle(e).fontSize), e.getScreenCTM()])"
        ".map(([size, at]) => size * Math.hypot(at.a, at.b)))",
    )
    assert smallest >= 7


def test_the_theme_is_chosen_and_kept(opened: Callable[..., Watched], report: Path) -> None:
    shown = opened(report, color_scheme="light").ready()
    paper = "getComputedStyle(document.body).backgroundColor"
    light = shown.evaluate(paper)
    shown.locator("#theme").click()
    assert shown.evaluate(paper) != light
    assert shown.locator("#theme").inner_text() == "Theme: dark"
    shown.locator("#theme").click()
    shown.emulate_media(color_scheme="dark")
    assert shown.evaluate(paper) == light  # chosen, whatever the system says


def test_nothing_serious_for_those_who_use_aids(opened: Callable[..., Watched], report: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    for theme in THEMES:
        shown = opened(report, color_scheme=theme).ready()
        shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = axe.Axe().run(shown).response["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_hostile_strings_run_nothing(
    opened: Callable[..., Watched], analysis: Analysis, endpoint: dict[str, Any], tmp_path: Path
) -> None:
    frame = analysis.frame[(analysis.frame["seed"] < 2) & (analysis.frame["n_finetune"] != 100)].copy()
    for name in ("upstream", "downstream", "scored_on", "teacher", "pretrain_id"):
        frame[name] = frame[name].map(lambda value: f"{EVIL}{value}" if isinstance(value, str) else value)
    frame.loc[frame.index[-1], "recipe"] = EVIL
    frame["student"] = FAR
    frame[EVIL] = np.arange(len(frame))
    asked = {**endpoint, "upstream": f"{EVIL}{endpoint['upstream']}", "teacher": f"{EVIL}heads=2"}
    found = analyse(frame, asked, resamples=5)
    assert found.declared
    path = tmp_path / "evil.html"
    told = found.published._replace(state=EVIL, cells={EVIL: 1}, kinds=((EVIL, EVIL, 1, 1.0),))
    text = page(found._replace(name=EVIL, source=EVIL, notes=(EVIL,), published=told))
    path.write_text(text, encoding="utf-8")
    shown = opened(path).ready()
    shown.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    shown.locator("#runs-search").fill(EVIL)
    shown.locator("#answer svg").focus()
    for _ in range(3):
        shown.keyboard.press("ArrowRight")
    assert shown.locator("#tip").is_visible()
    assert shown.evaluate("window.hacked") is None
    assert shown.locator("img, iframe, object, embed, link").count() == 0
    assert shown.locator("script:not([type])").count() == 1
    assert EVIL in shown.locator("header").inner_text()


def test_a_foreign_script_or_address_is_refused(opened: Callable[..., Watched], report: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.html"
    text = report.read_text(encoding="utf-8")
    path.write_text(text.replace("<main", f"<script>window.hacked=1</script><img src='{FAR}'><main"), encoding="utf-8")
    watched = opened(path)
    shown = watched.ready()
    assert shown.evaluate("window.hacked") is None
    assert shown.evaluate("document.querySelector('img').naturalWidth") == 0
    told, watched.faults = watched.faults, []
    assert sum("Content Security Policy" in text for text in told) == 2
    assert shown.evaluate("performance.getEntriesByType('resource').map(one => one.transferSize)") in ([], [0])


def test_the_sliders_give_the_numbers_of_python(opened: Callable[..., Watched], report: Path, plan: Plan) -> None:
    shown = opened(report).ready()
    assert shown.locator("#plan-n-pretrain").input_value() == f"{plan.middle['n_pretrain']:.0f}"
    sizes, prices = dict(plan.middle), {"image": 0.0, "label": 0.0, "gpu_hour": 0.0}
    check(shown, plan, sizes, prices)
    moves = [("n-pretrain", "123456"), ("n-finetune", "37"), ("image", "0.013"), ("label", "0.7"), ("gpu-hour", "2.5")]
    moves += [("n-pretrain", text) for text in ("60", "700", "2000", "9000")]  # every piece of the cost's broken line
    for name, text in moves:
        shown.locator(f"#plan-{name}").fill(text)
        key = name.replace("-", "_")
        (sizes if key in sizes else prices)[key] = float(text)
        check(shown, plan, sizes, prices)
    for size in plan.levels["n_params"]:
        shown.locator("#plan-n-params").select_option(str(int(size)))
        sizes["n_params"] = size
        check(shown, plan, sizes, prices)
    random = np.random.default_rng(3)
    for name in ("n-pretrain", "n-finetune", "image", "label", "gpu-hour"):  # the sliders themselves
        shown.locator(f"#plan-{name}-slider").fill(str(random.integers(1, 600)))
        key = name.replace("-", "_")
        (sizes if key in sizes else prices)[key] = float(shown.locator(f"#plan-{name}").input_value())
        check(shown, plan, sizes, prices)
    before = sizes["n_pretrain"]
    shown.locator("#plan-n-pretrain-slider").focus()
    shown.keyboard.press("ArrowRight")
    assert float(shown.locator("#plan-n-pretrain").input_value()) > before


def check(shown: Any, plan: Plan, sizes: dict[str, float], prices: dict[str, float]) -> None:
    """Hold every number of the page against Python's."""
    expected = {
        offer.name: (
            offer.value,
            offer.low,
            offer.high,
            offer.chance,
            offer.cost,
            offer.images,
            offer.labels,
            offer.compute,
        )
        for offer in plan.at(sizes, prices)
    }
    found = {row["name"]: row["numbers"] for row in values(shown)}
    assert list(found) == sorted(expected, key=lambda name: expected[name][0])
    for name, numbers in found.items():
        np.testing.assert_allclose(numbers, expected[name], rtol=1e-6, atol=1e-12)


def test_many_recipes_differ_in_their_lines_and_one_size_has_no_slider(
    opened: Callable[..., Watched], analysis: Analysis, tmp_path: Path
) -> None:
    frame = analysis.frame[analysis.frame["n_finetune"].isna() | (analysis.frame["n_finetune"] == 100)]
    guided = frame[frame["recipe"] == "distilled"]
    more = [guided.assign(recipe=f"variant {place}", error=guided["error"] + place / 100) for place in range(5)]
    table = pd.concat([frame, *more], ignore_index=True)
    path = tmp_path / "many.html"
    path.write_text(page(analysis._replace(frame=table, maps=())), encoding="utf-8")
    shown = opened(path).ready()
    lines = shown.eval_on_selector_all(
        "#plan-rows path", "all => all.map(one => [one.getAttribute('stroke'), one.getAttribute('stroke-dasharray')])"
    )
    assert len(lines) == len({tuple(line) for line in lines}) == 7
    assert shown.locator("#plan-n-finetune").count() == 0
    assert shown.locator("#plan-label").count() == 1
    told = shown.locator("#plan-more").inner_text()
    assert "All runs have 100 fine-tuning images: they do not tell what others would bring." in told
    assert "Twice the pretraining images" in told
    assert "Twice the fine-tuning images" not in told


@pytest.mark.parametrize(("images", "errors"), [(1, 1), (187_500, 1e-5), (1, 1e-3)])
def test_the_ticks_of_the_advice_are_whole_and_differ(
    opened: Callable[..., Watched], analysis: Analysis, tmp_path: Path, images: float, errors: float
) -> None:
    frame = analysis.frame[analysis.frame["recipe"].isin(["scratch", "distilled"])]
    near = 0.9 if errors == 1e-3 else 0.0  # error near chance: ticks differ in their third digit only
    frame = frame.assign(n_pretrain=frame["n_pretrain"] * images, error=near + frame["error"] * errors)
    path = tmp_path / "ticks.html"
    path.write_text(page(analysis._replace(frame=frame, maps=())), encoding="utf-8")
    shown = opened(path, viewport={"width": 360, "height": 900}).ready()
    ticks = shown.eval_on_selector_all(
        "#plan-chart text",
        """all => all.map(one => {
          const [own, chart] = [one.getBoundingClientRect(), one.closest('svg').getBoundingClientRect()];
          return {text: one.textContent, left: own.left - chart.left, right: own.right - chart.right, x: own.left,
                  end: own.right};
        })""",
    )
    values = [tick["text"] for tick in ticks[:5]]
    assert len(set(values)) == len(values) == 5
    assert all(tick["left"] >= 0 and tick["right"] <= 0 for tick in ticks)
    sizes = sorted(ticks[5:-1], key=lambda tick: tick["x"])
    assert sizes
    assert all(a["end"] < b["x"] for a, b in itertools.pairwise(sizes))


def test_a_point_tells_its_runs(opened: Callable[..., Watched], report: Path, analysis: Analysis) -> None:
    shown = opened(report).ready()
    mark = shown.locator("#laws use[data-runs]").first
    mark.scroll_into_view_if_needed()
    row = analysis.frame.loc[int(mark.get_attribute("data-runs"))]
    box = mark.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = shown.locator("#tip").inner_text()
    assert "One run" in told
    assert f"{row['n_pretrain']:.0f}" in told
    assert row["recipe"] in told
    shown.mouse.move(2, 2)
    assert not shown.locator("#tip").is_visible()
    shown.locator("#answer svg").focus()
    shown.keyboard.press("ArrowRight")
    rows = analysis.frame
    least = rows[(rows["stage"] == "pretrained") & (rows["n_params"] == 51_000) & (rows["n_pretrain"] == 250)]
    first = least[(least["recipe"] == "scratch") & (least["seed"] == 0)]["cross_entropy"].item()
    said = shown.locator("#said").inner_text()
    assert said.startswith(f"6 runs: cross_entropy. scratch, block 0·0 {first:.4g}; ")
    shown.keyboard.press("Escape")
    assert not shown.locator("#tip").is_visible()


@pytest.mark.parametrize("theme", THEMES)
def test_a_point_of_the_map_tells_its_runs(
    opened: Callable[..., Watched], report: Path, analysis: Analysis, theme: str
) -> None:
    shown = opened(report, color_scheme=theme).ready()
    mark = shown.locator("#axes use[data-runs]").first
    mark.scroll_into_view_if_needed()
    places = [int(place) for place in mark.get_attribute("data-runs").split()]
    box = mark.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = shown.locator("#tip").inner_text()
    assert told.startswith(f"{len(places)} runs: cross_entropy")
    for value in analysis.frame.loc[places, "cross_entropy"]:
        assert f"{value:.4g}" in told
    shown.locator("#axes svg").first.focus()
    shown.keyboard.press("ArrowRight")
    assert "runs: cross_entropy" in shown.locator("#said").inner_text()
    fills = shown.eval_on_selector_all(
        "#axes svg path", "paths => paths.map(one => getComputedStyle(one).fill).filter(fill => fill.startsWith('rgb'))"
    )
    lightest = {"light": "rgb(247, 231, 207)", "dark": "rgb(161, 110, 39)"}
    assert (lightest[theme] in fills, lightest["dark" if theme == "light" else "light"] in fills) == (True, False)


def test_on_a_phone_the_box_leaves_the_point_in_sight(opened: Callable[..., Watched], report: Path) -> None:
    shown = opened(report, viewport={"width": 360, "height": 760}).ready()
    for place in (0, 3):
        mark = shown.locator("#compared use[data-runs]").nth(place)
        for block in ("start", "end"):  # the point at the head of the screen, and at its foot
            mark.evaluate("(one, block) => one.scrollIntoView({ block })", block)
            spot = mark.bounding_box()
            shown.mouse.move(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2)
            shown.wait_for_selector("#tip:not([hidden])")
            box = shown.locator("#tip").bounding_box()
            assert spot["y"] + spot["height"] <= box["y"] or box["y"] + box["height"] <= spot["y"]
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 760
            shown.mouse.move(2, 2)


def test_the_table_is_searched_sorted_and_downloaded(
    opened: Callable[..., Watched], report: Path, analysis: Analysis
) -> None:
    shown = opened(report).ready()
    shown.locator("#data summary").click()
    shown.locator("#runs-search").fill("Distilled pretrained")
    frame = analysis.frame
    wanted = frame[(frame["recipe"] == "distilled") & (frame["stage"] == "pretrained")]
    assert shown.locator("#runs-view [role=status]").inner_text() == f"{len(wanted)} of {len(frame)} runs"
    errors = "#runs-view tbody td:nth-child({})"
    heads = shown.locator("#runs-view th").all_inner_texts()
    column = errors.format(1 + heads.index("error"))
    for ascending in (True, False):
        shown.locator("#runs-view th button").nth(heads.index("error")).click()
        drawn = shown.eval_on_selector_all(column, "cells => cells.map(cell => Number(cell.title))")
        expected = wanted["error"].sort_values(ascending=ascending).to_list()[: len(drawn)]
        np.testing.assert_allclose(drawn, expected, rtol=1e-12)
    with shown.expect_download() as told:
        shown.locator("#runs-file").click()
    assert told.value.suggested_filename == "runs.csv"
    back = pd.read_csv(told.value.path())
    pd.testing.assert_frame_equal(back, frame, check_dtype=False, check_exact=True)


def test_ten_thousand_runs_open_at_once_and_scroll(
    opened: Callable[..., Watched], analysis: Analysis, tmp_path: Path
) -> None:
    frame = analysis.frame
    many = pd.concat([frame] * (10_000 // len(frame) + 1), ignore_index=True).head(10_000)
    random = np.random.default_rng(0)
    for name in ("error", "cross_entropy", "cross_entropy_calibrated", "wall_s"):
        many[name] *= random.uniform(0.9, 1.1, len(many))
    many["pretrain_id"] = [f"{number:012x}" for number in random.integers(0, 2**40, len(many))]
    many["seed"] = many["subset_seed"] = np.arange(len(many)) // len(frame)
    path = tmp_path / "many.html"
    path.write_text(page(analysis._replace(frame=many)), encoding="utf-8")
    assert path.stat().st_size <= 1_500_000
    started = time.perf_counter()
    shown = opened(path).ready()
    assert time.perf_counter() - started <= 3
    shown.locator("#data summary").click()
    shown.eval_on_selector(".runs", "frame => { frame.scrollTop = frame.scrollHeight; }")
    shown.wait_for_selector("tr[aria-rowindex='10001']")
    assert shown.locator("#runs-view tbody tr").count() < 60


def test_a_page_without_its_table_still_works(
    opened: Callable[..., Watched], analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tippingpoint.report.html.LARGEST", 0)
    path = tmp_path / "short.html"
    path.write_text(page(analysis), encoding="utf-8")
    shown = opened(path).ready()
    assert shown.locator("#runs-file").count() == 0
    shown.locator("#data summary").click()
    assert shown.locator("#runs-view tbody tr").count() == 20
    assert len(values(shown)) == 2


def test_without_scripts_the_page_says_the_same(opened: Callable[..., Watched], report: Path, plan: Plan) -> None:
    shown = opened(report, java_script_enabled=False).page
    assert not shown.locator("#plan-controls").is_visible()
    assert not shown.locator("#theme").is_visible()
    best = min(plan.at(plan.middle), key=lambda offer: offer.value)
    assert shown.locator("#plan-rows th").first.inner_text() == best.name
    assert shown.locator("#runs-view tbody tr").count() == 20
    assert shown.locator("#runs-file").get_attribute("download") == "runs.csv.gz"


def test_the_page_is_printed(opened: Callable[..., Watched], report: Path) -> None:
    shown = opened(report, color_scheme="dark").ready()
    shown.emulate_media(media="print")
    assert shown.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor") == "rgb(255, 255, 255)"
    assert not shown.locator("nav").is_visible()
    shown.set_viewport_size({"width": 718, "height": 1000})  # A4 between margins of a centimetre
    first, second = (shown.locator("#compared figure").nth(place).bounding_box() for place in range(2))
    assert (first["y"], first["x"] < second["x"]) == (second["y"], True)  # beside each other, not a page each
    assert shown.evaluate("getComputedStyle(document.querySelector('#compared p, #axes p')).fontSize") == "12.6667px"
    assert shown.pdf().startswith(b"%PDF")
