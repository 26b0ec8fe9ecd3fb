"""Runs as other tools hold them: what is written is what those tools write, and is read back as it was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import tippingpoint as tp
from tippingpoint.errors import InputError, RunsError
from tippingpoint.runs import Runs, save_runs

MIXED = {
    "recipe": ["scratch", "distilled", "=1+1"],
    "downstream": [None, "digits, of all kinds", 'say "0"\nor 1'],
    "n_pretrain": [225, 450, None],
    "n_params": [14240, 14240, 53056],
    "seed": [1, 2, 3],
    "error": [0.25, 0.125, 1 / 3],
    "wall_s": [1.5, None, 3.25],
}


@pytest.fixture(scope="module")
def mixed() -> Runs:
    return tp.read_runs(MIXED)


def same(back: Runs, runs: Runs) -> None:
    """Assert that all columns of the runs are there again, with their values to the last bit."""
    frame = back.frame[list(runs.frame.columns)]
    pd.testing.assert_frame_equal(frame, runs.frame, check_dtype=False, check_exact=True)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("layout", ["plain", "mlflow", "wandb"])
def test_what_is_written_is_read_back(mixed: Runs, layout: Any, ending: str, tmp_path: Path) -> None:
    path = save_runs(mixed, tmp_path / f"runs.{ending}", layout)
    assert path == tmp_path / f"runs.{ending}"
    same(tp.read_runs(path), mixed)
    again = save_runs(mixed, tmp_path / f"again.{ending}", layout)
    assert again.read_bytes() == path.read_bytes()


def test_the_whole_example_survives_every_layout(tmp_path: Path) -> None:
    example, layouts = tp.load_example(), ("mlflow", "wandb")
    for layout in layouts:
        same(tp.read_runs(save_runs(example, tmp_path / f"{layout}.csv", layout)), example)  # type: ignore[arg-type]
    same(tp.read_runs(save_runs(example, tmp_path / "dataset", "huggingface")), example)


def test_mlflow_holds_results_as_numbers_and_settings_as_text(mixed: Runs, tmp_path: Path) -> None:
    frame = pd.read_parquet(save_runs(mixed, tmp_path / "runs.parquet", "mlflow"))
    head = ["run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"]
    assert list(frame.columns[:8]) == [*head, "metrics.error", "metrics.wall_s"]
    assert all(name.startswith("params.") for name in frame.columns[8:])
    assert list(frame["params.n_pretrain"][:2]) == ["225", "450"]
    assert frame["params.n_pretrain"].isna()[2]
    assert frame["metrics.error"].dtype == float
    assert frame["run_id"].str.fullmatch("[0-9a-f]{32}").all()
    assert frame["run_id"].is_unique


def test_wandb_holds_two_mappings_a_run(mixed: Runs, tmp_path: Path) -> None:
    frame = pd.read_csv(save_runs(mixed, tmp_path / "runs.csv", "wandb"))
    assert json.loads(frame["summary"][1]) == {"error": 0.125}
    assert json.loads(frame["config"][0]) == {"recipe": "scratch", "n_pretrain": 225, "n_params": 14240, "seed": 1}
    assert list(frame["state"].unique()) == ["finished"]


def test_other_columns_are_results_where_that_is_said(tmp_path: Path) -> None:
    table = {"n_pretrain": [1, 2], "error": [0.5, 0.25], "top5": [0.1, 0.05]}
    frame = pd.read_csv(save_runs(table, tmp_path / "runs.csv", "mlflow", measured=["top5"]))
    np.testing.assert_array_equal(frame["metrics.top5"], table["top5"])
    assert "params.top5" not in frame


def test_whole_numbers_are_written_as_such(mixed: Runs, tmp_path: Path) -> None:
    lines = save_runs(mixed, tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "scratch,,225,14240,1,0.25,1.5"
    rows = save_runs(mixed, tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    assert '"n_pretrain": 225, "n_params": 14240' in rows[0]


def test_a_dataset_has_a_card_that_names_its_file(mixed: Runs, tmp_path: Path) -> None:
    folder = save_runs(mixed, tmp_path / "dataset", "huggingface")
    same(tp.read_runs(folder), mixed)
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "runs.csv"}]}]
    assert (folder / told["configs"][0]["data_files"][0]["path"]).is_file()
    assert told["size_categories"] == ["n<1K"]
    assert re.search(r"^\| n\\_pretrain \| 225 to 450, 1 empty \|$", body, re.MULTILINE)


def test_a_card_takes_no_markup_from_the_data(tmp_path: Path) -> None:
    evil = "](https://example.com)<script>\n---\nlicense: x | y"
    folder = save_runs({"recipe": [evil, "a"], evil: [1, 2], "error": [0.1, 0.2]}, tmp_path / "set", "huggingface")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("---")] == ["---", "---"]  # those of the head
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\]\(", text)


def test_the_hub_reads_it(mixed: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install datasets to let Hugging Face read what is written")
    folder = save_runs(tp.load_example(), tmp_path / "dataset", "huggingface")
    found = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    np.testing.assert_array_equal(found.to_pandas()["error"], tp.load_example().frame["error"])


def test_a_dataset_of_parquet_files_is_read(mixed: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    mixed.frame[:2].to_parquet(folder / "data" / "train-00000-of-00002.parquet")
    mixed.frame[2:].to_parquet(folder / "data" / "train-00001-of-00002.parquet")
    back = tp.read_runs(folder)
    same(back, mixed)
    assert back.notes == ("The rows of 2 files are read as one table.",)
    (folder / "data" / "train-00001-of-00002.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RunsError, match=r"00001-of-00002\.parquet: cannot be read as Parquet"):
        tp.read_runs(folder)


def test_a_folder_without_a_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunsError, match=r"no runs\.csv and no Parquet files; run the study first"):
        tp.read_runs(tmp_path)


def test_all_faults_of_the_settings_are_told_at_once(mixed: Runs, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        save_runs(mixed, tmp_path / "runs.txt", "mlflw", measured=["eror"])  # type: ignore[arg-type]
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["layout", "measured"]
    assert "Did you mean 'mlflow'" in caught.value.faults[0]
    assert "Did you mean 'error'" in caught.value.faults[1]
    with pytest.raises(InputError, match=r"a table ends in \.csv, \.jsonl, \.parquet"):
        save_runs(mixed, tmp_path / "runs.txt", "wandb")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="a dataset is a folder"):
        save_runs(mixed, tmp_path / "file", "huggingface")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
