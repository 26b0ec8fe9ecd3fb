"""What follow-up studies ask for, trained for true in seconds: models by name, variants, public weights."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import timm
from safetensors.torch import save_file

from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, load_study
from tippingpoint.study.plan import plan_study
from tippingpoint.study.precision import with_precision

NARROW = {"channels": [4, 4, 8, 8], "stem_width": 4}
STUDY = """\
name: follow-ups
upstream: digits[0-4]
downstream: ["digits[5-9]"]
image: {size: 8, channels: 1}
model:
  patch_size: 4
  depth: 2
  head_dim: 4
  ladder:
    deep: {heads: 1, depth: 3}
    net: {timm: resnet18, arguments: {channels: [4, 4, 8, 8], stem_width: 4}, weights: net.safetensors}
    wide: {timm: resnet18, arguments: {channels: [8, 8, 8, 16], stem_width: 4}}
augmentation: {flip: true, crop_padding: 1}
augmentation_of: {"digits[5-9]": {}}
precision: auto
validation_fraction: 0.2
n_pretrain: [40, 60]
n_finetune: [40]
recipes:
  scratch: {students: [1, 2, deep, net]}
  distilled:
    pairs: [{teacher: 1, student: 2}, {teacher: deep, student: 2}, {teacher: net, student: wide}]
    n_pretrain: [40]
  variants:
    shuffled: {pairs: [{teacher: 1, student: 2}], n_pretrain: [40], shuffle: images}
    within: {pairs: [{teacher: 1, student: 2}], n_pretrain: [40], shuffle: within_class}
    rich: {pairs: [{teacher: 1, student: 2}], n_pretrain: [40], teacher_n_pretrain: 60}
    logits: {pairs: [{teacher: net, student: 2}], n_pretrain: [40], attention_weight: 0.0}
  no_pretraining: {students: [net]}
  public: {students: [net], upstream: elsewhere, n_pretrain: 1000}
  public_frozen: {students: [net]}
finetune_recipes: [distilled]
seeds: 1
pretraining: {batch_size: 16, learning_rate: 2e-3, length: {steps: 12}}
finetuning: {batch_size: 16, learning_rate: 1e-3, length: {steps: 8}}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("follow-ups")
    model = timm.create_model("resnet18", in_chans=1, num_classes=7, **NARROW)
    save_file(model.state_dict(), folder / "net.safetensors")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    study = load(folder)
    planned = plan_study(study, folder / "out", timing=False)
    outcome = run_study(study, folder / "out", workers=1)
    assert outcome.state == "done", outcome.failures
    assert outcome.trained == planned.to_dict()["cells"]
    assert outcome.n_rows == planned.rows
    return folder


def load(folder: Path) -> Study:
    return load_study(folder / "study.yaml", [f"data_dir={folder}"])


@pytest.fixture(scope="module")
def runs(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "out" / "runs.csv")


def test_every_pair_has_its_row(runs: pd.DataFrame) -> None:
    rows = runs[(runs["stage"] == "pretrained") & runs["teacher"].notna()]
    assert list(zip(rows["recipe"], rows["student"], rows["teacher"], strict=True)) == [
        ("distilled", "heads=2", "heads=1"),
        ("distilled", "heads=2", "deep"),
        ("distilled", "wide", "net"),
        ("shuffled", "heads=2", "heads=1"),
        ("within", "heads=2", "heads=1"),
        ("rich", "heads=2", "heads=1"),
        ("logits", "heads=2", "net"),
    ]
    assert rows["cross_entropy"].nunique() == len(rows), "no two of them are the same training"


def test_a_rich_teacher_is_charged(runs: pd.DataFrame) -> None:
    pretrained = runs[runs["stage"] == "pretrained"]
    teacher = pretrained[(pretrained["student"] == "heads=1") & (pretrained["n_pretrain"] == 60)]["pretrain_flops"]
    rich = pretrained[pretrained["recipe"] == "rich"]["teacher_flops"]
    # its own training, and its passes over the student's batches, which augmentation makes new each time
    assert rich.item() == pytest.approx(teacher.item() * (1 + 1 / 3), rel=1e-12)


def test_public_weights_beside_their_control(runs: pd.DataFrame) -> None:
    tuned = runs[runs["recipe"].isin(["no_pretraining", "public", "public_frozen"])].set_index("recipe")
    assert list(tuned["student"].unique()) == ["net"]
    assert tuned["n_params"].nunique() == 1
    assert (tuned.loc["public", "upstream"], tuned.loc["public", "n_pretrain"]) == ("elsewhere", 1000)
    assert tuned.loc["public", "cross_entropy"] != tuned.loc["no_pretraining", "cross_entropy"]
    assert 0 < tuned.loc["public_frozen", "finetune_flops"] < tuned.loc["public", "finetune_flops"]
    assert tuned["pretrain_id"].isna().all()


def test_augmentation_is_of_its_set(root: Path) -> None:
    cells = build_grid(with_precision(load(root), root / "out")).cells.values()
    said = {(cell.kind, json.dumps(cell.task.get("augmentation"))) for cell in cells if "training" in cell.task}
    assert said == {("pretrain", '{"flip": true, "crop_padding": 1}'), ("finetune", "null")}


def test_it_goes_on_without_training_anything_again(root: Path) -> None:
    table = (root / "out" / "runs.csv").read_bytes()
    (root / "out" / "runs.csv").unlink()
    again = run_study(load(root), root / "out", workers=1)
    assert (again.state, again.trained) == ("done", 0)
    assert (root / "out" / "runs.csv").read_bytes() == table
    assert check_store(root / "out").faults == ()
    assert {one["precision"] for one in json.loads((root / "out" / "precision.json").read_text())["decisions"]} <= {
        "float32",
        "bfloat16",
    }
