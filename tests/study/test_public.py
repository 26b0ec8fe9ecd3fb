"""Public weights: cells of fine-tuned and frozen models, their keys, rows and faults; a study without pretraining."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import tippingpoint
from tippingpoint.advice.next_study import extra_cells, read_cells
from tippingpoint.errors import ConfigError
from tippingpoint.study.endpoint import endpoint_numbers
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.plan import plan_study
from tippingpoint.study.precision import undecided
from tippingpoint.study.publish import write_cells

Load = Callable[..., Study]
STUDY = """\
name: public
downstream: [toys, beans]
image: {size: 8, channels: 1}
model:
  ladder:
    small: {timm: toy_net, arguments: {channels: [2, 4]}, weights: small.pth}
    large: {timm: toy_net, arguments: {channels: [4, 8]}, weights: large.safetensors}
n_finetune: [20, 50, 100]
recipes:
  no_pretraining: {students: [small]}
  public: {students: [small, large], upstream: imagenet, n_pretrain: 1281167}
  public_frozen: {students: [small, large]}
seeds: 2
finetuning: {batch_size: 16, learning_rate: 5e-4, length: {steps: 20}}
endpoint: {recipes: [public, public_frozen], student: small, downstream: beans, along: n_finetune}
"""


def test_cells(load: Load) -> None:
    grid = build_grid(load(STUDY))
    kinds = [cell.kind for cell in grid.cells.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "finetune": (1 + 2) * 2 * 2 * 3,
        "features": 2 * 2,
        "probe": 2 * 2 * 2 * 3,
    }
    for cell in grid.cells.values():
        weights = cell.task["model"].get("weights")
        assert (weights is None) == (cell.where["recipe"] == "no_pretraining"), "the control starts from random weights"
        if cell.kind == "features":
            assert set(cell.task) == {"kind", "model", "data"}
            assert "validation_fraction" not in cell.task["data"], "features are of all images"
            assert cell.parents == {}
        if cell.kind == "probe":
            assert set(cell.task) == {"kind", "model", "data", "n_images", "subset_seed", "score_on"}
            features = grid.cells[cell.parents["features"]]
            assert (features.kind, features.task["model"], features.fingerprint) == (
                "features",
                cell.task["model"],
                cell.fingerprint,
            )


def test_rows(load: Load) -> None:
    study = load(STUDY)
    grid = build_grid(study)
    assert len(grid.rows) == (1 + 2 + 2) * 2 * 2 * 3
    about = {
        (row.columns["recipe"], row.columns["stage"], row.columns["upstream"], row.columns["n_pretrain"], row.pretrain)
        for row in grid.rows
    }
    assert about == {
        ("no_pretraining", "finetuned", None, None, None),
        ("public", "finetuned", "imagenet", 1281167, None),
        ("public_frozen", "finetuned", "public", None, None),
    }
    assert not [row for row in grid.rows if row.columns["n_params_teacher"] is not None]
    endpoint = endpoint_numbers(study, grid)
    assert endpoint is not None
    assert (endpoint["student"], endpoint["upstream"], endpoint["at"]) == (
        "small",
        None,
        {"n_params": 1800, "n_pretrain": None},
    )


def test_weights_count_by_their_content(load: Load) -> None:
    cells = set(build_grid(load(STUDY)).cells)
    assert (
        set(build_grid(load(STUDY, "model.ladder.small.weights=elsewhere/small.pth", "data_dir=there")).cells) == cells
    )
    other = build_grid(load(STUDY, "model.ladder.small.weights=other.pth"))
    changed = {(cell.where["recipe"], cell.where["student"]) for key, cell in other.cells.items() if key not in cells}
    assert changed == {("public", "small"), ("public_frozen", "small")}


def test_a_run_publishes_no_row_for_features(load: Load, tmp_path: Path, environment: dict[str, str]) -> None:
    study = load(STUDY)
    planned = plan_study(study, tmp_path).to_dict()
    outcome = run_study(study, tmp_path, workers=2, environment=environment)
    assert (outcome.state, outcome.trained, outcome.n_rows) == ("done", planned["cells"], planned["rows"])
    disk = {group["kind"]: group["disk_bytes"] / group["cells"] for group in planned["groups"]}
    assert disk["features"] - disk["probe"] == 4 * 1300 * (50 // 5 - 1), "float32 of the stand-in's 1300 images"
    with (tmp_path / "runs.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    frozen = [row for row in rows if row["recipe"] == "public_frozen"]
    assert {(row["pretrain_id"], row["n_pretrain"], row["pretrain_flops"]) for row in frozen} == {("", "", "0.0")}
    assert all(float(row["finetune_flops"]) == float(row["train_flops"]) > 0 for row in frozen)
    schemas = Path(tippingpoint.__file__).parent / "schemas"
    schema = json.loads((schemas / "cells.schema.json").read_text(encoding="utf-8"))
    lines = (tmp_path / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        jsonschema.validate(json.loads(line), schema)
    assert sum(" features of " in json.loads(line)["label"] for line in lines) == 4
    progress = json.loads((schemas / "progress.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((tmp_path / "progress.json").read_text(encoding="utf-8")), progress)
    again = run_study(study, tmp_path, workers=1, environment=environment)
    assert (again.state, again.trained) == ("done", 0)


def test_further_blocks_share_the_features(load: Load, tmp_path: Path) -> None:
    grid = build_grid(load(STUDY))
    write_cells(tmp_path, grid, dict.fromkeys(grid.cells, "todo"), {}, {})
    cells = read_cells(tmp_path)
    more = extra_cells(cells, 2)
    assert len(more) == 2 * (len(cells) - 4) // 2, "a block each, without the four that all blocks share"
    assert {cell["kind"] for cell in more} == {"finetune", "probe"}
    known = {str(cell["key"]) for cell in [*cells, *more]}
    assert all(parent in known for cell in more for parent in cell["inputs"]["parents"].values())
    assert {cell["inputs"]["where"]["seed"] for cell in more} == {2, 3}


def test_weights_that_were_not_fetched(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.ladder\.small\.weights: those of toy_net are not here"):
        load(STUDY, "model.ladder.small.weights=hub")
    study = load(STUDY)
    study.weights["small"] = {"path": "", "sha256": ""}
    notes = plan_study(study, tmp_path, timing=False).notes
    assert notes == [
        "The public weights of 'small' are not here, and 'run' needs them: tippingpoint weights fetch toy_net."
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["recipes.public.students=[2]"], "recipes.public.students.0: the model with 2 heads has no public weights"),
        (["model.ladder.small.weights=null"], "the model 'small' has no public weights"),
        (["recipes.scratch={students: [2]}"], "the key upstream is missing, and a recipe pretrains"),
        (["recipes.scratch={students: [2]}"], "the key n_pretrain is missing"),
        (["recipes.scratch={students: [2]}"], "the key pretraining is missing"),
        (["downstream=[]", "n_finetune=[]", "endpoint=null"], "public weights, but downstream names no set"),
        (["endpoint.along=n_pretrain"], "public has no n_pretrain here; it can be compared"),
        (["endpoint.recipes=[public, no_pretraining]"], "no_pretraining has no n_pretrain"),
        (["endpoint.student=large", "recipes.public.students=[small]"], "a student 'large' is not among"),
        (["finetuning=null"], "the key finetuning (batch_size, …) is missing"),
        (["recipes.public.n_pretrain=0.5"], "recipes.public.n_pretrain"),
        (["augmentation={crop_padding: 8}"], "augmentation: 8 pixels are too many"),
        (["augmentation_of.pots={flip: true}"], "'pots' is not among the study's sets (toys, beans)"),
    ],
)  # fmt: skip
def test_faults(load: Load, changes: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(STUDY, *changes)
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


def test_frozen_features_alone_need_no_training_settings(load: Load) -> None:
    alone = ("recipes.public=null", "recipes.no_pretraining=null", "finetuning=null", "endpoint=null")
    grid = build_grid(load(STUDY, *alone))
    assert {cell.kind for cell in grid.cells.values()} == {"features", "probe"}
    assert undecided(load(STUDY, *alone, "precision=auto")) == {}, "nor has a precision anything to do with them"
