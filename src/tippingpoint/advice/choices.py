"""What can be chosen, a recipe, its teacher and a model, and the best amounts of images and labels for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.cost import Bill, FlopsModel
from tippingpoint.advice.family import Family
from tippingpoint.advice.question import Question
from tippingpoint.advice.search import Amounts, Space, best_for_budget, cheapest_for_target, least_along

__all__ = [
    "ENDLESS",
    "LEAST_SIZES",
    "PRECISE",
    "ROUGH",
    "Choice",
    "Found",
    "bill",
    "choices_of",
    "corner",
    "models_of",
    "ranked",
    "solve",
    "solve_all",
    "space_of",
    "whole",
]

Array = NDArray[np.float64]

LEAST_SIZES = 3  #: of models, that another size can be advised from
PRECISE, ROUGH = 6, 2  #: grids after the first, in the search for a model's size
ENDLESS = 1e280  #: a size at which every term that falls is gone
_SLACK = 1e-9  # relative: rounding must not lose an image to floating point


@dataclass(frozen=True)
class Choice:
    """A recipe with its teacher, and a model.

    Attributes
    ----------
    family : Family
    n_params : float or None
        None where the runs do not tell sizes of models.
    only : str or None
        ``n_pretrain`` or ``n_finetune`` where nothing but this may be bought, ``n_params`` where neither may.
    """

    family: Family
    n_params: float | None
    only: str | None = None

    @cached_property
    def flops(self) -> FlopsModel | None:
        """FLOPs of one training of this model."""
        whole = self.family.flops
        return whole if whole is None or self.n_params is None else whole.at("n_params", self.n_params)

    def sizes(self, images: Array, labels: Array) -> dict[str, Array]:
        """Return every size that the recipe has."""
        everything = {"n_pretrain": images, "n_finetune": labels}
        if self.n_params is not None:
            everything["n_params"] = np.full(np.shape(images), self.n_params)
        return {axis: values for axis, values in everything.items() if axis in self.family.levels}


@dataclass(frozen=True)
class Found:
    """A choice with its amounts."""

    choice: Choice
    amounts: Amounts

    def place(self) -> dict[str, float]:
        """Return every size that the recipe has, as numbers."""
        sizes = self.choice.sizes(np.array(self.amounts.images), np.array(self.amounts.labels))
        return {axis: float(values) for axis, values in sizes.items()}


def choices_of(families: list[Family], question: Question) -> list[Choice]:
    """Return every recipe, teacher and measured model; one model for each where its size is free."""
    found = []
    for family in families:
        sizes: list[float | None] = [*family.levels.get("n_params", [None])]
        found += [Choice(family, size) for size in (sizes[:1] if _free(family, question) else sizes)]
    return found


def _free(family: Family, question: Question) -> bool:
    """Say whether the size of a model may be one that was not measured."""
    return question.any_size and "n_params" in family.axes and len(family.levels["n_params"]) >= LEAST_SIZES


def models_of(choice: Choice, question: Question) -> list[Choice]:
    """Return a choice alone; where sizes are free, with every measured model and the least and greatest allowed."""
    if not _free(choice.family, question):
        return [choice]
    levels, factor = choice.family.levels["n_params"], question.max_extrapolation
    sizes = sorted({float(math.ceil(levels[0] / factor)), *levels, float(math.floor(levels[-1] * factor))})
    return [replace(choice, n_params=size) for size in sizes]


def _compute(choice: Choice, question: Question, sizes: dict[str, Array], shape: tuple[int, ...]) -> Array:
    """Return the price of the GPU-hours of one training."""
    price, flops, speed = question.prices.gpu_hour, choice.flops, question.flops_per_hour
    if price is None or flops is None or speed is None:
        return np.zeros(shape)
    return np.broadcast_to(flops(sizes) * (price / speed), shape)


def _parts(choice: Choice, question: Question, images: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Return the price of the images, the labels and the compute."""
    sizes = choice.sizes(images, labels)
    bought = []
    for axis, values in (("n_pretrain", images), ("n_finetune", labels)):
        price = (question.price(axis) or 0.0) if axis in sizes else 0.0
        bought.append(price * np.maximum(values - question.have.get(axis, 0.0), 0.0))
    return bought[0], bought[1], _compute(choice, question, sizes, np.shape(images))


def bill(found: Found, question: Question) -> Bill:
    """Return what a choice with its amounts costs, part by part."""
    parts = _parts(found.choice, question, np.array([found.amounts.images]), np.array([found.amounts.labels]))
    return Bill(*(float(part[0]) for part in parts))


def space_of(choice: Choice, question: Question) -> Space | None:
    """Return what can be bought for a choice, or None where it cannot be had at all."""
    family = choice.family
    images, labels = question.span(family, "n_pretrain"), question.span(family, "n_finetune")
    if choice.only is not None:
        images = _kept(images, "n_pretrain", choice, question)
        labels = _kept(labels, "n_finetune", choice, question)
    if images is None or labels is None:
        return None

    def error(n: Array, t: Array) -> Array:
        with np.errstate(all="ignore"):
            return family.predict(choice.sizes(n, t))

    def cost(n: Array, t: Array) -> Array:
        with np.errstate(over="ignore"):  # an endless sum is more than any budget
            first, second, third = _parts(choice, question, n, t)
            return first + second + third

    return Space(error, cost, images, labels)


def _kept(
    span: tuple[float, float] | None, axis: str, choice: Choice, question: Question
) -> tuple[float, float] | None:
    """Return the amount that there is, where the choice may not buy more of it."""
    if span is None or axis == choice.only or span[0] == span[1]:
        return span
    have = question.have.get(axis, 0.0)
    return (have, have) if span[0] <= have <= span[1] else None


def solve(choice: Choice, question: Question, rounds: int = PRECISE) -> Found | None:
    """Return the best amounts of a choice, and with ``any_size`` the best size of its model; None if none will do.

    Parameters
    ----------
    choice : Choice
    question : Question
    rounds : int, default PRECISE
        Grids of free sizes; ROUGH ones leave a size within a tenth, which is enough to tell who is best.
    """
    if not _free(choice.family, question):
        return _solved(choice, question)
    sizes = [one.n_params or 0.0 for one in models_of(choice, question)]
    ends = math.log(sizes[0]), math.log(sizes[-1])

    def value(log_size: float) -> float:
        found = _solved(replace(choice, n_params=math.exp(log_size)), question)
        return math.inf if found is None else _rank(found, question)[0]

    best = float(round(math.exp(least_along(value, *ends, rounds=rounds))))
    tried = sorted({min(max(best, sizes[0]), sizes[-1]), *sizes})
    found = [_solved(replace(choice, n_params=size), question) for size in tried]
    return min((one for one in found if one is not None), key=lambda one: _rank(one, question), default=None)


def solve_all(families: list[Family], question: Question, rounds: int = PRECISE) -> list[Found]:
    """Return every choice that can be had; one whose law says the impossible there (an error of 1 or more) cannot."""
    solved = [solve(choice, question, rounds) for choice in choices_of(families, question)]
    top = math.inf if question.highest is None else question.highest
    return [one for one in solved if one is not None and one.amounts.error < top]


def _solver(question: Question) -> Callable[[Space], Amounts | None]:
    def work(space: Space) -> Amounts | None:
        if question.budget is not None:
            return best_for_budget(space, question.budget)
        return cheapest_for_target(space, question.target_error or 0.0)

    return work


def _solved(choice: Choice, question: Question) -> Found | None:
    space = space_of(choice, question)
    amounts = None if space is None else _solver(question)(space)
    return None if amounts is None else Found(choice, amounts)


def _rank(found: Found, question: Question) -> tuple[float, float]:
    """Return what is made small: the error, then the cost; for a target the cost, then the error."""
    error, cost = found.amounts.error, found.amounts.cost
    return (error, cost) if question.budget is not None else (cost, error)


def corner(choice: Choice, question: Question) -> Found | None:
    """Return a choice with the most of everything that may be advised."""
    space = space_of(choice, question)
    if space is None:
        return None
    n, t = np.array(space.images[1:]), np.array(space.labels[1:])
    return Found(choice, Amounts(float(n[0]), float(t[0]), float(space.error(n, t)[0]), float(space.cost(n, t)[0])))


def ranked(found: list[Found], question: Question) -> list[Found]:
    """Return choices from the best to the worst."""
    return sorted(found, key=lambda one: _rank(one, question))


def whole(found: Found, question: Question) -> Found:
    """Return whole images and labels: each is rounded both ways in turn and the other is chosen anew."""
    space = space_of(found.choice, question)
    if space is None:
        return found
    work, candidates = _solver(question), []
    for axis in ("images", "labels"):
        for size in _roundings(getattr(space, axis), getattr(found.amounts, axis)):
            fixed = (size, size)
            near = work(space._replace(images=fixed) if axis == "images" else space._replace(labels=fixed))
            if near is not None:
                candidates.append(_rounded(space, near, question))
    possible = [Found(found.choice, one) for one in candidates if _allowed(one, question)]
    return ranked(possible, question)[0] if possible else found


def _roundings(span: tuple[float, float], value: float) -> set[float]:
    if span[0] == span[1]:
        return {value}
    low, high = math.ceil(span[0] * (1 - _SLACK)), math.floor(span[1] * (1 + _SLACK))
    nearest = {math.floor(value * (1 + _SLACK)), math.ceil(value * (1 - _SLACK))}
    return {float(min(max(size, low), max(high, low))) for size in nearest}


def _rounded(space: Space, amounts: Amounts, question: Question) -> Amounts:
    """Round down what a budget buys, and up what a target needs."""
    sizes = []
    for value, span in ((amounts.images, space.images), (amounts.labels, space.labels)):
        turn = math.floor(value * (1 + _SLACK)) if question.budget is not None else math.ceil(value * (1 - _SLACK))
        sizes.append(value if span[0] == span[1] else float(max(turn, math.ceil(span[0] * (1 - _SLACK)))))
    n, t = np.array(sizes[:1]), np.array(sizes[1:])
    return Amounts(sizes[0], sizes[1], float(space.error(n, t)[0]), float(space.cost(n, t)[0]))


def _allowed(amounts: Amounts, question: Question) -> bool:
    if question.budget is not None:
        return amounts.cost <= question.budget * (1 + _SLACK)
    return amounts.error <= (question.target_error or 0.0) * (1 + _SLACK)
