"""What the engine costs beside the training: planning, running and looking at 10,000 cells, and the second worker.

Command: ``OMP_NUM_THREADS=1 python benchmarks/overhead.py`` (some ten minutes; ``--part large|sleeping|real`` for one)

* ``large``: a study of 10,000 cells (400 pretrainings, 9,600 fine-tunings) whose trainings are stand-ins that end at
  once. Seconds to plan it in an empty directory; milliseconds of wall-clock time that two local workers need for each
  cell, from the claim to the table, with the processor's share of the runner and of the workers; seconds to plan it and
  to start it again when all is done; seconds of ``status``, as a function and as a command with the start of Python.
* ``sleeping``: wall-clock time of one worker over that of two, on stand-ins that sleep; the start of the workers is in
  it. The two take turns.
* ``real``: the same on real training (scikit-learn's digits), which shares caches and memory and has a scoring in every
  cell. It says as much of the machine as of the engine: the load of other processes before each run is recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stub_studies import ENVIRONMENT, cells_of, stub_study

from tippingpoint.files import write_atomic
from tippingpoint.study.execute import run_study
from tippingpoint.study.load import Study, load_study
from tippingpoint.study.plan import plan_study
from tippingpoint.study.status import study_status

RESULT = Path(__file__).parent / "results" / "overhead.json"
SLEEP = 0.4  # seconds of a sleeping stand-in
REAL = (  # of the preset `smoke`: fewer, longer trainings
    "n_pretrain=[120, 480]",
    "n_finetune=[40]",
    "seeds=2",
    "pretraining.length={steps: 400}",
    "finetuning.length={steps: 200}",
)


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that a piece of work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def processor(who: int) -> float:
    """Return the seconds of processor that this process, or its ended children, have used."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def run(study: Study, root: Path, workers: int, **more: str) -> float:
    """Run a study; return the seconds it took."""
    begun = time.perf_counter()
    outcome = run_study(study, root, workers=workers, environment={**ENVIRONMENT, **more})
    if outcome.state != "done":
        raise SystemExit(f"the study ended as {outcome.state}: {outcome.failures}")
    return time.perf_counter() - begun


def large(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
    """Plan, run and look at the large study."""
    study, root = stub_study(folder, **sizes), folder / "large"
    cells = cells_of(study)
    plan_empty = timed(lambda: plan_study(study, root, workers=2))
    before = [processor(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = run(study, root, 2)
    used = [
        processor(who) - was for who, was in zip((resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN), before, strict=True)
    ]
    command = [sys.executable, "-m", "tippingpoint", "status", str(root), "--json"]
    return {
        "cells": cells,
        "plan_s": round(plan_empty, 2),
        "run_s": round(seconds, 1),
        "run_ms_per_cell": round(1e3 * seconds / cells, 2),
        "runner_processor_ms_per_cell": round(1e3 * used[0] / cells, 2),
        "workers_processor_ms_per_cell": round(1e3 * used[1] / cells, 2),
        "status_s": round(timed(lambda: study_status(root)), 3),
        "status_command_s": round(timed(lambda: subprocess.run(command, check=True, capture_output=True)), 3),
        "plan_when_done_s": round(timed(lambda: plan_study(study, root, workers=2)), 2),
        "run_when_done_s": round(run(study, root, 2), 2),
        "runs_csv_bytes": (root / "runs.csv").stat().st_size,
        "cells_jsonl_bytes": (root / "cells.jsonl").stat().st_size,
    }


def in_turns(study: Study, folder: Path, repeats: int, **more: str) -> dict[str, Any]:
    """Run a study with one worker and with two, in turns; return the ratio of their times."""
    pairs, loads = [], []
    for repeat in range(repeats):
        loads.append(round(os.getloadavg()[0], 1))
        order = (1, 2) if repeat % 2 == 0 else (2, 1)
        seconds = {workers: run(study, folder / f"{repeat}-{workers}", workers, **more) for workers in order}
        pairs.append((round(seconds[1], 2), round(seconds[2], 2)))
        print(f"one worker {pairs[-1][0]} s, two {pairs[-1][1]} s", flush=True)
    ratios = sorted(one / two for one, two in pairs)
    return {
        "cells": cells_of(study),
        "seconds_one_two": pairs,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_lowest_highest": [round(ratios[0], 3), round(ratios[-1], 3)],
        "load_before": loads,
    }


def sleeping(folder: Path, repeats: int) -> dict[str, Any]:
    """One worker and two on stand-ins that sleep."""
    study = stub_study(folder, n_pretrain=2, n_finetune=3, seeds=1)
    return {"sleep_s": SLEEP, **in_turns(study, folder, repeats, STUB_SLEEP=str(SLEEP))}


def real(folder: Path, repeats: int) -> dict[str, Any]:
    """One worker and two on real training."""
    return in_turns(load_study("smoke", REAL), folder, repeats)


def main() -> None:
    """Measure what is asked for, print it and keep it beside what was measured before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["large", "sleeping", "real"], action="append")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of runs of each ratio")
    parser.add_argument("--seeds", type=int, default=10, help="blocks of the large study, of 1,000 cells each")
    parser.add_argument("--dry", action="store_true", help="print only")
    asked = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "large": lambda folder: large(folder, {"n_pretrain": 10, "n_finetune": 12, "seeds": asked.seeds}),
        "sleeping": lambda folder: sleeping(folder, asked.repeats),
        "real": lambda folder: real(folder, asked.repeats),
    }
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    result = {"schema_version": 1, **machine, **{name: result[name] for name in parts if name in result}}
    for name in asked.part or parts:
        with tempfile.TemporaryDirectory() as folder:
            result[name] = {"load_at_start": round(os.getloadavg()[0], 1), **parts[name](Path(folder))}
        print(name, json.dumps(result[name], indent=1), flush=True)
        if not asked.dry:
            write_atomic(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
