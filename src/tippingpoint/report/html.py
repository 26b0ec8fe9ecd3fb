"""The report as one HTML file: no script, no network, the same bytes for the same input."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from tippingpoint._version import __version__
from tippingpoint.report import appendix, sections
from tippingpoint.report.markup import Html, safe
from tippingpoint.report.words import counted

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis

__all__ = ["page"]

# Nothing is fetched and nothing runs, whatever a string from the data may try.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
NAVIGATION = (
    ("answer", "Answer"),
    ("declared", "Declared"),
    ("compared", "Side by side"),
    ("second", "Second opinions"),
    ("laws", "Laws"),
    ("explored", "Every other look"),
    ("ran", "What was run"),
    ("data", "Data"),
    ("reading", "How to read"),
    ("notes", "Notes"),
)


def page(analysis: Analysis) -> str:
    """Return the whole page.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.

    Returns
    -------
    str
        An HTML document in UTF-8 that needs nothing but itself.
    """
    parts = [
        sections.hero(analysis),
        sections.declared(analysis),
        sections.compared(analysis),
        sections.second_opinions(analysis),
        appendix.laws(analysis),
        sections.explored(analysis),
        appendix.ran(analysis),
        appendix.data(analysis),
        appendix.reading(analysis),
        appendix.notes(analysis),
    ]
    body = "\n".join(part for part in parts if part)
    style = resources.files("tippingpoint.report").joinpath("style.css").read_text(encoding="utf-8")
    name = safe(analysis.name or "runs")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{name} · tippingpoint report</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the answer</a>
<div class="wrap">
<header class="top"><span><strong>{name}</strong> · {safe(counted(len(analysis.frame), "run"))}{_state(analysis)}</span>
<nav aria-label="Sections">{_navigation(body)}</nav></header>
<main id="main">
{body}
</main>
<footer><p>{safe(_made(analysis))}</p></footer>
</div>
</body>
</html>
"""


def _state(analysis: Analysis) -> Html:
    """Return how far the study is, where it is not done: nobody shall take a part for the whole."""
    state = analysis.published.state
    if not state or state in ("done", "finished", "complete"):
        return Html("")
    return Html(f' · <span class="tag warn">study {safe(state)}: this is a part of it</span>')


def _navigation(body: str) -> str:
    links = (f'<li><a href="#{name}">{label}</a></li>' for name, label in NAVIGATION if f'id="{name}"' in body)
    return f"<ul>{''.join(links)}</ul>"


def _made(analysis: Analysis) -> str:
    """Return what the page was made from and with; no time of day, so that the same input gives the same page."""
    seed = "no seed" if analysis.random_state is None else f"seed {analysis.random_state}"
    settings = f"{analysis.resamples:,} draws for the primary boundary, {seed}"
    return f"Made by tippingpoint {__version__} from {analysis.source}; {settings}."
