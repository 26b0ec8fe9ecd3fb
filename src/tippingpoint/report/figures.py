"""Draw any figure's data with matplotlib, on a figure of its own or several together.

What the figures show is in ``figures_data`` (comparisons), ``figures_scaling`` and ``figures_checks`` (laws) and
``figures_phase`` (maps); how they are drawn in ``drawing`` and ``drawing_laws``; which there are in ``plates``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tippingpoint.report.canvas import figure_bytes, frame, new_figure, style
from tippingpoint.report.drawing import draw_concept, draw_difference, draw_probability, draw_recipes
from tippingpoint.report.drawing_laws import draw_law, draw_match, draw_residuals, draw_terms
from tippingpoint.report.figures_checks import MatchPanel, ResidualPanel, TermPanel
from tippingpoint.report.figures_data import ConceptPanel, DifferencePanel, ProbabilityPanel, RecipePanel
from tippingpoint.report.figures_scaling import LawPanel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Panel", "draw", "draw_all", "figure_bytes"]

Panel = (
    ConceptPanel | DifferencePanel | LawPanel | MatchPanel | ProbabilityPanel | RecipePanel | ResidualPanel | TermPanel
)
_DRAWERS: dict[type, Callable[[Any, Any], None]] = {
    ConceptPanel: draw_concept,
    DifferencePanel: draw_difference,
    LawPanel: draw_law,
    MatchPanel: draw_match,
    ProbabilityPanel: draw_probability,
    RecipePanel: draw_recipes,
    ResidualPanel: draw_residuals,
    TermPanel: draw_terms,
}


def draw(panel: Panel, *, width: float = 5.2, height: float = 3.5) -> Figure:
    """Draw one panel on a figure of its own.

    Parameters
    ----------
    panel : one of the panels
        What to show.
    width, height : float
        Inches.

    Returns
    -------
    matplotlib Figure
    """
    return draw_all([panel], width=width, height=height)


def draw_all(panels: Sequence[Panel], *, width: float = 4.6, height: float = 3.7) -> Figure:
    """Draw panels on one figure, two in a row.

    Parameters
    ----------
    panels : sequence of panels
        What to show.
    width, height : float
        Of each panel, in inches.

    Returns
    -------
    matplotlib Figure
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        figure = new_figure(width * columns, height * rows)
        places = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(places, panels, strict=False):
            frame(axes, panel.x_label, "" if isinstance(panel, TermPanel) else panel.y_label)
            _DRAWERS[type(panel)](axes, panel)
        for axes in places[len(panels) :]:
            axes.set_axis_off()
    return figure
