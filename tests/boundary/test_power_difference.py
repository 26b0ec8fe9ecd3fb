"""F(D) case by case, against many digits, and at the edges of floating point."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.boundary import PowerDifference
from tippingpoint.errors import InputError

SIGNS = {
    "always": (1,),
    "never": (-1,),
    "below": (1, -1),
    "above": (-1, 1),
    "window": (-1, 1, -1),
    "outside_window": (1, -1, 1),
    "equal": (0,),
}


def oracle(F: PowerDifference, x: float) -> int:
    """The sign of F(exp(x)) by 900 digits (coefficients differ by up to 600); 0 where nothing is left of its terms."""
    with mpmath.workdps(900):
        x = mpmath.mpf(x)
        terms = (mpmath.mpf(F.offset), F.a * mpmath.exp(-F.alpha * x), -F.b * mpmath.exp(-F.alpha_prime * x))
        total = mpmath.fsum(terms)
        return 0 if abs(total) <= mpmath.mpf(10) ** -790 * max(map(abs, terms)) else int(mpmath.sign(total))


def assert_pieces_hold(F: PowerDifference) -> None:
    """The claimed signs hold beside every crossing, between them and far outside."""
    roots, signs = F.log_crossings, SIGNS[F.regime]
    assert len(roots) == len(signs) - 1
    assert list(roots) == sorted(roots)
    for i, root in enumerate(roots):
        gap = 1e-9 * max(1.0, abs(root))
        if len(roots) == 2:
            gap = min(gap, (roots[1] - roots[0]) / 4)
        if gap > 0:
            assert (oracle(F, root - gap), oracle(F, root + gap)) == (signs[i], signs[i + 1])


# ---- the case list of THEORY.md, one by one; (D - 2)(D - 8) = D^2 - 10 D + 16 gives closed forms --------------------


def test_smaller_first_exponent_negative_offset_is_a_window() -> None:
    F = PowerDifference(-1, 10, 1, 16, 2)
    assert F.regime == "window"
    np.testing.assert_allclose(F.crossings, (2, 8), rtol=1e-13)
    np.testing.assert_allclose(F.stationary, 3.2, rtol=1e-13)
    assert not F.tangency


def test_smaller_first_exponent_maximum_below_zero_never_helps() -> None:
    F = PowerDifference(-2, 10, 1, 16, 2)
    assert (F.regime, F.crossings) == ("never", ())
    np.testing.assert_allclose(F.stationary, 3.2, rtol=1e-13)


@pytest.mark.parametrize(("offset", "crossing"), [(0.0, 1.6), (1.0, math.sqrt(41) - 5)])
def test_smaller_first_exponent_offset_not_negative_helps_above(offset: float, crossing: float) -> None:
    F = PowerDifference(offset, 10, 1, 16, 2)
    assert F.regime == "above"
    np.testing.assert_allclose(F.crossings, (crossing,), rtol=1e-13)


def test_larger_first_exponent_positive_offset_harms_in_between() -> None:
    F = PowerDifference(1, 16, 2, 10, 1)
    assert F.regime == "outside_window"
    np.testing.assert_allclose(F.crossings, (2, 8), rtol=1e-13)


def test_larger_first_exponent_minimum_above_zero_always_helps() -> None:
    assert PowerDifference(2, 16, 2, 10, 1).regime == "always"


@pytest.mark.parametrize(("offset", "crossing"), [(0.0, 1.6), (-1.0, math.sqrt(41) - 5)])
def test_larger_first_exponent_offset_not_positive_helps_below(offset: float, crossing: float) -> None:
    F = PowerDifference(offset, 16, 2, 10, 1)
    assert F.regime == "below"
    np.testing.assert_allclose(F.crossings, (crossing,), rtol=1e-13)


@pytest.mark.parametrize(
    ("offset", "a", "b", "regime", "crossings"),
    [
        (-1, 5, 3, "below", (4.0,)),
        (0, 5, 3, "always", ()),
        (1, 5, 3, "always", ()),
        (1, 3, 5, "above", (4.0,)),
        (0, 3, 5, "never", ()),
        (-1, 3, 5, "never", ()),
        (0, 3, 3, "equal", ()),
        (2, 3, 3, "always", ()),
        (-2, 3, 3, "never", ()),
    ],
)
def test_equal_exponents_are_monotone(
    offset: float, a: float, b: float, regime: str, crossings: tuple[float, ...]
) -> None:
    F = PowerDifference(offset, a, 0.5, b, 0.5)
    assert (F.regime, F.stationary) == (regime, None)
    np.testing.assert_allclose(F.crossings, crossings, rtol=1e-13)


def test_tangency_takes_the_side_it_is_on_and_is_flagged() -> None:
    below, above = PowerDifference(-1, 2, 1, 1, 2), PowerDifference(1, 1, 2, 2, 1)
    assert (below.regime, below.crossings, below.tangency) == ("never", (), True)
    assert (above.regime, above.crossings, above.tangency) == ("always", (), True)
    assert below.stationary == above.stationary == 1.0
    assert below.sign(1.0) == 0
    assert below.sign([0.999, 1.001]).tolist() == [-1, -1]


@pytest.mark.parametrize(("gap", "regime"), [(1e-9, "window"), (-1e-9, "never")])
def test_a_window_a_millionth_wide_is_found(gap: float, regime: str) -> None:
    F = PowerDifference(-1 + gap, 2, 1, 1, 2)
    assert (F.regime, F.tangency) == (regime, False)
    if gap > 0:
        np.testing.assert_allclose(F.crossings, 1 / (1 + np.array([1, -1]) * math.sqrt(gap)), rtol=1e-10)


@pytest.mark.parametrize(
    ("parameters", "regime", "crossings"),
    [
        ((-1.0, 3.0, 0.0, 4.0, 1.0), "above", (2.0,)),  # alpha = 0: the limit is offset + a
        ((-5.0, 3.0, 0.0, 4.0, 1.0), "never", ()),
        ((1.0, 4.0, 1.0, 3.0, 0.0), "below", (2.0,)),  # alpha' = 0: the limit is offset - b
        ((1.0, 2.0, 0.0, 3.0, 0.0), "equal", ()),
        ((0.0, 2.0, 0.0, 1.0, 0.0), "always", ()),
        ((0.5, 0.0, 1.0, 0.0, 2.0), "always", ()),
        ((-0.5, 0.0, 1.0, 0.0, 2.0), "never", ()),
        ((0.0, 0.0, 1.0, 0.0, 2.0), "equal", ()),
        ((0.5, 0.0, 1.0, 2.0, 2.0), "above", (2.0,)),  # one power left, as along n_params_teacher
        ((-0.5, 2.0, 2.0, 0.0, 1.0), "below", (2.0,)),
    ],
)
def test_degenerate_terms(parameters: tuple[float, ...], regime: str, crossings: tuple[float, ...]) -> None:
    F = PowerDifference(*parameters)
    assert (F.regime, F.stationary) == (regime, None)
    np.testing.assert_allclose(F.crossings, crossings, rtol=1e-13)


def test_the_papers_eq_14_is_upside_down() -> None:
    """Table 1 and 2's exponents: F' vanishes at the corrected D*, and not at the printed one."""
    a, alpha, b, alpha_prime = 5.0, 0.620, 9.0, 0.702
    F = PowerDifference(-0.1, a, alpha, b, alpha_prime)
    ratio = a * alpha / (b * alpha_prime)

    def slope(D: float) -> float:
        return -a * alpha * D ** (-alpha - 1) + b * alpha_prime * D ** (-alpha_prime - 1)

    assert F.stationary is not None
    np.testing.assert_allclose(F.stationary, ratio ** (1 / (alpha - alpha_prime)), rtol=1e-10)
    scale = a * alpha * F.stationary ** (-alpha - 1)
    assert abs(slope(F.stationary)) < 1e-12 * scale
    printed = ratio ** (1 / (alpha_prime - alpha))
    assert abs(slope(printed)) > 1e-3 * a * alpha * printed ** (-alpha - 1)


# ---- ranges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "regime"),
    [
        (1, 10, "window"),
        (0, math.inf, "window"),
        (3, 10, "below"),
        (1, 4, "above"),
        (3, 4, "always"),
        (0, 1, "never"),
        (9, math.inf, "never"),
        (5, 5, "always"),
    ],
)
def test_regime_within_a_range(low: float, high: float, regime: str) -> None:
    assert PowerDifference(-1, 10, 1, 16, 2).regime_in(low, high) == regime


def test_refuses_an_empty_range_and_bad_parameters() -> None:
    F = PowerDifference(-1, 10, 1, 16, 2)
    with pytest.raises(InputError, match="not one"):
        F.regime_in(4, 3)
    with pytest.raises(InputError, match="positive"):
        F(0.0)
    with pytest.raises(InputError, match="positive"):
        F.sign([1.0, math.nan])
    with pytest.raises(InputError) as fault:
        PowerDifference(math.nan, -1, 1, 1, -2)
    assert len(fault.value.faults) == 3


# ---- values, signs, invariances -------------------------------------------------------------------------------------


def test_values_are_those_of_the_formula() -> None:
    D = np.geomspace(1e-3, 1e6, 50)
    for parameters in [
        (-1, 10, 1, 16, 2),
        (0.2, 3, 0.5, 2, 0.5),
        (0.1, 0, 1, 2, 0.3),
        (0.1, 2, 0, 0, 1),
        (0.3, 1, 1, 1, 0),
    ]:
        offset, a, alpha, b, alpha_prime = parameters
        want = offset + a * D**-alpha - b * D**-alpha_prime
        np.testing.assert_allclose(PowerDifference(*parameters)(D), want, rtol=1e-12, atol=1e-13)
    assert isinstance(PowerDifference(-1, 10, 1, 16, 2)(4.0), float)
    assert PowerDifference(-1, 10, 1, 16, 2)(math.inf) == -1


def test_extremes_keep_their_sign() -> None:
    F = PowerDifference(-1e-300, 1e300, 1e-12, 1e-300, 50)
    assert F(1e-300) == -math.inf
    assert F.sign([1e-300, 1.0, 1e300]).tolist() == [-1, 1, 1]
    assert F.regime == "window"
    assert F.crossings[1] == math.inf
    np.testing.assert_allclose(F.log_crossings[1], 600 * math.log(10) / 1e-12, rtol=1e-9)
    assert_pieces_hold(F)


def test_a_sign_that_rounding_hides_is_exact() -> None:
    F = PowerDifference(-1e-25, 1.0, 0.5, 1.0, 0.7)  # at D = 1 the powers cancel and the offset decides
    assert F.sign(1.0) == -1
    assert F.sign(1.0 + 1e-15) == 1


EXPONENT = st.one_of(
    st.floats(0.01, 3), st.floats(-12, math.log10(50)).map(lambda p: 10**p), st.sampled_from([0.0, 1.0])
)
COEFFICIENT = st.one_of(st.floats(0.01, 100), st.floats(-300, 300).map(lambda p: 10**p), st.just(0.0))
OFFSET = st.one_of(st.floats(-1, 1), COEFFICIENT, COEFFICIENT.map(lambda c: -c))


def test_a_folded_offset_keeps_its_digits() -> None:
    """Found by hypothesis: the closed form with the rounded offset is off in the eighth digit."""
    F = PowerDifference(1e-8, 1.0, 1e-8, 1.0, 0.0)
    with mpmath.workdps(50):
        truth = -mpmath.log1p(-mpmath.mpf(1e-8)) / mpmath.mpf(1e-8)
    assert F.log_crossings[0] == pytest.approx(float(truth), rel=1e-12)


@settings(max_examples=500, deadline=None)
@given(OFFSET, COEFFICIENT, EXPONENT, COEFFICIENT, EXPONENT)
def test_claimed_pieces_hold_to_many_digits(
    offset: float, a: float, alpha: float, b: float, alpha_prime: float
) -> None:
    F = PowerDifference(offset, a, alpha, b, alpha_prime)
    assert_pieces_hold(F)
    # The other recipe first: every sign turns, every crossing stays.
    mirrored = PowerDifference(-offset, b, alpha_prime, a, alpha)
    assert SIGNS[mirrored.regime] == tuple(-sign for sign in SIGNS[F.regime])
    np.testing.assert_allclose(mirrored.log_crossings, F.log_crossings, rtol=1e-9, atol=1e-9)


@settings(max_examples=300, deadline=None)
@given(OFFSET, COEFFICIENT, EXPONENT, COEFFICIENT, EXPONENT, st.floats(-690, 690))
def test_sign_is_that_of_many_digits(
    offset: float, a: float, alpha: float, b: float, alpha_prime: float, x: float
) -> None:
    F = PowerDifference(offset, a, alpha, b, alpha_prime)
    D = math.exp(x)
    with mpmath.workdps(900):
        log_size = mpmath.log(mpmath.mpf(D))
    true = oracle(F, log_size)
    assert true in (0, F.sign(D))  # 0: beyond even the oracle's digits


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-1, 1),
    st.floats(0.01, 100),
    st.floats(0.05, 2),
    st.floats(0.01, 100),
    st.floats(0.05, 2),
    st.floats(-6, 6),
)
def test_a_change_of_unit_moves_the_crossings_with_it(
    offset: float, a: float, alpha: float, b: float, alpha_prime: float, decades: float
) -> None:
    unit = 10**decades
    F = PowerDifference(offset, a, alpha, b, alpha_prime)
    scaled = PowerDifference(offset, a * unit**alpha, alpha, b * unit**alpha_prime, alpha_prime)
    if F.regime == scaled.regime and abs(alpha - alpha_prime) > 1e-3:
        shift = np.array(scaled.log_crossings) - np.array(F.log_crossings)
        extremum = F(F.stationary) if F.stationary and 0 < F.stationary < math.inf else 1.0
        if abs(extremum) > 1e-4 * abs(offset):  # near a tangency the last digit of the parameters decides
            np.testing.assert_allclose(
                shift, math.log(unit), rtol=0, atol=1e-6 * (1 + max(map(abs, F.log_crossings), default=0))
            )


def test_as_json() -> None:
    found = PowerDifference(-1, 10, 1, 16, 2).to_dict()
    assert found["regime"] == "window"
    np.testing.assert_allclose(found["crossings"], [2, 8], rtol=1e-13)
