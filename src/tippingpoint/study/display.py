"""Who is told how a study goes: a live display on a terminal, a plain line now and then elsewhere, or nobody."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

__all__ = ["Display", "LiveDisplay", "PlainLines", "Quiet", "Snapshot", "duration", "make_display", "one_line"]

LINE_EVERY = 30.0  # seconds between two plain lines
DRAW_EVERY = 0.25  # seconds between two drawings of the live display
LONG = 4 * 86_400  # seconds; longer times are told in days


@dataclass(frozen=True)
class Snapshot:
    """How a study stands at one moment.

    Attributes
    ----------
    name, state : str
        The study and how it goes.
    counts : dict of str to int
        Cells by state.
    running : tuple of (str, int, int)
        Label, steps done, steps in all of each cell that trains now.
    eta_s : float or None
        Seconds until the end; None while it is too early to say.
    wall_s : float
        Seconds since this run began.
    left_out : int
        Cells to do that this run was not asked for; the others are the whole of its progress.
    """

    name: str
    state: str
    counts: dict[str, int]
    running: tuple[tuple[str, int, int], ...]
    eta_s: float | None
    wall_s: float
    left_out: int = 0

    @property
    def total(self) -> int:
        """Cells of this run."""
        return sum(self.counts.values()) - self.left_out


class Display(Protocol):
    """What a run needs of whoever shows it."""

    def update(self, look: Callable[[], Snapshot]) -> None:
        """Show how things stand; ``look`` is only called when something will be shown."""
        ...

    def note(self, text: str) -> None:
        """Show one sentence that stays."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


def duration(seconds: float) -> str:
    """Return ``45 s``, ``3 min 20 s``, ``2 h 05 min`` or ``31 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole >= LONG:
        return f"{whole / 86_400:,.0f} days"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _left(snapshot: Snapshot) -> str:
    return "estimating the time left" if snapshot.eta_s is None else f"about {duration(snapshot.eta_s)} left"


def one_line(snapshot: Snapshot) -> str:
    """Return how things stand in one line."""
    counts = snapshot.counts
    parts = [f"{snapshot.name}: {counts['done']}/{snapshot.total} cells done"]
    parts += [f"{counts[state]} {state}" for state in ("running", "failed", "blocked") if counts[state]]
    return f"{', '.join(parts)}; {duration(snapshot.wall_s)} so far, {_left(snapshot)}"


class Quiet:
    """Shows nothing: for ``--json`` and for programs."""

    def update(self, look: Callable[[], Snapshot]) -> None:
        """See `Display`."""

    def note(self, text: str) -> None:
        """See `Display`."""

    def close(self) -> None:
        """See `Display`."""


class PlainLines:
    """One line at most every 30 seconds, for logs.

    Parameters
    ----------
    stream : text stream, optional
        By default standard error.
    every : float, default 30
        Seconds between two lines.
    """

    def __init__(self, stream: TextIO | None = None, every: float = LINE_EVERY) -> None:
        self.stream = stream or sys.stderr
        self.every = every
        self._next = time.monotonic() + every

    def update(self, look: Callable[[], Snapshot]) -> None:
        """See `Display`."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.every
            self.note(one_line(look()))

    def note(self, text: str) -> None:
        """See `Display`."""
        with contextlib.suppress(OSError):  # who watched has gone, or the disk of a log is full: the study goes on
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """See `Display`."""


class LiveDisplay:
    """A bar and the running cells, on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(file=stream or sys.stderr), refresh_per_second=1 / DRAW_EVERY, transient=True)
        self._live.start()
        self._next = 0.0

    def update(self, look: Callable[[], Snapshot]) -> None:
        """See `Display`."""
        if time.monotonic() >= self._next:  # many short cells may end in between
            with contextlib.suppress(OSError):  # as with plain lines: the terminal was closed
                self._live.update(_panel(look()))
            self._next = time.monotonic() + DRAW_EVERY

    def note(self, text: str) -> None:
        """See `Display`."""
        with contextlib.suppress(OSError):
            self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """See `Display`."""
        with contextlib.suppress(OSError):
            self._live.stop()


def _panel(snapshot: Snapshot) -> Any:
    """Draw a snapshot."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    total = max(1, snapshot.total)
    bar = Table.grid()  # a bar alone does not end its line
    bar.add_row(ProgressBar(total=total, completed=snapshot.counts["done"], width=60))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(width=20)
    table.add_column(no_wrap=True, justify="right")
    for label, done, steps in snapshot.running:
        table.add_row(Text(f"  {label}"), ProgressBar(total=max(1, steps), completed=done, width=20), f"{done}/{steps}")
    return Group(Text(one_line(snapshot)), bar, table)


def make_display(*, quiet: bool) -> Display:
    """Return the display that fits: nothing, a live one on a terminal, plain lines elsewhere."""
    if quiet:
        return Quiet()
    return LiveDisplay() if sys.stderr.isatty() else PlainLines()
