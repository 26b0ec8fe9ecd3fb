"""Claims: many runs of one study at a time, killed or not, and no cell is trained or committed twice."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tippingpoint.errors import StoreError
from tippingpoint.study import claims
from tippingpoint.study.cell_files import begin_cell
from tippingpoint.study.claims import Runner, holder, is_dead, live_runners
from tippingpoint.study.display import Quiet, Snapshot
from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.gc import collect
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, dump_config
from tippingpoint.study.status import study_status
from tippingpoint.study.store import Store

Load = Callable[..., Study]
Environment = dict[str, str]
DRIVER = Path(__file__).with_name("driver.py")
KEY = "a" * 64


# --- claims themselves ---


def dead_process() -> str:
    """Name a runner of this host whose process has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return f"{claims._host()}-{done.pid}-1-0"


def leave(root: Path, runner: str, key: str = KEY, number: int = 0, *, age: float = 0.0) -> Path:
    """Write what a runner leaves that did not end by itself."""
    (root / "claims").mkdir(exist_ok=True)
    about = root / "claims" / f"{runner}.json"
    about.write_text(json.dumps({"schema_version": 1, "host": "h", "pid": 1, "study": "", "alone": False}))
    os.utime(about, (time.time() - age,) * 2)
    path = root / "claims" / f"{key}.{number}"
    path.write_text(json.dumps({"schema_version": 1, "runner": runner}))
    return path


def test_a_cell_is_taken_once_and_given_back(tmp_path: Path) -> None:
    with Runner(tmp_path, "s") as one, Runner(tmp_path, "s") as two:
        assert one.name != two.name
        assert one.take(KEY)
        assert not one.take(KEY)
        assert not two.take(KEY)
        assert not two.is_free(KEY)
        assert two.take("b" * 64)
        one.release(KEY)
        assert two.is_free(KEY)
        assert two.take(KEY)
    assert list((tmp_path / "claims").iterdir()) == [], "who ends leaves nothing"


def test_many_threads_want_one_cell(tmp_path: Path) -> None:
    """Never two at a time; among those who try again, all get their turn."""
    inside, most, turns = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        with Runner(tmp_path, "s") as runner:
            end = time.monotonic() + 30
            while not runner.take(KEY):
                assert time.monotonic() < end
                time.sleep(0.001)
            with guard:
                inside += 1
                most, turns = max(most, inside), turns + 1
            time.sleep(0.003)
            with guard:
                inside -= 1
            runner.release(KEY)

    leave(tmp_path, dead_process())
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 8)


def test_a_dead_runner_of_this_host_is_known_at_once(tmp_path: Path) -> None:
    with Runner(tmp_path, "s") as runner:
        name = dead_process()
        leave(tmp_path, name)
        assert is_dead(tmp_path, name)
        assert runner.take(KEY)
        reborn = f"{claims._host()}-{os.getpid()}-1-0"
        leave(tmp_path, reborn, "b" * 64)
        assert is_dead(tmp_path, reborn), "the process number lives, but began at another moment"
        assert runner.take("b" * 64)


def test_a_runner_of_another_host_is_dead_when_it_is_silent(tmp_path: Path) -> None:
    with Runner(tmp_path, "") as runner:
        leave(tmp_path, "elsewhere-00000000-12-34-0", age=claims.PATIENCE / 2)
        assert not runner.take(KEY)
        leave(tmp_path, "elsewhere-00000000-12-34-0", age=claims.PATIENCE * 2)
        assert runner.take(KEY)


@pytest.mark.parametrize("off", [-600.0, 600.0])
def test_clocks_that_disagree_free_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """Runners are compared by the clock of the disk that they share, not by their hosts'."""
    monkeypatch.setattr(claims, "time", SimpleNamespace(time=lambda: time.time() + off))
    with Runner(tmp_path, "") as runner:
        leave(tmp_path, "elsewhere-00000000-12-34-0")
        assert not runner.take(KEY)
        leave(tmp_path, "elsewhere-00000000-12-34-0", age=claims.PATIENCE * 2)
        assert runner.take(KEY)


def test_what_removes_goes_by_the_disks_clock_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, "elsewhere-00000000-12-34-0")
    aside = begin_cell_of(tmp_path, "elsewhere-00000000-12-34-0")
    monkeypatch.setattr(claims, "time", SimpleNamespace(time=lambda: time.time() + 600))
    assert collect(tmp_path).orphans == ()
    claims._ahead.clear()  # what one has learnt the other must not rely on
    with pytest.raises(StoreError, match="a run holds this study"):
        check_store(tmp_path, repair=True)
    assert aside.exists()
    assert not list((tmp_path / "claims").glob(".*"))


def test_a_look_at_the_clock_that_was_killed_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "claims" / ".clock-elsewhere-00000000-12"
    with Runner(tmp_path, ""):
        left.touch()
    with Runner(tmp_path, ""):
        assert not left.exists()


def test_a_run_that_has_ended_does_not_show_itself_again(tmp_path: Path) -> None:
    """Its heart may beat once more while it leaves."""
    with Runner(tmp_path, "") as runner:
        assert runner.path.exists()
    runner._show()
    assert not runner.path.exists()


def test_a_run_asks_a_shared_disk_anew_before_it_trains_what_another_had(
    load: Load, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of a network disk may remember for a while that a cell was not there."""
    root, study, asked = tmp_path / "study", load(), False

    def refresh(self: Store) -> None:
        nonlocal asked
        asked = True

    def has(self: Store, key: str) -> bool:
        nonlocal asked
        assert asked, f"{key[:8]}: what the client remembers was believed"
        asked = False
        return (self.folder(key) / "cell.json").is_file()

    monkeypatch.setattr(Store, "refresh", refresh)
    monkeypatch.setattr(Store, "has", has)
    assert run_study(study, root, workers=1, display=Quiet(), environment=environment).state == "done"


def test_who_was_held_for_dead_leaves_the_newer_claim_alone(tmp_path: Path) -> None:
    with Runner(tmp_path, "s") as sleeper, Runner(tmp_path, "s") as other:
        assert sleeper.take(KEY)
        sleeper.path.unlink()
        assert other.take(KEY)
        sleeper.release(KEY)
        assert not sleeper.take(KEY)
        assert [path.name for path in (tmp_path / "claims").glob(f"{KEY}.*")] == [f"{KEY}.1"]


def test_who_was_held_for_dead_shows_itself_before_it_takes_another_cell(tmp_path: Path) -> None:
    """Else all that it takes from then on would look free to the others."""
    with Runner(tmp_path, "s") as sleeper, Runner(tmp_path, "s") as other:
        sleeper.path.unlink()
        assert sleeper.take(KEY)
        assert not other.take(KEY)
        assert {one["runner"] for one in live_runners(tmp_path)} == {sleeper.name, other.name}
    assert list((tmp_path / "claims").iterdir()) == []


def test_who_was_held_for_dead_shows_itself_by_and_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    with Runner(tmp_path, "s") as sleeper:
        sleeper.path.unlink()
        end = time.monotonic() + 10
        while not sleeper.path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert [one["runner"] for one in live_runners(tmp_path)] == [sleeper.name]
    time.sleep(0.1)
    assert not sleeper.path.exists(), "not after its end"


def test_who_was_held_for_dead_leaves_a_claim_of_the_same_number_alone(tmp_path: Path) -> None:
    """Who swept the claims of the dead begins to count anew."""
    with Runner(tmp_path, "s") as sleeper, Runner(tmp_path, "s") as other:
        assert sleeper.take(KEY)
        assert sleeper.holds(KEY)
        for path in (tmp_path / "claims" / f"{KEY}.0", sleeper.path):
            path.unlink()
        assert not sleeper.holds(KEY)
        assert other.take(KEY)
        assert not sleeper.holds(KEY)
        sleeper.release(KEY)
        assert other.holds(KEY)
        assert not sleeper.take(KEY)


def test_who_wakes_beside_a_run_of_other_settings_ends(tmp_path: Path) -> None:
    with Runner(tmp_path, "s") as sleeper:
        sleeper.path.unlink()
        with Runner(tmp_path, "other"), pytest.raises(StoreError, match="with other settings"):
            sleeper.take(KEY)


def test_in_a_copy_of_a_directory_its_live_runner_is_dead_by_and_by(tmp_path: Path) -> None:
    """Nobody touches the copy: who waited for the runner's cells there would wait until the other study ends."""
    root, copy = tmp_path / "study", tmp_path / "copy"
    with Runner(root, "s") as runner:
        assert runner.take(KEY)
        shutil.copytree(root, copy)
        long_ago = time.time() - 2 * claims.PATIENCE
        for folder in (root, copy):
            os.utime(folder / "claims" / f"{runner.name}.json", (long_ago,) * 2)
        assert not is_dead(root, runner.name), "it may be asleep"
        assert is_dead(copy, runner.name)
        with Runner(copy, "other settings") as other:
            assert other.take(KEY)


def test_a_run_that_ended_while_the_disk_was_away_is_dead_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may live on, as a notebook's does."""
    monkeypatch.setattr(claims, "BEAT", 0.02)
    root, away = tmp_path / "study", tmp_path / "away"
    with Runner(root, "s") as runner:
        assert runner.take(KEY)
        root.rename(away)
    away.rename(root)
    time.sleep(0.1)
    assert live_runners(root) == []
    with Runner(root, "s") as again:
        assert again.take(KEY)


def test_a_claim_that_names_nobody_counts_while_it_is_young(tmp_path: Path) -> None:
    with Runner(tmp_path, "s") as runner:
        path = tmp_path / "claims" / f"{KEY}.0"
        path.write_text("")
        assert not runner.take(KEY)
        os.utime(path, (time.time() - 2 * claims.PATIENCE,) * 2)
        assert runner.take(KEY)


def test_a_runner_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    with Runner(tmp_path, "s") as runner:
        os.utime(runner.path, (1.0, 1.0))
        end = time.monotonic() + 10
        while runner.path.stat().st_mtime < time.time() - 5 and time.monotonic() < end:
            time.sleep(0.02)
        assert time.time() - runner.path.stat().st_mtime < 5
        assert holder(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"
    assert holder(tmp_path) is None


def test_who_begins_sweeps_what_the_dead_left(tmp_path: Path) -> None:
    leave(tmp_path, dead_process())
    aside = begin_cell_of(tmp_path, dead_process())
    planned = collect(tmp_path, dry_run=True)
    assert len(planned.orphans) == 3
    with Runner(tmp_path, "s") as runner:
        assert [path.name for path in (tmp_path / "claims").iterdir()] == [f"{runner.name}.json"]
        ours = begin_cell_of(tmp_path, runner.name)
        Store(tmp_path, write=True).close()
        assert not aside.exists()
        assert ours.exists(), "what a live run has in work stays"


def begin_cell_of(root: Path, runner: str) -> Path:
    (root / "cells").mkdir(exist_ok=True)
    return begin_cell(root, "d" * 64, runner)


def test_runs_of_other_settings_or_alone_do_not_share(tmp_path: Path) -> None:
    with Runner(tmp_path, "s") as first:
        for settings, alone, told in (("other", False, "with other settings"), ("s", True, "must be alone")):
            with pytest.raises(StoreError, match=rf"another run holds this study \(process \d+ on .*{told}"):
                Runner(tmp_path, settings, alone=alone).__enter__()
        assert [one["runner"] for one in live_runners(tmp_path)] == [first.name], "who is refused leaves nothing"
    with Runner(tmp_path, "s", alone=True), pytest.raises(StoreError, match="must be alone"):
        Runner(tmp_path, "s").__enter__()


# --- whole studies ---


def start(study: Path, root: Path, environment: Environment, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(study), str(root)],
        env={**os.environ, **environment, **more},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def trained(environment: Environment) -> list[str]:
    return Path(environment["STUB_LOG"]).read_text().split()


def table(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "runs.csv").drop(columns="wall_s")


def check_whole(root: Path, cells: int) -> None:
    found = check_store(root)
    assert (found.faults, found.cells, found.unfinished) == ((), cells, 0)
    status = study_status(root)
    assert (status["state"], status["rows"], status["held_by"]) == ("done", cells, None)
    assert list((root / "claims").iterdir()) == []
    assert collect(root).orphans == ()


def test_four_runners_start_every_cell_once(load: Load, tmp_path: Path, environment: Environment) -> None:
    cells, root = len(build_grid(load()).cells), tmp_path / "study"
    assert cells >= 110
    runners = [start(tmp_path / "study.yaml", root, environment, STUB_SLEEP="0.02") for _ in range(4)]
    assert [runner.wait(600) for runner in runners] == [0, 0, 0, 0]
    assert len(trained(environment)) == len(set(trained(environment))) == cells
    check_whole(root, cells)


def test_killed_runners_commit_every_cell_once(load: Load, tmp_path: Path, environment: Environment) -> None:
    study, root = load(), tmp_path / "study"
    cells = len(build_grid(study).cells)
    seen: dict[str, int] = {}
    kills = 4

    def look() -> int:
        for path in root.glob("cells/*"):
            if len(path.name) == 64:
                number = path.stat().st_ino
                assert seen.setdefault(path.name, number) == number, "a cell was committed twice"
        return len(seen)

    runners = [start(tmp_path / "study.yaml", root, environment, STUB_SLEEP="0.05") for _ in range(4)]
    end = time.monotonic() + 600
    for kill in range(kills):
        while look() < (kill + 1) * cells // (kills + 2) and time.monotonic() < end:
            time.sleep(0.01)
        killed = runners.pop(0)
        killed.kill()
        killed.wait()
        runners.append(start(tmp_path / "study.yaml", root, environment, STUB_SLEEP="0.05"))
    while any(runner.poll() is None for runner in runners) and time.monotonic() < end:
        look()
        time.sleep(0.02)
    assert [runner.wait(60) for runner in runners] == [0, 0, 0, 0]
    assert look() == cells
    assert cells <= len(trained(environment)) <= cells + 2 * kills, "a kill costs what two workers had in work"
    check_whole(root, cells)
    run_study(study, tmp_path / "undisturbed", workers=2, environment=environment)
    pd.testing.assert_frame_equal(table(root), table(tmp_path / "undisturbed"), check_exact=True)


class Sleep(Quiet):
    """What another run does, once, while this one is held for dead: it takes a cell, and removes what lay aside."""

    def __init__(self, root: Path, settings: str, stack: ExitStack) -> None:
        self.root, self.settings, self.stack = root, settings, stack
        self.taken = ""

    def update(self, look: Callable[[], Snapshot]) -> None:
        begun = sorted(self.root.glob("cells/.tmp-*"))
        if self.taken or not begun:
            return
        for path in (self.root / "claims").iterdir():
            path.unlink()
        other = self.stack.enter_context(Runner(self.root, self.settings))
        self.taken = begun[0].name.split("-")[1]
        assert other.take(self.taken)
        shutil.rmtree(begun[0], ignore_errors=True)  # its worker may be writing into it, or have just committed it
        threading.Timer(1.5, lambda: other.release(self.taken)).start()


def test_a_run_that_was_held_for_dead_loses_no_cell_by_it(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    """What it had in work may be another's by now: to find it gone is no failure of the cell."""
    few = ("seeds=1", "n_pretrain=[400]", "downstream=[]", "n_finetune=[]", "endpoint=", "recipes.no_pretraining=")
    study, root = load(study_text, *few), tmp_path / "study"
    with ExitStack() as stack:
        display = Sleep(root, dump_config(study.config), stack)
        outcome = run_study(study, root, workers=1, display=display, environment={**environment, "STUB_SLEEP": "0.6"})
    assert (outcome.state, outcome.failures) == ("done", {})
    assert display.taken in Store(root).done()


class OtherRun(Quiet):
    """Writes, once, the log of a cell that another run has just seen fail."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def update(self, look: Callable[[], Snapshot]) -> None:
        if not self.path.exists():
            self.path.write_text("which cell\nRuntimeError: broken there\n")


def test_what_fails_in_another_run_is_not_tried_again_here(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    study, root = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study"
    last = list(build_grid(study).cells)[-1]
    display = OtherRun(root / "logs" / f"{last}.log")
    outcome = run_study(study, root, workers=1, display=display, environment=environment)
    assert (outcome.state, list(outcome.failures.values())) == ("failed", ["RuntimeError: broken there"])
    again = run_study(study, root, workers=1, environment=environment)
    assert (again.state, again.trained) == ("done", 1), "the next run tries it"
