"""Cells: what is shared, what a key covers, what the rows will say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tippingpoint.study.cells import Cell, cell_key
from tippingpoint.study.endpoint import endpoint_numbers
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.load import Study

Load = Callable[..., Study]


def find(grid: Grid, **where: Any) -> list[Cell]:
    wanted = {"downstream": None, **where}
    return [cell for cell in grid.cells.values() if all(cell.where[name] == value for name, value in wanted.items())]


def test_counts(load: Load) -> None:
    grid = build_grid(load())
    recipes = Counter((cell.kind, cell.where["recipe"]) for cell in grid.cells.values())
    # sizes x blocks x models; every checkpoint is fine-tuned on 2 sets x 2 sizes
    assert recipes[("pretrain", "scratch")] == 3 * 2 * 3
    assert recipes[("pretrain", "distilled")] == 3 * 2 * 2
    assert recipes[("pretrain", "smoothed")] == 3 * 2
    assert recipes[("pretrain", "scratch_extra_compute")] == 2
    assert recipes[("finetune", "no_pretraining")] == 2 * 4
    pretrained = sum(count for (kind, _), count in recipes.items() if kind == "pretrain")
    assert sum(count for (kind, _), count in recipes.items() if kind == "finetune") == 4 * pretrained + 8
    assert len(grid.rows) == len(grid.cells)


def test_students_of_a_block_share_images_weights_and_order(load: Load) -> None:
    grid = build_grid(load())
    for distilled in find(grid, recipe="distilled"):
        same = {name: distilled.where[name] for name in ("student", "n_pretrain", "subset_seed", "seed")}
        (scratch,) = find(grid, recipe="scratch", **same)
        differing = {name for name in scratch.task if scratch.task[name] != distilled.task[name]}
        assert differing == {"guidance", "teachers"}


def test_a_teacher_is_the_scratch_cell_of_the_same_block_and_size(load: Load) -> None:
    grid = build_grid(load())
    for distilled in find(grid, recipe="distilled"):
        assert len(distilled.parents) == len(distilled.task["teachers"])
        for place, model in enumerate(distilled.task["teachers"]):
            teacher = grid.cells[distilled.parents[f"teacher_{place}"]]
            assert teacher.where["recipe"] == "scratch"
            assert teacher.task["model"] == model
            for name in ("n_images", "subset_seed", "seed", "data"):
                assert teacher.task[name] == distilled.task[name]


def test_a_teacher_may_be_larger_than_its_student(load: Load, study_text: str) -> None:
    grid = build_grid(
        load(
            study_text.replace(
                "{teacher: 1, student: 2}, {teacher: [1", "{teacher: 4, student: 2}, {teacher: [1"
            ).replace("student: 2, teacher: 1, stage", "student: 2, teacher: 4, stage")
        )
    )
    rows = [
        row.columns for row in grid.rows if row.columns["recipe"] == "distilled" and row.columns["student"] == "heads=2"
    ]
    assert {(row["teacher"], row["n_params_teacher"]) for row in rows} == {("heads=4", 16000)}


SELF = "{teacher: [1, 2], student: 4}], label_weight: 0.5}\n  self_distilled: {students: [2], label_weight: 0.5}"


@pytest.fixture
def with_own_teacher(study_text: str) -> str:
    return study_text.replace("{teacher: [1, 2], student: 4}], label_weight: 0.5}", SELF)


def test_a_teacher_of_the_students_own_size_differs_by_its_seed_alone(load: Load, with_own_teacher: str) -> None:
    grid = build_grid(load(with_own_teacher))
    students = find(grid, recipe="self_distilled")
    assert len(students) == 3 * 2
    scored = {row.cell for row in grid.rows}
    for student in students:
        teacher = grid.cells[student.parents["teacher_0"]]
        same = {name: student.where[name] for name in ("student", "n_pretrain", "subset_seed", "seed")}
        (scratch,) = find(grid, recipe="scratch", **same)
        assert {name for name in scratch.task if scratch.task[name] != teacher.task[name]} == {"seed"}
        assert {name for name in scratch.task if scratch.task[name] != student.task[name]} == {"guidance", "teachers"}
        assert teacher.key not in scored, "it is no run of the study's own: it would be a repeat with the same images"
    rows = [row.columns for row in grid.rows if row.columns["recipe"] == "self_distilled"]
    assert {(row["student"], row["teacher"], row["n_params_teacher"]) for row in rows} == {("heads=2", "heads=2", 4000)}


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("constant", {}),
        ("decayed", {"schedule": "decayed"}),
        ("until_passed", {"schedule": "until_passed", "check_every": 50}),
    ],
)
def test_a_schedule_of_guidance_enters_guided_tasks_alone(
    load: Load, study_text: str, schedule: str, said: dict[str, Any]
) -> None:
    before = build_grid(load())
    after = build_grid(load(study_text, f"recipes.distilled.guidance_schedule={schedule}"))
    if not said:
        assert list(after.cells) == list(before.cells), "what was always done keeps its keys"
    for cell in find(after, recipe="distilled"):
        about = {
            name: cell.task["guidance"][name] for name in ("schedule", "check_every") if name in cell.task["guidance"]
        }
        assert about == said
    changed = [cell for key, cell in after.cells.items() if key not in before.cells]
    assert {cell.where["recipe"] for cell in changed} == ({"distilled"} if said else set())


def test_a_grown_student_starts_from_the_small_model_of_its_block(load: Load, study_text: str) -> None:
    text = study_text.replace(
        "  smoothed:", "  grown: {pairs: [{teacher: 1, student: 2}, {teacher: 2, student: 4}]}\n  smoothed:"
    )
    grid = build_grid(load(text))
    students = find(grid, recipe="grown")
    assert len(students) == 3 * 2 * 2
    for student in students:
        same = {name: student.where[name] for name in ("n_pretrain", "subset_seed", "seed")}
        (scratch,) = find(grid, recipe="scratch", student=student.where["student"], **same)
        (small,) = find(grid, recipe="scratch", student=student.where["student"] // 2, **same)
        assert student.parents == {"grown_from": small.key}
        assert student.task == {**scratch.task, "grown_from": small.task["model"]}
        assert "grown_from" not in scratch.task, "or every key would be another"
    rows = {
        (row.columns["student"], row.columns["teacher"], row.columns["n_params_teacher"])
        for row in grid.rows
        if row.columns["recipe"] == "grown"
    }
    assert rows == {("heads=2", "heads=1", 1000), ("heads=4", "heads=2", 4000)}


@pytest.mark.parametrize("guide", ["pretraining", "finetuning", "both"])
def test_a_fine_tuning_is_guided_by_the_teachers_own(load: Load, study_text: str, guide: str) -> None:
    text = study_text.replace("  scratch_extra_compute: {pairs: [{teacher: 1, student: 2}], n_pretrain: [400]}\n", "")
    before, grid = build_grid(load(text)), build_grid(load(text, f"recipes.distilled.guide={guide}"))
    if guide == "pretraining":
        assert list(grid.cells) == list(before.cells)
        return
    rows = [row for row in grid.rows if row.columns["recipe"] == "distilled"]
    assert len([row for row in rows if row.columns["downstream"] is None]) == (12 if guide == "both" else 0)
    rows = [row for row in rows if row.columns["downstream"]]
    assert len(rows) == 3 * 2 * 2 * 4
    scored = {row.cell: row.columns for row in grid.rows}
    for row in rows:
        student = grid.cells[row.cell]
        start = grid.cells[student.parents["init"]]
        assert start.where["recipe"] == ("distilled" if guide == "both" else "scratch")
        for place, model in enumerate(student.task["teachers"]):
            teacher = grid.cells[student.parents[f"teacher_{place}"]]
            assert teacher.task == {
                **student.task,
                "model": model,
                "guidance": None,
                "teachers": [],
                "keep_weights": True,
            }, "the same images and batches"
            assert scored[teacher.key]["recipe"] == "scratch", "it is trained once: the row's cell is the teacher"
            owed = [student.parents.get(f"owed_{place}")]
            assert owed == ([teacher.parents["init"]] if guide == "finetuning" else [None])
            assert grid.cells[teacher.parents["init"]].where["n_pretrain"] == row.columns["n_pretrain"]
        assert row.columns["n_params_teacher"] == (1000 if row.columns["teacher"] == "heads=1" else 4000)
    untouched = {
        key for key, cell in before.cells.items() if cell.kind == "pretrain" and cell.where["recipe"] != "distilled"
    }
    assert untouched <= set(grid.cells)


def test_a_distillation_token_belongs_to_the_student_of_its_recipe(load: Load, study_text: str) -> None:
    changes = ("recipes.distilled.distillation_token=true", "recipes.distilled.attention_weight=0.0")
    before, grid = build_grid(load()), build_grid(load(study_text, *changes))
    for cell in grid.cells.values():
        has_token = cell.task["model"].get("distillation_token", False)
        assert has_token == (cell.where["recipe"] == "distilled"), cell.label
        assert not any("distillation_token" in model for model in cell.task["teachers"])
    others = [key for key, cell in before.cells.items() if cell.where["recipe"] != "distilled"]
    assert set(others) - set(grid.cells) <= {
        key for key in others if before.cells[key].where["recipe"] == "scratch_extra_compute"
    }, "the control's compute follows the guidance, nothing else does"


def test_an_own_teacher_is_fine_tuned_from_its_own_checkpoint(load: Load, with_own_teacher: str) -> None:
    grid = build_grid(load(with_own_teacher, "recipes.self_distilled.guide=both"))
    for row in grid.rows:
        if row.columns["recipe"] == "self_distilled" and row.columns["downstream"]:
            student = grid.cells[row.cell]
            teacher = grid.cells[student.parents["teacher_0"]]
            assert teacher.task["seed"] != student.task["seed"]
            assert teacher.parents["init"] == grid.cells[student.parents["init"]].parents["teacher_0"]


def test_the_controls_teacher_leaves_every_other_cell_alone(load: Load, with_own_teacher: str) -> None:
    before, after = build_grid(load()), build_grid(load(with_own_teacher))
    assert list(before.cells) == [key for key in after.cells if key in before.cells]


def test_a_checkpoint_serves_all_its_finetunings(load: Load) -> None:
    grid = build_grid(load())
    starts = Counter(cell.parents["init"] for cell in grid.cells.values() if "init" in cell.parents)
    assert set(starts.values()) == {4}
    for cell in grid.cells.values():
        if "init" in cell.parents:
            start = grid.cells[cell.parents["init"]]
            assert (start.task["seed"], start.task["subset_seed"]) == (cell.task["seed"], cell.task["subset_seed"])
            assert start.task["model"] == cell.task["model"]


def test_parents_stand_before_children(load: Load) -> None:
    seen: set[str] = set()
    for key, cell in build_grid(load()).cells.items():
        assert set(cell.parents.values()) <= seen
        seen.add(key)


def test_extra_compute_is_teacher_training_plus_guidance(load: Load) -> None:
    grid = build_grid(load())
    control = find(grid, recipe="scratch_extra_compute")[0]
    block = {name: control.where[name] for name in ("n_pretrain", "subset_seed", "seed")}
    (teacher,) = find(grid, recipe="scratch", student=1, **block)
    (distilled,) = find(grid, recipe="distilled", student=2, **block)
    assert control.task["extra_flops"] == teacher.estimate.flops + distilled.estimate.guidance_flops
    whole = distilled.estimate.work + teacher.estimate.flops
    per_step = control.estimate.flops / control.estimate.n_steps
    assert 0 <= control.estimate.work - whole < per_step, "the control may round up by one step"


def test_rows(load: Load) -> None:
    study = load()
    grid = build_grid(study)
    for row in grid.rows:
        columns = row.columns
        assert columns["stage"] == ("finetuned" if columns["downstream"] else "pretrained")
        assert (columns["n_finetune"] is None) == (columns["stage"] == "pretrained")
        assert (row.pretrain is None) == (columns["recipe"] == "no_pretraining") == (columns["n_pretrain"] is None)
        assert (columns["n_params_teacher"] is not None) == (columns["recipe"] == "distilled")
    ensemble = next(row.columns for row in grid.rows if row.columns["teacher"] == "heads=1+2")
    assert ensemble["n_params_teacher"] == 4000, "of several teachers the largest"
    assert endpoint_numbers(study, grid) == {
        "recipes": ["scratch", "distilled"],
        "along": "n_pretrain",
        "stage": "finetuned",
        "target": "error",
        "upstream": "toys[0-4]",
        "downstream": "beans",
        "student": "heads=2",
        "teacher": "heads=1",
        "at": {"n_params": 4000, "n_finetune": 50},
    }


def test_recipes_that_come_to_the_same_share_a_cell(load: Load, study_text: str) -> None:
    study = load(study_text, "recipes.smoothed.label_smoothing=0.0")
    grid = build_grid(study)
    assert not find(grid, recipe="smoothed")
    assert sum(row.columns["recipe"] == "smoothed" and row.columns["downstream"] is None for row in grid.rows) == 6


def test_keys_never_change_by_accident() -> None:
    """A changed key would throw away every study that exists: raise STAGE_VERSIONS instead, if the result changes."""
    task = {
        "kind": "pretrain",
        "model": {"patch_size": 7, "depth": 4, "head_dim": 8, "heads": 2},
        "data": {"name": "fashion_mnist[0-5]", "image_size": 28, "channels": 1, "validation_fraction": 0.1},
        "n_images": 250,
        "subset_seed": 0,
        "seed": 0,
        "score_on": "test",
        "training": {"batch_size": 64, "learning_rate": 0.002, "length": {"epochs": 8.0, "min_steps": 600}},
        "guidance": None,
        "teachers": [],
        "label_smoothing": 0.0,
        "extra_flops": 0.0,
    }
    assert cell_key(task, "abc", {}) == "090a1c7e44fa6ecf16c687a0d467be3931bc68a026a2e2aad4e0167ea7404166"


def test_no_key_of_a_study_changes_by_accident(load: Load) -> None:
    """Every new setting must be left out of the tasks where it says what was done before there was such a setting."""
    keys = "\n".join(build_grid(load()).cells)
    assert hashlib.sha256(keys.encode()).hexdigest() == (
        "b2c84c993b9ba88e494899652b0786fe0fc75e761ebb2dba693e2dea4d05b125"
    )


ABOUT_ALL = [
    "image.size=12",
    "model.depth=3",
    "model.head_dim=8",
    "validation_fraction=0.2",
    "score_on=validation",
    "pretraining.learning_rate=1e-3",
    "pretraining.batch_size=33",
    "pretraining.betas=[0.8, 0.9]",
    "pretraining.length.epochs=3",
]


@pytest.mark.parametrize("change", ABOUT_ALL)
def test_keys_change_with_what_changes_results(load: Load, study_text: str, change: str) -> None:
    pretrained = [cell.key for cell in build_grid(load()).cells.values() if cell.kind == "pretrain" or cell.parents]
    assert not set(pretrained) & set(build_grid(load(study_text, change)).cells)


def test_keys_change_with_the_data(load: Load, study_text: str) -> None:
    assert not set(build_grid(load()).cells) & set(build_grid(load(study_text, fingerprint="g")).cells)


@pytest.mark.parametrize(
    "change",
    ["name=other", "data_dir=elsewhere", "finetune_recipes=null", "endpoint=null", "pretraining.length.epochs=2.0"],
)
def test_keys_stay_with_what_does_not(load: Load, study_text: str, change: str) -> None:
    assert set(build_grid(load()).cells) == set(build_grid(load(study_text, change)).cells)


def test_a_change_of_guidance_leaves_scratch_alone(load: Load, study_text: str) -> None:
    before, after = build_grid(load()), build_grid(load(study_text, "recipes.distilled.label_weight=0.9"))
    for recipe, stays in (("scratch", True), ("smoothed", True), ("distilled", False)):
        keys = [cell.key for cell in before.cells.values() if cell.where["recipe"] == recipe]
        assert all((key in after.cells) == stays for key in keys)


def test_finetuning_settings_leave_checkpoints_alone(load: Load, study_text: str) -> None:
    after = build_grid(load(study_text, "finetuning.learning_rate=1e-3"))
    for cell in build_grid(load()).cells.values():
        assert (cell.key in after.cells) == (cell.kind == "pretrain")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(5, 900), min_size=1, max_size=4, unique=True),
    seeds=st.integers(1, 3),
    more=st.integers(1, 2),
)
def test_growing_a_study_keeps_its_cells(load: Load, study_text: str, sizes: list[int], seeds: int, more: int) -> None:
    whole = study_text.replace(", n_pretrain: [400]", "")
    small = build_grid(load(whole, f"n_pretrain={sizes[:-1] or sizes}", f"seeds={seeds}"))
    large = build_grid(load(whole, f"n_pretrain={sizes}", f"seeds={seeds + more}"))
    assert set(small.cells) <= set(large.cells)


def test_the_laboratory_is_asked_once_a_shape(load: Load, study_text: str) -> None:
    few, many = load(study_text, "seeds=1"), load(study_text, "seeds=50")
    build_grid(few)
    grid = build_grid(many)
    assert len(grid.cells) > 40 * 50
    assert few.laboratory.described == many.laboratory.described  # type: ignore[attr-defined]
