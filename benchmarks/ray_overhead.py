"""What a cell costs on Ray beside its training, next to worker processes: stand-ins that end at once.

Command: ``OMP_NUM_THREADS=1 python benchmarks/ray_overhead.py`` (some two minutes on two cores)

Runs one study with two worker processes and with two cells at a time on a Ray cluster of this machine alone
(``--ray local``), in turns. The connection to the cluster is timed apart, for its start is in it; the start of the
processes that train is in the runs of both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from stub_studies import ENVIRONMENT, cells_of, stub_study

from tippingpoint.files import write_atomic
from tippingpoint.study.execute import run_study
from tippingpoint.study.load import Study
from tippingpoint.study.runners.pool import Engine
from tippingpoint.study.runners.ray import RayCluster

RESULT = Path(__file__).parent / "results" / "ray_overhead.json"


def seconds(study: Study, root: Path, engine: Engine | None = None) -> float:
    """Run a study to its end; return the seconds it took."""
    outcome = run_study(study, root, workers=2, environment=ENVIRONMENT, engine=engine)
    if outcome.state != "done":
        raise SystemExit(f"the study ended as {outcome.state}: {outcome.failures}")
    return outcome.wall_s


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only")
    asked = parser.parse_args()
    os.environ.update(ENVIRONMENT)  # Ray's processes take it from here
    local, on_ray, connecting, loads = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        study = stub_study(Path(folder), n_pretrain=5, n_finetune=6, seeds=2)
        cells = cells_of(study)
        for repeat in range(asked.repeats):
            loads.append(round(os.getloadavg()[0], 1))
            local.append(seconds(study, Path(folder, f"local-{repeat}")))
            begun = time.perf_counter()
            with RayCluster("local", device="cpu", most=2) as cluster:
                connecting.append(time.perf_counter() - begun)
                on_ray.append(seconds(study, Path(folder, f"ray-{repeat}"), cluster.place))
            print(f"{cells} cells: local {local[-1]:.1f} s, Ray {on_ray[-1]:.1f} s", flush=True)
    result = {
        "schema_version": 1,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ray": version("ray"),
        "cells": cells,
        "load_before": loads,
        "local_ms_per_cell": _spread([1e3 * value / cells for value in local]),
        "ray_ms_per_cell": _spread([1e3 * value / cells for value in on_ray]),
        "connect_s": _spread(connecting),
    }
    print(json.dumps(result, indent=1))
    if not asked.dry:
        write_atomic(RESULT, json.dumps(result, indent=1) + "\n")


def _spread(values: list[float]) -> dict[str, float]:
    low, middle, high = (round(value, 2) for value in (min(values), statistics.median(values), max(values)))
    return {"median": middle, "lowest": low, "highest": high}


if __name__ == "__main__":
    main()
