"""``tippingpoint boundary`` as a user types it; its JSON against the committed schema."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from tippingpoint.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "boundary.md"
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


def held_against(found: dict[str, Any], name: str) -> None:
    schema = json.loads((resources.files("tippingpoint") / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)


@pytest.fixture(scope="module")
def example() -> str:
    return str(resources.files("tippingpoint") / "_data" / "standard_runs.csv")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--map", "n_finetune", "--at", "n_params=116448", "--downstream", "digits", "--teacher", "heads=2"], "map"),
        (["--map", "n_params", "--stage", "pretrained", "--teacher", "heads=2", "--target", "cross_entropy"], "map"),
        (["--map", "n_finetune", "--at", "n_params=53056", "--downstream", "digits", "--resamples", "0"], "map"),
        (["--teachers", "--at", "n_params=116448,n_finetune=200", "--downstream", "digits"], "teachers"),
        (["--teachers", "--at", "n_params=116448", "--stage", "pretrained", "--resamples", "0"], "teachers"),
        (["--conditions", "--at", "n_params=53056,n_finetune=200", "--downstream", "digits"], "conditions"),
        (["--conditions", "--at", "n_params=53056", "--stage", "pretrained", "--teacher", "heads=2"], "conditions"),
    ],
)
def test_maps_teachers_and_conditions_are_of_their_schemas(
    example: str, capsys: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    draws = [] if "--resamples" in words else ["--resamples", "200"]
    code, out, err = call(capsys, example, "--json", *draws, *words)
    assert (code, err) == (0, "")
    found = json.loads(out)
    held_against(found, f"boundary_{name}")
    for one in found.get("slices", ()):
        held_against({"schema_version": 1, **one["boundary"]}, "boundary")


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "csv", "json"])
def test_a_map_is_saved_by_its_ending(
    example: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    words = ["--map", "n_finetune", "--at", "n_params=53056", "--downstream", "digits", "--resamples", "50"]
    code, out, err = call(capsys, example, *words, "--out", str(tmp_path / f"map.{kind}"))
    assert (code, err) == (0, "")
    assert out.endswith(f"wrote {tmp_path / f'map.{kind}'}\n")
    data = (tmp_path / f"map.{kind}").read_bytes()
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "csv": b"n_finetune,regime", "json": b"{"}
    assert data.startswith(starts[kind])
    if kind == "json":
        held_against(json.loads(data), "boundary_map")
    if kind == "csv":
        assert pd.read_csv(tmp_path / "map.csv")["n_finetune"].unique().tolist() == [50, 200, 800]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--map", "n_pretrain"], "over: n_pretrain is the axis that is walked along"),
        (["--map", "n_finetun"], "Did you mean 'n_finetune'"),
        (["--map", "recipe"], "column 'recipe' holds text"),
        (["--map", "n_finetune", "--at", "n_finetune=100"], "at: n_finetune is the axis of the slices"),
        (["--map", "n_finetune"], "share 1 size of n_finetune"),
        (["--map", "n_finetune", "--stage", "pretrained"], "share no sizes of n_finetune"),
        (["--map", "n_finetune", "--pool", "all"], "give auto or none"),
        (["--map", "n_finetune", "--recipes", "scratch,other"], "no run is of recipe 'other'"),
        (["--map", "n_finetune", "--teachers"], "ask one question at a time"),
        (["--map", "n_finetune", "--out", "map.bmp"], ".png, .svg, .pdf, .csv or .json"),
        (["--out", "map.png"], "--out: only a map is saved"),
        (["--teachers", "--teacher", "heads=2"], "leave --teacher out"),
        (["--teachers", "--recipes", "distilled,scratch"], "put one without teachers first"),
        (["--teachers", "--along", "n_params_teacher"], "every teacher has a size of its own"),
        (["--conditions", "--along", "n_finetune"], "leave --along out"),
        (["--conditions", "--resamples", "0"], "0 draws cannot tell a probability"),
        (["--conditions", "--pool", "all"], "leave --pool out"),
    ],
)
def test_faults_of_maps_teachers_and_conditions(
    table: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    code, out, err = call(capsys, str(table), *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_text_starts_with_the_answer(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, str(table), "--resamples", "100")
    assert code == 0
    assert out.startswith("Between 250 and 8,000 pretraining images, distilled is better up to about")
    assert "Exploratory: the study's declared primary endpoint is --along n_pretrain --target cross_entropy" in out


def test_own_columns_are_defined(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--stage", "pretrained", "--resamples", "50", "--json"]
    plain = call(capsys, str(table), "--target", "cross_entropy", *options)
    own = call(capsys, str(table), "--define", "loss=2 * cross_entropy", "--target", "loss", *options)
    crossings = [json.loads(text)["crossings"][-1]["value"] for _, text, _ in (plain, own)]
    np.testing.assert_allclose(crossings[1], crossings[0], rtol=0.01)
    assert call(capsys, str(table), "--define", "loss")[0] == 2


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


def test_the_page_shows_what_comes_out(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_bytes(Path(example).read_bytes())
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(tippingpoint boundary .*?)```\s+```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 4
    # Digits of a fit may differ in the last place between machines; words may not. An interval's end may open or close.
    blank = re.compile(r"\d[\d,.]*|[<>](?=\d)")
    for command, printed in blocks:
        assert main(shlex.split(command)[1:]) == 0
        told = capsys.readouterr().out
        assert blank.sub("#", told).split() == blank.sub("#", printed).split(), "python tools/write_boundary_page.py"
