"""The section on how far the laws can be trusted: predictions, residuals, backtests, and what the data determine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tippingpoint.report.drawing_laws import shown_words
from tippingpoint.report.figures import Panel, draw
from tippingpoint.report.figures_checks import (
    MatchPanel,
    ResidualPanel,
    backtest_panel,
    predicted_panel,
    residual_panels,
    term_panel,
)
from tippingpoint.report.figures_scaling import place_of
from tippingpoint.report.markup import Html, details, figure, paragraph, section
from tippingpoint.report.spots import runs_behind
from tippingpoint.report.svg import inline_svg
from tippingpoint.report.words import axis_words, number, target_words

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis
    from tippingpoint.report.engine import LawResult
    from tippingpoint.report.figures_checks import TermPanel

__all__ = ["diagnosis"]


def diagnosis(analysis: Analysis) -> Html:
    """Return the checks of the laws behind the answer; nothing where no law was fitted."""
    laws = _main_laws(analysis)
    if not laws:
        return Html("")
    text = (
        "A law earns trust by what it foretells. The backtest fits each law without the largest scale of an axis and "
        "holds its forecast against the runs there: points off the diagonal are where an extrapolation would have "
        "missed. Residuals that bend away from zero along an axis say that the law has the wrong shape."
    )
    grids = []
    for kind, words in (("backtest", "Forecasts of the largest scales, made without them"),
                        ("residuals", "Residuals"), ("predicted", "Predicted against observed")):  # fmt: skip
        drawn = [_figure(analysis, law, panel, kind, place)
                 for place, (law, panel) in enumerate(_panels(analysis, laws, kind))]  # fmt: skip
        if drawn:
            grid = Html(f'<div class="panels">{"".join(drawn)}</div>')
            shown = Html(f"<h3>{words}</h3>{grid}")
            grids.append(details(words, grid) if kind == "predicted" else shown)
    return section("checks", "Can the laws be trusted?", paragraph(text), *grids, _terms(analysis, laws[0].target))


def _main_laws(analysis: Analysis) -> list[LawResult]:
    """Return the laws of the primary look's recipes, target and scored set, or the first one of all."""
    fitted = [result for result in analysis.laws if result.law is not None]
    if analysis.primary is None:
        return fitted[:1]
    look = analysis.primary.look
    return [
        result
        for result in fitted
        if result.recipe in look.recipes
        and (result.target, result.stage, result.downstream) == (look.target, look.stage, look.downstream)
    ]


def _panels(analysis: Analysis, laws: list[LawResult], kind: str) -> list[tuple[LawResult, MatchPanel | ResidualPanel]]:
    """Return the panels of one kind of check; residuals along the axis of the answer alone."""
    found: list[tuple[LawResult, MatchPanel | ResidualPanel]] = []
    along = analysis.primary.look.along if analysis.primary is not None else None
    for law in laws:
        if kind == "residuals":
            panels = residual_panels(analysis, law)
            found += [(law, panel) for panel in panels if along is None or panel.x_label == axis_words(along)]
            continue
        one = backtest_panel(analysis, law) if kind == "backtest" else predicted_panel(analysis, law)
        found += [(law, one)] if one is not None else []
    return found


def _figure(analysis: Analysis, law: LawResult, panel: MatchPanel | ResidualPanel, kind: str, place: int) -> Html:
    """Return a check as a figure with its words."""
    who = f"{law.recipe}, {place_of(law)}"
    if isinstance(panel, MatchPanel):
        told = "; ".join(group.label for group in panel.groups)
        said = f"{who}: {panel.y_label} against {panel.x_label}. {told}."
        caption = f"{who}. On the line, {panel.y_label.split()[0]} and observed are equal."
        caption += shown_words([len(group.rows) for group in panel.groups])
    else:
        means = "; ".join(f"{number(x)}: {number(y, 2)}%" for x, y in zip(panel.sizes, panel.middle, strict=True))
        said = f"{who}: residuals along {panel.x_label}; mean at each size {means}."
        caption = f"{who}. Diamonds: the mean at each size.{shown_words([len(panel.rows)])}"
    svg = inline_svg(draw(panel, width=4.6, height=3.4), f"{kind}-{place}", said, runs_behind(panel))
    return figure(svg, caption, target=law.target)


def _terms(analysis: Analysis, target: str) -> Html:
    """Return the exponents of all laws of a target, with what the data determine."""
    panel = term_panel(tuple(result for result in analysis.laws if result.target == target))
    if panel is None:
        return Html("")
    described = f"{panel.title}. {_terms_in_words(panel)}"
    shown: Panel = panel
    svg = inline_svg(draw(shown, width=7.2, height=1.2 + 0.34 * len(panel.points)), "exponents", described)
    caption = f"Open circles: the data do not determine the exponent of {target_words(target)}. Bars: intervals."
    return details(
        f"Exponents of {target_words(target)}, and which the data determine", figure(svg, caption, wide=True)
    )


def _terms_in_words(panel: TermPanel) -> str:
    """Return every exponent in words."""
    return "; ".join(
        f"{point.label}, {axis_words(point.axis)}: {number(point.exponent, 2)}"
        f"{', not determined' if point.identified is False else ''}"
        for point in panel.points
    )
