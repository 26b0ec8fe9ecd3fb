"""How far `plan` and the progress line's time left are from the time that a run then takes.

Command: ``python benchmarks/plan_accuracy.py`` (some ten minutes on two cores; close other programs first). With a
preset's name that one is run in place of ``quickstart``, and nothing is recorded.

The plan is made in an empty directory, so that all it knows is a few steps timed on this machine; the run follows it at
once, without its report. While it runs, the time left that ``progress.json`` tells is noted, and held against the time
that was really left. It writes ``benchmarks/results/plan_accuracy.json``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "plan_accuracy.json"
WANTED = 0.3  # of the measured time
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the cells done, when the time left is looked at


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from tippingpoint.cli import main; sys.exit(main())", *words]


def told(path: Path) -> dict[str, Any]:
    """Return what a run says of itself; nothing where it has not said anything yet."""
    with suppress(OSError, ValueError):
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return {}


def watched(preset: str, root: Path) -> tuple[dict[str, Any], float, list[dict[str, float]]]:
    """Run a study; return its JSON, the seconds of the whole command, and (share done, seconds, seconds left) told."""
    looks: list[dict[str, float]] = []
    started = time.perf_counter()
    with subprocess.Popen(
        command("run", preset, "--dir", str(root), "--no-report", "--json"), stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            time.sleep(1.0)
            now = told(root / "progress.json")
            if now.get("eta_s") is not None:
                share = now["cells"]["done"] / now["cells"]["total"]
                looks.append({"share": share, "at": time.perf_counter() - started, "left": now["eta_s"]})
        seconds = time.perf_counter() - started
        assert process.stdout is not None
        return json.loads(process.stdout.read()), seconds, looks


def measure(preset: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / preset
        started = time.perf_counter()
        asked = command("plan", preset, "--dir", str(root), "--json")
        plan = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
        planning = time.perf_counter() - started
        done, seconds, looks = watched(preset, root)
    at_share = [next((look for look in looks if look["share"] >= share), None) for share in SHARES]
    low, high = plan["seconds_interval"]
    return {
        "command": "python benchmarks/plan_accuracy.py",
        "preset": preset,
        "machine": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
        "workers": plan["workers"],
        "cells": done["cells"]["done"],
        "plan_took_s": round(planning, 1),
        "planned_s": round(plan["seconds"], 1),
        "planned_interval_s": [round(low, 1), round(high, 1)],
        "measured_s": round(seconds, 1),
        "planned_over_measured": round(plan["seconds"] / seconds, 3),
        "wanted": f"within {WANTED:.0%}",
        "holds": abs(plan["seconds"] / seconds - 1) <= WANTED,
        "time_left": [
            {
                "cells_done": round(look["share"], 2),
                "told_s": round(look["left"], 1),
                "really_s": round(seconds - look["at"], 1),
            }
            for look in at_share
            if look is not None
        ],
    }


def main() -> int:
    preset = sys.argv[1] if len(sys.argv) > 1 else "quickstart"
    found = measure(preset)
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if preset == "quickstart":
        RESULT.write_text(text, encoding="utf-8")
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
