"""A target that no amount reaches: the plain answer, with the floor and the probability that it is lower after all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tippingpoint.advice.choices import Found, choices_of, corner, models_of
from tippingpoint.advice.family import AMOUNTS, Family
from tippingpoint.advice.hinges import choice_words_of, with_amounts
from tippingpoint.advice.options import draws_of, endless, option_of
from tippingpoint.advice.question import Question
from tippingpoint.advice.result import Advice, Option
from tippingpoint.advice.words import join, percent, score, sized, span, things
from tippingpoint.boundary.words import target_words

__all__ = ["not_reached"]

_NOTHING = 1e-9  # a floor below it is said as 0


def not_reached(
    question: Question, families: list[Family], notes: list[str], laws: tuple[dict[str, Any], ...]
) -> Advice:
    """Return the advice where no option reaches the target within the amounts that may be advised.

    Parameters
    ----------
    question : Question
        Has a target.
    families : list of Family
    notes : list of str
    laws : tuple of dict
        As of :class:`Advice`.
    """
    choices = [one for choice in choices_of(families, question) for one in models_of(choice, question)]
    tried = [one for choice in choices if (one := corner(choice, question)) is not None]
    closest = min(tried, key=lambda one: one.amounts.error)
    lowest = min(tried, key=lambda one: _floor(one, question))
    target, floor = question.target_error or 0.0, _floor(lowest, question)
    below = floor <= target
    if below:
        sentence = _too_far(question, closest, floor)
        chance = float((draws_of(closest) <= target).mean())
    else:
        sentence, chance = _below_floor(question, lowest, floor)
    option = option_of(closest, question, kind="closest")
    family = lowest.choice.family
    more = [f"more {things(axis)}" for axis in AMOUNTS if axis in family.axes and question.price(axis) is None]
    remedies = "Measure more sizes to see further"
    if not below:
        remedies = f"Only {', '.join([*more, 'another recipe, model or data set'])} could reach it"
    hint = f"{remedies}; the closest that may be advised is {with_amounts(closest)}: {score(closest.amounts.error)}."
    return Advice(
        question=question.to_dict(),
        sentence=sentence,
        best=None,
        others=(option,),
        hinges=(hint, *_at_best(closest, option, question)),
        sensitivity=(),
        reachable=False,
        probability_reachable=chance,
        laws=laws,
        warnings=tuple(f"{lowest.choice.family.name}: {told}" for told in lowest.choice.family.law.warnings_),
        notes=tuple(dict.fromkeys(notes)),
    )


def _at_best(closest: Found, option: Option, question: Question) -> list[str]:
    """Say from where on the lower end of the interval reaches the target, where it does."""
    told = []
    for axis, (low, high) in (option.needed or {}).items():
        if not math.isfinite(low):
            continue
        others = [sized(option.sizes[other], other) for other in AMOUNTS if other in option.sizes and other != axis]
        given = f" with {join(others)}" if others else ""
        end = f"the upper end does at {sized(high, axis)}" if math.isfinite(high) else "the upper end never does"
        told.append(
            f"The lower end of the {100 * question.level:g}% interval of {choice_words_of(closest)}{given} reaches the "
            f"target at {sized(low, axis)}; {end}."
        )
    return told


def _buyable(found: Found, question: Question) -> tuple[str, ...]:
    """Return the amounts of which there could be endlessly many."""
    axes = found.choice.family.axes
    return tuple(axis for axis in AMOUNTS if axis in axes and question.price(axis) is not None)


def _floor(found: Found, question: Question) -> float:
    """Return the expected target with endlessly much of what can be bought."""
    place = endless(found, _buyable(found, question))
    return float(found.choice.family.predict({axis: np.array([size]) for axis, size in place.items()})[0])


def _below_floor(question: Question, lowest: Found, floor: float) -> tuple[str, float]:
    """Return the sentence and the probability that the floor is at or below the target after all."""
    family, place = lowest.choice.family, endless(lowest, _buyable(lowest, question))
    target = question.target_error or 0.0
    draws = family.draws(place)
    tail = (1 - question.level) / 2
    low, high = (float(end) for end in np.quantile(draws, [tail, 1 - tail]))
    chance = float((draws <= target).mean())
    what = join([things(axis) for axis in _buyable(lowest, question)]) or "anything that has a price"
    fixed = [sized(size, axis) for axis, size in lowest.place().items() if place[axis] == size]
    given = f" with {join(fixed)}" if fixed else ""
    sentence = (
        f"No amount of {what} reaches {score(target)}: the floor is {score(floor)} "
        f"({span((low, high), question.level)}), that of {family.name}{given}, the lowest of all."
    )
    if low <= target:
        sentence += f" The floor is uncertain: with probability {percent(chance)} it is at or below the target."
    else:
        sentence += " The target lies below the whole interval."
    return sentence, chance


def _too_far(question: Question, closest: Found, floor: float) -> str:
    """Return the sentence for a target that the law meets only farther out than may be advised."""
    guess, factor = option_of(closest, question), question.max_extrapolation
    reach = "the data" if factor == 1 else f"{factor:g} times the data"
    interval = span(guess.interval, question.level)
    return (
        f"{score(question.target_error or 0.0)} is out of reach here: within {reach} the least expected "
        f"{target_words(question.target)} is {score(guess.error)} ({interval}). The law falls on to "
        f"{score(floor if floor > _NOTHING else 0.0)} with endless amounts, but nothing that far from the data is "
        "recommended."
    )
