"""The rivals of Eq. (1) keep what every law keeps, and a user's own law is a law like ours."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.errors import FitError, NotFittedError, RunsError
from tippingpoint.laws import registry
from tippingpoint.laws.conformance import SurfaceLawConformance
from tippingpoint.laws.formula import Formula, Shape, power
from tippingpoint.laws.interaction import InteractionLaw
from tippingpoint.laws.multiplicative import FlooredMultiplicativeLaw, MultiplicativeLaw
from tippingpoint.laws.surface import SurfaceLaw
from tippingpoint.laws.transfer import TransferLaw

AXES = ["n_pretrain", "n_params", "n_finetune"]


class TestMultiplicative(SurfaceLawConformance):
    law = MultiplicativeLaw
    weights = (0.4,)
    shape = (0.2, 0.1, 0.3)


class TestFlooredMultiplicative(SurfaceLawConformance):
    law = FlooredMultiplicativeLaw
    weights = (0.1, 0.4)
    shape = (0.2, 0.5, 0.3)


class TestTransfer(SurfaceLawConformance):
    law = TransferLaw
    weights = (0.05, 0.3)
    shape = (0.4, 0.5, 0.6, 0.3)


class TestInteraction(SurfaceLawConformance):
    law = InteractionLaw
    weights = (0.05, 0.2, 0.1, 0.1, 0.05)
    shape = (0.3, 0.5, 0.4, 0.4, 0.5)


class Logarithm(Formula):
    """A toy: c (1 + log of the first axis over its smallest allowed size)^-e, to stand for a user's own law."""

    name = "toy"
    title = "Toy law"

    def __init__(self, axes: Any, max_exponent: float = 10.0) -> None:
        super().__init__(axes, max_exponent)
        self.weights = ("coefficient",)
        self.shapes = (Shape("exponent", 0.0, max_exponent, (0.05, 2.0)),)

    def _logs(self, logs: np.ndarray) -> np.ndarray:
        return np.log1p(np.log1p(np.exp(logs.sum(axis=1))))

    def features(self, logs: np.ndarray, shape: np.ndarray) -> np.ndarray:
        return power(-shape * self._logs(logs))[:, None]

    def slopes(self, logs: np.ndarray, weights: np.ndarray, shape: np.ndarray) -> np.ndarray:
        product: np.ndarray = -weights[..., None] * self.features(logs, shape) * self._logs(logs)
        return product

    def raw(self, weights: np.ndarray, shape: np.ndarray, log_reference: np.ndarray) -> dict[str, np.ndarray]:
        return {"coefficient": weights[:, 0], "exponent": shape[:, 0]}


class ToyLaw(SurfaceLaw):
    name = "toy"
    formula_class = Logarithm


class TestToy(SurfaceLawConformance):
    law = ToyLaw
    weights = (0.4,)
    shape = (0.7,)


class Wrong(Logarithm):
    def slopes(self, logs: np.ndarray, weights: np.ndarray, shape: np.ndarray) -> np.ndarray:
        return -super().slopes(logs, weights, shape)


class WrongLaw(SurfaceLaw):
    name = "wrong"
    formula_class = Wrong


def test_conformance_finds_a_wrong_slope() -> None:
    case = TestToy()
    case.law = WrongLaw  # type: ignore[misc]
    with pytest.raises(AssertionError):
        case.test_slopes_are_the_slopes()


def table(noise: float = 0.02, seeds: int = 5, rising: float = 0.0) -> pd.DataFrame:
    """Return a study whose effects multiply; with ``rising``, error grows with the model where labels are few."""
    grids = [[1e3, 1e4, 1e5, 1e6], [2.5e6, 1e7, 4e7], [1e2, 1e3, 1e4]]
    sizes = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=-1)
    p, m, f = (sizes / np.array([1e5, 1e7, 1e3])).T
    y = 0.05 + 0.12 * p**-0.2 * m**-0.1 * f**-0.25 + rising * m**0.8 * f**-0.5
    frames = []
    for seed in range(seeds):
        jitter = np.exp(noise * np.random.default_rng(seed).standard_normal(len(y)))
        frames.append(pd.DataFrame(sizes, columns=AXES).assign(error=y * jitter, seed=seed))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("law", [MultiplicativeLaw, FlooredMultiplicativeLaw, TransferLaw, InteractionLaw])
def test_face(law: type[SurfaceLaw], capsys: pytest.CaptureFixture[str]) -> None:
    fitted = law(AXES, bootstrap=40, random_state=0).fit(table())
    found = fitted.to_dict()
    assert set(found["terms"]) == set(AXES)
    assert set(found["intervals"]) == set(found["parameters"])
    assert found["n_runs"] == 180
    guess = fitted.predict({"n_pretrain": 1e7, "n_params": 1e7, "n_finetune": 1e3}, interval=0.9)
    assert guess.interval[0] <= guess <= guess.interval[1]
    assert guess.law == law.name
    assert guess.outside["n_pretrain"] == pytest.approx(10.0)
    many = fitted.predict(table().iloc[:7][AXES], interval=0.8)
    assert list(many.columns) == ["prediction", "low", "high"]
    fitted.summary()
    assert "status:" in capsys.readouterr().out
    assert "status:" in fitted._repr_html_()
    again = law(AXES, bootstrap=40, random_state=0).fit(table().sample(frac=1, random_state=1))
    assert again.objective_ == pytest.approx(fitted.objective_, rel=1e-9)


def test_error_that_rises_with_the_model_is_expressed() -> None:
    runs = table(noise=0.0, rising=0.03)
    small, large = ({"n_pretrain": 1e5, "n_params": m, "n_finetune": 1e2} for m in (2.5e6, 4e7))
    fitted = InteractionLaw(AXES).fit(runs)
    assert fitted.predict(large) > 1.2 * fitted.predict(small)
    additive = registry.law_named("additive")(AXES).fit(runs)
    assert additive.predict(large) <= additive.predict(small)
    assert fitted.objective_ < 0.8 * additive.objective_


def test_mistakes_are_told() -> None:
    with pytest.raises(FitError, match=r"labels=.*Did you mean 'n_finetunes'"):
        TransferLaw(["n_pretrain", "n_finetunes"])
    with pytest.raises(FitError, match="model"):
        InteractionLaw(["n_pretrain", "n_finetune"])
    with pytest.raises(NotFittedError):
        _ = MultiplicativeLaw(AXES).status_
    with pytest.raises(FitError, match="bootstrap"):
        MultiplicativeLaw(AXES, bootstrap=-1).fit(table())
    with pytest.raises(RunsError, match="n_params"):
        MultiplicativeLaw(AXES).fit(table()).predict({"n_pretrain": 1e7, "n_finetune": 1.0})
    assert TransferLaw(["images", "labels"], labels="labels").formula.axes == ("images", "labels")


def test_a_law_comes_in_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("toy", f"{__name__}:ToyLaw", "tippingpoint.laws")]
    points.append(EntryPoint("broken", "no_such_module:Law", "tippingpoint.laws"))
    points.append(EntryPoint("text", "json:dumps", "tippingpoint.laws"))
    monkeypatch.setattr(EntryPoint, "load", lambda self: ToyLaw if self.name == "toy" else _load(self))
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert registry.law_names()[-3:] == ("broken", "text", "toy")
    fitted = registry.law_named("toy")(AXES).fit(table())
    assert fitted.to_dict()["law"] == "toy"
    with pytest.raises(FitError, match="cannot be loaded"):
        registry.law_named("broken")
    with pytest.raises(FitError, match="no SurfaceLaw"):
        registry.law_named("text")
    with pytest.raises(FitError, match="Did you mean 'additive'"):
        registry.law_named("aditive")


def _load(point: EntryPoint) -> Any:
    module = __import__(point.module)
    return getattr(module, point.attr)
