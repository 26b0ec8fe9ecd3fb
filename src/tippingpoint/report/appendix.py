"""The sections of the report behind the answer: the laws, what was run, how to read it, every warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from tippingpoint.report.drawing_laws import shown_words
from tippingpoint.report.engine import Interval, LawResult, TermRow
from tippingpoint.report.figures import draw
from tippingpoint.report.figures_scaling import LawPanel, law_panels
from tippingpoint.report.markup import Cell, Html, details, figure, items, paragraph, safe, section, table
from tippingpoint.report.sections import facts_list
from tippingpoint.report.spots import runs_behind
from tippingpoint.report.svg import inline_svg
from tippingpoint.report.words import (
    axis_words,
    counted,
    duration,
    flops,
    interval,
    joined,
    number,
    percent,
    target_words,
)

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis

__all__ = ["laws", "notes", "ran", "reading"]

STATUS_WORDS = {"converged": "all determined", "unidentified": "not all determined", "bound hit": "a bound was hit"}
CELL_WORDS = {"total": "in all", "todo": "to do"}
MAX_PANELS = 12
UNKNOWN = "not recorded in this table"
FLOPS = ("pretrain_flops", "teacher_flops", "finetune_flops")


def laws(analysis: Analysis) -> Html:
    """Return the fitted laws: their figures, and one table per target, what is determined first."""
    if not analysis.laws:
        return Html("")
    main = analysis.primary.look.target if analysis.primary is not None else analysis.laws[0].target
    targets = list(dict.fromkeys([main, *(result.target for result in analysis.laws)]))
    text = (
        "Each law is a floor plus one term per axis, coefficient × size^(−exponent); doubling a size multiplies its "
        "term by 2^(−exponent). Read the status first: a term that the data do not determine has numbers, but no "
        f"meaning. Intervals are {percent(analysis.level)}, from a posterior that knows the noise which runs of a seed "
        "block share."
    )
    parts = [paragraph(text), *_law_figures(analysis, main)]
    for target in targets:
        results = [result for result in analysis.laws if result.target == target]
        shown = _law_table(results, target)
        title = f"{target_words(target)}: exponents, coefficients, floors"
        parts.append(Html(f"<h3>{safe(title)}</h3>{shown}") if target == main else details(title, shown))
    return section("laws", "The laws", *parts)


def _law_figures(analysis: Analysis, target: str) -> list[Html]:
    """Return runs and curves over pretraining and fine-tuning images, the main recipes' open, others' on a click."""
    recipes = list(analysis.primary.look.recipes) if analysis.primary is not None else []
    recipes += [name for name in dict.fromkeys(result.recipe for result in analysis.laws) if name not in recipes]
    parts, used, left = [], 0, 0
    for along in ("n_pretrain", "n_finetune", "n_params"):
        for recipe in recipes[:2]:
            found = law_panels(analysis, along, target, recipe)
            panels = found[: max(0, MAX_PANELS - used)]
            left += len(found) - len(panels)
            used += len(panels)
            if not panels:
                continue
            title = f"{recipe}: {target_words(target)} against {axis_words(along)}"
            drawn = [
                _law_figure(panel, f"law{used - len(panels) + place}", recipe, target)
                for place, panel in enumerate(panels)
            ]
            grid = Html(f'<div class="panels">{"".join(drawn)}</div>')
            opened = along == "n_pretrain"
            parts.append(Html(f"<h3>{safe(title)}</h3>{grid}") if opened else details(title, grid))
    if left:
        text = (
            f"{counted(left, 'more figure')} of this kind would make the page too long: tippingpoint figures draws all."
        )
        parts.append(paragraph(text))
    return parts


def _law_figure(panel: LawPanel, name: str, recipe: str, target: str) -> Html:
    fitted = any(len(item.curve_x) for item in panel.series)
    said = f"{recipe}, {panel.title}{f', {panel.note}' if panel.note else ''}: {panel.y_label} against {panel.x_label}"
    labels = joined(item.label for item in panel.series)
    curves = "curves: the fitted law with the interval of the expected value" if fitted else "no law could be fitted"
    caption = f"{panel.title}. Points: runs; {curves}.{shown_words([len(item.x) for item in panel.series])}"
    svg = inline_svg(draw(panel, width=4.6, height=3.3), name, f"{said}, for {labels}.", runs_behind(panel))
    return figure(svg, caption, target=target)


def _law_table(results: Sequence[LawResult], target: str) -> Html:
    """Return one target's laws: a row group per group of runs, a row per term."""
    heads = ("runs", "term", "determined by the data?", Cell("exponent", "number"), Cell("coefficient", "number"))
    rows: list[tuple[str | Cell, ...]] = []
    for result in results:
        rows += _law_rows(result)
    return table(heads, rows, f"Fitted laws of {target_words(target)}. Under each number, its interval.")


def _law_rows(result: LawResult) -> list[tuple[str | Cell, ...]]:
    name = f"{result.group} ({counted(result.n_runs, 'run')})"
    if result.law is None:
        return [(Cell(name, rows=1), Cell("–", "head"), Cell(result.reason, "words"), "", "")]
    head = Html(f"{safe(name)}<br>{_status(result)}")
    floor = ("floor", "", "", _ranged(result.floor, result.floor_interval))
    first, *others = [floor, *(_term_row(term) for term in result.terms)]
    rows: list[tuple[str | Cell, ...]] = [
        (Cell(head, rows=1 + len(others)), Cell(first[0], "head"), first[1], first[2], first[3])
    ]
    return rows + [tuple(row) for row in others]


def _term_row(term: TermRow) -> tuple[str | Cell, str | Cell, str | Cell, str | Cell]:
    state: str | Cell = "not tested"
    if term.identified is not None:
        state = Cell(_tag(term.identified, "yes" if term.identified else "no"))
    return (
        axis_words(term.axis),
        state,
        _ranged(term.exponent, term.exponent_interval),
        _ranged(term.coefficient, term.coefficient_interval),
    )


def _status(result: LawResult) -> Html:
    return _tag(result.status == "converged", STATUS_WORDS.get(result.status, result.status))


def _tag(good: bool, words: str) -> Html:
    return Html(f'<span class="tag {"ok" if good else "warn"}">{safe(words)}</span>')


def _ranged(value: float, ends: Interval) -> Cell:
    """Return a number with its interval beneath it."""
    told = number(value)
    if ends == (None, None):
        return Cell(told, "number")
    if ends[0] == ends[1]:  # an exponent that was held, not fitted
        return Cell(Html(f'{safe(told)}<br><span class="range">held</span>'), "number")
    span = interval(*ends, show=number, bare=True)
    return Cell(Html(f'{safe(told)}<br><span class="range">{safe(span)}</span>'), "number")


def ran(analysis: Analysis) -> Html:
    """Return what was run and what it cost, the teacher's compute charged to the recipe that needs it."""
    published = analysis.published
    facts = [("Runs", f"{len(analysis.frame):,} scored models")]
    if published.state:
        facts.append(("State of the study", published.state))
    if published.cells:
        known = ((state, count) for state, count in published.cells.items() if count)
        told = joined(f"{count:,} {CELL_WORDS.get(state, state.replace('_', ' '))}" for state, count in known)
        facts.append(("Cells (trainings)", told))
    if published.wall_s is not None:
        facts.append(("Wall-clock time of the study", duration(published.wall_s)))
    timed = _recorded(analysis.frame, "wall_s")
    total = duration(sum(cost.wall_s for cost in analysis.costs)) if timed else UNKNOWN
    facts.append(("Training time, all runs added", total))
    facts.append(("Scored on", _scored(analysis.frame)))
    parts = [facts_list(facts), _costs(analysis)]
    if published.kinds:
        rows = [
            (kind, state, Cell(f"{cells:,}", "number"), Cell(duration(wall_s), "number"))
            for kind, state, cells, wall_s in published.kinds
        ]
        heads = ("kind", "state", Cell("cells", "number"), Cell("time", "number"))
        parts.append(table(heads, rows, "Cells by kind, as the study's record has them."))
    return section("ran", "What was run and how long it took", *parts)


def _costs(analysis: Analysis) -> Html:
    heads: tuple[str | Cell, ...] = (
        "recipe",
        *(Cell(name, "number") for name in ("pretrained", "fine-tuned", "training time")),
        *(Cell(f"{name} FLOPs", "number") for name in ("pretraining", "teacher's", "fine-tuning", "all")),
    )
    known = {name: _recorded(analysis.frame, name) for name in ("wall_s", *FLOPS)}
    if not any(known.values()):  # zeros would say that the runs were free
        return Html("")
    rows: list[tuple[str | Cell, ...]] = []
    for cost in analysis.costs:
        parts = [getattr(cost, name) for name in FLOPS if known[name]]
        numbers = (
            f"{cost.n_pretrained:,}",
            f"{cost.n_finetuned:,}",
            duration(cost.wall_s if known["wall_s"] else None),
            *(flops(getattr(cost, name) if known[name] else None) for name in FLOPS),
            flops(sum(parts) if parts else None),
        )
        rows.append((cost.recipe, *(Cell(value, "number") for value in numbers)))
    caption = (
        "Cost by recipe; a checkpoint counts once however often it is fine-tuned. The teacher's FLOPs (its own "
        "training and its forward passes) are charged in full to every student it guides, though one teacher may "
        "serve several."
    )
    return table(heads, rows, caption)


def _recorded(frame: pd.DataFrame, column: str) -> bool:
    """Whether any run has a value of a column."""
    return column in frame and bool(frame[column].notna().any())


def _scored(frame: pd.DataFrame) -> str:
    if not _recorded(frame, "scored_on"):
        return UNKNOWN
    return " and ".join(f"{name} images" for name in sorted(map(str, frame["scored_on"].dropna().unique())))


def reading(analysis: Analysis) -> Html:
    """Return the glossary."""
    level = percent(analysis.level)
    words = [
        ("Boundary, crossing", "a size at which the difference of two recipes is zero: their tipping point."),
        ("Regime", "where the second recipe helps: always, never, below or above one crossing, or between two."),
        (f"{level} interval", "a range made so that it holds the truth in that share of studies, if the law is right."),
        ("Point", "point at it, tap it, or focus its figure and press the arrow keys, to see the runs behind it."),
        ("Seed block", "one draw of images, weights and order shared by all recipes: the unit that is independent."),
        ("Floor, exponent", "the part no data removes; how fast a term falls: 0.5 means four times the data halve it."),
        ("Exploratory", "looked at after the fact; of many looks some show a difference by chance, so p is adjusted."),
    ]
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(meaning)}</dd>" for name, meaning in words)
    return section("reading", "How to read this", Html(f"<dl>{rows}</dl>"))


def _law_warnings(analysis: Analysis) -> list[str]:
    """Return each warning of the laws once, with the laws it is about."""
    where: dict[str, list[str]] = {}
    for result in analysis.laws:
        for warning in result.warnings:
            where.setdefault(warning, []).append(f"{result.group}, {target_words(result.target)}")
    return [f"{warning} (Law of {'; '.join(groups)}.)" for warning, groups in where.items()]


def notes(analysis: Analysis) -> Html:
    """Return every note and warning in full, the laws' own last."""
    found = [*analysis.notes, *_law_warnings(analysis)]
    if not found:
        return section("notes", "Notes and warnings", paragraph("None."))
    few, rest = found[:12], found[12:]
    more = details(f"{counted(len(rest), 'more note')}", items(rest)) if rest else Html("")
    return section("notes", f"Notes and warnings ({len(found)})", items(few), more)
