"""What a user sees on a terminal of 80 columns while a study runs."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from test_execute import AtOnce

from tippingpoint.study.display import LiveDisplay, PlainLines, Quiet, Snapshot, _panel, one_line
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study

COUNTS = {"done": 12, "running": 2, "todo": 57, "failed": 1, "blocked": 0}
RUNNING = (("scratch 1 heads 480 images block 0/0", 3, 30), ("distilled 2 heads -> digits[6-9] 40 block 1/1", 0, 6))


def shown(snapshot: Snapshot, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(_panel(snapshot))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_every_running_cell_has_a_line_of_its_own() -> None:
    """The bar of the whole ends its line, so that the first cell is not pushed off the screen."""
    lines = shown(Snapshot("smoke", "running", COUNTS, RUNNING, 125.0, 60.0))
    told = "smoke: 12/72 cells done, 2 running, 1 failed; 1 min 00 s so far, about 2 min 05 s left"
    assert " ".join(lines[:2]) == told
    assert set(lines[2]) <= {"━", "╸", "╺"}
    assert lines[3].startswith("  scratch 1 heads 480 images block 0/0 ")
    assert lines[3].endswith("3/30")
    assert lines[4].startswith("  distilled 2 heads -> digits")
    assert lines[4].endswith("0/6")
    assert len(lines) == 5
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("eta", "words"), [(None, "estimating the time left"), (59.0, "about 59 s left")])
def test_no_time_is_told_before_there_is_one(eta: float | None, words: str) -> None:
    assert one_line(Snapshot("s", "running", COUNTS, (), eta, 1.0)).endswith(words)


class Watch(Quiet):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def update(self, look: Callable[[], Snapshot]) -> None:
        self.seen.append(one_line(look()))


def test_a_run_of_some_cells_counts_those(
    load: Callable[..., Study], tmp_path: Path, environment: dict[str, str]
) -> None:
    """Else a run within a budget would seem to end half way."""
    study, watch = load(), Watch()
    keys = [list(build_grid(study).cells)[:1], []]
    slow = {**environment, "STUB_SLEEP": "0.5"}
    run_study(study, tmp_path / "s", workers=1, environment=slow, display=watch, choose=lambda: keys.pop(0))
    assert watch.seen[0].startswith("stub: 0/1 cells done, 1 running;")
    assert watch.seen[-1].startswith("stub: 1/1 cells done;")


class Terminal(io.StringIO):
    """A terminal that is closed one day; or the pipe of a reader that goes."""

    gone = False

    def write(self, text: str) -> int:
        if self.gone:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("display", [PlainLines, LiveDisplay])
def test_a_study_goes_on_where_nobody_watches_any_more(
    display: type[PlainLines | LiveDisplay], load: Callable[..., Study], study_text: str, tmp_path: Path
) -> None:
    stream = Terminal()
    watched = PlainLines(stream, every=0.0) if display is PlainLines else LiveDisplay(stream)
    stream.gone = True
    study = load(study_text, "seeds=1", "n_pretrain=[400]")
    assert run_study(study, tmp_path / "study", engine=AtOnce, display=watched).state == "done"
    watched.note("It is over.")
