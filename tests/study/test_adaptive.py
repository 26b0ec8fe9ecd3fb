"""``run --adaptive``: choices with the stand-in laboratory, killed and gone on with, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

import tippingpoint
from tippingpoint.errors import ConfigError, InputError
from tippingpoint.study.adaptive import RECORD, Adaptive, Until, left_out, read_until, with_extra_seeds
from tippingpoint.study.execute import Outcome, run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study

Load = Callable[..., Study]
Environment = dict[str, str]
SCHEMA = Path(tippingpoint.__file__).parent / "schemas" / "adaptive.schema.json"
DRIVER = Path(__file__).with_name("adaptive_driver.py")
SETTINGS = (
    "n_pretrain=[60, 120, 240, 480, 900]",
    "endpoint.stage=pretrained",
    "endpoint.downstream=",
    "downstream=[]",
    "n_finetune=[]",
    "recipes.no_pretraining=",
    "recipes.scratch_extra_compute=",
)
MOST = 33  # trainings: the first set has 18, a bundle 1 to 3


@pytest.fixture
def study(load: Load, study_text: str) -> Study:
    """Five sizes, two blocks and four more to choose from; only pretraining."""
    return with_extra_seeds(load(study_text, *SETTINGS), 4)


def go(study: Study, root: Path, environment: Environment, **about: object) -> tuple[Adaptive, Outcome]:
    chooser = Adaptive(study, root, **{"until": Until("boundary", 0.001), "most_cells": MOST, **about})  # type: ignore[arg-type]
    return chooser, run_study(study, root, workers=2, environment=environment, choose=chooser)


def record(root: Path) -> list[dict[str, object]]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    found = [json.loads(line) for line in (root / RECORD).read_text(encoding="utf-8").splitlines()]
    for line in found:
        jsonschema.validate(line, schema)
    return found


def test_it_begins_small_and_trains_only_what_it_chose(study: Study, tmp_path: Path, environment: Environment) -> None:
    root = tmp_path / "study"
    chooser, outcome = go(study, root, environment)
    told = record(root)
    assert (told[0]["why"], told[-1]["why"], outcome.state) == ("first set", "stopped", "done")
    assert chooser.ended == told[-1]["reason"]
    grid = build_grid(study).cells
    first = [grid[key].where for key in told[0]["cells"]]  # type: ignore[attr-defined]
    assert {where["n_pretrain"] for where in first} == {60, 120, 240}
    assert {where["subset_seed"] for where in first} == {0, 1}
    assert {(where["recipe"], where["student"]) for where in first} == {
        ("scratch", 1),
        ("scratch", 2),
        ("distilled", 2),
    }
    chosen = {key for one in told for key in one["cells"]}  # type: ignore[attr-defined]
    cells = [json.loads(line) for line in (root / "cells.jsonl").read_text(encoding="utf-8").splitlines()]
    assert chosen == {cell["key"] for cell in cells if cell["state"] == "done"}
    assert outcome.counts["done"] == len(chosen) <= MOST
    assert outcome.counts["todo"] == len(grid) - len(chosen) > 0
    for line in told[1:-1]:
        assert line["candidates"], "every choice says why"
        assert line["width"] is not None
    assert set(pd.read_csv(root / "runs.csv")["recipe"]) == {"scratch", "distilled"}
    before = (root / RECORD).read_bytes()
    again, outcome = go(study, root, environment)
    assert (outcome.trained, again.ended) == (0, chooser.ended)
    assert (root / RECORD).read_bytes() == before, "nothing new is decided"


def test_killed_in_the_middle_it_goes_on_as_if_it_had_not_been(
    study: Study, tmp_path: Path, environment: Environment, study_text: str
) -> None:
    whole, root = tmp_path / "whole", tmp_path / "killed"
    go(study, whole, environment)
    slow = {**os.environ, **environment, "STUB_SLEEP": "0.1"}
    command = [sys.executable, str(DRIVER), str(tmp_path / "study.yaml"), str(root), str(MOST), *SETTINGS]
    process = subprocess.Popen(command, env=slow, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not ((root / RECORD).is_file() and len(record(root)) >= 3):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert 3 <= len(record(root)) < len(record(whole)), "it was killed in the middle"
    go(study, root, environment)
    assert (root / RECORD).read_bytes() == (whole / RECORD).read_bytes()
    one, other = (pd.read_csv(path / "runs.csv").drop(columns="wall_s") for path in (root, whole))
    pd.testing.assert_frame_equal(one, other)


def test_a_failing_cell_does_not_stop_the_rest(study: Study, tmp_path: Path, environment: Environment) -> None:
    root = tmp_path / "study"
    _, outcome = go(study, root, {**environment, "STUB_FAIL": '"n_images": 480'})
    told = record(root)
    assert outcome.state in ("done", "failed")
    assert told[-1]["why"] == "stopped"
    failed = [label for label in outcome.failures if "480 images" not in label]
    assert not failed
    _, outcome = go(study, tmp_path / "first", {**environment, "STUB_FAIL": '"n_images": 120'})
    assert outcome.state == "failed"
    assert "cannot be asked" in str(record(tmp_path / "first")[-1]["reason"])


def test_a_prediction_can_be_the_aim(study: Study, tmp_path: Path, environment: Environment) -> None:
    about = {"until": Until("prediction", 1e-6), "predict": {"n_pretrain": 900.0}, "most_cells": 24}
    chooser, outcome = go(study, tmp_path / "study", environment, **about)
    assert outcome.counts["done"] <= 24
    assert chooser.width is not None
    assert chooser.width > 1e-6
    loose, _ = go(study, tmp_path / "study", environment, **{**about, "until": Until("prediction", 1e6)})
    assert loose.ended == "the answer is sharp enough: prediction width < 1e+06"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("boundary width < 0.3 decades", Until("boundary", 0.3)),
        (" boundary  width<3e-1", Until("boundary", 0.3)),
        ("boundary width < 1 decade", Until("boundary", 1.0)),
        ("prediction width < 0.02", Until("prediction", 0.02)),
    ],
)
def test_until_is_read(text: str, found: Until) -> None:
    assert read_until(text) == found
    assert read_until(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "width < 0.3",
        "boundary width > 0.3",
        "boundary width < -1 decades",
        "boundary width < 0",
        "boundary width < nan",
        "boundary width < 1e999",
        "boundary width < 0.3 images",
        "prediction width < 0.3 decades",
        "__import__('os')",
        "boundary width < 1+1",
    ],
)
def test_other_forms_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"is not of the form 'boundary width < 0\.3 decades'") as refused:
        read_until(text)
    assert len(refused.value.faults) == 1


def test_what_cannot_be_asked_is_refused_before_anything_starts(load: Load, study_text: str, tmp_path: Path) -> None:
    until = Until("boundary", 0.3)
    with pytest.raises(ConfigError, match="declares no endpoint"):
        Adaptive(load(study_text, "endpoint="), tmp_path / "x", until)
    with pytest.raises(ConfigError, match="has 2 sizes of n_pretrain that scratch and distilled share and 2 blocks"):
        Adaptive(load(study_text, "n_pretrain=[60, 120]", "recipes.scratch_extra_compute="), tmp_path / "x", until)
    with pytest.raises(ConfigError, match="has 3 sizes of n_pretrain that scratch and distilled share and 1 block"):
        Adaptive(load(study_text, "seeds=1"), tmp_path / "x", until)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "words"), [("{", "is damaged"), ("null\n", "is damaged"), ('{"schema_version": 9}\n', "newer version")]
)
def test_a_damaged_record_is_told(study: Study, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / RECORD).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        Adaptive(study, tmp_path, None)


def test_extra_seeds_are_blocks_of_their_own(load: Load) -> None:
    plain = load()
    more = with_extra_seeds(plain, 2)
    assert [block.seed for block in more.config.all_blocks()] == [0, 1, 2, 3]
    assert with_extra_seeds(plain, 0) is plain
    assert set(build_grid(plain).cells) < set(build_grid(more).cells), "what is done stays done"


def test_cells_of_further_blocks_are_missed_by_a_run_without_them(
    load: Load, study: Study, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    root = tmp_path / "study"
    chooser, _ = go(study, root, environment)
    assert left_out(root, chooser.grid.cells) == []
    plain = load(study_text, *SETTINGS)
    run_study(plain, root, workers=2, environment=environment)
    listed = {json.loads(line)["key"] for line in (root / "cells.jsonl").read_text(encoding="utf-8").splitlines()}
    missed = left_out(root, listed)
    assert missed
    assert {chooser.grid.cells[key].where["seed"] for key in missed}.isdisjoint(
        block.seed for block in plain.config.all_blocks()
    )
    assert left_out(tmp_path, listed) == []
