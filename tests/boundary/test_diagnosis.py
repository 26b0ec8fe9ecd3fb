"""What is said where the picture is not the paper's: teachers, ranges, pairs and compute, each with a known cause."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.boundary import Boundary, find_boundary
from tippingpoint.boundary.diagnosis import _noise
from tippingpoint.errors import RunsError

Make = Callable[..., pd.DataFrame]
NEVER = {"scratch": (0.30, 16.0, 0.50), "distilled": (0.36, 16.0, 0.49)}
ALWAYS = {"scratch": (0.36, 16.0, 0.49), "distilled": (0.30, 16.0, 0.50)}
TEACHER = 13224


def ask(frame: Any, **settings: Any) -> Boundary:
    return find_boundary(frame, **{"target": "cross_entropy", "resamples": 300, "random_state": 0, **settings})


def with_teacher(frame: pd.DataFrame, gap: float, slope: float = 0.0) -> pd.DataFrame:
    """Add the teacher's own runs: those of scratch, worse by ``gap`` at 250 and more by ``slope`` a doubling."""
    own = frame[frame["recipe"] == "scratch"].copy()
    own["n_params"] = TEACHER
    own["pretrain_id"] += "teacher"
    own["cross_entropy"] += gap + slope * np.log2(own["n_pretrain"] / 250)
    return pd.concat([frame, own], ignore_index=True)


def said(edge: Boundary, words: str) -> str:
    """Return the one warning that has these words."""
    (found,) = (text for text in edge.warnings if words in text)
    return found


def place(edge_of: pd.DataFrame, **settings: Any) -> Boundary:
    return ask(edge_of, at={"n_params": 51216}, **settings)


def test_a_teacher_that_is_always_worse_may_be_under_trained(make_study: Make) -> None:
    text = said(place(with_teacher(make_study(truth=NEVER), 0.2, 0.02)), "The teacher itself")
    assert text.startswith("The teacher itself (scratch, 13,200 parameters) is worse than the student without it")
    low, high = map(float, re.findall(r"by ([\d.]+) to ([\d.]+):", text)[0])
    np.testing.assert_allclose([low, high], [0.2, 0.32], atol=1e-9)
    assert "under-trained or too small; train it longer" in text


def test_a_teacher_that_is_ahead_somewhere_is_not_to_blame(make_study: Make) -> None:
    text = said(place(with_teacher(make_study(truth=NEVER), -0.05, 0.04)), "The teacher itself")
    assert "no worse than the student without it at 250 and 500" in text
    assert "does not explain" in text


def test_a_teacher_that_was_not_run_cannot_be_judged(make_study: Make) -> None:
    text = said(ask(make_study(truth=NEVER)), "The teacher itself")
    assert "has no runs at these sizes: whether it is under-trained cannot be told" in text


def test_a_teacher_that_is_always_ahead_says_that_the_range_may_be_short(make_study: Make) -> None:
    text = said(place(with_teacher(make_study(truth=ALWAYS), -0.3)), "The teacher itself")
    assert "the range may be too short for the student to overtake it" in text
    assert not any("The teacher itself" in text for text in place(with_teacher(make_study(truth=ALWAYS), 0.1)).warnings)


def test_a_range_that_is_too_short_is_told_with_its_chance(make_study: Make) -> None:
    """The truth crosses at 3,000; only sizes up to 1,000 are run."""
    edge = ask(make_study(sizes=(100, 177, 316, 562, 1000), noise=0.003))
    assert edge.regime == "always"
    text = said(edge, "Is the range too short?")
    (share,) = re.findall(r"above it with probability (\d+)%", text)
    assert int(share) > 50
    assert edge.crossings[-1].value > 1000
    laws = said(edge, "Within the range the difference keeps its sign")
    assert "distilled is better by" in laws
    assert "times above the range)" in laws


def test_a_difference_of_one_sign_for_ever_is_said(make_study: Make) -> None:
    edge = ask(make_study(truth=NEVER, noise=0.002))
    text = said(edge, "Within the range the difference keeps its sign")
    assert text.count("scratch is better by") == 2
    shares = said(edge, "draws have")
    assert "none at any size" in shares


def test_without_draws_only_the_laws_speak(make_study: Make) -> None:
    edge = ask(make_study(truth=NEVER), resamples=0)
    assert any("keeps its sign" in text for text in edge.warnings)
    assert not any("by the draws" in text.lower() for text in edge.warnings)


def test_a_crossing_in_range_has_no_such_words(study: pd.DataFrame) -> None:
    edge = ask(study)
    assert edge.regime == "below"
    assert not any("keeps its sign" in text or "The teacher itself" in text for text in edge.warnings)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {},
            "costs 2 times the training FLOPs of one of scratch, as train_flops has it: the table has no teacher_flops",
        ),
        ({"teacher_flops": 1.0}, "costs 2 times the training FLOPs of one of scratch, the teacher charged"),
        ({"teacher_flops": 3.0, "pretrain_flops": 1.0, "finetune_flops": 0.0}, "costs 4 times the training FLOPs"),
    ],
)
def test_compute_has_the_teacher_in_it(make_study: Make, columns: dict[str, float], words: str) -> None:
    """In the last case ``train_flops`` left the teacher out: its parts add up to more."""
    frame = make_study(blocks=3)
    guided = frame["recipe"] == "distilled"
    for name, value in columns.items():
        frame[name] = value
    if "teacher_flops" in frame:
        frame.loc[~guided, "teacher_flops"] = 0.0
    assert words in said(ask(frame), "Compute is not equal")


def test_equal_compute_is_not_mentioned(make_study: Make) -> None:
    assert not any("Compute" in text for text in ask(make_study(blocks=3).assign(train_flops=1.0)).warnings)


def test_a_place_that_was_not_measured_is_not_called_unpaired(make_study: Make) -> None:
    frame = make_study(n_finetune=(50, 100, 400), noise=0.005)
    edge = ask(frame, at={"n_finetune": 200})
    assert any("No run of both recipes stands at exactly these sizes" in text for text in edge.warnings)
    assert not any("not paired" in text for text in edge.warnings)


@pytest.mark.parametrize(("mean", "said_so"), [(2.0, "about 1 more seed block would"), (1.2, "more seed blocks would")])
def test_one_more_block_is_one(mean: float, said_so: str) -> None:
    error = 1.0  # of five blocks: t is 2.13 at 90%, so that a mean of 2 is within noise by a hair
    paired = pd.DataFrame({"n_pairs": [5], "mean": [mean], "standard_error": [error], "low": [-0.1], "high": [4.1]})
    (told,) = _noise(None, paired, pd.DataFrame(), 0.9)  # type: ignore[arg-type]
    assert said_so in told


def test_a_score_that_grows_is_told_first_and_an_accuracy_refused(study: pd.DataFrame) -> None:
    """Smaller counts as better, so that the answer about an accuracy would be the wrong way round."""
    frame = study.assign(top1=1 - study["error"], test_acc=1 - study["error"])
    assert "upside down" in ask(frame, target="top1", resamples=50).warnings[0]
    assert not any("upside down" in text for text in ask(study, resamples=50).warnings)
    with pytest.raises(RunsError, match="'test_acc' grows as a model gets better"):
        ask(frame, target="test_acc")
