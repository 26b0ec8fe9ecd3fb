"""A worker process: takes cells as lines of JSON, trains them one after the other, commits each to the store.

Lines in:  ``{"cell": {...}, "parents": {role: path}}``; the end of the input is the end of the worker, in the middle
of a training too (so that a killed runner leaves no orphans).
Lines out: ``{"event": "ready"}``, ``{"event": "step", "key", "done", "total"}`` (about once a second with ``curve``,
the training curve so far as lists of equal length: ``step``, ``loss``, ``ce``), ``{"event": "done", "key", "wall_s"}``,
``{"event": "failed", "key", "reason", "trace", "fatal"}``, ``{"event": "damaged", "parent"}`` with all of ``failed``,
``{"event": "note", "text"}`` of what was warned of. What libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import json
import logging
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tippingpoint.errors import EnvironmentFault, StoreError, TippingPointError
from tippingpoint.study.cell_files import begin_cell, cannot_write, commit_cell, verify_cell
from tippingpoint.study.curves import columns

__all__ = ["DamagedParentError", "Reporter", "answer", "load_executor", "main", "run_cell"]

FATAL = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO}  # no other cell would fare better
LOG = "log.txt"  # of a cell, in its directory
STEP_EVERY = 0.5  # seconds between two reports of one cell
CURVE_EVERY = 1.0  # seconds between two that bring its curve
CURVE_POINTS = 150  # of a curve that is not at its end, at most
Curve = Sequence[Mapping[str, float]]


class Report(Protocol):
    """What a laboratory tells of a training that goes on."""

    def __call__(self, done: int, total: int, curve: Curve = (), /) -> None:
        """Take note of the steps done, the steps in all and the curve so far, the points of ``curve.json``."""


Execute = Callable[[dict[str, Any], dict[str, Path], Path, Report, Path], dict[str, Any]]


class DamagedParentError(StoreError):
    """A cell that another starts from is damaged; ``parent`` is its key."""

    def __init__(self, fault: str, parent: str) -> None:
        super().__init__(fault)
        self.parent = parent


def run_cell(
    root: Path,
    cell: dict[str, Any],
    parents: dict[str, str],
    execute: Execute,
    report: Report,
    runner: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train one cell and commit it; one that is committed already is left as it is.

    While it is trained its checkpoints lie in ``checkpoints/<key>``. They stay there when the training is cut short, so
    that the next one goes on from them, and are removed when the cell is committed.

    Parameters
    ----------
    root : Path
        The study directory.
    cell : dict
        What `Cell.describe` says.
    parents : dict of str to str
        Role -> directory of a finished cell; each is verified by hash before it is used.
    execute : callable
        The laboratory's ``execute``.
    report : callable
        Called with (steps done, steps in all, the curve so far).
    runner : str, optional
        Name of the run that this is for.
    note : callable, optional
        Called with every sentence that was warned of, such as a damaged checkpoint that is passed over.

    Returns
    -------
    Path
        The finished directory.

    Raises
    ------
    DamagedParentError
        A parent is not as it was committed; nothing was trained.
    StoreError
        The disk refuses.
    """
    key = str(cell["key"])
    finished, checkpoints = root / "cells" / key, root / "checkpoints" / key
    if (finished / "cell.json").is_file():  # who trained it was ended before it could tell
        shutil.rmtree(checkpoints, ignore_errors=True)
        return finished
    folders = {role: Path(path) for role, path in parents.items()}
    for folder in folders.values():
        fault = verify_cell(folder)
        if fault is not None:
            raise DamagedParentError(
                f"{folder} {fault}; run the study again, which trains this cell anew.", folder.name
            )
    aside = begin_cell(root, key, runner)
    try:
        with _logged(aside / LOG, note):
            result = execute(cell["task"], folders, aside, report, checkpoints)
        finished = commit_cell(aside, root, cell, result)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return finished
    except OSError as error:
        if error.errno not in FATAL:
            raise
        raise cannot_write(aside, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _Warnings(logging.StreamHandler[io.StringIO]):
    """Keeps what is warned of, and passes it on."""

    def __init__(self, said: io.StringIO, note: Callable[[str], None]) -> None:
        super().__init__(said)
        self.note = note

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        super().emit(record)
        self.note(record.getMessage())


@contextmanager
def _logged(path: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Write a cell's log: where and when it was trained, and all that was warned of; a failure takes it along."""
    said = io.StringIO()
    handler = _Warnings(said, note)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("tippingpoint")
    place = f"process {os.getpid()} on {socket.gethostname()}, {os.environ.get('TIPPINGPOINT_DEVICE', 'cpu')}"

    def tell(text: str) -> None:
        said.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    tell(f"begun by {place}")
    started = time.perf_counter()
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        error.add_note(f"The cell's log:\n{said.getvalue()}")
        raise
    finally:
        logger.removeHandler(handler)
    tell(f"trained in {time.perf_counter() - started:.1f} s")
    path.write_text(said.getvalue(), encoding="utf-8")


def load_executor(executor: str) -> Execute:
    """Load ``module:function`` and let the laboratory prepare the process and the thread that calls this."""
    module_name, _, name = executor.partition(":")
    module = importlib.import_module(module_name)
    prepare = getattr(module, "prepare_worker", None)
    if prepare is not None:
        prepare()
    execute: Execute = getattr(module, name)
    return execute


def _listen(lines: queue.SimpleQueue[str]) -> None:
    """Hand on every line; when the runner is gone, so is this process."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


class Reporter:
    """Writes events as lines of JSON; of the steps only a few a second.

    Parameters
    ----------
    write : callable
        Takes a line.
    """

    def __init__(self, write: Callable[[str], Any]) -> None:
        self.write = write
        self.next = self.next_curve = 0.0

    def send(self, **event: Any) -> None:
        """Write an event."""
        self.write(json.dumps(event))

    def note(self, text: str) -> None:
        """Write what the user should know."""
        self.send(event="note", text=text)

    def step(self, key: str, done: int, total: int, curve: Curve = (), /) -> None:
        """Write how far a cell is, unless that was told just now."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + STEP_EVERY
        drawn = {}
        if curve and now >= self.next_curve:
            self.next_curve = now + CURVE_EVERY
            every = -(-len(curve) // CURVE_POINTS)
            drawn = {"curve": columns(curve[(len(curve) - 1) % every :: every], ("step", "loss", "ce"))}
        self.send(event="step", key=key, done=done, total=total, **drawn)


def _is_fatal(error: BaseException) -> bool:
    """Say whether every other cell would fail like this one: the disk, not the cell, is at fault."""
    if isinstance(error, StoreError):  # without a cause it tells of one damaged cell
        return isinstance(error.__cause__, OSError)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FATAL:
            return True
        cause = cause.__cause__
    return isinstance(error, EnvironmentFault)


def answer(root: Path, order: dict[str, Any], execute: Execute, runner: str, out: Reporter) -> None:
    """Train the cell of an order, and tell how it went; no failure gets out.

    Parameters
    ----------
    root : Path
        The study directory.
    order : dict
        ``{"cell": what Cell.describe says, "parents": {role: path}}``.
    execute : callable
        The laboratory's ``execute``.
    runner : str
        Name of the run that this is for.
    out : Reporter
        Gets ``step`` and ``note`` events and one of ``done``, ``failed``, ``damaged``.
    """
    cell, key = order["cell"], order["cell"]["key"]
    started = time.perf_counter()
    try:
        run_cell(root, cell, order["parents"], execute, partial(out.step, key), runner, out.note)
    except DamagedParentError as error:
        out.send(event="damaged", key=key, parent=error.parent, reason=str(error), trace="", fatal=False)
    except Exception as error:
        reason = str(error) if isinstance(error, TippingPointError) else f"{type(error).__name__}: {error}"
        trace = traceback.format_exc()
        out.send(event="failed", key=key, reason=reason, trace=trace, fatal=_is_fatal(error))
    else:
        out.send(event="done", key=key, wall_s=time.perf_counter() - started)


def _serve(root: Path, executor: str, runner: str, out: Reporter) -> None:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    execute = load_executor(executor)
    out.send(event="ready")
    while True:
        answer(root, json.loads(lines.get()), execute, runner, out)


def main() -> None:
    """Serve one runner until it closes the line."""
    parser = argparse.ArgumentParser(prog="tippingpoint worker", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--executor", required=True)
    parser.add_argument("--runner", default="")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's business
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the events
    out = Reporter(lambda line: print(line, file=events, flush=True))
    try:
        _serve(arguments.root, arguments.executor, arguments.runner, out)
    except Exception as error:
        out.send(event="broken", reason=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        sys.exit(1)


if __name__ == "__main__":
    main()
