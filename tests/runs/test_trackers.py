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


@pytest.mark.parametrize(
    ("head", "state", "other"),
    [
        ({"Name": "bold-fish", "Created": "2024-01-01"}, "State", "crashed"),
        ({"Run ID": "1", "Source Type": "LOCAL"}, "Status", "FAILED"),
    ],
)
def test_the_pages_own_downloads(head: dict[str, str], state: str, other: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"n_pretrain": SIZES, "error": ERRORS, **head, state: "finished"})
    frame = pd.concat([frame, frame.iloc[:1].assign(**{state: other, "error": 0.99})])
    frame.to_csv(tmp_path / "runs.csv", index=False)
    runs = tp.read_runs(tmp_path / "runs.csv")
    assert len(runs) == len(SIZES)
    assert runs.notes == (f"1 of {len(SIZES) + 1} rows set aside: {state} is not 'finished'.",)


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
