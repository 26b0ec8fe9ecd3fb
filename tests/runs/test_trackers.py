"""Tables as W&B and MLflow export them: read under plain names, doubts told, nothing in a cell run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.cli import main
from tippingpoint.errors import RunsError

SIZES = [1000, 2000, 4000, 8000, 16000, 32000]
ERRORS = [0.1 + 3 * n**-0.5 for n in SIZES]


def check(runs: tp.Runs, tool: str) -> None:
    """Assert that sizes and errors are there as numbers, and that a law is fitted to them."""
    np.testing.assert_array_equal(runs.numbers("n_pretrain"), SIZES)
    np.testing.assert_allclose(runs.numbers("error"), ERRORS, rtol=1e-12, atol=0)
    assert any(f"export of {tool}" in note for note in runs.notes)
    law = tp.AdditivePowerLaw(["n_pretrain"]).fit(runs)
    assert law.exponents_["n_pretrain"] == pytest.approx(0.5, rel=1e-3)


def mlflow() -> pd.DataFrame:
    """Return what ``mlflow.search_runs()`` gives: parameters are text."""
    count = len(SIZES)
    return pd.DataFrame(
        {
            "run_id": [f"{place:032x}" for place in range(count)],
            "experiment_id": ["1"] * count,
            "status": ["FINISHED"] * count,
            "artifact_uri": ["file:///mlruns/1"] * count,
            "start_time": pd.Timestamp("2024-01-01", tz="UTC"),
            "end_time": pd.Timestamp("2024-01-02", tz="UTC"),
            "metrics.error": ERRORS,
            "metrics.loss": [2 * error for error in ERRORS],
            "params.n_pretrain": [str(n) for n in SIZES],
            "params.recipe": ["scratch"] * count,
            "tags.mlflow.runName": ["bold-fish"] * count,
            "tags.upstream": ["flowers"] * count,
        }
    )


def entries() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what W&B's export script collects of each run: its summary and its config."""
    summary = [{"error": error, "_step": 9, "_wandb": {"runtime": 3}, "grad": float("nan")} for error in ERRORS]
    config = [{"n_pretrain": n, "model": {"width": 64}, "amp": True, "seed": {"value": n, "desc": None}} for n in SIZES]
    return summary, config


@pytest.mark.parametrize("ending", ["csv", "parquet", "memory"])
def test_mlflow(ending: str, tmp_path: Path) -> None:
    source: Any = mlflow()
    if ending != "memory":
        path = tmp_path / f"runs.{ending}"
        source.to_csv(path, index=False) if ending == "csv" else source.to_parquet(path)
        source = path
    runs = tp.read_runs(source)
    check(runs, "MLflow")
    assert set(runs.frame["recipe"]) == {"scratch"}
    assert set(runs.frame["upstream"]) == {"flowers"}
    assert "tags.mlflow.runName" in runs.frame.columns


@pytest.mark.parametrize("form", ["script", "json", "dots", "slashes", "memory"])
def test_wandb(form: str, tmp_path: Path) -> None:
    summary, config = entries()
    frame = pd.DataFrame({"summary": summary, "config": config, "name": [f"run-{n}" for n in SIZES]})
    if form == "json":
        frame = frame.assign(summary=[json.dumps(one) for one in summary], config=[json.dumps(one) for one in config])
    if form in {"dots", "slashes"}:
        mark = "." if form == "dots" else "/"
        frame = pd.DataFrame({f"config{mark}n_pretrain": SIZES, f"summary{mark}error": ERRORS})
    source: Any = frame
    if form != "memory":
        source = tmp_path / "project.csv"
        frame.to_csv(source)  # as the script does, with the index as a first column without a name
    runs = tp.read_runs(source)
    check(runs, "Weights & Biases")
    if form in {"script", "json", "memory"}:
        np.testing.assert_array_equal(runs.numbers("model.width"), 64)
        np.testing.assert_array_equal(runs.numbers("seed"), SIZES)
        assert "_step" not in runs.frame.columns


# The columns of a table that W&B's page wrote in November 2025, and those of MLflow's CsvUtils.ts (end of 2025), with
# entries of ours. Both write every cell in quotes; an empty one is "".
WANDB_PAGE = (
    '"Name","Agent","State","Notes","User","Tags","Created","Runtime","Sweep","data.classes","n_pretrain","error"'
)
WANDB_ROW = '"unetr_1763027298","","{state}","-","","","2025-11-13T09:48:11.000Z","9910","1wfhjnkh","","{n}","{error}"'
MLFLOW_PAGE = '"Start Time","Duration","Run ID","Name","Source Type","Source Name","User","Status","n_pretrain","error"'
MLFLOW_ROW = '"2025-11-13 09:48:11","2.1min","{n:032x}","bold-fish","LOCAL","a.py","me","{state}","{n}","{error}"'


@pytest.mark.parametrize(
    ("head", "row", "good", "other", "column"),
    [
        (WANDB_PAGE, WANDB_ROW, "finished", "failed", "State"),
        (WANDB_PAGE.replace('"Created",', ""), WANDB_ROW.replace('"2025-11-13T09:48:11.000Z",', ""), "finished",
         "crashed", "State"),
        (MLFLOW_PAGE, MLFLOW_ROW, "FINISHED", "KILLED", "Status"),
    ],
    ids=["wandb", "wandb-fewer-columns", "mlflow"],
)  # fmt: skip
def test_the_pages_own_downloads(head: str, row: str, good: str, other: str, column: str, tmp_path: Path) -> None:
    rows = [row.format(n=n, error=error, state=good) for n, error in zip(SIZES, ERRORS, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([head, *rows, row.format(n=7, error=0.99, state=other)]) + "\n", encoding="utf-8")
    runs = tp.read_runs(path)
    np.testing.assert_array_equal(runs.numbers("n_pretrain"), SIZES)
    np.testing.assert_array_equal(runs.numbers("error"), ERRORS)
    assert runs.notes == (f"1 of {len(SIZES) + 1} rows set aside: {column} is not 'finished'.",)


def test_the_apostrophe_that_mlflows_page_writes_is_none_of_the_number(tmp_path: Path) -> None:
    rows = [
        MLFLOW_ROW.format(n=n, error=f"'-{error}", state="FINISHED") for n, error in zip(SIZES, ERRORS, strict=True)
    ]
    path, head = tmp_path / "runs.csv", MLFLOW_PAGE.replace('"error"', '"score"')
    path.write_text("\n".join([head, *rows]), encoding="utf-8")
    runs = tp.read_runs(path, define={"error": "-score"})
    np.testing.assert_array_equal(runs.numbers("error"), ERRORS)
    path.write_text("\n".join([head.replace("Run ID", "Run"), *rows]), encoding="utf-8")
    with pytest.raises(RunsError, match="score"):  # anyone else's apostrophe is text
        tp.read_runs(path).numbers("score")


def test_a_table_of_places_is_none_of_wandb() -> None:
    frame = pd.DataFrame({"Name": ["a", "b"], "State": ["NY", "finished"], "error": [0.1, 0.2]})
    assert len(tp.read_runs(frame)) == 2


def test_runs_that_did_not_finish_are_counted() -> None:
    frame = mlflow()
    frame.loc[2, "status"] = "RUNNING"
    runs = tp.read_runs(frame)
    assert len(runs) == len(SIZES) - 1
    assert "1 of 6 rows set aside: status is not 'finished'." in runs.notes


def test_what_two_parts_have_keeps_its_prefix_unless_equal() -> None:
    frame = mlflow().assign(**{"metrics.n_pretrain": 1.0, "tags.recipe": "scratch"})
    runs = tp.read_runs(frame)
    assert "n_pretrain" not in runs.frame.columns
    assert any(
        "'n_pretrain' (params.n_pretrain, metrics.n_pretrain)" in note and "--define" in note for note in runs.notes
    )
    assert list(runs.frame.columns).count("recipe") == 1
    again = tp.read_runs(frame, define={"n_pretrain": "`params.n_pretrain`"})
    np.testing.assert_array_equal(again.numbers("n_pretrain"), SIZES)


def test_a_plain_column_is_never_replaced() -> None:
    runs = tp.read_runs(mlflow().assign(error=0.5))
    np.testing.assert_array_equal(runs.numbers("error"), 0.5)
    np.testing.assert_allclose(runs.numbers("metrics.error"), ERRORS, rtol=1e-12, atol=0)


def test_other_tables_are_left_alone() -> None:
    frame = pd.DataFrame({"config.n": SIZES, "error": ERRORS, "status": "RUNNING", "summary": "text"})
    runs = tp.read_runs(frame)
    assert list(runs.frame.columns) == list(frame.columns)
    assert runs.notes == ()
    assert len(tp.load_example().frame.columns) == 26


@pytest.mark.parametrize("cell", ["{'error': __import__('os').getcwd()}", "{" * 5000, "{'a': 1", "[1]", "{1, 2}"])
def test_a_cell_that_is_no_mapping_is_a_fault_and_runs_nothing(cell: str, tmp_path: Path) -> None:
    summary, config = entries()
    frame = pd.DataFrame({"summary": [str(one) for one in summary], "config": [str(one) for one in config]})
    frame.loc[3, "summary"] = cell
    frame.to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(RunsError, match=r"line 5: column 'summary' .* is no mapping"):
        tp.read_runs(tmp_path / "runs.csv")


def test_the_command_fits_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlflow().to_csv(tmp_path / "runs.csv", index=False)
    assert main(["fit", str(tmp_path / "runs.csv"), "--axes", "n_pretrain", "--no-intervals"]) == 0
    assert "note: The table is read as an export of MLflow" in capsys.readouterr().out
