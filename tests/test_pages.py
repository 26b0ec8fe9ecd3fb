"""What the tutorial and the how-tos tell to do works, and prints what stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from typer.main import get_command

from tippingpoint.cli import _build_app

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
RUN = [sys.executable, str(ROOT / "tools" / "run_pages.py")]
# Their commands train for hours or need other machines; that they exist, with their options, is held below.
TOO_LARGE = {"cluster.md", "cost.md", "studies.md"}
IN_DOCTESTS = {"theory.md", "ecosystem.md"}  # by test_docs.py, which has nothing but Python to run there
PAGES = [
    page
    for page in DOCS
    if page.name not in TOO_LARGE | IN_DOCTESTS
    and {"python", "sh"} & {kind for kind, _ in BLOCKS.findall(page.read_text(encoding="utf-8"))}
]


def commands(page: Path) -> list[str]:
    """Return the lines of a page that call tippingpoint in a block that is not run."""
    text = page.read_text(encoding="utf-8")
    known = ("console", "bash", "sh") if page.name in TOO_LARGE else ("console", "bash")
    blocks = [block for kind, block in BLOCKS.findall(text) if kind in known]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [line.removeprefix("$ ").removesuffix("&").strip() for line in lines]
    return [line for line in found if line.startswith("tippingpoint ")]


CALLS = [(page.name, line) for page in [*DOCS, ROOT / "README.md"] for line in commands(page)]


@pytest.mark.parametrize(("page", "line"), CALLS, ids=[f"{page}-{place}" for place, (page, _) in enumerate(CALLS)])
def test_a_command_that_is_only_told_exists_with_its_options(page: str, line: str) -> None:
    command, words = get_command(_build_app()), shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, f"{page}: {line}"
        command = found
    if not isinstance(command, click.Group):
        command.make_context("tippingpoint", words)  # raises where an option or an argument is unknown


def test_pages_with_something_to_run_are_run() -> None:
    assert {"tutorial.md", "own-table.md", "report.md", "models.md", "boundary.md"} <= {page.name for page in PAGES}
    assert len(CALLS) > 20


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
