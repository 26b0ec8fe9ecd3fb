"""Every recipe trained for true, at the scale of seconds, through plan, run and the table of runs."""

from __future__ import annotations

import pandas as pd
import pytest

from tippingpoint.study.execute import run_study
from tippingpoint.study.load import load_study
from tippingpoint.study.plan import plan_study

STUDY = """\
name: recipes
upstream: digits[0-4]
downstream: ["digits[5-9]"]
image: {size: 8, channels: 1}
model: {patch_size: 4, depth: 2, head_dim: 4}
validation_fraction: 0.2
n_pretrain: [60]
n_finetune: [40]
recipes:
  scratch: {students: [1, 2]}
  distilled: {pairs: [{teacher: 1, student: 2}, {teacher: 2, student: 1}, {teacher: [1, 2], student: 2}]}
  variants:
    light: {pairs: [{teacher: 1, student: 2}], label_weight: 0.9, guidance_schedule: decayed, guide: both}
  self_distilled:
    students: [2]
    distillation_token: true
    attention_weight: 0.0
    guidance_schedule: until_passed
    check_every: 10
  grown: {pairs: [{teacher: 1, student: 2}]}
seeds: 1
pretraining: {batch_size: 16, learning_rate: 2e-3, length: {steps: 30}}
finetuning: {batch_size: 16, learning_rate: 1e-3, length: {steps: 10}}
"""
# Images that a teacher is run on, of those that a training sees: what it says of the subset is kept.
PASSES, TUNED_PASSES = 60 / (30 * 16), 40 / (10 * 16)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("recipes")
    path = root / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    study = load_study(path)
    planned = plan_study(study, root / "out", timing=False)
    outcome = run_study(study, root / "out", workers=1)
    assert outcome.state == "done"
    assert outcome.trained == planned.to_dict()["cells"]
    return pd.read_csv(root / "out" / "runs.csv")


def one(runs: pd.DataFrame, stage: str, recipe: str, student: int, teacher: str | None) -> pd.Series:
    of_teacher = runs["teacher"].isna() if teacher is None else runs["teacher"] == f"heads={teacher}"
    chosen = (runs["stage"] == stage) & (runs["recipe"] == recipe) & (runs["student"] == f"heads={student}")
    (row,) = (runs.loc[place] for place in runs.index[chosen & of_teacher])
    return row


@pytest.mark.parametrize(
    ("recipe", "student", "teacher", "sizes"),
    [
        ("distilled", 2, "1", [1]),
        ("distilled", 1, "2", [2]),
        ("distilled", 2, "1+2", [1, 2]),
        ("light", 2, "1", [1]),
    ],
)
def test_teachers_are_charged(runs: pd.DataFrame, recipe: str, student: int, teacher: str, sizes: list[int]) -> None:
    """A student pays for its teachers' training and for their passes: a third of a training step, once an image."""
    row = one(runs, "pretrained", recipe, student, teacher)
    scratch = {heads: one(runs, "pretrained", "scratch", heads, None) for heads in (1, 2)}
    trained = sum(scratch[heads]["pretrain_flops"] for heads in sizes)
    assert row["teacher_flops"] == pytest.approx(trained * (1 + PASSES / 3), rel=1e-12)
    assert row["pretrain_flops"] == scratch[student]["pretrain_flops"]
    assert row["n_params_teacher"] == max(scratch[heads]["n_params"] for heads in sizes)
    assert row["cross_entropy"] != scratch[student]["cross_entropy"]
    assert one(runs, "finetuned", recipe, student, teacher)["pretrain_id"] == row["pretrain_id"]


def test_guidance_that_may_end_costs_no_more_than_was_planned(runs: pd.DataFrame) -> None:
    row = one(runs, "pretrained", "self_distilled", 2, "2")
    trained = one(runs, "pretrained", "scratch", 2, None)["pretrain_flops"]
    forward = row["pretrain_flops"] / 3 / (30 * 16)  # of one image through the student, with its token
    assert forward > trained / 3 / (30 * 16)
    assert row["n_params"] == row["n_params_teacher"]
    most = trained * (1 + 1 / 3) + 126 * (trained / 3 / (30 * 16) + 2 * forward)  # of 126 validation images
    assert trained * (1 + 10 / 90) <= row["teacher_flops"] <= most * (1 + 1e-12)


def test_a_grown_student_pays_for_the_model_that_it_grew_from(runs: pd.DataFrame) -> None:
    row, small = one(runs, "pretrained", "grown", 2, "1"), one(runs, "pretrained", "scratch", 1, None)
    assert row["teacher_flops"] == small["pretrain_flops"]
    assert row["train_flops"] == row["pretrain_flops"] + small["pretrain_flops"]
    assert row["n_params_teacher"] == small["n_params"]
    assert one(runs, "finetuned", "grown", 2, "1")["teacher_flops"] == row["teacher_flops"]


def test_guided_fine_tuning_is_charged_on_top(runs: pd.DataFrame) -> None:
    """Both trainings are guided: the teacher's two trainings, and its passes over the images of each."""
    row, start = one(runs, "finetuned", "light", 2, "1"), one(runs, "pretrained", "light", 2, "1")
    teacher = one(runs, "finetuned", "scratch", 1, None)
    added = teacher["finetune_flops"] * (1 + TUNED_PASSES / 3)
    assert row["teacher_flops"] == pytest.approx(start["teacher_flops"] + added, rel=1e-12)
    assert row["train_flops"] == pytest.approx(
        row["pretrain_flops"] + row["teacher_flops"] + row["finetune_flops"], rel=1e-12
    )
    assert row["n_params_teacher"] == teacher["n_params"]
