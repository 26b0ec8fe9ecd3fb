"""What :func:`find_boundary` returns: the set of crossings, each regime's probability, and all that it rests on."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from tippingpoint.boundary.draws import RecipeFit
from tippingpoint.boundary.measured import MeasuredCrossing
from tippingpoint.boundary.paired import SignChange
from tippingpoint.boundary.power_difference import PowerDifference, Regime
from tippingpoint.boundary.words import axis_words, exactly, interval_words, size, target_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Boundary", "Crossing", "Interval", "Stationary"]

Interval = tuple[float | None, float | None]


class Crossing(NamedTuple):
    """A size at which the better recipe changes.

    Attributes
    ----------
    value : float
        The size, in raw units; 0 or infinite where it is beyond floating point.
    interval : tuple or None
        Of the size, at the boundary's level. An open end is None: too many draws have no crossing there. None
        altogether where there are no draws.
    in_range : bool
        Whether it lies in the range that was measured.
    direction : int
        1 where the second recipe starts to help as the axis grows, -1 where it stops.
    share : float or None
        Part of the draws that have a crossing of this direction, at any size.
    """

    value: float
    interval: Interval | None
    in_range: bool
    direction: int
    share: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "in_range": self.in_range,
            "direction": "second recipe helps above" if self.direction > 0 else "second recipe helps below",
            "share": self.share,
        }


class Stationary(NamedTuple):
    """D* of Eq. (14), corrected: where the difference is largest or smallest.

    Attributes
    ----------
    value : float or None
        None where the difference is monotone.
    interval : tuple or None
        Over the draws that have one.
    share : float or None
        Part of the draws that have one.
    """

    value: float | None
    interval: Interval | None
    share: float | None


@dataclass(frozen=True, repr=False)
class Boundary:
    """Where the better of two recipes changes along one axis.

    The difference is the first recipe's target minus the second's: positive where the second is better.

    Attributes
    ----------
    recipes, along, at, target, stage, level
        What was asked; ``at`` is completed by the sizes that had only one choice.
    regime : str
        Where the second recipe helps, within the range that was measured (see ``REGIMES``).
    regime_global : str
        The same over all sizes, by the laws.
    regime_probability : dict of str to float
        Share of the draws with each regime in the range; empty without draws.
    regime_global_probability : dict of str to float
        The same over all sizes.
    crossings : list of Crossing
        All of them, ascending: none, one or two.
    stationary : Stationary
        D* and its interval.
    tangency : bool
        The difference touches zero without crossing it.
    range : tuple of float
        Smallest and largest size that both recipes were measured at.
    sentence : str
        The answer: by the laws, or by the paired runs alone where the laws do not hold.
    laws_hold : bool
        Whether the laws' difference has the sign of the paired runs wherever that is established, and lies within their
        noise at every size (95%, all sizes together).
    measured : tuple of MeasuredCrossing
        Crossings of the paired runs themselves, without a law, each with its interval.
    warnings, notes : tuple of str
        What limits it; what was decided on the way.
    curve_ : DataFrame
        ``along``, ``difference``, ``low``, ``high``, ``probability_helps`` over the range.
    paired_ : DataFrame
        The second opinion without a law: ``along``, ``mean``, ``standard_error``, ``n_pairs``, ``low``, ``high``.
    second_opinion : tuple of SignChange
        Where the mean paired difference changes its sign.
    difference_ : PowerDifference
        F itself.
    laws_ : tuple of RecipeFit
        Both laws along the axis, at the place.
    n_blocks, resamples : int
        Independent blocks; draws that were used.
    """

    recipes: tuple[str, str]
    along: str
    at: dict[str, float]
    target: str
    stage: str | None
    level: float
    regime: Regime
    regime_global: Regime
    regime_probability: dict[str, float]
    regime_global_probability: dict[str, float]
    crossings: list[Crossing]
    stationary: Stationary
    tangency: bool
    range: tuple[float, float]
    sentence: str
    laws_hold: bool
    measured: tuple[MeasuredCrossing, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    curve_: pd.DataFrame = field(compare=False)
    paired_: pd.DataFrame = field(compare=False)
    second_opinion: tuple[SignChange, ...]
    difference_: PowerDifference
    laws_: tuple[RecipeFit, RecipeFit]
    n_blocks: int
    resamples: int

    def __repr__(self) -> str:
        return f"Boundary(regime={self.regime!r}, crossings={[crossing.value for crossing in self.crossings]})"

    def summary(self) -> None:
        """Print the answer: the sentence, the numbers, the second opinion, the warnings."""
        print(self)

    def __str__(self) -> str:
        lines = [self.sentence, ""]
        lines += [f"  {name:<22} {text}" for name, text in self._facts()]
        lines += ["", *self._paired_lines()] if len(self.paired_) else []
        lines += ["", *(f"! {warning}" for warning in self.warnings)] if self.warnings else []
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)

    def _facts(self) -> list[tuple[str, str]]:
        """Return name and text of each number."""
        axis = axis_words(self.along)
        facts = [("compared", f"{target_words(self.target)} of {self.recipes[0]} minus {self.recipes[1]}")]
        facts += [("at", ", ".join(f"{name}={exactly(value)}" for name, value in self.at.items()))] if self.at else []
        facts += [("range", f"{size(self.range[0])} to {size(self.range[1])} {axis}")]
        facts += [("regime in range", _with_shares(self.regime, self.regime_probability))]
        facts += [("regime over all sizes", _with_shares(self.regime_global, self.regime_global_probability))]
        for crossing in self.crossings:
            place = "in range" if crossing.in_range else "outside the range: by the laws only"
            share = "" if crossing.share is None else f"; {100 * crossing.share:.0f}% of draws have it"
            text = f"{size(crossing.value)}, {interval_words(crossing.interval, self.level)} ({place}{share})"
            facts.append(("crossing", text))
        for turn in self.measured:
            facts.append(("crossing without laws", f"{size(turn.value)}, {interval_words(turn.interval, self.level)}"))
        if self.stationary.value is not None:
            words = interval_words(self.stationary.interval, self.level)
            facts.append(("stationary point", f"{size(self.stationary.value)}, {words}"))
        for law in self.laws_:
            terms = [
                f"{float(t['coefficient']):.3g} {a}^-{float(t['exponent']):.3g}"
                for a, t in law.to_dict()["terms"].items()
            ]
            facts.append((f"law of {law.recipe}", " + ".join([f"{law.level:.4g}", *terms]) + f" ({law.n_runs} runs)"))
        alone = self.n_blocks == sum(law.n_runs for law in self.laws_)
        over = f"{self.n_blocks} {'rows taken as independent' if alone else 'blocks'}"
        facts.append(("draws", f"{self.resamples}, from the joint posterior over {over}"))
        return facts

    def _paired_lines(self) -> list[str]:
        """Return the paired differences as a small table."""
        head = f"  {self.along:>14}  {'difference':>11}  {'std. error':>11}  pairs"
        rows = [
            f"  {size(at):>14}  {mean:>+11.4f}  {'–' if isnan(error) else f'{error:.4f}':>11}  {int(pairs):>5}"
            for at, mean, error, pairs, *_ in self.paired_.to_numpy(dtype=float).tolist()
        ]
        return [f"  Paired differences as measured (positive: {self.recipes[1]} is better)", head, *rows]

    def to_dict(self) -> dict[str, Any]:
        """Return DESIGN's JSON of ``boundary`` as plain types; keys may be added, never changed."""
        return {
            "along": self.along,
            "at": dict(self.at),
            "recipes": list(self.recipes),
            "target": self.target,
            "stage": self.stage,
            "level": self.level,
            "range": list(self.range),
            "regime": self.regime,
            "regime_global": self.regime_global,
            "regime_probability": dict(self.regime_probability),
            "regime_global_probability": dict(self.regime_global_probability),
            "crossings": [crossing.to_dict() for crossing in self.crossings],
            "stationary": {
                "value": self.stationary.value,
                "interval": None if self.stationary.interval is None else list(self.stationary.interval),
                "share": self.stationary.share,
            },
            "tangency": self.tangency,
            "sentence": self.sentence,
            "laws_hold": self.laws_hold,
            "measured": [crossing.to_dict() for crossing in self.measured],
            "second_opinion": [change._asdict() for change in self.second_opinion],
            "paired": self.paired_.to_dict(orient="records"),
            "difference": {name: getattr(self.difference_, name) for name in _PARAMETERS},
            "laws": [law.to_dict() for law in self.laws_],
            "n_blocks": self.n_blocks,
            "resamples": self.resamples,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._facts()
        )
        warnings = "".join(f"<li>{html.escape(text)}</li>" for text in (*self.warnings, *self.notes))
        return f"<p><b>{html.escape(self.sentence)}</b></p><table>{rows}</table><ul>{warnings}</ul>"


_PARAMETERS = ("offset", "a", "alpha", "b", "alpha_prime")


def _with_shares(regime: str, shares: dict[str, float]) -> str:
    """Return ``"below (82%; always 18%)"``."""
    if not shares:
        return regime
    others = [f"{name} {100 * share:.0f}%" for name, share in shares.items() if name != regime and share >= 0.005]
    return f"{regime} ({'; '.join([f'{100 * shares.get(regime, 0.0):.0f}%', *others])} of draws)"
