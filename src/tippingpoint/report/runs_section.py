"""The section of the runs: the whole table as a download, and the table to search and sort.

The page carries the table once, compressed, in the download link; the script reads it from there. Without scripts the
download still works and the first rows stand in the page. Where the page would become too large, the table has its main
columns only, or is left out.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import TYPE_CHECKING

import pandas as pd

from tippingpoint.report.markup import Cell, Html, details, paragraph, safe, section, table
from tippingpoint.report.words import counted
from tippingpoint.runs.layouts import whole_numbers

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis

__all__ = ["COLUMNS", "data"]

FEW_ROWS = 20
COLUMNS = (
    "recipe", "stage", "upstream", "downstream", "n_pretrain", "n_params", "student", "teacher", "n_finetune",
    "subset_seed", "seed", "error", "cross_entropy", "cross_entropy_calibrated", "scored_on", "wall_s",
)  # fmt: skip


def data(analysis: Analysis, room: int) -> Html:
    """Return the section.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.
    room : int
        Bytes that the table may take.
    """
    frame = analysis.frame
    known = [name for name in frame.columns if frame[name].notna().any()]
    same = [name for name in known if frame[name].nunique(dropna=False) == 1]
    columns = [name for name in (*COLUMNS, *(name for name in known if name not in COLUMNS))
               if name in known and name not in same]  # fmt: skip
    told = "; ".join(f"{name} = {_value(frame[name].iloc[0])}" for name in same if name in COLUMNS)
    rows = [tuple(_cell(value) for value in row) for row in frame[columns].head(FEW_ROWS).itertuples(index=False)]
    caption = f"Runs, {'all' if len(frame) <= FEW_ROWS else f'the first {FEW_ROWS} of'} {len(frame):,}."
    still = table(columns, rows, caption, "tall")
    attributes = " ".join(
        f'data-{name}="{safe(json.dumps(values))}"'
        for name, values in (("columns", columns), ("shown", [name for name in COLUMNS if name in columns]))
    )
    return section(
        "data",
        "Data",
        _download(frame, room),
        paragraph(f"The same in every row: {told}.", "muted") if told else Html(""),
        details("Show the runs", Html(f'<div id="runs-view" {attributes}>{still}</div>')),
    )


def _download(frame: pd.DataFrame, room: int) -> Html:
    """Return a link that holds the table, compressed: all of it, or its main columns; a sentence where neither fits."""
    table, count = whole_numbers(frame), counted(len(frame), "run")
    few = "The page has the main columns; the whole table is the file that the page was made from."
    main = [name for name in COLUMNS if name in frame]
    for part, words in ((table, ""), (table[main], few)):
        csv = part.to_csv(index=False, lineterminator="\n").encode("utf-8", "replace")
        packed = base64.b64encode(gzip.compress(csv, compresslevel=9, mtime=0)).decode("ascii")
        if len(packed) <= room:
            link = f'<a id="runs-file" download="runs.csv.gz" href="data:application/gzip;base64,{packed}">'
            return Html(f"<p>{link}Download all {count} as CSV (gzip)</a></p>{paragraph(words, 'muted')}")
    return paragraph("The table of runs is too large for this page; it is the file that the page was made from.")


def _value(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.10g}" if value == round(value) else f"{value:.4g}"
    return "" if value is None or value is pd.NA else str(value)


def _cell(value: object) -> str | Cell:
    return Cell(_value(value), "number") if isinstance(value, (int, float)) else _value(value)
