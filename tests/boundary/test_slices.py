"""Maps whose truth is known: every slice answered by itself, joined between, and claims adjusted for all of them."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tippingpoint as tp
from tippingpoint.boundary import BoundaryMap, PowerDifference, boundary_map, find_boundary
from tippingpoint.boundary.adjusted import holm, paired_p
from tippingpoint.boundary.measured import measured_probability
from tippingpoint.errors import InputError, RunsError
from tippingpoint.files import dump_json
from tippingpoint.report.figures import figure_bytes
from tippingpoint.report.figures_phase import phase_figure, phase_panel

Make = Callable[..., pd.DataFrame]
LABELS = (50, 100, 400)


def tilted(make_study: Make, **settings: Any) -> pd.DataFrame:
    """Return a study whose crossing moves: labels help the distilled recipe more, by 0.01 a factor of two over 100."""
    frame = make_study(n_finetune=LABELS, **{"noise": 0.004, **settings})
    guided = frame["recipe"] == "distilled"
    frame.loc[guided, "cross_entropy"] -= 0.01 * np.log2(frame.loc[guided, "n_finetune"] / 100)
    return frame


def true_crossing(labels: float) -> float:
    """Return where the difference of the tilted study is zero."""
    return PowerDifference(0.30 - 0.36 + 0.01 * np.log2(labels / 100), 16.0, 0.50, 8.0, 0.42).crossings[-1]


def ask(frame: Any, **settings: Any) -> BoundaryMap:
    return boundary_map(frame, **{"target": "cross_entropy", "resamples": 300, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def found(make_study: Make) -> BoundaryMap:
    return ask(tilted(make_study))


def test_each_slice_has_its_own_crossing(found: BoundaryMap) -> None:
    assert [one.size for one in found.slices] == list(LABELS)
    for one in found.slices:
        assert one.boundary.regime == "below"
        ((value, interval, direction),) = one.crossings
        assert direction == -1
        truth = true_crossing(one.size)
        np.testing.assert_allclose(np.log(value), np.log(truth), atol=0.25)
        assert interval is not None
        assert (interval[0] or 0) < truth < (interval[1] or np.inf)
    values = [one.crossings[0][0] for one in found.slices]
    assert values == sorted(values)
    assert found.at == {"n_params": 51216, "n_params_teacher": 13224}


def test_a_slice_is_the_boundary_held_there(make_study: Make, found: BoundaryMap) -> None:
    alone = find_boundary(
        tilted(make_study), at={"n_finetune": 100}, target="cross_entropy", resamples=300, random_state=0
    )
    assert found.slices[1].boundary.to_dict() == alone.to_dict()


def test_probability_is_that_of_the_slices_and_joined_between(found: BoundaryMap) -> None:
    table = found.probability_
    assert set(table["by"]) == {"laws", "joined"}
    assert table["probability"].between(0, 1).all()
    wide = table.pivot(index="n_finetune", columns="n_pretrain", values="probability")
    curve = found.slices[0].boundary.curve_
    own = np.interp(np.log(wide.columns), np.log(curve["n_pretrain"]), curve["probability_helps"])
    np.testing.assert_allclose(wide.loc[50], np.clip(own, 0.5 / 300, 1 - 0.5 / 300), atol=1e-12)
    probit = stats.norm.ppf(wide.to_numpy())
    sizes = np.log(wide.index.to_numpy())
    part = (sizes >= np.log(50) - 1e-9) & (sizes <= np.log(100) + 1e-9)
    w = (sizes[part] - np.log(50)) / np.log(2)
    line = (1 - w)[:, None] * probit[part][0] + w[:, None] * probit[part][-1]
    np.testing.assert_allclose(probit[part], line, atol=1e-8)


def test_claims_are_adjusted_for_all_comparisons(found: BoundaryMap) -> None:
    table = found.paired_
    assert len(table) == 21
    np.testing.assert_allclose(
        table["p"], 2 * stats.t.sf(np.abs(table["mean"] / table["standard_error"]), table["n_pairs"] - 1), rtol=1e-9
    )
    assert table["p_holm"].tolist() == holm(table["p"].tolist())
    for _, row in table.iterrows():
        better = "distilled" if row["mean"] > 0 else "scratch"
        assert row["established"] == (better if row["p_holm"] < 0.1 else "")
    truth = [PowerDifference(-0.06 + 0.01 * np.log2(z / 100), 16.0, 0.5, 8.0, 0.42)(D) for z, D in
             table[["n_finetune", "n_pretrain"]].to_numpy(dtype=float)]  # fmt: skip
    wrong = (table["established"] != "") & (np.sign(truth) != np.sign(table["mean"]))
    assert not wrong.any()
    assert "adjustment for all 21 comparisons (exploratory)" in found.claims
    assert ", and distilled is better at 250 and 500 with 50; " in found.claims


def test_nothing_is_claimed_where_there_is_nothing(make_study: Make) -> None:
    """Ten studies of equal recipes: a false claim in more than four has a chance of 0.2% at a family error of 10%."""
    same = {"scratch": (0.3, 16.0, 0.5), "distilled": (0.3, 16.0, 0.5)}
    false = 0
    for seed in range(10):
        frame = make_study(truth=same, n_finetune=(50, 200), sizes=(250, 1000, 4000, 16000), noise=0.02, seed=seed)
        false += bool((ask(frame, resamples=0).paired_["established"] != "").any())
    assert false <= 4


def test_laws_that_miss_are_replaced_by_the_runs(make_study: Make) -> None:
    frame = tilted(make_study)
    odd = (frame["recipe"] == "distilled") & (frame["n_pretrain"] == 4000) & (frame["n_finetune"] == 400)
    frame.loc[odd, "cross_entropy"] -= 0.2
    found = ask(frame)
    assert [one.told_by for one in found.slices] == ["laws", "laws", "pairs"]
    at = found.probability_[(found.probability_["n_finetune"] == 400)]
    assert set(at["by"]) == {"pairs"}
    near = at.iloc[(np.log(at["n_pretrain"]) - np.log(4000)).abs().argmin()]
    assert near["probability"] > 0.99
    assert "With 400 fine-tuning images the laws miss the paired runs" in found.sentence
    assert found.table_.set_index("n_finetune").loc[400, "told_by"] is not None


def test_measured_probability_is_students(make_study: Make) -> None:
    random = np.random.default_rng(0)
    sizes = np.array([100.0, 1000.0])
    table = pd.DataFrame(random.normal(0.1, 0.3, (5, 2)), columns=sizes)
    own = measured_probability(table, np.array([50.0, 100.0, np.sqrt(1e5), 1000.0]))
    assert np.isnan(own[0])
    for place, w in ((1, 0.0), (2, 0.5), (3, 1.0)):
        values = (1 - w) * table[100.0] + w * table[1000.0]
        expected = 1 - stats.ttest_1samp(values, 0, alternative="greater").pvalue
        np.testing.assert_allclose(own[place], expected, atol=1e-9)
    same = pd.DataFrame(np.full((2, 2), 1 / 62), columns=sizes)
    assert (measured_probability(same, sizes) == 1).all()
    expected = stats.t.cdf(np.sqrt(2 * 12), 1)  # one test image, and a spread of no less than a rounded number's
    np.testing.assert_allclose(measured_probability(same, sizes, step=1 / 62), expected, rtol=1e-9)
    np.testing.assert_allclose(paired_p(0.0, 0.0, 4), 1.0)
    assert np.isnan(paired_p(1.0, np.nan, 1))


def test_a_slice_without_an_answer_is_listed(make_study: Make) -> None:
    frame = tilted(make_study)
    thin = frame[(frame["n_finetune"] != 100) | (frame["n_pretrain"] < 600)]
    alone = frame[(frame["recipe"] == "scratch") & (frame["n_finetune"] == 50)].assign(n_finetune=800)
    found = ask(pd.concat([thin, alone]))
    assert [one.size for one in found.slices] == [50, 400]
    reasons = dict(found.failed)
    assert "a law needs 3" in reasons[100]
    assert "only scratch was run at n_finetune=800" in reasons[800]
    assert any("No answer at n_finetune=100" in text for text in found.warnings)


def test_over_model_size_and_teacher_size(make_study: Make) -> None:
    frame = make_study(students=(51216, 201888, 400000), noise=0.004)
    found = ask(frame, over="n_params")
    assert [one.size for one in found.slices] == [51216, 201888, 400000]
    guided = frame[(frame["recipe"] == "distilled") & (frame["n_params"] == 201888)]
    worse = guided.assign(n_params_teacher=30000, teacher="heads=3", pretrain_id=guided["pretrain_id"] + "t")
    worse["cross_entropy"] += 0.3
    both = pd.concat([frame[(frame["recipe"] == "scratch") & (frame["n_params"] == 201888)], guided, worse])
    teachers = ask(both, over="n_params_teacher")
    assert [(one.size, one.boundary.regime) for one in teachers.slices] == [(13224, "below"), (30000, "never")]
    assert "at no size measured with 30,000" in teachers.sentence


def test_it_prints_draws_and_is_json(found: BoundaryMap, capsys: pytest.CaptureFixture[str]) -> None:
    found.summary()
    assert capsys.readouterr().out == f"{found}\n"
    assert found.sentence in str(found)
    assert "independent of one another" in str(found)
    assert found.sentence in found._repr_html_()
    assert json.loads(dump_json(found.to_dict()))["over"] == "n_finetune"
    assert len(found.table_) == 3
    assert tp.boundary_map is boundary_map
    panel = phase_panel(found)
    assert panel.probability.shape == (len(panel.y), len(panel.x))
    assert [crossing.over for crossing in panel.laws] == list(LABELS)
    assert {which for _, _, which in panel.established} == {1, 2}
    first, second = (figure_bytes(phase_figure(found), "svg") for _ in range(2))
    assert first == second
    assert figure_bytes(phase_figure(panel), "svg") == first


def test_no_draws_leave_the_measured_part(make_study: Make) -> None:
    found = ask(tilted(make_study), resamples=0)
    assert found.probability_["probability"].isna().all()
    assert found.slices[0].boundary.measured
    assert figure_bytes(phase_figure(found), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"over": "n_pretrain"}, "is the axis that is walked along"),
        ({"over": "n_finetun"}, "Did you mean 'n_finetune'"),
        ({"over": "teacher"}, "holds text"),
        ({"over": "n_params"}, "share 1 size of n_params"),
        ({"at": {"n_finetune": 100}}, "is the axis of the slices"),
        ({"at": {"n_params": 7}}, "No size of n_finetune can be answered"),
        ({"pool": "all"}, "auto or none"),
        ({"recipes": ("scratch",)}, "not a pair"),
        ({"recipes": ("scratch", "distiled")}, "Did you mean 'distilled'"),
        ({"level": 2}, "between 0 and 1"),
        ({"along": "depth"}, "no column 'depth'"),
        ({"stage": "pretrained"}, "finetuned"),
    ],
)
def test_bad_questions_are_answered_with_a_remedy(make_study: Make, settings: dict[str, Any], said: str) -> None:
    frame = make_study(n_finetune=LABELS, blocks=2)
    with pytest.raises(InputError, match=said):
        ask(frame, **settings)


def test_a_recipe_that_is_missing_is_said(make_study: Make) -> None:
    frame = make_study(n_finetune=LABELS, blocks=2)
    with pytest.raises(RunsError, match="no run is of recipe 'distilled'"):
        ask(frame[frame["recipe"] == "scratch"])


def test_seven_slices_of_three_seeds_take_seconds(make_study: Make) -> None:
    frame = make_study(blocks=3, n_finetune=(25, 50, 100, 200, 400, 800, 1600))
    seen = []
    started = time.process_time()
    found = ask(frame, resamples=2000, progress=lambda name, done, total: seen.append((name, done, total)))
    assert time.process_time() - started < 10
    assert len(found.slices) == 7
    assert seen[-1] == ("n_finetune 1600", 6, 7)


def test_on_the_papers_grid_slices_cover_their_crossings() -> None:
    """Three studies of three seeds at 2% noise: 21 slices, nominal 90%."""
    path = Path(__file__).parents[2] / "benchmarks" / "simulated_studies.py"
    spec = importlib.util.spec_from_file_location("simulated_studies", path)
    assert spec is not None
    assert spec.loader is not None
    grid = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grid)
    hits = told = right = slices = 0
    fine = np.geomspace(grid.N_PRETRAIN[0], grid.N_PRETRAIN[-1], 4001)
    for seed in range(3):
        truth = grid.draw_truth("capacity", seed)
        largest = float(grid.N_PARAMS[-1])
        found = boundary_map(grid.simulate(truth, 0.02, seed), at={"n_params": largest}, resamples=500, random_state=0)
        for one in found.slices:
            errors = [truth.error(recipe, fine, largest, one.size) for recipe in ("scratch", "distilled")]
            signs = np.sign(errors[0] - errors[1])
            turns = np.flatnonzero(signs[1:] != signs[:-1])
            slices += 1
            expected = ("below" if signs[0] > 0 else "above") if len(turns) else ("always" if signs[0] > 0 else "never")
            right += one.boundary.regime == expected
            if len(turns) == 1 and len(one.crossings) == 1:
                low, high = one.crossings[0][1] or (None, None)
                told += 1
                hits += (low or 0) <= fine[turns[0]] <= (high or np.inf)
    assert slices == 21
    assert right >= 18
    assert told >= 15
    assert hits >= 0.75 * told
