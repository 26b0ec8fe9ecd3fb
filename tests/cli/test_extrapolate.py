"""``tippingpoint extrapolate`` as a user types it; its JSON against the committed schema."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from tippingpoint.cli import main


@pytest.fixture
def table(tmp_path: Path) -> Path:
    x = np.geomspace(100, 6400, 7)
    frame = pd.DataFrame(
        {"images": x, "error rate": 0.1 + 3 * x**-0.5, "train": (x < 1000).astype(int), "model": "ViT"}
    )
    path = tmp_path / "curves.csv"
    frame.to_csv(path, index=False)
    return path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["extrapolate", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    "options",
    [
        ["--train", "train"],
        ["--train", "train", "--group", "model", "--interval", "0"],
        ["--at", "1e4,2e4"],
        ["--law", "m2"],
        ["--law", "bnsl2", "--train", "train", "--interval", "0.5"],
    ],
)
def test_json_is_one_object_of_the_schema(table: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    code, out, err = call(capsys, str(table), "--x", "images", "--y", "error rate", "--json", *options)
    assert (code, err) == (0, "")
    found = json.loads(out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "extrapolate.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert (found["mean_rmsle"] is not None) == ("--train" in options)
    level = {"0": None, "0.5": 0.5}[options[options.index("--interval") + 1]] if "--interval" in options else 0.9
    assert found["level"] == level
    assert all((one["interval"] is None) == (level is None) for one in found["curves"][0]["predictions"])


def test_text_ends_with_the_score(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, str(table), "--x", "images", "--y", "error rate", "--train", "train")
    assert code == 0
    assert "curve: 4 training points, 3 predictions, RMSLE 0.0" in out
    assert "RMSLE over 1 curve (law auto): mean 0.0" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--y", "error"], "Did you mean 'error rate'?"),
        (["--y", "error rate", "--law", "m7"], "There is no law 'm7'"),
        (["--y", "error rate", "--at", "many"], "--at: 'many' is not a number"),
        (["--y", "error rate", "--interval", "90"], "Intervals are calibrated for levels from"),
        (["--y", "error rate", "--train", "model"], "holds text"),
    ],
)
def test_mistakes_leave_with_a_sentence(
    table: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    code, out, err = call(capsys, str(table), "--x", "images", *options)
    assert (code, out) == (2, "")
    assert said in err
