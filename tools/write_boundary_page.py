"""Write the output of the commands on docs/boundary.md anew, and its two pictures.

python tools/write_boundary_page.py
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import textwrap
from pathlib import Path

import tippingpoint as tp
from tippingpoint.cli import main
from tippingpoint.files import write_atomic

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "boundary.md"
BLOCK = re.compile(r"```sh\n(tippingpoint boundary .*?)\n```\n\n```\n(.*?)```", re.DOTALL)
WIDTH = 118


def printed(command: str) -> str:
    """Return what a command prints, long lines folded; a map's picture is saved beside it."""
    words = shlex.split(command)[1:]
    if "--map" in words:
        words += ["--out", f"phase_{words[words.index('--map') + 1]}.png"]
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = main(words)
    if code:
        raise SystemExit(f"{command}: exit code {code}")
    lines = [line for line in told.getvalue().splitlines() if not line.startswith("wrote ")]
    return "".join(f"{part}\n" for line in lines for part in folded(line))


def folded(line: str) -> list[str]:
    """Return a line in parts that fit the page."""
    if len(line) <= WIDTH:
        return [line]
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def write() -> None:
    """Run every command in a folder of its own, and write page and pictures."""
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tp.load_example().frame.to_csv("runs.csv", index=False)
        page = BLOCK.sub(lambda found: f"```sh\n{found[1]}\n```\n\n```\n{printed(found[1])}```", page)
        for picture in Path(folder).glob("phase_*.png"):
            write_atomic(DOCS / "images" / picture.name, picture.read_bytes())
        os.chdir(DOCS)
    write_atomic(PAGE, page)


if __name__ == "__main__":
    sys.exit(write())
