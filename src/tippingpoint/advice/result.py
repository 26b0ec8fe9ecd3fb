"""What :func:`advise` returns: the choice, the next-best ones, and what the choice hinges on."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import Any

from tippingpoint.advice.cost import Bill

__all__ = ["Advice", "Option"]


def _finite(ends: tuple[float, float]) -> list[float | None]:
    """Return the ends as JSON knows them: None where one is open."""
    return [end if math.isfinite(end) else None for end in ends]


@dataclass(frozen=True)
class Option:
    """One way to spend the money.

    Attributes
    ----------
    kind : str
        ``choice``; ``only images``, ``only labels`` or ``only compute`` where nothing else is bought; ``closest`` where
        no option reaches the target.
    recipe, teacher : str or None
        None where the table does not name it, or none guides.
    sizes : dict of str to float
        n_pretrain, n_params, n_finetune: what is used, not what is bought.
    bought : dict of str to float
        Images (n_pretrain) and labels (n_finetune) beyond what there is.
    cost : Bill
        In the unit of the prices.
    error : float
        Expected target.
    interval : tuple of float or None
        Of the expected target; the spread of single runs is not in it.
    outside : dict of str to float
        By size the factor beyond the data, 1 inside.
    shares : dict of str to float
        What is left of the target: ``floor``, and for each axis of the law the part that would go if that axis alone
        were endless. They add up to ``error`` for an additive law only.
    probability_best : float or None
        Share of the joint draws in which it has the least error of all recipes, teachers and models; None for a target,
        and for options that are part of another.
    probability_beats : float or None
        Share of the joint draws in which its error is below that of the best option; None for the best itself.
    probability_target : float or None
        Share of the draws in which it reaches the target; None for a budget.
    needed : dict of str to (float, float) or None
        For a target: by amount that can be bought the interval of what the target needs of it in all, the other amounts
        as in ``sizes``; infinite where an end never reaches it. None for a budget.
    student : str or None
        The model's name where it has a law of its own (public models), else None.
    """

    kind: str
    recipe: str | None
    teacher: str | None
    sizes: dict[str, float]
    bought: dict[str, float]
    cost: Bill
    error: float
    interval: tuple[float, float] | None
    outside: dict[str, float]
    shares: dict[str, float]
    probability_best: float | None = None
    probability_beats: float | None = None
    probability_target: float | None = None
    needed: dict[str, tuple[float, float]] | None = None
    student: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "kind": self.kind,
            "recipe": self.recipe,
            "teacher": self.teacher,
            "student": self.student,
            "sizes": dict(self.sizes),
            "bought": dict(self.bought),
            "cost": self.cost.to_dict(),
            "error": self.error,
            "interval": None if self.interval is None else list(self.interval),
            "outside": dict(self.outside),
            "shares": dict(self.shares),
            "probability_best": self.probability_best,
            "probability_beats": self.probability_beats,
            "probability_target": self.probability_target,
            "needed": None if self.needed is None else {axis: _finite(ends) for axis, ends in self.needed.items()},
        }


@dataclass(frozen=True, repr=False)
class Advice:
    """What to buy and what to train, and what that rests on.

    Attributes
    ----------
    question : dict
        What was asked: budget or target_error, prices, have, target, level, max_extrapolation, any_size.
    sentence : str
        The answer.
    best : Option or None
        None where no option reaches the target.
    others : tuple of Option
        The next-best ones, best first; where the target is not reached, the option that comes closest.
    hinges : tuple of str
        What the choice hinges on, one sentence or two each.
    sensitivity : tuple of dict
        For each price, halved and doubled, the best option then: ``price``, ``factor``, ``same`` (recipe, teacher and
        model), ``option``, ``sizes``, ``error``, ``cost``.
    reachable : bool
        Whether the target is reached by amounts that may be advised; True for a budget.
    probability_reachable : float or None
        For a target, the share of the draws in which it is reached: at the floor where the floor is above the target,
        else at the closest option; for a target that is reached, at the best option.
    laws : tuple of dict
        For each recipe, teacher and public model ``recipe``, ``teacher``, ``student``, ``law``, ``axes``, ``n_runs``,
        ``status``, ``floor``.
    warnings, notes : tuple of str
        What limits it; what was decided or set aside on the way.
    """

    question: dict[str, Any]
    sentence: str
    best: Option | None
    others: tuple[Option, ...]
    hinges: tuple[str, ...]
    sensitivity: tuple[dict[str, Any], ...]
    reachable: bool
    probability_reachable: float | None
    laws: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Advice(reachable={self.reachable}, best={self.best!r})"

    def summary(self) -> None:
        """Print the advice, at most 80 columns wide."""
        print(self)

    def __str__(self) -> str:
        from tippingpoint.advice.printing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint advise`` as plain types."""
        return {
            **self.question,
            "sentence": self.sentence,
            "reachable": self.reachable,
            "probability_reachable": self.probability_reachable,
            "best": None if self.best is None else self.best.to_dict(),
            "others": [option.to_dict() for option in self.others],
            "hinges": list(self.hinges),
            "sensitivity": [dict(one) for one in self.sensitivity],
            "laws": [dict(law) for law in self.laws],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }
