"""From a file or a table in memory to a frame whose rows know their lines.

A cell is empty where nothing, ``NA``, ``N/A`` or ``null`` stands in it; ``nan`` counts as empty too.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import EnvironmentFault, MissingExtraError, RunsError
from tippingpoint.runs.cells import EMPTY, floats
from tippingpoint.runs.table import Runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

_STUDY_TABLE = "runs.csv"
_SHOWN = 5  # faulty lines of one kind that are named
#: How files begin that are no text, and what to do with them.
_BINARY = {
    b"PK\x03\x04": "is a workbook or a zip archive; save its sheet as CSV",
    b"\xd0\xcf\x11\xe0": "is a workbook of an old Excel; save its sheet as CSV",
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"PAR1": "is a Parquet file; let its name end in .parquet",
    b"\xff\xfe": "is UTF-16; save it as UTF-8 text",
    b"\xfe\xff": "is UTF-16; save it as UTF-8 text",
}


def read_table(source: Any) -> Runs:
    """Return a table as it is, without checking its values.

    Parameters
    ----------
    source : path, DataFrame (pandas, or what can be made one: polars, pyarrow) or mapping
        See :func:`tippingpoint.runs.read_runs`.

    Returns
    -------
    Runs
        Empty cells are NaN (numbers) or None (text); columns of numbers throughout are numbers.

    Raises
    ------
    RunsError
        It is none of these, does not exist, or is damaged.
    EnvironmentFault
        The file exists and the system will not let it be read.
    """
    import pandas as pd

    if not isinstance(source, pd.DataFrame | Mapping | str | Path) and hasattr(source, "to_pandas"):
        try:
            source = source.to_pandas()
        except ImportError as error:
            raise MissingExtraError(
                f"This table needs pyarrow ({error}); pip install 'tippingpoint[parquet]'."
            ) from error
    if isinstance(source, pd.DataFrame):
        frame = _plain_rows(source)
        return _finish(frame, "table", np.arange(len(frame)), "row")
    if isinstance(source, Mapping):
        try:
            frame = pd.DataFrame({str(name): column for name, column in source.items()})
        except (ValueError, TypeError) as error:
            raise RunsError(f"The columns do not make a table ({error}); give lists of one length.") from error
        return _finish(frame, "table", np.arange(len(frame)), "row")
    if not isinstance(source, str | Path):
        what = f"Runs are a path, a DataFrame or a mapping of columns, not {type(source).__name__}"
        raise RunsError(f"{what}; pandas.DataFrame makes a table of most things.")
    return _read_path(Path(source))


def _plain_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with rows 0..n-1; levels of its index that have a name are columns (``seed`` after a groupby)."""
    named = [place for place, name in enumerate(frame.index.names) if name is not None and name not in frame.columns]
    return frame.reset_index(level=named).reset_index(drop=True) if named else frame.reset_index(drop=True)


def _read_path(path: Path) -> Runs:
    try:
        if path.is_dir():
            if not (path / _STUDY_TABLE).is_file():
                return _read_dataset(path)
            path = path / _STUDY_TABLE
        if not path.is_file():
            raise RunsError(f"{path}: there is no such file; name a CSV, JSONL or Parquet file or a study directory.")
        data = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error}); check its permissions.") from error
    except ValueError as error:  # a zero byte in the name
        raise error if isinstance(error, RunsError) else RunsError(f"{path!r} is not a path ({error}).") from error
    kind = path.suffix.lower()
    if kind in {".parquet", ".pq"}:
        frame = _read_parquet(data, path)
        return _finish(frame, str(path), np.arange(len(frame)), "row")
    text = _decode(data, path)
    if not text.strip():
        raise RunsError(f"{path}: the file is empty; write a header and one row for each run.")
    reader = _read_jsonl if kind in {".jsonl", ".ndjson", ".json"} else _read_csv
    frame, lines = reader(text, path)
    return _finish(frame, str(path), lines, "line")


def _read_dataset(folder: Path) -> Runs:
    """Read a Hugging Face style dataset: the Parquet files of a folder, or of its ``data``, one below the other."""
    import pandas as pd

    files = sorted(folder.glob("*.parquet")) or sorted((folder / "data").glob("*.parquet"))
    if not files:
        raise RunsError(
            f"{folder}: the directory has no {_STUDY_TABLE} and no Parquet files; run the study first "
            "(tippingpoint run)."
        )
    frame = pd.concat([_read_parquet(file.read_bytes(), file) for file in files], ignore_index=True)
    runs = _finish(frame, str(folder), np.arange(len(frame)), "row")
    return runs.noted(f"The rows of {len(files)} files are read as one table.") if len(files) > 1 else runs


def _decode(data: bytes, path: Path) -> str:
    for start, what in _BINARY.items():
        if data.startswith(start):
            raise RunsError(f"{path}: the file {what}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RunsError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text.") from error
    if "\0" in text:
        raise RunsError(f"{path}: the file holds zero bytes; it is not a table of text.")
    return text


def _read_parquet(data: bytes, path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return _plain_rows(pd.read_parquet(io.BytesIO(data), engine="pyarrow"))
    except ImportError as error:
        raise MissingExtraError(f"{path}: Parquet needs pyarrow; pip install 'tippingpoint[parquet]'.") from error
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise RunsError(f"{path}: cannot be read as Parquet ({str(error)[:120]}).") from error


def _read_csv(text: str, path: Path) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Read a CSV with every cell as text; each row knows the line it begins on."""
    import pandas as pd

    header_line = next(line for line in text.splitlines() if line.strip())
    told = re.fullmatch(r"sep=(.)\s*", header_line)  # by Excel, in a line before the header
    separator = told[1] if told else max((",", "\t", ";"), key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    uneven: dict[int, list[int]] = {}
    faults: list[str] = []
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if told:
                told = None
                continue
            if not names:
                names = _header(cells, line, path)
            elif len(cells) == len(names):
                rows.append(cells)
                lines.append(line)
            else:
                uneven.setdefault(len(cells), []).append(line)
    except csv.Error as error:
        faults.append(f"{path}, line {reader.line_num}: cannot be read as CSV ({error}).")
    faults = [_uneven(path, count, at, len(names)) for count, at in uneven.items()] + faults
    if faults:
        raise RunsError(faults)
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    frame = pd.DataFrame(
        {name: pd.Series(list(cells), dtype=object) for name, cells in zip(names, columns, strict=True)}
    )
    return frame, np.array(lines, dtype=np.intp)


def _uneven(path: Path, count: int, lines: list[int], header: int) -> str:
    """Say which lines have another number of cells than the header."""
    shown = ", ".join(map(str, lines[:_SHOWN])) + (f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")
    place = f"line {shown}: has" if len(lines) == 1 else f"lines {shown}: have"
    cells = f"{count} cell{'' if count == 1 else 's'}"
    return (
        f"{path}, {place} {cells} and the header {header}; mend the row{'' if len(lines) == 1 else 's, or the header'}."
    )


def _header(cells: list[str], line: int, path: Path) -> list[str]:
    """Return the columns' names; one without a name is called by its number."""
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, start=1)]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise RunsError(f"{path}, line {line}: column '{name}' stands there twice; rename one." for name in twins)
    return names


def _at_most(faults: list[str], path: Path, shown: int = 20) -> list[str]:
    rest = len(faults) - shown
    return faults if rest <= 0 else [*faults[:shown], f"{path}: {rest} more lines are faulty."]


def _read_jsonl(text: str, path: Path) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Read one JSON object a line."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.append(f"{path}, line {number}: is not JSON ({error}).")
            continue
        if isinstance(row, dict):
            rows.append(row)
            lines.append(number)
        else:
            faults.append(f"{path}, line {number}: is not a JSON object; write one object a line.")
    if faults:
        raise RunsError(_at_most(faults, path))
    return pd.DataFrame(rows), np.array(lines, dtype=np.intp)


def _finish(frame: pd.DataFrame, source: str, lines: NDArray[np.intp], word: str) -> Runs:
    """Give columns plain names, empty cells one form, and numbers their type."""
    frame = frame.copy()
    frame.columns = [str(name) for name in frame.columns]
    if frame.columns.has_duplicates:
        twins = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise RunsError(f"{source}: column '{name}' is there twice; rename one." for name in twins)
    if not len(frame.columns):
        raise RunsError(f"{source}: there are no columns.")
    return Runs(frame.apply(_tidy) if len(frame) else frame, source, (), lines, word)


def _tidy(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as numbers where all its cells are, else as text with None for an empty cell."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_float_dtype(column.dtype):
        return (
            column.astype(object).where(column.notna(), None)
            if column.dtype == "boolean"
            else column.astype(column.dtype)
        )
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.astype(float) if column.isna().any() else column
    cells = column.astype(object)
    texts = cells.map(_plain)
    empty = texts.map(lambda cell: isinstance(cell, str) and cell.lower() in EMPTY) | texts.isna()
    if empty.all():
        return texts.where(~empty, None).astype(object)
    numbers = floats(texts.where(~empty, None))
    if (numbers.notna() | empty).all() and not texts.map(lambda cell: isinstance(cell, bool)).any():
        return numbers
    return texts.where(~empty, None).astype(object)


def _plain(cell: Any) -> Any:
    """Return a cell without blanks around its text, and a decimal number as a float."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, Decimal):
        return float(cell) if not cell.is_nan() else None
    return cell
