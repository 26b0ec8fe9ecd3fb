"""The small version of ``benchmarks/kills.py``: real training, killed three times, against an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the workers to kill are found in /proc")
def test_a_study_that_is_killed_comes_to_the_same(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    command = [sys.executable, str(BENCHMARK), "--kills", "3", "--seed", "1", "--short", "--dry"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout[done.stdout.index('{\n "schema_version"') :])
    assert found["kills"] == 3
    assert sum(found["left"].values()) > 0, "the kills fell into something"
    assert [one["cells"] for one in found["studies"]] == [24]
    for one in found["studies"]:
        same = ("runs_table_identical", "parameters_identical", "files_weights_and_curves_identical")
        assert [one[name] for name in same] == [True, True, True]
        assert (one["faults_by_fsck"], one["left_after_gc"]) == ([], 0)
