"""A study that is killed a hundred times: what it leaves, against what the same study leaves undisturbed.

Command: ``OMP_NUM_THREADS=1 python benchmarks/kills.py`` (some minutes on two cores; needs no data)

The study is real: DeiTs of one and two heads on scikit-learn's digits, pretrained, guided and fine-tuned by two
workers, with a checkpoint every 0.05 s of training. Runner and workers are forked from a process that has loaded the
libraries, which takes most of a start. SIGKILL goes to all of them at once. When it falls is drawn from a seed, and one
third each of the kills aims at

* ``training``: a random moment in the 1.5 s after a cell was begun (or the first of them, while libraries load);
* ``checkpointing``: a random moment in the 5 ms after a checkpoint's temporary file was seen;
* ``committing``: a random moment in the 10 ms after a finished cell's ``result.json`` was seen.

What lay on the disk after each kill is counted: ``left`` has the temporary files of checkpoints, the unfinished cells
with and without a ``result.json``, and cells begun. When the study is done it is checked, and begun anew in another
directory until there were enough kills. Checked are, against an undisturbed run without checkpoints:

* no finished cell is ever lost or committed a second time (the same file with the same content at every look);
* ``runs.csv`` without ``wall_s``, the weights and the curve of every cell, and the fitted parameters: bit for bit;
* ``fsck`` finds nothing; after ``gc`` the directory holds the undisturbed run's files and no others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pandas as pd

from tippingpoint import AdditivePowerLaw, cli
from tippingpoint.files import write_atomic
from tippingpoint.lab.training.checkpoints import EVERY_VARIABLE
from tippingpoint.study.fsck import check_store
from tippingpoint.study.gc import collect
from tippingpoint.study.runners import local, worker

__all__ = ["AIMS", "Disturbed", "compare", "run_whole"]

RESULT = Path(__file__).parent / "results" / "kills.json"
SETTINGS = (
    "n_pretrain=[60, 120, 240, 480]",
    "n_finetune=[40]",
    "pretraining.length={steps: 120}",
    "finetuning.length={steps: 60}",
)
FITTED = {"scratch": ["n_pretrain", "n_params"], "distilled": ["n_pretrain"]}  # recipe -> axes of its law
AIMS = ("training", "checkpointing", "committing")
WITHIN = {"training": 1.5, "checkpointing": 0.005, "committing": 0.01}  # seconds after the sign
EVERY_S = "0.05"
PATIENCE = 300.0  # seconds that a study may take to give the sign of an aim
LOOK = 0.002


def words_of(root: Path, settings: tuple[str, ...]) -> list[str]:
    """Return the arguments of the command that runs the study."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    return ["run", "smoke", "--dir", str(root), "--workers", "2", "--no-report", "--json", *overrides]


class Forked:
    """A process forked from this one, in place of `subprocess.Popen`: it has the libraries already.

    Parameters
    ----------
    work : callable
        What it does; the process ends with what it returns.
    stdin, stdout : int, optional
        ``subprocess.PIPE`` or nothing.
    stderr : file
        Gets what it writes to standard error, and without a pipe to standard output.
    env : mapping, optional
        Its environment.
    """

    def __init__(
        self,
        work: Callable[[], int | None],
        *,
        stderr: IO[bytes],
        stdin: int | None = None,
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        into, out = os.pipe(), os.pipe()
        self.returncode: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.dup2(into[0], 0)
            os.dup2(stderr.fileno() if stdout is None else out[1], 1)
            os.dup2(stderr.fileno(), 2)
            os.closerange(3, 1024)  # the ends of other workers' pipes above all
            self._become(work, env)
        os.close(into[0])
        os.close(out[1])
        self.stdin, self.stdout = os.fdopen(into[1], "wb"), os.fdopen(out[0], "rb", 0)

    @staticmethod
    def _become(work: Callable[[], int | None], env: Mapping[str, str] | None) -> None:
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
            sys.stdin, sys.stdout = (os.fdopen(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w")))
            os.environ.update(env or {})
            code = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """See `subprocess.Popen`."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 1e9) -> int:
        """See `subprocess.Popen`."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("forked", timeout)
            time.sleep(LOOK)
        return code

    def terminate(self) -> None:
        """See `subprocess.Popen`."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """See `subprocess.Popen`."""
        os.kill(self.pid, signal.SIGKILL)


def fork_worker(command: list[str], *, start_new_session: bool, **more: Any) -> Forked:
    """Start a worker as `LocalWorkers` asks for one, but by a fork."""
    assert start_new_session
    assert command[1:3] == ["-m", worker.__name__]

    def work() -> None:
        sys.argv = command[2:]
        worker.main()

    return Forked(work, **more)


class Life(Forked):
    """One start of ``tippingpoint run``; its workers are forked too."""

    def __init__(self, root: Path, settings: tuple[str, ...], **environment: str) -> None:
        def work() -> int:
            local.subprocess.Popen = fork_worker  # type: ignore[misc, assignment]
            return cli.main(words_of(root, settings))

        self.told = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        super().__init__(work, stderr=self.told, env=environment)

    def words(self) -> str:
        """Return the end of what it printed."""
        self.told.seek(0)
        return self.told.read().decode("utf-8", "replace")[-2000:]


def run_whole(root: Path, settings: tuple[str, ...]) -> float:
    """Run the study undisturbed, as a user does and without checkpoints; return its seconds."""
    begun, command = time.monotonic(), [sys.executable, "-m", "tippingpoint", *words_of(root, settings)]
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - begun


def family(pid: int) -> list[int]:
    """Return a process and all that it has started, directly or not."""
    found = [pid]
    for one in found:
        try:
            tasks = list(Path(f"/proc/{one}/task").iterdir())
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def contents(root: Path) -> dict[str, tuple[int, str]]:
    """Return key -> (file number, SHA-256) of the ``cell.json`` of every finished cell."""
    found = {}
    for path in root.glob("cells/*/cell.json"):
        if not path.parent.name.startswith("."):
            found[path.parent.name] = (path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def signs(root: Path) -> dict[str, Callable[[], list[Path]]]:
    """Return aim -> what shows that its moment has come."""
    return {
        "training": lambda: list(root.glob("cells/.tmp-*")),
        "checkpointing": lambda: list(root.glob("checkpoints/*/.step-*.tmp")),
        "committing": lambda: list(root.glob("cells/.tmp-*/result.json")),
    }


class Disturbed:
    """A study that is killed again and again.

    Parameters
    ----------
    root : Path
        The study directory.
    settings : tuple of str
        Overrides of the preset.
    draw : random.Random
        Says when.

    Attributes
    ----------
    finished : dict
        As `contents`, at the last look.
    left : Counter
        What lay there after the kills.
    aims : Counter
        Kills by aim.
    done : bool
        Whether a life came to the study's end.
    """

    def __init__(self, root: Path, settings: tuple[str, ...], draw: random.Random) -> None:
        self.root, self.settings, self.draw = root, settings, draw
        self.finished: dict[str, tuple[int, str]] = {}
        self.left: Counter[str] = Counter()
        self.aims: Counter[str] = Counter()
        self.done = False

    def live(self, aim: str | None) -> None:
        """Start the study and kill it at a moment of an aim, or let it come to its end."""
        runner = Life(self.root, self.settings, **{EVERY_VARIABLE: EVERY_S})
        if aim is not None and self._await(aim, runner):
            for pid in family(runner.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        code = runner.wait()
        if code == -signal.SIGKILL:
            self.aims[str(aim)] += 1
            self._count()
        elif code == 0:
            self.done = True
        else:
            raise SystemExit(f"the study ended with {code}: {runner.words()}")
        self._look()

    def _await(self, aim: str, runner: Life) -> bool:
        """Wait for the moment of a kill; False where the study was done before."""
        limit, sign = time.monotonic() + PATIENCE, signs(self.root)[aim]
        old = set(sign())  # what the kill before has left
        while old.issuperset(sign()):
            if runner.poll() is not None or time.monotonic() > limit:
                return False
            time.sleep(LOOK)
        time.sleep(self.draw.uniform(0, WITHIN[aim]))
        return runner.poll() is None

    def _count(self) -> None:
        """Count what the kill has left."""
        looks = signs(self.root)
        begun, ended = len(looks["training"]()), len(looks["committing"]())
        self.left["temporary checkpoints"] += len(looks["checkpointing"]())
        self.left["cells in training"] += begun - ended
        self.left["cells in their commit"] += ended
        self.left["checkpoints"] += len(list(self.root.glob("checkpoints/*/step-*.safetensors")))

    def _look(self) -> None:
        """Hold the finished cells against those of the last look."""
        now = contents(self.root)
        for key, was in self.finished.items():
            if now.get(key) != was:
                raise SystemExit(f"cell {key} was finished as {was} and now is {now.get(key)}")
        self.finished = now


def fitted(root: Path) -> dict[str, str]:
    """Return the parameters of the law of each recipe, to the last bit."""
    found = {}
    for recipe, axes in FITTED.items():
        law = AdditivePowerLaw(axes).fit(root / "runs.csv", "cross_entropy", recipe=recipe, stage="pretrained")
        found |= {f"{recipe} {name}": float(value).hex() for name, value in law.parameters_.items()}
    return found


def files(root: Path) -> dict[str, str]:
    """Return every file, with the hash of those that hold what was trained."""
    exact = ("weights.safetensors", "curve.json", "study.yaml")
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.name in exact else ""
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def compare(root: Path, whole: Path) -> dict[str, Any]:
    """Check a study that was disturbed against one that was not; return what is the same.

    Parameters
    ----------
    root, whole : Path
        The study directories; ``gc`` cleans the first.
    """
    sound = check_store(root)
    orphans = collect(root).orphans
    first, second = (pd.read_csv(one / "runs.csv", dtype=str).drop(columns="wall_s") for one in (root, whole))
    return {
        "runs_table_identical": first.equals(second),
        "parameters_identical": fitted(root) == fitted(whole),
        "files_weights_and_curves_identical": files(root) == files(whole),
        "faults_by_fsck": [fault.reason for fault in sound.faults],
        "left_after_gc": len(collect(root).orphans),
        "removed_by_gc": len(orphans),
        "cells": sound.cells,
        "rows": len(first),
    }


def main() -> None:
    """Kill, compare, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="half the study")
    parser.add_argument("--dry", action="store_true", help="print only")
    asked = parser.parse_args()
    settings = (*SETTINGS, "seeds=1") if asked.short else SETTINGS
    draw, aims, left, studies = random.Random(asked.seed), Counter[str](), Counter[str](), []
    with tempfile.TemporaryDirectory() as name:
        whole, begun = Path(name) / "whole", time.monotonic()
        print(f"undisturbed: {run_whole(whole, settings):.0f} s", flush=True)
        while aims.total() < asked.kills:
            study = Disturbed(Path(name) / f"killed-{len(studies)}", settings, draw)
            while not study.done:
                enough = aims.total() + study.aims.total() >= asked.kills
                study.live(None if enough else draw.choice(AIMS))
                print(f"{aims.total() + study.aims.total()} kills, {len(study.finished)} cells done", flush=True)
            aims, left = aims + study.aims, left + study.left
            studies.append({"kills": study.aims.total(), **compare(study.root, whole)})
            print(studies[-1], flush=True)
        seconds = time.monotonic() - begun
    result = {
        "schema_version": 1,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "seed": asked.seed,
        "kills": aims.total(),
        "aimed_at": dict(aims),
        "left": dict(left),
        "finished_cells_lost": 0,  # _look ends the benchmark otherwise
        "cells_committed_twice": 0,
        "studies": studies,
        "seconds": round(seconds),
    }
    print(json.dumps(result, indent=1))
    if not asked.dry:
        write_atomic(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
