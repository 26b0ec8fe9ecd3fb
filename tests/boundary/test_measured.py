"""Crossings without a law: against numbers worked by hand, by coverage, and where the laws miss the runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from tippingpoint.boundary import find_boundary
from tippingpoint.boundary.measured import established_signs, measured_crossings

SIZES = [250.0, 500.0, 1000.0, 2000.0, 4000.0]


def table(values: np.ndarray, sizes: list[float] = SIZES) -> pd.DataFrame:
    return pd.DataFrame(values, columns=sizes)


def paired(differences: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
    n, mean = differences.count(), differences.mean()
    error = differences.std() / np.sqrt(n)
    half = student.ppf(0.5 + level / 2, n - 1) * error
    columns = {"mean": mean, "standard_error": error, "n_pairs": n, "low": mean - half, "high": mean + half}
    return pd.DataFrame(columns).rename_axis("n_pretrain").reset_index()


def blocks(means: list[float], spread: float, n: int = 5, seed: int = 0) -> pd.DataFrame:
    """Blocks whose mean at each size is exactly as given."""
    noise = np.random.default_rng(seed).normal(0, spread, (n, len(means)))
    return table(np.array(means) + noise - noise.mean(axis=0))


def test_the_crossing_is_where_the_joined_means_are_zero() -> None:
    differences = blocks([0.3, 0.3, 0.1, -0.2, -0.2], 0.001)
    (found,) = measured_crossings(differences, paired(differences), 0.9)
    assert found.value == pytest.approx(1000 * 2 ** (1 / 3), rel=1e-4)  # a third of the way in log size
    assert 1000 < found.interval[0] < found.value < found.interval[1] < 2000
    assert found.direction == -1


def test_the_interval_is_fiellers_set() -> None:
    """At both ends |mean| equals t times its standard error: m^2 = t^2 v / B, solved here as a quadratic in w."""
    differences = blocks([0.3, 0.3, 0.1, -0.2, -0.2], 0.05, n=6)
    (found,) = measured_crossings(differences, paired(differences), 0.9)
    pair = differences[[1000.0, 2000.0]].to_numpy()
    m, V = pair.mean(axis=0), np.cov(pair.T)
    k = student.ppf(0.95, 5) ** 2 / 6
    slope, curve = m[1] - m[0], V[0, 0] - 2 * V[0, 1] + V[1, 1]
    roots = np.roots([slope**2 - k * curve, 2 * m[0] * slope - 2 * k * (V[0, 1] - V[0, 0]), m[0] ** 2 - k * V[0, 0]])
    expected = 1000 * 2 ** np.sort(roots)
    np.testing.assert_allclose(found.interval, expected, rtol=2 * np.log(2) / 400)  # the grid's step
    assert found.interval[0] < found.value < found.interval[1]


def test_blocks_that_agree_to_one_test_image_leave_the_crossing_open_by_it() -> None:
    """Without the step five equal blocks would know it exactly."""
    differences = blocks([0.1, 0.1, 0.02, -0.02, -0.1], 0.0)
    (exact,) = measured_crossings(differences, paired(differences), 0.9)
    (found,) = measured_crossings(differences, paired(differences), 0.9, step=0.01)
    assert exact.value == found.value == pytest.approx(1000 * np.sqrt(2), rel=1e-9)
    assert exact.interval[1] / exact.interval[0] < 1.01
    half = student.ppf(0.95, 4) * 0.01 / np.sqrt(12 * 5)  # of the mean, at either end
    w = np.linspace(0, 1, 100_001)
    near = w[np.abs(0.02 - 0.04 * w) <= half * np.hypot(1 - w, w)]
    np.testing.assert_allclose(found.interval, 1000 * 2 ** near[[0, -1]], rtol=2 * np.log(2) / 400)  # the grid's step


def test_a_window_has_two_crossings() -> None:
    differences = blocks([-0.2, 0.1, 0.2, 0.1, -0.2], 0.01)
    found = measured_crossings(differences, paired(differences), 0.9)
    assert [crossing.direction for crossing in found] == [1, -1]


def test_an_end_that_does_not_stand_out_is_open() -> None:
    differences = blocks([0.3, 0.3, 0.1, 0.01, -0.01], 0.1)
    assert [sign for _, sign in established_signs(paired(differences))] == [1, 1]
    (found,) = measured_crossings(differences, paired(differences), 0.9)
    assert found.direction == -1
    assert 2000 < found.value < 4000
    assert found.interval[1] is None
    assert found.interval[0] is not None
    backwards = table(differences.to_numpy()[:, ::-1])
    (mirrored,) = measured_crossings(backwards, paired(backwards), 0.9)
    assert mirrored.direction == 1
    assert mirrored.interval[0] is None
    assert mirrored.value == pytest.approx(250 * 4000 / found.value, rel=1e-9)


def test_noise_alone_is_no_crossing() -> None:
    differences = blocks([0.01, -0.01, 0.01, -0.01, 0.01], 0.1)
    assert measured_crossings(differences, paired(differences), 0.9) == ()


def test_a_mean_that_keeps_its_sign_is_no_crossing() -> None:
    differences = blocks([0.3, 0.3, 0.1, 0.02, 0.01], 0.1)
    assert measured_crossings(differences, paired(differences), 0.9) == ()


def test_sizes_within_noise_are_spanned() -> None:
    differences = blocks([0.3, 0.01, -0.01, 0.01, -0.3], 0.1)
    (found,) = measured_crossings(differences, paired(differences), 0.9)
    assert 250 < found.interval[0] < 500
    assert 2000 < found.interval[1] < 4000


def test_a_block_without_a_pair_is_left_out_where_it_lacks_it() -> None:
    differences = blocks([0.3, 0.3, 0.1, -0.2, -0.2], 0.001)
    differences.iloc[0, 3] = np.nan
    (found,) = measured_crossings(differences, paired(differences), 0.9)
    assert found.value == pytest.approx(1000 * 2 ** (1 / 3), rel=0.02)


def test_sizes_that_no_block_has_both_of_are_joined_by_their_means() -> None:
    """As in a study that was stopped: somewhere between 900 and 1,800 the sign changes, which was no number at all."""
    gap = np.nan
    blocks = [[-0.20, -0.1, gap, 0.0110], [-0.24, -0.2, gap, 0.0112], [gap, gap, 0.05, gap], [gap, gap, gap, 0.0109]]
    differences = pd.DataFrame(blocks, columns=[225.0, 900.0, 1800.0, 3600.0])
    (found,) = measured_crossings(differences, paired(differences), 0.9)
    assert found.value == pytest.approx(900 * 2 ** (0.15 / 0.20))
    assert found.direction == 1
    assert found.interval[1] == pytest.approx(3600)


def test_intervals_cover() -> None:
    """Nominal 90% of 400 studies: within three binomial standard errors, unlike a test that any interval passes."""
    truth, covered, found = np.array([0.3, 0.3, 0.1, -0.2, -0.2]), 0, 0
    random = np.random.default_rng(3)
    for _ in range(400):
        differences = table(truth + random.normal(0, 0.08, (5, 5)))
        crossings = measured_crossings(differences, paired(differences), 0.9)
        if len(crossings) == 1:
            found += 1
            covered += crossings[0].interval[0] <= 1000 * 2 ** (1 / 3) <= crossings[0].interval[1]
    assert found > 300
    assert abs(covered / found - 0.9) < 3 * np.sqrt(0.09 / found)


def test_where_the_laws_miss_the_runs_the_runs_answer() -> None:
    """A sharp step between 1,000 and 2,000 images is no difference of two power laws."""
    random = np.random.default_rng(0)
    rows = []
    for block in range(6):
        for size in SIZES:
            scratch = 0.2 + 10 * size**-0.6 + random.normal(0, 0.002)
            gain = 0.08 if size <= 1000 else -0.02
            for recipe, error in (("scratch", scratch), ("distilled", scratch - gain + random.normal(0, 0.002))):
                rows.append(
                    {"recipe": recipe, "stage": "finetuned", "n_pretrain": size, "subset_seed": block, "seed": block}
                    | {"error": error, "pretrain_id": f"{recipe}{size}{block}"}
                )
    edge = find_boundary(pd.DataFrame(rows), resamples=200, random_state=0)
    assert not edge.laws_hold
    assert edge.sentence.startswith("In error, measured without a law, distilled is better up to about")
    assert "miss the measured differences" in edge.sentence
    (found,) = edge.measured
    assert 1000 < found.value < 2000
    assert edge.to_dict()["laws_hold"] is False
