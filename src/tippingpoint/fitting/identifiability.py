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

from tippingpoint.fitting.additive import AdditiveSolution
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.polish import polish

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
        Whether the exponent is at its upper bound.
    allowed : tuple of float
        Least and greatest trial exponent that the data do not exclude (a coarse bracket, not an interval).
    reason : str
        Why it is not identified; empty if it is.
    doubt : bool
        Whether ``reason`` comes from the profile, not from the solution's own status.
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


@np.errstate(all="ignore")
def term_identifiability(
    solution: AdditiveSolution, sizes: Array, y: Array, objective: Objective, *, independent: int | None = None
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
    independent : int, optional
        Runs that count as independent (checkpoints); n by default.

    Returns
    -------
    list of k Identifiability
    """
    at_reference = solution.coefficients * solution.reference**-solution.exponents
    low, high = sizes.min(axis=0) / solution.reference, sizes.max(axis=0) / solution.reference
    swings = at_reference * (low**-solution.exponents - high**-solution.exponents)
    worse = _profiles(solution, sizes, y, objective, independent or len(y))
    return [
        _judge(solution, axis, float(swings[axis]), float(at_reference[axis]), worse[axis])
        for axis in range(len(at_reference))
    ]


def _profiles(solution: AdditiveSolution, sizes: Array, y: Array, objective: Objective, independent: int) -> Array:
    """Return the likelihood ratio statistic of every trial exponent, shape (k, K)."""
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
    fitted = polish(
        start, logs, y / unit, np.ones((1, len(y))), objective, solution.max_exponent, held=held, first_delta=0.01
    )
    exact = 1e-24 * len(y)
    best_value = (solution.objective if objective.on_logs else solution.objective / unit**2) + exact
    residuals = objective.residuals(solution.predict(sizes), y)
    linear = float((np.abs(residuals) > objective.delta).mean())
    ratio = np.log(np.maximum((fitted.value + exact) / best_value, 1.0))
    statistic: Array = independent * (1.0 + linear) * ratio.reshape(k, trials)
    return statistic


def _judge(solution: AdditiveSolution, axis: int, swing: float, at_reference: float, worse: Array) -> Identifiability:
    """Put one term's findings into a verdict with its reason."""
    exponent = float(solution.exponents[axis])
    trial = np.minimum(_FACTORS * exponent, solution.max_exponent)
    allowed = [exponent, *trial[(worse <= _ALLOWED) & (_FACTORS > 0)].tolist()]
    bracket = (min(allowed), max(allowed))
    needed = bool(worse[0] > _NOT_NEEDED) and swing > 0
    flat = swing <= 0 or bracket[1] >= _FLAT * bracket[0]
    at_bound = exponent >= solution.max_exponent * (1 - 1e-9)
    doubt = False
    if solution.constant[axis]:
        reason = "it has a single size, so that its term is part of the floor"
    elif solution.held[axis]:
        reason = "it has two sizes, so that only their difference is known"
    elif swing <= 0:
        reason = "its coefficient is 0: the target does not fall along it"
    elif at_bound:
        reason = f"its exponent is at the bound {solution.max_exponent:g}"
    elif not needed:
        reason, doubt = "leaving its term out makes the fit no worse than chance would", True
    elif flat:
        reason, doubt = f"exponents from {bracket[0]:.3g} to {bracket[1]:.3g} fit about equally well", True
    else:
        reason = ""
    return Identifiability(not reason, swing, at_reference, flat, needed, at_bound, bracket, reason, doubt)


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
