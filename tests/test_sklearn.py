"""The regressor: scikit-learn's own checks, its tools around it, and the law it must agree with."""

from __future__ import annotations

import doctest
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.errors import FitError, RunsError

pytest.importorskip("sklearn", minversion="1.6", reason="the regressor needs scikit-learn 1.6 or newer")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import tippingpoint.sklearn
from tippingpoint.sklearn import ScalingLawRegressor

FLOOR, COEFFICIENT, EXPONENT = 0.1, 3.0, 0.4
TOO_MANY = "its data have 10 or 30 columns, and a law has at most 6 axes"
EXPECTED = dict.fromkeys(
    (
        "check_sample_weight_equivalence_on_dense_data",  # held below, over two columns
        "check_dtype_object",
        "check_regressors_train",
        "check_regressor_data_not_an_array",
        "check_regressors_int",
    ),
    TOO_MANY,
)


def table(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return two columns of sizes and an error that follows the additive law exactly."""
    random = np.random.default_rng(3)
    sizes = 10 ** random.uniform([2, 1], [6, 4], (count, 2))
    return sizes, FLOOR + COEFFICIENT * sizes[:, 0] ** -EXPONENT + 0.5 * sizes[:, 1] ** -0.7


# Its own data hold zeros on purpose; the offset lets a size of 0 stand in X.
@parametrize_with_checks([ScalingLawRegressor(offset=1.0)], expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_law_is_found_and_is_the_law_of_the_package() -> None:
    X, y = table()
    model = ScalingLawRegressor(axes=["images", "labels"]).fit(X, y)
    assert model.floor_ == pytest.approx(FLOOR, rel=1e-4)
    assert model.parameters_["images.coefficient"] == pytest.approx(COEFFICIENT, rel=1e-3)
    assert model.parameters_["images.exponent"] == pytest.approx(EXPONENT, rel=1e-3)
    assert model.status_ == "converged"
    law = tp.AdditivePowerLaw(["images", "labels"], random_state=0).fit(
        {"images": X[:, 0], "labels": X[:, 1], "error": y}
    )
    asked = {"images": X[:, 0], "labels": X[:, 1]}
    predicted = model.predict(X)
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted, law.predict(asked), rtol=1e-12, atol=0)
    ends = law.predict(asked, interval=0.8)[["low", "high"]].to_numpy()
    np.testing.assert_allclose(model.predict_interval(X, level=0.8), ends, rtol=1e-12, atol=0)


def test_names_come_from_the_data_frame() -> None:
    X, y = table()
    frame = pd.DataFrame(X, columns=["n_pretrain", "n_finetune"])
    model = ScalingLawRegressor("transfer").fit(frame, y)
    assert model.axes_ == ["n_pretrain", "n_finetune"]
    assert list(model.feature_names_in_) == model.axes_
    assert model.law_.name == "transfer"


def test_weights_count_as_rows_repeated() -> None:
    X, y = table()
    y = y * np.exp(np.random.default_rng(1).normal(0, 0.05, len(y)))
    counts = np.random.default_rng(2).integers(0, 4, len(y))
    weighted = ScalingLawRegressor().fit(X, y, sample_weight=counts)
    repeated = ScalingLawRegressor().fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-3, atol=0)


def test_pipeline_grid_search_and_cross_validation() -> None:
    X, y = table()
    images = make_pipeline(FunctionTransformer(lambda thousands: 1000 * thousands), ScalingLawRegressor())
    scores = cross_val_score(images, X / 1000, y, cv=KFold(4, shuffle=True, random_state=0), scoring="r2")
    assert scores.min() > 0.99
    search = GridSearchCV(ScalingLawRegressor(), {"law": ["additive", "multiplicative"]}, cv=3).fit(X, y)
    assert search.best_params_ == {"law": "additive"}


def test_settings_reach_the_law_and_copies_are_unfitted() -> None:
    X, y = table()
    model = ScalingLawRegressor(fixed={"floor": 0.05}, max_exponent=5.0).fit(X, y)
    assert model.floor_ == pytest.approx(0.05, abs=1e-12)
    assert model.law_.max_exponent == 5.0
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    with pytest.raises(NotFittedError):
        _ = clone(model).floor_


def test_zero_is_refused_unless_an_offset_says_what_it_means() -> None:
    X, y = table()
    X[3, 1] = 0.0
    with pytest.raises(RunsError, match=r"Sizes of 0 .* column 'x1' .* offset=1"):
        ScalingLawRegressor().fit(X, y)
    model = ScalingLawRegressor(offset=1.0).fit(X, np.where(X[:, 1] == 0, 0.9, y))
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"law": "addditive"}, "Did you mean 'additive'"), ({"axes": ["images"]}, "X has 2 columns and axes names 1")],
)
def test_wrong_settings_are_told(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(FitError, match=what):
        ScalingLawRegressor(**settings).fit(*table())


def test_the_example_of_the_module_holds() -> None:
    results = doctest.testmod(tippingpoint.sklearn)
    assert results.attempted >= 2
    assert results.failed == 0


def test_scikit_learn_is_loaded_with_this_module_alone() -> None:
    code = (
        "import sys, tippingpoint as tp;"
        "tp.AdditivePowerLaw(['n']).fit({'n': [1, 2, 4, 8], 'error': [.5, .4, .3, .2]});"
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_scikit_learn_the_extra_is_named() -> None:
    code = "import sys; sys.modules['sklearn.base'] = None; import tippingpoint.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install 'tippingpoint[sklearn]'" in done.stderr
