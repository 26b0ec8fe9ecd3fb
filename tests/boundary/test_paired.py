"""The second opinion against differences taken by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tippingpoint.boundary import paired_differences
from tippingpoint.boundary.paired import blocks_to_settle, sign_changes
from tippingpoint.errors import InputError


def test_differences_are_those_of_the_pairs(study: pd.DataFrame) -> None:
    found = paired_differences(study, target="cross_entropy")
    wide = study.pivot_table(index=["n_pretrain", "seed"], columns="recipe", values="cross_entropy").reset_index()
    wide["difference"] = wide["scratch"] - wide["distilled"]
    by_size = wide.groupby("n_pretrain")["difference"]
    np.testing.assert_allclose(found["mean"], by_size.mean(), rtol=1e-12)
    np.testing.assert_allclose(found["standard_error"], by_size.sem(), rtol=1e-12)
    assert found["n_pairs"].tolist() == [6] * 7
    low, high = stats.t.interval(0.9, 5, by_size.mean(), by_size.sem())
    np.testing.assert_allclose(found[["low", "high"]].to_numpy().T, [low, high], rtol=1e-10)


def test_where_the_sign_changes(study: pd.DataFrame) -> None:
    (change,) = sign_changes(paired_differences(study, target="cross_entropy"))
    assert (change.low, change.high, change.direction) in [(500, 1000, -1), (1000, 2000, -1)]


def test_more_blocks_are_counted_by_students_t() -> None:
    table = pd.DataFrame(
        {"n": [1.0], "mean": [1.0], "standard_error": [1.0], "n_pairs": [4], "low": [-1.35], "high": [3.35]}
    )
    more = blocks_to_settle(table, 0.9)
    assert more is not None
    spread = 2.0
    enough = [n for n in range(5, 100) if stats.t.ppf(0.95, n - 1) * spread / np.sqrt(n) < 1.0]
    assert 4 + more == enough[0]
    assert blocks_to_settle(table.assign(mean=1e-4), 0.9) is None


def test_level_is_checked(study: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        paired_differences(study, target="cross_entropy", level=2)


def test_blocks_that_agree_on_few_test_images_do_not_make_a_difference_certain() -> None:
    """One image of 62 in each of two blocks was told as p < 0.001."""
    runs = pd.DataFrame(
        [
            {"recipe": recipe, "n_pretrain": size, "seed": seed, "subset_seed": seed, "error": count / 62, "n_test": 62}
            for size, counts in {100: (38, 37), 200: (38, 30), 400: (30, 30)}.items()
            for recipe, count in zip(("scratch", "distilled"), counts, strict=True)
            for seed in (0, 1)
        ]
    )
    asked = {"stage": None, "at": {}}
    one, eight, none = paired_differences(runs, **asked).itertuples()  # type: ignore[arg-type]
    assert one.standard_error == pytest.approx(1 / 62 / np.sqrt(12) / np.sqrt(2))
    assert one.low < 0 < one.high
    assert eight.low > 0, "what is many images is established all the same"
    assert none.low < 0 < none.high
    unknown = paired_differences(runs.drop(columns="n_test"), **asked)  # type: ignore[arg-type]
    assert (unknown["standard_error"] < 1e-12).all(), "nothing is known of the steps of such a table"
    other = runs.rename(columns={"error": "cross_entropy"})
    assert (paired_differences(other, target="cross_entropy", **asked)["standard_error"] < 1e-12).all()  # type: ignore[arg-type]
