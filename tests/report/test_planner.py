"""What the page's sliders compute, in Python: the laws and the costs of ``advise``, small enough to be carried."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.advice import advise
from tippingpoint.files import dump_json
from tippingpoint.report import Analysis, analyse
from tippingpoint.report.advising import advice
from tippingpoint.report.planner import MOST_DRAWS, Plan, PlanLaw, plans_of

PRICES = {"image": 0.02, "label": 0.3, "gpu_hour": 4.0}


@pytest.fixture(scope="module")
def frame(make_runs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    table = make_runs(blocks=3, sizes=(250, 1000, 4000, 16000))
    keep = table["recipe"].isin(["scratch", "distilled"]) & (table["downstream"] != "digits")
    return table[keep & ((table["recipe"] == "scratch") | (table["n_params"] == 51_000))]


@pytest.fixture(scope="module")
def analysis(frame: pd.DataFrame, endpoint: dict[str, Any]) -> Analysis:
    return analyse(frame, endpoint, resamples=10)


@pytest.fixture(scope="module")
def plan(analysis: Analysis) -> Plan:
    (found,) = plans_of(analysis)
    return found


def test_a_plan_has_the_law_and_the_price_that_advise_has(frame: pd.DataFrame, plan: Plan) -> None:
    found = advise(frame, budget=400, prices=PRICES, random_state=0)
    sizes = {"n_pretrain": 0.0, "n_finetune": 0.0, "n_params": 0.0, **found.best.sizes}
    name = ", ".join(filter(None, [found.best.recipe, found.best.teacher and f"teacher {found.best.teacher}"]))
    offer = next(one for one in plan.at(sizes, PRICES) if one.name == name)
    assert offer.value == pytest.approx(found.best.error, rel=1e-9)
    assert offer.cost == pytest.approx(found.best.cost.total, rel=1e-9)
    assert offer.compute == pytest.approx(found.best.cost.compute, rel=1e-9)
    assert found.best.interval is not None
    assert (offer.low, offer.high) == pytest.approx(found.best.interval, rel=0.05)  # of 300 draws, not all


def test_a_recipe_is_offered_at_the_models_it_was_run_with(plan: Plan) -> None:
    sizes = plan.middle
    assert sizes == {"n_pretrain": 4000, "n_finetune": 400, "n_params": 51_000}
    assert [one.name for one in plan.at(sizes)] == ["distilled, teacher heads=2", "scratch"]
    assert [one.name for one in plan.at({**sizes, "n_params": 200_000})] == ["scratch"]
    assert plan.at({**sizes, "n_params": 7}) == ()


def test_chances_are_shares_and_follow_the_values(plan: Plan) -> None:
    for n_pretrain in (250, 2000, 16_000):
        offers = plan.at({**plan.middle, "n_pretrain": n_pretrain})
        assert sum(one.chance for one in offers) == pytest.approx(1, abs=1e-12)
        assert all(one.low <= one.high for one in offers)
    few, many = (plan.at({**plan.middle, "n_pretrain": n})[0].chance for n in (250, 160_000))
    assert few > 0.9  # the simulated teacher helps where images are few
    assert many < few


def test_a_law_by_hand() -> None:
    draws = np.array([[0.1, np.log(2.0), 0.5], [0.2, -np.inf, 1.0]], dtype=np.float32)
    law = PlanLaw(
        "mine", ("n_pretrain",), np.array([0.05, np.log(3.0), 1.0]), draws, {"n_pretrain": [10.0, 100.0]}, None
    )
    value, drawn = law.values({"n_pretrain": 100.0})
    assert value == pytest.approx(0.05 + 3 / 100, rel=1e-12)
    np.testing.assert_allclose(drawn, [0.1 + 2 / 10, 0.2], rtol=1e-6)
    (offer,) = Plan("x", "error", (law,), None, 0.5).at({"n_pretrain": 100.0}, {"image": 2.0, "gpu_hour": 9.0})
    assert (offer.images, offer.labels, offer.compute, offer.chance) == (200.0, 0.0, 0.0, 1.0)
    assert (offer.low, offer.high) == pytest.approx((0.225, 0.275), rel=1e-6)


def test_what_the_page_carries_can_be_read_back(plan: Plan) -> None:
    told = json.loads(dump_json(plan.to_dict()))
    for law, carried in zip(plan.laws, told["laws"], strict=True):
        draws = np.frombuffer(base64.b64decode(carried["draws"]), dtype="<f4").reshape(-1, 1 + 2 * len(law.axes))
        assert len(draws) == MOST_DRAWS
        np.testing.assert_array_equal(draws, law.draws)
        np.testing.assert_array_equal([-np.inf if x is None else x for x in carried["parameters"]], law.parameters)
        assert law.flops is not None
        assert [list(part["knots"]) for part in carried["flops"]] == [list(p.knots) for p in law.flops.parts.values()]


def test_no_law_no_advice(analysis: Analysis) -> None:
    few = analysis.frame[analysis.frame["n_pretrain"] == 250]
    bare = analysis._replace(frame=few[few["n_finetune"] == 400].head(1).reset_index(drop=True))
    assert plans_of(bare) == ()
    assert advice(()) == ""


def test_sets_without_a_plan_are_counted(plan: Plan) -> None:
    assert "downstream sets" not in advice((plan,) * 3, 3)
    assert "Of 30 downstream sets the first 3 are here; tippingpoint advise answers for each." in advice(
        (plan,) * 3, 30
    )


def test_public_models_are_told_apart_by_name(analysis: Analysis) -> None:
    runs = analysis.frame[analysis.frame["recipe"] == "scratch"].assign(recipe="public")
    both = [runs.assign(student=name, error=runs["error"] + more) for name, more in (("resnet18", 0), ("vit", 0.02))]
    (found,) = plans_of(analysis._replace(frame=pd.concat(both, ignore_index=True), primary=None))
    assert [law.name for law in found.laws] == ["public, resnet18", "public, vit"]


def test_nothing_in_the_carried_data_can_end_its_element(plan: Plan) -> None:
    section = advice((plan._replace(scored="</script><script>alert(1)</script>&amp;"),))
    assert section.count("<script") == section.count("</script>") == 1
    assert "\\u003c/script>" in section
