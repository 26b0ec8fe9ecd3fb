"""The section on the better recipe over two axes: the phase diagram, and the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tippingpoint.report.figures_phase import PhasePanel, phase_figure, phase_panel
from tippingpoint.report.maps import OVER
from tippingpoint.report.markup import Cell, Html, figure, items, paragraph, safe, section, table
from tippingpoint.report.spots import runs_behind_map
from tippingpoint.report.svg import inline_svg
from tippingpoint.report.words import axis_words, count_words, exact_size, interval, joined, percent, size, target_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.boundary import BoundaryMap, Slice
    from tippingpoint.report.analysis import Analysis
    from tippingpoint.report.maps import MapFinding

    Floats = NDArray[np.float64]

__all__ = ["two_axes"]

TITLE = "Over two axes"


def two_axes(analysis: Analysis) -> Html:
    """Return the section; a sentence in it where the runs allow no diagram, nothing where no recipes are compared."""
    if analysis.primary is None:
        return Html("")
    look = analysis.primary.look
    if not analysis.maps:
        others = joined((axis_words(axis) for axis in OVER if axis != look.along), "or")
        text = (
            f"No diagram over two axes: {joined(look.recipes)} were not both run at two sizes of another axis than "
            f"{axis_words(look.along)} ({others})."
        )
        return section("axes", TITLE, paragraph(text))
    text = (
        f"How likely {look.recipes[1]} is better at each size, with one row for each size of a second axis. Every row "
        "was fitted to its own runs; between rows nothing was measured and the shading is joined. A percentage in "
        "brackets says in how many of its draws a row comes out so. All of this is exploratory."
    )
    return section("axes", TITLE, paragraph(text), *(_map(analysis, item) for item in analysis.maps))


def _map(analysis: Analysis, item: MapFinding) -> Html:
    """Return one map: what it says, its figure and its table."""
    look = item.look
    title = f"{axis_words(look.along)} and {axis_words(item.over)}"
    where = f"{target_words(look.target)}, {look.where}{f', {look.who}' if look.who else ''}"
    head = Html(f"<h3>{safe(title[0].upper() + title[1:])}: {safe(where)}</h3>")
    if item.found is None:
        return Html(head + paragraph(f"No diagram: {item.reason}"))
    failed = [f"No row for {exact_size(at)} {count_words(item.over)}: {why}" for at, why in item.found.failed]
    words = paragraph(item.found.sentence) + paragraph(item.found.claims) + items(failed)
    both = f'<div class="panels">{_figure(analysis, item, item.found)}<div>{words}</div></div>'
    return Html(head + both + _table(item.found))


def _figure(analysis: Analysis, item: MapFinding, found: BoundaryMap) -> Html:
    """Return the phase diagram with its caption."""
    panel = phase_panel(found)
    behind = runs_behind_map(panel, analysis.frame, item.look, item.over)
    drawn = phase_figure(panel, width=4.6, height=3.7, legend=False)
    said = f"{found.sentence} {found.claims} The table below has the numbers."
    return figure(inline_svg(drawn, f"map-{item.over.replace('_', '-')}", said, behind), _caption(panel),
                  target=item.look.target)  # fmt: skip


def _caption(panel: PhasePanel) -> str:
    """Return what the marks of a diagram are, those that are there."""
    first, second = panel.recipes
    parts = [f"The lighter, the likelier {second} is better (in the dark theme: the warmer); lines at 10, 50 and 90%"]
    parts.append("dots: sizes that were run")
    surely = {which for _, _, which in panel.established}
    for which, recipe, mark in ((1, first, "squares"), (2, second, "triangles")):
        if which in surely:
            parts.append(f"{mark}: {recipe} is better in the paired runs, adjusted for all comparisons of the diagram")
    if panel.laws:
        parts.append("diamonds: crossings by the laws")
    if panel.runs:
        parts.append("circles: crossings without laws")
    if panel.laws or panel.runs:
        parts.append("bars: their intervals, an arrow where one is open")
    if any(panel.by_runs):
        parts.append("* a row that the paired runs tell, because its laws miss them")
    return f"{'; '.join(parts)}."


def _table(found: BoundaryMap) -> Html:
    """Return the chance that the second recipe is better at each size that was run, and every row's crossings."""
    sizes = sorted(found.paired_[found.along].unique())
    heads: list[str | Cell] = [axis_words(found.over), *(Cell(exact_size(at), "number") for at in sizes)]
    heads += ["crossing", "told by"]
    rows = [_row(found, one, sizes) for one in found.slices]
    caption = (
        f"Chance that {found.recipes[1]} is better, by {axis_words(found.along)}. * The paired runs alone establish "
        f"who is better there ({percent(found.level)}, adjusted for all comparisons of the diagram)."
    )
    return table(heads, rows, caption)


def _row(found: BoundaryMap, one: Slice, sizes: list[float]) -> list[str | Cell]:
    own = found.paired_[found.paired_[found.over] == one.size].set_index(found.along)["established"]
    chances = _chances(found, one, sizes)
    cells = [
        Cell(f"{_short(float(chance))}{' *' if own[at] else ''}" if at in own.index else "–", "number")
        for at, chance in zip(sizes, chances, strict=True)
    ]
    turns = [f"{size(value)} ({interval(*(ends or (None, None)), bare=True)})" for value, ends, _ in one.crossings]
    return [exact_size(one.size), *cells, Cell(joined(turns) or "none in range", "words"),
            "laws" if one.told_by == "laws" else "paired runs"]  # fmt: skip


def _chances(found: BoundaryMap, one: Slice, sizes: list[float]) -> Floats:
    """Return how likely the second recipe is better at some sizes of a slice, as the diagram shades it."""
    edge = one.boundary
    if one.told_by == "laws":  # its own curve, which is finer than the diagram; draws tell no chance of 0 or 1
        found_there = np.interp(np.log(sizes), np.log(edge.curve_[found.along]), edge.curve_["probability_helps"])
        least = 0.5 / max(edge.resamples, 1)
        return np.asarray(np.clip(found_there, least, 1 - least))
    phase = found.probability_[found.probability_[found.over] == one.size]
    return np.asarray(np.interp(np.log(sizes), np.log(phase[found.along]), phase["probability"]))


def _short(chance: float) -> str:
    """Return a chance as a table's narrow column has room for."""
    return percent(chance).replace("more than ", "> ").replace("less than ", "< ")
