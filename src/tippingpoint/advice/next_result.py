"""What :func:`next_cells` returns: what to train next, what it costs, and how sharp the answer is expected to get."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from tippingpoint.advice.words import join, table, wrapped
from tippingpoint.boundary.words import axis_words, exactly, size, target_words

__all__ = ["Candidate", "Next"]


@dataclass(frozen=True)
class Candidate:
    """Runs that are made together, and the trainings that they need.

    Attributes
    ----------
    recipes : tuple of str
        Whose runs.
    sizes : dict of str to float
        Their place; an axis on which several runs are made is left out.
    block : tuple of int
        ``subset_seed`` and ``seed``.
    new_block : bool
        No run of the question is of this block yet.
    trains : tuple of str
        What has to be trained, in words; what is done is not there.
    cells : tuple of str
        The same by the keys of a study's cells; for a table names of their own.
    cost : float
        Of the trainings, in the unit of the answer; what an earlier candidate pays is not charged again.
    width_before, width_after : float
        Expected width before and after it, the earlier candidates done.
    gain : float
        What it takes off the width, for each unit of cost.
    """

    recipes: tuple[str, ...]
    sizes: dict[str, float]
    block: tuple[int, int]
    new_block: bool
    trains: tuple[str, ...]
    cells: tuple[str, ...]
    cost: float
    width_before: float
    width_after: float
    gain: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "recipes": list(self.recipes),
            "sizes": dict(self.sizes),
            "block": {"subset_seed": self.block[0], "seed": self.block[1], "new": self.new_block},
            "trains": list(self.trains),
            "cells": list(self.cells),
            "cost": self.cost,
            "width_before": self.width_before,
            "width_after": self.width_after,
            "gain": self.gain,
        }


@dataclass(frozen=True, repr=False)
class Next:
    """What to run next, best first.

    Attributes
    ----------
    question : dict
        along, at, target, stage, recipes, level; ``predict`` is None or recipe and size.
    basis : str
        ``laws``, or ``runs`` where the laws miss them: then the paired runs answer, and rank.
    width : float
        Of the answer now. For a boundary the decades of size, within the range, over which it is open at the level
        which recipe is better: for one crossing the width of its interval. For a prediction the width of its interval
        in the target's unit.
    bracketed : bool
        Sizes that were run lie on both sides of what is open; True for a prediction.
    range : tuple of float
        Smallest and largest size that is asked about.
    answer : str
        What the runs say so far.
    crossings : tuple of dict
        Where the better recipe changes, so far, with intervals: as ``tippingpoint boundary --json`` says them.
    candidates : tuple of Candidate
        In the order to be run; empty where nothing on offer would help.
    unit : str
        Of the costs.
    offered : int
        How many candidates there were to choose from.
    warnings, notes : tuple of str
        What limits it; what was assumed.
    """

    question: dict[str, Any]
    basis: str
    width: float
    bracketed: bool
    range: tuple[float, float]
    answer: str
    crossings: tuple[dict[str, Any], ...]
    candidates: tuple[Candidate, ...]
    unit: str
    offered: int
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Next(width={self.width:.3g}, candidates={len(self.candidates)})"

    @property
    def words(self) -> str:
        """The advice in a sentence or two."""
        now = f"{_width(self.width)}{self._unit_of_width()}"
        what = "The prediction's" if self.question["predict"] else "The boundary's"
        if self.width == 0:
            span = " to ".join(map(size, self.range))
            return (
                f"At {100 * self.question['level']:g}% it is settled from {span} {axis_words(self.question['along'])} "
                "which recipe is better; to look for a boundary beyond, run sizes beyond."
            )
        head = f"{what} {100 * self.question['level']:g}% interval is {now} wide"
        if not self.candidates:
            return f"{head}, and nothing on offer would narrow it."
        first, last = self.candidates[0], self.candidates[-1]
        text = f"Run next: {self._named(first)} ({_cost(first.cost, self.unit)}). {head}; "
        text += f"{_width(first.width_after)} is expected after it"
        if len(self.candidates) > 1:
            total = _cost(sum(one.cost for one in self.candidates), self.unit)
            text += f", {_width(last.width_after)} after all {len(self.candidates)} below ({total})"
        return f"{text}."

    def _unit_of_width(self) -> str:
        return f" in {target_words(self.question['target'])}" if self.question["predict"] else " decades"

    def _named(self, one: Candidate) -> str:
        along = self.question["along"]
        walked = [] if along in one.sizes else [f"several sizes of {axis_words(along)}"]
        place = ", ".join([*walked, *(f"{size(value)} {axis_words(axis)}" for axis, value in one.sizes.items())])
        block = "/".join(map(str, one.block))
        return f"{join(one.recipes)} at {place}, block {block}{' (new)' * one.new_block}"

    def summary(self) -> None:
        """Print the advice, at most 80 columns wide."""
        print(self)

    def __str__(self) -> str:
        lines = wrapped(self.words)
        if self.candidates:
            lines += ["", *self._table()]
        lines += ["", *wrapped(self.answer, "So far: ")]
        for mark, sentences in (("! ", self.warnings), ("- ", self.notes)):
            lines += ["", *(line for sentence in sentences for line in wrapped(sentence, mark))] if sentences else []
        return "\n".join(lines)

    def _table(self) -> list[str]:
        along = self.question["along"]
        rows = [[along, "block", self.unit, "width after", "train"]]
        for one in self.candidates:
            block = "/".join(map(str, one.block)) + " new" * one.new_block
            place = size(one.sizes[along]) if along in one.sizes else "all"
            rows.append([place, block, f"{one.cost:.3g}", _width(one.width_after), "; ".join(_short(one))])
        return table(rows)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint next`` as plain types."""
        return {
            **self.question,
            "basis": self.basis,
            "range": list(self.range),
            "width": self.width,
            "bracketed": self.bracketed,
            "sentence": self.words,
            "answer": self.answer,
            "crossings": [dict(one) for one in self.crossings],
            "unit": self.unit,
            "offered": self.offered,
            "candidates": [one.to_dict() for one in self.candidates],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def _short(one: Candidate) -> list[str]:
    """Return the trainings without what the other columns say."""
    return [text.partition(" block ")[0] for text in one.trains]


def _width(value: float) -> str:
    return exactly(float(f"{value:.3g}")) if value >= 0.001 or value == 0 else "under 0.001"


def _cost(value: float, unit: str) -> str:
    return f"{value:.3g} {unit if value != 1 else unit.removesuffix('s')}"
