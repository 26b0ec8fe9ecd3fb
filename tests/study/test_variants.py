"""Variants of distillation: their names, their teachers, shuffled targets and what their keys cover."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tippingpoint.errors import ConfigError
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.plan import plan_study

Load = Callable[..., Study]
PAIR = "pairs: [{teacher: 1, student: 2}]"


def variants(text: str, *entries: str) -> str:
    lines = "".join(f"    {entry}\n" for entry in entries)
    return text.replace("  smoothed:", f"  variants:\n{lines}  smoothed:")


def test_a_variant_is_distilled_under_another_name(load: Load, study_text: str) -> None:
    before = build_grid(load())
    same = build_grid(load(variants(study_text, f"again: {{{PAIR}}}")))
    assert set(same.cells) == set(before.cells), "what it does is what counts"
    rows = [row for row in same.rows if row.columns["recipe"] == "again"]
    twins = [row for row in same.rows if row.columns["recipe"] == "distilled" and row.columns["student"] == "heads=2"]
    assert [row.cell for row in rows] == [row.cell for row in twins]
    recipes = list(dict.fromkeys(row.columns["recipe"] for row in same.rows))
    assert recipes[:4] == ["scratch", "distilled", "again", "smoothed"], "it stands after distilled"


def test_what_is_not_said_is_not_in_a_task(load: Load, study_text: str) -> None:
    grid = build_grid(load(variants(study_text, f"mixed: {{{PAIR}, shuffle: within_class}}")))
    guidance = {cell.where["recipe"]: cell.task["guidance"] for cell in grid.cells.values() if cell.task["guidance"]}
    assert guidance["mixed"] == {**guidance["distilled"], "shuffle": "within_class"}
    assert "shuffle" not in guidance["distilled"]
    assert not {"augmentation", "compile", "precision"} & {name for cell in grid.cells.values() for name in cell.task}
    for nothing in (
        "augmentation={}",
        "augmentation={flip: false}",
        "augmentation_of.beans={contrast: 0.0}",
        "compile=false",
    ):
        assert set(build_grid(load(study_text, nothing)).cells) == set(build_grid(load()).cells)


@pytest.mark.parametrize("guide", ["pretraining", "both"])
def test_a_rich_teacher_has_seen_more_of_the_same_block(load: Load, study_text: str, guide: str) -> None:
    text = variants(study_text, f"rich: {{{PAIR}, teacher_n_pretrain: 0.5, guide: {guide}}}")
    grid = build_grid(load(text))
    students = [cell for cell in grid.cells.values() if cell.where["recipe"] == "rich" and cell.kind == "pretrain"]
    assert [cell.where["n_pretrain"] for cell in students] == [100, 100, 400, 400], "at 450 it is distilled's own cell"
    for student in students:
        teacher = grid.cells[student.parents["teacher_0"]]
        assert (teacher.where["recipe"], teacher.where["n_pretrain"]) == ("scratch", 450)
        assert all(teacher.task[name] == student.task[name] for name in ("subset_seed", "seed", "data"))
    tuned = [cell for cell in grid.cells.values() if cell.where["recipe"] == "rich" and cell.kind == "finetune"]
    for cell in tuned if guide == "both" else []:
        teacher = grid.cells[grid.cells[cell.parents["teacher_0"]].parents["init"]]
        assert teacher.where["n_pretrain"] == 450


def test_the_control_gets_the_compute_of_a_rich_teacher(load: Load, study_text: str) -> None:
    def extra(*changes: str) -> float:
        grid = build_grid(load(study_text, *changes))
        return float(next(cell.task["extra_flops"] for cell in grid.cells.values() if cell.task["extra_flops"]))

    added = 6.0 * 1000 * 32 * (29 - 25)  # 2 epochs of 450 images are 29 steps of 32, of 400 images 25
    assert extra("recipes.distilled.teacher_n_pretrain=0.5") == extra() + added


def test_endpoint_and_fine_tuning_take_variants(load: Load, study_text: str) -> None:
    text = variants(study_text, f"light: {{{PAIR}, label_weight: 0.9}}")
    study = load(text, "endpoint.recipes=[scratch, light]", "finetune_recipes=[scratch, light]")
    tuned = {row.columns["recipe"] for row in build_grid(study).rows if row.columns["downstream"]}
    assert tuned == {"scratch", "light", "no_pretraining"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (f"grown: {{{PAIR}}}", "recipes.variants.grown: 'grown' is a recipe already"),
        (f"a-b: {{{PAIR}}}", "'a-b' is not a name"),
        ("x: {pairs: [{teacher: 3, student: 2}]}", "x.pairs.0.teacher: the teacher with 3 heads is not trained"),
        (f"x: {{{PAIR}, shufle: images}}", "Did you mean 'shuffle'?"),
        (f"x: {{{PAIR}, shuffle: labels}}", "'images' or 'within_class'"),
        (f"x: {{{PAIR}, teacher_n_pretrain: 300}}", "no teacher is trained on 300 images; add 300 to n_pretrain"),
        (f"x: {{{PAIR}, n_pretrain: [7]}}", "recipes.variants.x.n_pretrain.0: 7 is not one of the study's sizes"),
    ],
)  # fmt: skip
def test_faults(load: Load, study_text: str, entry: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(variants(study_text, entry))
    assert any(words in fault for fault in caught.value.faults), caught.value.faults
    with pytest.raises(ConfigError, match=r"recipe 'ligt' is not run .* Did you mean 'light'"):
        load(variants(study_text, f"light: {{{PAIR}}}"), "finetune_recipes=[scratch, distilled, ligt]")


def test_plan_names_the_key_that_changed(
    load: Load, study_text: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    text = variants(study_text, f"light: {{{PAIR}, label_weight: 0.9}}")
    small = (
        "seeds=1",
        "n_pretrain=[400]",
        "finetuning_of.beans={batch_size: 8, learning_rate: 1e-3, length: {steps: 5}}",
    )
    run_study(load(text, *small), tmp_path, workers=2, environment=environment)

    def reasons(*changes: str) -> set[str]:
        groups = plan_study(load(text, *small, *changes), tmp_path, timing=False).groups
        return {why for group in groups for why in group.reasons} - {"what it starts from changes"}

    assert reasons() == set()
    assert reasons("recipes.variants.light.label_weight=0.8") == {
        "config changed at recipes.variants.light.label_weight"
    }
    assert reasons("finetuning_of.beans.batch_size=4") == {"config changed at finetuning_of.beans.batch_size"}
    assert reasons("finetuning.batch_size=4") == {"config changed at finetuning.batch_size"}
    assert reasons("augmentation_of.beans={flip: true}") == {"config changed at augmentation_of.beans.flip"}
    assert reasons("augmentation={flip: true}") == {"config changed at augmentation.flip"}
    assert reasons("precision=bfloat16") == {"config changed at precision"}
    assert reasons("compile=true") == {"config changed at compile"}
