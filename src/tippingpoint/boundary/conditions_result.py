"""What :func:`check_conditions` returns: the conditions of Eq. (6) with their chances, and what follows from them."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from tippingpoint.boundary.words import exactly, listed, target_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Condition", "PaperConditions"]

Range = tuple[float, float, float]


class Condition(NamedTuple):
    """One condition of Eq. (6).

    Attributes
    ----------
    text, words : str
        As the paper writes it, and what it says.
    first, second : tuple of float or None
        What is compared, of each recipe: median and ends of the interval; None where it was not checked or is never
        there.
    holds, fails, unknown : float or None
        Shares of the draws; ``unknown`` where a term is not there, so that its exponent says nothing. They sum to 1;
        None where it was not checked.
    reason : str or None
        Why it was not checked.
    """

    text: str
    words: str
    first: Range | None
    second: Range | None
    holds: float | None
    fails: float | None
    unknown: float | None
    reason: str | None


@dataclass(frozen=True, repr=False)
class PaperConditions:
    """The paper's Eq. (6) against runs.

    Attributes
    ----------
    recipes, at, target, stage, level, factor
        What was asked; the axis is n_pretrain.
    range : tuple of float
        Sizes of n_pretrain that both recipes were measured between.
    conditions : tuple of Condition
        In the paper's order.
    all_hold, some_fails : float
        Chance that all conditions that could be checked hold, that one of them at least fails.
    regime_probability, regime_global_probability : dict of str to float
        Where the second recipe helps, within the range and over all sizes, at this place.
    regime_global_if_they_hold : dict of str to float
        The latter among the draws in which all hold; empty if there are none.
    worse_in_the_end : float
        Chance that Delta < 0: the second recipe is worse as n_pretrain grows without end.
    threshold : float
        Chance that there is a size at which the second recipe stops helping.
    threshold_if_they_hold, threshold_if_one_fails : float or None
        The same among the draws in which all conditions hold, and in which one fails; None if there are none.
    resamples, n_blocks : int
        Draws, and independent blocks.
    warnings, notes : tuple of str
        What limits the answer; what was decided on the way.
    """

    recipes: tuple[str, str]
    at: dict[str, float]
    target: str
    stage: str | None
    level: float
    factor: float
    range: tuple[float, float]
    conditions: tuple[Condition, ...]
    all_hold: float
    some_fails: float
    regime_probability: dict[str, float]
    regime_global_probability: dict[str, float]
    regime_global_if_they_hold: dict[str, float]
    worse_in_the_end: float
    threshold: float
    threshold_if_they_hold: float | None
    threshold_if_one_fails: float | None
    resamples: int
    n_blocks: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"PaperConditions(all_hold={self.all_hold:.3g}, threshold={self.threshold:.3g})"

    @property
    def checked(self) -> tuple[Condition, ...]:
        """The conditions that the runs allow to check."""
        return tuple(one for one in self.conditions if one.holds is not None)

    @cached_property
    def sentence(self) -> str:
        """How likely all hold, and which one is least likely."""
        weakest = min(self.checked, key=lambda one: one.holds or 0.0)
        count = f"all {len(self.checked)}" if len(self.checked) == len(self.conditions) else f"the {len(self.checked)}"
        left = len(self.conditions) - len(self.checked)
        tail = f" ({left} could not be checked)" if left else ""
        return (
            f"Of Eq. (6), {count} conditions{tail} hold together with probability {_percent(self.all_hold)}, and at "
            f"least one fails with {_percent(self.some_fails)}; the least likely is {weakest.text} "
            f"({_percent(weakest.holds)})."
        )

    @cached_property
    def consequences(self) -> tuple[str, ...]:
        """What the conditions are worth here: whether they are sufficient, and whether they are necessary."""
        first, second = self.recipes
        found = [
            f"There is a size of n_pretrain at which {second} stops helping with probability "
            f"{_percent(self.threshold)}; {second} is worse in the end (Delta < 0) with "
            f"{_percent(self.worse_in_the_end)}.",
        ]
        if self.threshold_if_they_hold is None:
            found.append("No draw meets all conditions: what they would bring is not seen here.")
        else:
            found.append(
                f"Where all hold, such a size is there in {_percent(self.threshold_if_they_hold)} of the draws (they "
                f"do not bring it: Delta < 0 and F(D*) > 0 are needed); over all sizes {second} then helps "
                f"{_regimes(self.regime_global_if_they_hold)}. With alpha < alpha' {first} is better as n_pretrain "
                f"goes to 0, so that {second} cannot help at every small size: at best between two."
            )
        if self.threshold_if_one_fails is not None:
            found.append(
                f"Where one fails, such a size is there in {_percent(self.threshold_if_one_fails)} of the draws: the "
                "conditions are not needed for it. With alpha > alpha' it takes no more than Delta <= 0."
            )
        return tuple(found)

    @property
    def table_(self) -> pd.DataFrame:
        """One row per condition, with the names of :class:`Condition` as columns."""
        import pandas as pd

        return pd.DataFrame([one._asdict() for one in self.conditions])

    def summary(self) -> None:
        """Print the answer: the sentence, the conditions one by one, what follows, the warnings."""
        print(self)

    def __str__(self) -> str:
        first, second = self.recipes
        lines = [self.sentence, *self.consequences, ""]
        lines += [f"  compared   {target_words(self.target)} of {first} (unprimed) and {second} (primed)"]
        lines += [f"  at         {', '.join(f'{k}={exactly(v)}' for k, v in self.at.items())}"] if self.at else []
        lines += [f"  draws      {self.resamples}, from the joint posterior over {self.n_blocks} blocks", ""]
        lines += [f"  {'condition':<26} {'holds':>6} {'fails':>6} {'unknown':>8}  {first} against {second}"]
        lines += [self._line(one) for one in self.conditions]
        lines += ["", f"  E < E' here: {self.conditions[0].words}."]
        lines += [
            "",
            f'  "~" is taken as: within a factor of {self.factor:g}. Raw lambdas of unlike exponents are in unlike',
        ]
        lines += ["  units: in thousands or millions their ratio would be another."]
        lines += ["", *(f"! {text}" for text in self.warnings)] if self.warnings else []
        lines += ["", *(f"- {text}" for text in self.notes)] if self.notes else []
        return "\n".join(lines)

    def _line(self, one: Condition) -> str:
        if one.holds is None:
            return f"  {one.text:<26} not checked: {one.reason}"
        pair = [
            f"{part[0]:.3g} ({part[1]:.3g} to {part[2]:.3g})" if part else "no term" for part in (one.first, one.second)
        ]
        shares = f"{_percent(one.holds):>6} {_percent(one.fails):>6} {_percent(one.unknown):>8}"
        return f"  {one.text:<26} {shares}  {' against '.join(pair)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``boundary --conditions`` as plain types; keys may be added, never changed."""
        found = {name: value for name, value in asdict(self).items() if name not in ("conditions", "recipes", "range")}
        return {
            "along": "n_pretrain",
            "recipes": list(self.recipes),
            "range": list(self.range),
            **found,
            "sentence": self.sentence,
            "consequences": list(self.consequences),
            "conditions": [
                {**one._asdict(), "first": _plain(one.first), "second": _plain(one.second)} for one in self.conditions
            ],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        items = "".join(f"<li>{html.escape(text)}</li>" for text in (*self.consequences, *self.warnings, *self.notes))
        return (
            f"<p><b>{html.escape(self.sentence)}</b></p>{self.table_.to_html(index=False, na_rep='')}<ul>{items}</ul>"
        )


def _plain(values: Range | None) -> dict[str, float] | None:
    return None if values is None else dict(zip(("median", "low", "high"), values, strict=True))


def _percent(share: float | None) -> str:
    """Return a share, small ones not as none: ``83%``, ``under 1%``."""
    if share is None:
        return "–"
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{100 * share:.0f}%"


def _regimes(shares: dict[str, float]) -> str:
    words = {
        "always": "everywhere",
        "never": "nowhere",
        "below": "below one size",
        "above": "above one size",
        "window": "between two sizes",
        "outside_window": "outside of two sizes",
        "equal": "nowhere (equal)",
    }
    return listed([f"{words[name]} in {_percent(share)}" for name, share in shares.items()])
