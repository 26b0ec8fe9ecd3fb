"""One law is fitted to one group: a recipe at a stage, from one upstream set to one downstream set.

Columns that a table does not have are not asked about, so that other people's tables need no choice at all.
"""

from __future__ import annotations

import shlex

import numpy as np

from tippingpoint.errors import RunsError
from tippingpoint.runs.columns import AXES
from tippingpoint.runs.table import Runs, choices, unknown_value

__all__ = ["default_axes", "select_group"]

_USUAL = {"stage": "finetuned", "scored_on": "test"}  # taken unless said otherwise, and noted


def select_group(
    runs: Runs,
    *,
    recipe: str | None = None,
    stage: str | None = None,
    upstream: str | None = None,
    downstream: str | None = None,
) -> Runs:
    """Return the runs of one (recipe, stage, upstream, downstream).

    Parameters
    ----------
    runs : Runs
        The table.
    recipe, stage, upstream, downstream : str, optional
        The group. What is left out is taken where only one value occurs. ``stage`` is ``finetuned`` unless said, and
        runs scored on ``validation`` images are set aside where there are runs scored on ``test`` images.

    Returns
    -------
    Runs
        Rows of other groups are counted in ``notes``.

    Raises
    ------
    RunsError
        A value does not occur, or several remain: the choices are listed with the way to choose.
    """
    asked = {"stage": stage, "recipe": recipe, "upstream": upstream, "downstream": downstream, "scored_on": None}
    faults: list[str] = []
    for column, value in asked.items():
        if column not in runs.frame.columns:
            if value is not None:
                faults.append(f"{runs.source}: there is no column '{column}' to look for '{value}' in.")
            continue
        known = sorted({str(one) for one in runs.frame[column].dropna()})
        chosen = value
        if chosen is None and len(known) > 1 and _USUAL.get(column) in known:
            chosen = _USUAL[column]
        if chosen is None and len(known) > 1:
            faults.append(
                f"{runs.source}: the runs have several values of {column} ({choices(known)}); "
                f"choose one with {column}={known[0]!r} (on the command line --{column} {shlex.quote(known[0])})."
            )
        elif chosen is not None and chosen not in known:
            faults.append(unknown_value(column, chosen, known, runs.source))
        elif chosen is not None:
            runs = runs.keep(
                (runs.frame[column].astype(object) == chosen).to_numpy(bool), f"{column} is not '{chosen}'"
            )
    if faults:
        raise RunsError(faults)
    return runs


def default_axes(runs: Runs) -> list[str]:
    """Return the agreed axes that every run of a group has and that take at least two sizes.

    Raises
    ------
    RunsError
        There is none; the remedy names ``--axes``.
    """
    found = []
    for axis in AXES:
        if axis in runs.frame.columns:
            values = runs.numbers(axis)
            if np.isfinite(values).all() and len(np.unique(values)) > 1:
                found.append(axis)
    if not found:
        columns = ", ".join(map(str, runs.frame.columns[:20]))
        raise RunsError(f"{runs.source}: none of {', '.join(AXES)} varies; name the axes, of the columns {columns}.")
    return found
