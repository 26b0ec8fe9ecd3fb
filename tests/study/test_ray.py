"""The Ray engine: on a real cluster of several nodes on this machine, with nodes and the head taken away."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from stub_lab import StubLaboratory

from tippingpoint import cli
from tippingpoint.errors import EnvironmentFault, InputError, MissingExtraError
from tippingpoint.study.display import Quiet, Snapshot
from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, dump_config, load_study
from tippingpoint.study.runners import ray as ray_engine
from tippingpoint.study.runners import worker
from tippingpoint.study.runners.node import train
from tippingpoint.study.runners.ray import RayCluster
from tippingpoint.study.runners.worker import load_executor, run_cell

Load = Callable[..., Study]
HERE = Path(__file__).parent
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'tippingpoint[cluster]'"
)
PATH = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
HEAD_PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "2"}  # Ray waits a minute for a head to come back


class Nodes:
    """A cluster in a process of its own."""

    def __init__(self, *counts: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "ray_nodes.py"), *counts],
            env={**os.environ, **HEAD_PATIENCE, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.address = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline().strip():
            if ":" in line or line.startswith("kill"):
                return line
        pytest.fail("the cluster did not start")

    def kill(self, place: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"kill {place}\n")
        self.process.stdin.flush()
        assert self._line() == f"kill {place}"

    def end(self) -> None:
        self.process.communicate(timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # helpers of the nodes that were killed outlive them


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head that trains nothing and two nodes of one core, one of them with a GPU, or so Ray is told."""
    cluster = Nodes("0,0", "1,1", "1,0")
    yield cluster
    cluster.end()


class Meddler(Quiet):
    """Does one thing after another when so many cells are done and so many in the middle; keeps what it is told."""

    def __init__(self, *deeds: tuple[int, int, Callable[[], object]]) -> None:
        self.deeds = list(deeds)
        self.notes: list[str] = []
        self.until = ""
        self.most_running = 0

    def update(self, look: Callable[[], Snapshot]) -> None:
        now = look()
        self.most_running = max(self.most_running, len(now.running))
        if not self.deeds or (self.until and self.until not in self.notes):
            return
        done, begun, deed = self.deeds[0]
        if now.counts["done"] >= done and sum(steps > 0 for _, steps, _ in now.running) >= begun:
            self.deeds.pop(0)
            deed()

    def note(self, text: str) -> None:
        self.notes.append(text)


def table(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "runs.csv").drop(columns="wall_s")


SMALL = (
    "seeds=1",
    "n_pretrain=[60]",
    "downstream=[]",
    "n_finetune=[]",
    "pretraining.length={steps: 5}",
)


def trained(environment: dict[str, str]) -> list[str]:
    path = Path(environment["STUB_LOG"])
    return path.read_text().split() if path.exists() else []


# --- the address ---


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":6379", "", "head:one"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InputError, match="--ray"):
        RayCluster(address)
    with pytest.raises(InputError, match="--device 'tpu': must be"):
        RayCluster("auto", device="tpu")


def test_without_ray_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tippingpoint\[cluster\]'") as caught:
        RayCluster("auto")
    assert caught.value.exit_code == 3


@needs_ray
def test_an_address_where_nothing_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EnvironmentFault, match=f"--ray {address}: no Ray cluster can be used there") as caught:
            RayCluster(address)
    assert (caught.value.exit_code, len(caught.value.faults)) == (3, 1)


@needs_ray
def test_an_address_where_something_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "PATIENCE", 1.5)
    refused = pytest.raises(EnvironmentFault, match="no Ray cluster can be used there")
    with socket.create_server(("127.0.0.1", 0)) as other, refused as caught:
        RayCluster(f"127.0.0.1:{other.getsockname()[1]}")
    assert len(caught.value.faults) == 1


# --- room ---


@needs_ray
def test_room_is_what_the_scarcest_resource_leaves() -> None:
    from tippingpoint.study.runners.placer import room_for

    def node(*, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"Alive": alive, "Resources": resources}

    small = node(CPU=4.0, memory=3.5e9)
    large = node(CPU=64.0, memory=256e9, GPU=8.0)
    assert room_for({"CPU": 1, "GPU": 0, "memory": 1e9}, [small]) == 3
    assert room_for({"CPU": 1, "GPU": 0, "memory": 0}, [small]) == 4
    assert room_for({"CPU": 1, "GPU": 0.3333, "memory": 1e9}, [small, large]) == 24
    assert room_for({"CPU": 1, "GPU": 0.1, "memory": 0}, [large]) == 64
    assert room_for({"CPU": 1, "GPU": 0, "memory": 0}, [node(alive=False, CPU=8.0), node(CPU=0.0)]) == 0


# --- what a node does ---


def order(load: Load, tmp_path: Path, **more: object) -> dict[str, Any]:
    cell = next(iter(build_grid(load()).cells.values()))
    (tmp_path / "study" / "claims").mkdir(parents=True)
    (tmp_path / "study" / "cells").mkdir()
    (tmp_path / "study" / "claims" / "me.json").write_text("{}")
    return {
        "cell": cell.describe(),
        "parents": {},
        "root": str(tmp_path / "study"),
        "executor": "stub_lab:execute",
        "runner": "me",
        "environment": {},
        "cwd": str(tmp_path),
        "version": ray_engine.__version__,
        **more,
    }


def told(asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in train(json.dumps(asked))]


def test_a_node_trains_a_cell_and_tells(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker, "STEP_EVERY", 1e9)  # one step is told, however slowly they come
    asked = order(load, tmp_path)
    events = told(asked)
    assert [event["event"] for event in events] == ["started", "step", "done"]
    assert {event["key"] for event in events} == {asked["cell"]["key"]}
    assert events[1]["curve"] == {"step": [1], "loss": [2.0], "ce": [1.0]}, "also from another node, for the live page"
    assert (tmp_path / "study" / "cells" / asked["cell"]["key"] / "cell.json").is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "0.0.1"}, "and the run 0.0.1; install one version everywhere"),
        ({"runner": "ended"}, "does not see .*ended.json; the study and the folder"),
        ({"cwd": "/no/such/folder"}, "does not see /no/such/folder; the study and the folder"),
        ({"executor": "no_such_lab:execute"}, "ModuleNotFoundError: No module named 'no_such_lab'"),
    ],
)
def test_a_node_that_cannot_train_says_why(
    change: dict[str, str], said: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    events = told(order(load, tmp_path, **change))
    assert events[-1]["event"] == "broken"
    assert re.search(said, events[-1]["reason"])
    assert not list((tmp_path / "study" / "cells").iterdir()), "nothing was trained"


@pytest.mark.slow
def test_a_real_cell_is_the_same_to_the_last_bit(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = load_study("smoke", SMALL)
    cell = next(iter(build_grid(study).cells.values())).describe()
    asked = order(load, tmp_path, cell=cell, executor=study.laboratory.executor)
    assert told(asked)[-1]["event"] == "done", "trained beside the main thread, as Ray has it"
    (tmp_path / "here" / "cells").mkdir(parents=True)
    run_cell(tmp_path / "here", cell, {}, load_executor(study.laboratory.executor), lambda *_: None)
    files = [tmp_path / root / "cells" / cell["key"] / "weights.safetensors" for root in ("study", "here")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_task_ends_when_its_run_is_no_more(load: Load, tmp_path: Path) -> None:
    asked = order(load, tmp_path, environment={"STUB_SLEEP": "8"})
    code = "import sys; from tippingpoint.study.runners.node import train; print(*train(sys.argv[1]), sep='\\n')"
    words = [sys.executable, "-c", code, json.dumps(asked)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": PATH}, stdout=subprocess.PIPE)
    while not list(tmp_path.glob("study/cells/.tmp-*")):
        assert process.poll() is None
        time.sleep(0.05)
    (tmp_path / "study" / "claims" / "me.json").unlink()
    begun = time.monotonic()
    out, _ = process.communicate(timeout=30)
    assert time.monotonic() < begun + 7, "at the next step, not at the end"
    assert b'"done"' not in out
    assert not list(tmp_path.glob("study/cells/[0-9a-f]*"))


# --- the command ---


@needs_ray
def test_the_command_refuses_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> tuple[int, str]:
        code = cli.main(["run", "smoke", *words])
        return code, capsys.readouterr().err.splitlines()[-1]

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert said("--ray", address)[0] == 3
    assert said("--ray", "ray://head:1")[0] == 2
    assert said("--memory-per-cell", "2") == (
        2,
        "tippingpoint: --memory-per-cell: belongs to --ray; add that, or leave it out.",
    )
    monkeypatch.setattr(ray_engine.importlib.util, "find_spec", lambda _name: None)
    assert said("--ray", "auto") == (
        3,
        "tippingpoint: --ray needs Ray, which is not installed: pip install 'tippingpoint[cluster]'.",
    )
    assert not (tmp_path / "studies").exists(), "nothing is started"


# --- a cluster ---


@pytest.mark.slow
@needs_ray
def test_the_command_trains_on_ray_as_it_does_here(
    load: Load,
    study_text: str,
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    nodes: Nodes,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tippingpoint.study.load.RealLaboratory", StubLaboratory)
    Path("study.yaml").write_text(study_text, encoding="utf-8")
    few = ["--no-report", "--json", "--set", "seeds=1", "--set", "n_pretrain=[400]"]
    on_ray = ["--ray", nodes.address, "--device", "cpu", "--memory-per-cell", "1.5"]
    assert cli.main(["run", "study.yaml", "--dir", "ray", *few, *on_ray]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trained"] == told["rows"] > 0
    run_study(load(study_text, "seeds=1", "n_pretrain=[400]"), "here", workers=1, environment=environment)
    pd.testing.assert_frame_equal(table(Path("ray")), table(Path("here")), check_exact=True)


@pytest.mark.slow
@needs_ray
def test_a_budget_of_time_counts_the_cells_that_the_cluster_has_room_for(
    study_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nodes: Nodes
) -> None:
    """The stand-in's steps take up to 0.014 s, it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tippingpoint.study.load.RealLaboratory", StubLaboratory)
    Path("study.yaml").write_text(study_text, encoding="utf-8")
    words = ["run", "study.yaml", "--no-report", "--json", "--ray", nodes.address, "--device", "cpu"]
    found = {}
    for asked in ([], ["--workers", "1"]):
        assert cli.main([*words, "--dir", f"with {asked}", *asked, "--budget", "35s"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["trained"] == told["budget"]["cells"]
        assert 0 < told["budget"]["cost"] <= 35
        found[len(asked)] = told["budget"]["cells"]
    assert found[0] > found[2] > 0, "two nodes have room for more than one"


@pytest.mark.slow
@needs_ray
def test_half_locally_half_on_ray_gives_the_same_table(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str], nodes: Nodes
) -> None:
    study, root = load(study_text, "seeds=1"), tmp_path / "study"
    keys = list(build_grid(study).cells)
    half = [keys[: len(keys) // 2], []]
    first = run_study(study, root, workers=1, environment=environment, choose=lambda: half.pop(0))
    assert 0 < first.trained < len(keys)
    watch = Meddler()
    with RayCluster(nodes.address, device="cpu") as cluster:
        assert (cluster.device, cluster.room) == ("cpu", 2)
        second = run_study(study, root, environment=environment, engine=cluster.place, display=watch)
    assert (second.state, second.trained, second.reused) == ("done", len(keys) - first.trained, first.trained)
    assert len(trained(environment)) == len(set(trained(environment))) == len(keys), "every cell starts once"
    assert watch.most_running == 2
    assert json.loads((root / "progress.json").read_text())["workers"] == 2
    run_study(study, tmp_path / "undisturbed", workers=1, environment=environment)
    pd.testing.assert_frame_equal(table(root), table(tmp_path / "undisturbed"), check_exact=True)
    assert check_store(root).faults == ()
    assert not list(root.glob("cells/.tmp-*"))


@pytest.mark.slow
@needs_ray
def test_a_cell_that_fails_or_kills_its_process_stops_only_what_depends_on_it(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str], nodes: Nodes
) -> None:
    study, root, watch = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study", Meddler()
    deadly = {**environment, "STUB_DIE": '"label_smoothing": 0.1'}
    with RayCluster(nodes.address, device="cpu") as cluster:
        outcome = run_study(study, root, environment=deadly, engine=cluster.place, display=watch)
    assert (outcome.state, outcome.counts["failed"], outcome.counts["blocked"]) == ("failed", 1, 4)
    assert "was lost 3 times" in next(iter(outcome.failures.values()))
    assert sum(note.startswith("Lost 1 cell at work on node") for note in watch.notes) == 2
    assert outcome.counts["done"] == len(build_grid(study).cells) - 5


@pytest.mark.slow
@needs_ray
def test_cells_share_gpus_and_wait_for_room(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str], nodes: Nodes
) -> None:
    study, root, log = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study", tmp_path / "devices.log"
    two = [list(build_grid(study).cells)[:2], []]
    with RayCluster(nodes.address, per_gpu=2) as cluster:
        assert (cluster.device, cluster.room) == ("cuda", 1), "one node has a GPU, and that one core"
        slow = {**environment, "STUB_DEVICES": str(log)}
        outcome = run_study(study, root, environment=slow, engine=cluster.place, choose=lambda: two.pop(0))
    assert outcome.trained == 2
    assert log.read_text().split() == ["cuda", "cuda"]

    def stop() -> None:
        raise KeyboardInterrupt

    watch = Meddler((2, 0, stop))
    watch.until = "No node of the Ray cluster has room for a cell; waiting until one joins."
    with RayCluster(nodes.address, memory_gb=1e6) as cluster:
        assert cluster.room == 0
        outcome = run_study(study, root, environment=environment, engine=cluster.place, display=watch)
    assert (outcome.state, outcome.trained) == ("interrupted", 0)
    assert watch.until in watch.notes


@pytest.mark.slow
@needs_ray
def test_a_killed_run_leaves_no_task_and_the_study_goes_on(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str], nodes: Nodes
) -> None:
    study, root = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study"
    code = (
        "import sys; from stub_lab import StubLaboratory; from tippingpoint.study.load import load_study;"
        "from tippingpoint.study.execute import run_study; from tippingpoint.study.runners.ray import RayCluster;"
        "cluster = RayCluster(sys.argv[3], device='cpu');"
        "run_study(load_study(sys.argv[1], (), StubLaboratory()), sys.argv[2], engine=cluster.place,"
        " environment={'STUB_SLEEP': '0.5'})"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "study.yaml"), str(root), nodes.address]
    config = tmp_path / "study.yaml"
    config.write_text(dump_config(study.config), encoding="utf-8")
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": PATH})
    end = time.monotonic() + 60
    while len(list(root.glob("cells/[0-9a-f]*"))) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    finished = -1
    while finished < (finished := len(list(root.glob("cells/[0-9a-f]*")))):  # a busy cluster takes its time
        time.sleep(2.0)
    begun = set(root.glob("cells/.tmp-*"))
    assert finished >= 3
    time.sleep(1.0)
    assert len(list(root.glob("cells/[0-9a-f]*"))) == finished, "its tasks have ended with it"
    outcome = run_study(study, root, workers=1, environment=environment)
    assert (outcome.state, outcome.reused) == ("done", finished)
    assert not begun & set(root.glob("cells/.tmp-*"))


def test_what_a_task_warns_of_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, note = RayCluster.__new__(RayCluster), {"event": "note", "text": "step-7 is passed over"}
    cluster._unseen, cluster._busy, cluster.room, cluster._told_no_room = [], {"abc"}, 1, False
    monkeypatch.setattr(cluster, "_read", lambda _: [note])
    assert cluster.wait(0.0) == [note]


def test_what_another_node_committed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = RayCluster.__new__(RayCluster)
    (tmp_path / "cells" / "abc").mkdir(parents=True)
    event = {"event": "done", "key": "abc", "wall_s": 1.0}
    cluster._order, cluster._unseen = {"root": str(tmp_path)}, [(time.monotonic(), event)]
    assert cluster._appeared() == []
    (tmp_path / "cells" / "abc" / "cell.json").write_text("{}")
    assert cluster._appeared() == [event]
    assert cluster._appeared() == []
    monkeypatch.setattr(ray_engine, "TO_APPEAR", -1.0)
    cluster._unseen = [(time.monotonic(), {**event, "key": "def"})]
    with pytest.raises(EnvironmentFault, match="def: was committed by another node and does not show here"):
        cluster._appeared()


@pytest.mark.slow
@needs_ray
def test_losing_a_node_and_then_the_head_loses_nothing_finished(
    load: Load,
    study_text: str,
    tmp_path: Path,
    environment: dict[str, str],
    nodes: Nodes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in HEAD_PATIENCE.items():
        monkeypatch.setenv(name, value)
    study, root = load(study_text, "seeds=1", "n_pretrain=[400]"), tmp_path / "study"
    total = len(build_grid(study).cells)
    watch = Meddler((1, 2, lambda: nodes.kill(2)), (3, 1, lambda: nodes.kill(0)))
    slow = {**environment, "STUB_SLEEP": "2.4"}  # the process of a cell outlives its node by a moment
    with (
        RayCluster(nodes.address, device="cpu") as cluster,
        pytest.raises(EnvironmentFault, match="was lost") as caught,
    ):
        run_study(study, root, environment=slow, engine=cluster.place, display=watch)
    assert caught.value.exit_code == 3
    assert not watch.deeds, "both were taken away"
    assert any(note.startswith("Lost 1 cell at work on node") for note in watch.notes)
    finished = {path.name: path.stat().st_ino for path in root.glob("cells/*") if len(path.name) == 64}
    assert 3 <= len(finished) < total
    outcome = run_study(study, root, workers=1, environment=environment)
    assert (outcome.state, outcome.counts["done"]) == ("done", total)
    assert outcome.reused >= len(finished)
    assert {key: (root / "cells" / key).stat().st_ino for key in finished} == finished, "no cell was committed twice"
    run_study(study, tmp_path / "undisturbed", workers=1, environment=environment)
    pd.testing.assert_frame_equal(table(root), table(tmp_path / "undisturbed"), check_exact=True)
    assert check_store(root).faults == ()
