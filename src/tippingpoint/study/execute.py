"""Runs what is missing of a study: opens the store, places the cells, publishes as they finish.

Whatever ends a run (the end, Ctrl-C, a failing cell, SIGKILL, a full disk), finished cells are whole and stay; the same
command goes on with the rest.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from tippingpoint.errors import EnvironmentFault, StoreError, TippingPointError
from tippingpoint.study.cells import Cell
from tippingpoint.study.claims import Runner
from tippingpoint.study.curves import write_curves
from tippingpoint.study.display import Display, Quiet, Snapshot
from tippingpoint.study.doubts import Doubts
from tippingpoint.study.endpoint import endpoint_numbers, models_of_one_size
from tippingpoint.study.eta import Throughput
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.load import Study, dump_config
from tippingpoint.study.outcome import Outcome, keep_config, spent_before, told_of_images
from tippingpoint.study.precision import decide_precision
from tippingpoint.study.publish import (
    image_words,
    machine,
    study_words,
    write_cells,
    write_progress,
    write_runs,
)
from tippingpoint.study.runners.local import on_this_machine, usable_cores
from tippingpoint.study.runners.pool import Engine, Event, Pool
from tippingpoint.study.running import Running
from tippingpoint.study.schedule import Schedule
from tippingpoint.study.signals import terminable
from tippingpoint.study.store import Store

__all__ = ["Outcome", "run_study"]

PUBLISH_EVERY = 5.0  # seconds between two writings of runs.csv and cells.jsonl
PROGRESS_EVERY = 2.0  # of progress.json
SELDOM = 20  # times as long as a writing took passes before the next: of a large study it takes seconds
TICK = 0.5


def run_study(
    study: Study,
    root: str | Path,
    *,
    workers: int | None = None,
    display: Display | None = None,
    environment: Mapping[str, str] | None = None,
    choose: Callable[[], Collection[str]] | None = None,
    devices: Sequence[str] = ("cpu",),
    engine: Engine | None = None,
) -> Outcome:
    """Train what a study directory lacks of a study, and publish its tables.

    Parameters
    ----------
    study : Study
        What to run.
    root : str or Path
        The study directory; cells that it has already are used.
    workers : int, optional
        Processes; by default one for each core that may be used.
    display : Display, optional
        Who is told of the progress; by default nobody.
    environment : mapping of str to str, optional
        Added to the workers' environment.
    choose : callable, optional
        Says which cells to train next, by their keys, whenever none is left of those it said before and the tables are
        published; none ends the run. By default all cells are trained.
    devices : sequence of str, default ("cpu",)
        Where to train: ``cpu``, or CUDA devices that the workers are dealt out to.
    engine : callable, optional
        Opens the pool that trains, such as `RayCluster.place`; by default ``workers`` processes on this machine.

    Returns
    -------
    Outcome
        How it ended; an interruption is an outcome, not an exception.

    Raises
    ------
    StoreError
        Another run holds the directory with other settings, either chooses its cells, or the disk refuses.
    EnvironmentFault
        No worker can start.
    DataError
        A set of images cannot be read, a subset lacks a class, or training images are test images; nothing has been
        started.
    """
    root, grid = Path(root), build_grid(study)
    told = told_of_images(root, study, grid)
    if study.config.precision == "auto":
        study = decide_precision(study, root, devices[0])
        grid = build_grid(study)
    with Runner(root, dump_config(study.config), alone=choose is not None) as runner:
        run = _Run(study, grid, runner, display or Quiet(), told, choose)
        run.devices = tuple(devices)
        try:
            return run.go(engine or on_this_machine(devices, workers or usable_cores()), environment)
        finally:
            run.store.close()


class _Run:
    """One run of a study in its directory, maybe beside others of the same study."""

    def __init__(
        self,
        study: Study,
        grid: Grid,
        runner: Runner,
        display: Display,
        about_images: list[str],
        choose: Callable[[], Collection[str]] | None,
    ) -> None:
        self.choose = choose
        root = runner.root
        self.study, self.grid, self.root, self.display, self.runner = study, grid, root, display, runner
        self.store = Store(root, write=True)
        self.schedule = Schedule(grid, self.store.done(), None if choose is None else ())
        self.throughput = Throughput()
        self.results = {key: self.store.result(key) for key in self.schedule.before}
        self.reasons: dict[str, str] = {}
        self.running = Running(self.store, runner.name, grid.cells, study.config.upstream)
        self.trained: list[str] = []
        self.elsewhere: set[str] = set()  # cells that other runs have in work
        self.doubts = Doubts(self.store, self._tell)
        self.started = time.monotonic()
        self.spent_before = spent_before(root, study)
        self.workers = 1
        self.devices: tuple[str, ...] = ("cpu",)
        self.machine, self.endpoint = machine(), endpoint_numbers(study, grid)
        self._next_look = self._next_publish = self._next_progress = 0.0
        self.about_images = about_images
        self.notes = list(self.store.notes)
        self.notes += keep_config(root, study, len(grid.cells), len(self.schedule.before))
        self.notes += [*models_of_one_size(grid), *about_images]

    # --- the run ---

    def go(self, engine: Engine, environment: Mapping[str, str] | None) -> Outcome:
        """Run until nothing is ready and nothing runs."""
        for note in self.notes:
            self.display.note(note)
        state = "failed"
        try:
            with terminable():
                self._publish("running")
                todo = self.schedule.counts()["todo"]
                if todo and (self.choose is None or self._chosen()):
                    executor = self.study.laboratory.executor
                    self._train(engine(self.root, executor, todo, environment, self.runner.name))
            state = "failed" if self.schedule.keys("failed") else "done"
        except KeyboardInterrupt:
            state = "interrupted"
            self._release_running()
        except TippingPointError:
            self._release_running()
            with contextlib.suppress(TippingPointError):  # the disk may be what failed
                self._publish("failed")
            raise
        finally:
            self.display.close()
        return self._end(state)

    def _train(self, pool: Pool) -> None:
        self.workers = pool.size
        self.running.open(self.schedule.keys("done"))
        try:
            while True:
                self._look_elsewhere()
                self._feed(pool)
                if not self.schedule.counts()["running"]:
                    if self._chosen():
                        continue
                    return
                for event in pool.wait(TICK):
                    self._take_note(event)
                self.workers = pool.size
                self._tick()
        finally:
            self.running.close()
            pool.stop()
            with contextlib.suppress(OSError):  # the next run cleans what cannot be cleaned now
                self.store.clean(self.runner.name)

    def _chosen(self) -> bool:
        """Ask which cells come next; return whether there are any to train."""
        if self.choose is None:
            return False
        self._publish("running")
        return self.schedule.want(self.choose())

    def _feed(self, pool: Pool) -> None:
        """Give every idle worker the next cell."""
        while pool.idle() > 0 and (key := self.schedule.take()) is not None:
            if not self._take(key):
                continue
            cell = self.grid.cells[key]
            parents = {role: str(self.store.folder(parent)) for role, parent in cell.parents.items()}
            self.running.begin(key)
            pool.submit(key, {"cell": cell.describe(), "parents": parents})

    def _take(self, key: str) -> bool:
        """Claim a cell; False where another run has it in work, has done it or has seen it fail."""
        if not self.runner.take(key):
            self.elsewhere.add(key)
            return False
        self.store.refresh()  # who had the cell before may have committed it on another host just now
        if not self.store.has(key) and self.store.failed_since(self.runner.since, key) is None:
            return True
        self.runner.release(key)
        self._adopt(key)
        return False

    def _adopt(self, key: str) -> None:
        """Take over what another run has made of a cell."""
        self.elsewhere.discard(key)
        if self.store.has(key):
            self.results[key] = self.store.record_done(key)
            self.schedule.finish(key)
        else:
            reason = self.store.failed_since(self.runner.since, key) or "it failed in another run"
            self._mark_failed(self.grid.cells[key], reason)

    def _look_elsewhere(self) -> None:
        """See what has become of the cells that other runs have in work."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + TICK
        for key in sorted(self.elsewhere):
            if self.store.has(key):
                self._adopt(key)
            elif self.runner.is_free(key):
                self.elsewhere.discard(key)
                self._put_back(key)

    def _take_note(self, event: Event) -> None:
        if event["event"] == "note":
            self._tell(event["text"])
            return
        key = event["key"]
        if event["event"] == "step":
            self.running.step(event)
            return
        self.running.leave(key, done=event["event"] == "done")
        if event["event"] == "done":
            self.results[key] = self.store.record_done(key)
            self.schedule.finish(key)
            self.runner.release(key)
            self.trained.append(key)
            self.throughput.add(self.grid.cells[key], event["wall_s"])
            return
        if event["event"] == "damaged" and self._repair(event["parent"], key):
            return
        if not self.runner.holds(key):  # this run was held for dead: another has the cell, and what lay aside is gone
            self._leave(key)
            return
        if event["fatal"]:
            raise EnvironmentFault(f"The run has stopped, finished cells are kept: {event['reason']}")
        self._failed(self.grid.cells[key], event)
        self.runner.release(key)

    def _repair(self, parent: str, child: str) -> bool:
        """Train a damaged cell again before the one that was to start from it; False where the child has to fail."""
        if not self.doubts.set_aside(parent):  # another run has trained it already, or the worker's view is old
            if self.doubts.last_too_long(child):
                return False
            self._leave(child)
            return True
        self.results.pop(parent, None)
        self.schedule.reopen(parent)
        self._put_back(child)
        self.runner.release(child)
        return True

    def _leave(self, key: str) -> None:
        """Give a cell back, to look in a moment what has become of it."""
        self.runner.release(key)
        self.elsewhere.add(key)

    def _put_back(self, key: str) -> None:
        """Have a cell trained later; it is blocked where what it starts from has failed meanwhile."""
        self.schedule.release(key)
        for parent in self.grid.cells[key].parents.values():
            if self.schedule.state[parent] == "failed":
                self._mark_failed(self.grid.cells[parent], self.reasons[parent])

    def _failed(self, cell: Cell, event: Event) -> None:
        """Keep the traceback, block what depends on the cell, go on with the rest."""
        lines = str(event["reason"]).strip().splitlines() or ["no reason was given"]
        self._mark_failed(cell, lines[0])
        log = f"{cell.label}\n{event['reason']}\n\n{event['trace']}\n\n{json.dumps(cell.describe(), indent=1)}\n"
        self.store.record_failed(cell.key, lines[0], log)
        self.display.note(f"Failed: {cell.label}: {lines[0]} (log: {self.store.log_path(cell.key)})")

    def _mark_failed(self, cell: Cell, reason: str) -> None:
        blocked = self.schedule.fail(cell.key)
        self.reasons[cell.key] = reason
        self.reasons |= dict.fromkeys(blocked, f"waits for {cell.label}, which failed")

    def _release_running(self) -> None:
        for key in self.schedule.keys("running"):
            self.schedule.release(key)
            self.running.leave(key)
        with contextlib.suppress(OSError, StoreError):  # the disk may be what failed
            for key in self.store.lying() & {*self.schedule.keys("todo")}:  # other runs may not have the last word
                self._adopt(key)
                self.trained += [key] * self.runner.holds(key)  # by a worker that could not tell it any more

    # --- telling ---

    def _tell(self, text: str) -> None:
        """Tell a sentence now, and again with the outcome."""
        self.notes.append(text)
        self.display.note(text)

    def _snapshot(self, state: str) -> Snapshot:
        cells = self.grid.cells
        shares = [(cells[key], done / max(1, total)) for key, (done, total) in self.running.steps.items()]
        waiting = [cells[key] for key in self.schedule.keys("todo") if key in self.schedule.wanted]
        counts = self.schedule.counts()
        return Snapshot(
            name=self.study.config.name,
            state=state,
            counts=counts,
            running=tuple((cells[key].label, *steps) for key, steps in self.running.steps.items()),
            eta_s=self.throughput.remaining(waiting, shares, self.workers) if waiting or counts["running"] else 0.0,
            wall_s=time.monotonic() - self.started,
            left_out=counts["todo"] - len(waiting),
        )

    def _tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_publish:
            self._publish("running")
        elif now >= self._next_progress:
            self._write_progress(self._snapshot("running"))
        self.display.update(lambda: self._snapshot("running"))

    def _publish(self, state: str) -> int:
        self.store.require()
        begun = time.monotonic()
        self.store.flush()
        rows = write_runs(self.root, self.grid, self.results)
        write_cells(self.root, self.grid, self.schedule.state, self.results, self.reasons)
        self._write_progress(self._snapshot(state))
        ended = time.monotonic()
        self._next_publish = ended + max(PUBLISH_EVERY, SELDOM * (ended - begun))
        return rows

    def _write_progress(self, now: Snapshot) -> None:
        self.store.require()
        told = {
            "study": study_words(self.study.config, self.endpoint),
            "state": now.state,
            "cells": {"total": len(self.grid.cells), **now.counts},
            "eta_s": now.eta_s,
            "wall_s": self.spent_before + now.wall_s,
            "workers": self.workers,
            "devices": list(self.devices),
            "images": {name: image_words(facts) for name, facts in self.study.images.items()},
            "notes": self.about_images,
        }
        write_progress(self.root, {**told, **self.machine})
        self.running.publish()  # with it, so that both tell of the same cells
        self._next_progress = time.monotonic() + PROGRESS_EVERY

    def _end(self, state: str) -> Outcome:
        failed, counts = self.schedule.keys("failed"), self.schedule.counts()
        for key, reason in self.store.failed().items():  # before, and not tried again: it is not forgotten
            if self.schedule.state.get(key) == "todo":
                self._mark_failed(self.grid.cells[key], reason)
        rows = self._publish(state)
        try:
            write_curves(self.root)
            self.running.clear()
        except StoreError as error:  # a damaged curve spoils no result
            self.notes += error.faults
        return Outcome(
            state=state,
            counts=counts,
            trained=len(self.trained),
            reused=len({*self.schedule.keys("done")} - {*self.trained}),
            failures={self.grid.cells[key].label: self.reasons[key] for key in failed},
            logs=[self.store.log_path(key) for key in failed],
            n_rows=rows,
            wall_s=time.monotonic() - self.started,
            root=self.root,
            notes=self.notes,
        )
