"""From choices to options: intervals, what is left of the error, how far outside the data, and who beats whom.

Draws of the laws of two recipes are independent, although their runs are paired and share images: what a subset of the
images does to both does not cancel, so that a probability is nearer to one half than it could be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.choices import ENDLESS, LEAST_SIZES, Found, bill
from tippingpoint.advice.family import AMOUNTS
from tippingpoint.advice.needed import needed_of
from tippingpoint.advice.question import Question
from tippingpoint.advice.result import Option

__all__ = ["KINDS", "beats", "draws_of", "endless", "option_of", "probabilities_best", "shares_of"]

Array = NDArray[np.float64]

_NOTHING = 1e-9  # share of the error below which a floor is none

#: What an option is called that buys one thing only.
KINDS = {"n_pretrain": "only images", "n_finetune": "only labels", "n_params": "only compute", None: "choice"}


def draws_of(found: Found) -> Array:
    """Return the expected target of every draw of the law, shape (R,)."""
    return found.choice.family.draws(found.place())


def beats(first: Found, second: Found) -> float:
    """Return the probability that the first has the lower error, from joint draws.

    Draws of one law are paired; those of two laws are independent, so that every pair of them counts.
    """
    one, other = draws_of(first), draws_of(second)
    if first.choice.family is second.choice.family:
        return float((one < other).mean() + (one == other).mean() / 2)
    ordered = np.sort(other)
    above = len(ordered) - np.searchsorted(ordered, one, side="right")
    equal = np.searchsorted(ordered, one, side="right") - np.searchsorted(ordered, one, side="left")
    return float((above + equal / 2).mean() / len(ordered))


def probabilities_best(found: list[Found]) -> list[float]:
    """Return for each option the share of the joint draws in which it has the least error; ties are shared."""
    families = list({id(one.choice.family): None for one in found})
    drawn = []
    for one in found:  # each law's draws in an order of its own, the same for all its options
        draws = draws_of(one)
        order = np.random.default_rng(1 + families.index(id(one.choice.family))).permutation(len(draws))
        drawn.append(draws[order])
    count = min(map(len, drawn))
    table = np.array([draws[:count] for draws in drawn])
    first = table == table.min(axis=0)
    return [float(share) for share in (first / first.sum(axis=0)).mean(axis=1)]


def endless(found: Found, axes: tuple[str, ...]) -> dict[str, float]:
    """Return the sizes of an option with some axes endless."""
    place = found.place()
    return place | {axis: ENDLESS for axis in axes if axis in place}


def shares_of(found: Found) -> dict[str, float]:
    """Return what is left of the target: the floor, and what would go if one axis alone were endless.

    An axis of two sizes has no share: its term cannot be told from the floor, and is counted there.
    """
    family = found.choice.family
    axes = tuple(axis for axis in family.axes if len(family.levels[axis]) >= LEAST_SIZES)
    places = [found.place(), endless(found, axes), *(endless(found, (axis,)) for axis in axes)]
    with np.errstate(all="ignore"):
        here, floor, *left = (
            float(value)
            for value in np.nan_to_num(
                family.predict({axis: np.array([place[axis] for place in places]) for axis in family.axes}), posinf=0.0
            )
        )
    floor = floor if floor > _NOTHING * here else 0.0
    return {"floor": floor, **{axis: max(here - value, 0.0) for axis, value in zip(axes, left, strict=True)}}


def option_of(found: Found, question: Question, *, kind: str | None = None) -> Option:
    """Return a choice with its amounts as an option, probabilities left open."""
    family, place, amounts = found.choice.family, found.place(), found.amounts
    guess = family.law.predict({axis: place[axis] for axis in family.axes}, interval=question.level)
    outside = {axis: _outside(size, family.levels[axis]) for axis, size in place.items()}
    target, highest = question.target_error, question.highest
    return Option(
        kind=kind or KINDS[found.choice.only],
        recipe=family.recipe or None,
        teacher=family.teacher,
        sizes=place,
        bought={
            axis: max(place[axis] - question.have.get(axis, 0.0), 0.0)
            for axis in AMOUNTS
            if axis in place and question.price(axis) is not None
        },
        cost=bill(found, question),
        error=amounts.error,
        interval=guess.interval if highest is None else (guess.interval[0], min(guess.interval[1], highest)),
        outside=outside,
        shares=shares_of(found),
        probability_target=None if target is None else float((draws_of(found) <= target).mean()),
        needed=needed_of(found, question),
        student=family.student,
    )


def _outside(size: float, levels: list[float]) -> float:
    return max(size / levels[-1], levels[0] / size, 1.0)
