"""Which comparisons a table allows: the declared one first, every other one as an exploratory look.

A *look* is two recipes, one student and teacher, a stage, the sets, a target, and the axis along which the difference
is told. The primary look is the endpoint that a study declared before it ran; all others are exploratory.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import pandas as pd

from tippingpoint.report.words import counted, exact_size, joined, recipe_words, target_words
from tippingpoint.runs import GROUP

__all__ = ["GROUP", "TARGETS", "Look", "declared_look", "every_look", "first_look", "look_frames", "tidy"]

TARGETS = ("cross_entropy", "error", "cross_entropy_calibrated")
HELD = ("n_params", "n_finetune", "n_pretrain")  # a look holds these at one size, but for its own axis


class Look(NamedTuple):
    """One comparison of two recipes; None means "not a column of this table" or "whatever there is"."""

    recipes: tuple[str, str]
    along: str
    stage: str | None
    target: str
    upstream: str | None = None
    downstream: str | None = None
    n_params: float | None = None
    teacher: str | None = None
    n_finetune: float | None = None
    n_pretrain: float | None = None

    @property
    def where(self) -> str:
        """The scored set in words: the upstream test set, or fine-tuned on the downstream set.

        A table that tells neither stages nor downstream sets nor labels does not say that its models were fine-tuned.
        """
        if not (self.stage or self.downstream or self.n_finetune):
            return "all runs"
        if self.stage == "pretrained":
            return f"scored on the upstream test set{f' {self.upstream}' if self.upstream else ''}"
        source = f", pretrained on {exact_size(self.n_pretrain)} images" if self.n_pretrain else ""
        labels = f" with {exact_size(self.n_finetune)} images" if self.n_finetune else ""
        return f"fine-tuned{f' on {self.downstream}' if self.downstream else ''}{labels}{source}"

    @property
    def who(self) -> str:
        """Student and teacher in words."""
        parts = []
        if self.n_params is not None:
            parts.append(f"student of {exact_size(self.n_params)} parameters")
        if self.teacher is not None:
            parts.append(f"teacher {self.teacher}")
        return ", ".join(parts)

    @property
    def title(self) -> str:
        """All of it in one line."""
        parts = [f"{self.recipes[0]} against {self.recipes[1]}", target_words(self.target), self.where]
        return ", ".join([*parts, self.who] if self.who else parts)


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in which the group columns exist as text or None; a table without recipes has one, ``all``."""
    table = frame.reset_index(drop=True)
    for name in GROUP:
        if name not in table:
            table[name] = "all" if name == "recipe" else None
        table[name] = table[name].astype(object).where(table[name].notna(), None)
    if "teacher" in table:
        table["teacher"] = table["teacher"].astype(object).where(table["teacher"].notna(), None)
    return table


def look_frames(frame: pd.DataFrame, look: Look) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of the look's two recipes, ready to be paired or fitted.

    The teacher only restricts a recipe that has one: plain training has none, and the control with the teacher's
    compute added has as many kinds as there are teachers.
    """
    rows = frame
    for name in ("stage", "upstream", "downstream"):
        wanted = getattr(look, name)
        if wanted is not None:
            rows = rows[rows[name] == wanted]
        elif name == "downstream" and look.stage == "pretrained":
            rows = rows[rows[name].isna()]
    for name in HELD:
        wanted = getattr(look, name)
        if wanted is not None and name in rows and name != look.along:
            rows = rows[pd.to_numeric(rows[name], errors="coerce") == wanted]
    parts = []
    for recipe in look.recipes:
        part = rows[rows["recipe"] == recipe]
        if look.teacher is not None and "teacher" in part and part["teacher"].notna().any():
            part = part[part["teacher"] == look.teacher]
        parts.append(part.dropna(subset=[name for name in (look.along, look.target) if name in part]))
    return parts[0], parts[1]


def declared_look(endpoint: Mapping[str, Any], frame: pd.DataFrame) -> tuple[Look | None, tuple[str, ...]]:
    """Read a declared endpoint.

    Parameters
    ----------
    endpoint : mapping
        As a study publishes it: ``recipes``, ``along``, ``stage``, ``target``, ``upstream``, ``downstream``,
        ``teacher`` and the sizes under ``at``.
    frame : DataFrame
        The tidy runs.

    Returns
    -------
    look : Look or None
        None where it is not to be understood.
    notes : tuple of str
        Why, or what is missing of it in the table.
    """
    recipes = endpoint.get("recipes") or ("scratch", "distilled")
    if isinstance(recipes, str) or len(recipes) != 2:
        return None, ("The declared endpoint does not name two recipes, so it is not used.",)
    sizes = endpoint.get("at")
    at: Mapping[str, Any] = sizes if isinstance(sizes, Mapping) else {}
    look = Look(
        recipes=(str(recipes[0]), str(recipes[1])),
        along=str(endpoint.get("along") or "n_pretrain"),
        stage=_text(endpoint.get("stage")),
        target=str(endpoint.get("target") or "cross_entropy"),
        upstream=_text(endpoint.get("upstream")),
        downstream=_text(endpoint.get("downstream")),
        n_params=_size(at.get("n_params")),
        teacher=_text(endpoint.get("teacher")),
        n_finetune=_size(at.get("n_finetune")),
        n_pretrain=_size(at.get("n_pretrain")),
    )
    missing = [name for name in (look.along, look.target) if name not in frame]
    if missing:
        return None, (f"The declared endpoint needs the columns {joined(missing)}, which the table lacks.",)
    look = _held(frame, look)
    empty = [recipe for recipe, part in zip(look.recipes, look_frames(frame, look), strict=True) if part.empty]
    notes = [f"The declared endpoint has no finished runs of {joined(map(recipe_words, empty))} yet."] if empty else []
    return look, tuple(notes)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _size(value: Any) -> float | None:
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None


def _held(frame: pd.DataFrame, look: Look, like: Look | None = None) -> Look:
    """Hold what the look leaves open: each other axis as ``like`` does, or at the largest size both recipes have."""
    for axis in ("n_finetune", "n_pretrain"):
        if axis not in frame or axis == look.along or getattr(look, axis) is not None:
            continue
        sizes = [set(pd.to_numeric(part[axis]).dropna()) for part in look_frames(frame, look)]
        common = sizes[0] & sizes[1]
        if not common:
            continue
        wanted = None if like is None else getattr(like, axis)
        size = wanted if wanted in common else float(max(common))
        look = look._replace(n_finetune=size) if axis == "n_finetune" else look._replace(n_pretrain=size)
    return look


def every_look(frame: pd.DataFrame, recipes: tuple[str, str], along: str, like: Look | None = None) -> tuple[Look, ...]:
    """Return each comparison of the two recipes that the table allows.

    Parameters
    ----------
    frame : DataFrame
        The tidy runs.
    recipes : tuple of two str
        Which recipes are compared.
    along : str
        The axis.
    like : Look, optional
        Hold the other axes at this look's sizes, where they occur.

    Returns
    -------
    tuple of Look
        By stage, sets, student and teacher, and target; empty where the recipes share no group.
    """
    second = frame[frame["recipe"] == recipes[1]]
    keys = [name for name in ("stage", "upstream", "downstream", "n_params", "teacher") if name in second]
    looks = []
    for values in second[keys].drop_duplicates().itertuples(index=False):
        named = {k: (None if pd.isna(v) else v) for k, v in zip(keys, values, strict=True)}
        for target in (name for name in TARGETS if name in frame and frame[name].notna().any()):
            look = Look(
                recipes=recipes,
                along=along,
                stage=named.get("stage"),
                target=target,
                upstream=named.get("upstream"),
                downstream=named.get("downstream"),
                n_params=_size(named.get("n_params")),
                teacher=named.get("teacher"),
            )
            look = _held(frame, look, like)
            if all(len(part) for part in look_frames(frame, look)):
                looks.append(look)
    return tuple(sorted(looks, key=_order))


def _order(look: Look) -> tuple[Any, ...]:
    place = TARGETS.index(look.target) if look.target in TARGETS else len(TARGETS)
    return (look.stage != "pretrained", look.downstream or "", look.n_params or 0.0, look.teacher or "", place)


def first_look(frame: pd.DataFrame, recipes: tuple[str, str], along: str) -> tuple[Look | None, tuple[str, ...]]:
    """Choose a look where none was declared: the first that the table allows, and say so."""
    looks = every_look(frame, recipes, along)
    if not looks:
        names = sorted(map(str, frame["recipe"].unique()))
        have = f"the table has {counted(len(names), 'recipe')} ({joined(names)})"
        return None, (f"No comparison of {recipes[0]} and {recipes[1]} can be made: {have}, or no sizes are shared.",)
    return looks[0], ("No endpoint was declared before the runs, so everything here is exploratory.",)
