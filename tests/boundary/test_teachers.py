"""Several recipes and teachers at once: the true best is found, chances sum to 1, pairs agree with Student's t."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import tippingpoint as tp
from tippingpoint.boundary import BestTeacher, best_teacher
from tippingpoint.boundary.teachers import _chances
from tippingpoint.errors import InputError, RunsError
from tippingpoint.files import dump_json

Make = Callable[..., pd.DataFrame]
#: small teachers help at small sizes, the larger one in the middle, scratch at last
LAWS = {"heads=2": (0.36, 8.0, 0.42), "heads=4": (0.325, 10.6, 0.45)}


def several(make_study: Make, **more: Any) -> pd.DataFrame:
    """Return scratch and two teachers, in the same blocks."""
    parts = []
    for place, (teacher, law) in enumerate(LAWS.items()):
        frame = make_study(truth={"scratch": (0.30, 16.0, 0.5), "distilled": law}, **{"noise": 0.003, **more})
        guided = frame["recipe"] == "distilled"
        frame.loc[guided, "teacher"] = teacher
        frame.loc[guided, "n_params_teacher"] = (13224, 30000)[place]
        frame.loc[guided, "pretrain_id"] += teacher
        parts.append(frame if place == 0 else frame[guided])
    return pd.concat(parts, ignore_index=True)


def truly_best(size: float) -> str:
    values = {"scratch": 0.30 + 16 * size**-0.5}
    values |= {f"distilled, teacher {name}": f + c * size**-e for name, (f, c, e) in LAWS.items()}
    return min(values, key=lambda name: values[name])


def ask(frame: Any, **more: Any) -> BestTeacher:
    return best_teacher(frame, **{"target": "cross_entropy", "resamples": 400, "random_state": 0, **more})


@pytest.fixture(scope="module")
def found(make_study: Make) -> BestTeacher:
    return ask(several(make_study))


def test_the_true_best_is_likeliest(found: BestTeacher) -> None:
    table = found.table_
    assert len({truly_best(size) for size in table["n_pretrain"]}) == 3  # the truth has three leaders
    sure = table[table["chance"] > 0.9]
    assert len(sure) >= 4
    assert [truly_best(size) for size in sure["n_pretrain"]] == sure["best"].tolist()
    assert [one.name for one in found.candidates] == [
        "scratch",
        "distilled, teacher heads=2",
        "distilled, teacher heads=4",
    ]
    assert found.laws_hold
    assert found.sentence.startswith("Likeliest best by the laws, along pretraining images: distilled, teacher heads=2")


def test_chances_sum_to_one(found: BestTeacher) -> None:
    for table in (found.laws_, found.measured_):
        np.testing.assert_allclose(table.groupby("n_pretrain")["chance"].sum(), 1, rtol=1e-12)
        assert table["chance"].between(0, 1).all()


def test_claims_are_true_and_adjusted(found: BestTeacher) -> None:
    leaders = found.leaders_
    claimed = leaders[leaders["established"]]
    assert len(claimed) >= 2
    assert [truly_best(size) for size in claimed["n_pretrain"]] == claimed["leader"].tolist()
    assert (leaders["p_holm"] >= leaders["p"]).all()
    assert "adjusted for 3 candidates and 7 sizes (Holm; exploratory)" in found.claims


def test_a_leader_beats_its_hardest_rival(make_study: Make, found: BestTeacher) -> None:
    frame = several(make_study)
    at = frame[frame["n_pretrain"] == 1000].assign(
        name=lambda rows: np.where(
            rows["recipe"] == "scratch", "scratch", "distilled, teacher " + rows["teacher"].astype(str)
        )
    )
    wide = at.pivot_table(index="seed", columns="name", values="cross_entropy")
    row = found.leaders_.set_index("n_pretrain").loc[1000]
    rivals = [name for name in wide if name != row["leader"]]
    hardest = max(stats.ttest_rel(wide[row["leader"]], wide[name], alternative="less").pvalue for name in rivals)
    np.testing.assert_allclose(row["p"], min(1, 3 * hardest), rtol=1e-6)


def test_one_claim_in_ten_at_most_is_false(make_study: Make) -> None:
    """Sixteen studies of equal candidates: more than five false claims have a chance of 0.3% at 10%."""
    same = (0.3, 16.0, 0.5)
    false = 0
    for seed in range(16):
        frame = make_study(truth={"scratch": same, "distilled": same}, sizes=(250, 1000, 4000), noise=0.02, seed=seed)
        false += bool(ask(frame, resamples=0).leaders_["established"].any())
    assert false <= 5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 8))
def test_chances_of_two_are_students(seed: int, blocks: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, (blocks, 2))
    chance = _chances(values, np.random.default_rng(1))
    p = stats.ttest_rel(values[:, 0], values[:, 1], alternative="less").pvalue
    np.testing.assert_allclose(chance[0], 1 - p, atol=0.02)


def test_other_recipes_and_the_order_of_rows(make_study: Make, found: BestTeacher) -> None:
    frame = several(make_study)
    smoothed = frame[frame["recipe"] == "scratch"].assign(recipe="smoothed")
    smoothed["cross_entropy"] += 0.05
    smoothed["pretrain_id"] += "s"
    four = ask(pd.concat([frame, smoothed]), recipes=("scratch", "distilled", "smoothed"))
    assert [one.name for one in four.candidates][-1] == "smoothed"
    assert four.laws_[four.laws_["candidate"] == "smoothed"]["chance"].max() < 0.05
    shuffled = ask(frame.sample(frac=1, random_state=3))
    np.testing.assert_allclose(shuffled.measured_["gain"], found.measured_["gain"], rtol=1e-9)


def test_laws_that_miss_give_way_to_the_runs(make_study: Make) -> None:
    frame = several(make_study)
    odd = (frame["teacher"] == "heads=4") & (frame["n_pretrain"] == 4000)
    frame.loc[odd, "cross_entropy"] -= 0.2
    found = ask(frame)
    assert not found.laws_hold
    assert found.sentence.startswith("The laws miss the paired runs, which are told instead.")
    assert found.leaders_.set_index("n_pretrain").loc[4000, "leader"] == "distilled, teacher heads=4"


def test_a_teacher_that_cannot_be_compared_is_listed(make_study: Make) -> None:
    frame = several(make_study)
    found = ask(frame[(frame["teacher"] != "heads=4") | (frame["n_pretrain"] < 600)])
    ((who, reason),) = found.failed
    assert who.teacher == "heads=4"
    assert "a law needs 3" in reason
    assert "Not compared: distilled, teacher heads=4" in str(found)


def test_without_draws_or_blocks_the_means_are_left(make_study: Make) -> None:
    found = ask(several(make_study, blocks=1), resamples=0)
    assert not len(found.laws_)
    assert found.measured_["chance"].isna().all()
    assert "nothing is established" in found.claims
    assert any("one seed block only" in text for text in found.warnings)
    assert "Leading in the runs" in found.sentence
    json.loads(dump_json(found.to_dict()))
    str(found)


def test_it_prints_and_is_json(found: BestTeacher, capsys: pytest.CaptureFixture[str]) -> None:
    found.summary()
    assert capsys.readouterr().out == f"{found}\n"
    assert json.loads(dump_json(found.to_dict()))["laws_hold"] is True
    assert "heads=4" in found._repr_html_()
    assert tp.best_teacher is best_teacher


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"along": "n_params_teacher"}, "a size of its own"),
        ({"recipes": ("scratch",)}, "two or more"),
        ({"recipes": "scratch"}, "two or more"),
        ({"recipes": ("distilled", "scratch")}, "without teachers first"),
        ({"recipes": ("scratch", "distiled")}, "Did you mean 'distilled'"),
        ({"at": {"n_params": 7}}, "No teacher can be compared"),
        ({"at": {"n_finetune": -1}}, "above 0"),
        ({"along": "depth"}, "no column 'depth'"),
        ({"level": 0}, "between 0 and 1"),
        ({"resamples": -1}, "0 or more"),
    ],
)
def test_bad_questions_are_answered_with_a_remedy(make_study: Make, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask(several(make_study, blocks=2), **more)


def test_a_table_without_recipes_is_said(make_study: Make) -> None:
    with pytest.raises(RunsError, match="no column 'recipe'"):
        ask(several(make_study, blocks=2).drop(columns="recipe"))
