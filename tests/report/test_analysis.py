"""What a report finds in a study whose truth is known, and what it says where it can find nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.errors import RunsError
from tippingpoint.report import Analysis, analyse, answer, page, summary
from tippingpoint.report.text import headline


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, study_frame: pd.DataFrame, make_study: Callable[..., Path]) -> Path:
    return make_study(tmp_path_factory.mktemp("study"), study_frame)


@pytest.fixture(scope="module")
def analysis(study: Path) -> Analysis:
    return analyse(study, resamples=100)


def test_the_declared_endpoint_is_primary(analysis: Analysis) -> None:
    assert analysis.declared
    assert analysis.name == "simulated"
    assert analysis.primary is not None
    look = analysis.primary.look
    assert look.recipes == ("scratch", "distilled")
    assert (look.stage, look.target, look.n_params, look.teacher) == (
        "pretrained",
        "cross_entropy",
        51_000.0,
        "heads=2",
    )


def test_the_true_crossing_lies_in_the_interval(analysis: Analysis) -> None:
    # 16 D^-.5 - 8 D^-.42 - .01 - 20 * 13200^-.6 = 0 at D = 826
    assert analysis.primary is not None
    assert analysis.primary.boundary is not None
    assert analysis.primary.boundary.regime == "below"
    ((value, low, high, inside),) = [item for item in analysis.primary.crossings if item[3]]
    assert inside
    assert low is not None
    assert high is not None
    assert low < 826 < high
    assert 500 < value < 1300
    assert "distilled is better up to about" in headline(analysis)


def test_every_other_look_is_exploratory_and_adjusted(analysis: Analysis) -> None:
    looks = [item.look for item in analysis.exploratory]
    assert len(looks) == len(set(looks)) == 2 * 3 * 3 - 1  # students x scored sets x targets, less the declared one
    assert analysis.primary is not None
    assert analysis.primary.look not in looks
    assert analysis.family == 2 * (len(looks) + len(analysis.controls))
    for item in (*analysis.exploratory, *analysis.controls):
        assert item.pairs.level is not None
        assert item.level_p >= item.pairs.level.p
    assert {item.look.recipes[0] for item in analysis.controls} == {"smoothed", "scratch_extra_compute"}
    assert {item.look.target for item in analysis.second} == {"error", "cross_entropy_calibrated"}


def test_laws_cover_every_group_and_say_why_not(analysis: Analysis) -> None:
    groups = {(item.recipe, item.stage, item.downstream) for item in analysis.laws}
    assert len(analysis.laws) == 3 * len(groups)
    unfitted = [item for item in analysis.laws if item.law is None]
    assert {item.recipe for item in unfitted} == {"no_pretraining"}
    assert all(item.reason.startswith("No law: ") for item in unfitted)
    scratch = next(
        i for i in analysis.laws if (i.recipe, i.stage, i.target) == ("scratch", "pretrained", "cross_entropy")
    )
    assert scratch.axes == ("n_pretrain", "n_params")
    assert scratch.terms[0].exponent == pytest.approx(0.5, abs=0.1)
    low, high = scratch.terms[0].exponent_interval
    assert low is not None
    assert high is not None
    assert low < scratch.terms[0].exponent < high


def test_costs_count_a_checkpoint_once(analysis: Analysis, study_frame: pd.DataFrame) -> None:
    costs = {cost.recipe: cost for cost in analysis.costs}
    assert costs["scratch"].n_pretrained == 3 * 7 * 4
    assert costs["scratch"].n_finetuned == 3 * 7 * 4 * 2 * 2
    rows = study_frame[(study_frame["recipe"] == "distilled") & (study_frame["stage"] == "pretrained")]
    assert costs["distilled"].teacher_flops == pytest.approx(rows["teacher_flops"].sum(), rel=1e-12)
    assert costs["scratch"].teacher_flops == 0
    assert costs["no_pretraining"].n_pretrained == 0


def test_the_short_answer_fits_a_terminal(analysis: Analysis) -> None:
    lines = answer(analysis).splitlines()
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 80
    assert "Declared before the runs" in answer(analysis)


def test_the_summary_is_plain_json(analysis: Analysis) -> None:
    from tippingpoint.files import dump_json

    found = summary(analysis)
    assert found["declared"] is True
    assert found["primary"]["boundary"]["regime"] == "below"
    assert found["primary"]["level"]["p"] == found["primary"]["level"]["p_raw"]
    assert len(dump_json(found)) > 1000


def test_the_same_runs_give_the_same_page(small_frame: pd.DataFrame, endpoint: dict[str, Any]) -> None:
    frame = small_frame[small_frame["seed"] < 3]
    pages = [page(analyse(frame, endpoint, resamples=30)) for _ in range(2)]
    assert pages[0] == pages[1]


def test_nothing_declared_is_said(small_frame: pd.DataFrame) -> None:
    found = analyse(small_frame[small_frame["seed"] < 2], resamples=10)
    assert not found.declared
    assert found.primary is not None
    assert "No endpoint was declared before the runs" in page(found)
    assert "Nothing was declared before the runs" in answer(found)


def test_a_table_without_stages_is_not_called_fine_tuned() -> None:
    rows = [
        {"recipe": recipe, "n_pretrain": size, "seed": seed, "error": floor + size**-0.4 + 0.001 * (seed * size % 7)}
        for recipe, floor in {"scratch": 0.1, "distilled": 0.05}.items()
        for size in (250, 500, 1000, 2000)
        for seed in range(3)
    ]
    found = analyse(pd.DataFrame(rows), resamples=10)
    assert "scratch against distilled, error, all runs." in answer(found).replace("\n", " ")
    assert "fine-tuned" not in answer(found)


def test_one_note_is_one(analysis: Analysis) -> None:
    assert "1 note or warning stands in the report." in answer(analysis._replace(notes=analysis.notes[:1]))


def test_one_recipe_alone(small_frame: pd.DataFrame) -> None:
    found = analyse(small_frame[small_frame["recipe"] == "scratch"], resamples=10)
    assert found.primary is None
    assert "do not compare two recipes" in answer(found)
    assert any("No comparison of scratch and distilled can be made" in note for note in found.notes)
    assert "The laws" in page(found)


def test_recipes_that_nobody_asked_to_compare(small_frame: pd.DataFrame) -> None:
    others = small_frame["recipe"].map({"scratch": "public", "distilled": "public_frozen"})
    found = analyse(small_frame.assign(recipe=others).dropna(subset="recipe"), resamples=10)
    assert found.primary is None
    assert "do not compare scratch with distilled, and no other comparison was declared" in headline(found)
    assert "tippingpoint boundary --recipes" in headline(found)
    assert len(answer(found).splitlines()) <= 15


def test_no_blocks(small_frame: pd.DataFrame, endpoint: dict[str, Any]) -> None:
    frame = small_frame[small_frame["seed"] == 0].drop(columns=["subset_seed", "seed", "pretrain_id"])
    found = analyse(frame, endpoint, resamples=10)
    assert found.primary is not None
    assert found.primary.pairs.level is None
    assert np.isnan(found.primary.level_p)
    assert "nothing can be said about noise" in answer(found)
    assert "cannot be paired by block" in page(found)


def test_too_few_sizes(small_frame: pd.DataFrame, endpoint: dict[str, Any]) -> None:
    found = analyse(small_frame[small_frame["n_pretrain"] <= 500], endpoint, resamples=10)
    assert found.primary is not None
    assert found.primary.boundary is None
    assert "No boundary could be fitted" in headline(found)
    assert "at least 3" in headline(found)
    assert "<h1>" in page(found)


def test_a_strangers_table() -> None:
    sizes = [100, 200, 400, 800, 1600, 3200]
    frame = pd.DataFrame({"n_pretrain": sizes, "error": [0.1 + 3 * n**-0.5 for n in sizes]})
    found = analyse(frame, resamples=10)
    assert found.laws[0].law is not None
    assert found.laws[0].terms[0].exponent == pytest.approx(0.5, abs=0.01)
    assert "<h1>" in page(found)


def test_a_study_in_progress_is_not_taken_for_the_whole(
    tmp_path: Path, small_frame: pd.DataFrame, make_study: Callable[..., Path]
) -> None:
    folder = make_study(tmp_path / "study", small_frame[small_frame["seed"] < 2])
    (folder / "progress.json").write_text('{"state": "running", "study": {"name": "half"}}', encoding="utf-8")
    (folder / "cells.jsonl").write_text("not json\n", encoding="utf-8")
    found = analyse(folder, resamples=10)
    assert "study running: this is a part of it" in page(found)
    assert any("1 line(s) that are not JSON" in note for note in found.notes)


def test_a_declared_endpoint_that_the_table_lacks(small_frame: pd.DataFrame, endpoint: dict[str, Any]) -> None:
    found = analyse(small_frame[small_frame["seed"] < 2], {**endpoint, "target": "accuracy"}, resamples=10)
    assert not found.declared
    assert any("needs the columns accuracy" in note for note in found.notes)


def test_no_target_is_an_error() -> None:
    with pytest.raises(RunsError, match=r"nothing can be reported; add one of these columns \('error' is 1 - accuracy"):
        analyse(pd.DataFrame({"n_pretrain": [1.0, 2.0]}))


def test_along_fine_tuning_images(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> None:
    frame = make_runs(blocks=2, sizes=(250, 1000), n_finetune=(50, 100, 200, 400))
    asked = {
        **endpoint,
        "along": "n_finetune",
        "stage": "finetuned",
        "downstream": "digits",
        "at": {"n_params": 51_000, "n_pretrain": 250},
    }
    found = analyse(frame, asked, resamples=10)
    assert found.declared
    assert found.primary is not None
    assert found.primary.sizes == (50.0, 400.0)
    assert "pretrained on 250 images" in found.primary.look.where
    assert found.primary.pairs.level is not None
    assert found.primary.pairs.level.mean > 0  # few images: distilled helps
    assert {item.look.n_pretrain for item in found.exploratory} == {250.0}
    assert {item.look.target for item in found.second} == {"error", "cross_entropy_calibrated"}
    assert "fine-tuning images" in page(found)
