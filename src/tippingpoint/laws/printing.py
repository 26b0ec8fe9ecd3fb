"""A fitted law as text, JSON, HTML and LaTeX; written once for all laws of the additive kind."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tippingpoint.laws.additive import AdditivePowerLaw

__all__ = ["aligned", "as_dict", "as_html", "as_latex", "as_text"]


def as_dict(law: AdditivePowerLaw, level: float | None) -> dict[str, Any]:
    """Return the JSON of ``fit``; ``intervals`` is empty where the level is None."""
    terms = {}
    swings = {} if level is None else law.swings(level)
    spans = {} if level is None else law.intervals(level)
    for axis, term in law.identifiability_.items():
        terms[axis] = {
            "coefficient": law.coefficients_[axis],
            "exponent": law.exponents_[axis],
            "identified": term.identified,
            "reference": law.reference_[axis],
            "at_reference": term.at_reference,
            "swing": term.swing,
            "swing_interval": list(swings[axis]) if axis in swings else None,
            "flat": term.flat,
            "at_bound": term.at_bound,
            "reason": term.reason,
        }
    return {
        "law": law.name,
        "axes": list(law.axes),
        "target": law.target_,
        "n_runs": law.n_runs_,
        "status": law.status_,
        "objective": law.objective_,
        "objective_name": law.objective,
        "floor": law.floor_,
        "terms": terms,
        "intervals": {name: list(pair) for name, pair in spans.items()},
        "level": level,
        "intervals_from": law.intervals_from_ or None,
        "warnings": list(law.warnings_),
        "notes": list(law.notes_),
    }


def as_text(law: AdditivePowerLaw, level: float) -> str:
    """Return the summary as plain text, at most about 100 columns wide."""
    plural = "s" if law.n_runs_ != 1 else ""
    lines = [
        f"Additive power law of {law.target_} over {', '.join(law.axes)}",
        f"status: {law.status_}   ({law.n_runs_} run{plural}, {law.objective} objective {law.objective_:.6g})",
        "",
        *aligned(_rows(law, level)),
        "",
    ]
    swings = law.swings(level) if law.draws_ is not None else {}
    for axis, term in sorted(law.identifiability_.items(), key=lambda item: -item[1].swing):
        state = "identified" if term.identified else f"not identified: {term.reason}"
        span = " ({:.4g} to {:.4g})".format(*swings[axis]) if axis in swings else ""
        lines.append(f"{axis}: moves {law.target_} by {term.swing:.4g}{span} over the data; {state}")
    if law.draws_ is not None:
        lines.append(f"intervals: {law.intervals_from_}")
    lines += [f"warning: {sentence}" for sentence in law.warnings_]
    lines += [f"note: {sentence}" for sentence in law.notes_]
    return "\n".join(lines)


def _rows(law: AdditivePowerLaw, level: float) -> list[list[str]]:
    """Return the table of parameters as text cells, header first."""
    spans = law.intervals(level) if law.draws_ is not None else {}

    def span(name: str) -> str:
        return f"{spans[name][0]:.4g} to {spans[name][1]:.4g}" if name in spans else ""

    header = ["", "estimate"] + ([f"{level:.0%} interval"] if spans else [])
    rows = [header, ["floor", f"{law.floor_:.6g}", span("floor")]]
    for axis, term in law.identifiability_.items():
        rows.append([f"{axis} exponent", f"{law.exponents_[axis]:.5g}", span(f"{axis}.exponent")])
        rows.append([f"{axis} coefficient", f"{law.coefficients_[axis]:.6g}", span(f"{axis}.coefficient")])
        rows.append([f"{axis} term at {law.reference_[axis]:.4g}", f"{term.at_reference:.5g}", ""])
    return [row[: len(header)] for row in rows]


def aligned(rows: list[list[str]]) -> list[str]:
    """Return a table's lines: the first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    aligned = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        aligned.append("  ".join(cells).rstrip())
    return aligned


def as_html(law: AdditivePowerLaw, level: float) -> str:
    """Return the summary as an HTML table."""
    header, *rows = _rows(law, level)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in law.warnings_)
    return (
        f"<p><b>Additive power law</b> of {escape(law.target_)}; status: <b>{escape(law.status_)}</b>, "
        f"{law.n_runs_} runs</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{said}</ul>"
    )


def as_latex(law: AdditivePowerLaw) -> str:
    """Return the fitted formula, numbers to four digits."""
    parts = [_number(law.floor_)]
    for axis in law.axes:
        name = axis.replace("\\", "").replace("_", r"\_").replace(" ", r"\ ")
        parts.append(rf"{_number(law.coefficients_[axis])}\,\mathrm{{{name}}}^{{-{law.exponents_[axis]:.4g}}}")
    target = law.target_.replace("_", r"\_")
    return rf"\mathrm{{{target}}} = " + " + ".join(parts)


def _number(value: float) -> str:
    digits, _, power = f"{value:.4g}".partition("e")
    return rf"{digits}\times 10^{{{int(power)}}}" if power else digits
