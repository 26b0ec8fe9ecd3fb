"""The documentation says what the code does: generated pages are fresh, examples run, links and names exist."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tippingpoint
from tippingpoint.study.publish import COLUMNS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LATER: set[str] = set()
PAGES = sorted(DOCS.glob("*.md"))


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


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in re.findall(r"^#+ (.*)", text, re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in heads, target
        elif not target.startswith("http"):
            assert target in LATER or (DOCS / target.partition("#")[0]).exists(), target
