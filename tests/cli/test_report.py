"""``tippingpoint report`` as a user types it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from tippingpoint.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = []
    for seed in range(3):
        for n in (100, 400, 1600, 6400):
            wobble = 1 + 0.01 * ((seed * 7 + n // 100) % 3 - 1)
            rows.append(("scratch", n, seed, wobble * (0.10 + 4.0 * n**-0.5)))
            rows.append(("distilled", n, seed, wobble * (0.14 + 3.0 * n**-0.5)))
    path = tmp_path_factory.mktemp("runs") / "table.csv"
    frame = pd.DataFrame(rows, columns=["recipe", "n_pretrain", "seed", "error"])
    frame.assign(stage="finetuned", subset_seed=frame["seed"]).to_csv(path, index=False)
    return path


def test_it_writes_the_page_and_says_the_answer(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.html"
    assert main(["report", str(runs), "-o", str(output), "--resamples", "20"]) == 0
    said = capsys.readouterr().out
    assert "distilled is better up to about" in said
    assert f"wrote {output}" in said
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_json_is_one_object_and_nothing_else(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs), "--json", "--resamples", "20", "--seed", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    validate(found, "report")
    validate({"schema_version": 1, **found["primary"]["boundary"]}, "boundary")
    assert [law["fit"] is None for law in found["laws"]] == [False, False]
    for law in found["laws"]:
        validate({"schema_version": 1, **law["fit"]}, "fit")
    assert found["primary"]["boundary"]["regime"] == "below"
    assert not (runs.parent / "report.html").exists()


def test_json_tells_the_maps(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(runs)
    both = pd.concat([table.assign(n_finetune=size, error=table["error"] + 1 / size) for size in (50, 200)])
    both.to_csv(tmp_path / "both.csv", index=False)
    assert main(["report", str(tmp_path / "both.csv"), "--json", "--resamples", "20"]) == 0
    found = json.loads(capsys.readouterr().out)
    validate(found, "report")
    (told,) = found["maps"]
    assert (told["over"], told["reason"]) == ("n_finetune", "")
    assert [row["n_finetune"] for row in told["slices"]] == [50, 200]
    assert told["claims"].startswith("Measured without a law")


def validate(found: object, name: str) -> None:
    schema = json.loads((resources.files("tippingpoint") / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    jsonschema.validate(found, schema)


def test_json_of_runs_that_compare_nothing_is_as_the_schema_says(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(runs)
    for rows in (frame[frame["recipe"] == "scratch"], frame.head(2)):
        rows.to_csv(tmp_path / "few.csv", index=False)
        assert main(["report", str(tmp_path / "few.csv"), "--json", "--resamples", "5"]) == 0
        validate(json.loads(capsys.readouterr().out), "report")


def test_what_a_study_says_of_its_images_is_in_the_report(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_bytes(runs.read_bytes())
    told = {"schema_version": 1, "study": {"name": "x"}, "notes": ["3 images are in two places."]}
    (tmp_path / "progress.json").write_text(json.dumps(told), encoding="utf-8")
    assert main(["report", str(tmp_path), "--json", "--resamples", "5"]) == 0
    assert "3 images are in two places." in json.loads(capsys.readouterr().out)["warnings"]
    (tmp_path / "progress.json").write_text(json.dumps({**told, "schema_version": 99}), encoding="utf-8")
    assert main(["report", str(tmp_path), "--json", "--resamples", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["study"] == "runs"
    assert "progress.json is of another version" in found["warnings"][0]


def test_a_wrong_place_is_told_before_anything_is_computed(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tippingpoint.report.analyse", None)
    assert main(["report", str(runs), "-o", str(tmp_path)]) == 2
    assert "is a directory; name a file with -o" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_wrong_input_is_one_sentence_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nothing.csv")]) == 2
    assert "nothing.csv" in capsys.readouterr().err
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    assert main(["report", str(table)]) == 2
    assert "nothing can be reported" in capsys.readouterr().err
