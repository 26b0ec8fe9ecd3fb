"""The paper's tables: the numbers are those of the laws, each format says them, and no name is ever obeyed."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.cli import main
from tippingpoint.errors import FitError, InputError, RunsError
from tippingpoint.report.table_formats import to_csv, to_html, to_latex, to_text, write_tables
from tippingpoint.report.tables import COLUMNS, Estimate, law_rows, paper_tables

SIZES = np.geomspace(100, 1e6, 6)
MODELS = np.array([1e4, 1e5, 1e6])
TRUTH = {"scratch": (0.05, 4.0, 0.5), "distilled": (0.06, 2.0, 0.4)}
HOSTILE = ("a_b & \\input{x}", "<script>alert(1)</script>", "=cmd()|' /C calc'!A0", "\x1b[31mred\x1b[0m [*] 100% ~^#$")


def table(names: dict[str, str] | None = None) -> pd.DataFrame:
    """Return runs of two recipes that follow an additive law exactly, upstream and on one downstream set."""
    rows = []
    for recipe, (floor, coefficient, exponent) in TRUTH.items():
        for n in SIZES:
            for m in MODELS:
                base = {"recipe": (names or {}).get(recipe, recipe), "n_pretrain": n, "n_params": m}
                error = floor + coefficient * n**-exponent + 3 * m**-0.4
                rows.append({**base, "stage": "pretrained", "downstream": None, "error": error, "loss": 2 * error})
                rows.append({**base, "stage": "finetuned", "downstream": "digits", "error": error / 2, "loss": error})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return law_rows(table())


def value(rows: pd.DataFrame, recipe: str, stage: str, axis: str, parameter: str) -> pd.Series:
    chosen = rows.query("recipe == @recipe and stage == @stage and axis == @axis and parameter == @parameter")
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_the_truth_is_in_the_rows(found: pd.DataFrame) -> None:
    assert tuple(found.columns) == COLUMNS
    assert len(found) == 2 * 2 * 5
    for recipe, (floor, coefficient, exponent) in TRUTH.items():
        row = value(found, recipe, "pretrained", "n_pretrain", "exponent")
        assert row["value"] == pytest.approx(exponent, rel=1e-3)
        assert row["low"] <= row["high"]
        assert value(found, recipe, "pretrained", "n_pretrain", "coefficient")["value"] == pytest.approx(
            coefficient, rel=1e-2
        )
        assert value(found, recipe, "finetuned", "", "floor")["value"] == pytest.approx(floor / 2, rel=1e-2)
    assert set(found["n_runs"]) == {18}


def test_the_rows_are_what_a_law_says_of_itself(found: pd.DataFrame) -> None:
    law = tp.AdditivePowerLaw(["n_pretrain", "n_params"], random_state=0)
    law.fit(table(), recipe="distilled", stage="finetuned")
    row = value(found, "distilled", "finetuned", "n_params", "coefficient")
    assert row["value"] == pytest.approx(law.coefficients_["n_params"], rel=1e-9)
    assert (row["low"], row["high"]) == pytest.approx(law.intervals(0.9)["n_params.coefficient"], rel=1e-9)
    assert row["status"] == law.status_


def test_tables_are_those_of_the_paper(found: pd.DataFrame) -> None:
    first, second, floors = paper_tables(found)
    assert first.title == "Exponents of the recipe scratch"
    assert second.title == "Exponents of the recipe distilled"
    assert first.head == ("stage", "downstream", "target", "runs", "n_pretrain exponent", "n_params exponent", "status")
    assert [row[0] for row in first.rows] == ["pretrained", "finetuned"]
    cell = first.rows[0][4]
    assert isinstance(cell, Estimate)
    assert cell.value == pytest.approx(0.5, rel=1e-3)
    assert "n_params coefficient" in floors.head
    assert "n_params exponent" not in floors.head
    assert len(floors.rows) == 4


def test_other_laws_targets_and_groups() -> None:
    rows = law_rows(table(), "multiplicative", targets=["loss"], group={"recipe": "scratch", "stage": "finetuned"})
    assert list(rows["parameter"]) == ["floor", "coefficient", "exponent", "exponent"]
    assert set(rows["target"]) == {"loss"}
    assert set(rows["law"]) == {"multiplicative"}


def test_what_is_not_determined_is_marked_and_told() -> None:
    runs = table().query("recipe == 'scratch' and stage == 'pretrained' and n_params < 5e5")  # two model sizes
    rows = law_rows(runs)
    tied = rows[rows["axis"] == "n_params"]
    assert not tied["identified"].any()
    text = to_text(rows)
    assert re.search(r"† .*n_params is not identified, it has two sizes", text)
    assert r"$^\dagger$" in to_latex(rows)


def test_a_value_outside_its_interval_is_marked() -> None:
    assert Estimate(0.5, 0.6, 0.7, True).mark == "‡"
    assert Estimate(0.5, 0.4, 0.7, True).mark == ""
    assert Estimate(0.5, 0.6, 0.7, False).mark == "†"


def test_a_group_without_a_law_is_a_row_that_says_why() -> None:
    runs = table()
    lonely = runs.iloc[:1].assign(recipe="lonely")
    rows = law_rows(pd.concat([runs[runs["recipe"] == "scratch"], lonely], ignore_index=True))
    (row,) = rows[rows["recipe"] == "lonely"].to_dict("records")
    assert row["status"] == "not fitted"
    assert "no axis to fit along" in row["reason"]
    for told in (to_text(rows), to_html(rows), to_latex(rows), to_csv(rows)):
        assert "no axis to fit along" in told


def test_all_faults_of_the_question_are_told() -> None:
    with pytest.raises(RunsError, match="Did you mean 'loss'"):
        law_rows(table(), targets=["los"])
    with pytest.raises(RunsError, match="Did you mean 'n_params'"):
        law_rows(table(), axes=["n_param"])
    with pytest.raises(RunsError, match=r"no run has recipe 'distiled'; .* Did you mean 'distilled'"):
        law_rows(table(), group={"recipe": "distiled"})
    with pytest.raises(FitError, match="between 0 and 1"):
        law_rows(table(), level=90)
    with pytest.raises(InputError, match=r"\.txt, \.html, \.tex, \.csv"):
        write_tables(pd.DataFrame(), "tables.docx")


# -- hostile names -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> tuple[str, pd.DataFrame]:
    runs = table({"distilled": request.param}).assign(downstream=request.param)
    return request.param, law_rows(runs[runs["n_params"] < 5e5])


ALLOWED = {
    *(
        "begin",
        "end",
        "centering",
        "caption",
        "toprule",
        "midrule",
        "bottomrule",
        "par",
        "footnotesize",
        "scriptsize",
        "setlength",
        "tabcolsep",
    ),
    *("times", "dagger", "ddagger", "cdot", "textbackslash", "textasciitilde", "textasciicircum"),
    *("textless", "textgreater", "textbar"),
}


def check_latex(text: str) -> None:
    """Assert that only our commands occur, braces and dollars balance, and every row has the columns it declares."""
    body = text.partition("\n")[2]  # the first line is a comment
    assert set(re.findall(r"\\([A-Za-z]+)", body)) <= ALLOWED
    bare = re.sub(r"\\[\\{}$&%#_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("#%~") & set(bare)
    assert not re.search(r"\\\\\s*[\[*]", body)
    for columns, inner in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", body, re.S):
        lines = [line for line in inner.splitlines() if line.endswith(r"\\")]
        assert lines
        for line in lines:
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


def test_latex_sets_hostile_names_letter_by_letter(hostile: tuple[str, pd.DataFrame]) -> None:
    check_latex(to_latex(hostile[1]))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex on this machine")
def test_latex_compiles_with_booktabs_alone(hostile: tuple[str, pd.DataFrame], tmp_path: Path) -> None:
    tables = to_latex(hostile[1])
    whole = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{tables}\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(whole, encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_html_shows_hostile_names_and_runs_nothing(hostile: tuple[str, pd.DataFrame]) -> None:
    tags, texts = set(), []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.add(tag)
            assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in attrs)

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(to_html(hostile[1]))
    assert not tags & {"script", "img", "iframe", "link", "a", "object"}
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in hostile[0])
    assert shown in texts


def test_csv_keeps_numbers_and_holds_no_formula(hostile: tuple[str, pd.DataFrame]) -> None:
    text = to_csv(hostile[1])
    cells = list(csv.DictReader(io.StringIO(text)))
    assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for row in cells for cell in row.values())
    assert any(row["downstream"].lstrip("'") == hostile[0] for row in cells)
    again = [float(row["value"]) for row in cells]
    np.testing.assert_array_equal(again, hostile[1]["value"])


def test_negative_numbers_stay_numbers_in_csv(found: pd.DataFrame) -> None:
    text = to_csv(found.assign(value=-1.5, recipe="-1+2"))
    row = next(csv.DictReader(io.StringIO(text)))
    assert row["value"] == "-1.5"
    assert row["recipe"] == "'-1+2"


def test_text_moves_no_cursor(hostile: tuple[str, pd.DataFrame]) -> None:
    assert "\x1b" not in to_text(hostile[1])


def test_letters_that_latex_cannot_set_are_written_as_numbers(found: pd.DataFrame) -> None:
    text = to_latex(found.assign(downstream="中é"))
    assert "{[}U+4E2D{]}é" in text


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    table().query("stage == 'pretrained'").drop(columns=["downstream"]).to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def test_the_command_prints_and_writes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(file), "--recipe", "scratch"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Exponents of the recipe scratch, stage pretrained\n")
    for ending in ("txt", "html", "tex", "csv"):
        output = file.with_name(f"tables.{ending}")
        assert main(["tables", str(file), "--recipe", "scratch", "-o", str(output)]) == 0
        assert capsys.readouterr().out == f"wrote {output}\n"
        assert "exponent" in output.read_text(encoding="utf-8")
    assert file.with_name("tables.txt").read_text(encoding="utf-8") + "\n" == printed


def test_json_is_one_object_of_the_schema(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = pd.read_csv(file)
    pd.concat([runs, runs.iloc[:1].assign(recipe="lonely")]).to_csv(file, index=False)
    assert main(["tables", str(file), "--target", "error,loss", "--level", "0.8", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "tables.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(answer, schema)
    assert {row["target"] for row in answer["rows"]} == {"error", "loss"}
    assert {row["status"] for row in answer["rows"]} >= {"converged", "not fitted"}


def test_a_wrong_ending_is_told_before_any_fit(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(file), "-o", "tables.docx"]) == 2
    assert "tables.docx: tables are written as" in capsys.readouterr().err
