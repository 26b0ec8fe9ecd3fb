"""Running a study: with the stand-in laboratory under every mishap, and once with the real one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from stub_lab import execute

import tippingpoint
from tippingpoint.errors import EnvironmentFault, StoreError
from tippingpoint.study.cells import STAGE_VERSIONS
from tippingpoint.study.claims import Runner, holder
from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, load_study
from tippingpoint.study.plan import plan_study
from tippingpoint.study.publish import COLUMNS
from tippingpoint.study.runners.pool import Event
from tippingpoint.study.runners.worker import Reporter, answer
from tippingpoint.study.signals import terminable
from tippingpoint.study.status import study_status

Load = Callable[..., Study]
Environment = dict[str, str]
SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
DRIVER = Path(__file__).with_name("driver.py")


def check_schema(value: object, name: str) -> None:
    jsonschema.validate(value, json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))


def table(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "runs.csv").drop(columns="wall_s")


def trained(environment: Environment) -> list[str]:
    path = Path(environment["STUB_LOG"])
    return path.read_text().split() if path.exists() else []


def check_published(root: Path) -> dict[str, object]:
    progress: dict[str, object] = json.loads((root / "progress.json").read_text())
    check_schema(progress, "progress")
    for line in (root / "cells.jsonl").read_text().splitlines():
        check_schema(json.loads(line), "cells")
    check_schema({"schema_version": 1, **study_status(root)}, "status")
    return progress


def test_a_whole_study(load: Load, tmp_path: Path, environment: Environment) -> None:
    study, root = load(), tmp_path / "study"
    outcome = run_study(study, root, workers=2, environment=environment)
    cells = build_grid(study).cells
    assert (outcome.state, outcome.exit_code, outcome.trained, outcome.reused) == ("done", 0, len(cells), 0)
    assert len(trained(environment)) == len(cells), "every cell starts once"
    frame = pd.read_csv(root / "runs.csv")
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == len(cells) == outcome.n_rows
    assert (frame["schema_version"] == 1).all()
    total = frame["pretrain_flops"] + frame["teacher_flops"] + frame["finetune_flops"]
    pd.testing.assert_series_equal(frame["train_flops"], total, check_names=False, rtol=1e-12)
    paired = frame[frame["stage"] == "pretrained"]
    assert paired["pretrain_id"].nunique() == len(paired)
    assert set(frame["pretrain_id"].dropna()) == set(paired["pretrain_id"])
    progress = check_published(root)
    assert progress["state"] == "done"
    assert study_status(root)["cells"]["done"] == len(cells)


def test_running_again_trains_nothing_and_changes_nothing(load: Load, tmp_path: Path, environment: Environment) -> None:
    root = tmp_path / "study"
    run_study(load(), root, workers=2, environment=environment)
    before, count = (root / "runs.csv").read_bytes(), len(trained(environment))
    again = load()
    outcome = run_study(again, root, workers=2, environment=environment)
    assert (outcome.trained, outcome.state) == (0, "done")
    assert outcome.notes == ["3 images are in two of 3 sets."]
    assert again.laboratory.inspected == 0, "the images are looked at once per study"  # type: ignore[attr-defined]
    assert (root / "runs.csv").read_bytes() == before
    assert len(trained(environment)) == count


def test_a_changed_study_uses_what_is_there_and_says_so(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    root = tmp_path / "study"
    run_study(load(study_text, "seeds=1"), root, workers=2, environment=environment)
    first = set(trained(environment))
    outcome = run_study(load(study_text, "seeds=2"), root, workers=2, environment=environment)
    assert outcome.reused == len(first)
    assert outcome.trained == len(first)
    assert len(trained(environment)) == 2 * len(first), "nothing is trained twice"
    assert "has changed since the last run" in outcome.notes[0]


def test_plan_says_why(load: Load, study_text: str, tmp_path: Path, environment: Environment) -> None:
    root = tmp_path / "study"
    study = load(study_text)
    planned = plan_study(study, root)
    assert not root.exists(), "a plan writes nothing"
    check_schema({"schema_version": 1, **planned.to_dict()}, "plan")
    assert {reason for group in planned.groups for reason in group.reasons} == {"new"}
    assert planned.seconds is not None
    assert plan_study(study, root, timing=False).seconds is None
    run_study(study, root, workers=2, environment=environment)
    assert plan_study(study, root).to_dict()["to_run"] == 0

    def reasons(*overrides: str, **facts: str) -> dict[tuple[str, str], set[str]]:
        groups = plan_study(load(study_text, *overrides, **facts), root, timing=False).groups
        return {(group.kind, group.recipe): set(group.reasons) for group in groups}

    weighted = reasons("recipes.distilled.label_weight=0.9")
    assert weighted[("pretrain", "scratch")] == set()
    assert weighted[("pretrain", "distilled")] == {"config changed at recipes.distilled.label_weight"}
    assert weighted[("finetune", "distilled")] == {"what it starts from changes"}
    assert reasons("model.depth=2")[("pretrain", "scratch")] == set()
    rated = reasons("finetuning.learning_rate=1e-3", "finetuning.batch_size=8")
    assert rated[("finetune", "scratch")] == {"config changed at finetuning.batch_size, finetuning.learning_rate"}
    assert reasons(fingerprint="g")[("pretrain", "scratch")] == {"data changed"}
    assert reasons("seeds=3")[("pretrain", "scratch")] == {"new"}


def test_plan_names_every_cell_and_its_reason(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    study, root = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study"
    cells = build_grid(study).cells
    assert [one.cell.key for one in plan_study(study, root, timing=False).todo] == list(cells)
    failing = {**environment, "STUB_FAIL": '"label_smoothing": 0.1'}
    run_study(study, root, workers=2, environment=failing)
    first, second = [key for key, cell in cells.items() if cell.kind == "finetune" and not cell.where["teacher"]][:2]
    for key in (first, second):
        (root / "cells" / key / "result.json").write_text("{}")
    (root / "quarantine").mkdir()
    (root / "cells" / second).rename(root / "quarantine" / f"{second}.1")
    planned = plan_study(study, root, timing=False)
    reasons = {one.cell.key: one.reason for one in planned.todo}
    assert (reasons.pop(first), reasons.pop(second)) == ("was damaged", "was damaged")
    assert reasons == {
        key: "failed before" if cell.kind == "pretrain" else "new"
        for key, cell in cells.items()
        if cell.where["recipe"] == "smoothed"
    }
    told = {"schema_version": 1, **planned.to_dict(), "each": [one.to_dict() for one in planned.todo]}
    check_schema(told, "plan")


def test_plan_says_that_a_stage_was_raised(
    load: Load, study_text: str, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, root = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study"
    run_study(study, root, workers=2, environment=environment)
    monkeypatch.setitem(STAGE_VERSIONS, "finetune", STAGE_VERSIONS["finetune"] + 1)
    groups = plan_study(study, root, timing=False).groups
    reasons = {
        kind: {why for group in groups if group.kind == kind for why in group.reasons}
        for kind in ("pretrain", "finetune")
    }
    assert reasons == {"pretrain": set(), "finetune": {"stage version raised"}}
    assert check_store(root).faults == (), "cells of the stage before stay sound"


def test_a_failing_cell_stops_only_what_depends_on_it(load: Load, tmp_path: Path, environment: Environment) -> None:
    study, root = load(), tmp_path / "study"
    word = '"label_smoothing": 0.1'
    outcome = run_study(study, root, workers=2, environment={**environment, "STUB_FAIL": word})
    assert (outcome.state, outcome.exit_code) == ("failed", 1)
    assert (outcome.counts["failed"], outcome.counts["blocked"]) == (6, 24)
    assert outcome.counts["done"] == len(build_grid(study).cells) - 30
    assert set(outcome.failures.values()) == {f"RuntimeError: asked to fail at {word}"}
    assert "Traceback" in outcome.logs[0].read_text()
    check_published(root)
    status = study_status(root)
    assert (status["state"], len(status["failures"])) == ("failed", 6)
    planned = plan_study(study, root, timing=False)
    assert {group.recipe: dict(group.reasons) for group in planned.groups if group.kind == "pretrain"}["smoothed"] == {
        "failed before": 6
    }
    again = run_study(study, root, workers=2, environment=environment)
    assert (again.state, again.trained) == ("done", 30)


def test_a_worker_that_is_killed_is_replaced(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    study = load(study_text, "seeds=1", "n_pretrain=[400]")
    outcome = run_study(
        study, tmp_path / "study", workers=2, environment={**environment, "STUB_DIE": '"label_smoothing": 0.1'}
    )
    assert (outcome.counts["failed"], outcome.counts["blocked"]) == (1, 4)
    assert outcome.counts["done"] == len(build_grid(study).cells) - 5
    reason = next(iter(outcome.failures.values()))
    assert reason.startswith("tried 3 times, and the worker process was killed (SIGKILL), most likely because memory")


def test_a_worker_that_is_killed_once_costs_no_cell(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    """As on a cluster: the cell goes on from its checkpoint in another process."""
    study = load(study_text, "seeds=1", "n_pretrain=[400]")
    once = {"STUB_DIE": '"label_smoothing": 0.1', "STUB_LUCK": str(tmp_path / "luck")}
    outcome = run_study(study, tmp_path / "study", workers=2, environment={**environment, **once})
    assert (outcome.state, outcome.trained) == ("done", len(build_grid(study).cells))
    smoothed = next(key for key, cell in build_grid(study).cells.items() if cell.where["recipe"] == "smoothed")
    assert outcome.notes[-1].startswith(f"Trying cell {smoothed[:12]} again: the worker process was killed (SIGKILL)")


def test_what_a_worker_warns_of_reaches_the_user(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    study = load(study_text, "seeds=1", "n_pretrain=[400]")
    warned = {**environment, "STUB_WARN": '"label_smoothing": 0.1'}
    outcome = run_study(study, tmp_path / "study", workers=1, environment=warned)
    assert outcome.notes[-1] == "step-7: is passed over (asked to)"


def test_a_damaged_parent_is_trained_again_before_its_children(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    root, few = tmp_path / "study", "n_finetune=[20]"
    first = run_study(load(study_text, few), root, workers=2, environment=environment)
    hurt = [path for path in sorted((root / "cells").iterdir()) if (path / "weights.safetensors").exists()][:3]
    for folder in hurt:
        path = folder / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    study = load(study_text)
    outcome = run_study(study, root, workers=2, environment=environment)
    assert (outcome.state, outcome.counts["done"]) == ("done", len(build_grid(study).cells))
    assert outcome.trained == len(study_cells(root)) - first.trained + len(hurt)
    assert {path.name for path in (root / "quarantine").iterdir()} == {f"{folder.name}.1" for folder in hurt}
    told = [note for note in outcome.notes if note.endswith("is trained again.")]
    assert sorted(note.partition(" ")[0] for note in told) == [str(folder) for folder in hurt]
    run_study(study, tmp_path / "undisturbed", workers=2, environment=environment)
    pd.testing.assert_frame_equal(table(root), table(tmp_path / "undisturbed"), check_exact=True)


class AtOnce:
    """A pool in this process that takes all that is ready, and tells at once what became of it."""

    size = 1000

    def __init__(self, root: Path, executor: str, todo: int, environment: object, name: str) -> None:
        self.root, self.name, self.orders = root, name, list[dict[str, Any]]()

    def idle(self) -> int:
        return self.size - len(self.orders)

    def submit(self, key: str, order: Mapping[str, Any]) -> None:
        self.orders.append(dict(order))

    def wait(self, timeout: float) -> list[Event]:
        events: list[Event] = []
        for order in self.orders:
            answer(self.root, order, execute, self.name, Reporter(lambda line: events.append(json.loads(line))))
        self.orders.clear()
        return events

    def stop(self) -> None:
        self.orders.clear()


def test_a_damaged_parent_is_told_once_however_many_find_it(load: Load, study_text: str, tmp_path: Path) -> None:
    root, few = tmp_path / "study", ("seeds=1", "n_pretrain=[400]")
    study = load(study_text, *few)
    run_study(load(study_text, *few, "n_finetune=[20]"), root, engine=AtOnce)
    grid = build_grid(study)
    todo = {key for key in grid.cells if not (root / "cells" / key).exists()}
    hurt = next(key for key, below in grid.children().items() if key not in todo and len(todo & set(below)) > 1)
    path = root / "cells" / hurt / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    outcome = run_study(study, root, engine=AtOnce)
    assert (outcome.state, outcome.counts["done"]) == ("done", len(grid.cells))
    (place,) = (root / "quarantine").iterdir()
    (told,) = [note for note in outcome.notes if note.endswith("is trained again.")]
    assert told.startswith(str(path.parent))
    assert f"was moved to {place} and" in told


def study_cells(root: Path) -> list[Path]:
    return [path for path in root.glob("cells/*") if len(path.name) == 64]


def test_a_full_disk_stops_the_run_with_one_sentence(load: Load, tmp_path: Path, environment: Environment) -> None:
    with pytest.raises(EnvironmentFault, match="finished cells are kept") as caught:
        run_study(load(), tmp_path / "study", workers=2, environment={**environment, "STUB_FULL": '"finetune"'})
    assert caught.value.exit_code == 3
    assert run_study(load(), tmp_path / "study", workers=2, environment=environment).state == "done"


def test_workers_that_cannot_start_are_told(load: Load, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="No module named 'stub_lab'"):
        run_study(load(), tmp_path / "study", workers=1, environment={"PYTHONPATH": ""})


def test_two_runs_in_one_directory(load: Load, tmp_path: Path) -> None:
    root = tmp_path / "study"
    with Runner(root, "another study"):
        assert holder(root) == f"process {os.getpid()} on {os.uname().nodename}"
        with pytest.raises(StoreError, match=f"another run holds this study .process {os.getpid()} on"):
            run_study(load(), root)
    assert holder(root) is None


def start(study: Path, root: Path, environment: Environment, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(study), str(root)],
        env={**os.environ, **environment, **more},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_cells(root: Path, count: int, limit: float = 240.0) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if len([path for path in root.glob("cells/*") if len(path.name) == 64]) >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"no {count} cells after {limit} s")


def workers_of(root: Path) -> list[int]:
    """Process ids of the workers of one study directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "tippingpoint.study.runners.worker" in words and str(root) in words:
            found.append(int(entry.parent.name))
    return found


def test_sigkill_loses_only_what_was_in_flight(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    study = load(study_text)
    run_study(study, tmp_path / "undisturbed", workers=2, environment=environment)
    undisturbed = len(trained(environment))
    root = tmp_path / "killed"
    for cells in (3, 12):
        process = start(tmp_path / "study.yaml", root, environment, STUB_SLEEP="0.04")
        wait_for_cells(root, cells)
        process.kill()
        process.wait()
        end = time.monotonic() + 60
        while workers_of(root) and time.monotonic() < end:
            time.sleep(0.02)
        assert not workers_of(root), "a killed runner leaves no orphans"
        assert study_status(root)["state"] == "stopped"
    outcome = run_study(study, root, workers=2, environment=environment)
    assert outcome.state == "done"
    assert outcome.reused >= 12
    assert len(trained(environment)) - undisturbed <= undisturbed + 4, "two kills, two cells in flight each"
    pd.testing.assert_frame_equal(table(root), table(tmp_path / "undisturbed"), check_exact=True)
    assert not list((root / "cells").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_keeps_what_is_finished(
    load: Load, tmp_path: Path, environment: Environment, number: signal.Signals
) -> None:
    load()
    root = tmp_path / "study"
    process = start(tmp_path / "study.yaml", root, environment, STUB_SLEEP="0.1")
    wait_for_cells(root, 3)
    process.send_signal(number)
    assert process.wait(120) == 130
    assert not workers_of(root)
    progress = check_published(root)
    assert progress["state"] == "interrupted"
    assert progress["cells"]["running"] == 0  # type: ignore[index]
    assert study_status(root)["cells"]["done"] >= 3


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_terminal_that_is_closed_ends_a_run_once_unless_nohup_said_otherwise(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGHUP, handler)
    try:
        ends = contextlib.nullcontext() if handler == signal.SIG_IGN else pytest.raises(KeyboardInterrupt)
        with ends, terminable():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)  # while it ends in order
    finally:
        signal.signal(signal.SIGHUP, before)


def kill_all(process: subprocess.Popen[bytes], root: Path) -> list[Path]:
    """Kill a runner and all its workers in the middle of a training; return the unfinished cells they leave."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        process.send_signal(signal.SIGSTOP)  # so that it neither replaces its workers nor gives them a new cell
        for number in workers_of(root):
            os.kill(number, signal.SIGSTOP)
        left = [path for path in (root / "cells").glob(".tmp-*") if not (path / "cell.json").exists()]
        if left:
            break
        for number in (*workers_of(root), process.pid):
            os.kill(number, signal.SIGCONT)
        time.sleep(0.02)
    for number in (*workers_of(root), process.pid):
        os.kill(number, signal.SIGKILL)
    process.wait()
    return [path for path in left if path.exists()]


def on_disk(folder: Path) -> int:
    """Return the bytes that a folder takes where blocks have 4,096."""
    return sum(-(-(4096 if path.is_dir() else path.stat().st_size) // 4096) * 4096 for path in folder.rglob("*"))


@pytest.mark.slow
def test_a_real_study_killed_and_resumed_gives_the_same_table(tmp_path: Path) -> None:
    """The issue's promise: tables identical in all columns but ``wall_s``."""
    small = ["seeds=1", "n_pretrain=[60, 120]", "n_finetune=[40]"]
    words = [word for setting in small for word in ("--set", setting)]
    told = sum(group.disk for group in plan_study(load_study("smoke", small), tmp_path / "whole").groups)
    run_study(load_study("smoke", small), tmp_path / "whole", workers=2)
    weights = len(list((tmp_path / "whole" / "cells").glob("*/weights.safetensors")))
    assert 0 <= on_disk(tmp_path / "whole" / "cells") - told < 2 * 4096 * weights, "but for the weights' last blocks"
    whole, root = table(tmp_path / "whole"), tmp_path / "killed"
    command = [sys.executable, "-m", "tippingpoint", "run", "smoke", "--no-report", "--workers", "2", *words]
    process = subprocess.Popen([*command, "--dir", str(root)], start_new_session=True)
    wait_for_cells(root, 4, limit=120)
    assert kill_all(process, root), "a training was under way"
    assert study_status(root)["state"] == "stopped"
    assert 4 <= study_status(root)["cells"]["done"] < 12
    outcome = run_study(load_study("smoke", small), root, workers=1)
    assert outcome.state == "done"
    assert 4 <= outcome.reused < 12
    assert "Removed what an interrupted run had left" in outcome.notes[0]
    assert len(whole) == whole["cross_entropy"].nunique() == 12, "every cell scores otherwise: a mix-up would show"
    pd.testing.assert_frame_equal(table(root), whole, check_exact=True)
    assert not list((root / "cells").glob(".*"))
    check_published(root)
