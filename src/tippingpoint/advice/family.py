"""The laws of a question: one for each recipe and teacher, over the sizes that vary, on one pair of data sets.

Teachers are told apart by name, each with a law of its own, because a larger teacher may well be the worse one, which a
falling term cannot say. Models of one recipe share a law, so that their draws are joint; not so public models, which
differ in what they were trained on and how, and not in their size alone: each has a law of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.cost import FlopsModel, fit_flops
from tippingpoint.boundary.levels import levels_of, names_in
from tippingpoint.boundary.words import axis_words, exactly
from tippingpoint.errors import InputError, RunsError
from tippingpoint.laws.registry import law_named
from tippingpoint.runs.table import Runs, choices, unknown_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AMOUNTS", "Family", "families_of"]

Array = NDArray[np.float64]

AMOUNTS = ("n_pretrain", "n_finetune")  #: what can be bought: upstream images, downstream labels
_SIZES = ("n_pretrain", "n_params", "n_finetune")
_APART = ("public", "public_frozen")  # recipes whose models do not share a law


@dataclass(frozen=True)
class Family:
    """A recipe with one teacher or none: its law and its cost.

    Attributes
    ----------
    recipe : str
        Empty where the table does not name recipes.
    teacher : str or None
    law : fitted law
    levels : dict of str to list of float
        Sizes that were measured, of n_pretrain, n_params and n_finetune; those that the recipe does not have are left
        out.
    flops : FlopsModel or None
        None where the runs do not tell.
    student : str or None
        The model's name where it has a law of its own.
    """

    recipe: str
    teacher: str | None
    law: Any
    levels: dict[str, list[float]]
    flops: FlopsModel | None
    student: str | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of the law."""
        return tuple(self.law.axes)

    @property
    def name(self) -> str:
        """Recipe, model and teacher in words."""
        return _title(self.recipe, self.student, self.teacher)

    def predict(self, sizes: Mapping[str, Array]) -> Array:
        """Return the expected target at sizes, arrays of one shape (p,)."""
        found: Array = self.law.predict({axis: sizes[axis] for axis in self.axes})
        return np.where(np.isnan(found), np.inf, found)

    def draws(self, sizes: Mapping[str, float]) -> Array:
        """Return the target at one place for every draw of the law, shape (R,), in an order of their own."""
        point = np.array([[sizes[axis] for axis in self.axes]], dtype=float)
        with np.errstate(all="ignore"):
            found = self.law.curves(point)[:, 0]
        return np.random.default_rng(0).permutation(np.where(np.isnan(found), np.inf, found))


def families_of(
    runs: Runs,
    *,
    recipes: Sequence[str] | None,
    stage: str | None,
    upstream: str | None,
    downstream: str | None,
    target: str,
    law: str,
    random_state: int | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[Family], list[str]]:
    """Return the fitted families of a question, and what was set aside or left out.

    Parameters
    ----------
    runs : Runs
    recipes : sequence of str, optional
        All that the group has unless named.
    stage, upstream, downstream : str, optional
        The group, as of :func:`tippingpoint.runs.select_group`.
    target, law : str
    random_state : int or None
        Each law's draws get a seed of their own.
    progress : callable, optional
        Called with what comes next, how many laws are fitted and how many there are.

    Raises
    ------
    RunsError
        A name does not occur, the group is ambiguous, or no law can be fitted; all faults are told.
    """
    fitter = law_named(law)
    own = _one_group(runs, stage, upstream, downstream, recipes)
    named = list(dict.fromkeys(recipes or []) or names_in(own.frame, "recipe") or [""])
    parts = [part for recipe in named for part in _parts(own, recipe)]
    seeds = np.random.SeedSequence(random_state).generate_state(len(parts))
    found, notes, faults = [], list(own.notes), []
    for place, ((recipe, student, teacher, part), seed) in enumerate(zip(parts, seeds, strict=True)):
        title = _title(recipe, student, teacher)
        if progress:
            progress(title, place, len(parts))
        try:
            family, told = _fitted(part, target, title, functools.partial(fitter, random_state=int(seed)))
            found.append(Family(recipe, teacher, *family, student))
            notes += [note for note in told[len(own.notes) :] if student is None or "has one size only" not in note]
        except InputError as error:
            faults.append(f"{title}: left out, no law can be fitted: {' '.join(error.faults)}")
    if not found:
        raise RunsError([*faults, f"{runs.source}: no recipe is left to advise upon; add runs of two or more sizes."])
    return found, [*notes, *faults]


def _fitted(
    part: Runs, target: str, title: str, new_law: Callable[[list[str]], Any]
) -> tuple[tuple[Any, dict[str, list[float]], FlopsModel | None], list[str]]:
    """Return law, measured sizes and FLOPs of the runs of one family, and its notes."""
    kept, levels = _complete(part, target, title)
    axes = [axis for axis in _SIZES if len(levels.get(axis, [])) > 1]
    if not axes:
        runs = "run" if len(kept) == 1 else "runs"
        raise RunsError(f"no size of its {len(kept)} {runs} varies.")
    law = new_law(axes).fit(kept, target)
    return (law, levels, fit_flops(kept.frame)), [*kept.notes, *_single_sizes(levels, title)]


def _one_group(
    runs: Runs, stage: str | None, upstream: str | None, downstream: str | None, recipes: Sequence[str] | None
) -> Runs:
    """Return the runs of one stage and one pair of data sets; a recipe without pretraining needs no upstream."""
    asked = {"stage": stage, "scored_on": None, "upstream": upstream, "downstream": downstream}
    usual, faults = {"stage": "finetuned", "scored_on": "test"}, []
    for column, value in asked.items():
        known = names_in(runs.frame, column)
        chosen = value
        if value is None and len(known) > 1:
            chosen = usual[column] if usual.get(column) in known else None
            if chosen is None:
                faults.append(
                    f"{runs.source}: the runs have several values of {column} ({choices(known)}); "
                    f"choose one with --{column} '{known[0]}'."
                )
        elif value is not None and value not in known:
            missing = f"{column}: '{value}' is asked for, but no run of {runs.source} has a value of {column}."
            faults.append(unknown_value(column, value, known, runs.source) if known else missing)
            continue
        if chosen is not None:
            cells = runs.frame[column].astype(object)
            empty = cells.isna() if column == "upstream" else False
            runs = runs.keep(np.asarray((cells == chosen) | empty, dtype=bool), f"{column} is not '{chosen}'")
    known = names_in(runs.frame, "recipe")
    faults += [
        unknown_value("recipe", recipe, known, runs.source)
        if known
        else f"recipes: {runs.source} has no column 'recipe' to look for '{recipe}' in; leave --recipes out."
        for recipe in recipes or []
        if recipe not in known
    ]
    if faults:
        raise RunsError(faults)
    return runs


def _title(recipe: str, student: str | None, teacher: str | None) -> str:
    return ", ".join(filter(None, [recipe or "these runs", student, teacher and f"teacher {teacher}"]))


def _parts(runs: Runs, recipe: str) -> list[tuple[str, str | None, str | None, Runs]]:
    """Return (recipe, model or None, teacher or None, runs) of everything that has a law of its own."""
    found: list[tuple[str, str | None, str | None, Runs]] = []
    for _, teacher, part in _teachers(runs, recipe):
        students = names_in(part.frame, "student") if recipe in _APART else []
        if len(students) < 2:
            found.append((recipe, None, teacher, part))
        for student in students if len(students) > 1 else []:
            own = (part.frame["student"].astype(object) == student).to_numpy(bool)
            found.append((recipe, student, teacher, part.keep(own)))
    return found


def _teachers(runs: Runs, recipe: str) -> list[tuple[str, str | None, Runs]]:
    """Return the runs of a recipe, one part for each teacher."""
    own = runs.keep((runs.frame["recipe"].astype(object) == recipe).to_numpy(bool)) if recipe else runs
    labels = _teacher_labels(own.frame)
    parts: list[tuple[str, str | None, Runs]] = [
        (recipe, name, own.keep((labels == name).to_numpy(bool))) for name in sorted(labels.dropna().unique())
    ]
    if labels.isna().any():
        parts.append((recipe, None, own.keep(labels.isna().to_numpy(bool))))
    return parts


def _teacher_labels(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return the teacher's name of every run, made of its size where only that is known; None without one."""
    import pandas as pd

    labels = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    if "n_params_teacher" in frame.columns:
        sizes = frame["n_params_teacher"].to_numpy(dtype=float, na_value=np.nan)
        labels[np.isfinite(sizes)] = [f"of {exactly(size)} parameters" for size in sizes[np.isfinite(sizes)]]
    if "teacher" in frame.columns:
        there = frame["teacher"].notna()
        labels[there] = frame.loc[there, "teacher"].astype(str)
    return labels


def _complete(runs: Runs, target: str, title: str) -> tuple[Runs, dict[str, list[float]]]:
    """Set aside runs that lack the target or a size that others of the recipe have; return the sizes left."""
    runs = runs.keep(np.isfinite(runs.numbers(target)), f"{title}: {target} is empty")
    for axis in _SIZES:
        if axis in runs.frame.columns:
            there = np.isfinite(runs.numbers(axis))
            if there.any():
                runs = runs.keep(there, f"{title}: {axis} is empty")
    return runs, {axis: levels for axis in _SIZES if (levels := levels_of(runs.frame, axis))}


def _single_sizes(levels: dict[str, list[float]], title: str) -> list[str]:
    """Say which axes have one size only, upon which nothing can be advised."""
    return [
        f"{title}: {axis} has one size only ({exactly(sizes[0])} {axis_words(axis)}); it stays there, nothing can be "
        "advised upon it."
        for axis, sizes in levels.items()
        if len(sizes) == 1
    ]
