r"""The paper's tables as text, HTML, LaTeX and CSV; whatever a name in the runs holds, it is shown and never obeyed.

* LaTeX needs the package ``booktabs`` alone; every character with a meaning of its own is written out, one that
  pdfLaTeX cannot set as ``[U+4E2D]``.
* HTML is one file without scripts that fetches nothing.
* CSV holds the data of :func:`~tippingpoint.report.tables.law_rows` at full precision. A text cell that a spreadsheet
  would take for a formula begins with an apostrophe (as OWASP advises); numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tippingpoint.errors import InputError
from tippingpoint.files import write_atomic
from tippingpoint.laws.latex import escaped, number
from tippingpoint.laws.printing import aligned
from tippingpoint.report.html import POLICY
from tippingpoint.report.markup import items, safe
from tippingpoint.report.markup import table as html_table
from tippingpoint.report.tables import Estimate, PaperTable, paper_tables

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "check_ending", "to_csv", "to_html", "to_latex", "to_text", "write_tables"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color-scheme:light dark}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;border-block:2px solid;margin:1rem 0}"
    "caption{text-align:left;font-weight:600}th,td{padding:.25rem .75rem;text-align:left;white-space:nowrap}"
    "thead th{border-bottom:1px solid}"
)


def to_text(rows: pd.DataFrame) -> str:
    """Return the tables of ``law_rows`` as plain text."""
    return "\n".join(_text(table) for table in paper_tables(rows))


def to_html(rows: pd.DataFrame, title: str = "Scaling laws") -> str:
    """Return the tables of ``law_rows`` as one HTML file that fetches nothing and runs nothing."""
    body = "\n".join(
        html_table(table.head, [[_words(cell) for cell in row] for row in table.rows], table.title) + items(table.notes)
        for table in paper_tables(rows)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title><style>{_STYLE}</style></head>\n<body><main><h1>{safe(title)}</h1>\n{body}\n"
        "</main></body></html>\n"
    )


def to_latex(rows: pd.DataFrame) -> str:
    r"""Return the tables of ``law_rows`` as LaTeX ``table`` environments, for ``\usepackage{booktabs}``."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(_latex_table(table) for table in paper_tables(rows))


def to_csv(rows: pd.DataFrame) -> str:
    """Return ``law_rows`` as CSV at full precision, safe to open in a spreadsheet."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in rows.itertuples(index=False):
        writer.writerow([_csv_cell(cell) for cell in row])
    return stream.getvalue()


#: What writes a file of each ending.
FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    ".txt": to_text,
    ".html": to_html,
    ".tex": to_latex,
    ".csv": to_csv,
}


def write_tables(rows: pd.DataFrame, path: str | Path) -> Path:
    """Write ``law_rows`` in the format that the file's ending names.

    Parameters
    ----------
    rows : DataFrame
        What :func:`~tippingpoint.report.tables.law_rows` returned.
    path : str or Path
        Ends in ``.txt``, ``.html``, ``.tex`` or ``.csv``.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        The ending is another one.
    EnvironmentFault
        The file cannot be written.
    """
    check_ending(path)
    return write_atomic(path, FORMATS[Path(path).suffix.lower()](rows))


def check_ending(path: str | Path) -> None:
    """Raise InputError unless tables can be written to a file of this ending."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"{path}: tables are written as {', '.join(FORMATS)}; name a file with one of these endings.")


# -- cells -------------------------------------------------------------------------------------------------------------


def _text(table: PaperTable) -> str:
    rows = [[_plain(_words(cell)) for cell in row] for row in (table.head, *table.rows)]
    return "\n".join([_plain(table.title), *aligned(rows), *map(_plain, table.notes), ""])


def _plain(text: str) -> str:
    """Return a text in which no letter moves the cursor or colours a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _words(cell: str | Estimate) -> str:
    if isinstance(cell, str):
        return cell
    mark = f" {cell.mark}" if cell.mark else ""
    return f"{_digits(cell.value)} [{_digits(cell.low)}, {_digits(cell.high)}]{mark}"


def _digits(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _latex_table(table: PaperTable) -> str:
    numeric = [head == "runs" or any(isinstance(row[place], Estimate) for row in table.rows)
               for place, head in enumerate(table.head)]  # fmt: skip
    lines = [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if one else 'l' for one in numeric)}}}",
        r"\toprule",
        *_latex_head(table.head),
        r"\midrule",
        *(line for row in table.rows for line in _latex_rows(row)),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {escaped(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_head(head: Sequence[str]) -> list[str]:
    """Return the columns' names on two lines, axis above parameter, so that the table stays narrow."""
    parts = [name.rpartition(" ") for name in head]
    above = " & ".join(escaped(axis) for axis, _, _ in parts)
    below = " & ".join(escaped(parameter) for _, _, parameter in parts)
    return [line + r" \\" for line in (above, below)]


def _latex_rows(row: Sequence[str | Estimate]) -> list[str]:
    """Return a line of values, and below it, where there are any, a line of their intervals."""
    values, spans = [], []
    for cell in row:
        if isinstance(cell, str):
            values.append(escaped(cell))
            spans.append("")
        else:
            values.append(f"${number(cell.value, 3)}${escaped(cell.mark)}")
            spans.append(rf"{{\scriptsize $[{number(cell.low, 3)}, {number(cell.high, 3)}]$}}")
    lines = [values, spans] if any(spans) else [values]
    return [" & ".join(line) + r" \\" for line in lines]


def _csv_cell(cell: object) -> object:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return cell
