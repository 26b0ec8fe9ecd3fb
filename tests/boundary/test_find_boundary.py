"""Simulated studies whose crossing is known: found, covered, said in words; an open question is an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.boundary import REGIMES, Boundary, PowerDifference, find_boundary
from tippingpoint.errors import InputError, RunsError

Make = Callable[..., pd.DataFrame]
NEVER = {"scratch": (0.30, 16.0, 0.50), "distilled": (0.36, 16.0, 0.49)}


def ask(frame: Any, **settings: Any) -> Boundary:
    return find_boundary(frame, **{"target": "cross_entropy", "resamples": 300, "random_state": 0, **settings})


def test_a_known_crossing_is_found(study: pd.DataFrame, truth: PowerDifference) -> None:
    edge = ask(study)
    assert (edge.regime, edge.regime_global) == ("below", "below")
    (crossing,) = edge.crossings
    assert crossing.in_range
    assert crossing.direction == -1
    np.testing.assert_allclose(crossing.value, truth.crossings[0], rtol=0.15)
    assert crossing.interval is not None
    low, high = crossing.interval
    assert low is not None
    assert high is not None
    assert low < truth.crossings[0] < high
    assert edge.regime_probability["below"] > 0.95
    assert edge.at == {"n_params": 51216, "n_finetune": 100, "n_params_teacher": 13224}
    assert edge.second_opinion[0].low <= crossing.value <= edge.second_opinion[0].high
    assert "distilled is better up to about" in edge.sentence
    assert "scratch is better by" in edge.sentence


def test_without_noise_it_is_exact(make_study: Make, truth: PowerDifference) -> None:
    edge = ask(make_study(noise=0.0), resamples=20)
    np.testing.assert_allclose(edge.crossings[0].value, truth.crossings[0], rtol=1e-4)
    np.testing.assert_allclose(edge.stationary.value, truth.stationary, rtol=1e-2)
    np.testing.assert_allclose(edge.curve_["difference"], truth(edge.curve_["n_pretrain"].to_numpy()), atol=1e-5)


@pytest.mark.parametrize("blocks", [2, 5])
def test_runs_of_a_formula_are_answered_by_their_laws(truth: PowerDifference, blocks: int) -> None:
    """Blocks that repeat each other to the last digit share nothing, and their intervals have no width."""
    sizes = [100, 1000, 10000, 100000]
    rows = [
        {"recipe": recipe, "n_pretrain": size, "seed": block, "cross_entropy": floor + a * size**-alpha}
        for recipe, (floor, a, alpha) in {"scratch": (0.3, 16.0, 0.5), "distilled": (0.36, 8.0, 0.42)}.items()
        for size in sizes
        for block in range(blocks)
    ]
    edge = ask(pd.DataFrame(rows))
    assert edge.laws_hold
    assert not any("miss" in text for text in edge.warnings)
    np.testing.assert_allclose(edge.crossings[0].value, truth.crossings[0], rtol=1e-4)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_intervals_cover(make_study: Make, truth: PowerDifference, noise: float) -> None:
    """20 studies of 6 blocks, nominal 90%: fewer than 14 hits has a chance below 1%."""
    hits = 0
    for seed in range(20):
        edge = ask(make_study(noise=noise, seed=100 + seed), resamples=150)
        low, high = edge.crossings[-1].interval or (None, None)
        hits += (low or 0) <= truth.crossings[0] <= (high or np.inf)
    assert hits >= 14


def test_same_seed_same_answer_whatever_the_order(study: pd.DataFrame) -> None:
    one, two = ask(study).to_dict(), ask(study.sample(frac=1, random_state=1)).to_dict()
    assert one["regime_probability"] == two["regime_probability"]
    np.testing.assert_allclose(one["crossings"][0]["interval"], two["crossings"][0]["interval"], rtol=1e-4)


def test_the_other_recipe_first_turns_every_sign(study: pd.DataFrame) -> None:
    edge, mirrored = ask(study), ask(study, recipes=("distilled", "scratch"))
    assert mirrored.regime == "above"
    np.testing.assert_allclose(mirrored.crossings[0].value, edge.crossings[0].value, rtol=0.02)  # other draws
    band = (edge.curve_["high"] - edge.curve_["low"]).to_numpy()
    apart = np.abs(mirrored.curve_["difference"] + edge.curve_["difference"]).to_numpy()
    assert (apart < 0.25 * band).all()  # the laws that are shown are another draw
    assert "scratch is better from about" in mirrored.sentence


def test_no_crossing_is_a_plain_answer(make_study: Make) -> None:
    edge = ask(make_study(truth=NEVER))
    assert edge.regime == "never"
    assert not any(crossing.in_range for crossing in edge.crossings)
    assert edge.sentence.startswith("No crossing in this range: between 250 and 16,000 pretraining images, scratch")
    assert any("laws would cross" in text or "never changes its sign" in text for text in edge.warnings)


def test_where_the_upper_crossing_has_gone_its_interval_opens_upwards(make_study: Make) -> None:
    """The second recipe harms between two crossings; a draw without the upper one never helps again, not from 0 on."""
    truth = {"scratch": (0.30, 60.0, 0.70), "distilled": (0.285, 8.0, 0.42)}
    edge = ask(make_study(truth=truth, noise=0.02))
    assert edge.regime_global == "outside_window"
    lower, upper = edge.crossings
    assert upper.share < 0.95
    assert upper.interval[1] is None
    assert lower.interval[1] < upper.interval[0] < upper.value


@pytest.mark.parametrize("at", [{}, {"n_params": 1e5}])
def test_a_copy_is_equal_to_its_original(make_study: Make, at: dict[str, float]) -> None:
    table = make_study(blocks=3, noise=0.02, students=(51216, 90000, 201888) if at else (51216,))
    table = table[table["recipe"] == "scratch"]
    copy = table.assign(recipe="distilled", pretrain_id=table["pretrain_id"] + "'", teacher="heads=2")
    edge = ask(pd.concat([table, copy.sample(frac=1, random_state=0)]), at=at)
    assert (edge.regime, edge.regime_global, edge.regime_probability) == ("equal", "equal", {"equal": 1.0})
    assert edge.crossings == []
    assert "scratch and distilled are equal" in edge.sentence
    assert any("the same scores in all of their runs" in text for text in edge.warnings)
    assert not any("settle it" in text for text in edge.warnings)
    nearly = copy.assign(cross_entropy=copy["cross_entropy"] * np.where(copy["n_pretrain"] == 250, 1.001, 1))
    assert not any("the same scores" in text for text in ask(pd.concat([table, nearly]), at=at).warnings)


@pytest.mark.parametrize(("resamples", "told"), [(1, "1 draw only"), (19, "19 draws only"), (20, None), (0, None)])
def test_too_few_draws_for_an_interval_are_said(study: pd.DataFrame, resamples: int, told: str | None) -> None:
    said = [text for text in ask(study, resamples=resamples).warnings if "take 1000 or more" in text]
    assert len(said) == (told is not None)
    assert all(told in text for text in said if told)


def test_a_difference_within_noise_says_how_many_blocks_would_settle_it(make_study: Make) -> None:
    same = {"scratch": (0.30, 16.0, 0.5), "distilled": (0.302, 16.0, 0.5)}
    edge = ask(make_study(truth=same, noise=0.05, blocks=4, seed=3))
    noise = [text for text in edge.warnings if "within noise at every size" in text]
    assert len(noise) == 1
    assert "more seed blocks would settle" in noise[0] or "more than 1,000" in noise[0]


def test_few_blocks_and_unequal_compute_are_said(make_study: Make) -> None:
    edge = ask(make_study(blocks=3))
    assert any("Only 3 seed blocks" in text for text in edge.warnings)
    assert any("costs 2 times the training FLOPs" in text for text in edge.warnings)


def test_one_block_gives_no_interval(make_study: Make, capsys: pytest.CaptureFixture[str]) -> None:
    frame = make_study(blocks=1).drop(columns=["pretrain_id"]).iloc[::1]
    edge = ask(frame.assign(subset_seed=0, seed=0), resamples=0)
    assert edge.regime_probability == {}
    assert edge.crossings[0].interval is None
    assert edge.curve_["low"].isna().all()
    assert any("one seed block" in text for text in edge.warnings)
    edge.summary()
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "words"), [({"at": 5}, "at: 5 is not"), ({"random_state": "x"}, "random_state: 'x'")]
)
def test_settings_of_the_wrong_kind_are_told(study: pd.DataFrame, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ask(study, **wrong)


def test_rows_without_seeds_are_not_called_blocks(study: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    ask(study.drop(columns=["subset_seed", "seed", "pretrain_id"])).summary()
    assert f"over {len(study)} rows taken as independent" in capsys.readouterr().out


def test_unpaired_recipes_are_said(study: pd.DataFrame) -> None:
    frame = study.copy()
    frame.loc[frame["recipe"] == "distilled", ["subset_seed", "seed"]] += 100
    edge = ask(frame)
    assert any("not paired" in text for text in edge.warnings)
    assert not len(edge.paired_)


def test_laws_and_pairs_that_disagree_are_shown(make_study: Make) -> None:
    frame = make_study(noise=0.003)
    odd = (frame["recipe"] == "distilled") & (frame["n_pretrain"] == 4000)
    frame.loc[odd, "cross_entropy"] -= 0.15  # no law of ours bends like that
    edge = ask(frame)
    assert any("Laws and pairs disagree at 4,000" in text for text in edge.warnings)


def test_curve_and_probabilities_are_whole(study: pd.DataFrame) -> None:
    edge = ask(study)
    curve = edge.curve_
    assert list(curve.columns) == ["n_pretrain", "difference", "low", "high", "probability_helps"]
    assert (curve["low"] <= curve["high"]).all()
    assert curve["probability_helps"].between(0, 1).all()
    np.testing.assert_allclose(sum(edge.regime_probability.values()), 1, rtol=1e-12)
    np.testing.assert_allclose(sum(edge.regime_global_probability.values()), 1, rtol=1e-12)
    assert set(edge.regime_probability) <= set(REGIMES)


def test_pooled_axes_reach_sizes_that_were_not_measured(make_study: Make) -> None:
    frame = make_study(n_finetune=(50, 100, 200, 400), students=(51216, 201888), noise=0.005)
    held = ask(frame, at={"n_params": 51216, "n_finetune": 100}, pool="none")
    pooled = ask(frame, at={"n_params": 51216, "n_finetune": 100}, pool="all")
    between = ask(frame, at={"n_params": 51216, "n_finetune": 150})
    assert [law.n_runs for law in held.laws_] == [42, 42]
    assert [law.n_runs for law in pooled.laws_] == [336, 336]
    np.testing.assert_allclose(np.log(pooled.crossings[0].value / held.crossings[0].value), 0, atol=0.3)
    assert any("was not measured" in text for text in between.warnings)
    assert not len(between.paired_)


def test_along_the_teacher_only_one_power_is_left(make_study: Make) -> None:
    frame = make_study(noise=0.002)
    frame = frame[frame["n_pretrain"] == 1000]
    parts = [frame[frame["recipe"] == "scratch"]]
    for teacher in (5000, 13224, 30000, 45000):
        guided = frame[frame["recipe"] == "distilled"].copy()
        guided["cross_entropy"] += 50 * teacher**-0.8 - 50 * 13224**-0.8 + 0.01
        parts.append(guided.assign(n_params_teacher=teacher, teacher=f"n={teacher}", pretrain_id=f"t{teacher}"))
    edge = ask(pd.concat(parts), along="n_params_teacher")
    assert edge.difference_.a == 0
    assert edge.regime_global in ("above", "never")
    assert edge.laws_[0].coefficient == 0


def test_the_answer_prints_and_is_json(study: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    edge = ask(study)
    edge.summary()
    assert capsys.readouterr().out == f"{edge}\n"
    assert "Paired differences" in str(edge)
    assert edge.sentence.split(" ")[0] in edge._repr_html_()
    json.dumps(edge.to_dict())


def test_every_open_choice_is_listed(make_study: Make) -> None:
    frame = make_study(students=(51216, 201888), n_finetune=(50, 100), blocks=2)
    with pytest.raises(RunsError, match="51216, 201888"):
        ask(frame)
    with pytest.raises(RunsError, match="50, 100"):
        ask(frame, at={"n_params": 51216})
    with pytest.raises(RunsError, match="'down', 'far'"):
        ask(pd.concat([frame, frame.assign(downstream="far")]))
    two = pd.concat([frame, frame[frame["recipe"] == "distilled"].assign(teacher="other")])
    with pytest.raises(RunsError, match="heads=2, other"):
        ask(two, at={"n_params": 51216, "n_finetune": 50})
    assert ask(two, at={"n_params": 51216, "n_finetune": 50}, teacher="heads=2", resamples=0).regime in REGIMES


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recipes": ("scratch", "distiled")}, "Did you mean 'distilled'"),
        ({"along": "n_pretrian"}, "Did you mean 'n_pretrain'"),
        ({"target": "eror"}, "Did you mean 'error'"),
        ({"at": {"n_pretrain": 3}}, "walked along"),
        ({"at": {"n_params": 7e5}}, "sizes that both have are 51216"),
        ({"at": {"n_params": -1}}, "above 0"),
        ({"along": "n_finetune", "at": {"n_pretrain": 1000}}, "a law needs 3"),
        ({"stage": "pretrained"}, "finetuned"),
        ({"downstream": "mars"}, "down"),
        ({"teacher": "heads=3"}, "heads=2"),
        ({"pool": "some"}, "auto, none, all"),
        ({"level": 1.5}, "between 0 and 1"),
        ({"resamples": -1}, "0 or more"),
        ({"recipes": ("scratch",)}, "is not a pair"),
        ({"recipes": ("scratch", "scratch")}, "two different"),
    ],
)
def test_bad_questions_are_answered_with_a_remedy(study: pd.DataFrame, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask(study, **settings)


def test_recipes_that_share_nothing_are_refused(study: pd.DataFrame) -> None:
    apart = study[(study["recipe"] == "scratch") == (study["n_pretrain"] < 1500)]
    with pytest.raises(RunsError, match="share no range"):
        ask(apart)
    elsewhere = study.assign(upstream=np.where(study["recipe"] == "scratch", "up", "sky"))
    with pytest.raises(RunsError, match="only be compared on the same"):
        ask(elsewhere)
