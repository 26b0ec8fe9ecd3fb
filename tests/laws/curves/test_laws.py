"""Every law of a curve keeps the contract; the registry finds ours and other people's."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from tippingpoint.errors import FitError
from tippingpoint.laws.curves import (
    BrokenCurve,
    FlooredCurve,
    PowerCurve,
    SaturatingCurve,
    SigmoidalCurve,
    curve_law,
    curve_laws,
    registry,
)
from tippingpoint.laws.curves.conformance import CurveLawConformance


class TestPower(CurveLawConformance):
    law = PowerCurve()
    theta = (0.4, 0.3)


class TestFloored(CurveLawConformance):
    law = FlooredCurve()
    theta = (0.1, 0.4, 0.6)


class TestSaturating(CurveLawConformance):
    law = SaturatingCurve()
    theta = (0.4, 0.2, 0.5)


class TestSigmoidal(CurveLawConformance):
    law = SigmoidalCurve()
    theta = (0.1, 0.95, 0.7, 0.6, 0.8)


class TestBroken(CurveLawConformance):
    law = BrokenCurve()
    theta = (0.05, 0.4, 0.3, 1.2, 0.4, 0.5)


class TestTwiceBroken(CurveLawConformance):
    law = BrokenCurve(2)
    theta = (0.05, 0.4, 0.2, 0.5, 0.4, 0.5, 2.0, -0.3, 0.5)


class TestFourTimesBroken(CurveLawConformance):
    law = BrokenCurve(4)
    theta = (0.05, 0.4, 0.2, 0.2, 0.3, 0.5, 0.6, -0.3, 0.5, 1.5, 0.4, 0.5, 4.0, -0.2, 0.5)


@pytest.mark.parametrize("breaks", [1, 2, 9])
def test_a_break_that_changes_nothing_is_put_in(breaks: int) -> None:
    law, x = BrokenCurve(breaks), np.geomspace(0.1, 10, 7)
    theta = np.array([0.05, 0.4, 0.2, *(1.2, 0.4, 0.5) * (breaks - 1)])
    simpler = law.simpler()
    many = law.predict(x, law.embed(theta, x))
    np.testing.assert_allclose(many, np.broadcast_to(simpler.predict(x, theta), many.shape), rtol=1e-12)


@pytest.mark.parametrize("breaks", [0, 10, -1])
def test_breaks_are_one_to_nine(breaks: int) -> None:
    with pytest.raises(FitError, match="1 to 9 breaks"):
        BrokenCurve(breaks)


def test_breaks_are_named_on_the_command_line() -> None:
    for breaks in range(2, 10):
        law = curve_law(f"bnsl{breaks}")
        assert isinstance(law, BrokenCurve)
        assert law.breaks == breaks
        assert len(law.parameters) == 3 + 3 * breaks
    with pytest.raises(FitError, match="so many breaks"):
        curve_law("bnsl10")


def test_sigmoidal_solves_its_equation() -> None:
    floor, ceiling, b, c, a = 0.1, 0.95, 0.7, 0.6, 0.8
    x = np.geomspace(1e-6, 1e6, 40)
    y = SigmoidalCurve().predict(x, np.array([floor, ceiling, b, c, a]))
    assert np.all(np.diff(y) < 0)
    middle = (x > 1e-3) & (x < 1e5)  # at the ends y - E and E_0 - y lose their digits
    left = (y - floor) / (ceiling - y) ** a
    np.testing.assert_allclose(left[middle], (b * x**-c)[middle], rtol=1e-8)


def test_sigmoidal_with_bend_one_is_a_power_of_the_odds() -> None:
    x = np.array([0.1, 1.0, 10.0])
    y = SigmoidalCurve().predict(x, np.array([0.0, 1.0, 0.5, 0.7, 1.0]))
    np.testing.assert_allclose(y / (1 - y), 0.5 * x**-0.7, rtol=1e-10)


def test_broken_without_change_is_floored() -> None:
    x = np.array([0.1, 1.0, 10.0])
    broken = BrokenCurve().predict(x, np.array([0.1, 0.4, 0.6, 1.0, 0.0, 0.5]))
    np.testing.assert_allclose(broken, FlooredCurve().predict(x, np.array([0.1, 0.4, 0.6])), rtol=1e-12)


@pytest.mark.parametrize(("short", "name"), [("m1", "power"), ("M4", "sigmoidal"), ("bnsl", "broken")])
def test_short_names(short: str, name: str) -> None:
    assert curve_law(short).name == name


def test_unknown_law_lists_and_suggests() -> None:
    with pytest.raises(FitError, match="Did you mean 'saturating'"):
        curve_law("saturatin")


class Mine(PowerCurve):
    name = "mine"


def test_a_law_of_another_package_plugs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", f"{__name__}:Mine", registry.ENTRY_POINT),
        EntryPoint("wrong", "builtins:dict", registry.ENTRY_POINT),
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda self: Mine if self.name == "mine" else dict)
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert curve_law("mine").name == "mine"
    assert {"mine", "power"} <= set(curve_laws())
    with pytest.raises(FitError, match="is no CurveLaw"):
        curve_law("wrong")


def test_conformance_finds_a_wrong_gradient() -> None:
    class Wrong(PowerCurve):
        def gradient(self, x, theta):  # type: ignore[no-untyped-def]
            return 2 * super().gradient(x, theta)

    class Case(CurveLawConformance):
        law = Wrong()
        theta = (0.4, 0.3)

    with pytest.raises(AssertionError):
        Case().test_gradient_is_the_slope()
