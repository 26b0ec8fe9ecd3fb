"""Where the minutes of a study went.

    python benchmarks/breakdown.py studies/quickstart

Reads what the study published (``cells.jsonl``, ``progress.json``) and makes the report once more to time it. Prints a
Markdown table: cells and worker time by kind and recipe, then how much of the workers' time was training at all.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path


def minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def main() -> None:
    root = Path(sys.argv[1])
    progress = json.loads((root / "progress.json").read_text(encoding="utf-8"))
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in (root / "cells.jsonl").read_text(encoding="utf-8").splitlines():
        cell = json.loads(line)
        if cell["wall_s"] is not None:
            spent[cell["kind"], cell["inputs"]["where"]["recipe"]].append(cell["wall_s"])
    workers, wall = progress["workers"], progress["wall_s"]
    busy = sum(map(sum, spent.values()))
    print(f"{progress['hardware']}, {workers} workers of one thread each, {progress['versions']}\n")
    print("| what | cells | worker time | share |\n| --- | ---: | ---: | ---: |")
    for (kind, recipe), seconds in sorted(spent.items(), key=lambda item: -sum(item[1])):
        total = sum(seconds)
        print(f"| {kind} {recipe} | {len(seconds)} | {minutes(total)} | {total / (workers * wall):.0%} |")
    idle = workers * wall - busy
    print(f"| start of the workers, waiting, writing | | {minutes(idle)} | {idle / (workers * wall):.0%} |")
    begun = time.perf_counter()
    from tippingpoint.report import analyse, page

    page(analyse(root))
    print(
        f"\nTraining: {minutes(wall)} of wall time. Laws, boundaries and report: {time.perf_counter() - begun:.0f} s."
    )


if __name__ == "__main__":
    main()
