"""Draws for other tools: the same numbers as the law's own, with chain and draw."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.errors import InputError, MissingExtraError


@pytest.fixture(scope="module")
def law() -> tp.AdditivePowerLaw:
    random = np.random.default_rng(0)
    sizes = np.geomspace(1e3, 1e6, 12)
    error = (0.1 + 3 * sizes**-0.5) * np.exp(random.normal(0, 0.01, 12))
    return tp.AdditivePowerLaw(["n_pretrain"], random_state=0).fit({"n_pretrain": sizes, "error": error})


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_draws_are_saved_with_chain_and_draw(law: tp.AdditivePowerLaw, ending: str, tmp_path: Path) -> None:
    path = law.save_draws(tmp_path / f"draws.{ending}")
    found = pd.read_parquet(path) if ending == "parquet" else pd.read_csv(path)
    assert list(found.columns) == ["chain", "draw", "floor", "n_pretrain.coefficient", "n_pretrain.exponent"]
    assert set(found["chain"]) == {0}
    np.testing.assert_array_equal(found["draw"], np.arange(1000))
    np.testing.assert_allclose(found[law.draws_.columns], law.draws_, rtol=1e-15, atol=0)
    ends = np.quantile(found["n_pretrain.exponent"], [0.05, 0.95])
    np.testing.assert_allclose(ends, law.intervals(0.9)["n_pretrain.exponent"], rtol=1e-12, atol=0)


def test_another_ending_is_refused(law: tp.AdditivePowerLaw, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.parquet or \.csv"):
        law.save_draws(tmp_path / "draws.nc")


def test_without_arviz_the_other_way_is_named(law: tp.AdditivePowerLaw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(MissingExtraError, match=r"pip install arviz, or use save_draws"):
        law.to_inference_data()


def test_arviz_is_given_groups_in_the_form_of_its_version(
    law: tp.AdditivePowerLaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old(**groups: Any) -> dict[str, Any]:
        return groups

    def new(groups: dict[str, Any], /) -> dict[str, Any]:
        return groups

    for version, from_dict in (("0.22.0", old), ("1.0.1", new)):
        arviz = types.SimpleNamespace(__version__=version, from_dict=from_dict)
        monkeypatch.setitem(sys.modules, "arviz", arviz)
        groups = law.to_inference_data()
        assert list(groups) == ["posterior", "observed_data", "constant_data"]
        assert groups["posterior"]["floor"].shape == (1, 1000)
        np.testing.assert_array_equal(groups["constant_data"]["n_pretrain"], np.geomspace(1e3, 1e6, 12))


def test_arviz_itself_reads_the_draws(law: tp.AdditivePowerLaw) -> None:
    pytest.importorskip("arviz", reason="ArviZ is not installed")
    data = law.to_inference_data()
    posterior = data["posterior"]
    assert dict(posterior.sizes) == {"chain": 1, "draw": 1000}
    np.testing.assert_allclose(posterior["floor"].to_numpy()[0], law.draws_["floor"], rtol=1e-15, atol=0)


def test_a_bootstrap_of_two_is_said_to_mean_little(law: tp.AdditivePowerLaw) -> None:
    sizes = np.geomspace(1e3, 1e6, 12)
    runs = {"n_pretrain": sizes, "error": 0.1 + 3 * sizes**-0.5 * np.tile([1.0, 1.01, 0.99], 4)}
    few = tp.AdditivePowerLaw(["n_pretrain"], bootstrap=2, random_state=0).fit(runs)
    assert "Intervals and probabilities are of 2 draws only and mean little; take 1000 or more." in few.warnings_
    law.intervals(0.9)
    assert not any("draws only" in text for text in law.warnings_)
