"""Advise: fit a law to every recipe, find the best amounts for each choice, compare the choices, and say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tippingpoint.advice.choices import Found, choices_of, ranked, solve, solve_all, space_of, whole
from tippingpoint.advice.cost import measured_speed
from tippingpoint.advice.family import AMOUNTS, Family, families_of
from tippingpoint.advice.hinges import (
    choice_words_of,
    hinges,
    money_sentence,
    price_sentence,
    sensitivity,
    with_amounts,
)
from tippingpoint.advice.options import beats, option_of, probabilities_best
from tippingpoint.advice.question import Question, check_against, checked
from tippingpoint.advice.result import Advice, Option
from tippingpoint.advice.unreached import not_reached
from tippingpoint.advice.words import amount, join, money, sized, things, times
from tippingpoint.errors import InputError, RunsError
from tippingpoint.runs import Runs, read_runs

__all__ = ["advise"]

_UNSPENT = 0.99  # of the budget: below it the rest is spoken of
_EDGE = 1 - 1e-6


def advise(
    runs: Any,
    *,
    prices: Mapping[str, float],
    budget: float | None = None,
    target_error: float | None = None,
    have: Mapping[str, float] | None = None,
    target: str = "error",
    stage: str | None = None,
    recipes: Sequence[str] | None = None,
    upstream: str | None = None,
    downstream: str | None = None,
    where: str | None = None,
    law: str = "additive",
    level: float = 0.9,
    max_extrapolation: float = 10.0,
    any_size: bool = False,
    flops_per_gpu_hour: float | None = None,
    gpu_hours_per_flop: float | None = None,
    random_state: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Advice:
    """Say what to buy and what to train, for a budget or for a target.

    Every recipe (with each of its teachers) gets a law over the sizes that vary. For each of its models the amounts of
    images and labels are found that make the expected error least for the budget, or that reach the target at the
    least cost; the best of all choices is advised, with what it hinges on.

    Parameters
    ----------
    runs : path, DataFrame, mapping or Runs
        Whatever :func:`read_runs` takes.
    prices : mapping of str to float
        ``image`` (upstream), ``label`` (downstream) and ``gpu_hour``, in one currency. What has no price cannot be
        bought; without ``gpu_hour`` compute is free.
    budget, target_error : float
        One of the two: the sum to spend, in that currency, or the target (an error between 0 and 1) to reach.
    have : mapping of str to float, optional
        ``n_pretrain`` images and ``n_finetune`` labels that there are; they cost nothing. 0 unless said.
    target : str, default "error"
        Column to make small.
    stage, recipes, upstream, downstream : optional
        Which runs; all recipes of the group unless named, and ``finetuned`` runs.
    where : str, optional
        Condition on the rows.
    law : str, default "additive"
        Name of a law, or ``auto``.
    level : float, default 0.9
        Probability of the intervals.
    max_extrapolation : float, default 10
        Factor beyond the data, upwards or downwards, that no advised size exceeds.
    any_size : bool, default False
        Whether models of sizes that were not measured may be advised (needs runs of three sizes).
    flops_per_gpu_hour, gpu_hours_per_flop : float, optional
        What a GPU does, one of the two; else the speed of the machine that made the runs, where the table tells.
    random_state : int, optional
        Seed of the draws.
    progress : callable, optional
        Called before each law is fitted with its name, how many are done and how many there are.

    Returns
    -------
    Advice

    Raises
    ------
    InputError
        The question is wrong or no law can be fitted; all faults are told.

    Examples
    --------
    >>> found = advise("runs.csv", budget=500, prices={"image": 0.01, "label": 0.5})  # doctest: +SKIP
    >>> found.best.recipe, found.best.bought  # doctest: +SKIP
    """
    question = checked(
        budget=budget,
        target_error=target_error,
        prices=prices,
        have=have,
        target=target,
        level=level,
        max_extrapolation=max_extrapolation,
        any_size=any_size,
        flops_per_gpu_hour=flops_per_gpu_hour,
        gpu_hours_per_flop=gpu_hours_per_flop,
        law=law,
        recipes=recipes,
        sets={"stage": stage, "upstream": upstream, "downstream": downstream},
        random_state=random_state,
    )
    table = read_runs(runs, target=target, where=where)
    chosen = {"recipes": recipes, "stage": stage, "upstream": upstream, "downstream": downstream}
    families, notes = families_of(
        table,
        **chosen,  # type: ignore[arg-type]
        target=target,
        law=law,
        random_state=random_state,
        progress=progress,
    )
    families, more = check_against(question, families)
    if law == "auto":
        more.append(
            "Probabilities are those of the averaged laws; how far the laws lie apart is in the intervals only."
        )
    question, told = _with_speed(question, families, table)
    return _advice(question, families, [*more, *told, *notes])


def _with_speed(question: Question, families: list[Family], table: Runs) -> tuple[Question, list[str]]:
    """Return the question with the speed of a GPU, and what is said about the price of compute."""
    if question.prices.gpu_hour is None:
        return question, ["Compute is free here: no price gpu_hour is given."]
    silent = [family.name for family in families if family.flops is None]
    if silent:
        raise InputError(
            f"price: gpu_hour is given, but the runs of {join(silent)} record no FLOPs (train_flops); add that column, "
            "leave these recipes out with --recipes, or leave gpu_hour out and compute is free."
        )
    charged = "One pretraining and one fine-tuning are charged, the teacher's own training included"
    if question.flops_per_hour is not None:
        return question, [f"{charged}; a GPU-hour is {question.flops_per_hour:.3g} FLOPs."]
    speed = measured_speed(table.frame)
    if speed is None:
        raise InputError(
            "price: gpu_hour is given, but not how much a GPU does in an hour, and the table has no wall_s to tell; "
            "give --flops-per-gpu-hour (about 1e17 to 1e18 for a fast GPU) or --gpu-hours-per-flop."
        )
    said = f"{charged}, at the speed of the machine that made the runs ({speed:.3g} FLOPs an hour)."
    return replace(question, flops_per_hour=speed), [said]


def _advice(question: Question, families: list[Family], notes: list[str]) -> Advice:
    solved = solve_all(families, question)
    if not solved:
        if question.target_error is not None:
            return not_reached(question, families, notes, laws=_laws(families))
        raise InputError(_too_little(question, families))
    found = ranked([whole(one, question) for one in solved], question)
    best, rivals = found[0], found[1:]
    option, others = _options(best, rivals, families, question)
    cases = sensitivity(best, families, question)
    sentences = [*hinges(best, option, rivals, question), price_sentence(cases)]
    sentences += [told] if (told := money_sentence(families, question)) else []
    return Advice(
        question=question.to_dict(),
        sentence=_sentence(best, option, question),
        best=option,
        others=tuple(others),
        hinges=tuple(sentences),
        sensitivity=tuple(cases),
        reachable=True,
        probability_reachable=option.probability_target,
        laws=_laws(families),
        warnings=tuple(_warnings(best, option, question)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _options(
    best: Found, rivals: list[Found], families: list[Family], question: Question
) -> tuple[Option, list[Option]]:
    """Return the best option and the others, with the probabilities that only a comparison gives."""
    extra = _restricted(best, rivals, families, question)
    others = ranked([*rivals, *extra], question)
    if question.budget is None:
        return option_of(best, question), [option_of(one, question) for one in others]
    shares = dict(zip(map(id, [best, *rivals]), probabilities_best([best, *rivals]), strict=True))
    options = [
        replace(option_of(one, question), probability_best=shares.get(id(one)), probability_beats=beats(one, best))
        for one in others
    ]
    return replace(option_of(best, question), probability_best=shares[id(best)]), options


def _restricted(best: Found, rivals: list[Found], families: list[Family], question: Question) -> list[Found]:
    """Return the best option that buys only images, only labels, or neither, where it is not one of the others."""
    found: list[Found] = []
    for only in ("n_pretrain", "n_finetune", "n_params"):
        tried = [solve(replace(choice, only=only), question) for choice in choices_of(families, question)]
        there = [whole(one, question) for one in tried if one is not None]
        if there:
            top = ranked(there, question)[0]
            known = [best, *rivals, *found]
            if not any(one.choice.family is top.choice.family and one.place() == top.place() for one in known):
                found.append(top)
    return found


def _sentence(best: Found, option: Option, question: Question) -> str:
    """Return the answer: what to buy, and what to train with how much."""
    bought = [sized(more, axis) for axis, more in option.bought.items() if more > 0]
    buy = f"buy {join(bought)}" if bought else "buy no images and no labels"
    lead = f"For {money(question.budget)}, {buy}" if question.budget is not None else f"The cheapest: {buy}"
    price = "" if question.budget is not None else f" for {money(option.cost.total)}"
    train = with_amounts(best) + " in all" if question.have else choice_words_of(best)
    return f"{lead}{price}, and train {train}."


def _warnings(best: Found, option: Option, question: Question) -> list[str]:
    """Say what lies beyond the data or at the edge of what may be advised, what is left unspent, and the law's own."""
    family, told = best.choice.family, []
    space = space_of(best.choice, question)
    for axis, factor in option.outside.items():
        if factor > 1:
            levels, here = family.levels[axis], option.sizes[axis]
            above = here > levels[-1]
            end = f"the most measured ({amount(levels[-1])})" if above else f"below the least ({amount(levels[0])})"
            told.append(f"{axis} = {amount(here)} is {times(factor)} times {end}: the law is extrapolated there.")
    for axis, span in zip(AMOUNTS, (space.images, space.labels) if space else (), strict=False):
        if span[0] < span[1] and option.sizes.get(axis, 0) >= span[1] * _EDGE - 1:
            told.append(
                f"The best lies at the edge of what is advised, {question.max_extrapolation:g} times the most "
                f"{things(axis)} measured; nothing beyond is recommended. Run larger ones to see further."
            )
    if question.budget is not None and option.cost.total < _UNSPENT * question.budget:
        rest = money(question.budget - option.cost.total)
        told.append(f"{rest} of the budget stay unspent: nothing within reach that it could buy helps.")
    told += [
        f"The FLOPs did not grow with {axis} at the largest sizes measured, and the cost assumes that this goes on."
        for axis in AMOUNTS
        if _flat_cost(best, option, axis, question)
    ]
    if option.interval is not None and not option.interval[0] <= option.error <= option.interval[1]:
        told.append(
            "The best fit and the draws disagree here: the expected value lies outside of its own interval. Trust the "
            "interval; a law of another form (--law auto) may fit better."
        )
    return [*told, *(f"{family.name}: {sentence}" for sentence in family.law.warnings_ if _matters(sentence, question))]


def _matters(sentence: str, question: Question) -> bool:
    """Say whether a law's warning limits the advice: one on n_params does not where models are those measured."""
    return question.any_size or not sentence.startswith("n_params")


def _flat_cost(best: Found, option: Option, axis: str, question: Question) -> bool:
    family = best.choice.family
    priced = question.prices.gpu_hour is not None and family.flops is not None
    beyond = axis in family.axes and option.sizes[axis] > family.levels[axis][-1]
    return bool(priced and beyond and family.flops is not None and not family.flops.grows(axis))


def _too_little(question: Question, families: list[Family]) -> str:
    """Say what the cheapest training costs, or that all that can be paid for is far below the data."""
    costs = []
    for choice in choices_of(families, question):
        space = space_of(choice, question)
        if space is not None:
            n, t = np.array(space.images[:1]), np.array(space.labels[:1])
            costs.append((float(space.cost(n, t)[0]), float(n[0]), float(t[0]), choice))
    if not costs:
        raise RunsError("have: no recipe can be trained with what there is; give prices of images and labels.")
    cost, images, labels, choice = min(costs, key=lambda one: one[0])
    if cost <= (question.budget or 0.0):
        return (
            f"budget: {money(question.budget or 0)} pays for so little, far below the data, that the laws expect an "
            "error of 1 or more; give more."
        )
    amounts = {"n_pretrain": images, "n_finetune": labels}
    least = join([sized(value, axis) for axis, value in amounts.items() if axis in choice.family.levels])
    return (
        f"budget: {money(question.budget or 0)} pays for no training: the least that may be advised within "
        f"{question.max_extrapolation:g} times of the data, {least}, costs {money(cost)}; give that or more."
    )


def _laws(families: list[Family]) -> tuple[dict[str, Any], ...]:
    """Return what the advice rests on: each law in short."""
    found = []
    for family in families:
        told = family.law.to_dict(None)
        found.append(
            {
                "recipe": family.recipe or None,
                "teacher": family.teacher,
                "student": family.student,
                "law": family.law.name,
                "axes": list(family.axes),
                "n_runs": told["n_runs"],
                "status": told["status"],
                "floor": told["floor"],
                "terms": told["terms"],
                "measured": family.levels,
                "warnings": list(family.law.warnings_),
            }
        )
    return tuple(found)
