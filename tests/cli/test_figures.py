"""The command draws what is asked for, where it is asked for, and says what it wrote."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from tippingpoint.cli import main
from tippingpoint.report import KINDS

RECIPES = {"scratch": (16.0, 0.5), "distilled": (8.0, 0.42)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    lines = ["recipe,n_pretrain,subset_seed,seed,error"]
    for recipe, (coefficient, exponent) in RECIPES.items():
        for n in (250, 1000, 4000, 16000):
            for seed in range(3):
                error = 0.05 + 0.1 * coefficient * n**-exponent * (1 + 0.01 * ((seed * 7 + n) % 3 - 1))
                lines.append(f"{recipe},{n},{seed},{seed},{error}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_figures_are_saved_in_every_format(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["figures", str(runs), "-o", str(tmp_path / "f"), "--only", "difference,concept", "--format", "pdf,png"]
    assert main([*command, "--resamples", "20"]) == 0
    told = capsys.readouterr().out.split()
    assert {Path(line).name for line in told} == {path.name for path in (tmp_path / "f").iterdir()}
    assert {"concept.pdf", "concept.png", "captions.md"} <= {path.name for path in (tmp_path / "f").iterdir()}


def test_json_is_one_object_of_the_schema(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["figures", str(runs), "-o", str(tmp_path), "--only", "predicted", "--format", "svg", "--json"]
    assert main([*command, "--resamples", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "figures.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert schema["properties"]["figures"]["items"]["properties"]["kind"]["enum"] == list(KINDS)
    assert {one["kind"] for one in found["figures"]} == {"predicted"}
    assert all(Path(file).is_file() for one in found["figures"] for file in one["files"])


def test_what_is_unknown_is_told_before_anything_is_computed(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tippingpoint.report.analyse", None)
    assert main(["figures", str(runs), "--only", "pie", "--format", "bmp"]) == 2
    told = capsys.readouterr().err
    assert "There is no figure 'pie'" in told
    assert "There is no format 'bmp'" in told
    assert main(["figures", str(runs), "-o", str(runs)]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
