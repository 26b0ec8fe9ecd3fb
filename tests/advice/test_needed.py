"""How many labels a target needs: where the ends of the interval of the expected error meet it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.advice.choices import Choice, Found
from tippingpoint.advice.cost import Prices
from tippingpoint.advice.family import Family
from tippingpoint.advice.hinges import choice_words
from tippingpoint.advice.needed import needed_of
from tippingpoint.advice.question import Question
from tippingpoint.advice.search import Amounts
from tippingpoint.advice.words import amount, span

LABELS = (20, 50, 100, 200, 400, 800)


def simulate(floor: float, noise: float, seed: int = 0) -> pd.DataFrame:
    """Return runs of three frozen models: floor + 1.4 n^-0.6, the same for all sizes but for a little."""
    random, rows = np.random.default_rng(seed), []
    for size, (name, factor) in zip((1e6, 4e6, 1.6e7), (("a", 1.2), ("b", 1.1), ("c", 1.0)), strict=True):
        for labels in LABELS:
            for block in range(5):
                error = (floor + 1.4 * labels**-0.6) * factor * np.exp(random.normal(0, noise))
                rows.append(
                    {
                        "recipe": "public_frozen",
                        "stage": "finetuned",
                        "upstream": "public",
                        "downstream": "photos",
                        "n_params": size,
                        "n_finetune": labels,
                        "student": name,
                        "subset_seed": block,
                        "seed": block,
                        "error": error,
                    }
                )
    return pd.DataFrame(rows)


def ask(frame: pd.DataFrame, target: float, **more: Any) -> Any:
    return tp.advise(frame, target_error=target, prices={"label": 1.0}, random_state=0, **more)


def test_it_holds_the_truth_and_the_draws_agree_with_it() -> None:
    found = ask(simulate(0.02, 0.05), 0.06)
    best = found.best
    low, high = best.needed["n_finetune"]
    truth = (1.4 / 0.04) ** (1 / 0.6)
    assert low < truth < high
    assert low < best.sizes["n_finetune"] < high
    assert high / low < 1.5
    assert set(best.needed) == {"n_finetune"}
    assert f"labels needed      {best.sizes['n_finetune']:,.0f} (90% {low:,.0f} to {high:,.0f})" in str(found)
    narrow = ask(simulate(0.02, 0.05), 0.06, level=0.5).best.needed["n_finetune"]
    assert low < narrow[0] < narrow[1] < high
    assert found.to_dict()["best"]["needed"] == {"n_finetune": [low, high]}


def test_its_ends_are_where_those_of_the_expected_error_meet_the_target() -> None:
    frame = simulate(0.02, 0.05)
    found = ask(frame, 0.05)
    low, high = found.best.needed["n_finetune"]
    later = {"n_finetune": high, "n_params": found.best.sizes["n_params"]}
    # Asked for the labels of the upper end, 95% of the draws are at or below the target.
    sure = tp.advise(frame, budget=1e-6, prices={"label": 1.0}, have={"n_finetune": math.ceil(high)}, random_state=0)
    option = next(one for one in [sure.best, *sure.others] if one.sizes["n_params"] == later["n_params"])
    assert option.interval[1] == pytest.approx(0.05, rel=0.01)
    assert low < found.best.sizes["n_finetune"]


class Drawn:
    """A law of which the draws are known: floors from 0 to 0.1, and 1.4 n^-0.6 above them."""

    axes = ("n_finetune",)

    def __init__(self, floors: Any) -> None:
        self.floors = floors

    def predict(self, sizes: Any, interval: float) -> Any:
        curves = self.floors[:, None] + 1.4 * sizes["n_finetune"] ** -0.6
        low, high = np.quantile(curves, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
        return pd.DataFrame({"prediction": curves.mean(axis=0), "low": low, "high": high})


@pytest.mark.parametrize("share", [0.0, 0.03, 0.07, 0.5, 0.97, 1.0])
def test_draws_that_never_get_there_leave_it_open(share: float) -> None:
    """`share` of the draws have their floor above the target of 0.05; at 90% one end needs 5% of them."""
    floors = np.concatenate([np.linspace(0.0, 0.04, 1000 - int(1000 * share)), np.full(int(1000 * share), 0.06)])
    levels = {"n_finetune": [20.0, 800.0]}
    family = Family("frozen", None, Drawn(np.random.default_rng(0).permutation(floors)), levels, None)
    question = Question(None, 0.05, Prices(label=1.0), {}, "error", 0.9, 10.0, False, None)
    found = needed_of(Found(Choice(family, None), Amounts(1.0, 300.0, 0.05, 300.0)), question)
    assert found is not None
    exact = np.full(1000, np.inf)
    exact[floors < 0.05] = (1.4 / (0.05 - floors[floors < 0.05])) ** (1 / 0.6)
    low, high = found["n_finetune"]
    assert math.isinf(high) == (share > 0.05)
    if share < 0.95:
        assert low == pytest.approx(np.quantile(exact, 0.05, method="nearest"), rel=5e-3)
    if share <= 0.05:
        assert high == pytest.approx(np.quantile(exact, 0.95, method="nearest"), rel=5e-3)
    assert span((low, high), 0.9, said=amount).endswith("and open above") == math.isinf(high)
    assert (
        needed_of(Found(Choice(family, None), Amounts(1.0, 300.0, 0.05, 300.0)), replace(question, target_error=None))
        is None
    )


def test_public_models_have_laws_of_their_own() -> None:
    """The largest one is the worst, and one has a floor that the others have not."""
    frame = simulate(0.0, 0.03).assign(n_pretrain=1_281_167)
    frame.loc[frame["student"] == "a", "error"] *= 0.5
    frame.loc[frame["student"] == "c", "error"] += 0.1
    found = ask(frame, 0.04)
    assert (found.best.student, found.best.sizes["n_params"]) == ("a", 1e6)
    assert [law["student"] for law in found.laws] == ["a", "b", "c"]
    assert all(law["axes"] == ["n_finetune"] and law["n_runs"] == 30 for law in found.laws)
    truth = (1.4 * 1.2 * 0.5 / 0.04) ** (1 / 0.6)
    low, high = found.best.needed["n_finetune"]
    assert low < truth < high
    assert "train public_frozen, a, 1,000,000" in found.sentence
    assert not [note for note in found.notes if "one size only" in note], "that is what a public model is"
    assert {option.student for option in found.others} == {"b"}, "the floor of c is above the target"
    shared = ask(frame.assign(recipe="scratch"), 0.2)
    assert [law["student"] for law in shared.laws] == [None]
    assert shared.laws[0]["axes"] == ["n_params", "n_finetune"]


def test_a_target_that_is_not_reached_is_told_from_where_on_it_might_be() -> None:
    frame = simulate(0.02, 0.05)
    found = ask(frame, 0.0215)
    assert found.best is None
    (closest,) = found.others
    low, high = closest.needed["n_finetune"]
    assert 800 < low < math.inf
    assert high > 8000, "else it could have been advised"
    words = choice_words("public_frozen", closest.sizes["n_params"], None, closest.student)
    assert f"interval of {words} reaches the" in found.hinges[-1]
    end = "never does." if math.isinf(high) else f"does at {high:,.0f} labels."
    assert found.hinges[-1].endswith(f"at {low:,.0f} labels; the upper end {end}")
    below = ask(frame, 0.001)
    assert below.best is None
    assert all("lower end" not in hinge for hinge in below.hinges) == math.isinf(
        below.others[0].needed["n_finetune"][0]
    )
