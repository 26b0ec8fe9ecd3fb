r"""Eq. (6) of the paper, held against runs: which of its conditions hold, and whether they bring what it concludes.

The paper states its theorem (Eq. (5) to (7)) under

.. math:: E < E', \quad \gamma > \gamma', \quad \beta < \beta', \quad \alpha - \alpha' \in (-1, 0), \quad
          \lambda_m \approx \lambda'_m, \quad \lambda_f \approx \lambda'_f

unprimed for the first recipe, primed for the second; E is the floor, alpha, beta and gamma are the exponents of
n_pretrain, n_params and n_finetune, and 1/lambda their coefficients in raw units. It concludes that the second recipe
helps at small n_pretrain and stops at a threshold.

Both recipes are fitted as one, with the additive laws that the conditions speak of (Eq. (1) and (4)), and every
condition is judged in every draw of the joint posterior. A draw in which a term is not there says nothing of its
exponent. "About equal" is not defined in the paper; here it is a ratio within a factor.

By the case list of the difference (:class:`~tippingpoint.boundary.power_difference.PowerDifference`) the conditions
are neither sufficient nor necessary. With alpha < alpha' the first recipe is better as n_pretrain goes to 0: at best
there is a window, and Eq. (7) holds near 0 whatever else is true. With alpha > alpha' one threshold, below which the
second recipe helps, needs no more than that it is worse in the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.asked import check_asked
from tippingpoint.boundary.conditions_result import Condition, PaperConditions
from tippingpoint.boundary.draws import Draws, Stacked, few_blocks, fit_recipe
from tippingpoint.boundary.levels import is_size, levels_of, shared_sizes
from tippingpoint.boundary.pair_law import PairLaw
from tippingpoint.boundary.selection import Selection, recipe_runs, select_pair
from tippingpoint.boundary.words import exactly, listed
from tippingpoint.errors import RunsError
from tippingpoint.fitting.blocks import blocks_of
from tippingpoint.kinds import is_number
from tippingpoint.runs import Runs, read_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_conditions"]

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]

_ALONG = "n_pretrain"
_FOR_A_LAW = 3  # sizes that an exponent needs
_STOPS = ("below", "window", "outside_window")  # regimes in which the second recipe stops helping at some size


def check_conditions(
    runs: Any,
    at: Mapping[str, float] | None = None,
    target: str = "error",
    stage: str | None = "finetuned",
    recipes: Sequence[str] = ("scratch", "distilled"),
    where: str | None = None,
    level: float = 0.9,
    resamples: int = 4000,
    random_state: int | None = None,
    *,
    upstream: str | None = None,
    downstream: str | None = None,
    teacher: str | None = None,
    factor: float = 2.0,
    objective: str = "log",
) -> PaperConditions:
    """Check each condition of Eq. (6), with its probability, and what follows from them.

    Parameters
    ----------
    runs, at, target, stage, recipes, where, level, random_state, upstream, downstream, teacher, objective
        As for :func:`find_boundary`; the axis is n_pretrain. ``at`` says where the difference is judged: the conditions
        are on exponents and coefficients, the conclusion is at a place.
    resamples : int, default 4000
        Draws of the joint posterior, 1 or more.
    factor : float, default 2
        Coefficients are "about equal" if neither is more than this many times the other.

    Returns
    -------
    PaperConditions
        An axis with fewer than three sizes in a recipe is held; its conditions are listed as not checked.

    Raises
    ------
    RunsError
        There is one seed block only, a recipe, column or size is missing, or the choice is ambiguous.
    InputError
        A setting is out of its range.

    Examples
    --------
    >>> check_conditions("runs.csv", at={"n_params": 51000, "n_finetune": 100}).summary()  # doctest: +SKIP
    """
    asked: dict[str, Any] = {"target": target, "stage": stage, "recipes": recipes, "at": at}
    asked |= {"upstream": upstream, "downstream": downstream, "teacher": teacher}
    draw = {"level": level, "resamples": resamples, "random_state": random_state, "objective": objective}
    _check_settings(factor, **asked, **draw)
    table = read_runs(runs, where=where)
    asked |= {"recipes": (recipes[0], recipes[1]), "along": _ALONG, "at": dict(at or {})}
    chosen, held = _select(table, asked)
    both = _both(chosen)
    blocks = blocks_of(both)
    if blocks.count < 2:
        raise RunsError("There is one seed block only: nothing tells how blocks differ; add runs of other seeds.")
    law = PairLaw(_ALONG, [axis for axis in chosen.at if axis not in chosen.held], chosen.axes, additive=True)
    fits = [fit_recipe(axes, frame, target, objective) for axes, frame in zip(chosen.axes, chosen.frames, strict=True)]
    data = Stacked.of(law, chosen.frames, target, chosen.at, fits)
    joint, rough = data.joint(resamples, random_state, objective)
    draws = Draws(data.recipes(joint.theta), blocks.count)
    checks = _checks(_parameters(data, joint.theta), chosen, held, factor)
    return PaperConditions(
        recipes=chosen.recipes,
        at=chosen.at,
        target=target,
        stage=stage,
        level=level,
        factor=factor,
        range=(chosen.low, chosen.high),
        conditions=tuple(check.judged(level) for check in checks),
        **_consequences(draws, checks, chosen),
        resamples=draws.total,
        n_blocks=blocks.count,
        warnings=(*few_blocks(both, blocks.kind, blocks.count), *rough, *chosen.warnings),
        notes=tuple(dict.fromkeys((*table.notes, *chosen.notes))),
    )


def _check_settings(factor: float, **asked: Any) -> None:
    faults = []
    if asked["resamples"] == 0:
        faults.append("resamples: 0 draws cannot tell a probability; 4000 is usual.")
    if not (is_number(factor) and np.isfinite(factor) and factor > 1):
        faults.append(f"factor: {factor} is not above 1; 2 is usual.")
    check_asked(faults, **asked)


def _both(chosen: Selection) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(chosen.frames, ignore_index=True)


def _select(table: Runs, asked: dict[str, Any]) -> tuple[Selection, dict[str, str]]:
    """Return the runs with every axis of three sizes tied by the law, and why the other axes are not."""
    frames = recipe_runs(table, **asked).frames
    held = {}
    for axis in ("n_params", "n_finetune", "n_params_teacher"):
        counts = [len(levels_of(frame, axis)) for frame in frames]
        if min(counts) == 0 and axis != "n_params_teacher":
            held[axis] = f"not every recipe has a value of {axis}"
        elif min(count for count in (*counts, _FOR_A_LAW) if count) < _FOR_A_LAW:
            fewest = min(count for count in counts if count)
            held[axis] = f"{axis} has {fewest} size{'s' * (fewest > 1)} in a recipe, and an exponent needs {_FOR_A_LAW}"
            table = _at_size(table, axis, asked["at"].get(axis) or _only([levels_of(frame, axis) for frame in frames]))
    return select_pair(table, **asked, pool="all"), held


def _only(levels: list[list[float]]) -> float | None:
    """Return the size of an axis that every recipe shares, if there is just one."""
    shared = shared_sizes([own for own in levels if own])
    return shared[0] if len(shared) == 1 else None


def _at_size(table: Runs, axis: str, value: float | None) -> Runs:
    """Return the runs at one size of an axis, and those that do not have it; all where no size was named."""
    if value is None:
        return table
    own = table.frame[axis].to_numpy(dtype=float, na_value=np.nan)
    return table.keep(np.isnan(own) | is_size(own, value))


def _parameters(data: Stacked, theta: Array) -> dict[str, Array]:
    """Return every weight and exponent of the draws in raw units."""
    m = len(data.law.weights)
    reference = np.array([data.log_reference[axis] for axis in data.law.axes[:-1]])
    return data.law.raw(data.unit * theta[:, :m], theta[:, m:], reference)


class _Check(NamedTuple):
    """A condition in every draw: the two quantities, whether both are there, whether it is met; or why not."""

    text: str
    words: str
    pair: tuple[Array, Array] | None = None
    known: Truth | None = None
    met: Truth | None = None
    reason: str | None = None

    def judged(self, level: float) -> Condition:
        """Return its chances and what it compares."""
        if self.pair is None or self.known is None or self.met is None:
            return Condition(self.text, self.words, None, None, None, None, None, self.reason)
        first, second = (_summary(part[self.known], level) for part in self.pair)
        shares = (self.known & self.met, self.known & ~self.met, ~self.known)
        holds, fails, unknown = (float(share.mean()) for share in shares)
        return Condition(self.text, self.words, first, second, holds, fails, unknown, None)


def _checks(values: dict[str, Array], chosen: Selection, held: dict[str, str], factor: float) -> list[_Check]:
    """Return the conditions of Eq. (6), in its order."""
    first, second = chosen.recipes
    floors = values["0.level"], values["1.level"]
    inside = listed([f"{axis} at {exactly(chosen.at[axis])}" for axis in held if axis in chosen.at] or [""])
    words = f"the floor of {first} is below that of {second}{f', the term of {inside} in it' if inside else ''}"
    found = [_Check("E < E'", words, floors, np.ones(len(floors[0]), dtype=bool), floors[0] < floors[1])]
    for axis, text, more in (
        ("n_finetune", "gamma > gamma'", True),
        ("n_params", "beta < beta'", False),
        (_ALONG, "alpha - alpha' in (-1, 0)", False),
    ):
        words = f"{first} gains {'more' if more else 'less'} steeply from {axis} than {second}"
        pair = _of_both(values, "{side}.{axis}.exponent", axis)
        if pair is None:
            found.append(_Check(text, words, reason=held.get(axis, f"{axis} does not vary")))
            continue
        gap = pair[0] - pair[1]
        met = gap > 0 if more else (gap < 0) & ((gap > -1) | (axis != _ALONG))
        found.append(_Check(text, words, pair, _there(values, axis), met))
    for axis, letter in (("n_params", "m"), ("n_finetune", "f")):
        text, words = f"lambda_{letter} ~ lambda'_{letter}", f"both lambdas of {axis} are within a factor of {factor:g}"
        pair = _of_both(values, "{side}.level.{axis}", axis)
        if pair is None:
            found.append(_Check(text, words, reason=held.get(axis, f"{axis} does not vary")))
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            met = np.abs(np.log(pair[0] / pair[1])) <= np.log(factor)
            found.append(_Check(text, words, (1 / pair[0], 1 / pair[1]), _there(values, axis), met))
    return found


def _of_both(values: dict[str, Array], name: str, axis: str) -> tuple[Array, Array] | None:
    """Return a parameter of both recipes; None where one of them does not have it."""
    found = [values.get(name.format(side=side, axis=axis)) for side in (0, 1)]
    first, second = found
    return None if first is None or second is None else (first, second)


def _there(values: dict[str, Array], axis: str) -> Truth:
    """Return which draws have the term of an axis in both recipes."""
    head = "fall" if axis == _ALONG else f"level.{axis}"
    known: Truth = (values[f"0.{head}"] > 0) & (values[f"1.{head}"] > 0)
    return known


def _summary(values: Array, level: float) -> tuple[float, float, float] | None:
    """Return the median and the ends of the central interval."""
    if not len(values):
        return None
    middle, low, high = np.quantile(values, [0.5, (1 - level) / 2, (1 + level) / 2]).tolist()
    return middle, low, high


def _consequences(draws: Draws, checks: list[_Check], chosen: Selection) -> dict[str, Any]:
    """Return how often all conditions hold, and what the difference does where they do and where they do not."""
    made = [(check.known, check.met) for check in checks if check.known is not None and check.met is not None]
    meets = np.all([known & met for known, met in made], axis=0)
    fails = np.any([known & ~met for known, met in made], axis=0)
    whole = np.array([one.regime for one in draws.differences])
    inside = np.array([one.regime_in(chosen.low, chosen.high) for one in draws.differences])
    stops = np.isin(whole, _STOPS)
    return {
        "all_hold": float(meets.mean()),
        "some_fails": float(fails.mean()),
        "regime_probability": _ranked(inside),
        "regime_global_probability": _ranked(whole),
        "regime_global_if_they_hold": _ranked(whole[meets]),
        "worse_in_the_end": float(np.mean([one.offset < 0 for one in draws.differences])),
        "threshold": float(stops.mean()),
        "threshold_if_they_hold": float(stops[meets].mean()) if meets.any() else None,
        "threshold_if_one_fails": float(stops[fails].mean()) if fails.any() else None,
    }


def _ranked(names: NDArray[Any]) -> dict[str, float]:
    """Return the share of each name, largest first."""
    known, counts = np.unique(names, return_counts=True)
    ranked = sorted(zip(counts.tolist(), known.tolist(), strict=True), reverse=True)
    return {str(name): count / len(names) for count, name in ranked}
