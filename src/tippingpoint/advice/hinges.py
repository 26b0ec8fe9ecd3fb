"""What a choice hinges on, in sentences: the term that is left, the rival, the prices, the money."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tippingpoint.advice.choices import ROUGH, Found, ranked, solve_all
from tippingpoint.advice.family import AMOUNTS, Family
from tippingpoint.advice.options import beats
from tippingpoint.advice.question import Question
from tippingpoint.advice.result import Option
from tippingpoint.advice.words import join, money, percent, score, sized, things, times
from tippingpoint.boundary.words import target_words

__all__ = [
    "choice_words",
    "choice_words_of",
    "factor_to_halve",
    "hinges",
    "money_sentence",
    "price_sentence",
    "sensitivity",
    "with_amounts",
]

_WHOLE = 0.99  # share of the error from which a part is the whole
_MOST = 1e6  # a factor beyond it is said as out of reach
_THING = {"image": "an image", "label": "a label", "gpu_hour": "a GPU-hour"}
_SAME_SIZE = 0.25  # difference of log sizes
_ADDITIVE = "additive"


def choice_words(recipe: str | None, n_params: float | None, teacher: str | None, student: str | None = None) -> str:
    """Return a choice in words: ``"distilled, 53,056 parameters, teacher heads=2"``."""
    size = None if n_params is None else f"{n_params:,.0f} parameters"
    return ", ".join(filter(None, [recipe or "the measured recipe", student, size, teacher and f"teacher {teacher}"]))


def choice_words_of(found: Found) -> str:
    """Return ``"distilled, 53,056 parameters, teacher heads=2"``."""
    choice = found.choice
    return choice_words(choice.family.recipe, choice.n_params, choice.family.teacher, choice.family.student)


def with_amounts(found: Found) -> str:
    """Return ``"scratch, 14,240 parameters, with 1,200 images and 300 labels"``."""
    place = found.place()
    amounts = join([sized(place[axis], axis) for axis in AMOUNTS if axis in place])
    return f"{choice_words_of(found)}, with {amounts}" if amounts else choice_words_of(found)


def factor_to_halve(found: Found, axis: str, part: float) -> float:
    """Return the factor on an axis at which half of what it could still remove is gone; infinite beyond reach."""
    family, place = found.choice.family, found.place()
    goal = found.amounts.error - part / 2

    def after(log_factor: float) -> float:
        sizes = place | {axis: place[axis] * math.exp(log_factor)}
        return float(family.predict({name: np.array([sizes[name]]) for name in family.axes})[0])

    low, high = 0.0, math.log(_MOST)
    if after(high) > goal:
        return math.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if after(middle) <= goal else (middle, high)
    return math.exp(high)


def hinges(best: Found, option: Option, rivals: list[Found], question: Question) -> list[str]:
    """Return the sentences on the term that is left and on the next-best choice."""
    found = [_term_sentence(best, option, question)]
    if rivals and question.budget is not None:
        found.append(_rival_sentence(best, option, rivals[0], question))
    if question.target_error is not None:
        found.append(_target_sentence(option, question))
    return found


def _term_sentence(best: Found, option: Option, question: Question) -> str:
    """Say which part dominates, and what it would take to halve the largest term: the term, not the error."""
    what, shares = target_words(question.target), dict(option.shares)
    floor = shares.pop("floor")
    if not shares:
        return f"All that can be said of what is left is {score(floor)}: no axis has sizes enough to tell its term."
    axis = max(shares, key=lambda name: shares[name])
    part = shares[axis]
    additive = best.choice.family.law.name == _ADDITIVE
    noun = f"the term of {axis}" if additive else f"what {axis} alone could still remove"
    told = f"{score(part)} of the {what} of {score(option.error)}"
    if part < 1e-3 * option.error:
        return f"Nearly all that is left is the floor, {score(floor)}: more of anything changes little."
    factor = factor_to_halve(best, axis, part)
    if factor < _MOST:
        after = score(option.error - part / 2)
        but = f", not the {what}," if part < _WHOLE * option.error else f" and so the {what},"
        remedy = f"{times(factor)} times the {things(axis)} would halve it{but} which would then be {after}."
    else:
        remedy = f"no amount of {things(axis)} within reason would halve it."
    if floor > part:
        more = join([things(name) for name in shares])
        lead = f"Most of what is left is the floor, {score(floor)}, which no amount of {more} removes. Next comes "
        return f"{lead}{noun}, {told}: {remedy}"
    return f"The largest part of what is left is {noun}, {told}: {remedy}"


def _rival_sentence(best: Found, option: Option, rival: Found, question: Question) -> str:
    """Say how sure it is that the choice beats the next-best one, and what the ends of the interval do to it."""
    sure = 1 - beats(rival, best)
    law = best.choice.family is rival.choice.family
    text = (
        f"The next-best choice is {with_amounts(rival)}: {score(rival.amounts.error)}. The chosen one truly beats it "
        f"with probability {percent(sure)}"
    )
    if law:  # the rival moves with it: the end of one interval says nothing beside the other's middle
        return f"{text}; both follow one law, so that what it misjudges moves both."
    text += " (the draws of their two laws are independent, so this is nearer to 50% than need be)."
    if option.interval is not None and option.interval[1] > rival.amounts.error:
        text += f" At the upper end of its interval, {score(option.interval[1])}, it would lose to it."
    elif option.interval is not None:
        text += " Even at the upper end of its interval it would not lose to it."
    return text


def _target_sentence(option: Option, question: Question) -> str:
    """Say how likely the target is met: an expected value is met about every other time."""
    what = target_words(question.target)
    return (
        f"The {what} expected there is the target itself; with probability {percent(option.probability_target or 0)} "
        "the true one is at or below it. Ask for a lower target to be surer."
    )


def sensitivity(best: Found, families: list[Family], question: Question) -> list[dict[str, Any]]:
    """Return the best choice with each price halved and doubled in turn."""
    found = []
    for name, price in question.prices._asdict().items():
        for factor in (0.5, 2.0) if price is not None else ():
            other = question.with_price(name, factor)
            solved = solve_all(families, other, ROUGH)
            top = ranked(solved, other)[0] if solved else None
            found.append(
                {
                    "price": name,
                    "factor": factor,
                    "same": top is not None and _same(top, best, question),
                    "option": None if top is None else choice_words_of(top),
                    "sizes": None if top is None else top.place(),
                    "error": None if top is None else top.amounts.error,
                    "cost": None if top is None else top.amounts.cost,
                }
            )
    return found


def _same(one: Found, other: Found, question: Question) -> bool:
    """Say whether recipe, teacher and model agree; a free size may move by a quarter."""
    if one.choice.family is not other.choice.family:
        return False
    sizes = one.choice.n_params, other.choice.n_params
    if question.any_size and sizes[0] and sizes[1]:
        return abs(math.log(sizes[0] / sizes[1])) < _SAME_SIZE
    return sizes[0] == sizes[1]


def price_sentence(cases: list[dict[str, Any]]) -> str:
    """Say whether recipe, teacher and model stay the same when a price halves or doubles."""
    changed = [case for case in cases if not case["same"]]
    if not changed:
        return "Recipe, teacher and model stay the same if any one price halves or doubles; only the amounts move."
    told = []
    for case in changed:
        how = "half" if case["factor"] < 1 else "twice"
        then = f"{case['option']} would be best" if case["option"] else "nothing could be paid for"
        told.append(f"if {_THING[case['price']]} cost {how} as much, {then}")
    text = "; ".join(told)
    return f"The prices matter: {text}."


def money_sentence(families: list[Family], question: Question) -> str | None:
    """Say what half and twice the budget would reach, or what a lower target would cost."""
    if question.budget is None:
        return None
    told = []
    for factor, words in ((0.5, "Half the budget"), (2.0, "twice")):
        other = question.with_budget(question.budget * factor)
        solved = solve_all(families, other, ROUGH)
        reached = f"reach {score(ranked(solved, other)[0].amounts.error)}" if solved else "pay for no training"
        told.append(f"{words} ({money(other.budget or 0)}) would {reached}")
    return f"{told[0]}, {told[1]}."
