"""``export``: which models of a study are written, under which names, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import timm
from safetensors.torch import load_file

import tippingpoint
from tippingpoint import cli
from tippingpoint.errors import InputError, StoreError
from tippingpoint.lab.models import build_model, save_model
from tippingpoint.study.cell_files import begin_cell, commit_cell
from tippingpoint.study.cells import cell_key
from tippingpoint.study.export import export_study
from tippingpoint.study.publish import COLUMNS

SPEC = {"heads": 2, "head_dim": 4, "depth": 1, "patch_size": 7}
DATA = {"name": "digits", "image_size": 14, "channels": 1, "validation_fraction": 0.2}


def committed(root: Path, recipe: str, seed: int, kind: str = "pretrain") -> str:
    """Commit one cell as a run does; return its key."""
    task = {"kind": kind, "model": SPEC, "data": DATA, "n_images": 100, "subset_seed": seed, "seed": seed}
    task |= {"label_smoothing": 0.1} if recipe == "smoothed" else {}
    key = cell_key(task, "f", {})
    aside = begin_cell(root, key)
    if kind == "pretrain":
        model = build_model(SPEC, image_size=14, channels=1, n_classes=10, seed=seed)
        save_model(model, aside, SPEC, image_size=14, channels=1, n_classes=10)
    where = {"recipe": recipe, "student": 2, "teacher": None, "n_pretrain": 100, "seed": seed}
    about = {"key": key, "kind": kind, "stage_version": 1, "where": where, "task": task, "parents": {}}
    scores = {"scores": {"error": 0.1 * seed, "n_test": 300}, "n_params": 500, "n_params_head": 90}
    commit_cell(aside, root, {**about, "data_fingerprint": "f"}, scores)
    return key


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of three pretrainings and one fine-tuning, which is better than all."""
    root = tmp_path / "study"
    (root / "cells").mkdir(parents=True)
    keys = [committed(root, "scratch", 1), committed(root, "scratch", 2), committed(root, "smoothed", 1)]
    bare = committed(root, "scratch", 1, "finetune")  # a cell without weights
    rows = [("scratch", "pretrained", 1, 0.1), ("scratch", "pretrained", 2, 0.2), ("smoothed", "pretrained", 1, 0.15)]
    rows += [("scratch", "finetuned", 1, 0.01), ("no_pretraining", "finetuned", 1, 0.4)]
    rows += [("public_frozen", "finetuned", 1, 0.3)]
    found = [*keys, keys[0], "", bare]
    with (root / "runs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        for (recipe, stage, seed, error), key in zip(rows, found, strict=True):
            size = {"n_pretrain": 100} if key else {}
            row = {"recipe": recipe, "stage": stage, "seed": seed, "subset_seed": seed, "error": error, "n_params": 500}
            tuned = {"n_finetune": 20} if stage == "finetuned" else {}
            writer.writerow({**row, **size, **tuned, "pretrain_id": key[:12], "schema_version": 1})
    return root


def recipes(found: list[Any]) -> list[tuple[str, int]]:
    return [(one.about["study"]["recipe"], one.about["study"]["seed"]) for one in found]


def test_every_pretrained_model_is_written_once(study: Path, tmp_path: Path) -> None:
    found = export_study(study, tmp_path / "out")
    assert recipes(found) == [("scratch", 1), ("scratch", 2), ("smoothed", 1)]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        name for one in found for name in (one.path.name, one.path.with_suffix(".json").name)
    }
    for one in found:
        assert one.path.name == f"{one.about['study']['recipe']}-heads2-100-{one.about['cell'][:12]}.safetensors"
        told = json.loads(one.path.with_suffix(".json").read_text(encoding="utf-8"))
        assert told == one.about
        model = timm.create_model(told["create_model"]["name"], **told["create_model"]["kwargs"])
        model.load_state_dict(load_file(one.path))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("recipe == 'smoothed'", [("smoothed", 1)]),
        ("error < 0.05", [("scratch", 1)]),  # behind the fine-tuning
        ("stage == 'pretrained' and error < 0.18", [("scratch", 1), ("smoothed", 1)]),
    ],
)
def test_rows_choose_the_models_behind_them(
    where: str, expected: list[tuple[str, int]], study: Path, tmp_path: Path
) -> None:
    assert recipes(export_study(study, tmp_path / "out", where=where)) == expected


def test_what_cannot_be_exported_is_named(study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pretrained model behind the rows that meet recipe == 'no_pretraining'"):
        export_study(study, tmp_path / "out", where="recipe == 'no_pretraining'")
    with pytest.raises(InputError, match="its own pretrainings alone, not those of fine-tunings or public models"):
        export_study(study, tmp_path / "out", where="recipe == 'public_frozen'")
    with pytest.raises(InputError, match="is not a study directory"):
        export_study(tmp_path / "nowhere", tmp_path / "out")
    weights = next((study / "cells").glob("*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{weights.parent.name}.*run the study again"):
        export_study(study, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "all are looked at before the first is written"


def test_the_command(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["export", str(study), "--to", str(out), "--where", "seed == 2"]) == 0
    said = capsys.readouterr().out
    assert "timm.create_model('vit_tiny_patch16_224', img_size=14, patch_size=7, embed_dim=8" in said
    assert f"{out}: 1 model, each with a .json beside it." in said
    assert cli.main(["export", str(study), "--to", str(out), "--json"]) == 0
    schema = json.loads((Path(tippingpoint.__file__).parent / "schemas" / "export.schema.json").read_text("utf-8"))
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, schema)
    assert len(found["models"]) == 3
    assert cli.main(["export", str(study), "--to", str(out), "--where", "sed == 2"]) == 2
    assert "sed" in capsys.readouterr().err
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert cli.main(["export", str(study), "--to", str(tmp_path / "file")]) == 3
    assert "Traceback" not in capsys.readouterr().err
