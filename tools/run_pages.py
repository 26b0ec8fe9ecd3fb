"""Run what stands on pages of the documentation, and hold the output against the page.

``python tools/run_pages.py`` runs the tutorial, the glossary and the how-tos and tells what differs, with exit code 1;
``--write`` puts the output of this run into the pages instead. Only the named pages are run where any are named; the
tests name every page that has something to run.

What is run, in the order of the page: the blocks fenced ``python`` (as doctests where they show prompts) and ``sh``
(lines of ``tippingpoint``), in a directory that holds the example runs as ``runs.csv`` and nothing else. A block
without a language right below one of these is its output. A block after ``<!-- file: NAME -->`` is written into that
file. Blocks fenced otherwise (``console``, ``text``) are not run.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tippingpoint.cli import main as tippingpoint

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "src" / "tippingpoint" / "_data" / "standard_runs.csv"
BLOCK = re.compile(r"(?P<file><!-- file: (?P<name>\S+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
BELOW = re.compile(r"\s*^```\n(?P<text>.*?)^```$", re.M | re.S)
DECIMALS = re.compile(r"\d+\.\d+(e[-+]\d+)?")

# The tutorial's study trains for minutes: its commands are run on the preset that trains for seconds, and their
# output, which is another study's then, is not compared.
STAND_INS = {
    "tutorial.md": {
        "quickstart": "smoke",
        "53056": "1944",
        "14400": "960",
        "n_finetune=800": "n_finetune=80",
        "plan smoke --workers 2": "plan smoke --workers 1 --no-timing",
        "run smoke": "run smoke --workers 1",
    }
}


class Difference(NamedTuple):
    """An output that is not what the page says: where it stands in the page's text, and what was printed."""

    start: int
    end: int
    printed: str


def run_page(page: Path, write: bool = False) -> list[str]:
    """Run a page in a directory of its own; return what is wrong, one sentence each."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        shutil.copy(EXAMPLE, "runs.csv")
        faults, differences = _run_text(page.name, text)
    if write:
        for one in reversed(differences):
            text = text[: one.start] + one.printed.rstrip() + "\n" + text[one.end :]
        page.write_text(text, encoding="utf-8")
    return faults


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Work in a folder, and let Python import what a page writes there."""
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        os.chdir(before)


def _run_text(name: str, text: str) -> tuple[list[str], list[Difference]]:
    """Run the blocks of a page; return what is wrong, and the outputs that differ."""
    faults, differences = list[str](), list[Difference]()
    known: dict[str, object] = {"__name__": "__main__"}
    place = 0
    while block := BLOCK.search(text, place):
        place = block.end()
        if block["file"]:
            Path(block["name"]).write_text(block["text"], encoding="utf-8")
        elif block["kind"] in ("python", "sh"):
            where = f"{name}, line {text.count(chr(10), 0, block.start()) + 1}"
            printed, wrong = _run_block(block["kind"], _stand_in(name, block["text"]), known, where)
            faults += wrong
            below = BELOW.match(text, place)
            if below and name not in STAND_INS and _words(printed) != _words(below["text"]):
                faults.append(f"{where}: prints\n{printed}\nand the page says\n{below['text']}")
                differences.append(Difference(below.start("text"), below.end("text"), printed))
    return faults, differences


def _stand_in(name: str, code: str) -> str:
    """Return a block with what the small study has in place of the page's."""
    for word, other in STAND_INS.get(name, {}).items():
        code = code.replace(word, other)
    return code


def _run_block(kind: str, code: str, known: dict[str, object], where: str) -> tuple[str, list[str]]:
    """Run one block; return what it printed, and what is wrong."""
    if kind == "sh":
        return _run_lines(code, where)
    out = io.StringIO()
    if code.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(code, known, where, where, 0)
        failed = doctest.DocTestRunner(verbose=False).run(test, out=out.write, clear_globs=False).failed
        known |= test.globs
        return "", [f"{where}: {out.getvalue()}"] if failed else []
    with contextlib.redirect_stdout(out):
        exec(compile(code, where, "exec"), known)  # noqa: S102 - our own page, read from the repository
    return out.getvalue(), []


def _run_lines(code: str, where: str) -> tuple[str, list[str]]:
    """Run lines of the shell that call tippingpoint; return what they printed, and what is wrong."""
    out, told, faults = io.StringIO(), io.StringIO(), list[str]()
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] != "tippingpoint":
            faults.append(f"{where}: only lines of tippingpoint can be run here, not {line!r}; fence it as console.")
        elif words:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
                exit_code = tippingpoint(words[1:])
            if exit_code:
                faults.append(f"{where}: {line!r} ends with exit code {exit_code}: {told.getvalue()}")
    return out.getvalue(), faults


def _words(printed: str) -> list[str]:
    """Return the words of an output; the decimals of a fit may differ in the last place between machines."""
    return DECIMALS.sub("#", printed).split()


def main(arguments: list[str] | None = None) -> int:
    """Run the pages that were named, or all; return 1 where something is wrong."""
    parser = argparse.ArgumentParser(description="Run what stands on pages of the documentation.")
    parser.add_argument("pages", nargs="*", type=Path, help="pages; by default tutorial, glossary and how-tos")
    parser.add_argument("--write", action="store_true", help="put the output into the pages")
    asked = parser.parse_args(arguments)
    pages = [page.resolve() for page in asked.pages]
    pages = pages or [DOCS / "tutorial.md", DOCS / "glossary.md", *sorted((DOCS / "howto").glob("*.md"))]
    faults = [fault for page in pages for fault in run_page(page, asked.write)]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
