"""What the tutorial and the how-tos tell to do works, and prints what stands there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
RUN = [sys.executable, str(ROOT / "tools" / "run_pages.py")]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    done = subprocess.run([*RUN, str(page)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_lies_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint('one')\n```\n\n```\ntwo\n```\n\n```python\n>>> 1 + 1\n3\n\n```\n\n"
        "```sh\ntippingpoint fit missing.csv\nrm -r everything\n```\n\n<!-- file: one.py -->\n```python\nX = 7\n```\n\n"
        "```python\nfrom one import X\n\nprint(X)\n```\n\n```\n7\n```\n",
        encoding="utf-8",
    )
    done = subprocess.run([*RUN, str(page)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "line 1: prints\none\n" in done.stdout
    assert "line 9: " in done.stdout
    assert "exit code 2: tippingpoint: missing.csv" in done.stdout
    assert "'rm -r everything'" in done.stdout
    assert "line 22" not in done.stdout, "what a page wrote into a file can be imported"
    subprocess.run([*RUN, "--write", str(page)], cwd=tmp_path, capture_output=True, check=False)
    assert "```python\nprint('one')\n```\n\n```\none\n```" in page.read_text(encoding="utf-8")
