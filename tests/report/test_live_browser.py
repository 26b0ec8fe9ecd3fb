"""The live page in a real browser: three widths, both themes, hostile words, and a study followed to its end.

Needs Playwright and a Chromium (its own or the system's); axe-core comes with ``axe-playwright-python`` where that is
installed. What is missing is said, and its tests are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from live_study import KEYS, at_work, publish, tell

from tippingpoint.report.live import LiveServer

EVIL = "\"><script>window.hacked=1</script><img src=x onerror=window.hacked=1>'</script><svg onload=window.hacked=1>"
STUBS = Path(__file__).parents[1] / "study"
STUDY = """\
schema_version: 1
name: followed
upstream: toys[0-4]
downstream: [beans]
image: {size: 8, channels: 1}
model: {patch_size: 4, depth: 2, head_dim: 4}
n_pretrain: [100, 400]
n_finetune: [20, 50]
recipes:
  scratch: {students: [1, 2]}
  distilled: {pairs: [{teacher: 1, student: 2}], label_weight: 0.5}
seeds: 2
pretraining: {batch_size: 32, learning_rate: 2e-3, length: {epochs: 2, min_steps: 10}}
finetuning: {batch_size: 16, learning_rate: 5e-4, length: {steps: 20}}
"""


class Watched(NamedTuple):
    """A page, and what it should never have done."""

    page: Any
    faults: list[str]


@contextlib.contextmanager
def watched(browser: Any, url: str, **more: Any) -> Iterator[Watched]:
    """Open a page; it may say nothing on the console, ask nobody else and open no dialog."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **more})
    page, faults = context.new_page(), []
    page.on("console", lambda said: faults.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith(url) or faults.append(request.url))
    page.goto(url)
    page.wait_for_selector("html[data-ready=yes]")
    yield Watched(page, faults)
    context.close()
    assert faults == []


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (360, "dark"), (800, "light"), (1200, "dark")])
def test_every_width_and_theme(
    browser: Any, serve: Callable[..., LiveServer], tmp_path: Path, width: int, theme: str
) -> None:
    server = serve(publish(tmp_path, label="a cell with quite a long name and aWordThatHasNoEnd" + "x" * 90))
    with watched(browser, server.url, viewport={"width": width, "height": 900}, color_scheme=theme) as (page, _):
        page.wait_for_selector("#curves svg")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        page.locator(".failures button").click()
        page.wait_for_selector(".failures pre:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colours = page.eval_on_selector(
            "section", "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
        )
        ink, paper = (sum(int(part) for part in text[4:-1].split(",")) for text in colours)
        assert (ink > paper) == (theme == "dark")
        assert page.locator("#progress-title").inner_text() == (
            "2 of 6 cells are done, 1 failed, about 1 min 15 s left."
        )
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_hostile_strings_run_nothing(browser: Any, serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    root = publish(tmp_path / "<img src=x onerror=window.hacked=1>", name=EVIL, label=EVIL, notes=[EVIL])
    (root / "progress.json").write_text("{", encoding="utf-8")
    server = serve(root)
    server.study.answering.html = f'<div class="hero">{EVIL}<img src="https://example.com/x.png"></div>'
    server.study.answering.version = 1
    with watched(browser, server.url) as (page, faults):
        page.wait_for_selector("#results svg")
        page.locator(".failures button").click()
        page.wait_for_selector(".failures pre:not([hidden])")
        assert EVIL in page.locator(".failures pre").inner_text()
        assert EVIL in page.locator(".failures").inner_text()
        page.wait_for_selector("#answer-body .hero")  # even markup would not run: the page's policy forbids it
        publish(root, state=EVIL, name=EVIL, label=EVIL, notes=[EVIL])
        sync.expect(page.locator("#name")).to_have_text(EVIL)
        sync.expect(page.locator("#state")).to_have_text(EVIL[:39] + "…")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == page.locator("#answer-body img").count()  # nothing became markup
        assert page.locator("script").count() == 1 + page.locator("#answer-body script").count()
        policy = [text for text in faults if "Content Security Policy" in text or "example.com" in text]
        assert policy
        faults.clear()


def test_a_chart_draws_what_has_a_size_and_the_table_holds_all(
    browser: Any, serve: Callable[..., LiveServer], tmp_path: Path
) -> None:
    root = publish(tmp_path)
    with (root / "runs.csv").open("a", encoding="utf-8") as stream:
        stream.write("no_pretraining,pretrained,toys a cell,,heads=4,0.77\n")
    with watched(browser, serve(root).url) as (page, _):
        page.wait_for_selector("#results .plot > svg")
        assert page.locator("#results .legend li").all_inner_texts() == [
            "scratch, heads=4 a cell",
            "a cell, heads=4 a cell",
        ]
        assert "Without pretraining images, so only among the numbers: no_pretraining, heads=4." in (
            page.locator("#results").inner_text()
        )
        page.locator("#results summary").click()
        assert [row.split("\t") for row in page.locator("#results tr").all_inner_texts()] == [
            ["model", "none", "10", "20", "40"],
            ["scratch, heads=4 a cell", "–", "0.1", "0.05", "0.025"],
            ["a cell, heads=4 a cell", "–", "0.2", "0.15", "0.125"],
            ["no_pretraining, heads=4", "0.77", "–", "–", "–"],
        ]
        looks = page.eval_on_selector_all(
            "#curves .legend line, #results .legend line",
            "all => all.map(e => getComputedStyle(e).stroke + getComputedStyle(e).strokeDasharray)",
        )
        assert len(set(looks)) == 2


def test_cells_at_work_move_on_and_stay_where_they_are(
    browser: Any, serve: Callable[..., LiveServer], tmp_path: Path
) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    root = publish(tmp_path)
    features = {**at_work(KEYS[1], label="features", done=0), "stage": None}
    tell(root, at_work(KEYS[0], label="first"), features, run="there-0-1-2-0")
    with watched(browser, serve(root).url) as (page, _):
        lines = page.locator("#running li")
        assert page.locator("#running summary").inner_text() == "Running now: 3 cells"
        assert lines.all_inner_texts() == ["a cell 2\nstep 120 of 400", "first\nstep 120 of 400", "features\nbegins"]
        bar = page.get_by_role("progressbar", name="Steps of first")
        assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("120", "400")
        page.wait_for_selector("#curves .plot > svg")
        assert page.locator("#curves .plot > svg").get_attribute("aria-label") == (
            "Pretraining: training loss over steps, 3 lines, 2 of them still running."
        )
        assert page.locator("#curves .legend li").all_inner_texts() == [
            "a cell, heads=4, 40 pretraining images",
            "a cell 2, still running",
            "first, still running",
        ]
        dots = "#curves .plot > svg circle, #curves .legend circle"
        assert page.locator(dots).count() == 4, "a dot ends what is still running"
        page.locator("#curves summary").click()
        region = page.locator("#curves .scroll")
        region.focus()
        page.evaluate("window.kept = document.querySelectorAll('#running li')[1]")
        tell(root, at_work(KEYS[0], label="first", done=300), run="there-0-1-2-0")
        sync.expect(lines).to_have_count(2)
        assert lines.nth(1).inner_text() == "first\nstep 300 of 400"
        assert page.evaluate("window.kept === document.querySelectorAll('#running li')[1]"), "it is not made anew"
        sync.expect(region.locator("tr").last).to_contain_text("300")
        assert [row.split("\t") for row in region.locator("tr").all_inner_texts()] == [
            ["training", "state", "step", "training loss"],
            ["a cell, heads=4, 40 pretraining images", "finished", "399", "0.005"],
            ["a cell 2", "still running", "120", "0.2739"],
            ["first", "still running", "300", "0.1732"],
        ]
        assert page.evaluate("document.activeElement === document.querySelector('#curves .scroll')")
        publish(root, state="done")
        sync.expect(page.locator("#running")).to_be_hidden()
        sync.expect(page.locator("#curves .legend li")).to_have_count(1)


def test_the_page_follows_a_training(browser: Any, serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    """Real workers: the steps and the curve of a cell come while it trains, and end when the run is interrupted."""
    sync = pytest.importorskip("playwright.sync_api")
    text, root = tmp_path / "study.yaml", tmp_path / "run"
    text.write_text(STUDY, encoding="utf-8")
    run = subprocess.Popen(
        [sys.executable, str(STUBS / "driver.py"), str(text), str(root)],
        env={**os.environ, "PYTHONPATH": str(STUBS), "STUB_SLEEP": "6"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + 60
        while not list((root / "running").glob("*.json")):
            assert run.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        with watched(browser, serve(root).url) as (page, _):
            bar = page.locator("#running progress").first
            sync.expect(bar).to_have_attribute("max", "4", timeout=30_000)
            for step in (2, 3):
                page.wait_for_function("n => document.querySelector('#running progress')?.value >= n", arg=step)
            going = page.locator("#curves .legend li", has_text=", still running")
            sync.expect(going.first).to_be_visible(timeout=30_000)
            done = page.locator("#curves .legend li").filter(has_not_text="still running")
            sync.expect(done.first).to_be_visible(timeout=60_000)
            assert not (root / "curves.jsonl").exists(), "it came before the run had ended"
            run.send_signal(signal.SIGINT)
            sync.expect(page.locator("#state")).to_have_text("interrupted", timeout=30_000)
            sync.expect(page.locator("#running")).to_be_hidden()
            sync.expect(going).to_have_count(0, timeout=30_000)
            assert done.count() >= 1
    finally:
        run.kill()
        run.communicate()


def test_an_answer_is_interim_unless_it_is_of_all_runs_of_a_study_that_is_done(
    browser: Any, serve: Callable[..., LiveServer], tmp_path: Path
) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    server = serve(publish(tmp_path, state="done"))
    answering = server.study.answering
    answering.html = '<div class="hero"><p class="kicker">The answer</p><h1>x</h1></div>'
    answering.sentence, answering.n_runs, answering.version = "It is so.", 5, 1
    with watched(browser, server.url) as (page, _):
        told, kicker = page.locator("#answer-state"), page.locator("#answer-body .kicker")
        sync.expect(told).to_contain_text("An interim answer, from 5 runs.")
        assert kicker.count() == 0
        assert page.locator("#answer-body h3").inner_text() == "It is so."
        answering.n_runs, answering.version = 6, 2
        sync.expect(told).to_contain_text("From all 6 runs.")
        assert kicker.count() == 1
        publish(tmp_path, state="interrupted")
        sync.expect(told).to_contain_text("An interim answer, from 6 runs.")


def test_a_server_that_stops_is_told_and_found_again(
    browser: Any, serve: Callable[..., LiveServer], tmp_path: Path
) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    server = serve(publish(tmp_path))
    with watched(browser, server.url) as (page, faults):
        page.route("**/state.json", lambda route: route.abort())
        said = page.locator("#faults li")
        sync.expect(said).to_contain_text("The server does not answer since", timeout=10_000)
        sync.expect(page.locator("#said")).to_contain_text("What stands here is from before.")
        assert page.locator("#progress-title").inner_text().startswith("2 of 6 cells are done")
        page.unroute("**/state.json")
        sync.expect(page.locator("#faults")).to_be_hidden(timeout=15_000)
        assert all("ERR_FAILED" in fault for fault in faults)
        faults.clear()


def test_the_page_follows_a_study_to_its_end(browser: Any, serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    text, root = tmp_path / "study.yaml", tmp_path / "run"
    text.write_text(STUDY, encoding="utf-8")
    words = {"PYTHONPATH": str(STUBS), "STUB_SLEEP": "0.4", "STUB_FAIL": '"n_images": 50'}
    run = subprocess.Popen(
        [sys.executable, str(STUBS / "driver.py"), str(text), str(root)],
        env={**os.environ, **words},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + 60
        while not (root / "progress.json").is_file():
            assert run.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        server = serve(root, answers=True, answer_every=1.0)
        with watched(browser, server.url) as (page, _):
            title, state = page.locator("#progress-title"), page.locator("#state")
            sync.expect(state).to_have_text("running")
            sync.expect(title).to_have_text(re.compile(r"^[1-9]\d* of \d+ cells are done.* left\.$"), timeout=30_000)
            page.wait_for_selector("#running li", timeout=30_000)
            page.wait_for_selector("#results svg", timeout=30_000)
            sync.expect(state).to_have_text("ended, some cells failed", timeout=90_000)
            counts = json.loads((root / "progress.json").read_text(encoding="utf-8"))["cells"]
            assert counts["failed"] + counts["done"] == counts["total"]
            assert title.inner_text() == (
                f"{counts['done']} of {counts['total']} cells are done, {counts['failed']} failed."
            )
            sync.expect(page.locator(".failures > li")).to_have_count(counts["failed"])
            button = page.locator(".failures button").first
            button.focus()
            page.keyboard.press("Enter")
            page.wait_for_selector(".failures pre:not([hidden])")
            assert "asked to fail at" in page.locator(".failures pre").first.inner_text()
            assert button.get_attribute("aria-expanded") == "true"
            sync.expect(page.locator("#said")).to_contain_text(f"{counts['failed']} failed")
            rows = len((root / "runs.csv").read_text(encoding="utf-8").splitlines()) - 1
            told = page.locator("#answer-state")
            sync.expect(told).to_contain_text(f"An interim answer, from {rows} runs", timeout=60_000)
            assert page.locator("#answer-body svg").count() == 1
            assert page.locator("#results-pick-title option").count() == 2
            assert page.locator("#curves-pick-title option").count() == 2
            assert "still running" not in page.locator("#curves").inner_text(), "nothing is at work any more"
    finally:
        run.kill()
        run.communicate()
