"""Eq. (6) against studies whose parameters are known: each condition by itself, all together, and what follows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.boundary import PaperConditions, PowerDifference, check_conditions
from tippingpoint.errors import InputError
from tippingpoint.files import dump_json

IMAGES, LABELS, MODELS = (250, 1000, 4000, 16000, 64000), (50, 200, 800), (1e4, 4e4, 1.6e5)
AT = {"n_params": 4e4, "n_finetune": 200}
#: floor; then (coefficient, exponent) of n_pretrain, n_params, n_finetune in raw units: all of Eq. (6) is met
MEETS = {
    "scratch": (0.02, (3.0, 0.40), (4.0, 0.50), (1.0, 0.60)),
    "distilled": (0.06, (16.0, 0.70), (6.0, 0.65), (0.8, 0.45)),
}
#: none of its conditions on exponents is met, and there is one threshold below which the second recipe helps
FAILS = {
    "scratch": (0.03, (16.0, 0.70), (4.0, 0.65), (0.8, 0.45)),
    "distilled": (0.06, (3.0, 0.45), (4.0, 0.50), (1.0, 0.60)),
}


def simulate(truth: dict[str, Any], *, blocks: int = 5, noise: float = 0.004, models: Any = MODELS) -> pd.DataFrame:
    random, rows = np.random.default_rng(3), []
    for block in range(blocks):
        for images in IMAGES:
            shared = random.normal(0, noise)
            for recipe, (floor, (a, alpha), (b, beta), (c, gamma)) in truth.items():
                for model in models:
                    own = shared + random.normal(0, noise)
                    for label in LABELS:
                        level = floor + a * images**-alpha + b * model**-beta + c * label**-gamma
                        rows.append(
                            {
                                "recipe": recipe,
                                "stage": "finetuned",
                                "upstream": "up",
                                "downstream": "down",
                                "n_pretrain": images,
                                "n_params": model,
                                "n_finetune": label,
                                "n_params_teacher": 5000 if recipe == "distilled" else None,
                                "teacher": "small" if recipe == "distilled" else None,
                                "subset_seed": block,
                                "seed": block,
                                "pretrain_id": f"{recipe}{model}{images}{block}",
                                "error": level * np.exp(own + random.normal(0, noise / 2)),
                            }
                        )
    return pd.DataFrame(rows)


def ask(frame: Any, **more: Any) -> PaperConditions:
    return check_conditions(frame, **{"at": AT, "resamples": 500, "random_state": 0, **more})


@pytest.fixture(scope="module")
def meets() -> PaperConditions:
    return ask(simulate(MEETS), factor=3.0)


@pytest.fixture(scope="module")
def fails() -> PaperConditions:
    return ask(simulate(FAILS))


def shares(found: PaperConditions) -> dict[str, float | None]:
    return {one.text: one.holds for one in found.conditions}


def true_difference(truth: dict[str, Any]) -> PowerDifference:
    levels = [
        floor + b * AT["n_params"] ** -beta + c * AT["n_finetune"] ** -gamma
        for floor, _, (b, beta), (c, gamma) in truth.values()
    ]
    (a, alpha), (b, alpha_prime) = (law[1] for law in truth.values())
    return PowerDifference(levels[0] - levels[1], a, alpha, b, alpha_prime)


def test_what_is_met_is_found_met(meets: PaperConditions) -> None:
    found = shares(meets)
    assert list(found) == [
        "E < E'",
        "gamma > gamma'",
        "beta < beta'",
        "alpha - alpha' in (-1, 0)",
        "lambda_m ~ lambda'_m",
        "lambda_f ~ lambda'_f",
    ]
    for text in ("E < E'", "gamma > gamma'", "alpha - alpha' in (-1, 0)", "lambda_f ~ lambda'_f"):
        assert found[text] is not None
        assert found[text] > 0.9, text
    assert all(one.holds is not None and one.fails is not None and one.unknown is not None for one in meets.conditions)
    for one in meets.conditions:
        np.testing.assert_allclose((one.holds or 0) + (one.fails or 0) + (one.unknown or 0), 1, rtol=1e-12)
    assert meets.all_hold > 0.4
    alpha = meets.conditions[3]
    assert alpha.first is not None
    assert alpha.second is not None
    np.testing.assert_allclose([alpha.first[0], alpha.second[0]], [0.40, 0.70], atol=0.05)


def test_where_all_hold_there_is_no_single_threshold(meets: PaperConditions) -> None:
    """The paper's conclusion does not follow: with alpha < alpha' no draw helps at every small size."""
    assert true_difference(MEETS).regime == "window"
    assert meets.regime_global_if_they_hold
    assert set(meets.regime_global_if_they_hold) <= {"window", "never", "above"}
    assert any("cannot help at every small size" in text for text in meets.consequences)


def test_the_conclusion_comes_without_the_conditions(fails: PaperConditions) -> None:
    assert true_difference(FAILS).regime == "below"
    assert fails.all_hold == 0
    assert fails.some_fails == 1
    assert fails.threshold > 0.9
    assert fails.regime_global_probability["below"] > 0.8
    assert fails.threshold_if_they_hold is None
    assert any("not needed for it" in text for text in fails.consequences)
    found = shares(fails)
    for text in ("gamma > gamma'", "beta < beta'", "alpha - alpha' in (-1, 0)"):
        assert found[text] is not None
        assert found[text] < 0.1, text


def test_an_axis_of_few_sizes_is_not_checked() -> None:
    found = ask(simulate(MEETS, models=MODELS[:2]), at={"n_params": 1e4, "n_finetune": 200})
    (beta,) = (one for one in found.conditions if one.text == "beta < beta'")
    assert beta.holds is None
    assert beta.reason == "n_params has 2 sizes in a recipe, and an exponent needs 3"
    assert "the term of n_params at 10000 and n_params_teacher at 5000 in it" in found.conditions[0].words
    assert "the 4 conditions (2 could not be checked)" in found.sentence


def test_the_likeness_of_lambdas_is_a_factor(meets: PaperConditions) -> None:
    strict = ask(simulate(MEETS), factor=1.05)
    assert (shares(strict)["lambda_f ~ lambda'_f"] or 0) < (shares(meets)["lambda_f ~ lambda'_f"] or 0)


def test_it_prints_and_is_json(meets: PaperConditions, capsys: pytest.CaptureFixture[str]) -> None:
    meets.summary()
    assert capsys.readouterr().out == f"{meets}\n"
    assert "within a factor of 3" in str(meets)
    assert len(json.loads(dump_json(meets.to_dict()))["conditions"]) == 6
    assert "beta" in meets._repr_html_()
    assert len(meets.table_) == 6
    assert tp.check_conditions is check_conditions


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"level": 1}, "between 0 and 1"),
        ({"resamples": 0}, "cannot tell a probability"),
        ({"factor": 1}, "above 1"),
        ({"recipes": "scratch"}, "not a pair"),
        ({"recipes": ("scratch", "distiled")}, "Did you mean 'distilled'"),
        ({"at": {"n_params": 4e4}}, "Several n_finetune"),
        ({"at": {**AT, "n_pretrain": 5}}, "walked along"),
        ({"at": {**AT, "n_params": -5}}, "above 0"),
        ({"target": "eror"}, "Did you mean 'error'"),
    ],
)
def test_bad_questions_are_answered_with_a_remedy(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask(simulate(MEETS, blocks=2), **more)


def test_one_block_is_said() -> None:
    found = ask(simulate(MEETS, blocks=1))
    assert any("one seed block only: checkpoints are taken as independent" in text for text in found.warnings)
