"""A fitted law as text, JSON and HTML; written once for all laws (LaTeX is each formula's own)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tippingpoint.laws.base import Law

__all__ = ["aligned", "as_dict", "as_html", "as_text"]


def as_dict(law: Law, level: float | None) -> dict[str, Any]:
    """Return the JSON of ``fit``; ``intervals`` is empty where the level is None."""
    spans = {} if level is None else law.intervals(level)
    swings = {} if level is None else law.swings(level)
    terms = {}
    for axis, found in law.identifiability_.items():
        swing = {"swing": found.swing, "swing_interval": list(swings[axis]) if axis in swings else None}
        terms[axis] = {**law._term(axis), "identified": found.identified, **swing, "reason": found.reason}
    return {
        "law": law.name,
        "axes": list(terms),
        "target": law.target_,
        "n_runs": law.n_runs_,
        "status": law.status_,
        "objective": law.objective_,
        "objective_name": law.objective,
        "over_dispersion": law.over_dispersion_,
        "floor": law.floor_,
        "terms": terms,
        "parameters": law.parameters_,
        "intervals": {name: list(pair) for name, pair in spans.items()},
        "level": level,
        "intervals_from": law.intervals_from_ or None,
        "weights": law._fitted.setting.weights,
        "fixed": {name: float(value) for name, value in (law.fixed or {}).items()},
        "bounds": {name: [_end(low), _end(high)] for name, (low, high) in (law.bounds or {}).items()},
        "shared": [list(names) for names in law.shared or ()],
        "warnings": list(law.warnings_),
        "notes": list(law.notes_),
    }


def _end(value: float | None) -> float | None:
    return None if value is None else float(value)


def as_text(law: Law, level: float | None) -> str:
    """Return the summary as plain text, at most about 100 columns wide."""
    drawn = level is not None and bool(law.intervals_from_)
    plural = "s" if law.n_runs_ != 1 else ""
    lines = [
        f"{law._heading} over {', '.join(law.identifiability_)}",
        f"status: {law.status_}   ({law.n_runs_} run{plural}, {law.objective} objective {law.objective_:.6g})",
        "",
        *aligned(_rows(law, level)),
        "",
    ]
    swings = law.swings(level) if level is not None and drawn else {}
    for axis, found in sorted(law.identifiability_.items(), key=lambda item: -item[1].swing):
        state = "identified" if found.identified else f"not identified: {found.reason}"
        span = " ({:.4g} to {:.4g})".format(*swings[axis]) if axis in swings else ""
        lines.append(f"{axis}: moves {law.target_} by {found.swing:.4g}{span} over the data; {state}")
    if drawn:
        lines.append(f"intervals: {law.intervals_from_}")
    lines += [f"warning: {sentence}" for sentence in law.warnings_]
    lines += [f"note: {sentence}" for sentence in law.notes_]
    return "\n".join(lines)


def _rows(law: Law, level: float | None) -> list[list[str]]:
    """Return the table of parameters as text cells, header first; columns that would be empty are left out."""
    spans = law.intervals(level) if level is not None and law.intervals_from_ else {}
    holds = _holds(law)
    rows = [["", "estimate"] + ([f"{level:.0%} interval"] if spans else []) + (["held"] if holds else [])]
    for label, value, name in law._rows():
        span = ["{:.4g} to {:.4g}".format(*spans[name]) if name in spans else ""] if spans else []
        rows.append([label, value, *span, *([holds.get(name, "")] if holds else [])])
    return rows


def _holds(law: Law) -> dict[str, str]:
    """Return what holds a parameter, by name, of those that something holds."""
    held: dict[str, list[str]] = {name: ["given"] for name in law.fixed or {}}
    for names in law.shared or ():
        for name in names:
            held.setdefault(name, []).append(f"shared with {', '.join(other for other in names if other != name)}")
    for name, (low, high) in (law.bounds or {}).items():
        ends = [f"from {low:g}"] if low is not None else []
        ends += [f"to {high:g}"] if high is not None else []
        held.setdefault(name, []).append(f"bounded {' '.join(ends)}".rstrip())
    return {name: "; ".join(said) for name, said in held.items()}


def aligned(rows: list[list[str]]) -> list[str]:
    """Return a table's lines: the first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    aligned = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        aligned.append("  ".join(cells).rstrip())
    return aligned


def as_html(law: Law, level: float) -> str:
    """Return the summary as an HTML table."""
    header, *rows = _rows(law, level)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in law.warnings_)
    return (
        f"<p><b>{escape(law._heading)}</b>; status: <b>{escape(law.status_)}</b>, {law.n_runs_} runs</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{said}</ul>"
    )
