"""Laws of curves are found again, whatever the unit and the order of the points."""

from __future__ import annotations

import numpy as np
import pytest

from tippingpoint.errors import FitError
from tippingpoint.fitting.curves import fit_curve

X = np.geomspace(1e3, 1e7, 24)
TRUTHS = {
    "power": (5.0, 0.3),
    "floored": (0.1, 20.0, 0.45),
    "saturating": (50.0, 1e-6, 0.4),
    "sigmoidal": (0.08, 0.98, 300.0, 0.5, 0.9),
    "broken": (0.05, 8.0, 0.2, 1e5, 0.35, 0.4),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_truth_without_noise_is_recovered(name: str) -> None:
    from tippingpoint.laws.curves import curve_law

    y = curve_law(name).predict(X, np.array(TRUTHS[name]))
    found = fit_curve(X, y, name)
    assert found.objective < 1e-10
    ahead = np.array([2e7, 5e7])
    expected = curve_law(name).predict(ahead, np.array(TRUTHS[name]))
    np.testing.assert_allclose(found.predict(ahead), expected, rtol=1e-4)
    if name in {"power", "floored", "saturating"}:
        np.testing.assert_allclose(found.theta, TRUTHS[name], rtol=1e-6)


@pytest.mark.parametrize("name", TRUTHS)
def test_order_and_unit_change_nothing_but_units(name: str) -> None:
    random = np.random.default_rng(0)
    y = (0.1 + 20 * X**-0.45) * np.exp(random.normal(0, 0.01, len(X)))
    found = fit_curve(X, y, name)
    order = random.permutation(len(X))
    np.testing.assert_array_equal(fit_curve(X[order], y[order], name).theta, found.theta)
    other = fit_curve(X * 1e-6, y, name)
    np.testing.assert_allclose(other.objective, found.objective, rtol=1e-6)
    np.testing.assert_allclose(other.predict(2e7 * 1e-6), found.predict(2e7), rtol=1e-3)


def test_a_larger_law_never_fits_worse() -> None:
    random = np.random.default_rng(1)
    y = (0.1 + 20 * X**-0.45) * np.exp(random.normal(0, 0.03, len(X)))
    loss = {name: fit_curve(X, y, name).objective for name in TRUTHS}
    assert loss["broken"] <= loss["floored"] <= loss["power"] * (1 + 1e-9)
    breaks = [fit_curve(X, y, f"bnsl{n}").objective for n in (2, 3)]
    assert breaks[1] <= breaks[0] <= loss["broken"]
    assert loss["saturating"] <= loss["power"] * (1 + 1e-9)


def test_weights_leave_points_out() -> None:
    y = 0.1 + 20 * X**-0.45
    spoiled, weights = y.copy(), np.ones_like(y)
    spoiled[3], weights[3] = 0.9, 0.0
    np.testing.assert_allclose(fit_curve(X, spoiled, "m2", weights=weights).theta, (0.1, 20.0, 0.45), rtol=1e-5)


def test_status_tells_a_bound_and_too_few_points() -> None:
    assert fit_curve(X, np.full(len(X), 0.3), "m1").status == "bound: exponent"
    assert fit_curve(X[:3], 5 * X[:3] ** -0.3, "bnsl").status == "too few points"


def test_all_faults_at_once() -> None:
    with pytest.raises(FitError) as caught:
        fit_curve(np.array([1.0, -2.0]), np.array([0.0, 1.0]), "m1", weights=np.array([0.0, 0.0]))
    assert len(caught.value.faults) == 3
    with pytest.raises(FitError, match="different sizes"):
        fit_curve(np.array([2.0, 2.0]), np.array([0.5, 0.6]), "m1")
    with pytest.raises(FitError, match="one length"):
        fit_curve(np.array([2.0, 2.0]), np.array([0.5]), "m1")
