r"""What the data say about each term: how much it moves, and whether its exponent is known at all.

An exponent's *profile* is the objective when that exponent is held elsewhere and all else is fitted again. It is read
as a likelihood: n log(O / O_best) for squares, twice that where Huber's loss is linear. What stays within the 90% point
of chi-squared with one degree of freedom is not excluded by the data.

A term is identified unless its exponent is at a bound or held, or its coefficient is 0, or leaving the term out costs
nothing that shows, or its profile is flat: values a factor of four apart are both allowed.

Notation: n runs, k axes, K trial exponents an axis (factors of the fitted one; 0 leaves the term out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.additive import BELOW, AdditiveSolution
from tippingpoint.fitting.descent import Problem, descend, values
from tippingpoint.fitting.held_additive import HeldAdditive
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.polish import curve, polish
from tippingpoint.fitting.surface import lowered

__all__ = ["GivenTerm", "Identifiability", "given_terms", "term_identifiability"]

Array = NDArray[np.float64]

_FACTORS = np.array([0.0, 0.125, 0.25, 0.5, 2.0, 4.0, 8.0])
_ALLOWED = 2.706  # 90% point of chi-squared, one degree of freedom
_NOT_NEEDED = 4.605  # and with two: a term is a coefficient and an exponent
_FLAT = 4.0  # factor between allowed exponents from which a profile is called flat


@dataclass(frozen=True)
class Identifiability:
    """What the data say about one term.

    Attributes
    ----------
    identified : bool
        Whether exponent and coefficient are both determined.
    swing : float
        How far the term moves the target between the smallest and the largest size of the data, in its units.
    at_reference : float
        The term at the geometric mean of the sizes, in the target's units.
    flat : bool
        Whether the profile of the exponent allows values a factor of four apart.
    needed : bool
        Whether leaving the term out makes the fit visibly worse.
    at_bound : bool
        Whether the exponent is at a bound.
    allowed : tuple of float
        Least and greatest trial exponent that the data do not exclude (a coarse bracket, not an interval).
    reason : str
        Why it is not identified; empty if it is.
    doubt : bool
        Whether ``reason`` comes from the profile, not from the solution's own status.
    given : bool
        Whether the exponent was fixed beforehand.
    """

    identified: bool
    swing: float
    at_reference: float
    flat: bool
    needed: bool
    at_bound: bool
    allowed: tuple[float, float]
    reason: str
    doubt: bool
    given: bool = False


@np.errstate(all="ignore")
def term_identifiability(
    solution: AdditiveSolution,
    sizes: Array,
    y: Array,
    objective: Objective,
    *,
    weights: Array | None = None,
    independent: float | None = None,
    held: HeldAdditive | None = None,
) -> list[Identifiability]:
    """Judge every term of a fit.

    Parameters
    ----------
    solution : AdditiveSolution
        The fit.
    sizes : ndarray, shape (n, k)
    y : ndarray, shape (n,)
        The data it was fitted to.
    objective : Objective
        What was minimised.
    weights : ndarray, shape (n,), optional
        What the fit was weighted with, up to one factor; runs of weight 0 do not count.
    independent : float, optional
        Runs that count as independent (checkpoints); the sum of the weights by default.
    held : HeldAdditive, optional
        The fit under constraints that the solution comes from.

    Returns
    -------
    list of k Identifiability
    """
    own = np.ones(len(y)) if weights is None else weights
    sizes, y, own = sizes[own > 0], y[own > 0], own[own > 0]
    at_reference = solution.coefficients * solution.reference**-solution.exponents
    low, high = sizes.min(axis=0) / solution.reference, sizes.max(axis=0) / solution.reference
    swings = at_reference * (low**-solution.exponents - high**-solution.exponents)
    count = own.sum() if independent is None else independent
    if held is None:
        worse = _profiles(solution, sizes, y, objective, own)
    else:
        worse = _held_profiles(held, sizes, y, objective, own)
    linear = float(own @ (np.abs(objective.residuals(solution.predict(sizes), y)) > objective.delta) / own.sum())
    worse *= count * (1.0 + linear)
    return [
        _judge(solution, axis, float(swings[axis]), float(at_reference[axis]), worse[axis], _ends(solution, axis, held))
        for axis in range(len(at_reference))
    ]


def _ends(solution: AdditiveSolution, axis: int, held: HeldAdditive | None) -> tuple[float, float]:
    """Return the bounds of an axis's exponent, both the same if it was given."""
    place = None if held is None else np.flatnonzero(held.moving == axis)
    if held is None or place is None or not len(place) or solution.held[axis]:
        return -np.inf, solution.max_exponent
    free = held.law.place_of(f"{held.law.axes[int(place[0])]}.exponent")
    if free is None:
        return (float(solution.exponents[axis]),) * 2
    low, high = held.law.shapes[free].low, held.law.shapes[free].high
    return (low if low > 0 else -np.inf), high


def _log_ratio(fitted: Array, best: float, weights: Array) -> Array:
    """Return log(O / O_best), never below 0."""
    exact = 1e-24 * weights.sum()
    ratio: Array = np.log(np.maximum((fitted + exact) / (best + exact), 1.0))
    return ratio


def _held_profiles(held: HeldAdditive, sizes: Array, y: Array, objective: Objective, weights: Array) -> Array:
    """Return log(O / O_best) of every trial exponent under constraints, shape (k, K).

    A shared exponent is tried for all its axes together, a fixed one stays; the term left out has coefficient 0.
    """
    inner, law, trials = held.inner, held.law, len(_FACTORS)
    m = len(law.weights)
    names = [f"{axis}.exponent" for axis in law.axes]
    rows = len(names) * trials
    start, frozen = np.tile(inner.theta, (rows, 1)), np.zeros((rows, len(inner.theta)), dtype=bool)
    scaled = law.in_units(inner.y_unit)
    for axis, name in enumerate(names):
        free = law.place_of(name)
        for trial, factor in enumerate(_FACTORS):
            row = axis * trials + trial
            if factor == 0.0:
                start[row, 1 + axis], frozen[row, 1 + axis] = 0.0, True
            elif free is not None:
                start[row, m + free] = np.clip(
                    factor * start[row, m + free], scaled.low[m + free], scaled.high[m + free]
                )
                frozen[row, m + free] = True
    start[:, 0] += 1e-9
    logs = np.log(sizes[:, held.moving]) - inner.log_reference
    problem = Problem(scaled, logs, (y / inner.y_unit)[None], weights[None], objective.scaled(inner.y_unit), frozen)
    best = values(inner.theta[None], problem, np.array([objective.delta]))[0]
    fitted = descend(lowered(start, problem), problem, first_delta=0.01)
    found = np.zeros((sizes.shape[1], trials))
    found[held.moving] = _log_ratio(fitted.value, best, weights).reshape(len(names), trials)
    return found


def _profiles(solution: AdditiveSolution, sizes: Array, y: Array, objective: Objective, weights: Array) -> Array:
    """Return log(O / O_best) of every trial exponent, shape (k, K)."""
    k, trials = sizes.shape[1], len(_FACTORS)
    unit = float(np.abs(y).mean()) or 1.0
    logs = np.log(sizes / solution.reference)
    scaled = solution.coefficients * solution.reference**-solution.exponents / unit
    best = np.concatenate([[solution.floor / unit], scaled, solution.exponents])
    start = np.tile(best, (k * trials, 1))
    held = np.tile(solution.held, (k * trials, 1))
    for axis in range(k):
        rows = slice(axis * trials, (axis + 1) * trials)
        start[rows, 1 + k + axis] = np.minimum(_FACTORS * solution.exponents[axis], solution.max_exponent)
        held[rows, axis] = True
    start[:, 0] += 1e-9
    own = objective.scaled(unit)
    if objective.on_rates:
        start[:, : 1 + k] *= np.minimum(1.0, BELOW * own.ceiling / curve(start, logs)[0].max(axis=1))[:, None]
    fitted = polish(start, logs, y / unit, weights[None], own, solution.max_exponent, held=held, first_delta=0.01)
    best_value = float(weights @ own.loss(solution.predict(sizes) / unit, own.aim(y / unit)))
    return _log_ratio(fitted.value, best_value, weights).reshape(k, trials)


def _judge(
    solution: AdditiveSolution, axis: int, swing: float, at_reference: float, worse: Array, ends: tuple[float, float]
) -> Identifiability:
    """Put one term's findings into a verdict with its reason."""
    exponent = float(solution.exponents[axis])
    given = ends[0] == ends[1]
    trial = np.clip(_FACTORS * exponent, *ends)
    allowed = [exponent, *trial[(worse <= _ALLOWED) & (_FACTORS > 0)].tolist()]
    bracket = (min(allowed), max(allowed))
    needed = bool(worse[0] > _NOT_NEEDED) and swing > 0
    flat = swing <= 0 or bracket[1] >= _FLAT * bracket[0]
    at_bound = not given and (exponent >= ends[1] * (1 - 1e-9) or exponent <= ends[0])
    doubt = False
    if solution.constant[axis]:
        reason = "it has a single size, so that its term is part of the floor"
    elif solution.held[axis]:
        reason = "it has two sizes, so that only their difference is known"
    elif swing <= 0:
        reason = "its coefficient is 0: the target does not fall along it"
    elif at_bound:
        reason = f"its exponent is at the bound {exponent:g}"
    elif not needed:
        reason, doubt = "leaving its term out makes the fit no worse than chance would", True
    elif given:
        reason = "its exponent was given"
    elif flat:
        reason, doubt = f"exponents from {bracket[0]:.3g} to {bracket[1]:.3g} fit about equally well", True
    else:
        reason = ""
    return Identifiability(not reason, swing, at_reference, flat, needed, at_bound, bracket, reason, doubt, given)


@dataclass(frozen=True)
class GivenTerm:
    """What can be said of one term of a law that others published, without their data.

    Attributes
    ----------
    greatest, least : float
        The term at the smallest and at the largest size of the range, in the target's units.
    swing : float
        Their difference: how far the axis moves the target over the range.
    shows : bool
        Whether the swing could be measured at all.
    reason : str
        Why the term cannot be a finding; empty if it can.
    """

    greatest: float
    least: float
    swing: float
    shows: bool
    reason: str


def given_terms(
    coefficients: Array,
    exponents: Array,
    ranges: Array,
    *,
    resolution: float = 1e-4,
    steepest: float = 4.0,
) -> list[GivenTerm]:
    """Audit the terms of a law that is given, not fitted: which of them the data behind it cannot have determined.

    Parameters
    ----------
    coefficients, exponents : ndarray, shape (k,)
        In raw units.
    ranges : ndarray, shape (k, 2)
        Smallest and largest size of each axis in the data behind the law.
    resolution : float, default 1e-4
        Least difference of the target that could be measured: one image of a test set of 10,000.
    steepest : float, default 4
        Exponent from which a doubling leaves less than a sixteenth: such values are where optimisers end, not findings.

    Returns
    -------
    list of k GivenTerm
    """
    found = []
    for coefficient, exponent, (low, high) in zip(coefficients, exponents, ranges, strict=True):
        with np.errstate(divide="ignore", under="ignore"):
            greatest, least = (float(np.exp(np.log(coefficient) - exponent * np.log(size))) for size in (low, high))
        reasons = []
        if greatest - least < resolution:
            reasons.append(f"it moves the target by {greatest - least:.2g} over the range, less than can be measured")
        if exponent >= steepest:
            reasons.append(f"an exponent of {exponent:g} is where an optimiser ends, not a decay that was seen")
        found.append(GivenTerm(greatest, least, greatest - least, greatest - least >= resolution, "; ".join(reasons)))
    return found
