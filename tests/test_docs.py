"""The documentation says what the code does: generated pages are fresh, examples run, links and names exist."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tippingpoint
from tippingpoint.study.publish import COLUMNS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def test_the_study_reference_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "write_study_reference.py", "--check"], check=False)
    assert done.returncode == 0, "run: python tools/write_study_reference.py"


@pytest.mark.parametrize("page", ["theory.md", "boundary.md", "ecosystem.md"])
def test_the_examples_hold(page: str) -> None:
    results = doctest.testfile(str(DOCS / page), module_relative=False)
    assert results.attempted >= 10
    assert results.failed == 0


def test_every_column_and_schema_is_documented() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    table = text.partition("## `runs.csv`")[2].partition("## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == COLUMNS
    schemas = {path.name for path in (Path(tippingpoint.__file__).parent / "schemas").glob("*.json")}
    assert set(re.findall(r"`(\w+\.schema\.json)` \|", text)) == schemas


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        where = (page.parent / path).resolve() if path else page
        assert where.exists(), target
        if anchor and where.suffix == ".md":
            assert anchor in anchors(where), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_every_page_has_one_place_in_the_navigation() -> None:
    sys.path.insert(0, str(DOCS / "_extensions"))
    try:
        from navigation import parts
    finally:
        sys.path.pop(0)
    listed = parts((DOCS / "index.md").read_text(encoding="utf-8"))
    assert list(listed) == ["Tutorial", "How-to", "Reference", "Explanation"]
    names = [name for pages in listed.values() for name in pages]
    assert sorted(names) == sorted(str(page.relative_to(DOCS))[:-3] for page in PAGES if page.name != "index.md")


def test_every_public_name_is_in_the_reference() -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")}
    top = pages[DOCS / "reference" / "top.md"]
    told = re.findall(r"\{py:\w+\}`(\w+) <([\w.]+)>`", top)
    assert {name for name, _ in told} | {"__version__"} == set(tippingpoint.__all__)
    documented = set(re.findall(r"automodule:: ([\w.]+)", "\n".join(pages.values())))
    for name, path in told:
        room, _, last = path.rpartition(".")
        assert getattr(importlib.import_module(room), last) is getattr(tippingpoint, name), name
        assert room in documented, path
    rooms = {path.parent for path in Path(tippingpoint.__file__).parent.rglob("__init__.py")}
    public = {".".join(("tippingpoint", *room.relative_to(Path(tippingpoint.__file__).parent).parts)) for room in rooms}
    named = {name for name in public if getattr(importlib.import_module(name), "__all__", None)}
    assert named - documented <= {"tippingpoint", "tippingpoint.cli"}
