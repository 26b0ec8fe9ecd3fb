"""The optimum at fifty digits, by mpmath, is where the search says; an axis in other units is the same fit."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest

from tippingpoint.fitting.additive import fit_additive
from tippingpoint.fitting.surface import fit_surface
from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.constrained import constrain


def curve(seed: int, floor: float, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.geomspace(10, 1e4, 9)
    noise = np.random.default_rng(seed).standard_normal(9)
    return sizes, (floor + 0.8 * (sizes / 10) ** -exponent) * np.exp(0.01 * noise)


@pytest.mark.parametrize("objective", ["log", "squares"])
@pytest.mark.parametrize(("seed", "floor", "exponent"), [(0, 0.1, 0.5), (1, 0.3, 1.2), (2, 0.05, 0.8)])
def test_fifty_digit_oracle(objective: str, seed: int, floor: float, exponent: float) -> None:
    sizes, y = curve(seed, floor, exponent)
    fit = fit_additive(sizes[:, None], y, objective=objective)
    with mpmath.workdps(50):
        logs = [mpmath.log(mpmath.mpf(float(size)) / mpmath.mpf(float(fit.reference[0]))) for size in sizes]
        targets = [mpmath.mpf(float(one)) for one in y]

        def gradient(e: mpmath.mpf, c: mpmath.mpf, p: mpmath.mpf) -> list[mpmath.mpf]:
            total = [mpmath.mpf(0)] * 3
            for log_size, target in zip(logs, targets, strict=True):
                power = mpmath.exp(-p * log_size)
                fitted = e + c * power
                slope = mpmath.log(fitted / target) / fitted if objective == "log" else fitted - target
                for place, part in enumerate((1, power, -c * log_size * power)):
                    total[place] += slope * part
            return total

        scaled = fit.coefficients[0] * fit.reference[0] ** -fit.exponents[0]
        start = tuple(mpmath.mpf(float(one)) for one in (fit.floor, scaled, fit.exponents[0]))
        exact = [float(one) for one in mpmath.findroot(gradient, start, tol=1e-60)]
    np.testing.assert_allclose([fit.floor, scaled, fit.exponents[0]], exact, rtol=1e-7)


def test_fifty_digits_of_rates() -> None:
    """The binomial objective of rates that were measured on different numbers of images, one of them 0."""
    sizes = np.geomspace(10, 1e4, 9)
    y = np.array([0.81, 0.44, 0.31, 0.17, 0.13, 0.06, 0.08, 0.0, 0.05])
    weights = 1 / (1 / np.geomspace(100, 5000, 9) + 0.001)
    fit = fit_additive(sizes[:, None], y, weights=weights, objective="binomial")
    assert fit.floor > 0
    with mpmath.workdps(50):
        logs = [mpmath.log(mpmath.mpf(float(size)) / mpmath.mpf(float(fit.reference[0]))) for size in sizes]
        rates, own = ([mpmath.mpf(float(one)) for one in column] for column in (y, weights))

        def gradient(e: mpmath.mpf, c: mpmath.mpf, p: mpmath.mpf) -> list[mpmath.mpf]:
            total = [mpmath.mpf(0)] * 3
            for log_size, rate, weight in zip(logs, rates, own, strict=True):
                power = mpmath.exp(-p * log_size)
                fitted = e + c * power
                slope = weight * ((1 - rate) / (1 - fitted) - rate / fitted)
                for place, part in enumerate((1, power, -c * log_size * power)):
                    total[place] += slope * part
            return total

        def loss(e: mpmath.mpf, c: mpmath.mpf, p: mpmath.mpf) -> mpmath.mpf:
            total = mpmath.mpf(0)
            for log_size, rate, weight in zip(logs, rates, own, strict=True):
                fitted = e + c * mpmath.exp(-p * log_size)
                total += weight * (1 - rate) * mpmath.log((1 - rate) / (1 - fitted))
                total += weight * rate * mpmath.log(rate / fitted) if rate > 0 else 0
            return total

        scaled = fit.coefficients[0] * fit.reference[0] ** -fit.exponents[0]
        start = tuple(mpmath.mpf(float(one)) for one in (fit.floor, scaled, fit.exponents[0]))
        root = mpmath.findroot(gradient, start, tol=1e-60)
        exact, least = [float(one) for one in root], float(loss(*root))
    np.testing.assert_allclose([fit.floor, scaled, fit.exponents[0]], exact, rtol=1e-7)
    np.testing.assert_allclose(fit.objective, least, rtol=1e-12)


def test_fifty_digits_under_constraints() -> None:
    """Two exponents that are one, and a known floor: least squares on logs over the three parameters left."""
    generator = np.random.default_rng(4)
    sizes = np.stack([axis.ravel() for axis in np.meshgrid([10.0, 100.0, 1e3], [1.0, 5.0, 25.0])], axis=-1)
    y = (0.1 + 0.5 * (sizes[:, 0] / 10) ** -0.6 + 0.4 * sizes[:, 1] ** -0.6) * np.exp(0.02 * generator.normal(size=9))
    law = constrain(AdditiveFormula(["a", "b"]), {"floor": 0.1}, {}, [["a.exponent", "b.exponent"]])
    fit = fit_surface(law, sizes, y, objective="log")
    with mpmath.workdps(50):
        logs = [[mpmath.mpf(float(one)) for one in row] for row in np.log(sizes) - fit.log_reference]
        targets, floor = [mpmath.mpf(float(one)) for one in y], mpmath.mpf(0.1)

        def gradient(a: mpmath.mpf, b: mpmath.mpf, p: mpmath.mpf) -> list[mpmath.mpf]:
            total = [mpmath.mpf(0)] * 3
            for (first, second), target in zip(logs, targets, strict=True):
                powers = mpmath.exp(-p * first), mpmath.exp(-p * second)
                fitted = floor + a * powers[0] + b * powers[1]
                slope = mpmath.log(fitted / target) / fitted
                bend = -a * first * powers[0] - b * second * powers[1]
                for place, part in enumerate((*powers, bend)):
                    total[place] += slope * part
            return total

        own = [*(fit.theta[1:3] * fit.y_unit), fit.theta[3]]
        exact = [float(one) for one in mpmath.findroot(gradient, tuple(map(mpmath.mpf, map(float, own))), tol=1e-60)]
    np.testing.assert_allclose(own, exact, rtol=1e-7)
    assert fit.parameters["floor"] == 0.1
    assert fit.parameters["a.exponent"] == fit.parameters["b.exponent"]


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_a_million(unit: float) -> None:
    sizes, y = curve(3, 0.1, 0.6)
    one = fit_additive(sizes[:, None], y, objective="log")
    other = fit_additive(sizes[:, None] * unit, y, objective="log")
    np.testing.assert_allclose(other.exponents, one.exponents, rtol=1e-7)
    np.testing.assert_allclose(other.floor, one.floor, rtol=1e-7)
    np.testing.assert_allclose(other.coefficients, one.coefficients * unit**one.exponents, rtol=1e-6)


def test_search_never_worsens_where_minima_are_many() -> None:
    generator = np.random.default_rng(7)
    sizes = np.exp(generator.uniform(0, 8, (14, 2)))
    y = 0.1 + sizes[:, 0] ** -0.4 + sizes[:, 1] ** -0.9 + 0.05 * np.abs(generator.standard_normal(14))
    found = [fit_additive(sizes, y, search=level).objective for level in range(1, 5)]
    assert all(later <= earlier for earlier, later in pairwise(found))
