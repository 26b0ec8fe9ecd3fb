"""Eight runs of one study at a time: every cell is started once; where runs are killed, it is committed once.

Command: ``OMP_NUM_THREADS=1 python benchmarks/runners.py`` (some minutes; nothing is trained)

The study has 500 cells (100 pretrainings, 400 fine-tunings) of stand-ins that sleep 0.1 s. Each runner is a process of
its own with two workers, in one directory. In ``undisturbed`` they start together and end by themselves. In ``killed``
one of the eight, drawn from a seed, is killed (SIGKILL) whenever another 40 cells or so are done, and another takes its
place. A log says every start of a training. Finished cells are looked at all the time: a second commit would show as
another file under the same name. In the end both directories hold the same table, ``fsck`` and ``gc`` find nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from stub_studies import ENVIRONMENT, STUB, cells_of, stub_study

from tippingpoint.files import write_atomic
from tippingpoint.study.fsck import check_store
from tippingpoint.study.gc import collect
from tippingpoint.study.status import study_status

RESULT = Path(__file__).parent / "results" / "runners.json"
RUNNERS, SLEEP, KILL_EVERY = 8, 0.1, 40


def start(folder: Path, root: Path) -> subprocess.Popen[bytes]:
    """Start one runner."""
    return subprocess.Popen(
        [sys.executable, str(STUB / "driver.py"), str(folder / "study.yaml"), str(root)],
        env={**os.environ, **ENVIRONMENT, "STUB_SLEEP": str(SLEEP), "STUB_LOG": str(root.with_suffix(".log"))},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


class Seen:
    """The finished cells of a directory, each by the number of its file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers: dict[str, int] = {}

    def look(self) -> int:
        """Return how many cells are finished; end the benchmark where one was finished again or is lost."""
        now = {path.name: path.stat().st_ino for path in self.root.glob("cells/*") if not path.name.startswith(".tmp-")}
        for key, number in self.numbers.items():
            if now.get(key) != number:
                raise SystemExit(f"cell {key} was file {number} and is {now.get(key)}")
        self.numbers = now
        return len(now)


def go(folder: Path, root: Path, draw: random.Random | None) -> dict[str, Any]:
    """Let eight runners do the study; where there is a source of chance, kill one now and then."""
    begun, seen, kills, busy = time.monotonic(), Seen(root), 0, []
    runners = [start(folder, root) for _ in range(RUNNERS)]
    while any(runner.poll() is None for runner in runners):
        done = seen.look()
        busy.append(sum(runner.poll() is None for runner in runners))
        if draw is not None and done >= KILL_EVERY * (kills + 1) and done < 480:
            runners.append(start(folder, root))
            killed = runners.pop(draw.randrange(RUNNERS))
            killed.kill()
            killed.wait()
            kills += 1
        time.sleep(0.02)
    codes = Counter(runner.returncode for runner in runners)
    starts = Counter(root.with_suffix(".log").read_text().split())
    seen.look()
    return {
        "kills": kills,
        "exit_codes": {str(code): count for code, count in codes.items()},
        "cells": len(seen.numbers),
        "cells_started": len(starts),
        "starts": starts.total(),
        "most_starts_of_one_cell": max(starts.values()),
        "state": study_status(root)["state"],
        "faults_by_fsck": len(check_store(root).faults),
        "orphans": len(collect(root, dry_run=True).orphans),
        "claims_left": len(list((root / "claims").iterdir())),
        "runners_at_once": max(busy),
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> None:
    """Run both, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print only")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = stub_study(folder, n_pretrain=5, n_finetune=2, seeds=5)
        undisturbed = go(folder, folder / "undisturbed", None)
        print(json.dumps(undisturbed), flush=True)
        killed = go(folder, folder / "killed", random.Random(asked.seed))
        print(json.dumps(killed), flush=True)
        tables = [
            pd.read_csv(folder / one / "runs.csv", dtype=str).drop(columns="wall_s")
            for one in ("undisturbed", "killed")
        ]
    result = {
        "schema_version": 1,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "seed": asked.seed,
        "cells": cells_of(study),
        "undisturbed": undisturbed,
        "killed": killed,
        "cells_committed_twice": 0,  # Seen ends the benchmark otherwise
        "tables_identical": tables[0].equals(tables[1]),
    }
    print(json.dumps(result, indent=1))
    if not asked.dry:
        write_atomic(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
