"""Which runs stand behind each point of a figure, so that a page can show them.

Drawing gives each group of points a ``gid`` (``runs-0``, ...); here each has, point by point, the places of its runs
in the analysis's table, joined by spaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tippingpoint.report.drawing_laws import shown_points
from tippingpoint.report.figures_checks import MatchPanel, ResidualPanel
from tippingpoint.report.figures_data import DifferencePanel, RecipePanel
from tippingpoint.report.figures_scaling import LawPanel
from tippingpoint.report.looks import Look, look_frames

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tippingpoint.report.figures import Panel
    from tippingpoint.report.figures_phase import PhasePanel

__all__ = ["runs_behind", "runs_behind_map"]


def runs_behind(panel: Panel, frame: pd.DataFrame | None = None, look: Look | None = None) -> dict[str, list[str]]:
    """Return the runs behind the points of a panel.

    Parameters
    ----------
    panel : one of the panels
        What is drawn.
    frame, look : DataFrame and Look, optional
        The tidy runs and the comparison, for panels whose points are means.

    Returns
    -------
    dict of str to list of str
        By ``gid``; empty for panels whose points are no runs.
    """
    if isinstance(panel, (LawPanel, MatchPanel, ResidualPanel)):
        return _single(panel)
    if frame is None or look is None:
        return {}
    parts = look_frames(frame, look)
    if isinstance(panel, DifferencePanel):
        return {"runs-0": [_at(parts, look.along, size) for size in panel.sizes]}
    if isinstance(panel, RecipePanel):
        return {
            f"runs-{place}": [_at((part,), look.along, size) for size in item.x]
            for place, (item, part) in enumerate(zip(panel.series, parts, strict=True))
        }
    return {}


def runs_behind_map(panel: PhasePanel, frame: pd.DataFrame, look: Look, over: str) -> dict[str, list[str]]:
    """Return the runs behind the points of a map.

    Parameters
    ----------
    panel : PhasePanel
        What is drawn.
    frame, look : DataFrame and Look
        The tidy runs, and the comparison with ``over`` left open.
    over : str
        The axis of the slices.

    Returns
    -------
    dict of str to list of str
        By ``gid``.
    """
    parts = look_frames(frame, look)
    rows = {size: tuple(part[part[over] == size] for part in parts) for size in panel.slices.tolist()}
    return {"runs-0": [_at(rows[size], look.along, at) for size, at in panel.measured]}


def _single(panel: LawPanel | MatchPanel | ResidualPanel) -> dict[str, list[str]]:
    """Return the run behind each point that is one run."""
    groups: list[NDArray[np.intp]] = [panel.rows] if isinstance(panel, ResidualPanel) else []
    if isinstance(panel, LawPanel):
        groups = [item.rows for item in panel.series]
    elif isinstance(panel, MatchPanel):
        groups = [item.rows for item in panel.groups]
    shown = shown_points([len(rows) for rows in groups])
    return {
        f"runs-{place}": [str(row) for row in rows[keep]]
        for place, (rows, keep) in enumerate(zip(groups, shown, strict=True))
    }


def _at(parts: tuple[pd.DataFrame, ...], along: str, size: float) -> str:
    """Return the runs of some frames at one size."""
    return " ".join(str(row) for part in parts for row in part.index[part[along] == size])
