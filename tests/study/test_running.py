"""What a run tells of its cells while it lives: as they train, as they end, and after it was killed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from test_execute import workers_of
from test_gc import content
from test_public import STUDY as PUBLIC

import tippingpoint
from tippingpoint.errors import StoreError
from tippingpoint.runs.curves import read_curves
from tippingpoint.study import execute, running
from tippingpoint.study.claims import Runner
from tippingpoint.study.curves import write_curves
from tippingpoint.study.display import Quiet, Snapshot
from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.gc import collect
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.runners import worker
from tippingpoint.study.runners.worker import CURVE_EVERY, CURVE_POINTS, STEP_EVERY, Reporter
from tippingpoint.study.running import DRAWN, Running, left_by_dead_runs
from tippingpoint.study.store import Store

Load = Callable[..., Study]
Environment = dict[str, str]
SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
STUDY = """\
schema_version: 1
name: told
upstream: toys[0-4]
downstream: [beans]
image: {size: 8, channels: 1}
model: {patch_size: 4, depth: 2, head_dim: 4}
n_pretrain: [100, 400]
n_finetune: [20]
recipes:
  scratch: {students: [1, 2]}
  distilled: {pairs: [{teacher: 1, student: 2}], label_weight: 0.5}
seeds: 1
pretraining: {batch_size: 32, learning_rate: 2e-3, length: {epochs: 2, min_steps: 10}}
finetuning: {batch_size: 16, learning_rate: 5e-4, length: {steps: 20}}
"""
DEAD = "host-00000000-999999999-1-0"
DRIVER = Path(__file__).with_name("driver.py")


def check(value: Any, name: str) -> Any:
    jsonschema.validate(value, json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))
    return value


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the curves of a file, every line that has its end as the schema has it."""
    try:
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    except FileNotFoundError:
        return []
    return [check(json.loads(line), "curves") for line in whole.splitlines()]


def telling(root: Path, study: Study, runner: str = "me") -> Running:
    """Return what tells of the cells of a study, for a run that is at work."""
    told = Running(Store(root, write=True), runner, build_grid(study).cells, "toys[0-4]")
    told.open(())
    return told


def finish(root: Path, keys: Iterable[str], points: int = 3) -> None:
    """Lay finished curves where a store keeps them."""
    curve = [{"step": step, "loss": 1 / step, "ce": 0.5} for step in range(1, points + 1)]
    for key in keys:
        (root / "cells" / key).mkdir(parents=True)
        (root / "cells" / key / "curve.json").write_text(json.dumps({"schema_version": 1, "curve": curve}))


class Watching(Quiet):
    """Looks at the folder whenever the display would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.at_work: list[dict[str, Any]] = []
        self.most = 0
        self.by_run: dict[str, set[str]] = {}

    def update(self, look: Callable[[], Snapshot]) -> None:
        for path in (self.root / "running").glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # another run has ended
                cells = check(json.loads(path.read_text(encoding="utf-8")), "running")["cells"]
                self.at_work += cells
                self.by_run.setdefault(path.name, set()).update(cell["key"] for cell in cells)
        for path in (self.root / "running").glob("*.curves.jsonl"):
            found = lines_of(path)
            self.most = max(self.most, len(found))
            assert len({line["key"] for line in found}) == len(found), "each curve is written once"
            known = {line["key"] for line in map(json.loads, (self.root / "cells.jsonl").read_text().splitlines())}
            assert {line["key"] for line in found} <= known


# --- of a run ---


def test_a_run_tells_of_its_cells_and_leaves_nothing(
    load: Load, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "PROGRESS_EVERY", 0.1)
    root = tmp_path / "study"
    seen = Watching(root)
    slow = {**environment, "STUB_SLEEP": "2.5"}
    outcome = run_study(load(STUDY), root, workers=4, display=seen, environment=slow)
    assert outcome.state == "done"
    assert seen.most > 0, "curves come before the end"
    assert any(0 < cell["done"] < cell["total"] for cell in seen.at_work)
    drawn = [cell for cell in seen.at_work if cell["step"]]
    assert drawn, "a training tells its curve while it goes on"
    for cell in drawn:
        assert cell["loss"] == [pytest.approx(2 / step, rel=1e-6) for step in cell["step"]]
        assert len(cell["step"]) == len(cell["ce"]) <= cell["total"]
    assert list((root / "running").iterdir()) == []
    assert len(read_curves(root)) == outcome.trained
    assert check_store(root).faults == ()
    assert collect(root, dry_run=True).orphans == ()


def test_runs_of_one_directory_tell_each_of_their_own(
    tmp_path: Path, environment: Environment, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "PROGRESS_EVERY", 0.1)
    root, study = tmp_path / "run", load(STUDY)
    text = tmp_path / "shared.yaml"
    text.write_text(STUDY, encoding="utf-8")
    slow, seen = {**environment, "STUB_SLEEP": "2.5"}, Watching(root)
    command = [sys.executable, str(DRIVER), str(text), str(root)]
    with subprocess.Popen(command, env={**os.environ, **slow}, stdout=subprocess.PIPE) as other:
        until = time.monotonic() + 240
        while not list((root / "running").glob("*.json")):
            assert other.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        outcome = run_study(study, root, workers=2, display=seen, environment=slow)
        assert other.wait(timeout=240) == 0
    assert (outcome.state, len(seen.by_run)) == ("done", 2)
    first, second = seen.by_run.values()
    assert first
    assert second
    assert not first & second, "no cell is at work in both"
    assert list((root / "running").iterdir()) == []
    assert len(read_curves(root)) == len(build_grid(study).cells)


def test_a_killed_run_leaves_what_the_next_one_takes_away(
    tmp_path: Path, environment: Environment, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, text = tmp_path / "run", tmp_path / "killed.yaml"
    text.write_text(STUDY, encoding="utf-8")
    command = [sys.executable, str(DRIVER), str(text), str(root)]
    with subprocess.Popen(command, env={**os.environ, **environment, "STUB_SLEEP": "1.5"}) as run:
        until = time.monotonic() + 240
        while not list((root / "running").glob("*.curves.jsonl")):
            assert run.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    while workers_of(root):  # one may commit a cell until it finds its run gone
        assert time.monotonic() < until
        time.sleep(0.02)
    left = left_by_dead_runs(root)
    for end in (".json", ".curves.jsonl"):
        assert [path for path in left if path.name.endswith(end)]
    check = check_store(root)
    assert (check.faults, check.cells) == ((), len(list((root / "cells").glob("[0-9a-f]*")))), "they are no cells"
    planned = collect(root, dry_run=True)
    assert {one.path for one in planned.orphans} >= set(left)
    seen = Watching(root)
    dead = {path.name for path in left if path.suffix == ".json"}

    def update(look: Callable[[], Snapshot]) -> None:
        assert not dead & {path.name for path in (root / "running").iterdir()}, "nobody is at work on them any more"
        Watching.update(seen, look)

    monkeypatch.setattr(seen, "update", update)
    outcome = run_study(load(STUDY), root, workers=2, display=seen, environment=environment)
    assert (outcome.state, outcome.reused > 0) == ("done", True)
    assert list((root / "running").iterdir()) == []
    assert len(read_curves(root)) == outcome.trained + outcome.reused


def test_a_run_that_ends_early_is_not_at_work(
    load: Load, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "PROGRESS_EVERY", 0.1)
    root = tmp_path / "study"

    class Interrupt(Watching):
        def update(self, look: Callable[[], Snapshot]) -> None:
            super().update(look)
            if self.at_work:
                raise KeyboardInterrupt

    outcome = run_study(
        load(STUDY), root, workers=2, display=Interrupt(root), environment={**environment, "STUB_SLEEP": "1"}
    )
    assert outcome.state == "interrupted"
    assert list((root / "running").iterdir()) == []


# --- of its files ---


def test_cells_at_work_are_told_in_the_order_they_began(load: Load, tmp_path: Path) -> None:
    told = telling(tmp_path, load())
    first, second, *_ = told.cells
    told.begin(first)
    told.begin(second)
    told.step(
        {"event": "step", "key": first, "done": 3, "total": 7, "curve": {"step": [3], "loss": [1.0], "ce": [2.0]}}
    )
    told.step({"event": "step", "key": first, "done": 4, "total": 7})
    told.publish()
    one, two = check(json.loads(told.path.read_text()), "running")["cells"]
    assert (one["key"], one["done"], one["total"], one["step"], one["loss"]) == (first, 4, 7, [3], [1.0])
    assert (one["label"], one["recipe"]) == (told.cells[first].label, told.cells[first].where["recipe"])
    assert (two["key"], two["done"], two["total"]) == (second, 0, told.cells[second].estimate.n_steps)
    assert two["step"] == two["loss"] == two["ce"] == []
    told.leave(first)
    told.publish()
    assert [cell["key"] for cell in json.loads(told.path.read_text())["cells"]] == [second]
    told.close()
    told.publish()
    assert not told.path.exists(), "nothing is at work any more"


def test_every_kind_of_cell_can_be_told(load: Load, tmp_path: Path) -> None:
    """Also features and probes, which have no training, models by name and teachers."""

    told = telling(tmp_path, load(PUBLIC))
    for key in told.cells:
        told.begin(key)
        told.step({"event": "step", "key": key, "done": 1, "total": 2})
    told.publish()
    cells = check(json.loads(told.path.read_text()), "running")["cells"]
    assert {told.cells[cell["key"]].kind for cell in cells} >= {"features", "probe"}
    assert {cell["stage"] for cell in cells} >= {None, "finetuned"}


def test_of_many_cells_only_some_curves_are_told(load: Load, tmp_path: Path) -> None:
    told = telling(tmp_path, load())
    assert len(told.cells) > DRAWN
    for key in told.cells:
        curve = {"step": [1], "loss": [math.nan], "ce": [2.0]}
        told.step({"event": "step", "key": key, "done": 1, "total": 2, "curve": curve})
    told.publish()
    cells = check(json.loads(told.path.read_text()), "running")["cells"]
    assert [bool(cell["step"]) for cell in cells] == [place < DRAWN for place in range(len(cells))]
    assert cells[0]["loss"] == [None], "strict JSON"


def test_finished_curves_are_only_added(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SELDOM", 1e9)
    told = telling(tmp_path, load())
    keys = list(told.cells)[:6]
    finish(tmp_path, keys)
    sizes = []
    for key in keys:
        told.leave(key, done=True)
        told.publish()
        sizes.append(told.curves.stat().st_size if told.curves.exists() else 0)
    assert len(set(sizes)) == 1, "one writing, then a pause"
    monkeypatch.setattr(running, "AT_ONCE", 2)
    for count in (3, 5, 6):
        before = told.curves.read_bytes()
        told._next = 0.0
        told.publish()
        assert told.curves.read_bytes()[: len(before)] == before
        assert [line["key"] for line in lines_of(told.curves)] == keys[:count]


def test_a_line_is_the_one_that_curves_jsonl_will_have(load: Load, tmp_path: Path, environment: Environment) -> None:
    root, study = tmp_path / "study", load(STUDY)
    run_study(study, root, workers=2, environment=environment)
    (root / "curves.jsonl").unlink()
    told = telling(root, study)
    told.open(list(told.cells))
    told.publish()
    write_curves(root)
    assert sorted(told.curves.read_text().splitlines()) == sorted((root / "curves.jsonl").read_text().splitlines())


def test_only_curves_that_no_file_has_are_caught_up(load: Load, tmp_path: Path) -> None:
    told = telling(tmp_path, load())
    keys = list(told.cells)[:4]
    finish(tmp_path, keys)
    (tmp_path / "curves.jsonl").write_text(
        json.dumps({"schema_version": 1, "key": keys[0]}) + "\n" + json.dumps({"key": keys[1]}), encoding="utf-8"
    )
    told.open(keys)
    told.publish()
    assert [line["key"] for line in lines_of(told.curves)] == keys[1:], "the second stood in half a line"


def test_a_damaged_curve_is_passed_over(load: Load, tmp_path: Path) -> None:
    told = telling(tmp_path, load())
    keys = list(told.cells)[:3]
    finish(tmp_path, keys[::2])
    (tmp_path / "cells" / keys[0] / "curve.json").write_text("{")
    for key in keys:  # one is damaged, one has none
        told.leave(key, done=True)
    told.publish()
    assert [line["key"] for line in lines_of(told.curves)] == [keys[2]]


def test_a_disk_that_refuses_is_one_sentence(load: Load, tmp_path: Path) -> None:
    told = telling(tmp_path, load())
    finish(tmp_path, list(told.cells)[:1])
    told.leave(next(iter(told.cells)), done=True)
    told.curves.mkdir(parents=True)
    with pytest.raises(StoreError, match=rf"^{told.curves}: cannot be written \(Is a directory\); free room"):
        told.publish()
    told.store.root.rename(tmp_path.with_name("moved"))
    with pytest.raises(StoreError, match="has vanished under the run"):
        told.publish()
    assert not tmp_path.exists(), "nothing is made anew"


def test_whoever_ends_removes_what_the_dead_left_and_nothing_else(load: Load, tmp_path: Path) -> None:
    told = telling(tmp_path, load())
    folder = tmp_path / "running"
    folder.mkdir()
    with Runner(tmp_path, "study") as other:
        names = [f"{run}{end}" for run in (other.name, DEAD) for end in (".json", ".curves.jsonl")]
        names += [f".{run}.json.ab_0123x.tmp" for run in (other.name, DEAD)] + ["mine.txt"]
        for name in names:
            (folder / name).write_text("x")
        told.open(())
        assert content(folder) == set(names) - {f"{DEAD}.json", f".{DEAD}.json.ab_0123x.tmp"}
        told.clear()
        assert content(folder) == {name for name in names if DEAD not in name}
        assert not [one for one in collect(tmp_path, dry_run=True).orphans if one.path.parent == folder]
    assert content(folder) - {one.path.name for one in collect(tmp_path, dry_run=True).orphans} == {"mine.txt"}


def test_a_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{DEAD}.json").write_text("x")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "running").symlink_to(tmp_path / "elsewhere")
    assert left_by_dead_runs(tmp_path / "study") == []
    assert left_by_dead_runs(tmp_path / "nothing") == []


# --- of a worker ---


def test_a_worker_tells_a_curve_about_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(worker.time, "monotonic", lambda: now)
    events: list[dict[str, Any]] = []
    out = Reporter(lambda line: events.append(json.loads(line)))
    curve: list[dict[str, float]] = []
    for step in range(1, 401):
        curve.append({"step": step, "loss": 1 / 3, "ce": float(step), "kl": 0.0})
        out.step("key", step, 400, curve)
        now += 0.01
    assert len(events) == math.ceil(4.0 / STEP_EVERY)
    drawn = [event["curve"] for event in events if "curve" in event]
    assert len(drawn) == math.ceil(4.0 / CURVE_EVERY)
    for event, found in zip(events[::2], drawn, strict=True):
        assert found.keys() == {"step", "loss", "ce"}
        assert found["step"][-1] == event["done"], "the newest point is told"
        assert len(found["step"]) == len(found["loss"]) <= CURVE_POINTS
        assert set(found["loss"]) == {0.3333333}
    now += CURVE_EVERY
    out.step("key", 399, 400, curve[:399])  # no multiple of the points that are left out
    assert events[-1]["curve"]["step"][-1] == 399
    now += STEP_EVERY
    out.step("key", 5, 12)
    assert "curve" not in events[-1]
