"""The law as a person meets it: fit, ask, print."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tippingpoint as tp
from tippingpoint.errors import FitError, NotFittedError, RunsError, TippingPointError
from tippingpoint.laws import AdditivePowerLaw
from tippingpoint.laws.additive import gradient, value


def study(seeds: int = 6, noise: float = 0.01) -> pd.DataFrame:
    """Return a study of two recipes whose blocks share an error."""
    generator = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        shift = 1 + noise * generator.standard_normal()
        for recipe, floor in (("scratch", 0.05), ("distilled", 0.04)):
            for n in (250, 1000, 4000, 16000, 64000):
                for m in (1e5, 4e5, 1.6e6):
                    error = floor + 0.1 * (n / 4000) ** -0.4 + 0.05 * (m / 4e5) ** -0.6
                    error *= shift * (1 + noise * generator.standard_normal())
                    same = {"recipe": recipe, "subset_seed": seed, "seed": seed, "stage": "pretrained"}
                    rows.append({**same, "n_pretrain": n, "n_params": m, "error": error})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def law() -> AdditivePowerLaw:
    made = AdditivePowerLaw(["n_pretrain", "n_params"], bootstrap=200, random_state=0)
    return made.fit(study(), recipe="scratch")


def test_fitted_attributes(law: AdditivePowerLaw) -> None:
    assert law.n_runs_ == 90
    assert law.status_ == "converged"
    assert law.target_ == "error"
    np.testing.assert_allclose(law.exponents_["n_pretrain"], 0.4, rtol=0.1)
    np.testing.assert_allclose(law.reference_["n_pretrain"], 4000, rtol=1e-9)
    assert law.floor_ == pytest.approx(0.05, abs=0.01)
    assert "90 of 180 rows set aside: recipe is not 'scratch'." in law.notes_
    assert law.draws_ is not None
    assert len(law.draws_) == 200
    assert all(term.identified for term in law.identifiability_.values())
    for name, (low, high) in law.intervals(0.99).items():
        assert low < high, name


def test_intervals_surround_the_estimate(law: AdditivePowerLaw) -> None:
    for name, (low, high) in law.intervals(0.9).items():
        axis, _, what = name.partition(".")
        estimate = law.floor_ if not what else (law.exponents_ if what == "exponent" else law.coefficients_)[axis]
        assert low <= estimate <= high, name


def test_predict(law: AdditivePowerLaw) -> None:
    inside = law.predict({"n_pretrain": 4000, "n_params": 4e5}, interval=0.9)
    assert isinstance(inside, float)
    assert inside.interval[0] < inside < inside.interval[1]
    assert inside.outside == {"n_pretrain": 1.0, "n_params": 1.0}
    far = law.predict({"n_pretrain": 640_000, "n_params": 2.5e4})
    assert far.outside == pytest.approx({"n_pretrain": 10.0, "n_params": 4.0}, rel=1e-12)
    assert "outside the data by a factor of 10" in far.warnings[0]
    many = law.predict({"n_pretrain": np.array([100.0, 4000.0]), "n_params": 4e5})
    assert many.shape == (2,)
    np.testing.assert_allclose(many[1], float(inside), rtol=1e-12)
    table = law.predict(study()[:5], interval=0.5)
    assert (table["low"] <= table["prediction"]).all()
    assert copy.deepcopy(inside).to_dict() == inside.to_dict()


def test_predict_draws_when_an_interval_is_asked() -> None:
    law = AdditivePowerLaw(["n_pretrain"], random_state=0).fit(study(3), recipe="distilled")
    assert law.draws_ is None
    assert law.to_dict(None)["intervals"] == {}
    assert law.draws_ is None
    guess = law.predict({"n_pretrain": 1e4}, interval=0.9)
    assert law.draws_ is not None
    assert law.intervals_from_ == "posterior"
    assert any("Only 3 seed blocks" in sentence for sentence in guess.warnings)
    low, high = law.to_dict()["terms"]["n_pretrain"]["swing_interval"]
    assert low < law.identifiability_["n_pretrain"].swing < high


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"n_pretrain": 1.0}, "'n_params' is not given"),
        ({"n_pretrain": 1.0, "n_params": 0.0}, "above 0"),
        ({"n_pretrain": 1.0, "n_params": 1.0, "n_param": 1.0}, "Did you mean 'n_params'"),
        ({"n_pretrain": "x", "n_params": 1.0}, "numbers"),
        ({"n_pretrain": [1.0, 2.0], "n_params": [1.0, 2.0, 3.0]}, "numbers"),
    ],
)
def test_faulty_sizes(law: AdditivePowerLaw, sizes: dict[str, Any], said: str) -> None:
    with pytest.raises(RunsError) as caught:
        law.predict(sizes)
    assert said in str(caught.value)


def test_faulty_settings() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        _ = AdditivePowerLaw(["n"]).floor_
    with pytest.raises(FitError, match="bootstrap"):
        AdditivePowerLaw(["n_pretrain"], bootstrap=-1).fit(study(), recipe="scratch")
    with pytest.raises(RunsError, match="both target and axis"):
        AdditivePowerLaw(["error"]).fit(study(), recipe="scratch")
    with pytest.raises(RunsError, match="at least one axis"):
        AdditivePowerLaw([]).fit(study(), recipe="scratch")
    with pytest.raises(RunsError, match="Did you mean 'n_params'"):
        AdditivePowerLaw(["n_parms"]).fit(study(), recipe="scratch")
    with pytest.raises(RunsError, match="several values of recipe"):
        AdditivePowerLaw(["n_pretrain"]).fit(study())
    fitted = AdditivePowerLaw(["n_pretrain"]).fit(study(), recipe="scratch")
    with pytest.raises(FitError, match="between 0 and 1"):
        fitted.predict({"n_pretrain": 1.0}, interval=90)


def test_one_size_of_an_axis_is_said_and_does_not_fail() -> None:
    runs = study().query("n_params == 1e5")
    law = AdditivePowerLaw(["n_pretrain", "n_params"]).fit(runs, recipe="scratch")
    assert law.status_ == "unidentified"
    assert "n_params has a single size" in law.warnings_[0]
    assert not law.identifiability_["n_params"].identified


def test_printing(law: AdditivePowerLaw, capsys: pytest.CaptureFixture[str]) -> None:
    law.summary()
    text = capsys.readouterr().out
    assert text.splitlines()[1].startswith("status: converged")
    assert "90% interval" in text
    assert "n_pretrain: moves error by" in text
    assert "<table>" in law._repr_html_()
    assert law.to_latex().startswith(r"\mathrm{error} = ")
    assert str(AdditivePowerLaw(["a"])) == "AdditivePowerLaw(axes=['a'])"
    found = law.to_dict()
    agreed = ["law", "axes", "target", "n_runs", "status", "objective", "floor", "terms", "intervals", "warnings"]
    assert [key for key in found if key in agreed] == agreed
    assert set(found["terms"]["n_params"]) >= {"coefficient", "exponent", "identified"}
    assert set(found["intervals"]) == {"floor"} | {
        f"{axis}.{what}" for axis in law.axes for what in ("coefficient", "exponent")
    }


def test_same_seed_same_draws() -> None:
    first, second = (
        AdditivePowerLaw(["n_pretrain"], bootstrap=20, random_state=5).fit(study(), recipe="scratch").draws_
        for _ in range(2)
    )
    assert first is not None
    pd.testing.assert_frame_equal(first, second)


def test_a_known_truth_lies_in_most_intervals() -> None:
    """40 simulated studies with 6 seed blocks that share an error: the 90% interval of the curve covers."""
    inside = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        n = np.tile(np.geomspace(250, 64_000, 6), 6)
        block = np.repeat(np.arange(6), 6)
        truth = 0.05 + 0.2 * (n / 4000) ** -0.5
        y = truth * np.exp(0.02 * generator.standard_normal(6)[block] + 0.01 * generator.standard_normal(36))
        runs = pd.DataFrame({"n_pretrain": n, "seed": block, "error": y})
        law = AdditivePowerLaw(["n_pretrain"], objective="log", bootstrap=300, random_state=seed).fit(runs)
        low, high = law.predict({"n_pretrain": 4000.0}, interval=0.9).interval
        inside += low <= 0.25 <= high
    assert inside >= 30  # nominal 36; six blocks make it rough


def test_formula_and_gradient() -> None:
    sizes = np.array([[10.0, 1e3], [100.0, 1e4]])
    theta = np.array([0.1, 2.0, 30.0, 0.3, 0.7])
    found = gradient(sizes, theta[1:3], theta[3:])
    for place in range(5):
        shift = np.zeros(5)
        shift[place] = 1e-6
        ahead, behind = (value(sizes, t[0], t[1:3], t[3:]) for t in (theta + shift, theta - shift))
        np.testing.assert_allclose(found[:, place], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-9)


def test_public_name() -> None:
    assert tp.AdditivePowerLaw is AdditivePowerLaw


CELLS = st.one_of(st.none(), st.floats(), st.integers(-5, 10**6), st.text(max_size=3), st.floats(0.001, 1))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["n", "m", "error", "seed", "recipe"]), st.lists(CELLS, min_size=4, max_size=4)))
def test_any_table_ends_in_a_fit_or_our_error(table: dict[str, list[Any]]) -> None:
    law = AdditivePowerLaw(["n"], bootstrap=3, random_state=0)
    try:
        law.fit(table)
    except TippingPointError:
        return
    assert law.status_
    assert str(law)
