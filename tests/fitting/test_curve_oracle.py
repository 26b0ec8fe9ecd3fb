"""Curve laws against their formulas at fifty digits, and fits against a minimisation at fifty digits.

The formulas are written here a second time, from the papers, in mpmath; nothing of the laws' code is used for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

from tippingpoint.fitting.curves import fit_curve
from tippingpoint.laws.curves import curve_law

Number = Any  # mpmath.mpf, which has no types
Formula = Callable[[Number, Sequence[Number]], Number]
DIGITS = 50
STEP = mpmath.mpf("1e-15")  # of central differences: their error is about 1e-30


def power(x: Number, theta: Sequence[Number]) -> Number:
    c, a = theta
    return c * x**-a


def floored(x: Number, theta: Sequence[Number]) -> Number:
    floor, c, a = theta
    return floor + c * x**-a


def saturating(x: Number, theta: Sequence[Number]) -> Number:
    c, gamma, a = theta
    return c * (1 / x + gamma) ** a


def sigmoidal(x: Number, theta: Sequence[Number]) -> Number:
    """Solve (y - E) / (E_0 - y)^a = b x^-c: halve an interval, then Newton's steps on its logarithm."""
    floor, ceiling, b, c, a = theta
    right = mpmath.log(b) - c * mpmath.log(x)

    def left(v: Number) -> Number:  # u = 1 / (1 + e^-v) is the share of the way from floor to ceiling
        gap = mpmath.log(ceiling - floor)
        return gap - mpmath.log1p(mpmath.exp(-v)) - a * (gap - mpmath.log1p(mpmath.exp(v)))

    low, high = mpmath.mpf(-500), mpmath.mpf(500)
    with mpmath.workdps(15):
        while high - low > 1e-6:
            middle = (low + high) / 2
            low, high = (middle, high) if left(middle) < right else (low, middle)
    v = (low + high) / 2
    for _ in range(4):
        share = 1 / (1 + mpmath.exp(-v))
        v -= (left(v) - right) / (1 - share + a * share)
    return floor + (ceiling - floor) / (1 + mpmath.exp(-v))


def broken(x: Number, theta: Sequence[Number]) -> Number:
    floor, b, exponent, *breaks = theta
    above = b * x**-exponent
    for place, change, sharpness in zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True):
        above *= (1 + (x / place) ** (1 / sharpness)) ** (-change * sharpness)
    return floor + above


FORMULAS: dict[str, Formula] = {
    "power": power,
    "floored": floored,
    "saturating": saturating,
    "sigmoidal": sigmoidal,
    "broken": broken,
    "broken2": broken,
}
POINTS: dict[str, list[tuple[float, ...]]] = {
    "power": [(0.4, 0.3), (1e-3, 3.0)],
    "floored": [(0.1, 0.4, 0.6), (0.0, 5.0, 2.5)],
    "saturating": [(0.4, 0.2, 0.5), (0.7, 3.0, 4.0)],
    "sigmoidal": [(0.1, 0.95, 0.7, 0.6, 0.8), (0.02, 0.99, 4.0, 1.5, 3.0), (0.1, 2.0, 0.5, 0.4, 0.02)],
    "broken": [(0.05, 0.4, 0.3, 1.2, 0.4, 0.5), (0.0, 0.8, -0.1, 0.4, 1.3, 0.03)],
    "broken2": [(0.05, 0.4, 0.2, 0.5, 0.4, 0.5, 2.0, -0.3, 0.2)],
}
TRUTHS = {
    "power": (5.0, 0.3),
    "floored": (0.1, 20.0, 0.45),
    "saturating": (50.0, 1e-6, 0.4),
    "sigmoidal": (0.08, 0.98, 300.0, 0.5, 0.9),
    "broken": (0.05, 8.0, 0.2, 1e5, 0.35, 0.4),
}
CASES = [(name, theta) for name, some in POINTS.items() for theta in some]


def slope(of: Callable[[list[Number]], Number], at: Sequence[Number], place: int) -> Number:
    ends = []
    for sign in (1, -1):
        moved = list(at)
        moved[place] += sign * STEP
        ends.append(of(moved))
    return (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.parametrize(("name", "theta"), CASES)
def test_value_and_gradient_of_the_formula(name: str, theta: tuple[float, ...]) -> None:
    x = np.array([0.03, 0.4, 1.0, 2.3, 17.0])
    law, formula = curve_law(name), FORMULAS[name]
    with mpmath.workdps(DIGITS):
        exact = [mpmath.mpf(one) for one in theta]
        sizes = [mpmath.mpf(float(one)) for one in x]
        values = [float(formula(size, exact)) for size in sizes]
        inside = [place for place, one in enumerate(theta) if one > 0 or law.lower[place] < 0]
        slopes = np.array([[float(slope(lambda t, s=size: formula(s, t), exact, i)) for i in inside] for size in sizes])  # type: ignore[misc]
    np.testing.assert_allclose(law.predict(x, np.array(theta)), values, rtol=1e-12)
    np.testing.assert_allclose(law.gradient(x, np.array(theta))[:, inside], slopes, rtol=1e-9, atol=1e-13)


class Exact:
    """The objective of a fit at fifty digits, its parameters on a logarithm where the law polishes them so."""

    def __init__(self, name: str, x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> None:
        law = curve_law(name)
        self.formula = FORMULAS[name]
        self.on_log = law.on_log
        self.x = [mpmath.mpf(float(one)) for one in x]
        self.logs = [mpmath.log(mpmath.mpf(float(one))) for one in y]
        self.low = [self.inner(i, one) for i, one in enumerate(law.lower)]
        self.high = [self.inner(i, one) for i, one in enumerate(law.upper)]
        self.start = [self.inner(i, float(one)) for i, one in enumerate(theta)]

    def inner(self, place: int, value: float) -> Number:
        return mpmath.log(mpmath.mpf(value)) if self.on_log[place] else mpmath.mpf(value)

    def residuals(self, inner: Sequence[Number]) -> list[Number]:
        theta = [mpmath.exp(one) if log else one for one, log in zip(inner, self.on_log, strict=True)]
        return [mpmath.log(self.formula(x, theta)) - log for x, log in zip(self.x, self.logs, strict=True)]

    def slopes(self, inner: list[Number], place: int) -> list[Number]:
        ends = []
        for sign in (1, -1):
            moved = list(inner)
            moved[place] += sign * STEP
            ends.append(self.residuals(moved))
        return [(up - down) / (2 * STEP) for up, down in zip(*ends, strict=True)]

    def descend(self, steps: int = 25) -> tuple[Number, Number]:
        """Return the objective at the start and at the end of damped Gauss-Newton steps within the bounds."""
        at = list(self.start)
        r = self.residuals(at)
        first = value = sum(one**2 for one in r)
        damping = mpmath.mpf("1e-6")
        for _ in range(steps):
            free = [i for i in range(len(at)) if self.low[i] + STEP < at[i] < self.high[i] - STEP]
            jacobian = [self.slopes(at, i) for i in free]
            gradient = mpmath.matrix([mpmath.fdot(column, r) for column in jacobian])
            normal = mpmath.matrix([[mpmath.fdot(a, b) for b in jacobian] for a in jacobian])
            for i in range(len(free)):
                normal[i, i] *= 1 + damping
            step = mpmath.lu_solve(normal, -gradient)
            trial = list(at)
            for i, place in enumerate(free):
                trial[place] = min(max(at[place] + step[i], self.low[place]), self.high[place])
            r_trial = self.residuals(trial)
            reached = sum(one**2 for one in r_trial)
            gain = value - reached
            damping = damping / 10 if gain > 0 else damping * 100
            if gain > 0:
                at, r, value = trial, r_trial, reached
                if gain < mpmath.mpf("1e-18") * value:
                    break
        return first, value


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", TRUTHS)
def test_no_fit_is_improved_at_fifty_digits(name: str, seed: int) -> None:
    x = np.geomspace(1e3, 1e7, 16)
    noise = np.random.default_rng([seed, len(name)]).normal(0, 0.01, len(x))
    y = curve_law(name).predict(x, np.array(TRUTHS[name])) * np.exp(noise)
    found = fit_curve(x, y, name)
    with mpmath.workdps(DIGITS):
        first, least = Exact(name, x, y, found.theta).descend()
    assert found.objective == pytest.approx(float(first), rel=1e-9)  # the same objective ...
    assert float((first - least) / first) < 1e-7  # ... from which an exact descent gains nothing
    assert found.objective > 0


def test_the_exact_descent_finds_what_can_be_gained() -> None:
    x = np.geomspace(1e3, 1e7, 16)
    y = (0.1 + 20 * x**-0.45) * np.exp(np.random.default_rng(3).normal(0, 0.01, len(x)))
    found = fit_curve(x, y, "floored")
    with mpmath.workdps(DIGITS):
        first, least = Exact("floored", x, y, found.theta * (1.02, 0.97, 1.01)).descend()
    assert float(first) > 1.01 * found.objective
    assert float(least) == pytest.approx(found.objective, rel=1e-9)
