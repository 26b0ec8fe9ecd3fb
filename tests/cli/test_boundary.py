"""``tippingpoint boundary`` as a user types it; its JSON against the committed schema."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from tippingpoint.cli import main

SIZES = (250, 500, 1000, 2000, 4000, 8000)
ENDPOINT = {
    "recipes": ["scratch", "distilled"],
    "along": "n_pretrain",
    "stage": "pretrained",
    "target": "cross_entropy",
    "upstream": "up",
    "downstream": None,
    "teacher": "heads=2",
    "at": {"n_params": 51216, "n_finetune": None},
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study directory of five blocks with both stages."""
    random = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for block in range(5):
        for recipe, (floor, c, e) in {"scratch": (0.3, 16, 0.5), "distilled": (0.36, 8, 0.42)}.items():
            for size in SIZES:
                for stage in ("pretrained", "finetuned"):
                    loss = (floor + c * size**-e) * np.exp(random.normal(0, 0.01))
                    guided = recipe == "distilled"
                    rows.append(
                        {
                            "schema_version": 1,
                            "recipe": recipe,
                            "stage": stage,
                            "upstream": "up",
                            "downstream": "down" if stage == "finetuned" else None,
                            "n_pretrain": size,
                            "n_params": 51216,
                            "n_params_teacher": 13224 if guided else None,
                            "teacher": "heads=2" if guided else None,
                            "n_finetune": 100 if stage == "finetuned" else None,
                            "subset_seed": block,
                            "seed": block,
                            "pretrain_id": f"{recipe}{size}{block}",
                            "cross_entropy": loss,
                            "error": 0.2 * loss,
                        }
                    )
    folder = tmp_path_factory.mktemp("study")
    pd.DataFrame(rows).to_csv(folder / "runs.csv", index=False)
    progress = {"schema_version": 1, "study": {"name": "s", "endpoint": ENDPOINT}, "state": "done"}
    (folder / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["boundary", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("options", [[], ["--resamples", "0"], ["--target", "cross_entropy", "--stage", "pretrained"]])
def test_json_is_one_object_of_the_schema(table: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    code, out, err = call(capsys, str(table / "runs.csv"), "--json", "--resamples", "200", *options)
    assert (code, err) == (0, "")
    found = json.loads(out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "boundary.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert found["regime"] == "below"
    assert found["crossings"][0]["in_range"]


def test_text_starts_with_the_answer(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, str(table), "--resamples", "100")
    assert code == 0
    assert out.startswith("Between 250 and 8,000 pretraining images, distilled is better up to about")
    assert "Exploratory: the study's declared primary endpoint is --along n_pretrain --target cross_entropy" in out


def test_the_declared_endpoint_is_recognised(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(table), "--stage", "pretrained", "--target", "cross_entropy", "--at", "n_params=51216"]
    code, out, _ = call(capsys, *words, "--resamples", "50")
    assert code == 0
    assert "declared primary endpoint." in out
    assert "Exploratory" not in out


def test_same_seed_same_json(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(table), "--json", "--resamples", "100", "--seed", "3", "--where", "n_pretrain < 5000"]
    first, second = call(capsys, *words)[1], call(capsys, *words)[1]
    assert first == second
    assert json.loads(first)["range"] == [250, 4000]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recipes", "scratch,distiled"], "Did you mean 'distilled'"),
        (["--recipes", "scratch"], "'scratch' is not a pair; name two, such as scratch,distilled"),
        (["--recipes", ","], "'nothing' is not a pair"),
        (["--at", "n_params"], "name=number"),
        (["--at", "n_params=1e9"], "51216"),
        (["--where", "__import__('os')"], "Expression"),
        (["--at", "n_params=nan"], "name=number"),
        (["--at", "=3"], "name=number"),
        (["--at", "n_params=1,n_params=2"], "n_params is given twice"),
        (["--along", "depth"], "no column 'depth'"),
        (["--target", "recipe"], "column 'recipe' holds text; numbers are needed"),
        (["--along", "upstream"], "column 'upstream' holds text"),
        (["--at", "dpeth=3"], "no column 'dpeth'"),
        (["--downstream", "cars"], "cars"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--resamples", "-1"], "Invalid value for '--resamples'"),
        (["--where", "seed > 99"], "no rows are left"),
        (["--level", "7"], "between 0 and 1"),
    ],
)
def test_faults_are_sentences_and_exit_2(
    table: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    code, out, err = call(capsys, str(table), *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_a_data_set_that_no_run_has_is_not_passed_over(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain.csv"
    pd.read_csv(table if table.is_file() else table / "runs.csv").drop(columns="upstream").to_csv(plain, index=False)
    code, out, err = call(capsys, str(plain), "--upstream", "x", "--stage", "pretrained")
    assert (code, out) == (2, "")
    assert "upstream: 'x' is asked for, but no run of" in err


def test_a_question_that_fails_names_the_declared_one(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, str(table), "--recipes", "scratch,other")
    assert code == 2
    assert "declared primary endpoint is" in err
