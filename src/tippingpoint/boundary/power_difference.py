r"""The difference of two recipes along one axis, and where it is zero.

.. math:: F(D) = \Delta + a D^{-\alpha} - b D^{-\alpha'}, \qquad D > 0

``F`` is the error of the first recipe minus that of the second, everything but ``D`` held fixed: **positive where the
second recipe helps**. What the parameters mean: ``a`` and ``b`` are what the axis costs each recipe at ``D = 1``,
``alpha`` and ``alpha'`` how fast more of it heals that, and ``Delta`` is by how much the second recipe is better when
there is no end of it.

Notation
--------
x      natural logarithm of D; all searching is done in x, so that nothing overflows
D*     where F' = 0: ``(a alpha / (b alpha'))^(1 / (alpha - alpha'))``, Eq. (14) with its exponent turned right side up
pair   ``a D^-alpha - b D^-alpha'``, the part of F that depends on D
piece  a stretch of x in which F keeps one sign

Deliberately not built: negative coefficients (no law of ours has them) and a scan of a grid (it misses narrow windows).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from tippingpoint.boundary.exact_sign import exact_log_ratio, exact_sign
from tippingpoint.boundary.logs import clipped_sum, exp, log_complement, log_quotient, sign
from tippingpoint.errors import InputError

__all__ = ["REGIMES", "PowerDifference", "Regime"]

Regime = Literal["always", "never", "below", "above", "window", "outside_window", "equal"]
REGIMES: tuple[Regime, ...] = ("always", "never", "below", "above", "window", "outside_window", "equal")

_BY_SIGNS: dict[tuple[int, ...], Regime] = {
    (1,): "always",
    (-1,): "never",
    (1, -1): "below",
    (-1, 1): "above",
    (-1, 1, -1): "window",
    (1, -1, 1): "outside_window",
    (0,): "equal",
}
_EPS = float(np.finfo(float).eps)
_TOUCH = 1e-12  # an extremum that is zero to this share of its parts touches zero
_NARROW = 1e-12  # relative width in D to which a crossing is certified
_FLAT = 1e-100  # an exponent below it is zero
_STEEP = 1e6  # no exponent is larger


class _Pieces(NamedTuple):
    """Signs of F from small D to large, and the logarithms of D between them."""

    roots: tuple[float, ...]
    signs: tuple[int, ...]
    touches: bool = False


@dataclass(frozen=True)
class PowerDifference:
    """``F(D) = offset + a D^-alpha - b D^-alpha_prime`` over all D > 0.

    Parameters
    ----------
    offset : float
        Delta: what is left of the difference as D grows without end, in the target's unit.
    a, b : float
        Coefficients of the first and the second recipe in raw units, >= 0.
    alpha, alpha_prime : float
        Their exponents, 0 to 1e6. An exponent of zero (below 1e-100) moves its term into the offset.

    Raises
    ------
    InputError
        A parameter is not finite, a coefficient or an exponent is negative, or an exponent is above 1e6.

    Examples
    --------
    >>> F = PowerDifference(offset=-0.01, a=1.0, alpha=0.4, b=2.0, alpha_prime=0.6)
    >>> F.regime
    'window'
    >>> [round(D, 1) for D in F.crossings]
    [40.0, 52439.7]
    """

    offset: float
    a: float
    alpha: float
    b: float
    alpha_prime: float

    def __post_init__(self) -> None:
        faults = []
        for name in ("offset", "a", "alpha", "b", "alpha_prime"):
            try:
                value = float(getattr(self, name))
            except (TypeError, ValueError):
                value = math.nan
            object.__setattr__(self, name, value)
            if not math.isfinite(value):
                faults.append(f"PowerDifference: {name} is not a finite number; give one.")
            elif value < 0 and name != "offset":
                faults.append(f"PowerDifference: {name} is {value:g}; coefficients and exponents are zero or more.")
            elif value > _STEEP and name.startswith("alpha"):
                faults.append(f"PowerDifference: {name} is {value:g}; an exponent is at most {_STEEP:g}.")
        if faults:
            raise InputError(faults)

    @cached_property
    def _folded(self) -> tuple[float, float, float, float, float]:
        """The same F with constant terms in the offset and equal exponents in one term."""
        constants, a, b = [self.offset], self.a, self.b
        if self.alpha < _FLAT:
            constants, a = [*constants, a], 0.0
        if self.alpha_prime < _FLAT:
            constants, b = [*constants, -b], 0.0
        if self.alpha == self.alpha_prime:
            a, b = max(a - b, 0.0), max(b - a, 0.0)
        return clipped_sum(constants), a, self.alpha, b, self.alpha_prime

    @cached_property
    def _log_ratio(self) -> float:
        """ln(a / b) of the folded form, without losing digits where a and b are near."""
        _, a, _, b, _ = self._folded
        return log_quotient(a, b)

    @property
    def log_stationary(self) -> float | None:
        """Natural logarithm of D*; None where F has no stationary point."""
        _, a, _, b, _ = self._folded
        return None if a == 0 or b == 0 else self._log_extremum

    @cached_property
    def _log_extremum(self) -> float:
        """The logarithm of D*, where both powers are there."""
        _, _, alpha, _, alpha_prime = self._folded
        return (self._log_ratio + log_quotient(alpha, alpha_prime)) / (alpha - alpha_prime)  # Eq. (14), corrected

    @property
    def stationary(self) -> float | None:
        """D* of Eq. (14) with the exponent 1/(alpha - alpha'); None where F is monotone.

        0.0 or inf where D* is beyond the range of floating point; ``log_stationary`` has it then.
        """
        x = self.log_stationary
        return None if x is None else exp(x)

    @overload
    def __call__(self, D: float) -> float: ...
    @overload
    def __call__(self, D: NDArray[Any]) -> NDArray[np.float64]: ...
    def __call__(self, D: ArrayLike) -> float | NDArray[np.float64]:
        """Return F(D).

        Parameters
        ----------
        D : float or array_like
            Sizes, > 0, in raw units.

        Returns
        -------
        float or ndarray
            In the target's unit, of the shape of ``D``; infinite, with its sign, where F itself is beyond floats.

        Raises
        ------
        InputError
            A size is not positive.
        """
        x = np.log(_sizes(D))
        offset, a, alpha, b, alpha_prime = self._folded
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            if a == 0 or b == 0:
                log_c, p = (math.log(a), alpha) if a > 0 else (math.log(b) if b > 0 else -math.inf, alpha_prime)
                value = offset + (1.0 if a > 0 else -1.0) * np.exp(log_c - (p * x if a > 0 or b > 0 else 0.0))
            else:
                d = self._log_ratio - (alpha - alpha_prime) * x
                largest = np.maximum(math.log(a) - alpha * x, math.log(b) - alpha_prime * x)
                value = offset + np.sign(d) * np.exp(largest + np.log(-np.expm1(-np.abs(d))))
        value = np.broadcast_to(value, x.shape)
        return float(value) if value.ndim == 0 else np.array(value)

    def sign(self, D: ArrayLike) -> Any:
        """Return the sign of F(D), exact also where F(D) under- or overflows or nearly cancels.

        Parameters
        ----------
        D : float or array_like
            Sizes, > 0, in raw units.

        Returns
        -------
        int or ndarray of int
            1 where the second recipe helps, -1 where it harms, 0 where F vanishes.

        Raises
        ------
        InputError
            A size is not positive.
        """
        sizes = _sizes(D)
        signs = np.array([self._sign_of_size(float(size)) for size in sizes.ravel()], dtype=int)
        return int(signs[0]) if sizes.ndim == 0 else signs.reshape(sizes.shape)

    def _sign_of_size(self, size: float) -> int:
        """Return the sign at D; where floating point cannot tell, the logarithm of D is not taken from it either."""
        if math.isinf(size):
            return sign(self._folded[0])
        value, sure = self._scaled(math.log(size))
        return sign(value) if sure else self._exact(size=size)

    def _sign_at(self, x: float) -> int:
        """Return the sign at D = exp(x)."""
        value, sure = self._scaled(x)
        return sign(value) if sure else self._exact(x=x)

    def _exact(self, **place: float) -> int:
        """Return the sign at ``x`` or ``size`` from the parameters as given, before any folding was rounded."""
        return exact_sign(self.offset, self.a, self.alpha, self.b, self.alpha_prime, flat=_FLAT, **place)

    def _scaled(self, x: float) -> tuple[float, bool]:
        """Return F at exp(x) as a share of its largest part, and whether its sign is beyond rounding."""
        offset, a, alpha, b, alpha_prime = self._folded
        if a > 0 and b > 0:
            la, lb = math.log(a), math.log(b)
            turn = (alpha - alpha_prime) * x
            d = self._log_ratio - turn
            if d == 0:
                return float(sign(offset)), False
            doubt_d = 8 * _EPS * (abs(self._log_ratio) + abs(turn))
            log_pair = max(la - alpha * x, lb - alpha_prime * x) + log_complement(abs(d))
            doubt = 8 * _EPS * (1 + abs(la) + abs(lb) + (alpha + alpha_prime) * abs(x)) + doubt_d / abs(d)
            sure, side = abs(d) > 2 * doubt_d, sign(d)
        elif a > 0 or b > 0:
            log_c, p, side = (math.log(a), alpha, 1) if a > 0 else (math.log(b), alpha_prime, -1)
            log_pair, sure = log_c - p * x, True
            doubt = 8 * _EPS * (1 + abs(log_c) + p * abs(x))
        else:
            return float(sign(offset)), True
        if offset == 0 or (offset > 0) == (side > 0):
            return float(side), sure
        lead = log_pair - math.log(abs(offset))
        sure = sure and abs(lead) > doubt + 8 * _EPS * abs(math.log(abs(offset)))
        return (-side * math.expm1(-lead) if lead > 0 else side * math.expm1(lead)), sure

    @cached_property
    def _pieces(self) -> _Pieces:
        """The case list of docs/theory.md: the pieces of one sign and the crossings between them."""
        offset, a, alpha, b, _ = self._folded
        if a == 0 or b == 0:
            return self._single_power()
        first = 1 if alpha > self.alpha_prime else -1  # the sign as D -> 0: the larger exponent rules there
        x = self._log_extremum
        if offset == 0:
            return _Pieces((self._log_ratio / (alpha - self.alpha_prime),), (first, -first))
        if sign(offset) == -first:  # the extremum lies on the offset's side of zero
            return _Pieces((self._root(x, -1, first, -first),), (first, -first))
        lead = self._extremum_lead(x)
        if abs(lead) <= _TOUCH:
            return _Pieces((), (first,), touches=True)
        if lead < 0:
            return _Pieces((), (first,))
        low, high = self._root(x, -1, first, -first), self._root(x, 1, first, -first)
        return _Pieces((low, high), (first, -first, first))

    def _single_power(self) -> _Pieces:
        """F = offset + c D^-p with c of either sign, or a constant."""
        offset, a, alpha, b, alpha_prime = self._folded
        if a == 0 and b == 0:
            return _Pieces((), (sign(offset),))
        c, p, first = (a, alpha, 1) if a > 0 else (b, alpha_prime, -1)
        if offset == 0 or sign(offset) == first:
            return _Pieces((), (first,))
        return _Pieces((self._certified(log_quotient(c, abs(offset)) / p, first),), (first, -first))

    def _certified(self, root: float, first: int) -> float:
        """Return the crossing near a closed form that may have lost digits where the offset was folded.

        ``1e-8 + D^-1e-8 - 1`` crosses at ln D = 1; its folded offset, rounded, would say 1.00000001.
        """
        width = _NARROW * max(1.0, abs(root))
        if self._sign_at(root - width) == first and self._sign_at(root + width) == -first:
            return root
        while self._sign_at(root - width) != first or self._sign_at(root + width) != -first:
            width *= 2
        return self._bisect(root - width, root + width, -first)

    def _extremum_lead(self, x: float) -> float:
        """Return ln(|pair| / |offset|) at D*; positive where the extremum is across zero."""
        offset, a, alpha, b, alpha_prime = self._folded
        part = math.log(a) + math.log(abs(alpha_prime - alpha)) - math.log(alpha_prime) - alpha * x
        lead = part - math.log(abs(offset))
        slack = (alpha + alpha_prime) * abs(x) + abs(math.log(a)) + abs(math.log(abs(offset))) + 100
        if abs(lead) > 64 * _EPS * slack + _TOUCH:
            return lead
        return exact_log_ratio(offset, a, alpha, b, alpha_prime)

    def _root(self, peak: float, way: int, outer: int, inner: int) -> float:
        """Return ln D of the crossing on the monotone piece that starts at ``peak`` and runs ``way``."""
        step = max(1.0 / max(self.alpha, self.alpha_prime), 16 * _EPS * abs(peak), 1e-300)
        if self._sign_at(peak) != inner:  # D* is rounded across the crossing to its left
            inside = [peak + step * 2.0**k for k in range(-3, 8)] if way > 0 else []
            inside = [x for x in inside if self._sign_at(x) == inner]
            if not inside:  # the crossing is at D* as far as floats can tell
                return peak
            peak = inside[0]
        near, far = peak, peak + way * step
        while self._sign_at(far) != outer:
            step *= 2
            near, far = far, peak + way * step
        if sign(self._scaled(near)[0]) != inner or sign(self._scaled(far)[0]) != outer:
            return self._bisect(near, far, outer)
        root = float(brentq(lambda x: self._scaled(x)[0], near, far, xtol=1e-300, rtol=4 * _EPS, disp=False))
        width = _NARROW * max(1.0, abs(root))
        if self._sign_at(root - way * width) == inner and self._sign_at(root + way * width) == outer:
            return root
        return self._bisect(near, far, outer)

    def _bisect(self, near: float, far: float, outer: int) -> float:
        """Halve a bracket by exact signs until no number is left in it."""
        while True:
            middle = near + (far - near) / 2
            if middle in (near, far):
                return middle
            if self._sign_at(middle) == outer:
                far = middle
            else:
                near = middle

    @property
    def log_crossings(self) -> tuple[float, ...]:
        """Natural logarithms of the crossings, ascending: 0, 1 or 2 of them."""
        return self._pieces.roots

    @property
    def crossings(self) -> tuple[float, ...]:
        """All D > 0 where F changes its sign, ascending: 0, 1 or 2 of them.

        0.0 or inf where one is beyond the range of floating point; ``log_crossings`` has it then. A tangency is not
        a change of sign: see ``tangency``.
        """
        return tuple(exp(x) for x in self._pieces.roots)

    @property
    def tangency(self) -> bool:
        """Whether F touches zero at D* without crossing it (to 12 digits); the regime is that of the side it is on."""
        return self._pieces.touches

    @property
    def regime(self) -> Regime:
        """Where the second recipe helps, over all D > 0: one of ``REGIMES``."""
        return _BY_SIGNS[self._pieces.signs]

    def regime_in(self, low: float, high: float) -> Regime:
        """Return where the second recipe helps within a range.

        Parameters
        ----------
        low, high : float
            The range, ``0 <= low <= high``; crossings on its ends are not inside.

        Returns
        -------
        str
            One of ``REGIMES``: ``below`` is "below the crossing that lies inside".

        Raises
        ------
        InputError
            The range is empty or negative.
        """
        if not 0 <= low <= high:
            raise InputError(f"regime_in: the range {low:g} to {high:g} is not one; give 0 <= low <= high.")
        bottom = math.log(low) if low > 0 else -math.inf
        top = math.log(high) if high > 0 else -math.inf
        roots, signs, _ = self._pieces
        before = sum(root <= bottom for root in roots)
        until = max(before, sum(root < top for root in roots))
        return _BY_SIGNS[signs[before : until + 1]]

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters and everything that follows from them as plain JSON types."""
        return {
            "offset": self.offset,
            "a": self.a,
            "alpha": self.alpha,
            "b": self.b,
            "alpha_prime": self.alpha_prime,
            "regime": self.regime,
            "crossings": list(self.crossings),
            "stationary": self.stationary,
            "tangency": self.tangency,
        }


def _sizes(D: ArrayLike) -> NDArray[np.float64]:
    """Return sizes as an array; refuse what is not positive."""
    sizes = np.asarray(D, dtype=float)
    if not (sizes > 0).all():
        raise InputError("PowerDifference: a size is zero, negative or not a number; sizes are positive.")
    return sizes
