"""The optimum at fifty digits, by mpmath, is where the search says; an axis in other units is the same fit."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest

from tippingpoint.fitting.additive import fit_additive


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
