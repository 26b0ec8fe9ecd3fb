"""What runs to come would measure: the noise that they share, and runs that then come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tippingpoint.advice.next_belief import Means, means_of, to_come
from tippingpoint.boundary.draws import fit_pair
from tippingpoint.boundary.selection import Selection, select_pair
from tippingpoint.runs import read_runs

SIZES = (100.0, 200.0, 400.0, 800.0, 1600.0)


def study(blocks: int, seed: int = 0, noise: float = 0.02) -> pd.DataFrame:
    """Two recipes whose laws cross near 400; a block, a pair and a run have noise of their own."""
    generator = np.random.default_rng(seed)
    rows = []
    for block in range(blocks):
        lucky = generator.normal()
        for size in SIZES:
            pair = generator.normal()
            for recipe, law in (("scratch", (0.2, 8.0, 0.7)), ("distilled", (0.25, 4.0, 0.65))):
                value = law[0] + law[1] * size ** -law[2]
                value *= np.exp(noise * (lucky + pair + generator.normal()) / np.sqrt(3))
                rows.append((recipe, size, block, block, f"{recipe}{size}{block}", value))
    return pd.DataFrame(rows, columns=["recipe", "n_pretrain", "subset_seed", "seed", "pretrain_id", "error"])


def chosen_of(frame: pd.DataFrame) -> Selection:
    return select_pair(
        read_runs(frame),
        along="n_pretrain",
        at={},
        target="error",
        stage="finetuned",
        recipes=("scratch", "distilled"),
    )


def rows_of(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(side=(frame["recipe"] == "distilled").astype(int)).reset_index(drop=True)


@pytest.mark.parametrize("lawful", [True, False])
def test_noise_is_shared_as_the_study_shares_it(lawful: bool) -> None:
    chosen = chosen_of(study(4))
    joint = fit_pair(chosen, resamples=300, random_state=0, objective="log").joint
    assert joint is not None
    curves = joint if lawful else means_of(chosen, 300, 0)
    rows = rows_of(study(6).query("subset_seed >= 4 and n_pretrain == 400"))
    told = to_come(curves, chosen, rows)
    ratios = curves.ratios
    whole, same_pair = 1 + sum(ratios.values()), sum(ratios[name] for name in ("block", "upstream") if name in ratios)
    sigma = told.noise[0, 0] / whole
    np.testing.assert_allclose(np.diag(told.noise), sigma * whole, rtol=1e-9)
    block = rows["subset_seed"].to_numpy()
    pairs = np.flatnonzero(block == 4)
    np.testing.assert_allclose(told.noise[pairs[0], pairs[1]], sigma * same_pair, rtol=1e-9, atol=1e-15)
    across = told.noise[np.ix_(block == 4, block == 5)]
    np.testing.assert_allclose(across, 0, atol=1e-15, err_msg="two new blocks share nothing")
    known = to_come(
        curves, chosen, rows.assign(subset_seed=0, seed=0, pretrain_id=[f"new {i}" for i in range(len(rows))])
    )
    assert (np.diag(known.noise) < np.diag(told.noise)).all(), "of a block that is there something is known"
    assert np.linalg.eigvalsh(told.noise).min() > 0


def test_runs_that_come_are_as_was_told() -> None:
    scores = []
    for seed in range(8):
        frame = study(8, seed)
        chosen = chosen_of(frame[frame["subset_seed"] < 4])
        joint = fit_pair(chosen, resamples=400, random_state=0, objective="log").joint
        assert joint is not None
        come = rows_of(frame[frame["subset_seed"] >= 4])
        told = to_come(joint, chosen, come)
        scale = np.abs(joint.curves(come, come["side"].to_numpy()).mean(axis=0))
        covariance = np.cov(told.values.T) + told.noise
        away = come["error"].to_numpy() / scale - told.values.mean(axis=0)
        scores.append(float(away @ np.linalg.solve(covariance, away)) / len(away))
    assert 0.6 < float(np.median(scores)) < 1.7, "squared distances of the right size, 40 runs a study"


def test_means_follow_the_runs_and_join_them_in_log_size() -> None:
    chosen = chosen_of(study(4, noise=0.005))
    means = means_of(chosen, 2000, 0)
    frame = chosen.frames[1]
    for size in SIZES:
        own = means.at(np.log([size]), 1)[:, 0]
        seen = frame.loc[frame["n_pretrain"] == size, "error"]
        assert own.mean() == pytest.approx(float(seen.mean()), rel=0.005)
        assert 0.2 < own.std() / (seen.std(ddof=1) / 2) < 5, "the spread is that of a mean over four blocks"
    middle = means.at(np.log([np.sqrt(SIZES[0] * SIZES[1])]), 0)[:, 0]
    ends = means.at(np.log(SIZES[:2]), 0)
    np.testing.assert_allclose(middle, ends.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(means.at(np.log([1.0, 1e9]), 0), means.theta[:, [0, len(SIZES) - 1]], rtol=1e-12)


def test_one_size_alone_is_flat() -> None:
    one = Means("n_pretrain", (np.array([1.0]), np.array([0.0, 2.0])), np.array([[5.0, 1.0, 3.0]]), {})
    np.testing.assert_allclose(one.at(np.array([0.0, 9.0]), 0), [[5.0, 5.0]])
    np.testing.assert_allclose(one.at(np.array([1.0]), 1), [[2.0]])
