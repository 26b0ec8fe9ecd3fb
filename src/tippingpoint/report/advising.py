"""The section whose sliders answer "with so many images and labels, which recipe, at what cost?" from the fitted laws.

What stands here already is the answer at the middle of the sizes that were run, so that a reader without scripts and a
printed page have it too; ``script/advice.js`` makes it follow the sliders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tippingpoint.files import dump_json
from tippingpoint.report.markup import Cell, Html, paragraph, safe, section, table
from tippingpoint.report.planner import MOST_SETS
from tippingpoint.report.words import count_words, exact_size, joined, number, percent

if TYPE_CHECKING:
    from tippingpoint.report.planner import Offer, Plan

__all__ = ["advice"]


def advice(plans: tuple[Plan, ...], n_sets: int = 0) -> Html:
    """Return the section; nothing where no law could be fitted.

    Parameters
    ----------
    plans : tuple of Plan
        What ``planner.plans_of`` returned; the first is shown first.
    n_sets : int, default 0
        How many downstream sets there are; more than have a plan are said to be left out.
    """
    if not plans:
        return Html("")
    plan = plans[0]
    sizes = plan.middle
    offers = sorted(plan.at(sizes), key=lambda offer: offer.value)
    where = joined(f"{exact_size(size)} {count_words(axis)}" for axis, size in sizes.items())
    text = (
        "Which recipe to expect the least from, at sizes and prices of your own. Each recipe has its law, fitted to "
        f"all its runs; the {percent(plan.level)} intervals are of the expected value, and the share of draws says "
        "how sure the choice is. Models are those that were run. Prices are in any one currency."
    )
    if n_sets > MOST_SETS:
        text += f" Of {n_sets} downstream sets the first {MOST_SETS} are here; tippingpoint advise answers for each."
    best = offers[0] if offers else None
    answer = f"{best.name}: expected {plan.scored}, {_told(best.value, plan)}, with {where}." if best else ""
    heads: tuple[str | Cell, ...] = (
        "recipe",
        Cell(f"expected {plan.target.replace('_', '-')}", "number"),
        Cell(f"{percent(plan.level)} interval", "number"),
        Cell("best in", "number"),
        *(Cell(name, "number") for name in ("cost", "of images", "of labels", "of compute")),
    )
    shown = table(heads, [_row(offer, plan) for offer in offers], "What each recipe comes to, the best first.")
    shown = Html(shown.replace("<tbody>", '<tbody id="plan-rows">'))
    data = dump_json([one.to_dict() for one in plans]).replace("<", "\\u003c").replace("&", "\\u0026")
    return section(
        "advice",
        "What to do with the images you have",
        paragraph(text),
        Html('<div id="plan-controls" class="controls" hidden></div>'),
        Html(f'<p id="plan-answer" class="lead" role="status">{safe(answer)}</p>'),
        Html('<div id="plan-chart" class="chart" hidden></div>'),
        shown,
        Html('<ul id="plan-more" class="muted"></ul>'),
        Html(f'<script type="application/json" id="plans">{data}</script>'),
    )


def _row(offer: Offer, plan: Plan) -> tuple[str | Cell, ...]:
    """Return a recipe's row as the script writes it."""
    numbers = [
        _told(offer.value, plan),
        f"{_told(offer.low, plan)} to {_told(offer.high, plan)}",
        percent(offer.chance),
        *(number(value) for value in (offer.cost, offer.images, offer.labels, offer.compute)),
    ]
    return (offer.name, *(Cell(told, "number") for told in numbers))


def _told(value: float, plan: Plan) -> str:
    return f"{number(100 * value)}%" if plan.target == "error" else number(value)
