"""Why a difference does not change its sign: too short a range, or a teacher that has little to teach."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tippingpoint.boundary.levels import has_size, is_size, levels_of, names_in
from tippingpoint.boundary.words import axis_words, better, listed, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from tippingpoint.boundary.draws import Draws
    from tippingpoint.boundary.power_difference import PowerDifference
    from tippingpoint.boundary.result import Crossing
    from tippingpoint.boundary.selection import Selection

__all__ = ["guides_of", "why_none"]


def guides_of(first: pd.DataFrame, at: Mapping[str, float], along: str) -> pd.DataFrame | None:
    """Return the teacher's own runs: those of the first recipe with a model of the teacher's size, at the same place.

    Parameters
    ----------
    first : DataFrame
        All runs of the first recipe, of every model size.
    at : mapping of str to float
        The place; its ``n_params_teacher`` is the teacher's size.
    along : str
        The axis that is walked along.

    Returns
    -------
    DataFrame or None
        None where model sizes are what is walked along, or no teacher's size is known; no rows where it has no runs.
    """
    teacher = at.get("n_params_teacher")
    if teacher is None or along in ("n_params", "n_params_teacher") or not levels_of(first, "n_params"):
        return None
    place = {**at, "n_params": teacher}
    keep = np.ones(len(first), dtype=bool)
    for axis, value in place.items():
        if levels_of(first, axis):
            keep &= is_size(first[axis].to_numpy(dtype=float, na_value=np.nan), value)
    return first[keep]


def why_none(chosen: Selection, F: PowerDifference, draws: Draws, helps: bool, crossings: list[Crossing]) -> list[str]:
    """Return sentences on a difference that keeps its sign over the range.

    Parameters
    ----------
    chosen : Selection
        The runs.
    F : PowerDifference
        Of the laws that are shown.
    draws : Draws
        Of the joint posterior.
    helps : bool
        Whether the second recipe is better all over the range.
    crossings : list of Crossing
        Of ``F``; none lies in the range.
    """
    ends = [f"{better(F(end), chosen.recipes)} at {size(end)}" for end in (chosen.low, chosen.high)]
    said = [f"Within the range the difference keeps its sign: {listed(ends)} {axis_words(chosen.along)}."]
    places = [f"{size(crossing.value)} ({_beyond(chosen, crossing.value)})" for crossing in crossings]
    if places:
        said[0] += f" The laws would cross at {listed(places)}: an extrapolation, to be measured before it is believed."
    else:
        said[0] += " By the laws that are shown it never changes its sign at any size."
    return [*said, *_by_draws(chosen, draws), *_teacher(chosen, helps)]


def _beyond(chosen: Selection, value: float) -> str:
    """Return how far outside of the range a size lies."""
    if value > chosen.high:
        return f"{value / chosen.high:.3g} times above the range"
    return f"{chosen.low / max(value, 1e-300):.3g} times below the range"


def _by_draws(chosen: Selection, draws: Draws) -> list[str]:
    """Say with which chance the range is too short, and how far the crossing then is."""
    if not draws.total:
        return []
    low, high = math.log(chosen.low), math.log(chosen.high)
    roots = [one.log_crossings for one in draws.differences]
    above = [min(x for x in own if x >= high) for own in roots if any(x >= high for x in own)]
    below = [max(x for x in own if x <= low) for own in roots if any(x <= low for x in own)]
    parts = []
    for found, side in ((above, "above"), (below, "below")):
        if found:
            share = f"{100 * len(found) / draws.total:.0f}%"
            factor = math.exp(min(abs(float(np.median(found)) - (high if side == "above" else low)), 700.0))
            parts.append(f"{side} it with probability {share} (half of those within a factor of {factor:.3g})")
    inside = sum(any(low < x < high for x in own) for own in roots)
    none = sum(not own for own in roots)
    tail = f"{100 * none / draws.total:.0f}% of the draws have none at any size"
    tail += f", {100 * inside / draws.total:.0f}% have one within the range" if inside else ""
    if not parts:
        return [f"The range is hardly too short: no draw has a crossing outside of it; {tail}."]
    return [f"Is the range too short? By the draws a crossing lies {listed(parts)}; {tail}."]


def _teacher(chosen: Selection, helps: bool) -> list[str]:
    """Say how the teacher's own runs stand beside those of the student without it."""
    own = chosen.guides
    if own is None or not names_in(chosen.frames[1], "teacher"):
        return []
    first = chosen.recipes[0]
    who = f"The teacher itself ({first}, {size(chosen.at['n_params_teacher'])} parameters)"
    student = chosen.frames[0]
    if chosen.at.get("n_params") is not None and levels_of(student, "n_params"):
        student = student[is_size(student["n_params"].to_numpy(dtype=float, na_value=np.nan), chosen.at["n_params"])]
    shared = [at for at in levels_of(student, chosen.along) if has_size(levels_of(own, chosen.along) or [-1.0], at)]
    if not shared:
        return [] if helps else [f"{who} has no runs at these sizes: whether it is under-trained cannot be told."]
    gaps = [_mean(own, chosen, at) - _mean(student, chosen, at) for at in shared]
    least, most = min(gaps), max(gaps)
    if helps:
        over = " at every size of the range: the range may be too short for the student to overtake it"
        return [f"{who} is better than the student without it{over}."] if most < 0 else []
    if least > 0:
        return [
            f"{who} is worse than the student without it at every size of the range, by {least:.3g} to {most:.3g}: it "
            "may be under-trained or too small; train it longer, or take a larger one."
        ]
    ahead = [size(at) for at, gap in zip(shared, gaps, strict=True) if gap <= 0]
    return [
        f"{who} is no worse than the student without it at {listed(ahead)}: that it is under-trained does not explain "
        "why it does not help there."
    ]


def _mean(frame: pd.DataFrame, chosen: Selection, at: float) -> float:
    """Return the mean target at one size of the axis."""
    rows = is_size(frame[chosen.along].to_numpy(dtype=float, na_value=np.nan), at)
    return float(frame.loc[rows, chosen.target].astype(float).mean())
