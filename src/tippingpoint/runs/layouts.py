"""Tables of runs as other tools hold them: MLflow's, Weights & Biases', and a Hugging Face style dataset.

Layouts, each read back by :func:`~tippingpoint.runs.read_runs` with the same columns and values:

* ``mlflow``: what ``mlflow.search_runs`` gives, to be joined with it: ``run_id``, ``experiment_id``, ``status``,
  ``artifact_uri``, ``start_time``, ``end_time``, then ``metrics.*`` (what was measured) and ``params.*`` (all else).
* ``wandb``: what W&B's documented export script writes: ``summary`` (what was measured) and ``config`` (all else), each
  cell a mapping as JSON, and ``name``.
* ``huggingface``: a folder with ``runs.csv`` and a ``README.md`` whose head names it, which ``datasets.load_dataset``
  loads and the Hub shows.

Deliberately not built: sending anything to a server.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tippingpoint.errors import InputError, MissingExtraError, did_you_mean
from tippingpoint.files import write_atomic
from tippingpoint.runs.columns import MEASURED
from tippingpoint.runs.reading import read_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LAYOUTS", "save_runs", "whole_numbers"]

Layout = Literal["plain", "mlflow", "wandb", "huggingface"]
LAYOUTS: tuple[Layout, ...] = ("plain", "mlflow", "wandb", "huggingface")
ENDINGS = (".csv", ".jsonl", ".parquet")
_MOST_WHOLE = 2**53
# Of the Hub: how many rows a dataset has, in words that its search knows.
_COUNTS = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def save_runs(runs: Any, path: str | Path, layout: Layout = "plain", *, measured: Sequence[str] = ()) -> Path:
    """Write a table of runs as another tool holds it.

    Parameters
    ----------
    runs : Runs, path, DataFrame or mapping
        See :func:`~tippingpoint.runs.read_runs`.
    path : str or Path
        A file that ends in ``.csv``, ``.jsonl`` or ``.parquet``; a folder for ``huggingface``.
    layout : {"plain", "mlflow", "wandb", "huggingface"}, default "plain"
        Whose table it shall be; ``plain`` has our columns.
    measured : sequence of str, optional
        Further columns that hold results. Ours are ``error``, both cross-entropies, the FLOPs and ``wall_s``; whatever
        is left counts as a setting.

    Returns
    -------
    Path
        The file, or the folder.

    Raises
    ------
    InputError
        The layout or the ending is unknown, or a column is missing.
    RunsError
        The runs cannot be read.
    MissingExtraError
        Parquet needs pyarrow.
    EnvironmentFault
        The file cannot be written.
    """
    target = Path(path)
    table = whole_numbers(read_runs(runs).frame)
    _check(target, layout, measured, [str(name) for name in table.columns])
    results = [name for name in table.columns if name in (*MEASURED, *measured)]
    if layout == "huggingface":
        write_atomic(target / "runs.csv", _csv(table))
        write_atomic(target / "README.md", _card(table))
        return target
    if layout != "plain":
        table = _mlflow(table, results) if layout == "mlflow" else _wandb(table, results)
    return write_atomic(target, _content(table, target))


def whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of whole numbers are such, though some cells are missing (225, not 225.0)."""
    table = table.copy()
    for name in table.select_dtypes("float"):
        values = table[name].dropna()
        if len(values) and (values == values.round()).all() and values.abs().max() < _MOST_WHOLE:
            table[name] = table[name].astype("Int64")
    return table


def _check(path: Path, layout: str, measured: Sequence[str], columns: Sequence[str]) -> None:
    """Raise InputError with all that is wrong with the settings."""
    faults = [] if layout in LAYOUTS else [
        f"layout: '{layout}' is not known; there are {', '.join(LAYOUTS)}.{did_you_mean(layout, LAYOUTS)}"
    ]  # fmt: skip
    if layout == "huggingface" and path.is_file():
        faults.append(f"{path}: is a file; a dataset is a folder.")
    if layout in LAYOUTS and layout != "huggingface" and path.suffix.lower() not in ENDINGS:
        faults.append(f"{path}: a table ends in {', '.join(ENDINGS)}; choose one.")
    faults += [f"measured: there is no column '{name}'.{did_you_mean(name, columns)}"
               for name in measured if name not in columns]  # fmt: skip
    if faults:
        raise InputError(faults)


def _csv(table: pd.DataFrame) -> str:
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def _content(table: pd.DataFrame, path: Path) -> str | bytes:
    """Return the bytes of a table as its ending asks for."""
    if path.suffix.lower() == ".parquet":
        buffer = io.BytesIO()
        mixed = [name for name in table.columns if table[name].dropna().map(type).nunique() > 1]
        table = table.assign(**{name: table[name].map(str, na_action="ignore") for name in mixed})
        try:
            table.to_parquet(buffer, engine="pyarrow", index=False)
        except ImportError as error:
            raise MissingExtraError(f"{path}: Parquet needs pyarrow; pip install 'tippingpoint[parquet]'.") from error
        return buffer.getvalue()
    if path.suffix.lower() == ".jsonl":
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _rows(table))
    return _csv(table)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row as plain types, without its empty cells."""
    rows = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    return [{str(k): getattr(v, "item", lambda v=v: v)() for k, v in row.items() if v is not None} for row in rows]


def _identifiers(table: pd.DataFrame) -> list[str]:
    """Return 32 letters for each run, the same for the same row at the same place."""
    rows = (json.dumps([place, row]).encode() for place, row in enumerate(_rows(table)))
    return [hashlib.sha256(row).hexdigest()[:32] for row in rows]


def _mlflow(table: pd.DataFrame, results: Sequence[str]) -> pd.DataFrame:
    """Return the table in MLflow's columns; its parameters are text, as MLflow keeps them."""
    import pandas as pd

    count = len(table)
    head = pd.DataFrame({"run_id": _identifiers(table), "experiment_id": "0", "status": "FINISHED",
                         "artifact_uri": "", "start_time": "", "end_time": ""}, index=range(count))  # fmt: skip
    settings = [name for name in table.columns if name not in results]
    text = [{name: str(value) for name, value in row.items()} for row in _rows(table[settings])]
    parts = [
        head,
        table[list(results)].add_prefix("metrics."),
        pd.DataFrame(text, columns=settings, index=range(count)).add_prefix("params."),
    ]
    return pd.concat(parts, axis=1)


def _wandb(table: pd.DataFrame, results: Sequence[str]) -> pd.DataFrame:
    """Return the table in the columns of W&B's export script."""
    import pandas as pd

    settings = [name for name in table.columns if name not in results]
    cells = {
        part: [json.dumps(row, ensure_ascii=False) for row in _rows(table[list(names)])]
        for part, names in (("summary", results), ("config", settings))
    }
    return pd.DataFrame({**cells, "name": [f"run-{place}" for place in range(len(table))], "state": "finished"})


def _card(table: pd.DataFrame) -> str:
    """Return the card of a dataset: its head, which the Hub and ``datasets`` read, and what the columns hold."""
    size = next((words for most, words in _COUNTS if len(table) < most), "1M<n<10M")
    rows = "".join(f"| {_cell(name)} | {_cell(_kind(table[name]))} |\n" for name in table.columns)
    return f"""---
pretty_name: Runs of a scaling study
tags:
- tabular
- scaling-laws
size_categories:
- {size}
configs:
- config_name: default
  data_files:
  - split: train
    path: runs.csv
---

# Runs of a scaling study

{len(table):,} scored models, one row each, written by tippingpoint. `tippingpoint.read_runs` reads this folder, and
so does `datasets.load_dataset`.

| column | holds |
| --- | --- |
{rows}"""


def _cell(text: object) -> str:
    """Return text for a cell of a table in Markdown: nothing of it is markup, and it stays on its line."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+!|~$&" else letter for letter in plain)


def _kind(column: pd.Series[Any]) -> str:
    """Say what a column holds."""
    import pandas as pd

    known = column.dropna()
    missing = f", {len(column) - len(known):,} empty" if len(known) < len(column) else ""
    if not len(known):
        return "nothing"
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return f"{known.min():g} to {known.max():g}{missing}"
    names = sorted({str(value) for value in known})
    told = ", ".join(names) if len(names) <= 6 else f"{len(names):,} values, such as {names[0]}"
    return f"{told[:200]}{missing}"
