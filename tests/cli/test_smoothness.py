"""``tippingpoint smoothness`` as a person types it, on the cells of a study that has published no curves yet."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

import tippingpoint
from tippingpoint.cli import main

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    lines, rows = [], []
    for seed in range(3):
        for n in (100, 200, 400):
            for recipe, sigma in (("scratch", 0.1), ("distilled", 0.03)):
                key = hashlib.sha256(f"{seed}{n}{recipe}".encode()).hexdigest()
                draw = np.random.default_rng([seed, n])
                teacher = "heads=2" if recipe == "distilled" else None
                where = {"recipe": recipe, "student": 4, "teacher": teacher, "n_pretrain": n, "subset_seed": seed}
                where |= {"seed": seed, "downstream": None, "n_finetune": None}
                task = {"training": {"batch_size": 8}}
                cost = {"n_params": 10, "n_steps": 100}
                about = {"key": key, "kind": "pretrain", "state": "done", "inputs": {"where": where, "task": task}}
                lines.append(json.dumps({**about, "cost": cost}))
                ce = 3 + sigma * draw.normal(size=100)
                points = [{"step": k + 1, "loss": y, "ce": y} for k, y in enumerate(ce.tolist())]
                (tmp_path / "cells" / key).mkdir(parents=True)
                (tmp_path / "cells" / key / "curve.json").write_text(json.dumps({"curve": points}))
                score = float(n**-0.3 * np.exp(0.05 * draw.normal()))
                columns = {**where, "student": "heads=4", "stage": "pretrained", "upstream": "toys"}
                rows.append({**columns, "error": score, "cross_entropy": score})
    (tmp_path / "cells.jsonl").write_text("\n".join(lines) + "\n")
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path


def test_the_answer_as_text_and_as_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoothness", str(directory)]) == 0
    out = capsys.readouterr().out
    assert (directory / "curves.jsonl").is_file()
    assert "heads=4 under heads=2, pretrained, 3 blocks: training losses smoother (0.30 [" in out
    assert main(["smoothness", str(directory), "--recipes", "distilled,scratch", "--level", "0.8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    schema = json.loads((SCHEMAS / "smoothness.schema.json").read_text())
    Draft202012Validator(schema).validate(found)
    row = next(row for row in found["rows"] if row["measure"] == "roughness" and row["scope"] == "all")
    assert row["ratio"] == pytest.approx(1 / 0.3, rel=1e-3)
    assert (found["recipes"], found["level"], found["n_pairs"]) == (["distilled", "scratch"], 0.8, 9)


def test_mistakes_are_one_sentence(
    directory: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        ([str(directory), "--recipes", "scratch,destilled"], "Did you mean 'distilled'?"),
        ([str(directory), "--recipes", "scratch"], "name two different recipes"),
        ([str(directory), "--span", "0"], "span: 0.0 is not a share"),
        ([str(tmp_path_factory.mktemp("empty"))], "curves.jsonl: there is no such file"),
    ):
        assert main(["smoothness", *words]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("tippingpoint: ")
        assert told in said.err
