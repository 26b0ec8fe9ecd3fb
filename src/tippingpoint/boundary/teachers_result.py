"""What :func:`best_teacher` returns: who leads where, by the laws and by the runs, and what may be claimed."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from tippingpoint.boundary.words import axis_words, exactly, listed, size, target_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BestTeacher", "Candidate"]


class Candidate(NamedTuple):
    """A recipe, with one teacher or without.

    Attributes
    ----------
    recipe : str
    teacher : str or None
    """

    recipe: str
    teacher: str | None

    @property
    def name(self) -> str:
        """``scratch``, or ``distilled, teacher heads=2``."""
        return self.recipe if self.teacher is None else f"{self.recipe}, teacher {self.teacher}"


@dataclass(frozen=True, repr=False)
class BestTeacher:
    """Which recipe and teacher is best along one axis.

    Attributes
    ----------
    along, at, target, stage, level
        What was asked.
    candidates : tuple of Candidate
        The one without a teacher, that others are held against, first.
    failed : tuple of (Candidate, str)
        Who could not be compared, and why.
    laws_hold : bool
        Whether the laws' differences from the first candidate lie within the noise of the paired runs (95%, all sizes
        and candidates together); where not, the answer is told from the runs.
    laws_ : DataFrame
        ``along``, ``candidate``, ``mean`` (of the draws of its law) and ``chance`` to be best of all, by the joint
        posterior; empty without draws.
    measured_ : DataFrame
        Without laws: ``along``, ``candidate``, ``gain`` (by how much it is better than the first, mean over blocks),
        ``standard_error`` of the gain, ``chance`` to be best, ``n_pairs``.
    leaders_ : DataFrame
        Without laws: ``along``, ``leader`` (the least mean), ``chance``, ``p`` (that it does not beat every rival,
        times the number of candidates), ``p_holm`` (over the sizes), ``established``.
    notes, warnings : tuple of str
        What was decided on the way; what limits the answer.
    """

    along: str
    at: dict[str, float]
    target: str
    stage: str | None
    level: float
    candidates: tuple[Candidate, ...]
    failed: tuple[tuple[Candidate, str], ...]
    laws_hold: bool
    laws_: pd.DataFrame = field(compare=False)
    measured_: pd.DataFrame = field(compare=False)
    leaders_: pd.DataFrame = field(compare=False)
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"BestTeacher(along={self.along!r}, candidates={[one.name for one in self.candidates]})"

    @cached_property
    def table_(self) -> pd.DataFrame:
        """One row per size: who is likeliest best by the laws and its chance, who leads in the runs and its chance.

        Columns: ``along``, ``best``, ``chance`` (by the laws), ``leader``, ``leader_chance``, ``p_holm``,
        ``established`` (without laws).
        """
        import pandas as pd

        runs = self.leaders_.rename(columns={"chance": "leader_chance"}).drop(columns="p")
        if not len(self.laws_):
            return runs.assign(best=None, chance=float("nan"))[[self.along, "best", "chance", *runs.columns[1:]]]
        top = self.laws_.loc[self.laws_.groupby(self.along)["chance"].idxmax(), [self.along, "candidate", "chance"]]
        return pd.merge(top.rename(columns={"candidate": "best"}), runs, on=self.along, how="outer")

    @cached_property
    def sentence(self) -> str:
        """Who is likeliest best where, stretches of one name together."""
        rows = list(self.table_.to_dict(orient="records"))
        by_laws = len(self.laws_) > 0 and self.laws_hold
        who, chance = ("best", "chance") if by_laws else ("leader", "leader_chance")
        if not rows:
            return "No size was measured by all of them: nothing can be said without laws."
        parts = []
        for name, group in groupby(rows, key=lambda row: row[who]):
            own = list(group)
            first, last = float(own[0][self.along]), float(own[-1][self.along])
            where = f"at {size(first)}" if len(own) == 1 else f"from {size(first)} to {size(last)}"
            shares = [float(row[chance]) for row in own]
            low, high = f"{100 * min(shares):.0f}", f"{100 * max(shares):.0f}"
            said = f" (chance {low}{'' if low == high else f' to {high}'}%)" if all(0 <= s <= 1 for s in shares) else ""
            parts.append(f"{name} {where}{said}")
        head = "Likeliest best by the laws" if by_laws else "Leading in the runs"
        head = head if self.laws_hold else "The laws miss the paired runs, which are told instead. Leading in the runs"
        return f"{head}, along {axis_words(self.along)}: {'; '.join(parts)}."

    @cached_property
    def claims(self) -> str:
        """What the paired runs establish, adjusted for candidates and sizes."""
        if not self.leaders_["p"].notna().any():
            return (
                "No size has pairs of all candidates in two seed blocks or more: nothing is established without laws."
            )
        sure = self.leaders_[self.leaders_["established"].to_numpy(bool)]
        head = (
            f"Measured without a law, adjusted for {len(self.candidates)} candidates and {len(self.leaders_)} sizes "
            "(Holm; exploratory), "
        )
        if not len(sure):
            return f"{head}no candidate is established as the best at any size."
        parts = [f"{name} is best at {listed([size(x) for x in part])}" for name, part in _by_leader(sure, self.along)]
        return f"{head}{'; '.join(parts)}."

    def summary(self) -> None:
        """Print the answer: the sentences, the chances at every size, the warnings."""
        print(self)

    def __str__(self) -> str:
        lines = [self.sentence, self.claims, ""]
        lines += [f"  compared   {target_words(self.target)}; chance to be best of {len(self.candidates)}"]
        lines += [f"  at         {', '.join(f'{k}={exactly(v)}' for k, v in self.at.items())}"] if self.at else []
        for head, table in (("by the laws, all fitted as one", self.laws_), ("by the runs alone", self.measured_)):
            lines += ["", f"  Chance to be best, {head}", *self._chance_lines(table)] if len(table) else []
        said = [f"Not compared: {one.name}: {reason}" for one, reason in self.failed]
        lines += ["", *(f"! {text}" for text in (*self.warnings, *said))] if self.warnings or said else []
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)

    def _chance_lines(self, table: pd.DataFrame) -> list[str]:
        """Return one line for each size: the chance of every candidate."""
        wide = table.pivot(index=self.along, columns="candidate", values="chance")
        names = [one.name for one in self.candidates]
        widths = [max(len(name), 6) for name in names]
        lines = [f"  {self.along:>14}  " + "  ".join(f"{n:>{w}}" for n, w in zip(names, widths, strict=True))]
        for at, row in wide[names].iterrows():
            shares = [f"{100 * share:.0f}%" if share >= 0 else "–" for share in row.tolist()]
            cells = "  ".join(f"{s:>{w}}" for s, w in zip(shares, widths, strict=True))
            lines.append(f"  {size(float(str(at))):>14}  {cells}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``boundary --teachers`` as plain types; keys may be added, never changed."""
        return {
            "along": self.along,
            "at": dict(self.at),
            "target": self.target,
            "stage": self.stage,
            "level": self.level,
            "sentence": self.sentence,
            "claims": self.claims,
            "laws_hold": self.laws_hold,
            "candidates": [{"name": one.name, "recipe": one.recipe, "teacher": one.teacher} for one in self.candidates],
            "failed": [{"name": one.name, "reason": reason} for one, reason in self.failed],
            "laws": self.laws_.to_dict(orient="records"),
            "measured": self.measured_.to_dict(orient="records"),
            "leaders": self.leaders_.to_dict(orient="records"),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        said = (*self.warnings, *(f"Not compared: {one.name}: {reason}" for one, reason in self.failed), *self.notes)
        head = f"<p><b>{html.escape(self.sentence)}</b> {html.escape(self.claims)}</p>"
        items = "".join(f"<li>{html.escape(text)}</li>" for text in said)
        return f"{head}{self.table_.to_html(index=False, na_rep='')}<ul>{items}</ul>"


def _by_leader(rows: pd.DataFrame, along: str) -> list[tuple[str, list[float]]]:
    """Return the sizes that each leader holds."""
    return [(str(name), part[along].astype(float).tolist()) for name, part in rows.groupby("leader")]
