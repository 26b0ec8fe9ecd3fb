"""The report as one HTML file: one script of its own, no network, the same bytes for the same input."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from tippingpoint._version import __version__
from tippingpoint.report import appendix, sections
from tippingpoint.report.advising import advice
from tippingpoint.report.diagnosis import diagnosis
from tippingpoint.report.markup import Html, safe
from tippingpoint.report.planner import plans_of
from tippingpoint.report.runs_section import data
from tippingpoint.report.two_axes import two_axes
from tippingpoint.report.words import counted

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis

__all__ = ["page"]

# Nothing is fetched and nothing runs, whatever a string from the data may try; a page adds its own script by its hash.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
SCRIPTS = ("tools", "runs", "laws", "advice", "start")
LARGEST = 1_400_000  # bytes of what is said and of the table; the script and the style have the rest of 1.5 MB
NAVIGATION = (
    ("answer", "Answer"),
    ("declared", "Declared"),
    ("compared", "Side by side"),
    ("axes", "Two axes"),
    ("second", "Second opinions"),
    ("advice", "Advice"),
    ("laws", "Laws"),
    ("checks", "Trust"),
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
        two_axes(analysis),
        sections.second_opinions(analysis),
        advice(plans_of(analysis), analysis.frame["downstream"].nunique()),
        appendix.laws(analysis),
        diagnosis(analysis),
        sections.explored(analysis),
        appendix.ran(analysis),
    ]
    last = [appendix.reading(analysis), appendix.notes(analysis)]
    room = LARGEST - sum(len(part.encode()) for part in (*parts, *last))  # that all else leaves for the table
    body = "\n".join(part for part in (*parts, data(analysis, room), *last) if part)
    style, script = _own("style.css"), "\n".join(_own(f"script/{name}.js") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    name = safe(analysis.name or "runs")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}; script-src 'sha256-{digest}'">
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
<button type="button" id="theme" hidden></button>
<nav aria-label="Sections">{_navigation(body)}</nav></header>
<main id="main">
{body}
</main>
<footer><p>{safe(_made(analysis))}</p></footer>
</div>
<div id="tip" class="tip" hidden></div>
<div id="said" class="unseen" role="status"></div>
<script>{script}</script>
</body>
</html>
"""


def _own(name: str) -> str:
    """Return a file that lies beside this one."""
    return resources.files("tippingpoint.report").joinpath(name).read_text(encoding="utf-8")


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
