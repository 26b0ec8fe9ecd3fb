"""Which runs answer the question: two recipes of one group, at one place on every axis but one.

Every axis that is not walked along is either *held* (only runs of exactly that size are used) or *pooled* (runs of all
its sizes are used, tied together by the additive law, Eq. (1) and (4)).

A held axis needs no assumption on how axes combine, but uses fewer runs; a pooled one gains runs and believes in the
laws. Differences between recipes are small against a misfit, and the noise that matters is that of checkpoints, which
more fine-tunings do not lessen: so ``pool="auto"`` holds an axis wherever the size asked for was measured, pools it
where it was not and three sizes were, and refuses otherwise (benchmarks/crossings.py compares both).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.boundary.levels import has_size, is_size, levels_of, names_in, shared_sizes
from tippingpoint.boundary.no_crossing import guides_of
from tippingpoint.boundary.words import beyond, exactly
from tippingpoint.errors import InputError, RunsError, did_you_mean
from tippingpoint.kinds import is_number
from tippingpoint.runs import Runs, select_group
from tippingpoint.runs.faults import larger_is_better

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AXES", "POOLS", "Draft", "Selection", "recipe_runs", "select_pair"]

AXES = ("n_pretrain", "n_params", "n_finetune", "n_params_teacher")
POOLS = ("auto", "none", "all")
_FOR_A_LAW = 3  # sizes that a term with an exponent needs


@dataclass(frozen=True)
class Selection:
    """The runs of two recipes and what is done with each axis.

    Attributes
    ----------
    recipes : tuple of str
        First and second.
    along, target : str
        The axis that is walked along and the column that is compared.
    at : dict of str to float
        The place on every other axis.
    frames : tuple of DataFrame
        The runs of each recipe, held axes filtered.
    axes : tuple of tuple of str
        The axes of each recipe's law; empty where it has none.
    held : tuple of str
        Axes on which only runs of exactly the size asked for are used.
    low, high : float
        The range of ``along`` that both recipes cover.
    notes, warnings : tuple of str
        What was decided or set aside; what limits the answer.
    guides : DataFrame or None
        The teacher's own runs, as :func:`~tippingpoint.boundary.no_crossing.guides_of` has them.
    """

    recipes: tuple[str, str]
    along: str
    target: str
    at: dict[str, float]
    frames: tuple[pd.DataFrame, pd.DataFrame]
    axes: tuple[tuple[str, ...], tuple[str, ...]]
    held: tuple[str, ...]
    low: float
    high: float
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    guides: pd.DataFrame | None = None


@dataclass
class Draft:
    """The selection while it is made: the runs of both recipes, and what was decided so far."""

    recipes: tuple[str, str]
    frames: list[pd.DataFrame]
    at: dict[str, float] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    pooled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def sizes(self, axis: str) -> list[list[float]]:
        """Return the distinct sizes of an axis in each recipe that has it."""
        return [levels for frame in self.frames if (levels := levels_of(frame, axis))]


def select_pair(
    runs: Runs,
    *,
    along: str,
    at: Mapping[str, float],
    target: str,
    stage: str | None,
    recipes: tuple[str, str],
    upstream: str | None = None,
    downstream: str | None = None,
    teacher: str | None = None,
    pool: str = "auto",
) -> Selection:
    """Return the runs of two recipes that answer one question, or say what is left open.

    Parameters
    ----------
    runs : Runs
        The whole table.
    along : str
        The axis to walk along.
    at : mapping of str to float
        Sizes on the other axes; one that has a single shared size needs none.
    target, stage, recipes, upstream, downstream, teacher
        What is compared; ``stage`` is ignored where the table has no such column.
    pool : {"auto", "none", "all"}
        Which axes are tied together by the law (see the module).

    Returns
    -------
    Selection

    Raises
    ------
    RunsError
        A recipe, a column or a size is missing, or the choice is ambiguous; the choices are listed.
    InputError
        A name is not an axis.
    """
    draft = recipe_runs(runs, along, at, target, stage, recipes, upstream, downstream, teacher, pool)
    everyone = draft.frames[0]
    for axis in (*AXES, *(name for name in at if name not in AXES)):
        if axis != along and draft.sizes(axis):
            _place(draft, axis, at.get(axis), pool)
        elif axis in at and axis != along:
            raise RunsError(f"at: no run of {_both(recipes)} has a value of {axis}; leave it out.")
    _check_teachers(draft, along)
    _drop_incomplete(draft, along)
    low, high = _shared_range(draft, along)
    axes = tuple(
        tuple(axis for axis in (along, *draft.pooled) if len(levels_of(frame, axis)) > 1) for frame in draft.frames
    )
    first, second = draft.frames
    return Selection(
        recipes,
        along,
        target,
        draft.at,
        (first.reset_index(drop=True), second.reset_index(drop=True)),
        (axes[0], axes[1]),
        tuple(draft.held),
        low,
        high,
        tuple(draft.notes),
        tuple(draft.warnings),
        guides_of(everyone, draft.at, along),
    )


def recipe_runs(
    runs: Runs,
    along: str,
    at: Mapping[str, float],
    target: str,
    stage: str | None,
    recipes: tuple[str, str],
    upstream: str | None = None,
    downstream: str | None = None,
    teacher: str | None = None,
    pool: str = "auto",
) -> Draft:
    """Return the scored runs of both recipes before any place is chosen; for the settings see :func:`select_pair`."""
    _check_names(runs, along, at, target, recipes, pool)
    _check_groups(runs, upstream, downstream)
    groups = [_group(runs, recipe, stage, upstream, downstream) for recipe in recipes]
    frames = [group.frame for group in groups]
    _check_one_group(frames, recipes)
    draft = Draft(recipes, frames)
    draft.notes += [note for group in groups for note in group.notes[len(runs.notes) :]]
    _drop_unscored(draft, target)
    _choose_teacher(draft, teacher)
    return draft


def _check_names(
    runs: Runs, along: str, at: Mapping[str, float], target: str, recipes: tuple[str, str], pool: str
) -> None:
    """Raise with every name that the table does not have, and every column that cannot be counted with."""
    faults = []
    frame, columns = runs.frame, [str(name) for name in runs.frame.columns]
    for role, name in [("along", along), ("target", target), *(("at", name) for name in at)]:
        if name not in columns:
            hint = did_you_mean(name, columns) or f" There are: {', '.join(columns[:20])}."
            faults.append(f"{role}: {runs.source} has no column '{name}'.{hint}")
            continue
        try:
            runs.numbers(name)
        except RunsError as error:
            faults += [f"{role}: {fault}" for fault in error.faults]
    faults += larger_is_better(target)
    if along in at:
        faults.append(f"at: {along} is the axis that is walked along; give sizes of the other axes only.")
    if pool not in POOLS:
        faults.append(f"pool: '{pool}' is not one of {', '.join(POOLS)}.")
    if len(recipes) != 2 or recipes[0] == recipes[1]:
        faults.append("recipes: name two different recipes, for example scratch,distilled.")
    elif "recipe" not in columns:
        faults.append(f"{runs.source} has no column 'recipe', so that two recipes cannot be told apart; add one.")
    else:
        known = sorted(map(str, frame["recipe"].dropna().unique()))
        for recipe in recipes:
            if recipe not in known:
                faults.append(
                    f"recipes: no run is of recipe '{recipe}'; the table has {_listed(known)}."
                    f"{did_you_mean(recipe, known)}"
                )
    if faults:
        raise RunsError(faults)


def _check_groups(runs: Runs, upstream: str | None, downstream: str | None) -> None:
    """Raise where a data set is asked for by name and no run has any; an unknown name shows when groups are chosen."""
    faults = [
        f"{column}: '{value}' is asked for, but no run of {runs.source} has a value of {column}; leave it out."
        for column, value in (("upstream", upstream), ("downstream", downstream))
        if value is not None and not names_in(runs.frame, column)
    ]
    if faults:
        raise RunsError(faults)


def _group(runs: Runs, recipe: str, stage: str | None, upstream: str | None, downstream: str | None) -> Runs:
    """Return the runs of one recipe; where only others have a data set (no_pretraining has no upstream), all of it."""
    own = replace(runs, frame=runs.frame, lines=None).keep(
        (runs.frame["recipe"].astype(object) == recipe).to_numpy(bool)
    )
    has = {name: bool(names_in(own.frame, name)) for name in ("stage", "upstream", "downstream")}
    asked = {"stage": stage, "upstream": upstream, "downstream": downstream}
    group = select_group(own, recipe=recipe, **{name: value for name, value in asked.items() if has[name]})
    return replace(group, notes=tuple(note if note in runs.notes else f"{recipe}: {note}" for note in group.notes))


def _check_one_group(frames: list[pd.DataFrame], recipes: tuple[str, str]) -> None:
    """Both recipes must stand on the same data sets (one without pretraining has no upstream)."""
    faults = []
    for column in ("upstream", "downstream"):
        names = [names_in(frame, column) for frame in frames]
        if names[0] and names[1] and names[0] != names[1]:
            faults.append(
                f"{column}: {recipes[0]} was run on {_listed(names[0])} and {recipes[1]} on {_listed(names[1])}; "
                "they can only be compared on the same."
            )
    if faults:
        raise RunsError(faults)


def _drop_unscored(draft: Draft, target: str) -> None:
    """Set aside the runs without the target."""
    for place, frame in enumerate(draft.frames):
        scored = np.isfinite(frame[target].to_numpy(dtype=float, na_value=np.nan))
        if not scored.any():
            raise RunsError(f"target: no run of {draft.recipes[place]} has a value of {target}; choose another.")
        if not scored.all():
            draft.notes.append(f"{int((~scored).sum())} runs of {draft.recipes[place]} have no {target}: set aside.")
            draft.frames[place] = frame[scored]


def _choose_teacher(draft: Draft, teacher: str | None) -> None:
    """Keep the runs of one teacher, in the recipes that have teachers."""
    if teacher is None:
        return
    known = sorted({name for frame in draft.frames for name in names_in(frame, "teacher")})
    if teacher not in known:
        raise RunsError(
            f"teacher: no run was guided by '{teacher}'; there are {_listed(known)}.{did_you_mean(teacher, known)}"
        )
    for place, frame in enumerate(draft.frames):
        if names_in(frame, "teacher"):
            draft.frames[place] = frame[frame["teacher"].astype(str) == teacher]


def _place(draft: Draft, axis: str, value: float | None, pool: str) -> None:
    """Find the place on one axis, and hold or pool it."""
    levels = draft.sizes(axis)
    value = _only_choice(draft, axis, levels) if value is None else _checked(axis, value)
    measured = all(has_size(sizes, value) for sizes in levels)
    fewest = min(map(len, levels))
    most = max(map(len, levels))
    pooled = most > 1 and (pool == "all" or (pool == "auto" and not measured and fewest >= _FOR_A_LAW))
    if not measured and not pooled:
        raise RunsError(
            f"at: {axis}={exactly(value)} was not measured by both recipes and cannot be reached by a law from "
            f"{fewest} size{'s' * (fewest > 1)} of it; the sizes that both have are {_listed(shared_sizes(levels))}."
        )
    draft.at[axis] = value
    if pooled:
        draft.pooled.append(axis)
        if not measured:
            draft.warnings.append(beyond(axis, value, [size for sizes in levels for size in sizes]))
        return
    draft.held.append(axis)
    for place, frame in enumerate(draft.frames):
        if axis in frame.columns and frame[axis].notna().any():
            draft.frames[place] = frame[is_size(frame[axis].to_numpy(dtype=float, na_value=np.nan), value)]


def _only_choice(draft: Draft, axis: str, levels: list[list[float]]) -> float:
    """Return the one size that both recipes share, or raise with the choices."""
    shared = shared_sizes(levels)
    if len(shared) == 1:
        if any(len(sizes) > 1 for sizes in levels):
            draft.notes.append(f"{axis} is {exactly(shared[0])}, the only size that {_both(draft.recipes)} share.")
        return shared[0]
    if not shared:
        raise RunsError(
            f"{draft.recipes[0]} has {axis} {_listed(levels[0])} and {draft.recipes[1]} has {_listed(levels[-1])}: "
            f"no size is shared; name one in at (--at {axis}=...) to compare by the laws."
        )
    raise RunsError(f"Several {axis} are in the runs: {_listed(shared)}; choose one in at (--at {axis}=...).")


def _check_teachers(draft: Draft, along: str) -> None:
    """Raise where runs of several teachers would be mixed unseen."""
    if along == "n_params_teacher" or "n_params_teacher" in draft.pooled or "n_params" in draft.pooled:
        return
    for frame in draft.frames:
        known = names_in(frame, "teacher")
        if len(known) > 1 and along != "n_params":
            raise RunsError(f"Several teachers are in the runs: {_listed(known)}; choose one (--teacher ...).")


def _drop_incomplete(draft: Draft, along: str) -> None:
    """Set aside the runs that lack a size their recipe's law needs."""
    for place, frame in enumerate(draft.frames):
        needed = [axis for axis in (along, *draft.pooled) if levels_of(frame, axis)]
        values = frame[needed].to_numpy(dtype=float, na_value=np.nan)
        complete = (np.isfinite(values) & (values > 0)).all(axis=1)
        if not complete.all():
            draft.notes.append(
                f"{int((~complete).sum())} runs of {draft.recipes[place]} lack {' or '.join(needed)}: set aside."
            )
            draft.frames[place] = frame[complete]


def _shared_range(draft: Draft, along: str) -> tuple[float, float]:
    """Return the range of the axis that both recipes cover; raise where no law can be fitted."""
    faults = []
    levels = []
    for recipe, frame in zip(draft.recipes, draft.frames, strict=True):
        sizes = levels_of(frame, along)
        if not len(frame):
            faults.append(f"No run of {recipe} is left at {_listed(f'{k}={exactly(v)}' for k, v in draft.at.items())}.")
        elif sizes and len(sizes) < _FOR_A_LAW:
            faults.append(
                f"{recipe} has only {len(sizes)} size{'s' * (len(sizes) > 1)} of {along} ({_listed(sizes)}) at "
                f"{_listed(f'{k}={exactly(v)}' for k, v in draft.at.items()) if draft.at else 'all'}; a law needs "
                f"{_FOR_A_LAW}: add runs, or choose another place or axis."
            )
        levels += [sizes] if sizes else []
    if not faults and not levels:
        faults.append(f"along: no run of {_both(draft.recipes)} has a value of {along}; choose another axis.")
    if faults:
        raise RunsError(faults)
    low, high = max(sizes[0] for sizes in levels), min(sizes[-1] for sizes in levels)
    if low >= high:
        raise RunsError(
            f"{_both(draft.recipes)} share no range of {along}: {_listed(levels[0])} against {_listed(levels[-1])}."
        )
    if any(len(sizes) == _FOR_A_LAW for sizes in levels):
        draft.warnings.append(
            f"Only {_FOR_A_LAW} sizes of {along}: floor, coefficient and exponent take them all, and nothing is left "
            "to test the law with."
        )
    return low, high


def _checked(axis: str, value: float) -> float:
    if not (is_number(value) and np.isfinite(value) and value > 0):
        raise InputError(f"at: {axis}={value} is not a size; sizes are above 0.")
    return float(value)


def _listed(items: Iterable[Any]) -> str:
    said = [exactly(item) if isinstance(item, float) else str(item) for item in items]
    return ", ".join(said) or "none"


def _both(recipes: tuple[str, str]) -> str:
    return f"{recipes[0]} and {recipes[1]}"
