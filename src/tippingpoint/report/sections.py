"""The sections of the report about the comparison: the answer, what was declared, second opinions, every other look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tippingpoint.report import text as say
from tippingpoint.report.figures import draw
from tippingpoint.report.figures_data import difference_panel, probability_panel, recipe_panel
from tippingpoint.report.markup import Cell, Html, details, figure, items, paragraph, safe, section, table
from tippingpoint.report.spots import runs_behind
from tippingpoint.report.svg import inline_svg
from tippingpoint.report.words import (
    amount,
    axis_words,
    better,
    counted,
    exact_size,
    interval,
    meant,
    p_value,
    percent,
    signed,
    size,
    target_words,
    unit,
)

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis, Finding

__all__ = ["compared", "declared", "explored", "facts_list", "hero", "second_opinions"]

CONTROL_WORDS = {
    "smoothed": "Is it more than label smoothing? (control without a teacher)",
    "self_distilled": "Is it more than any teacher? (control with a teacher of the student's own size)",
    "scratch_extra_compute": "Is it more than the teacher's compute? (control with that compute added)",
}


def hero(analysis: Analysis) -> Html:
    """Return the first screen: the answer with its uncertainty, and the figure that shows it."""
    finding = analysis.primary
    kicker = "The answer" if analysis.declared else "What the runs show (nothing was declared before them)"
    title = Html(f"<h1>{safe(say.headline(analysis))}</h1>")
    parts = [paragraph(kicker, "kicker"), title]
    if finding is None:
        return Html(f'<div class="hero" id="answer">{"".join(parts)}</div>')
    sentences = [
        say.laws_sentence(finding),
        say.probability_sentence(finding),
        say.ends_sentence(finding),
        say.level_sentence(finding, analysis.level),
        say.trend_sentence(finding, analysis.level),
        say.stationary_sentence(finding, analysis.level),
        say.beyond_sentence(finding),
    ]
    words = items(sentences) + paragraph(_setting(finding), "muted") + _limits(finding)
    picture = _difference(analysis, finding) if finding.pairs.sizes else Html("")
    grid = "hero-grid with-figure" if picture else "hero-grid"
    return Html(
        f'<div class="hero" id="answer">{parts[0]}<div class="{grid}">{title}{picture}<div>{words}</div></div></div>'
    )


def _limits(finding: Finding) -> Html:
    """Return the weightiest warnings of the answer, where they cannot be missed."""
    found = say.limits(finding)
    if not found:
        return Html("")
    more = [f"{counted(len(found) - 3, 'more warning')} at the foot of this page."] if len(found) > 3 else []
    return Html(f'<div class="limits"><p><strong>Warnings</strong></p>{items([*found[:3], *more])}</div>')


def _setting(finding: Finding) -> str:
    """Return what was compared and how much was run, in one line."""
    who = f"{finding.look.who}, " if finding.look.who else ""
    blocks = max((point.n_blocks for point in finding.pairs.sizes), default=0)
    noise = f", {counted(blocks, 'seed block')}" if blocks else ""
    first, second = map(meant, finding.look.recipes)
    return f"{first} against {second}: {who}{finding.look.where}{noise}."


def _difference(analysis: Analysis, finding: Finding) -> Html:
    """Return the difference figure with its caption."""
    level, name = analysis.level, "difference"
    panel = difference_panel(finding, level)
    first, second = finding.look.recipes
    described = f"{say.regime_sentence(finding, level)} Paired means at each size: {_means_in_words(finding)}."
    caption = (
        f"{first} minus {second}: above zero (shaded) {second} is better. Points: means of paired runs over seed "
        f"blocks with {percent(level)} t intervals."
    )
    if len(panel.x):
        caption += f" Blue line: difference of the two fitted laws, with its {percent(level)} band."
    if not panel.laws_hold:
        caption += " The laws miss the runs here, so shading and crossings follow the joined points."
    if any(crossing.in_range for crossing in panel.crossings):
        caption += " Diamond: a crossing; the bar on the zero line is its interval."
    behind = runs_behind(panel, analysis.frame, finding.look)
    svg = inline_svg(draw(panel, width=4.6, height=3.45), name, described, behind)
    return figure(svg, caption, target=finding.look.target)


def _means_in_words(finding: Finding) -> str:
    look = finding.look
    return "; ".join(f"{exact_size(p.size)}: {better(p.mean, look.recipes, look.target)}" for p in finding.pairs.sizes)


def declared(analysis: Analysis) -> Html:
    """Return what the study said it would look at before it ran."""
    finding = analysis.primary
    if finding is None:
        return Html("")
    if not analysis.declared:
        text = (
            "No endpoint was declared before the runs. The comparison above is the first that the table allows; treat "
            "it as exploratory: of many looks, some show a difference by chance."
        )
        return section("declared", "Declared before the runs", paragraph(text))
    look = finding.look
    facts = [
        ("Recipes", f"{look.recipes[0]} against {look.recipes[1]}"),
        ("Student and teacher", look.who or "as in the table"),
        ("Scored", look.where),
        ("Target", f"{target_words(look.target)} (lower is better)"),
        ("Along", axis_words(look.along)),
    ]
    text = "One comparison was fixed before anything was trained. Everything else on this page is exploratory."
    return section("declared", "Declared before the runs", paragraph(text), facts_list(facts))


def facts_list(facts: Sequence[tuple[str, str]]) -> Html:
    """Return names and values as a description list."""
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in facts)
    return Html(f'<dl class="facts">{rows}</dl>')


def compared(analysis: Analysis) -> Html:
    """Return the two recipes side by side, the paired differences as a table, and P(second helps)."""
    finding = analysis.primary
    if finding is None or not finding.pairs.sizes:
        return Html("")
    look = finding.look
    panel = recipe_panel(analysis.frame, finding)
    fitted = any(len(item.curve_x) for item in panel.series)
    lines = "curves are the fitted laws" if fitted else "straight lines join them, no law could be fitted"
    described = f"{target_words(look.target)} of {look.recipes[0]} and {look.recipes[1]} over {axis_words(look.along)}."
    pictures = figure(
        inline_svg(
            draw(panel, width=4.6, height=3.4), "recipes", described, runs_behind(panel, analysis.frame, finding.look)
        ),
        f"Means over seed blocks; bars from the lowest to the highest block; {lines}.",
        target=look.target,
    )
    chance = probability_panel(finding)
    if chance is not None:
        caption = f"Probability that {look.recipes[1]} is better at that size, by the laws of both recipes."
        if finding.boundary is not None and not finding.boundary.laws_hold:
            caption += " The laws miss the runs here: trust the differences instead."
        pictures = Html(pictures + figure(inline_svg(draw(chance, width=4.6, height=3.4), "chance", caption), caption))
    shown = unit(look.target)
    rows = [
        (
            exact_size(point.size),
            Cell(better(point.mean, look.recipes, look.target), "who"),
            Cell(signed(point.mean, look.target), "number"),
            Cell(_span(point.low, point.high, look.target), "number"),
            Cell(str(point.n_blocks), "number"),
        )
        for point in finding.pairs.sizes
    ]
    level = percent(analysis.level)
    heads = (
        axis_words(look.along),
        "who is better",
        Cell(f"difference{f' ({shown})' if shown else ''}", "number"),
        Cell(f"{level} interval", "number"),
        Cell("blocks", "number"),
    )
    caption = f"Paired differences without any law: {look.recipes[0]} minus {look.recipes[1]}, {look.where}."
    return section(
        "compared",
        "The two recipes side by side",
        Html(f'<div class="panels">{pictures}</div>'),
        table(heads, rows, caption),
    )


def _span(low: float, high: float, target: str) -> str:
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{signed(low, target)} to {signed(high, target)}"


def second_opinions(analysis: Analysis) -> Html:
    """Return the primary look told by the other targets, and the controls."""
    finding = analysis.primary
    if finding is None:
        return Html("")
    parts: list[Html] = []
    if analysis.second:
        parts.append(Html("<h3>The same comparison on the other targets</h3>"))
        parts += [_opinion(item, analysis.level) for item in analysis.second]
    for control in analysis.controls:
        first, second = control.look.recipes
        parts.append(Html(f"<h3>{safe(CONTROL_WORDS.get(first, f'{first} against {second}'))}</h3>"))
        parts.append(_opinion(control, analysis.level, _where_better(control)))
    if not analysis.controls:
        parts.append(
            paragraph(
                "No control was run beside this comparison (label smoothing without a teacher; plain training with the "
                "teacher's compute added): a gain may come from either.",
                "muted",
            )
        )
    return section("second", "Second opinions and controls", *parts)


def _opinion(finding: Finding, level: float, more: str = "") -> Html:
    """Return one other look: what the laws say, and beneath it what the pairs say without them."""
    details = [
        say.level_sentence(finding, level, adjusted=True),
        say.trend_sentence(finding, level, adjusted=True),
        more,
    ]
    return Html(paragraph(say.regime_sentence(finding, level)) + Html(f'<div class="muted">{items(details)}</div>'))


def _where_better(finding: Finding) -> str:
    """Return the paired means at each size, grouped by who is better."""
    look = finding.look
    wins: dict[str, list[str]] = {look.recipes[1]: [], look.recipes[0]: []}
    for point in finding.pairs.sizes:
        if point.mean:
            who = look.recipes[1] if point.mean > 0 else look.recipes[0]
            wins[who].append(f"{exact_size(point.size)} (by {amount(point.mean, look.target)})")
    told = [f"{recipe} is better at {', '.join(places)}" for recipe, places in wins.items() if places]
    return f"At equal {axis_words(look.along)}, paired, no law: {'; '.join(told)}." if told else ""


def explored(analysis: Analysis) -> Html:
    """Return every other look as one table, its tests adjusted."""
    others = [*analysis.exploratory, *analysis.controls]
    if not others:
        return Html("")
    heads = ("comparison", "target", "what the fitted laws say", "on average better", "p", "per doubling, towards", "p")
    rows = _explored_rows(others, analysis.level)
    alpha = f"{1 - analysis.level:.2g}"
    text = (
        f"Everything but the declared comparison: {counted(len(others), 'look')}, {counted(analysis.family, 'test')}. "
        "For each look two paired t-tests over seed blocks are made, without any law: that the difference averaged "
        "over the sizes is zero, and that it is the same at all sizes (at a tipping point it is not). The p-values "
        f"are adjusted by Holm's method for all {analysis.family} together: one below {alpha} stands out even after "
        "all these looks. Intervals of crossings are not adjusted and rest on fewer draws."
    )
    count = sum(1 for item in others for p in (item.level_p, item.trend_p) if p < 1 - analysis.level)
    verdict = f"{count} of the {analysis.family} tests stand out after adjustment."
    caption = "Exploratory looks: laws, and paired runs without laws; p is adjusted for all of them."
    shown = table(heads, rows, caption)
    return section("explored", "Every other look (exploratory)", paragraph(text), paragraph(verdict),
                   details(f"Show all {counted(len(others), 'look')}", shown))  # fmt: skip


def _explored_rows(others: Sequence[Finding], level: float) -> list[tuple[str | Cell, ...]]:
    """Return a row group per comparison, a row per target."""
    groups: dict[str, list[Finding]] = {}
    for finding in others:
        look = finding.look
        name = f"{look.recipes[0]} against {look.recipes[1]}, {look.where}{f', {look.who}' if look.who else ''}"
        groups.setdefault(name, []).append(finding)
    rows: list[tuple[str | Cell, ...]] = []
    for name, members in groups.items():
        told = [_explored_row(finding, level) for finding in members]
        rows.append((Cell(name, rows=len(told)), *told[0]))
        rows += told[1:]
    return rows


def _explored_row(finding: Finding, level: float) -> tuple[str | Cell, ...]:
    target, pairs = finding.look.target, finding.pairs
    tests = [(pairs.level, finding.level_p), (pairs.trend, finding.trend_p)]
    cells = []
    for test, p in tests:
        who = "–" if test is None else f"{finding.look.recipes[int(test.mean > 0)]}, {amount(test.mean, target)}"
        cells += [Cell(who), Cell(p_value(p), "number")]
    return (Cell(target_words(target), "head"), Cell(_short_regime(finding, level), "words"), *cells)


def _short_regime(finding: Finding, level: float) -> str:
    """Return the regime and its crossings in a table's words."""
    if finding.boundary is None:
        return f"not fitted: {finding.reason}"
    regime = str(finding.boundary.regime)
    words = say.REGIMES.get(regime, regime).format(second=finding.look.recipes[1])
    share = finding.boundary.regime_probability.get(regime)
    crossings = [
        f"{size(value)} ({interval(low, high, level=level, bare=True)})"
        for value, low, high, inside in finding.crossings
        if inside
    ]
    told = f": {' and '.join(crossings)}" if crossings else ""
    return f"{words}{told}" + (f"; {percent(float(share))} of draws agree" if share is not None else "")
