"""What :func:`compare_smoothness` returns, and how it is said."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tippingpoint.boundary.words import exactly

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURES", "Smoothness"]

#: Each measure: (a table's head, a sentence's subject, the word below 1, the word above 1).
MEASURES = {
    "roughness": ("loss, nats", "training losses", "smoother", "rougher"),
    "relative_roughness": ("loss, relative", "training losses as a share of themselves", "smoother", "rougher"),
    "steps": ("steps", "steps to the loss that both reach", "fewer", "more"),
    "error_roughness": ("error/data", "error against pretraining images", "smoother", "rougher"),
    "cross_entropy_roughness": ("c.-entropy/data", "cross-entropy against pretraining images", "smoother", "rougher"),
}


@dataclass(frozen=True, repr=False)
class Smoothness:
    """How smooth the curves of two recipes are.

    Attributes
    ----------
    recipes : tuple of str
        First and second.
    level : float
        Probability of the intervals.
    span : float
        Share of a training curve's points that its smooth trend looks at.
    table_ : DataFrame
        ``student``, ``teacher``, ``stage``, ``measure`` (see :mod:`tippingpoint.boundary.smoothness`), ``scope``
        (``all``: over all sizes; ``size``: at one; ``doubling``: by what the ratio is multiplied whenever
        ``n_finetune`` doubles), ``downstream``, ``n_pretrain``, ``n_finetune``, ``first``, ``second`` (geometric
        means), ``ratio`` (second over first), ``low``, ``high``, ``n_blocks``, ``p`` (Student's, two-sided), ``p_holm``
        (adjusted for all rows of its scope), ``reached`` (of ``steps``: the share of pairs in which the second recipe
        came down to the first's final loss).
    n_pairs : int
        Pairs of training curves.
    notes : tuple of str
        What was set aside.
    """

    recipes: tuple[str, str]
    level: float
    span: float
    table_: pd.DataFrame = field(compare=False)
    n_pairs: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([f"Smoothness of {self.recipes[1]} against {self.recipes[0]}", *self.claims()])

    def claims(self) -> list[str]:
        """Return what the overall rows say: first of all roughnesses, then one sentence for each pair and stage."""
        overall = self.table_[self.table_["scope"] == "all"]
        rough = overall[overall["measure"] != "steps"]
        sure = rough["p_holm"] < 1 - self.level
        smoother, rougher = int((sure & (rough["ratio"] < 1)).sum()), int((sure & (rough["ratio"] > 1)).sum())
        told = (
            f"Of {len(rough)} comparisons of roughness {smoother} stand out as smoother under {self.recipes[1]} and "
            f"{rougher} as rougher."
        )
        groups = overall.groupby(["student", "teacher", "stage"], dropna=False)
        return [told, *(self._claim(_heading(*key), group) for key, group in groups)]

    def _claim(self, heading: str, group: pd.DataFrame) -> str:
        """Return one sentence: what stands out after Holm's adjustment, what does not."""
        out, open_ = [], []
        for row in group.to_dict("records"):
            _, subject, below, above = MEASURES[row["measure"]]
            if row["p_holm"] < 1 - self.level:  # NaN, of a single block, does not
                out.append(f"{subject} {below if row['ratio'] < 1 else above} ({self._interval(row)})")
            else:
                open_.append(f"{subject} ({self._interval(row)})")
        parts = [f"{', '.join(out)} under {self.recipes[1]}"] if out else []
        parts += [f"no difference stands out in {', '.join(open_)}"] if open_ else []
        blocks = int(group["n_blocks"].max())
        return f"{heading}, {blocks} block{'s' * (blocks != 1)}: {'; '.join(parts)}."

    def _interval(self, row: dict[Any, Any]) -> str:
        end = "" if math.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
        return f"{row['ratio']:.2f}{end}"

    def text(self) -> str:
        """Return the tables and the sentences as plain text."""
        first, second = self.recipes
        lines = [
            f"Ratios {second} / {first}, geometric mean over seed blocks [{self.level:.0%} interval, Student's t]; "
            f"below 1: {second} is smoother, or sooner. {self.n_pairs} pairs of training curves."
        ]
        for key, group in self.table_.groupby(["student", "teacher", "stage"], dropna=False):
            lines += ["", _heading(*key), *_grid(group)]
        reached = self.table_[(self.table_["measure"] == "steps") & (self.table_["scope"] == "all")]
        lines += ["", f"{second} came down to {first}'s final training loss at all:"]
        lines += [f"- {_heading(*row[:3])}: {row[3]:.0%} of pairs" for row in _values(reached)]
        lines += ["", "Over all sizes, what stands out after Holm's adjustment (single sizes are exploratory):"]
        lines += [f"- {sentence}" for sentence in self.claims()]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def summary(self) -> None:
        """Print :meth:`text`."""
        print(self.text())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: settings, rows, sentences."""
        rows = self.table_.astype(object).where(self.table_.notna(), None).to_dict("records")
        return {
            "recipes": list(self.recipes),
            "level": self.level,
            "span": self.span,
            "n_pairs": self.n_pairs,
            "rows": rows,
            "claims": self.claims(),
            "notes": list(self.notes),
        }


def _heading(student: Any, teacher: Any, stage: Any) -> str:
    """Return which model, under whom, at which stage."""
    return f"{student} under {teacher}, {stage}" if isinstance(teacher, str) else f"{student}, {stage}"


def _values(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(rows[["student", "teacher", "stage", "reached"]].itertuples(index=False, name=None))


def _grid(group: pd.DataFrame) -> list[str]:
    """Return one line for each place, one column for each measure."""
    measures = [name for name in MEASURES if (group["measure"] == name).any()]
    table: dict[str, dict[str, str]] = {}
    for row in group.to_dict("records"):
        cell = f"{row['ratio']:.2f}"
        if not math.isnan(row["low"]):
            cell += f" [{row['low']:.2f}, {row['high']:.2f}]"
        table.setdefault(_place(row), {})[row["measure"]] = cell
    wide = max(map(len, table))
    heads = [MEASURES[name][0] for name in measures]
    lines = [" " * wide + "".join(f"  {head:>18}" for head in heads)]
    lines += [
        f"{place:<{wide}}" + "".join(f"  {cells.get(name, ''):>18}" for name in measures)
        for place, cells in table.items()
    ]
    return lines


def _place(row: dict[Any, Any]) -> str:
    if row["scope"] == "all":
        return "all sizes"
    if row["scope"] == "doubling":
        return "x per doubling of n_finetune"
    if row["stage"] == "finetuned":
        return f"{row['downstream']}, {exactly(row['n_finetune'])} labels"
    return f"{exactly(row['n_pretrain'])} images"
