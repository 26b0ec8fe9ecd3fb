"""What :func:`boundary_map` returns: a boundary for every slice, the phase diagram, and what may be claimed of it."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from tippingpoint.boundary.measured import established_signs
from tippingpoint.boundary.result import Boundary, Interval
from tippingpoint.boundary.words import axis_words, exactly, interval_words, listed, size, target_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BoundaryMap", "Slice"]

_VERDICTS = {
    "always": "at every size measured",
    "never": "at no size measured",
    "below": "up to a crossing",
    "above": "from a crossing on",
    "window": "between two crossings",
    "outside_window": "outside of two crossings",
    "equal": "nowhere, for they are equal",
}


class Slice(NamedTuple):
    """The boundary at one size of the other axis.

    Attributes
    ----------
    size : float
        Of the other axis, in raw units.
    boundary : Boundary
        Fitted to the runs of this size alone.
    """

    size: float
    boundary: Boundary

    @property
    def told_by(self) -> str:
        """``laws``, or ``pairs`` where the laws of this slice miss its paired runs."""
        return "laws" if self.boundary.laws_hold else "pairs"

    @property
    def crossings(self) -> list[tuple[float, Interval | None, int]]:
        """Crossings in the measured range as (size, interval, direction), by the laws or by the pairs as told."""
        if self.boundary.laws_hold:
            return [(c.value, c.interval, c.direction) for c in self.boundary.crossings if c.in_range]
        return [(c.value, c.interval, c.direction) for c in self.boundary.measured]


@dataclass(frozen=True, repr=False)
class BoundaryMap:
    """The better of two recipes over two axes.

    Attributes
    ----------
    recipes, along, at, target, stage, level
        As of :class:`Boundary`; ``at`` has the axes other than ``along`` and ``over``.
    over : str
        The axis of the slices.
    slices : tuple of Slice
        One boundary for each size of ``over``, ascending.
    failed : tuple of (float, str)
        Sizes of ``over`` without an answer, and why.
    paired_ : DataFrame
        Every paired comparison: ``over``, ``along``, ``mean``, ``standard_error``, ``n_pairs``, ``low``, ``high``,
        ``p`` (Student's, two-sided), ``p_holm`` (adjusted for all rows of this table), ``established`` (the better
        recipe's name, or an empty text).
    probability_ : DataFrame
        ``over``, ``along``, ``probability`` (that the second recipe helps; NaN where unknown), ``by``: ``laws``,
        ``pairs``, or ``joined`` where no slice was measured and its normal quantile is interpolated.
    notes : tuple of str
        What was decided or set aside.
    """

    recipes: tuple[str, str]
    along: str
    over: str
    at: dict[str, float]
    target: str
    stage: str | None
    level: float
    slices: tuple[Slice, ...]
    failed: tuple[tuple[float, str], ...]
    paired_: pd.DataFrame = field(compare=False)
    probability_: pd.DataFrame = field(compare=False)
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        regimes = {exactly(one.size): one.boundary.regime for one in self.slices}
        return f"BoundaryMap(along={self.along!r}, over={self.over!r}, regimes={regimes})"

    @cached_property
    def sentence(self) -> str:
        """Where the second recipe is better, slices of one kind together."""
        groups: dict[str, list[str]] = {}
        missed: list[tuple[str, str]] = []
        for one in self.slices:
            share = one.boundary.regime_probability.get(one.boundary.regime)
            said = size(one.size) if share is None else f"{size(one.size)} ({100 * share:.0f}%)"
            if one.boundary.laws_hold:
                groups.setdefault(_VERDICTS[one.boundary.regime], []).append(said)
            else:
                missed.append((size(one.size), self._measured_words(one)))
        axis = axis_words(self.over)
        parts = [f"{verdict} with {listed(sizes)} {axis}" for verdict, sizes in groups.items()]
        text = (
            f"By the likeliest laws, along {axis_words(self.along)}, {self.recipes[1]} is better {'; '.join(parts)}."
            if parts
            else ""
        )
        if missed:
            text += f" With {listed([at for at, _ in missed])} {axis} the laws miss the paired runs. Without laws, "
            text += f"{'; '.join(said for _, said in missed)}."
        return text.strip()

    def _measured_words(self, one: Slice) -> str:
        """Return what the paired runs of a slice say of its crossings."""
        turns = [
            f"{'from' if turn.direction > 0 else 'up to'} about {size(turn.value)}" for turn in one.boundary.measured
        ]
        if not turns:
            return f"no crossing stands out of the noise with {size(one.size)}"
        return f"{self.recipes[1]} is better {listed(turns)} with {size(one.size)}"

    @cached_property
    def claims(self) -> str:
        """What the paired runs establish, after Holm's adjustment for all comparisons of the map."""
        made = int(self.paired_["p"].notna().sum())
        if not made:
            return "No size has pairs in two seed blocks or more: nothing is established without laws."
        parts = []
        for recipe in self.recipes:
            rows = self.paired_[self.paired_["established"] == recipe]
            places = [
                f"{listed([size(x) for x in part[self.along]])} with {size(float(str(z)))}"
                for z, part in rows.groupby(self.over)
            ]
            parts += [f"{recipe} is better at {'; '.join(places)}"] if places else []
        said = ", and ".join(parts)
        head = f"Measured without a law, after Holm's adjustment for all {made} comparisons (exploratory), "
        said += f" ({axis_words(self.along)} with {axis_words(self.over)})"
        return f"{head}{said}." if parts else f"{head}no difference is established at {100 * self.level:g}%."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What limits the map as a whole."""
        found = []
        if len(self.slices) > 1:
            found.append(
                "Between the slices nothing was measured: the probability is joined there (its normal quantile, in log "
                f"{axis_words(self.over)}). Slices share seed blocks: they are not independent of one another."
            )
        found += [f"No answer at {self.over}={exactly(at)}: {reason}" for at, reason in self.failed]
        for text in dict.fromkeys(text for one in self.slices for text in one.boundary.warnings):
            own = [one for one in self.slices if text in one.boundary.warnings]
            if len(own) == len(self.slices):
                found.append(text)
        if any(set(one.boundary.warnings) - set(found) for one in self.slices):
            found.append("Slices have warnings of their own: ask for one alone, or see its boundary.")
        return tuple(found)

    @cached_property
    def table_(self) -> pd.DataFrame:
        """One row for each slice and crossing (one where nothing crosses in the range).

        Columns: ``over``, ``regime``, ``probability`` (of the regime), ``told_by`` (laws, or pairs where the laws miss
        them), ``crossing``, ``low``, ``high`` (of its interval; NaN: open, or no crossing), ``direction`` (1: the
        second recipe starts to help), ``measured``, ``measured_low``, ``measured_high`` (crossings without laws).
        """
        import pandas as pd

        rows = []
        for one in self.slices:
            edge = one.boundary
            head = {
                self.over: one.size,
                "regime": edge.regime,
                "probability": edge.regime_probability.get(edge.regime, math.nan),
                "told_by": one.told_by,
            }
            inside = [c for c in edge.crossings if c.in_range]
            count = max(len(inside), len(edge.measured), 1)
            for place in range(count):
                law = inside[place] if place < len(inside) else None
                pair = edge.measured[place] if place < len(edge.measured) else None
                rows.append(
                    head
                    | dict(zip(("crossing", "low", "high"), _numbers(law), strict=True))
                    | {"direction": math.nan if law is None else law.direction}
                    | dict(zip(("measured", "measured_low", "measured_high"), _numbers(pair), strict=True))
                )
        return pd.DataFrame(rows)

    def summary(self) -> None:
        """Print the answer: the sentences, one line for each slice, the warnings."""
        print(self)

    def __str__(self) -> str:
        lines = [self.sentence, self.claims, "", *(f"  {name:<10} {text}" for name, text in self._facts()), ""]
        lines += self._slice_lines()
        lines += ["", *(f"! {warning}" for warning in self.warnings)] if self.warnings else []
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("compared", f"{target_words(self.target)} of {self.recipes[0]} minus {self.recipes[1]}")]
        facts += [("at", ", ".join(f"{name}={exactly(value)}" for name, value in self.at.items()))] if self.at else []
        count = f"{len(self.slices)} size{'s' * (len(self.slices) > 1)} of {self.over}"
        return [*facts, ("slices", f"{count}, each held: no law is presumed across it")]

    def _slice_lines(self) -> list[str]:
        """Return a small table: one line for each slice, more for one with several crossings."""
        head = f"{self.recipes[1]} better"
        lines = [f"  {self.over:>14}  {head:<26} {'chance':>6}  crossing, by the laws and without"]
        for one in self.slices:
            edge = one.boundary
            share = edge.regime_probability.get(edge.regime)
            verdict, chance = _VERDICTS[edge.regime], "" if share is None else f"{100 * share:.0f}%"
            if not edge.laws_hold:
                verdict, chance = "told by the runs *", ""
            elif len(edge.paired_) and not established_signs(edge.paired_):
                verdict += " ~"
            told = [("laws", [_crossing_words(c, self.level) for c in edge.crossings if c.in_range])]
            told += [("runs", [_crossing_words(c, self.level) for c in edge.measured])]
            said = [f"{by}: {text}" for by, texts in told for text in (texts or ["none"])]
            lines += [f"  {size(one.size):>14}  {verdict:<26} {chance:>6}  {said[0]}"]
            lines += [f"  {'':>14}  {'':<26} {'':>6}  {text}" for text in said[1:]]
        text = "\n".join(lines)
        lines += ["  * The laws miss the paired runs of this slice: believe the runs."] if " *  " in text else []
        lines += ["  ~ No size of this slice stands out of its noise by itself."] if " ~  " in text else []
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``boundary --map`` as plain types; keys may be added, never changed."""
        return {
            "along": self.along,
            "over": self.over,
            "at": dict(self.at),
            "recipes": list(self.recipes),
            "target": self.target,
            "stage": self.stage,
            "level": self.level,
            "sentence": self.sentence,
            "claims": self.claims,
            "slices": [
                {"size": one.size, "told_by": one.told_by, "boundary": one.boundary.to_dict()} for one in self.slices
            ],
            "failed": [{"size": at, "reason": reason} for at, reason in self.failed],
            "paired": self.paired_.to_dict(orient="records"),
            "probability": self.probability_.to_dict(orient="list"),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        warnings = "".join(f"<li>{html.escape(text)}</li>" for text in (*self.warnings, *self.notes))
        head = f"<p><b>{html.escape(self.sentence)}</b> {html.escape(self.claims)}</p>"
        return f"{head}{self.table_.to_html(index=False, na_rep='')}<ul>{warnings}</ul>"


def _numbers(crossing: Any) -> tuple[float, float, float]:
    """Return size and ends of a crossing; NaN where there is none, or an end is open."""
    if crossing is None:
        return math.nan, math.nan, math.nan
    low, high = crossing.interval or (None, None)
    return crossing.value, math.nan if low is None else low, math.nan if high is None else high


def _crossing_words(crossing: Any, level: float) -> str:
    return f"{size(crossing.value)}, {interval_words(crossing.interval, level)}"
