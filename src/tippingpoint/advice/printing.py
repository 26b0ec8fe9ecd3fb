"""Advice as text for a terminal of 80 columns: the answer, its numbers, the next-best options, what it hinges on."""

from __future__ import annotations

import math

from tippingpoint.advice.family import AMOUNTS
from tippingpoint.advice.hinges import choice_words
from tippingpoint.advice.result import Advice, Option
from tippingpoint.advice.words import amount, money, percent, score, sized, span, table, times, wrapped
from tippingpoint.boundary.words import target_words

__all__ = ["as_text"]

_SHOWN = 6  # next-best options
_TRACE = 5e-4  # share of the error below which a part is printed as 0
_OVERLAP = 1.01  # parts whose sum exceeds the error by more are not additive
_LABEL = 18  # columns of a fact's name


def as_text(advice: Advice) -> str:
    """Return the whole advice."""
    lines = wrapped(advice.sentence)
    if advice.best is not None:
        lines += ["", *_facts(advice, advice.best)]
    if advice.others:
        head = "Next best" if advice.best is not None else "The closest that may be advised"
        lines += ["", head, *_others(advice)]
    if advice.hinges:
        lines += ["", "What it hinges on"]
        for sentence in advice.hinges:
            lines += wrapped(sentence, "- ")
    for mark, sentences in (("! ", advice.warnings), ("- ", advice.notes)):
        lines += ["", *(line for sentence in sentences for line in wrapped(sentence, mark))] if sentences else []
    return "\n".join(lines)


def _facts(advice: Advice, best: Option) -> list[str]:
    """Return the numbers of the choice."""
    question = advice.question
    level, budget = question["level"], question["budget"]
    interval = span(best.interval, level)
    facts = [(f"expected {target_words(question['target'])}", score(best.error) + (interval and f" ({interval})"))]
    facts.append(("with", ", ".join(sized(size, axis) for axis, size in best.sizes.items())))
    facts += _needed(best, level)
    paid = money(best.cost.total) + (f" of {money(budget)}" if budget is not None else "")
    facts.append(("cost", f"{paid}: " + ", ".join(f"{name} {money(sum_)}" for name, sum_ in _paid(best))))
    parts = {axis: part if part > _TRACE * best.error else 0.0 for axis, part in best.shares.items()}
    left = [f"{axis} {score(part)} ({percent(part / best.error)})" for axis, part in parts.items()]
    overlap = " (in this law the parts overlap)" if sum(best.shares.values()) > _OVERLAP * best.error else ""
    facts.append(("what is left", ", ".join(left) + overlap))
    far = [f"{axis} {times(factor)} times" for axis, factor in best.outside.items() if factor > 1]
    facts.append(("beyond the data", ", ".join(far) or "nothing"))
    if best.probability_best is not None:
        facts.append(("chance to be best", f"{percent(best.probability_best)} of the joint draws"))
    if best.probability_target is not None:
        facts.append(("reaches the target", f"in {percent(best.probability_target)} of the draws"))
    return [line for name, text in facts for line in wrapped(text, f"  {name.ljust(_LABEL)} ")]


def _needed(best: Option, level: float) -> list[tuple[str, str]]:
    """Return the interval of what the target needs of each amount."""
    heads = {"n_pretrain": "images needed", "n_finetune": "labels needed"}
    found = []
    for axis, ends in (best.needed or {}).items():
        told = span(ends, level, said=amount) if math.isfinite(ends[0]) else "in nearly all draws no amount does"
        found.append((heads[axis], f"{amount(best.sizes[axis])} ({told})"))
    return found


def _paid(option: Option) -> list[tuple[str, float]]:
    return [(name, value) for name, value in option.cost._asdict().items()]


def _others(advice: Advice) -> list[str]:
    """Return the next-best options as a table."""
    budget, level = advice.question["budget"] is not None, advice.question["level"]
    axes = [axis for axis in AMOUNTS if any(axis in option.sizes for option in advice.others)]
    heads = {"n_pretrain": "images", "n_finetune": "labels"}
    first = ["error" if advice.question["target"] == "error" else "loss"]
    first += [f"{100 * level:g}% interval", "wins"] if budget else ["cost"]
    rows = [[*first, *(heads[axis] for axis in axes), "option"]]
    for option in advice.others[:_SHOWN]:
        cells = [score(option.error)]
        if budget:
            low, high = option.interval or (float("nan"), float("nan"))
            beats = option.probability_beats
            cells += [f"{score(low)} to {score(high)}", "" if beats is None else percent(beats)]
        else:
            cells.append(money(option.cost.total))
        cells += [amount(option.sizes[axis]) if axis in option.sizes else "none" for axis in axes]
        name = choice_words(option.recipe, option.sizes.get("n_params"), option.teacher, option.student)
        kind = "" if option.kind in ("choice", "closest") else f" ({option.kind} bought)"
        rows.append([*cells, name + kind])
    more = len(advice.others) - _SHOWN
    lines = table(rows) + ([f"  and {more} more (--json lists them)"] if more > 0 else [])
    if budget and advice.best is not None:
        lines += wrapped("wins: the probability that its error is below that of the choice.", "  ")
    return lines
