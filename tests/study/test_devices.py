"""Where workers train: dealt out to the GPUs there are, one sentence where there are none."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tippingpoint.errors import EnvironmentFault, InputError
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.runners.devices import choose_devices, count_workers
from tippingpoint.study.runners.local import LocalWorkers, usable_cores

Load = Callable[..., Study]


def test_which_devices(load: Load) -> None:
    none, two = load().laboratory, load(gpus=2).laboratory
    assert choose_devices("auto", none) == choose_devices("cpu", none) == choose_devices("cpu", two) == ("cpu",)
    assert choose_devices("auto", two) == choose_devices("cuda", two) == ("cuda:0", "cuda:1")
    with pytest.raises(EnvironmentFault, match="--device cuda: torch finds no CUDA device here") as caught:
        choose_devices("cuda", none)
    assert (caught.value.exit_code, len(caught.value.faults)) == (3, 1)
    with pytest.raises(InputError, match="must be cpu, cuda or auto"):
        choose_devices("tpu", two)


def test_how_many_workers() -> None:
    assert count_workers(("cpu",), None, None) == count_workers(("cpu",), None, 3) == usable_cores()
    assert count_workers(("cuda:0", "cuda:1"), None, None) == 2
    assert count_workers(("cuda:0", "cuda:1"), None, 3) == 6
    assert count_workers(("cuda:0",), 5, None) == count_workers(("cpu",), 5, None) == 5
    with pytest.raises(InputError, match="give one of them"):
        count_workers(("cuda:0",), 5, 2)


def test_workers_are_dealt_out_in_turn(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker is told one device; a cell's key and the table do not depend on it."""
    started: list[str] = []
    start = LocalWorkers._start

    def noted(pool: LocalWorkers, device: str) -> None:
        started.append(device)
        start(pool, device)

    monkeypatch.setattr(LocalWorkers, "_start", noted)
    monkeypatch.setenv("TIPPINGPOINT_DEVICE", "cuda:7")  # the option rules
    study = load(study_text, "seeds=1", "n_pretrain=[400]", "n_finetune=[20]")
    slow = {**environment, "STUB_SLEEP": "0.05", "STUB_DEVICES": str(tmp_path / "devices.log")}
    outcome = run_study(study, tmp_path / "a", workers=5, environment=slow, devices=("cuda:0", "cuda:1"))
    assert outcome.state == "done"
    assert Counter(started) == {"cuda:0": 3, "cuda:1": 2}
    assert set((tmp_path / "devices.log").read_text(encoding="utf-8").split()) == {"cuda:0", "cuda:1"}
    run_study(study, tmp_path / "b", workers=1, environment=slow)
    assert started[5:] == ["cpu"]
    tables = [(tmp_path / name / "runs.csv").read_text(encoding="utf-8").splitlines() for name in ("a", "b")]
    place = tables[0][0].split(",").index("wall_s")
    without = [[",".join(c for n, c in enumerate(row.split(",")) if n != place) for row in rows] for rows in tables]
    assert without[0] == without[1]


def test_a_worker_that_replaces_another_gets_its_device(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    log = tmp_path / "devices.log"
    deadly = {**environment, "STUB_DIE": '"model": {"depth": 2, "head_dim": 4, "heads": 4', "STUB_DEVICES": str(log)}
    study = load(study_text, "seeds=1", "n_pretrain=[400]", "downstream=[]", "n_finetune=[]", "endpoint=null",
                 "recipes.no_pretraining=null")  # fmt: skip
    outcome = run_study(study, tmp_path / "a", workers=1, environment=deadly, devices=("cuda:3", "cuda:4"))
    assert outcome.counts["failed"] == 2, "the large students, which run before the controls"
    assert set(log.read_text(encoding="utf-8").split()) == {"cuda:3"}
    again = 2 * 2  # each of the two is tried three times
    assert len(log.read_text(encoding="utf-8").split()) == len(build_grid(study).cells) + again


def test_the_pool_itself_deals(tmp_path: Path) -> None:
    pool = LocalWorkers(tmp_path, "json:loads", 3, None, "", ("cuda:0", "cuda:1"))
    try:
        assert [worker.device for worker in pool._workers] == ["cuda:0", "cuda:1", "cuda:0"]
        end = time.monotonic() + 30
        while not all(worker.ready for worker in pool._workers) and time.monotonic() < end:
            pool.wait(0.1)
    finally:
        pool.stop()
