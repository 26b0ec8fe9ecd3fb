"""What all laws share: settings that are kept as given, weights that follow their rows, one way to be shown."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.errors import FitError, InputError, NotFittedError, RunsError
from tippingpoint.laws import (
    AdditivePowerLaw,
    AutoLaw,
    FlooredMultiplicativeLaw,
    InteractionLaw,
    MultiplicativeLaw,
    TransferLaw,
)
from tippingpoint.laws.base import Law

AXES = ["n_pretrain", "n_params", "n_finetune"]
LAWS = [AdditivePowerLaw, MultiplicativeLaw, FlooredMultiplicativeLaw, TransferLaw, InteractionLaw, AutoLaw]


def table(recipes: tuple[str, ...] = ("scratch",)) -> pd.DataFrame:
    """Return a study of three sizes an axis and three seeds."""
    rows = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        for recipe in recipes:
            for p in (1e3, 1e4, 1e5):
                for m in (1e5, 4e5, 1.6e6):
                    for f in (1e2, 1e3, 1e4):
                        y = 0.05 + 0.1 * (p / 1e4) ** -0.4 + 0.05 * (m / 4e5) ** -0.3 + 0.05 * (f / 1e3) ** -0.5
                        y *= generator.normal(1, 0.01)
                        rows.append((recipe, seed, p, m, f, y))
    return pd.DataFrame(rows, columns=["recipe", "seed", *AXES, "error"])


@pytest.mark.parametrize("kind", LAWS)
def test_a_law_is_copied_by_its_settings(kind: type[Law]) -> None:
    axes = tuple(AXES)
    fixed = {"floor": 0.0}
    law = kind(axes, "log", 1e-2, 5, 7, max_exponent=3.0, fixed=fixed)
    params = law.get_params()
    assert list(params)[:5] == ["axes", "objective", "huber_delta", "bootstrap", "random_state"]
    assert params["axes"] is axes  # untouched, as scikit-learn's clone wants it
    assert params["fixed"] is fixed
    assert (params["objective"], params["huber_delta"], params["bootstrap"], params["random_state"]) == (
        "log",
        1e-2,
        5,
        7,
    )
    assert (params["max_exponent"], params["bounds"], params["shared"]) == (3.0, None, None)
    copy = type(law)(**params)
    assert copy.get_params() == params
    assert repr(copy) == f"{kind.__name__}(axes={AXES})"
    assert str(copy) == copy._repr_html_() == repr(copy)


def test_options_of_a_formula_are_settings_too() -> None:
    law = TransferLaw(["images", "labels"], labels="labels")
    assert law.get_params()["labels"] == "labels"
    assert TransferLaw(AXES).get_params()["labels"] == "n_finetune"
    assert type(law)(**law.get_params()).formula.axes == ("images", "labels")
    assert law.set_params(axes=["images", "tags"], labels="tags").formula.axes == ("images", "tags")
    with pytest.raises(TypeError, match="label"):
        TransferLaw(AXES, label="n_finetune")


def test_scikit_learn_clones_a_law() -> None:
    base = pytest.importorskip("sklearn.base")
    law = TransferLaw(AXES, objective="log", bounds={"floor": (0.0, 0.1)}).fit(table())
    copy = base.clone(law)
    assert copy.get_params() == law.get_params()
    with pytest.raises(NotFittedError):
        _ = copy.status_


def test_set_params_forgets_the_fit() -> None:
    law = AdditivePowerLaw(["n_pretrain"]).fit(table())
    assert law.set_params(objective="log") is law
    with pytest.raises(NotFittedError, match="call fit"):
        _ = law.floor_
    assert law.fit(table()).to_dict(None)["objective_name"] == "log"
    with pytest.raises(FitError, match=r"no setting 'objectiv'.*Did you mean 'objective'"):
        law.set_params(objectiv="log")


@pytest.mark.parametrize("kind", LAWS)
def test_new_settings_are_given_by_name_only(kind: type[Law]) -> None:
    with pytest.raises(TypeError, match="positional"):
        kind(AXES, "log", 1e-3, 0, None, 3.0)  # type: ignore[call-arg]
    assert inspect.signature(Law).parameters["max_exponent"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("kind", LAWS)
def test_every_law_has_the_whole_face(kind: type[Law], capsys: pytest.CaptureFixture[str]) -> None:
    law = kind(AXES, bootstrap=10, random_state=0).fit(table())
    found = law.to_dict()
    assert found["law"] == law.name
    assert found["n_runs"] == law.n_runs_ == 81
    assert found["status"] == law.status_
    assert found["floor"] == law.floor_
    assert found["parameters"] == law.parameters_
    assert set(found["intervals"]) == set(law.parameters_) == set(law.intervals(0.5))
    assert found["objective"] == law.objective_
    assert (found["over_dispersion"], found["weights"]) == (None, None)
    assert (found["fixed"], found["bounds"], found["shared"]) == ({}, {}, [])
    assert found["intervals_from"] == law.intervals_from_ == "bootstrap over seed blocks"
    assert list(law.identifiability_) == AXES
    assert law.draws_ is not None
    assert list(law.draws_.columns) == list(found["intervals"])
    points = table()[AXES].to_numpy()[:4]
    assert law.curves(points).shape == (10, 4)
    law.summary()
    text = capsys.readouterr().out
    assert "status: " in text
    assert "intervals: bootstrap over seed blocks" in text
    assert "<table>" in law._repr_html_()
    law = kind(AXES).fit(table())
    law.summary(level=None)
    assert "interval" not in capsys.readouterr().out.replace("not identified", "")
    assert law.draws_ is None


@pytest.mark.parametrize("kind", [AdditivePowerLaw, MultiplicativeLaw])
def test_weights_come_as_a_column_an_array_or_a_series(kind: type[Law]) -> None:
    runs = table(("scratch", "distilled"))
    counts = np.random.default_rng(0).integers(0, 3, len(runs))
    by_column = kind(AXES, "log").fit(runs.assign(count=counts), weights="count", recipe="distilled")
    ways: list[Any] = [counts, counts.tolist(), pd.Series(counts, index=np.arange(len(runs))[::-1])]
    for weights in ways:
        law = kind(AXES, "log").fit(runs, weights=weights, recipe="distilled")
        assert law.objective_ == by_column.objective_
        assert law.parameters_ == by_column.parameters_
    assert by_column.to_dict(None)["weights"] == "count"
    repeated = runs.loc[np.repeat(runs.index, counts)].drop(columns="seed")
    again = kind(AXES, "log").fit(repeated, recipe="distilled")
    assert by_column.objective_ == pytest.approx(again.objective_, rel=1e-9)
    points = runs[AXES][:5]
    np.testing.assert_allclose(by_column.predict(points), again.predict(points), rtol=1e-6, atol=0)


def test_auto_passes_its_settings_on() -> None:
    counts = np.r_[np.ones(54), np.zeros(27)]
    auto = AutoLaw(AXES, "log", max_exponent=0.45).fit(table(), weights=counts)
    chosen = auto.laws_[auto.chosen_]
    assert (chosen.objective, chosen.max_exponent) == ("log", 0.45)
    direct = type(chosen)(AXES, "log", max_exponent=0.45).fit(table(), weights=counts)
    assert chosen.parameters_ == direct.parameters_
    assert max(value for name, value in auto.parameters_.items() if name.endswith("exponent")) <= 0.45
    for held in ({"fixed": {"floor": 0.0}}, {"bounds": {"floor": (0.0, 0.1)}}, {"shared": [["a", "b"]]}):
        with pytest.raises(FitError, match="name the law"):
            AutoLaw(AXES, **held).fit(table())


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, 2.0], "the table has 81 rows"),
        (3.0, "one number a row"),
        (["a"] * 81, "numbers"),
        ("cuont", "Did you mean 'count'"),
        ("negative", "is negative"),
        ("empty", "is empty or not finite"),
        ("none", "at least one must count"),
    ],
)
def test_faulty_weights(weights: Any, said: str) -> None:
    runs = table().assign(count=1.0, negative=1.0, empty=1.0, none=0.0)
    runs.loc[4, "negative"] = -1.0
    runs.loc[5, "empty"] = np.nan
    with pytest.raises(RunsError) as caught:
        AdditivePowerLaw(["n_pretrain"]).fit(runs, weights=weights)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", [AdditivePowerLaw, FlooredMultiplicativeLaw, AutoLaw])
@pytest.mark.parametrize(
    "settings",
    [
        {"objective": None},
        {"huber_delta": "a"},
        {"bootstrap": 1.5},
        {"bootstrap": True},
        {"random_state": -1},
        {"max_exponent": "a"},
        {"max_exponent": -1.0},
        {"fixed": [1]},
        {"fixed": {"floor": "0"}},
        {"fixed": {3: 1.0}},
        {"bounds": {"floor": "01"}},
        {"bounds": {"floor": 3}},
        {"shared": "ab"},
        {"shared": [[1, 2]]},
        {"axes": 3},
        {"axes": []},
    ],
    ids=str,
)
def test_no_setting_ends_in_another_error_than_ours(kind: type[Law], settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        kind(**{"axes": AXES, "bootstrap": 2, **settings}).fit(table())


def test_all_settings_of_the_wrong_kind_are_told_at_once() -> None:
    with pytest.raises(FitError) as caught:
        AdditivePowerLaw(AXES, huber_delta="a", fixed=[1]).fit(table())  # type: ignore[arg-type]
    assert [fault.split()[0] for fault in caught.value.faults] == ["huber_delta", "fixed"]


@pytest.mark.parametrize("law", ["additive", "multiplicative-floor"])
def test_auto_backtests_under_its_own_bound(law: str) -> None:
    """Exponents of 3 that are held to 1 foretell the largest scale worse, and the shares know it."""
    sizes = np.geomspace(1, 10, 6)
    D, M = (part.ravel() for part in np.meshgrid(sizes, sizes))
    above = 0.5 * D**-3.0 + 0.3 * M**-3.0 if law == "additive" else 0.5 * D**-3.0 * M**-3.0
    frame = pd.DataFrame({"n_pretrain": D, "n_params": M, "error": 0.05 + above})
    free, held = (
        AutoLaw(["n_pretrain", "n_params"], max_exponent=bound).fit(frame).comparison_ for bound in (10.0, 1.0)
    )
    of = [{score.law: score.rmsle for score in found.scores}[law] for found in (free, held)]
    assert of[0] < 1e-6
    assert of[1] > 1e-2


def test_a_forecast_for_a_frame_keeps_its_rows() -> None:
    """Joined to a filtered frame it would else stand beside other rows."""
    law = AdditivePowerLaw(AXES, random_state=0).fit(table())
    asked = table().loc[[5, 30, 7], AXES]
    assert law.predict(asked, interval=0.9).index.tolist() == [5, 30, 7]


@pytest.mark.parametrize("sizes", [5, None, [1.0, 2.0]])
def test_sizes_without_names_are_told(sizes: Any) -> None:
    with pytest.raises(RunsError, match="a mapping from axis to number or a DataFrame"):
        AdditivePowerLaw(AXES, random_state=0).fit(table()).predict(sizes)
