"""The additive law with parameters that are fixed, bounded or shared, fitted as any formula and told as the law itself.

Without constraints :func:`tippingpoint.fitting.additive.fit_additive` is the faster way to the same numbers.

Notation: n runs, k axes, of which those with more than one size *move*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.additive import CUSTOMARY_EXPONENT, NO_WORSE, AdditiveSolution
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.fitting.status import STATUSES, StatusInput, of_axes
from tippingpoint.fitting.surface import SurfaceSolution, fit_surface
from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.constrained import Constrained

__all__ = ["HeldAdditive", "fit_held_additive"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class HeldAdditive:
    """An additive law fitted under constraints.

    Attributes
    ----------
    solution : AdditiveSolution
        Over all axes.
    law : Constrained
        The additive formula over the axes that move, under the constraints.
    inner : SurfaceSolution
        Its fit.
    moving : ndarray of int
        Which of the axes these are.
    """

    solution: AdditiveSolution
    law: Constrained
    inner: SurfaceSolution
    moving: Index

    def predict(self, sizes: Array) -> Array:
        """Return f at sizes (n, k)."""
        return self.solution.predict(sizes)


def fit_held_additive(
    axes: Sequence[str],
    sizes: Array,
    y: Array,
    setting: FitSetting,
    weights: Array,
    start: HeldAdditive | None = None,
) -> HeldAdditive:
    """Fit the additive law under the constraints of a setting.

    Parameters
    ----------
    axes : sequence of str
        Names of the axes, which the setting's parameters are named after.
    sizes : ndarray, shape (n, k)
    y : ndarray, shape (n,)
    setting : FitSetting
    weights : ndarray, shape (n,)
        Multiplicities; runs of weight 0 do not count.
    start : HeldAdditive, optional
        A fit of the same runs under nearly the same weights.

    Raises
    ------
    FitError
        The constraints are wrong, or the arrays.
    """
    law = Constrained.of(AdditiveFormula(axes, setting.max_exponent), setting.fixed, setting.bounds, setting.shared)
    distinct = np.array([len(np.unique(column)) for column in sizes[weights > 0].T])
    moving = np.flatnonzero(distinct > 1)
    moving = moving if len(moving) else np.arange(1)
    tight = _untold(law, distinct)

    def fitted(part: Constrained) -> HeldAdditive:
        found = fit_surface(
            part,
            sizes[:, moving],
            y,
            weights=weights,
            objective=setting.objective,
            huber_delta=setting.huber_delta,
            start=None if start is None else start.inner,
        )
        return HeldAdditive(_solution(found, part, law, moving, sizes, weights, tight), part, found, moving)

    if start is not None:
        return fitted(start.law)
    held = {name: float(np.clip(CUSTOMARY_EXPONENT, low, high)) for name, (low, high) in tight.items()}
    best = last = fitted(_over(law, moving, held))
    while tight and _at_least(last) and all(held[name] < high for name, (_, high) in tight.items()):
        held = {name: min(2 * value, tight[name][1]) for name, value in held.items()}
        last = fitted(_over(law, moving, held))
        if last.inner.objective < best.inner.objective * (1 - NO_WORSE) - 1e-20 * weights.sum():
            best = last
    return best


def _at_least(fit: HeldAdditive) -> bool:
    """Whether the floor is at its least value, so that a steeper exponent of two sizes may fit better."""
    return bool(fit.inner.theta[0] * fit.inner.y_unit <= fit.law.floor_bounds[0] * (1 + 1e-12))


def _untold(law: Constrained, distinct: Index) -> dict[str, tuple[float, float]]:
    """Return the exponents that two sizes cannot tell, with their bounds.

    An exponent that is shared with an axis of more sizes is told by it, and a known floor tells one of them.
    """
    told = {
        law.place_of(f"{axis}.exponent") for axis, count in zip(law.axes, distinct, strict=True) if count > 2
    }  # of a fixed exponent the place is None
    found = {}
    for axis, count in zip(law.axes, distinct, strict=True):
        place = law.place_of(f"{axis}.exponent")
        if count == 2 and place is not None and place not in told:
            found[f"{axis}.exponent"] = (law.shapes[place].low, law.shapes[place].high)
    known = law.floor_bounds[0] == law.floor_bounds[1]
    return {} if known and len(found) == 1 and (distinct > 1).all() else found


def _over(law: Constrained, moving: Index, held: dict[str, float]) -> Constrained:
    """Return the constrained law over some of its axes, with more exponents held."""
    axes = [law.axes[place] for place in moving]
    fixed, bounds = {"floor": law.floor_bounds[0]}, {"floor": law.floor_bounds}
    if law.floor_bounds[0] < law.floor_bounds[1]:
        fixed = {}
    else:
        bounds = {}
    together: dict[int, list[str]] = {}
    for name in (f"{axis}.exponent" for axis in axes):
        place = law.place_of(name)
        if name in held or place is None:
            fixed[name] = held.get(name, law.fixed.get(name, 0.0))
        else:
            bounds[name] = (law.shapes[place].low, law.shapes[place].high)
            together.setdefault(place, []).append(name)
    shared = [names for names in together.values() if len(names) > 1]
    return Constrained.of(AdditiveFormula(axes, law.max_exponent), fixed, bounds, shared)


def _solution(
    fit: SurfaceSolution,
    part: Constrained,
    law: Constrained,
    moving: Index,
    sizes: Array,
    weights: Array,
    tight: dict[str, tuple[float, float]],
) -> AdditiveSolution:
    """Put a fit over the axes that move into the form of the additive law."""
    k = len(law.axes)
    counted = sizes[weights > 0]
    reference = np.exp(np.log(counted).mean(axis=0))
    linear, exponents = fit.theta[: 1 + len(moving)] * fit.y_unit, part.whole(fit.theta[None, 1 + len(moving) :])[0]
    constant = np.array([len(np.unique(column)) == 1 for column in counted.T])
    floor = float(np.clip(linear[0], *law.floor_bounds) + linear[1:][constant[moving]].sum())
    coefficients, powers = np.zeros(k), np.zeros(k)
    powers[moving] = exponents
    coefficients[moving] = linear[1:] * reference[moving] ** exponents
    coefficients[constant] = 0.0
    given = np.array([f"{axis}.exponent" in law.fixed for axis in law.axes])
    powers[(coefficients == 0) & ~given] = 0.0
    held = np.array([f"{axis}.exponent" in tight for axis in law.axes]) & (coefficients > 0)
    logs = np.log(counted / reference)[:, moving]
    theta = np.concatenate([linear / fit.y_unit, exponents])
    told = StatusInput(theta, logs, weights[weights > 0], moving, held, constant, law.max_exponent)
    absent = tuple(f"{axis}.exponent " for axis, one in zip(law.axes, coefficients, strict=True) if one == 0)
    reasons = [reason for reason in fit.reasons if not (absent and reason.startswith(absent))]
    more = of_axes(told)
    status = min([fit.status, *(["unidentified"] if more else [])], key=STATUSES.index)
    return AdditiveSolution(
        floor,
        coefficients,
        powers,
        fit.objective,
        status,
        (*more, *reasons),
        reference,
        held,
        constant,
        law.max_exponent,
    )
