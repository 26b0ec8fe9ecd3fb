r"""A law some of whose parameters are known, bounded or equal: still a formula, over the parameters that are left.

.. math:: s = s_{fixed} + A\,z, \qquad z^{low} \le z \le z^{high}

z are the free, distinct shape parameters; a row of A has a 1 for each shape that takes its value, so that shared
exponents are one free parameter and their slopes add up. Only the floor among the weights may be fixed or bounded, in
units of y; coefficients are solved for, whatever the shape is.

Notation: q shapes of the law, z of them free and distinct; n, m, R as in :mod:`tippingpoint.laws.formula`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError, did_you_mean
from tippingpoint.laws.formula import Formula, Shape

__all__ = ["Constrained", "constrain"]

Array = NDArray[np.float64]
Pair = tuple[float, float]
Fixed = Mapping[str, float]
Bounds = Mapping[str, tuple[float | None, float | None]]
Shared = Sequence[Sequence[str]]

GREATEST = 100.0  # exponent that may be asked for
_FLOOR = "floor"


class _Group(NamedTuple):
    """Shapes with one value: their places in the law, and the bounds they have in common."""

    places: tuple[int, ...]
    low: float
    high: float


class Constrained(Formula):
    """A formula with some parameters held; made by :func:`constrain`.

    Parameters
    ----------
    inner : Formula
        The law.
    groups : sequence of groups
        Free, distinct shape parameters.
    fixed : mapping of str to float
        Values of the shape parameters that are known.
    floor : tuple of float
        Bounds of the floor, in units of y; both the same where it is known.

    Attributes
    ----------
    inner : Formula
    fixed : dict of str to float
        Shape parameters that are known.
    floor_bounds : tuple of float
    """

    name: ClassVar[str] = "constrained"
    title: ClassVar[str] = "Constrained law"

    def __init__(
        self, inner: Formula, groups: Sequence[_Group], fixed: Mapping[str, float], floor: Pair = (0.0, np.inf)
    ) -> None:
        super().__init__(inner.axes, inner.max_exponent)
        self.inner = inner
        self.fixed = dict(fixed)
        self.floor_bounds = floor
        self.weights = inner.weights
        self._groups = tuple(groups)
        self.shapes = tuple(_merged(inner.shapes, group) for group in self._groups)
        self._base = np.array([self.fixed.get(shape.name, 0.0) for shape in inner.shapes])
        self._map = np.zeros((len(self._groups), len(inner.shapes)))  # (z, q), A transposed
        for row, group in enumerate(self._groups):
            self._map[row, list(group.places)] = 1.0

    @classmethod
    def of(cls, formula: Formula, fixed: Fixed, bounds: Bounds, shared: Shared) -> Constrained:
        """Return a formula under constraints as :func:`constrain` does, and also where there are none."""
        return _read(formula, fixed, bounds, shared)

    def whole(self, shape: Array) -> Array:
        """Return the law's shapes (R, q) for free ones (R, z)."""
        found: Array = self._base + shape @ self._map
        return found

    def place_of(self, name: str) -> int | None:
        """Return which free parameter a shape of the law takes its value from, None if it is fixed."""
        at = [shape.name for shape in self.inner.shapes].index(name)
        return next((row for row, group in enumerate(self._groups) if at in group.places), None)

    def features(self, logs: Array, shape: Array) -> Array:
        """Return Phi of the law."""
        return self.inner.features(logs, self.whole(shape))

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return df/dz: the sum of the slopes of all shapes that share a value."""
        slopes: Array = self._map @ self.inner.slopes(logs, weights, self.whole(shape))
        return slopes

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return every parameter of the law, the fixed ones too."""
        found = self.inner.raw(weights, self.whole(shape), log_reference)
        if _FLOOR in self.weights:  # exactly the bound that was asked for, whatever unit the fit was in
            found[_FLOOR] = np.clip(found[_FLOOR], *self.floor_bounds)
        return found

    def term(self, axis: str, parameters: dict[str, float]) -> tuple[float | None, float | None]:
        """Return what the law does."""
        return self.inner.term(axis, parameters)

    def latex(self, parameters: Mapping[str, float]) -> str:
        """Return what the law says."""
        return self.inner.latex(parameters)

    def from_additive(self, weights: Array, exponents: Array) -> Array | None:
        """Return the law's starts, brought inside the constraints."""
        found = self.inner.from_additive(weights, exponents)
        return None if found is None else self.brought_in(found)

    def brought_in(self, found: Array) -> Array:
        """Return parameters (R, m + q) of the law without constraints, brought inside the bounds of its shapes."""
        m = len(self.weights)
        count = np.maximum(self._map.sum(axis=1), 1.0)
        shape = np.clip(found[:, m:] @ self._map.T / count, self.low[m:], self.high[m:])
        return np.concatenate([found[:, :m], shape], axis=1)

    def in_units(self, unit: float) -> Formula:
        """Return the law for y divided by a unit, which the floor's bounds are divided by."""
        low, high = self.floor_bounds
        return Constrained(self.inner, self._groups, self.fixed, (low / unit, high / unit))

    def _bounds(self, end: int) -> Array:
        weights = [self.floor_bounds[end] if name == _FLOOR else (0.0, np.inf)[end] for name in self.weights]
        return np.array([*weights, *((shape.low, shape.high)[end] for shape in self.shapes)], dtype=float)

    @property
    def low(self) -> Array:
        """Lower bounds of weights and free shapes, (m + z,)."""
        return self._bounds(0)

    @property
    def high(self) -> Array:
        """Upper bounds of weights and free shapes, (m + z,)."""
        return self._bounds(1)


def _merged(shapes: Sequence[Shape], group: _Group) -> Shape:
    """Return the one free parameter of a group."""
    own = [shapes[place] for place in group.places]
    low, high = max(shape.usual[0] for shape in own), min(shape.usual[1] for shape in own)
    usual = (max(low, group.low), min(high, group.high))
    if usual[0] >= usual[1]:
        usual = (group.low, group.high)
    axis = own[0].axis if len(own) == 1 else None
    name = " = ".join(shape.name for shape in own)
    return own[0]._replace(name=name, low=group.low, high=group.high, usual=usual, axis=axis)


def constrain(
    formula: Formula,
    fixed: Fixed,
    bounds: Bounds,
    shared: Shared,
) -> Formula:
    """Return a formula under constraints: the formula itself where there are none.

    Parameters
    ----------
    formula : Formula
        The law.
    fixed : mapping of str to float
        Known values: of the floor, in units of y, and of shape parameters by name.
    bounds : mapping of str to (float or None, float or None)
        Least and greatest value; None leaves an end as the law has it. Exponents may go beyond the law's own greatest.
    shared : sequence of sequences of str
        Shape parameters with one value in common.

    Raises
    ------
    FitError
        Every name that is unknown or cannot be held, every interval that is empty, and what contradicts itself.
    """
    return Constrained.of(formula, fixed, bounds, shared) if fixed or bounds or shared else formula


def _read(formula: Formula, fixed: Fixed, bounds: Bounds, shared: Shared) -> Constrained:
    """Return the law under constraints, or raise all that is wrong with them."""
    reader = _Reader(formula)
    known = {name: reader.number(name, value) for name, value in fixed.items() if reader.knows(name)}
    spans = {name: reader.span(name, ends) for name, ends in bounds.items() if reader.knows(name)}
    parts = reader.groups(shared)
    reader.contradictions(known, spans)
    if reader.faults:
        raise FitError(dict.fromkeys(reader.faults))
    floor = (known[_FLOOR],) * 2 if _FLOOR in known else spans.get(_FLOOR, (0.0, np.inf))
    groups, values = reader.free(parts, known, spans)
    if reader.faults:
        raise FitError(dict.fromkeys(reader.faults))
    return Constrained(formula, groups, values, floor)


class _Reader:
    """Reads constraints and keeps what is wrong with them."""

    def __init__(self, formula: Formula) -> None:
        self.formula = formula
        self.faults: list[str] = []
        self._shapes = _free_of_units(formula)
        self._names = [*([_FLOOR] if _FLOOR in formula.weights else []), *self._shapes]

    def knows(self, name: str) -> bool:
        """Whether a parameter can be held; say why if not."""
        if name in self._names:
            return True
        if name in self.formula.weights or name in {shape.name for shape in self.formula.shapes}:
            other = "the floor or an exponent" if _FLOOR in self._names else "an exponent"
            self.faults.append(
                f"{name} is a coefficient, which is found by the fit and cannot be held; fix or bound {other} instead."
            )
        elif name == _FLOOR:
            self.faults.append(f"The {self.formula.name} law has no floor that could be held.")
        else:
            near = did_you_mean(name, self._names) or f" There are: {', '.join(self._names)}."
            self.faults.append(f"The {self.formula.name} law has no parameter '{name}' that could be held.{near}")
        return False

    def limits(self, name: str) -> Pair:
        """Return what the law itself allows."""
        if name == _FLOOR:
            return 0.0, np.inf
        shape = self.formula.shapes[self._shapes[name]]
        is_exponent = shape.high == self.formula.max_exponent
        return shape.low, max(GREATEST, shape.high) if is_exponent else shape.high

    def default(self, name: str) -> Pair:
        """Return the bounds of a parameter of which nothing is said."""
        shape = self.formula.shapes[self._shapes[name]]
        return shape.low, shape.high

    def number(self, name: str, value: Any) -> float:
        """Return a value that a parameter may have."""
        low, high = self.limits(name)
        found = _float(value)
        if not np.isfinite(found) or not low <= found <= high:
            self.faults.append(f"{name} is fixed at {value!r}; it must be a number {_range(low, high)}.")
        return found

    def span(self, name: str, ends: Any) -> Pair:
        """Return bounds that a parameter may have."""
        least, greatest = self.limits(name)
        own = (0.0, np.inf) if name == _FLOOR else self.default(name)
        try:
            first, last = ends
        except (TypeError, ValueError):
            self.faults.append(f"The bounds of {name} are {ends!r}; they must be two numbers, or None for an open end.")
            return own
        low = own[0] if first is None else _float(first)
        high = own[1] if last is None else _float(last)
        if np.isnan(low) or np.isnan(high):
            self.faults.append(f"The bounds of {name} are {ends!r}; they must be two numbers, or None for an open end.")
        elif low > high:
            self.faults.append(f"The bounds of {name} are {low:g} to {high:g}; the first must not be the greater one.")
        elif low < least or low == np.inf or (high > greatest and last is not None):
            self.faults.append(f"The bounds of {name} are {low:g} to {high:g}; they must be {_range(least, greatest)}.")
        return low, high

    def groups(self, shared: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the shapes that have one value in common."""
        found: list[list[str]] = []
        seen: set[str] = set()
        for group in shared:
            names = [group] if isinstance(group, str) else list(dict.fromkeys(group))
            if _FLOOR in names and _FLOOR in self._names:
                self.faults.append("The floor cannot be shared; only shape parameters such as exponents can.")
                continue
            known = [name for name in names if self.knows(name)]
            if len(names) < 2:
                self.faults.append(f"Sharing needs two parameters or more, and {', '.join(names) or 'none'} was given.")
            twice = [name for name in known if name in seen]
            self.faults += [f"{name} is in two groups of shared parameters; make them one group." for name in twice]
            seen.update(known)
            found.append(known)
        return found

    def contradictions(self, fixed: Mapping[str, float], spans: Mapping[str, Pair]) -> None:
        """Find parameters that are fixed outside their own bounds."""
        for name in fixed:
            low, high = spans.get(name, (-np.inf, np.inf))
            if low <= high and not low <= fixed[name] <= high:
                self.faults.append(f"{name} is fixed at {fixed[name]:g}, outside its bounds {low:g} to {high:g}.")

    def free(
        self, shared: Sequence[Sequence[str]], fixed: Mapping[str, float], spans: Mapping[str, Pair]
    ) -> tuple[list[_Group], dict[str, float]]:
        """Return the free, distinct shape parameters, and the values of the others."""
        together = {name: tuple(group) for group in shared for name in group}
        found, values = [], {}
        for names in dict.fromkeys(together.get(shape.name, (shape.name,)) for shape in self.formula.shapes):
            if names[0] not in self._shapes:
                at = [shape.name for shape in self.formula.shapes].index(names[0])
                found.append(_Group((at,), self.formula.shapes[at].low, self.formula.shapes[at].high))
                continue
            ends = [spans.get(name, self.default(name)) for name in names]
            low, high = max(low for low, _ in ends), min(high for _, high in ends)
            known = {fixed[name] for name in names if name in fixed}
            listed = " and ".join(names)
            if len(known) > 1:
                self.faults.append(f"{listed} are shared and fixed at different values; fix one of them.")
            elif low > high:
                self.faults.append(f"{listed} are shared, and their bounds have no value in common.")
            elif known and len(names) > 1 and any(name in spans for name in names) and not low <= min(known) <= high:
                self.faults.append(
                    f"{listed} are shared and fixed at {min(known):g}, outside the bounds of one of them."
                )
            elif known or low == high:
                values.update(dict.fromkeys(names, min(known, default=low)))
            else:
                found.append(_Group(tuple(self._shapes[name] for name in names), low, high))
        return found, values


def _free_of_units(formula: Formula) -> dict[str, int]:
    """Return the places of the shapes that mean the same in any unit, by name: exponents, and no coefficients."""
    middle = np.array([[(shape.usual[0] + shape.usual[1]) / 2 for shape in formula.shapes]])
    weights = np.ones((1, len(formula.weights)))
    raws = [formula.raw(weights, middle, np.full(len(formula.axes), place)) for place in (0.0, 1.0)]
    return {
        shape.name: place
        for place, shape in enumerate(formula.shapes)
        if all(abs(float(raw[shape.name][0]) - middle[0, place]) <= 1e-9 * abs(middle[0, place]) for raw in raws)
    }


def _float(value: Any) -> float:
    """Return a number, NaN for what is none."""
    if isinstance(value, bool):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _range(low: float, high: float) -> str:
    return f"from {low:g} to {high:g}" if np.isfinite(high) else f"of {low:g} or more"
