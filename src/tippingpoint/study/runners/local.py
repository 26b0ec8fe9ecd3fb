"""Worker processes on this machine: one thread each, re-used for many cells, replaced when they die.

The runner and its workers exchange lines of JSON and paths over pipes, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tippingpoint.errors import EnvironmentFault
from tippingpoint.study.runners.pool import Engine, Event, cannot_start

__all__ = ["LocalWorkers", "on_this_machine", "usable_cores"]

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
DEVICE = "TIPPINGPOINT_DEVICE"  # where a worker trains; see ``tippingpoint.lab.devices``
MOST_DEATHS = 3  # of workers in a row that never got ready, and of workers over one cell


class _Worker:
    """One process and the cell it is busy with."""

    def __init__(self, root: Path, executor: str, runner: str, environment: Mapping[str, str], device: str) -> None:
        self.device = device
        self.key: str | None = None
        self.order: Mapping[str, Any] = {}
        self.ready = False
        self.buffer = b""
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        command = [sys.executable, "-m", "tippingpoint.study.runners.worker"]
        self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [*command, "--root", str(root), "--executor", executor, "--runner", runner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **dict.fromkeys(THREADS, "1"), **environment, DEVICE: device},
            start_new_session=True,  # Ctrl-C reaches the runner alone, which ends its workers itself
        )

    def give(self, key: str, order: Mapping[str, Any]) -> None:
        """Hand over a cell; a worker that is dead already shows at the next wait."""
        self.key, self.order = key, order
        stdin = self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            if stdin is not None:
                stdin.write(json.dumps(order).encode() + b"\n")
                stdin.flush()

    def read(self) -> list[Event] | None:
        """Return the events that have come in; None where the worker is gone."""
        assert self.process.stdout is not None  # noqa: S101 - we asked for the pipe
        chunk = os.read(self.process.stdout.fileno(), 1 << 16)
        if not chunk:
            return None
        *lines, self.buffer = (self.buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines if line]

    def last_words(self) -> str:
        """Return the end of what the worker wrote to standard error."""
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-4000:].strip()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


class LocalWorkers:
    """A set of worker processes.

    Parameters
    ----------
    root : Path
        The study directory.
    executor : str
        ``module:function`` that trains.
    count : int
        Processes.
    environment : mapping of str to str, optional
        Added to the workers' environment.
    runner : str, optional
        Name of the run that they work for.
    devices : sequence of str, default ("cpu",)
        Dealt out to the workers in turn; one that replaces a dead one gets its device.
    """

    def __init__(
        self,
        root: Path,
        executor: str,
        count: int,
        environment: Mapping[str, str] | None = None,
        runner: str = "",
        devices: Sequence[str] = ("cpu",),
    ) -> None:
        self.runner = runner
        self.root = root
        self.executor = executor
        self.environment = dict(environment or {})
        self.deaths = 0
        self._died_over: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        for place in range(count):
            self._start(devices[place % len(devices)])

    def _start(self, device: str) -> None:
        worker = _Worker(self.root, self.executor, self.runner, self.environment, device)
        self._workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def idle(self) -> int:
        """Return how many workers have no cell (a worker that still loads its libraries can be given one)."""
        return sum(worker.key is None for worker in self._workers)

    def submit(self, key: str, order: Mapping[str, Any]) -> None:
        """Give a cell to an idle worker, one that is ready before one that still loads."""
        free = [worker for worker in self._workers if worker.key is None]
        max(free, key=lambda worker: worker.ready).give(key, order)

    def wait(self, timeout: float) -> list[Event]:
        """Return what happened, at the latest after ``timeout`` seconds.

        Raises
        ------
        EnvironmentFault
            Workers cannot start here, or one found that the disk is at fault.
        """
        events: list[Event] = []
        for ready, _ in self._selector.select(timeout):
            worker: _Worker = ready.data
            received = worker.read()
            if received is None:
                events += self._bury(worker)
                continue
            for event in received:
                if event["event"] == "ready":
                    worker.ready, self.deaths = True, 0
                elif event["event"] == "broken":
                    raise cannot_start(str(event["reason"]))
                else:
                    if event["event"] in ("done", "failed", "damaged"):
                        worker.key = None
                    events.append(event)
        return events

    def _bury(self, worker: _Worker) -> list[Event]:
        """Replace a worker that died; its cell goes on from its checkpoint, unless it takes every worker with it."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        code = worker.process.wait()
        words = worker.last_words()
        worker.close()
        self._workers.remove(worker)
        if not worker.ready:
            self.deaths += 1
            if self.deaths >= MOST_DEATHS:
                last = words.splitlines()[-1] if words else "it said nothing"
                raise EnvironmentFault(f"Worker processes end before they can start ({_ending(code)}): {last}.")
        self._start(worker.device)
        if worker.key is None:
            return []
        self._died_over[worker.key] += 1
        times = self._died_over[worker.key]
        if times < MOST_DEATHS:
            self.submit(worker.key, worker.order)
            return [{"event": "note", "text": f"Trying cell {worker.key[:12]} again: {_ending(code)}."}]
        reason = f"tried {times} times, and {_ending(code)}"
        return [{"event": "failed", "key": worker.key, "reason": reason, "trace": words, "fatal": False}]

    def stop(self, patience: float = 3.0) -> None:
        """End all workers, at first politely."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.process.terminate()
        end = time.monotonic() + patience
        for worker in self._workers:
            try:
                worker.process.wait(max(0.05, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.close()
        self._workers.clear()
        self._selector.close()


def _ending(code: int) -> str:
    """Say how a process ended."""
    if code == -signal.SIGKILL:
        return "the worker process was killed (SIGKILL), most likely because memory ran out; try fewer --workers"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the worker process was ended by {signal.Signals(-code).name}"
    return f"the worker process ended with code {code}"


def on_this_machine(devices: Sequence[str], most: int) -> Engine:
    """Return what opens worker processes on these devices: at most so many, and no more than there are cells to do."""

    def place(root: Path, executor: str, todo: int, environment: Mapping[str, str] | None, runner: str) -> LocalWorkers:
        return LocalWorkers(root, executor, min(most, todo), environment, runner, devices)

    return place


def usable_cores() -> int:
    """Return how many cores this process may use."""
    affinity: Callable[[int], Sequence[int] | set[int]] | None = getattr(os, "sched_getaffinity", None)
    return max(1, len(affinity(0)) if affinity else os.cpu_count() or 1)
