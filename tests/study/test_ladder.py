"""Models by name: what their cells and rows say, and every wrong name in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import tippingpoint
from tippingpoint.errors import ConfigError
from tippingpoint.study.adaptive import Adaptive
from tippingpoint.study.endpoint import endpoint_numbers, models_of_one_size
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.publish import write_cells
from tippingpoint.study.values import model_name

Load = Callable[..., Study]
LADDER = """
  ladder:
    deep: {heads: 2, depth: 6}
    small: {timm: toy_net, arguments: {channels: [2, 4]}}
    large: {timm: toy_net, arguments: {channels: [4, 8]}}
"""
STUDY = f"""\
name: ladder
upstream: toys[0-4]
downstream: [toys, beans]
image: {{size: 8, channels: 1}}
model:
  patch_size: 4
  depth: 2
  head_dim: 4{LADDER}
n_pretrain: [100, 200, 400]
n_finetune: [20, 50]
recipes:
  scratch: {{students: [1, 2, deep, small, large]}}
  distilled:
    pairs:
      - {{teacher: small, student: large}}
      - {{teacher: [1, 2], student: deep}}
      - {{teacher: [deep, 1], student: 2}}
  grown: {{pairs: [{{teacher: 1, student: 2}}]}}
seeds: 2
pretraining: {{batch_size: 32, learning_rate: 2e-3, length: {{steps: 20}}}}
finetuning: {{batch_size: 16, learning_rate: 5e-4, length: {{steps: 20}}}}
endpoint: {{recipes: [scratch, distilled], student: large, teacher: small, stage: pretrained}}
"""


@pytest.mark.parametrize(
    ("models", "said"),
    [(4, "heads=4"), ((2, 4), "heads=2+4"), ("deep", "deep"), (("a", "b"), "a+b"), ((2, "deep"), "heads=2+deep")],
)
def test_names_of_models(models: int | str | tuple[int | str, ...], said: str) -> None:
    assert model_name(models) == said


def test_a_task_says_the_shape_behind_a_name(load: Load) -> None:
    grid = build_grid(load(STUDY))
    shapes = {
        row.columns["student"]: grid.cells[row.cell].task["model"]
        for row in grid.rows
        if row.columns["recipe"] == "scratch"
    }
    shared = {"patch_size": 4, "head_dim": 4}
    assert shapes == {
        "heads=1": {**shared, "depth": 2, "heads": 1},
        "heads=2": {**shared, "depth": 2, "heads": 2},
        "deep": {**shared, "depth": 6, "heads": 2},
        "small": {"timm": "toy_net", "arguments": {"channels": [2, 4]}},
        "large": {"timm": "toy_net", "arguments": {"channels": [4, 8]}},
    }


def test_the_order_of_teachers_does_not_matter(load: Load) -> None:
    study = load(STUDY)
    assert study.config.recipes.distilled is not None
    assert study.config.recipes.distilled.pairs[2].teacher == (1, "deep")
    turned = load(STUDY.replace("[deep, 1]", "[1, deep]"))
    assert list(build_grid(turned).cells) == list(build_grid(study).cells)


def test_rows_and_labels_name_models(load: Load) -> None:
    grid = build_grid(load(STUDY))
    pairs = {(row.columns["student"], row.columns["teacher"]) for row in grid.rows if row.columns["teacher"]}
    assert pairs == {("large", "small"), ("deep", "heads=1+2"), ("heads=2", "heads=1+deep"), ("heads=2", "heads=1")}
    sizes = {row.columns["teacher"]: row.columns["n_params_teacher"] for row in grid.rows}
    assert (sizes["small"], sizes["heads=1+deep"]) == (300 * 6, 1000 * 4 * 3), "of several the largest"
    labels = {cell.label for cell in grid.cells.values()}
    assert "distilled large teacher small 100 images block 0/0" in labels
    assert "scratch 2 heads 100 images block 0/0" in labels


def test_a_name_for_the_shape_that_has_none_is_the_same_cell(load: Load) -> None:
    plain = build_grid(load(STUDY))
    named = build_grid(
        load(STUDY, "model.ladder.two={heads: 2}", "recipes.scratch.students=[1, 2, deep, small, large, two]")
    )
    assert set(plain.cells) == set(named.cells)
    assert len(named.rows) == len(plain.rows) + 6 * 5
    assert models_of_one_size(plain) == []
    (note,) = models_of_one_size(named)
    assert note.startswith("heads=2 and two have 4,000 parameters each: ")
    wide = build_grid(load(STUDY, "model.ladder.deep.head_dim=8"))
    assert {cell.where["student"] for key, cell in wide.cells.items() if key not in plain.cells} == {"deep", 2}


def test_the_endpoint_and_the_choice_of_cells_go_by_name(load: Load, tmp_path: Path) -> None:
    study = load(STUDY)
    grid = build_grid(study)
    endpoint = endpoint_numbers(study, grid)
    assert endpoint is not None
    assert (endpoint["student"], endpoint["teacher"], endpoint["at"]["n_params"]) == ("large", "small", 300 * 12)
    first = Adaptive(study, tmp_path, None, most_cells=9).first
    assert {(grid.cells[key].where["recipe"], grid.cells[key].where["student"]) for key in first} == {
        ("scratch", "large"),
        ("distilled", "large"),
    }


def test_published_cells_hold_to_their_schema(load: Load, tmp_path: Path) -> None:
    grid = build_grid(load(STUDY))
    write_cells(tmp_path, grid, dict.fromkeys(grid.cells, "todo"), {}, {})
    schema = json.loads(
        (Path(tippingpoint.__file__).parent / "schemas" / "cells.schema.json").read_text(encoding="utf-8")
    )
    for line in (tmp_path / "cells.jsonl").read_text(encoding="utf-8").splitlines():
        jsonschema.validate(json.loads(line), schema)


FAULTS = [
    ("students: [1, 2, deep, small, large]", "students: [1, 2, deep, small, ^lage]", "Did you mean 'large'?"),
    ("{teacher: small, student: large}", "{teacher: ^smal, student: large}", "Did you mean 'small'?"),
    ("student: large, teacher: small,", "student: ^big, teacher: small,", "'big' is not a model of model.ladder"),
    ("student: large, teacher: small,", "student: large, teacher: ^deep,", "teacher deep and student large"),
    ("deep: {heads: 2, depth: 6}", "deep: ^{depth: 6}", "give either heads (a DeiT) or timm"),
    ("deep: {heads: 2, depth: 6}", "deep: ^{heads: 2, timm: toy_net}", "and only one"),
    ("deep: {heads: 2, depth: 6}", "deep: ^{heads: 2, weights: hub}", "weights belongs to a model with timm"),
    ("deep: {heads: 2, depth: 6}", "deep: ^{timm: toy_net, depth: 6}", "depth belongs to a model with heads"),
    ("deep: {heads: 2, depth: 6}", "deep: {heads: 2, patch_size: ^3}", "does not divide the image's side of 8"),
    ("deep: {heads: 2, depth: 6}", "deep: {heads: 2, ^dpth: 6}", "Did you mean 'depth'?"),
    ("deep: {heads: 2, depth: 6}", "deep: {heads: 2, depth: 6}\n    a+b: ^{heads: 2}", "'a+b' is not a name"),
    ("small: {timm: toy_net, ", "small: ^{timm: toy_nt, ", "timm has no 'toy_nt' for 8 x 1 at 16"),
    ("{teacher: small, student: large}", "^{teacher: 1, student: large}", "their maps have nothing in common"),
    ("{teacher: 1, student: 2}", "{teacher: ^small, student: large}", "only a DeiT that is named by its heads grows"),
    ("{teacher: 1, student: 2}", "{teacher: ^1, student: deep}", "differ in depth; a model grows by heads alone"),
    ("{teacher: 1, student: 2}", "{teacher: ^large, student: 2}", "only a DeiT"),
    ("[1, 2, deep, small, large]", "[1, 2, deep, large]", "add small to recipes.scratch.students"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), FAULTS, ids=[new for _, new, _ in FAULTS])
def test_a_wrong_model_is_told_with_its_place(load: Load, tmp_path: Path, old: str, new: str, words: str) -> None:
    assert STUDY.count(old) == 1
    marked = STUDY.replace(old, new)
    before = marked.partition("^")[0].split("\n")
    place = f"{tmp_path / 'study.yaml'}:{len(before)}:{len(before[-1]) + 1}: " if "^" in marked else ""
    with pytest.raises(ConfigError) as caught:
        load(marked.replace("^", ""))
    assert any(fault.startswith(place) and words in fault for fault in caught.value.faults), caught.value.faults
    assert all(
        "\n" not in fault and fault.endswith((".", "?")) and not fault.endswith("?.") for fault in caught.value.faults
    )


def test_guidance_without_maps_needs_nothing_in_common(load: Load) -> None:
    mixed = STUDY.replace("{teacher: small, student: large}", "{teacher: 1, student: large}")
    text = mixed.replace("student: large, teacher: small, stage", "student: large, teacher: 1, stage")
    assert load(text, "recipes.distilled.attention_weight=0.0").config.recipes.distilled is not None
    with pytest.raises(ConfigError, match="nothing in common"):
        load(text)
