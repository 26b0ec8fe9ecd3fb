"""What was asked, checked: all that is wrong with it is said at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from tippingpoint.advice.cost import Prices
from tippingpoint.advice.family import AMOUNTS, Family
from tippingpoint.boundary.words import axis_words, exactly, size
from tippingpoint.errors import InputError, did_you_mean
from tippingpoint.kinds import COUNT, LEVEL, NAME, NAMES, Kind, is_number, kind_faults, or_none, said

__all__ = ["PRICE_OF", "Question", "check_against", "checked"]

#: The price of each amount that can be bought.
PRICE_OF = {"n_pretrain": "image", "n_finetune": "label"}

_FACTOR = Kind(lambda value: _between(value, 1, math.inf, least=True), "a factor of 1 or more; 10 is usual")
_SPEED = Kind(
    lambda value: _between(value, 0, math.inf), "a number above 0; a fast GPU does about 1e17 to 1e18 FLOPs an hour"
)
_SWITCH = Kind(lambda value: isinstance(value, bool), "True or False")


@dataclass(frozen=True)
class Question:
    """Money or a target, prices, and what there is.

    Attributes
    ----------
    budget, target_error : float or None
        One of the two.
    prices : Prices
    have : dict of str to float
        Images and labels that there are.
    target : str
        Column that is made small.
    level, max_extrapolation : float
    any_size : bool
        Whether models may have sizes that were not measured.
    flops_per_hour : float or None
        FLOPs that a GPU does in an hour.
    """

    budget: float | None
    target_error: float | None
    prices: Prices
    have: dict[str, float]
    target: str
    level: float
    max_extrapolation: float
    any_size: bool
    flops_per_hour: float | None

    @property
    def highest(self) -> float | None:
        """What the target cannot exceed: 1 for an error, None for others."""
        return 1.0 if self.target == "error" else None

    def price(self, axis: str) -> float | None:
        """Return the price of one more of an amount."""
        found: float | None = getattr(self.prices, PRICE_OF[axis])
        return found

    def with_price(self, name: str, factor: float) -> Question:
        """Return the same question with one price multiplied."""
        price = getattr(self.prices, name)
        return replace(self, prices=self.prices._replace(**{name: price * factor}))

    def with_budget(self, budget: float) -> Question:
        """Return the same question with other money."""
        return replace(self, budget=budget)

    def span(self, family: Family, axis: str) -> tuple[float, float] | None:
        """Return the least and greatest amount that may be advised; None where what there is lies outside of it.

        A recipe without the axis has (1, 1); an amount of which one size was measured, or that has no price, is fixed.
        """
        levels = family.levels.get(axis, [])
        if not levels:
            return 1.0, 1.0
        if axis not in family.axes:
            return levels[0], levels[0]
        least, most = max(1.0, levels[0] / self.max_extrapolation), levels[-1] * self.max_extrapolation
        have = self.have.get(axis, 0.0)
        if have > most or (self.price(axis) is None and have < least):
            return None
        return (have, have) if self.price(axis) is None else (max(least, have), most)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "budget": self.budget,
            "target_error": self.target_error,
            "prices": {name: price for name, price in self.prices._asdict().items() if price is not None},
            "have": dict(self.have),
            "target": self.target,
            "level": self.level,
            "max_extrapolation": self.max_extrapolation,
            "any_size": self.any_size,
            "flops_per_gpu_hour": self.flops_per_hour,
        }


def checked(
    *,
    budget: float | None,
    target_error: float | None,
    prices: Mapping[str, float],
    have: Mapping[str, float] | None,
    target: str,
    level: float,
    max_extrapolation: float,
    any_size: bool,
    flops_per_gpu_hour: float | None,
    gpu_hours_per_flop: float | None,
    law: str,
    recipes: Sequence[str] | None,
    sets: Mapping[str, str | None],
    random_state: int | None,
) -> Question:
    """Return the question, or raise ``InputError`` with all that is wrong in it; ``sets`` are values of columns."""
    faults = _goal_faults(budget, target_error, target) + _price_faults(prices or {}) + _have_faults(have or {})
    told = {
        "level": (level, LEVEL),
        "max_extrapolation": (max_extrapolation, _FACTOR),
        "any_size": (any_size, _SWITCH),
        "flops_per_gpu_hour": (flops_per_gpu_hour, or_none(_SPEED)),
        "gpu_hours_per_flop": (gpu_hours_per_flop, or_none(_SPEED)),
        "target": (target, NAME),
        "law": (law, NAME),
        "recipes": (recipes, or_none(NAMES)),
        **{name: (value, or_none(NAME)) for name, value in sets.items()},
        "random_state": (random_state, or_none(COUNT)),
    }
    faults += kind_faults(told)
    if flops_per_gpu_hour is not None and gpu_hours_per_flop is not None:
        faults.append("flops_per_gpu_hour and gpu_hours_per_flop say the same thing; give one of the two.")
    if faults:
        raise InputError(faults)
    speed = flops_per_gpu_hour if gpu_hours_per_flop is None else 1 / gpu_hours_per_flop
    amounts = {axis: float(value) for axis, value in (have or {}).items()}
    money = Prices(**{name: float(price) for name, price in prices.items()})
    return Question(budget, target_error, money, amounts, target, level, max_extrapolation, any_size, speed)


def _between(value: object, low: float, high: float, *, least: bool = False) -> bool:
    """Say whether a value is a number above the lower end, or with ``least`` equal to it, and below the upper one."""
    return isinstance(value, Real) and is_number(value) and (low < float(value) < high or (least and value == low))


def _goal_faults(budget: float | None, target_error: float | None, target: str) -> list[str]:
    if budget is None and target_error is None:
        return ["Nothing is asked for: give a budget (--budget 5000) or a target (--target-error 0.2)."]
    faults = []
    if budget is not None and target_error is not None:
        faults.append("A budget and a target error are two questions; ask one, then the other.")
    if budget is not None and not _between(budget, 0, math.inf):
        faults.append(f"budget: {said(budget)} is not a sum above 0; give it in the unit of the prices.")
    if target_error is not None:
        top = 1 if target == "error" else math.inf
        if not _between(target_error, 0, top):
            remedy = "between 0 and 1, for example 0.2 for 20%" if target == "error" else "above 0"
            faults.append(f"target_error: {said(target_error)} cannot be a goal for {target}; give a number {remedy}.")
    return faults


def _price_faults(prices: Mapping[str, float]) -> list[str]:
    if not isinstance(prices, Mapping):
        return [f"prices: {prices!r} is not a mapping from what is bought to its price, such as {{'image': 0.01}}."]
    if not prices:
        return ["No price is given: name one or more, for example --price image=0.01,label=0.5,gpu_hour=2."]
    faults = []
    for name, price in prices.items():
        if name not in Prices._fields:
            hint = did_you_mean(name, Prices._fields) or f" There are: {', '.join(Prices._fields)}."
            faults.append(f"price: there is no price '{name}'.{hint}")
        elif not _between(price, 0, math.inf):
            remedy = "leave it out if none can be bought (images, labels) or it is free (gpu_hour)"
            faults.append(f"price: {name}={said(price)} is not above 0; {remedy}.")
    return faults


def _have_faults(have: Mapping[str, float]) -> list[str]:
    if not isinstance(have, Mapping):
        return [f"have: {have!r} is not a mapping from what there is to how much, such as {{'n_pretrain': 1000}}."]
    faults = []
    for axis, value in have.items():
        if axis == "n_params":
            faults.append("have: models are those of the table; choose among them with --where 'n_params < 1e6'.")
        elif axis not in AMOUNTS:
            hint = did_you_mean(axis, AMOUNTS) or f" There are: {', '.join(AMOUNTS)}."
            faults.append(f"have: '{axis}' is nothing that there can be some of.{hint}")
        elif not _between(value, 0, math.inf, least=True):
            faults.append(f"have: {axis}={said(value)} is not a number of 0 or more.")
    return faults


def check_against(question: Question, families: list[Family]) -> tuple[list[Family], list[str]]:
    """Hold the question against the runs: return the families that can answer it, and notes.

    Raises
    ------
    InputError
        None can; an amount is neither there nor for sale, is not in the table, or lies too far outside the data.
    """
    notes, faults = [], []
    for axis, name in PRICE_OF.items():
        measured = sorted({level for family in families for level in family.levels.get(axis, [])})
        varied = sorted({level for family in families if axis in family.axes for level in family.levels[axis]})
        if not measured and (axis in question.have or question.price(axis) is not None):
            notes.append(f"The runs have no {axis}: its price and what there is of it are not used.")
        elif measured and not varied and axis in question.have and question.have[axis] != measured[0]:
            notes.append(f"have: {axis} was measured at {exactly(measured[0])} only, and that is what is assumed.")
        elif varied:
            faults += _amount_faults(question, axis, name, (varied[0], varied[-1]))
    kept = [family for family in families if all(question.span(family, axis) for axis in AMOUNTS)]
    notes += [
        f"{family.name}: left out, what there is lies too far outside its data." for family in families
        if family not in kept
    ]  # fmt: skip
    faults += _nothing_to_choose(question, families)
    if question.any_size and not any(len(family.levels.get("n_params", [])) > 2 for family in families):
        faults.append("any_size: a model size that was not measured needs runs of three sizes or more; leave it out.")
    if faults or not kept:
        raise InputError(faults or ["have: no recipe was measured near what there is; raise max_extrapolation."])
    return kept, notes


def _amount_faults(question: Question, axis: str, name: str, ends: tuple[float, float]) -> list[str]:
    """Say that an amount is neither there nor for sale, or lies too far outside the data."""
    have, factor = question.have.get(axis), question.max_extrapolation
    if question.price(axis) is None and not have:
        return [
            f"{axis}: there are none and they have no price; give --price {name}=… or --have {axis}=…, how many "
            f"{axis_words(axis)} there are."
        ]
    if have and have > ends[1] * factor:
        return [
            f"have: {axis}={exactly(have)} is more than {factor:g} times the {size(ends[1])} that were measured; run "
            "larger ones, or raise --max-extrapolation."
        ]
    if have and question.price(axis) is None and have < ends[0] / factor:
        return [
            f"have: {axis}={exactly(have)} is less than the {size(ends[0])} that were measured by more than {factor:g} "
            f"times, and more cannot be bought; give --price {name}=…, or raise --max-extrapolation."
        ]
    return []


def _nothing_to_choose(question: Question, families: list[Family]) -> list[str]:
    """Say that nothing that has a price is part of the runs."""
    usable = [name for axis, name in PRICE_OF.items() if any(axis in family.levels for family in families)]
    if question.prices.gpu_hour is None and not any(getattr(question.prices, name) is not None for name in usable):
        return [f"price: nothing that has a price is in these runs; give one of {', '.join([*usable, 'gpu_hour'])}."]
    return []
