"""``run --budget``: what is taken first, what fits, and that a larger budget goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

import tippingpoint
from tippingpoint.errors import InputError
from tippingpoint.study.budget import RECORD, Budget, Budgeted, bundles, read_budget
from tippingpoint.study.execute import Outcome, run_study
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.load import Study

Load = Callable[..., Study]
Environment = dict[str, str]
SCHEMA = Path(tippingpoint.__file__).parent / "schemas" / "budget.schema.json"
SIZES = "n_pretrain=[60, 120, 240, 400, 480, 700, 900]"


@pytest.fixture
def study(load: Load, study_text: str) -> Study:
    return load(study_text, SIZES, "seeds=4")


def work(grid: Grid, keys: Iterable[str]) -> float:
    return sum(grid.cells[key].estimate.work for key in keys)


def whole(study: Study) -> float:
    grid = build_grid(study)
    return work(grid, grid.cells)


def flops(study: Study, root: Path, share: float) -> Budgeted:
    return Budgeted(study, root, Budget("flops", share * whole(study)), 2)


def go(study: Study, root: Path, environment: Environment, share: float) -> tuple[Budgeted, Outcome]:
    chooser = flops(study, root, share)
    return chooser, run_study(study, root, workers=2, environment=environment, choose=chooser)


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("2h", "seconds", 7200),
        ("45min", "seconds", 2700),
        ("90s", "seconds", 90),
        ("1.5d", "seconds", 129_600),
        ("1_000 s", "seconds", 1000),
        ("1e16flops", "flops", 1e16),
        ("3 FLOPs", "flops", 3),
    ],
)
def test_a_budget_is_read(text: str, unit: str, amount: float) -> None:
    assert read_budget(text) == (unit, amount)


@pytest.mark.parametrize("text", ["", "2", "h", "0h", "-1h", "inf h", "nanh", "2 weeks", "1e999flops", "2h30", "e h"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not of the form 2h, 45min"):
        read_budget(text)


def test_the_order_begins_with_the_least_that_can_be_used(study: Study) -> None:
    grid = build_grid(study)
    order = bundles(study, grid)
    first = [grid.cells[key].where for key in order[0].keys]
    assert {where["recipe"] for where in first} == {"scratch", "distilled"}
    assert {where["n_pretrain"] for where in first} == {60, 120, 240}
    assert {where["seed"] for where in first} == {0, 1}
    assert {(where["downstream"], where["n_finetune"], where["student"]) for where in first} == {("beans", 50, 2)}
    assert [bundle.size for bundle in order if bundle.step == 2] == [480, 900, 400, 700], "spread, then between"
    assert {grid.cells[key].where["seed"] for bundle in order if bundle.step == 3 for key in bundle.keys} == {2, 3}
    assert [bundle.step for bundle in order] == sorted(bundle.step for bundle in order)
    counted = Counter(key for bundle in order for key in bundle.keys)
    assert counted == Counter(dict.fromkeys((row.cell for row in grid.rows), 1)), "every row is in one bundle"


def test_no_side_of_a_comparison_is_alone(study: Study, tmp_path: Path) -> None:
    grid = build_grid(study)
    for share in (0.1, 0.2, 0.4, 0.7):
        chosen = set(flops(study, tmp_path, share).chosen)
        assert all(set(grid.cells[key].parents.values()) <= chosen for key in chosen), "with all it starts from"
        rows = [row for row in grid.rows if row.cell in chosen and row.columns["student"] == "heads=2"]
        sides: dict[str, set[object]] = {"scratch": set(), "distilled": set()}
        for row in rows:
            if row.columns["recipe"] in sides and row.columns["downstream"] == "beans":
                place = ("n_pretrain", "n_finetune", "subset_seed", "seed")
                sides[row.columns["recipe"]].add(tuple(row.columns[name] for name in place))
        assert sides["distilled"]
        assert sides["distilled"] == sides["scratch"]


def test_it_fits_and_grows(study: Study, tmp_path: Path) -> None:
    grid = build_grid(study)
    before: set[str] = set()
    total = whole(study)
    for share in (0.1, 0.3, 0.6, 1.0):
        chooser = flops(study, tmp_path, share)
        assert chooser.cost == pytest.approx(work(grid, chooser.chosen), rel=1e-12)
        assert chooser.cost <= share * total * (1 + 1e-12)
        assert chooser() == chooser.chosen
        assert chooser() == ()
        assert before <= set(chooser.chosen), "a larger budget goes on with what the smaller one chose"
        before = set(chooser.chosen)
        jsonschema.validate(json.loads((tmp_path / RECORD).read_text()), json.loads(SCHEMA.read_text()))
    assert before == set(grid.cells)
    assert "the whole study fits" in chooser.sentence()


def test_it_says_what_is_left_out(study: Study, tmp_path: Path) -> None:
    said = flops(study, tmp_path, 0.05).sentence()
    assert "Left out: recipes smoothed, scratch_extra_compute" in said
    assert "students heads=4" in said
    assert "n_pretrain 700; blocks 3/3; 771 cells in all." in said


def test_less_than_a_second_is_not_called_none() -> None:
    assert [str(read_budget(text)) for text in ("0.004s", "1s", "2h")] == ["0.004 s", "1 s", "2 h 00 min"]


def test_too_little_is_refused_before_anything_is_written(study: Study, tmp_path: Path) -> None:
    root = tmp_path / "none"
    with pytest.raises(InputError, match=r"too little: the least .*scratch and distilled .*in 2 blocks.* takes up to"):
        flops(study, root, 1e-6)
    assert not root.exists()


def test_time_counts_workers_and_the_slowest_timing(study: Study, tmp_path: Path) -> None:
    """The stand-in's steps take up to 0.014 s."""
    grid = build_grid(study)
    one, two = (Budgeted(study, tmp_path, Budget("seconds", 60.0), workers) for workers in (1, 2))
    assert one.cost <= 60
    assert two.cost <= 60
    assert len(two.chosen) > len(one.chosen)
    steps = sum(grid.cells[key].estimate.n_steps for key in one.chosen)
    assert one.cost > 0.014 * steps, "scoring comes on top"


def test_time_on_a_cluster_is_by_its_room_and_by_steps_timed_here(
    load: Load, study_text: str, tmp_path: Path, environment: Environment
) -> None:
    hour = Budget("seconds", 60.0)
    study = load(study_text, SIZES, "seeds=4")
    with pytest.raises(InputError, match="no node of the cluster has room now; say with --workers"):
        Budgeted(study, tmp_path, hour, 0)
    with pytest.raises(InputError, match=r"this machine has no GPU for steps to be timed first; give .* in FLOPs"):
        Budgeted(study, tmp_path, hour, 2, "cuda")
    here = Budgeted(load(study_text, SIZES, "seeds=4", gpus=1), tmp_path, hour, 2, "cuda")
    assert 0 < here.cost <= 60
    root = tmp_path / "study"
    run_study(study, root, workers=2, environment=environment)
    assert Budgeted(study, root, hour, 2, "cuda").to_dict()["cells"] > 0, "what is done needs no timing"


def test_a_part_runs_and_goes_on(study: Study, tmp_path: Path, environment: Environment) -> None:
    root = tmp_path / "study"
    chooser, outcome = go(study, root, environment, 0.08)
    assert (outcome.state, outcome.trained) == ("done", len(chooser.chosen))
    frame = pd.read_csv(root / "runs.csv")
    assert len(frame) == outcome.n_rows
    again, outcome = go(study, root, environment, 0.08)
    assert (again.chosen, outcome.trained) == (chooser.chosen, 0), "the same command is done"
    more, outcome = go(study, root, environment, 0.2)
    assert set(chooser.chosen) < set(more.chosen)
    assert outcome.trained == len(more.chosen) - len(chooser.chosen)


def test_a_damaged_record_is_told(study: Study, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"schema_version": 1, "cells": 3}', encoding="utf-8")
    with pytest.raises(InputError, match=r"budget\.json: is damaged and cannot be read; delete it"):
        flops(study, tmp_path, 0.2)
    (tmp_path / RECORD).write_text('{"schema_version": 9, "unit": "flops", "amount": 1, "cells": []}', encoding="utf-8")
    with pytest.raises(InputError, match="newer version"):
        flops(study, tmp_path, 0.2)


def test_without_an_endpoint_everything_is_the_question(load: Load, study_text: str, tmp_path: Path) -> None:
    text = "\n".join(line for line in study_text.splitlines() if not line.startswith("endpoint"))
    study = load(text, SIZES, "recipes.no_pretraining=")
    grid = build_grid(study)
    order = bundles(study, grid)
    assert {grid.cells[key].where["recipe"] for key in order[0].keys} == {"scratch", "distilled", "smoothed"}
    assert {bundle.step for bundle in order} == {1, 2}
    assert {key for bundle in order for key in bundle.keys} == {row.cell for row in grid.rows}


def test_a_further_block_is_whole_or_not_there(study: Study, tmp_path: Path) -> None:
    grid = build_grid(study)
    seen = set()
    for share in (0.04, 0.06, 0.08, 0.1):
        chosen = set(flops(study, tmp_path, share).chosen)
        core = [key for bundle in bundles(study, grid) if bundle.step < 4 for key in bundle.keys if key in chosen]
        sizes: dict[int, set[object]] = {}
        for key in core:
            sizes.setdefault(grid.cells[key].where["seed"], set()).add(grid.cells[key].where["n_pretrain"])
        assert sizes[0] == sizes[1]
        assert all(found == sizes[0] for found in sizes.values())
        seen.add((len(sizes), len(sizes[0])))
    assert len(seen) > 1, "the budgets differ in what they allow"
