r"""The boundary as a function of another axis: one boundary for every measured size of it, and the phase diagram.

Each slice is a :func:`~tippingpoint.boundary.find.find_boundary` of its own, with the other axis held at one measured
size: no law is presumed across it. Slices share seed blocks, and along ``n_finetune`` checkpoints too, so that they are
not independent of one another.

Between the slices nothing was measured. There the phase diagram joins the probability by a straight line of its normal
quantile in the log of the other axis,

.. math:: \Phi^{-1}(P(D, z)) = (1 - w)\,\Phi^{-1}(P(D, z_i)) + w\,\Phi^{-1}(P(D, z_{i+1}))

which is a drawing aid and is said to be one.

Where the laws of a slice miss its paired runs, the probability is that of the runs themselves, by Student's t over
blocks (:func:`~tippingpoint.boundary.measured.measured_probability`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.adjusted import holm, paired_p
from tippingpoint.boundary.asked import check_asked
from tippingpoint.boundary.find import find_boundary
from tippingpoint.boundary.levels import has_size, levels_of, shared_sizes
from tippingpoint.boundary.map_result import BoundaryMap, Slice
from tippingpoint.boundary.measured import measured_probability
from tippingpoint.boundary.paired import block_differences
from tippingpoint.boundary.result import Boundary
from tippingpoint.boundary.selection import recipe_runs, select_pair
from tippingpoint.boundary.spread import score_step
from tippingpoint.boundary.words import exactly
from tippingpoint.errors import RunsError, did_you_mean
from tippingpoint.runs import Runs, read_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["boundary_map"]

Array = NDArray[np.float64]

_ALONG, _OVER = 81, 41  # points of the phase diagram


class _Answered(NamedTuple):
    """A slice; and its paired differences by block, where its laws miss them, with the step of their scores."""

    size: float
    boundary: Boundary
    differences: pd.DataFrame | None = None
    step: float = 0.0


def boundary_map(
    runs: Any,
    along: str = "n_pretrain",
    over: str = "n_finetune",
    at: Mapping[str, float] | None = None,
    target: str = "error",
    stage: str | None = "finetuned",
    recipes: Sequence[str] = ("scratch", "distilled"),
    where: str | None = None,
    level: float = 0.9,
    resamples: int = 2000,
    random_state: int | None = None,
    *,
    upstream: str | None = None,
    downstream: str | None = None,
    teacher: str | None = None,
    pool: str = "auto",
    objective: str = "log",
    progress: Callable[[str, int, int], None] | None = None,
) -> BoundaryMap:
    """Find the boundary at every measured size of another axis, and the phase diagram of both.

    Parameters
    ----------
    runs, along, at, target, stage, recipes, where, level, resamples, random_state, upstream, downstream, teacher
        As for :func:`find_boundary`; ``at`` is for the axes other than ``along`` and ``over``.
    over : str, default "n_finetune"
        The axis whose sizes are the slices: n_finetune, n_params, n_params_teacher, n_pretrain, or another column of
        sizes. It is held in every slice.
    pool : {"auto", "none"}
        As for :func:`find_boundary`, for the axes of ``at``.
    objective : {"log", "huber-log", "squares"}
        What the fits minimise.
    progress : callable, optional
        Called with the name of the slice, how many are done and how many there are.

    Returns
    -------
    BoundaryMap
        A slice that cannot be answered is listed with the reason.

    Raises
    ------
    RunsError
        No slice can be answered, fewer than two sizes are shared, a recipe, column or size is missing, or the choice is
        ambiguous.
    InputError
        A setting is out of its range.

    Examples
    --------
    >>> found = boundary_map("runs.csv", over="n_finetune", at={"n_params": 51000})  # doctest: +SKIP
    >>> found.table_  # doctest: +SKIP
    """
    who: dict[str, Any] = {"target": target, "stage": stage, "upstream": upstream, "downstream": downstream}
    who |= {"recipes": recipes, "teacher": teacher}
    settings: dict[str, Any] = {
        "level": level,
        "resamples": resamples,
        "random_state": random_state,
        "objective": objective,
    }
    _check_settings(over, pool, along=along, at=at, **who, **settings)
    who["recipes"], place = (recipes[0], recipes[1]), dict(at or {})
    table = read_runs(runs, where=where)
    sizes, failed = _sizes(table, along, over, place, who)
    slices: list[_Answered] = []
    for done, size in enumerate(sizes):
        if progress is not None:
            progress(f"{over} {exactly(size)}", done, len(sizes))
        try:
            edge = find_boundary(table, along, {**place, over: size}, **who, **settings, pool=pool)
        except RunsError as error:
            failed.append((size, " ".join(error.faults)))
            continue
        slices.append(_Answered(size, edge) if edge.laws_hold else _by_pairs(size, table, along, edge, who))
    if not slices:
        raise RunsError([f"No size of {over} can be answered.", *dict.fromkeys(reason for _, reason in failed)])
    return _map(slices, sorted(failed), over)


def _check_settings(over: str, pool: str, **asked: Any) -> None:
    """Raise where a setting is wrong, those of every slice included."""
    faults = []
    along, at = asked["along"], asked["at"]
    if over == along:
        faults.append(
            f"over: {over} is the axis that is walked along; name another one, such as n_finetune or n_params."
        )
    elif isinstance(at, Mapping) and over in at:
        faults.append(f"at: {over} is the axis of the slices; give sizes of the other axes only.")
    if pool not in ("auto", "none"):
        faults.append(f"pool: '{pool}' is not for a map, whose slices are held; give auto or none.")
    check_asked(faults, over=over, **asked)


def _sizes(
    table: Runs, along: str, over: str, at: dict[str, float], who: dict[str, Any]
) -> tuple[list[float], list[tuple[float, str]]]:
    """Return the sizes of the slices, and those that one recipe alone has, with the reason."""
    columns = [str(name) for name in table.frame.columns]
    if over not in columns:
        hint = did_you_mean(over, columns) or f" There are: {', '.join(columns[:20])}."
        raise RunsError(f"over: {table.source} has no column '{over}'.{hint}")
    table.numbers(over)
    draft = recipe_runs(table, along, at, **who)
    own = [(recipe, levels_of(frame, over)) for recipe, frame in zip(draft.recipes, draft.frames, strict=True)]
    has = [levels for _, levels in own if levels]
    shared = shared_sizes(has) if has else []
    if len(shared) < 2:
        said = "; ".join(f"{recipe} has {', '.join(map(exactly, levels)) or 'none'}" for recipe, levels in own)
        raise RunsError(
            f"over: {draft.recipes[0]} and {draft.recipes[1]} share {len(shared) or 'no'} "
            f"size{'s' * (len(shared) != 1)} of {over} ({said}); a map needs two or more: choose another axis, or ask "
            "for one boundary."
        )
    alone = [
        (size, f"only {recipe} was run at {over}={exactly(size)}.")
        for recipe, levels in own
        for size in levels
        if not has_size(shared, size)
    ]
    return shared, alone


def _by_pairs(size: float, table: Runs, along: str, edge: Boundary, who: dict[str, Any]) -> _Answered:
    """Return a slice whose laws miss the paired runs, with each block's difference at every size."""
    chosen = select_pair(table, along=along, at=edge.at, pool="none", **who)
    return _Answered(size, edge, block_differences(chosen), score_step(chosen.frames, chosen.target))


def _map(slices: list[_Answered], failed: list[tuple[float, str]], over: str) -> BoundaryMap:
    """Put the result together."""
    edges = [one.boundary for one in slices]
    shared = set.intersection(*(set(edge.at.items()) for edge in edges))
    grid = np.geomspace(min(edge.range[0] for edge in edges), max(edge.range[1] for edge in edges), _ALONG)
    first = edges[0]
    return BoundaryMap(
        recipes=first.recipes,
        along=first.along,
        over=over,
        at={axis: size for axis, size in first.at.items() if (axis, size) in shared and axis != over},
        target=first.target,
        stage=first.stage,
        level=first.level,
        slices=tuple(Slice(one.size, one.boundary) for one in slices),
        failed=tuple(failed),
        paired_=_paired(slices, over),
        probability_=_phase(slices, over, grid),
        notes=tuple(dict.fromkeys(note for edge in edges for note in edge.notes)),
    )


def _paired(slices: list[_Answered], over: str) -> pd.DataFrame:
    """Return every paired comparison of all slices, its p-value, and Holm's adjustment of all of them."""
    import pandas as pd

    table = pd.concat([one.boundary.paired_.assign(**{over: one.size}) for one in slices], ignore_index=True)
    first, second = slices[0].boundary.recipes
    table["p"] = paired_p(table["mean"], table["standard_error"], table["n_pairs"])
    table["p_holm"] = holm(table["p"].tolist())
    sure = (table["p_holm"] < 1 - slices[0].boundary.level).to_numpy()
    better = np.where(table["mean"] > 0, second, first)
    table["established"] = np.where(sure, better, "")
    return table[[over, *(name for name in table.columns if name != over)]]


def _phase(slices: list[_Answered], over: str, grid: Array) -> pd.DataFrame:
    """Return P(second recipe helps) over both axes: in the slices, and joined between them."""
    import pandas as pd
    from scipy.special import ndtr, ndtri

    probits = np.array([ndtri(_slice_probability(one, grid)) for one in slices])  # (slices, grid)
    own = np.log([one.size for one in slices])
    between = np.linspace(own[0], own[-1], _OVER)
    between = between[np.abs(between[:, None] - own).min(axis=1) > 1e-9]
    rows = []
    for x in np.sort(np.concatenate([own, between])):
        k = min(int(np.searchsorted(own, x + 1e-12)) - 1, len(own) - 2) if len(own) > 1 else 0
        at_slice = np.flatnonzero(np.abs(own - x) < 1e-12)
        if len(at_slice):
            line, source = probits[at_slice[0]], _source(slices[at_slice[0]])
        else:
            w = (x - own[k]) / (own[k + 1] - own[k])
            line, source = (1 - w) * probits[k] + w * probits[k + 1], "joined"
        size = slices[int(at_slice[0])].size if len(at_slice) else float(np.exp(x))
        rows.append(pd.DataFrame({over: size, slices[0].boundary.along: grid, "probability": ndtr(line), "by": source}))
    return pd.concat(rows, ignore_index=True)


def _source(one: _Answered) -> str:
    return "laws" if one.differences is None else "pairs"


def _slice_probability(one: _Answered, grid: Array) -> Array:
    """Return P(second recipe helps) of a slice on the grid, never quite 0 or 1; NaN outside of its range."""
    curve, edge = one.boundary.curve_, one.boundary
    if one.differences is not None:
        found = measured_probability(one.differences, grid, one.step)
        most = 1 - 1e-6
    else:
        x = np.log(curve[edge.along].to_numpy(dtype=float))
        found = np.interp(np.log(grid), x, curve["probability_helps"].to_numpy(dtype=float))
        outside = (np.log(grid) < x[0] - 1e-9) | (np.log(grid) > x[-1] + 1e-9)
        found = np.where(outside, np.nan, found)
        most = 1 - 0.5 / max(edge.resamples, 1)
    return np.clip(found, 1 - most, most)
