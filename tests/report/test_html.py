"""The page: nothing foreign runs or is fetched, all of it is well formed, and it stays small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import secrets
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tippingpoint.report import Analysis, analyse, page, write_report
from tippingpoint.report.appendix import laws
from tippingpoint.report.markup import Html, safe, table
from tippingpoint.report.runs_section import _download

VOID = {"meta", "br", "link", "img"}
EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'--><svg onload=alert(3)>"


class Reader(HTMLParser):
    """Collect tags, attributes and text, and check that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def analysis(small_frame: pd.DataFrame, endpoint: dict[str, Any]) -> Analysis:
    return analyse(small_frame[small_frame["seed"] < 3], endpoint, resamples=30)


@pytest.fixture(scope="module")
def text(analysis: Analysis) -> str:
    return page(analysis)


def test_the_page_is_well_formed(text: str) -> None:
    reader = read(text)
    assert reader.faults == []
    assert reader.open == []
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert reader.tags.count("h1") == 1
    assert reader.tags.count("main") == 1


def test_nothing_is_fetched_and_no_foreign_script_runs(text: str) -> None:
    reader = read(text)
    assert not {"img", "iframe", "link", "object", "embed", "foreignobject"} & set(reader.tags)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="plans"', ""]
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in text  # this script and no other
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href"):
            assert value.startswith(("#", "data:application/gzip")), (tag, value[:80])
    assert "http://" not in text.replace('"http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert "https://" not in text
    assert "@import" not in text
    assert re.search(r"url\((?!#)", text) is None


def test_links_within_the_page_lead_somewhere(text: str) -> None:
    reader = read(text)
    ids = {value for _, name, value in reader.attributes if name == "id"}
    targets = {value[1:] for _, name, value in reader.attributes if name == "href" and value.startswith("#")}
    assert targets <= ids


def test_figures_are_described_and_tables_have_scopes(text: str) -> None:
    reader = read(text)
    labels = [value for tag, name, value in reader.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == reader.tags.count("svg") == reader.tags.count("figcaption") >= 4
    assert all(len(label) > 20 for label in labels)
    scopes = [value for tag, name, value in reader.attributes if tag == "th" and name == "scope"]
    assert len(scopes) == reader.tags.count("th")
    assert reader.tags.count("caption") == reader.tags.count("table")


def test_the_first_thing_said_is_the_answer(text: str) -> None:
    heading = re.search(r"<h1>(.*?)</h1>", text, re.S)
    assert heading is not None
    assert "distilled is better up to about" in heading[1]
    assert "90% interval" in heading[1]
    assert text.index("<h1>") < text.index("<svg") < text.index("Declared before the runs")


def test_the_first_screen_says_what_the_recipes_are(text: str) -> None:
    told = (
        "scratch (trained on labels alone) against distilled (guided by a teacher model): student of 51,000 parameters"
    )
    assert text.index("<h1>") < text.index(told) < text.index("Declared before the runs")


def test_of_cells_only_those_are_told_that_there_are(analysis: Analysis) -> None:
    published = analysis.published._replace(cells={"total": 9, "done": 8, "running": 0, "todo": 1, "failed": 0})
    assert "<dd>9 in all, 8 done and 1 to do</dd>" in page(analysis._replace(published=published))


def test_what_a_table_does_not_record_is_not_called_nothing(analysis: Analysis) -> None:
    costs = ["wall_s", "pretrain_flops", "teacher_flops", "finetune_flops", "train_flops"]
    assert "Cost by recipe" in page(analysis)
    text = page(analysis._replace(frame=analysis.frame.drop(columns=costs)))
    assert "<dt>Training time, all runs added</dt><dd>not recorded in this table</dd>" in text
    assert "Cost by recipe" not in text


def test_points_are_said_to_be_joined_where_no_law_is_drawn(small_frame: pd.DataFrame, text: str) -> None:
    assert "curves are the fitted laws." in text
    two = small_frame[(small_frame["seed"] < 2) & small_frame["n_pretrain"].isin([250, 4000])]
    few = page(analyse(two, resamples=5))
    assert "curves are the fitted laws." not in few
    assert "straight lines join them, no law could be fitted." in few


def test_figures_of_laws_that_are_left_out_are_counted(analysis: Analysis, text: str) -> None:
    assert "tippingpoint figures draws all" not in text
    assert analysis.primary is not None
    law = next(one for one in analysis.laws if one.target == analysis.primary.look.target and one.recipe == "scratch")
    drawn = str(laws(analysis._replace(laws=(law,) * 14, primary=None)))
    assert drawn.count("<svg") == 12
    assert re.search(r"<p>\d+ more figures of this kind would make the page too long", drawn)


def test_hostile_names_run_nothing(small_frame: pd.DataFrame, endpoint: dict[str, Any]) -> None:
    frame = small_frame[small_frame["seed"] < 2].copy()
    frame["upstream"] = EVIL
    frame["teacher"] = frame["teacher"].map(lambda name: f"{EVIL}{name}" if isinstance(name, str) else name)
    frame["scored_on"] = EVIL
    frame["recipe"] = frame["recipe"].replace("smoothed", EVIL)
    found = analyse(frame, {**endpoint, "upstream": EVIL, "teacher": f"{EVIL}heads=2"}, resamples=10)
    assert found.declared
    text = page(found._replace(name=EVIL, source=EVIL, notes=(EVIL,)))
    reader = read(text)
    assert reader.faults == []
    assert "img" not in reader.tags
    assert reader.tags.count("script") == 2
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in text


def test_the_download_holds_the_runs(text: str, analysis: Analysis) -> None:
    found = re.search(r'href="data:application/gzip;base64,([^"]+)"', text)
    assert found is not None
    csv = gzip.decompress(base64.b64decode(found[1]))
    assert b".0," not in csv  # whole numbers are whole, though some of their column are missing
    back = pd.read_csv(io.BytesIO(csv))
    pd.testing.assert_frame_equal(back, analysis.frame, check_dtype=False, check_exact=True)


def test_a_table_too_long_for_a_page_loses_columns_or_is_left_out(analysis: Analysis) -> None:
    frame = analysis.frame.assign(note=[secrets.token_hex(40) for _ in range(len(analysis.frame))])
    whole = _download(frame, 1_000_000)
    assert "main columns" not in whole
    part = _download(frame, len(whole) - 5000)
    assert "The page has the main columns" in part
    packed = re.search(r'base64,([^"]+)"', part)
    assert packed is not None
    back = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(packed[1]))))
    assert "note" not in back
    assert list(back["error"]) == list(frame["error"])
    assert "too large for this page" in _download(frame, 100)


def test_the_page_stays_small(text: str) -> None:
    assert len(text.encode()) < 1_000_000


def test_what_is_markup_passes_and_all_else_is_escaped() -> None:
    assert safe("<b>&\x07") == "&lt;b&gt;&amp;\ufffd"
    assert safe(Html("<b>")) == "<b>"
    shown = table(["<i>"], [["<b>", "<u>"]], '<caption "x">')
    assert "<b>" not in shown
    assert '<th scope="row">&lt;b&gt;</th><td>&lt;u&gt;</td>' in shown


def test_write_report(tmp_path: Path, small_frame: pd.DataFrame) -> None:
    source = tmp_path / "mine.csv"
    small_frame[(small_frame["seed"] < 2) & (small_frame["n_params"] == 51_000)].to_csv(source, index=False)
    written = write_report(source, resamples=5)
    assert written == tmp_path / "report.html"
    assert read(written.read_text(encoding="utf-8")).faults == []
    other = write_report(source, tmp_path / "deep" / "b.html", resamples=5)
    assert other.read_bytes() == written.read_bytes()
