"""The few pieces of HTML that the report is made of; every string is escaped here, once.

``Html`` marks what is markup already. A function that takes ``str`` escapes it; one that takes ``Html`` trusts it, and
only this module makes ``Html`` out of text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Cell", "Html", "details", "figure", "items", "paragraph", "safe", "section", "table"]


class Html(str):
    """A string that is markup already."""

    __slots__ = ()


class Cell(NamedTuple):
    """A table cell: what stands in it, its class, and how many rows it spans as the head of a row group."""

    content: str | Html
    kind: str = ""
    rows: int = 0


def safe(value: object) -> Html:
    """Return a value as escaped text; what is markup already passes."""
    if isinstance(value, Html):
        return value
    plain = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in str(value))
    return Html(escape(plain))


def paragraph(value: str | Html, kind: str = "") -> Html:
    """Return a paragraph; nothing for an empty string."""
    return Html(f"<p{_class(kind)}>{safe(value)}</p>") if value else Html("")


def items(values: Iterable[str | Html]) -> Html:
    """Return a list."""
    rows = "".join(f"<li>{safe(value)}</li>" for value in values if value)
    return Html(f"<ul>{rows}</ul>") if rows else Html("")


def section(name: str, title: str, *parts: Html) -> Html:
    """Return a section with its heading; ``name`` is its anchor."""
    body = "\n".join(part for part in parts if part)
    return Html(f'<section id="{escape(name)}" aria-labelledby="{escape(name)}-title">\n'
                f'<h2 id="{escape(name)}-title">{safe(title)}</h2>\n{body}\n</section>')  # fmt: skip


def details(summary: str, *parts: Html, opened: bool = False) -> Html:
    """Return a part that opens on a click."""
    body = "\n".join(part for part in parts if part)
    return Html(f"<details{' open' if opened else ''}><summary>{safe(summary)}</summary>\n{body}\n</details>")


def figure(svg: str, caption: str, target: str = "", *, wide: bool = False) -> Html:
    """Return a figure with its caption.

    Parameters
    ----------
    svg : str
        From ``inline_svg``.
    caption : str
        What stands beneath it.
    target : str
        The column that it shows, where its points are runs.
    wide : bool
        Scroll sideways on a phone rather than shrink until nothing can be read.
    """
    kept = f' data-target="{safe(target)}"' if target else ""
    if wide:
        svg = f'<div class="scroll wide" tabindex="0" role="region" aria-label="{safe(caption)}">{svg}</div>'
    return Html(f"<figure{kept}>{svg}<figcaption>{safe(caption)}</figcaption></figure>")


def table(
    head: Sequence[str | Cell], rows: Iterable[Sequence[str | Html | Cell]], caption: str, kind: str = ""
) -> Html:
    """Return a table in a frame that scrolls sideways on a phone.

    Parameters
    ----------
    head : sequence of str or Cell
        Column heads.
    rows : iterable of sequences
        The first cell of a row is its head; a cell with ``rows`` heads a group of rows.
    caption : str
        What the table shows.
    kind : str
        Another class of the frame.

    Returns
    -------
    Html
    """
    heads = "".join(f'<th scope="col"{_class(cell.kind)}>{safe(cell.content)}</th>' for cell in map(_cell, head))
    body = "".join(f"<tr>{_row(row)}</tr>\n" for row in rows)
    label = safe(caption)
    return Html(f'<div class="scroll {escape(kind)}" tabindex="0" role="region" aria-label="{label}">'
                f"<table><caption><span>{label}</span></caption><thead><tr>{heads}</tr></thead>\n"
                f"<tbody>{body}</tbody></table></div>")  # fmt: skip


def _row(row: Sequence[str | Html | Cell]) -> str:
    parts = []
    for place, value in enumerate(row):
        cell = _cell(value)
        if cell.rows:
            parts.append(f'<th scope="rowgroup" rowspan="{cell.rows}"{_class(cell.kind)}>{safe(cell.content)}</th>')
        elif place == 0 or cell.kind == "head":
            parts.append(f'<th scope="row">{safe(cell.content)}</th>')
        else:
            parts.append(f"<td{_class(cell.kind)}>{safe(cell.content)}</td>")
    return "".join(parts)


def _cell(value: str | Html | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _class(kind: str) -> str:
    return f' class="{escape(kind)}"' if kind else ""
