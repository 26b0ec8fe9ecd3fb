"""Advice on tables whose truth is known, on the example runs, and on everything that a user can get wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.advice.words import times
from tippingpoint.errors import InputError, RunsError

IMAGES, LABELS, MODELS = (250, 1000, 4000, 16000), (50, 200, 800), (1e4, 4e4, 1.6e5)
#: floor; then size of the term at 1,000 images, 100 labels, 40,000 parameters, and its exponent
TRUTH = {
    "scratch": (0.02, (0.10, 0.5), (0.10, 0.6), (0.02, 0.5)),
    "distilled": (0.04, (0.05, 0.3), (0.10, 0.6), (0.02, 0.5)),
}
PRICES = {"image": 0.01, "label": 0.5}


def true_error(recipe: str, images: float, labels: float, model: float) -> float:
    floor, (a, alpha), (b, beta), (c, gamma) = TRUTH[recipe]
    return floor + a * (images / 1e3) ** -alpha + b * (labels / 100) ** -beta + c * (model / 4e4) ** -gamma


def simulate(noise: float = 0.003, recipes=("scratch", "distilled"), models=MODELS, labels=LABELS) -> pd.DataFrame:
    random, rows = np.random.default_rng(0), []
    for recipe in recipes:
        for model in models:
            for images in IMAGES:
                for label in labels:
                    for seed in range(3):
                        guided = recipe == "distilled"
                        rows.append(
                            {
                                "recipe": recipe,
                                "stage": "finetuned",
                                "upstream": "up",
                                "downstream": "down",
                                "n_pretrain": images,
                                "n_params": model,
                                "n_finetune": label,
                                "teacher": "small" if guided else None,
                                "subset_seed": seed,
                                "seed": seed,
                                "pretrain_id": f"{recipe}{model}{images}{seed}",
                                "error": true_error(recipe, images, label, model) * np.exp(random.normal(0, noise)),
                                "pretrain_flops": 1e6 * model * images,
                                "teacher_flops": 5e9 * images if guided else 0.0,
                                "finetune_flops": 1e5 * model * label,
                            }
                        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return simulate()


def ask(table: Any, **asked: Any) -> tp.Advice:
    return tp.advise(table, **{"prices": PRICES, "random_state": 0, **asked})


def test_the_known_best_is_advised(table: pd.DataFrame) -> None:
    found = ask(table, budget=1000)
    n = np.geomspace(25, 90_000, 4000)
    t = (1000 - 0.01 * n) / 0.5
    best = {recipe: true_error(recipe, n, t, MODELS[-1]) for recipe in TRUTH}
    least = min(values.min() for values in best.values())
    assert found.best.recipe == "scratch"
    assert found.best.sizes["n_params"] == MODELS[-1]
    truly = true_error("scratch", found.best.sizes["n_pretrain"], found.best.sizes["n_finetune"], MODELS[-1])
    assert truly <= least * 1.005  # what the advised amounts truly lead to
    assert found.best.error == pytest.approx(least, rel=0.03)
    assert found.best.sizes["n_pretrain"] == pytest.approx(n[best["scratch"].argmin()], rel=0.15)
    assert found.best.interval[0] < found.best.error < found.best.interval[1]
    assert found.best.probability_best > 0.9
    assert found.best.cost.total <= 1000
    assert found.best.cost.total == pytest.approx(1000, rel=1e-3)


def test_a_small_budget_turns_the_choice(table: pd.DataFrame) -> None:
    found = ask(table, budget=35)
    assert found.best.recipe == "distilled"
    assert found.best.teacher == "small"
    less = ask(table, budget=20)
    assert less.best.outside["n_finetune"] == pytest.approx(50 / less.best.sizes["n_finetune"], rel=1e-9)
    assert any("times below the least (50): the law is extrapolated" in told for told in less.warnings)


def test_amounts_are_whole_and_the_others_are_worse(table: pd.DataFrame) -> None:
    found = ask(table, budget=321.7, have={"n_pretrain": 1000, "n_finetune": 100})
    options = [found.best, *found.others]
    for option in options:
        assert all(float(size).is_integer() for size in option.sizes.values())
        assert option.cost.total <= 321.7 * (1 + 1e-9)
        for axis, have in (("n_pretrain", 1000), ("n_finetune", 100)):
            assert option.bought[axis] == option.sizes[axis] - have >= 0
        assert option.cost.images == pytest.approx(0.01 * option.bought["n_pretrain"], abs=1e-9)
        assert option.cost.labels == pytest.approx(0.5 * option.bought["n_finetune"], abs=1e-9)
    assert [option.error for option in options] == sorted(option.error for option in options)
    assert {option.kind for option in options} == {"choice", "only images", "only labels", "only compute"}
    only = {option.kind: option for option in options}
    assert only["only images"].bought["n_finetune"] == 0
    assert only["only labels"].bought["n_pretrain"] == 0
    assert only["only compute"].cost.total == 0
    shares = [option.probability_best for option in options if option.kind == "choice"]
    assert sum(shares) == pytest.approx(1, abs=1e-9)


def test_shares_of_an_additive_law_add_up_and_name_the_truth(table: pd.DataFrame) -> None:
    best = ask(table, budget=1000).best
    assert sum(best.shares.values()) == pytest.approx(best.error, rel=1e-2)
    _, (a, alpha), (b, beta), _ = TRUTH["scratch"]
    assert best.shares["n_pretrain"] == pytest.approx(a * (best.sizes["n_pretrain"] / 1e3) ** -alpha, rel=0.15)
    assert best.shares["n_finetune"] == pytest.approx(b * (best.sizes["n_finetune"] / 100) ** -beta, rel=0.15)


def test_more_budget_never_gives_a_larger_error() -> None:
    runs = tp.read_runs(simulate(models=MODELS[1:2]))
    errors = [ask(runs, budget=money).best.error for money in (30, 31, 45, 100, 300, 1000, 5000, 50_000)]
    assert errors == sorted(errors, reverse=True)


def test_a_target_is_the_other_side_of_a_budget(table: pd.DataFrame) -> None:
    best = ask(table, budget=500).best
    back = ask(table, target_error=best.error)
    assert back.reachable
    assert back.best.recipe == best.recipe
    assert back.best.error <= best.error * (1 + 1e-9)
    assert back.best.cost.total == pytest.approx(500, rel=0.005)
    costs = [option.cost.total for option in back.others if option.kind == "choice"]
    assert costs == sorted(costs)
    assert 0.1 < back.probability_reachable < 0.9
    assert back.probability_reachable == back.best.probability_target
    assert back.best.probability_best is None


def test_a_target_below_the_floor_gets_a_plain_answer(table: pd.DataFrame) -> None:
    found = ask(table, target_error=0.005)
    assert not found.reachable
    assert found.best is None
    assert found.sentence.startswith("No amount of pretraining images and labels reaches 0.005: the floor is 0.0")
    assert "below the whole interval" in found.sentence
    assert found.probability_reachable == 0
    assert [option.kind for option in found.others] == ["closest"]
    assert found.others[0].outside["n_pretrain"] == 10


def test_a_floor_near_the_target_gives_a_probability(table: pd.DataFrame) -> None:
    noisy = simulate(noise=0.05)
    low = ask(noisy, target_error=0.005)
    floor = float(low.sentence.split("the floor is ")[1].split()[0])
    found = ask(noisy, target_error=floor * 0.98)
    assert not found.reachable
    assert "The floor is uncertain: with probability" in found.sentence
    assert 0.05 < found.probability_reachable < 0.95


def test_a_target_beyond_what_may_be_advised_is_not_recommended(table: pd.DataFrame) -> None:
    reached = ask(table, target_error=0.055)
    assert reached.reachable
    found = ask(table, target_error=0.055, max_extrapolation=1)
    assert not found.reachable
    assert "0.055 is out of reach here: within the data the least" in found.sentence
    assert found.others[0].outside == {"n_pretrain": 1, "n_params": 1, "n_finetune": 1}


def test_nothing_is_advised_beyond_the_limit_and_money_is_left(table: pd.DataFrame) -> None:
    found = ask(table, budget=1e6, max_extrapolation=2)
    assert found.best.sizes["n_pretrain"] == 32_000
    assert found.best.sizes["n_finetune"] == 1600
    said = " ".join(found.warnings)
    assert "edge of what is advised, 2 times the most pretraining images measured" in said
    assert "2 times the most measured (16,000)" in said
    assert "of the budget stay unspent" in said


def test_the_term_is_not_the_error(table: pd.DataFrame) -> None:
    told = next(line for line in ask(table, budget=200).hinges if "would halve it" in line)
    assert "not the error" in told
    factor = float(told.split(" times the")[0].split()[-1])
    assert factor == pytest.approx(2 ** (1 / 0.6), rel=0.06)  # of the labels' term


def test_compute_is_charged_by_flops(table: pd.DataFrame) -> None:
    prices = PRICES | {"gpu_hour": 2.0}
    best = ask(table, budget=500, prices=prices, flops_per_gpu_hour=1e13).best
    n, t, p = (best.sizes[axis] for axis in ("n_pretrain", "n_finetune", "n_params"))
    flops = 1e6 * p * n + 1e5 * p * t + (5e9 * n if best.recipe == "distilled" else 0)
    assert best.cost.compute == pytest.approx(2 * flops / 1e13, rel=1e-3)
    assert best.cost.compute > 50
    other = ask(table, budget=500, prices=prices, gpu_hours_per_flop=1e-13).best
    assert other.sizes == best.sizes
    timed = table.assign(wall_s=table["finetune_flops"] * 3600 / 1e13)
    found = ask(timed, budget=500, prices=prices)
    assert found.best.sizes == best.sizes
    assert any("at the speed of the machine that made the runs (1e+13 FLOPs an hour)" in note for note in found.notes)
    assert any("Compute is free" in note for note in ask(table, budget=500).notes)


def test_dear_compute_asks_for_a_smaller_model(table: pd.DataFrame) -> None:
    prices = PRICES | {"gpu_hour": 2.0}
    cheap = ask(table, budget=500, prices=prices, flops_per_gpu_hour=1e17).best.sizes["n_params"]
    dear = ask(table, budget=500, prices=prices, flops_per_gpu_hour=1e12).best.sizes["n_params"]
    assert cheap == MODELS[-1]
    assert dear < cheap


def test_any_size_finds_a_model_between_those_measured(table: pd.DataFrame) -> None:
    prices = PRICES | {"gpu_hour": 2.0}
    asked = {"budget": 500, "prices": prices, "flops_per_gpu_hour": 4e12, "recipes": ["scratch"]}
    fixed, free = ask(table, **asked).best, ask(table, **asked, any_size=True).best
    assert free.sizes["n_params"] not in MODELS
    assert free.error < fixed.error
    assert free.cost.total <= 500
    edge = ask(
        table, budget=500, any_size=True, recipes=["scratch"]
    ).best  # free compute: the largest that may be advised
    assert edge.sizes["n_params"] == 10 * MODELS[-1]
    assert edge.outside["n_params"] == 10


def test_prices_that_turn_the_choice_are_told(table: pd.DataFrame) -> None:
    steady = ask(table, budget=5000)
    assert [(case["price"], case["factor"]) for case in steady.sensitivity] == [
        ("image", 0.5),
        ("image", 2.0),
        ("label", 0.5),
        ("label", 2.0),
    ]
    assert all(case["same"] for case in steady.sensitivity)
    assert any("stay the same if any one price halves or doubles" in line for line in steady.hinges)
    asked = [ask(table, budget=money) for money in (60, 100, 160)]
    turned = [found for found in asked if not all(case["same"] for case in found.sensitivity)]
    assert turned
    assert any("The prices matter" in line for line in turned[0].hinges)


def test_pretrained_runs_have_no_labels(table: pd.DataFrame) -> None:
    runs = simulate(labels=LABELS[:1]).drop(columns=["n_finetune", "finetune_flops"])
    runs = runs.assign(stage="pretrained", downstream=None)
    found = ask(runs, budget=50, stage="pretrained")
    assert set(found.best.sizes) == {"n_pretrain", "n_params"}
    assert found.best.bought == {"n_pretrain": 5000}
    assert any("The runs have no n_finetune" in note for note in found.notes)
    with pytest.raises(InputError, match="nothing that has a price is in these runs"):
        ask(runs, budget=50, stage="pretrained", prices={"label": 1}, have={"n_pretrain": 1000})


def test_a_public_model_needs_no_pretraining_images(table: pd.DataFrame) -> None:
    public = table[table.recipe == "scratch"].assign(recipe="public", n_pretrain=np.nan, upstream=None)
    public["error"] = 0.02 + 0.1 * (public["n_finetune"] / 100) ** -0.6 * (1 + 0.001 * public["seed"])
    found = ask(pd.concat([table, public], ignore_index=True), budget=100)
    assert found.best.recipe == "public"
    assert set(found.best.bought) == {"n_finetune"}
    assert found.best.cost.images == 0


def test_one_size_only_is_left_out_and_said() -> None:
    runs = simulate(labels=(200,))
    found = ask(runs, budget=300, have={"n_finetune": 200})
    assert found.best.sizes["n_finetune"] == 200
    assert found.best.cost.labels == 0
    assert any("n_finetune has one size only (200" in note for note in found.notes)
    bought = ask(runs, budget=300)
    assert bought.best.cost.labels == 100
    assert bought.best.bought["n_finetune"] == 200
    said = ask(runs, budget=300, have={"n_finetune": 500})
    assert any("n_finetune was measured at 200 only" in note for note in said.notes)


def test_a_table_without_names_is_one_recipe(table: pd.DataFrame) -> None:
    plain = table[table.recipe == "scratch"][["n_pretrain", "n_finetune", "error"]]
    found = ask(plain, budget=300)
    assert found.best.recipe is None
    assert "these runs" in str(found)
    assert set(found.best.sizes) == {"n_pretrain", "n_finetune"}


def test_teachers_are_told_apart(table: pd.DataFrame) -> None:
    large = table[table.recipe == "distilled"].assign(teacher="large")
    large["error"] += 0.01
    found = ask(pd.concat([table, large], ignore_index=True), budget=35, recipes=["distilled"])
    assert found.best.teacher == "small"
    assert {option.teacher for option in found.others} == {"small", "large"}
    sized = table.drop(columns="teacher").assign(n_params_teacher=np.where(table.recipe == "distilled", 5e3, np.nan))
    assert ask(sized, budget=35).best.teacher == "of 5000 parameters"


def test_runs_without_a_score_or_a_size_are_counted(table: pd.DataFrame) -> None:
    holed = table.copy()
    holed.loc[[0, 5], "error"] = np.nan
    holed.loc[7, "n_pretrain"] = np.nan
    notes = " ".join(ask(holed, budget=300).notes)
    assert "2 of 108 rows set aside: scratch: error is empty." in notes
    assert "1 of 106 rows set aside: scratch: n_pretrain is empty." in notes


@pytest.mark.parametrize("law", ["auto", "multiplicative", "multiplicative-floor", "transfer", "interaction"])
def test_any_law_will_do(law: str) -> None:
    found = ask(tp.load_example(), budget=300, downstream="digits", law=law, recipes=["scratch"])
    assert found.laws[0]["law"] == law
    assert 0 < found.best.error < 1
    assert found.best.cost.total == pytest.approx(300, rel=0.01)
    assert len(found.others) >= 2


def test_the_example_reads_well_in_a_narrow_terminal() -> None:
    runs = tp.load_example()
    for asked in (
        {"budget": 500},
        {"budget": 100, "have": {"n_pretrain": 3600, "n_finetune": 100}, "prices": PRICES | {"gpu_hour": 2}},
        {"target_error": 0.1},
        {"target_error": 0.001},
    ):
        found = ask(runs, downstream="digits", **asked)
        text = str(found)
        assert max(map(len, text.splitlines())) <= 80
        assert text.startswith(found.sentence[:40])
        assert "What it hinges on" in text
        assert "e-1" not in text.replace("e-16", "")  # no floor of 1e-183
        assert found._repr_html_().startswith("<pre>")
        json.dumps(found.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_advice(table: pd.DataFrame) -> None:
    assert ask(table, budget=200).to_dict() == ask(table, budget=200).to_dict()


def test_progress_is_told(table: pd.DataFrame) -> None:
    told: list[tuple[str, int, int]] = []
    ask(table, budget=200, progress=lambda *now: told.append(now))
    assert told == [("distilled, teacher small", 0, 2), ("scratch", 1, 2)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, ["Nothing is asked for"]),
        ({"budget": 5, "target_error": 0.1}, ["two questions"]),
        ({"budget": -5}, ["budget: -5 is not a sum above 0"]),
        ({"budget": float("nan")}, ["budget: nan"]),
        ({"target_error": 1.5}, ["between 0 and 1"]),
        ({"budget": 5, "prices": {}}, ["No price is given"]),
        ({"budget": 5, "prices": {"imag": 1}}, ["Did you mean 'image'?"]),
        ({"budget": 5, "prices": {"image": 0, "label": -1}}, ["image=0 is not above 0", "label=-1 is not above 0"]),
        ({"budget": 5, "prices": {"image": float("nan")}}, ["image=nan is not above 0"]),
        ({"budget": 5, "have": {"n_finetun": 3}}, ["Did you mean 'n_finetune'?"]),
        ({"budget": 5, "have": {"n_params": 3}}, ["models are those of the table"]),
        ({"budget": 5, "have": {"n_finetune": -3}}, ["not a number of 0 or more"]),
        ({"budget": 5, "level": 2}, ["level: 2 is not a probability"]),
        ({"budget": 5, "max_extrapolation": 0.5}, ["not a factor of 1 or more"]),
        ({"budget": 5, "flops_per_gpu_hour": 0}, ["flops_per_gpu_hour: 0"]),
        ({"budget": 5, "flops_per_gpu_hour": 1e17, "gpu_hours_per_flop": 1e-17}, ["say the same thing"]),
        ({"budget": -1, "prices": {"x": 1}, "have": {"y": 1}}, ["budget: -1", "no price 'x'", "'y' is nothing"]),
        ({"budget": 5, "recipes": ["scrach"]}, ["Did you mean 'scratch'?"]),
        ({"budget": 5, "upstream": "a", "downstream": "b"}, ["no run has upstream 'a'", "no run has downstream 'b'"]),
        ({"budget": 5, "law": "aditive"}, ["Did you mean 'additive'?"]),
        ({"budget": 500, "prices": {"label": 1}}, ["n_pretrain: there are none and they have no price"]),
        ({"budget": 500, "have": {"n_pretrain": 1e9}}, ["more than 10 times the 16,000"]),
        ({"budget": 500, "prices": {"label": 1}, "have": {"n_pretrain": 3}}, ["less than the 250 that were measured"]),
        ({"budget": 0.01}, ["pays for no training", "25 pretraining images and 5 labels, costs 2.75"]),
        ({"budget": 500, "prices": PRICES | {"gpu_hour": 2}}, ["the table has no wall_s", "--flops-per-gpu-hour"]),
        ({"budget": 500, "target": "loss"}, ["no column 'loss'"]),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(table: pd.DataFrame, asked: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        ask(table, **asked)
    for words in said:
        assert words in str(caught.value)
    assert len(caught.value.faults) >= len([words for words in said if not words.startswith(("25 ", "--"))]) - 1


def test_tables_that_cannot_answer_say_what_to_do(table: pd.DataFrame) -> None:
    bare = table.drop(columns=["pretrain_flops", "teacher_flops", "finetune_flops"])
    with pytest.raises(InputError, match="record no FLOPs"):
        ask(bare, budget=500, prices=PRICES | {"gpu_hour": 2}, flops_per_gpu_hour=1e17)
    two = pd.concat([table, table.assign(downstream="other")], ignore_index=True)
    with pytest.raises(RunsError, match="several values of downstream"):
        ask(two, budget=500)
    single = table[(table.n_pretrain == 250) & (table.n_finetune == 50) & (table.n_params == 1e4)]
    with pytest.raises(RunsError, match="no recipe is left to advise upon"):
        ask(single, budget=500)
    with pytest.raises(InputError, match="runs of three sizes or more"):
        ask(table[table.n_params < 1e5], budget=500, any_size=True)
    with pytest.raises(RunsError, match="no column 'recipe'"):
        ask(table.drop(columns="recipe"), budget=500, recipes=["scratch"])


def test_so_little_money_that_the_law_says_nonsense(table: pd.DataFrame) -> None:
    steep = table[table.recipe == "scratch"].copy()
    steep["error"] = 0.02 + 0.5 * (steep["n_finetune"] / 50) ** -2.0
    with pytest.raises(InputError, match="an error of 1 or more"):
        ask(steep, budget=3, max_extrapolation=10)


def test_a_recipe_that_cannot_be_fitted_is_left_out_and_counted(table: pd.DataFrame) -> None:
    lone = table[table.recipe == "scratch"].head(1).assign(recipe="odd")
    found = ask(pd.concat([table, lone], ignore_index=True), budget=500)
    assert any(note.startswith("odd: left out, no law can be fitted") for note in found.notes)
    assert found.best.recipe == "scratch"


def test_factors_are_said_without_exponents(table: pd.DataFrame) -> None:
    assert [times(factor) for factor in (1.04, 2.54, 9.96, 38.2, 132.0, 8123.0, 987654.0)] == [
        *("1", "2.5", "10", "38", "130", "8,100", "990,000"),
    ]
    found = ask(table, budget=1e9, max_extrapolation=1000)
    told = [line for line in found.warnings if "times the most measured" in line]
    assert told
    assert not any("e+0" in line.partition(" is ")[2] for line in told)


def test_a_rival_of_one_law_is_not_held_against_an_end_of_the_interval() -> None:
    """The rival's error moves with the chosen one's: "beats it with 100%, would lose at the upper end" is no sense."""
    found = ask(simulate(noise=0.02), budget=3)
    assert found.best.interval[1] > found.others[0].error
    (rival,) = (text for text in found.hinges if "next-best" in text)
    assert found.best.recipe == found.others[0].recipe
    assert "with probability 100%; both follow one law" in rival
    assert "end of its interval" not in rival
