"""Noise shared in groups that cross: against V written out, and found again in simulated runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tippingpoint.fitting.crossed import crossed_groups, study_groups
from tippingpoint.fitting.variance import Node
from tippingpoint.laws import AdditivePowerLaw

SIZES, BLOCKS, SIDES = 7, 5, 2


@pytest.fixture
def codes() -> dict[str, NDArray[np.intp]]:
    """Runs of two recipes at seven sizes in five blocks."""
    block, side, size = (part.ravel() for part in np.indices((BLOCKS, SIDES, SIZES)))
    return {"block": block, "recipe": block * SIDES + side, "pair": block * SIZES + size, "cell": side * SIZES + size}


def test_products_are_those_of_the_inverse(codes: dict[str, NDArray[np.intp]]) -> None:
    generator = np.random.default_rng(0)
    cells = codes.pop("cell")
    groups = crossed_groups(codes, cells, doubtful=["recipe"])
    n = len(cells)
    alike = generator.standard_normal((4, 3, SIDES * SIZES))[..., cells]
    columns = np.concatenate([alike, np.broadcast_to(generator.standard_normal(n), (4, 1, n))], axis=1)
    node = Node((0.7, 0.2, 1.3), 1.0)
    V = np.eye(n) + sum(ratio * (own[:, None] == own) for ratio, own in zip(node.ratios, codes.values(), strict=True))
    np.testing.assert_allclose(groups.covariance(node.ratios), V, rtol=1e-15)
    found = groups.weigh(groups.products(columns), node)
    wanted = columns @ np.linalg.inv(V) @ columns.transpose(0, 2, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10)


def test_a_grouping_that_tells_nothing_new_is_left_out(codes: dict[str, NDArray[np.intp]]) -> None:
    n = len(codes["cell"])
    given = {
        "all": np.zeros(n, dtype=np.intp),
        "block": codes["block"],
        "again": 10 - codes["block"],
        "runs": np.arange(n),
        "pair": codes["pair"],
    }
    groups = crossed_groups(given, codes["cell"], doubtful=["again"])
    assert list(groups.codes) == ["block", "pair"]
    assert groups.doubtful == ()
    assert groups.nodes(np.ones((1, n)), np.random.default_rng(0).standard_normal(n))[0].weight == 1.0


def test_ratios_are_found(codes: dict[str, NDArray[np.intp]]) -> None:
    """Over forty studies: variance 4 of pairs and 1 of recipes in blocks, over that of runs."""
    cells = codes.pop("cell")
    groups = crossed_groups(codes, cells, doubtful=["recipe"])
    n = len(cells)
    design = np.stack([np.ones(n), codes["recipe"] % 2, *(cells == cell for cell in range(1, 5))]).astype(float)
    pairs, recipes = [], []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        noise = {name: generator.standard_normal(own.max() + 1)[own] for name, own in codes.items()}
        nodes = groups.nodes(
            design, generator.standard_normal(n) + 2 * noise["pair"] + noise["recipe"] + noise["block"]
        )
        assert sum(node.weight for node in nodes) == pytest.approx(1)
        pairs.append(np.log(sum(node.weight * node.ratios[2] for node in nodes)))
        recipes.append(sum(node.weight * (node.ratios[1] < 1.0) for node in nodes))
    assert np.median(pairs) == pytest.approx(np.log(4), abs=0.25)
    assert 0.3 < np.mean(recipes) < 0.7  # half of the weight on either side of the truth


def test_without_shared_noise_the_ratios_vanish(codes: dict[str, NDArray[np.intp]]) -> None:
    cells = codes.pop("cell")
    groups = crossed_groups(codes, cells, doubtful=["recipe"])
    ratios = []
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(len(cells))
        nodes = groups.nodes(np.ones((1, len(cells))), noise)
        ratios.append([sum(node.weight * node.ratios[place] for node in nodes) for place in (0, 2)])
    assert (np.median(ratios, axis=0) < 0.15).all()


def test_a_study_whose_models_share_images_has_crossed_noise() -> None:
    """And none where each image set has one checkpoint, where seeds are not told, or for very many runs."""
    places = np.indices((3, 4, 2, 3)).reshape(4, -1)
    frame = pd.DataFrame(dict(zip(("seed", "n_pretrain", "n_params", "n_finetune"), places + 1.0, strict=True)))
    frame["pretrain_id"] = [f"{b}-{d}-{m}" for b, d, m in places[:3].T]
    sizes = frame[["n_pretrain", "n_params", "n_finetune"]].to_numpy()
    groups = study_groups(frame, sizes)
    assert groups is not None
    assert list(groups.codes) == ["block", "checkpoint", "upstream", "labels"]
    assert groups.doubtful == ("block", "upstream")
    alone = frame[(frame["n_params"] == 1) & (frame["n_finetune"] == 1)]
    assert study_groups(alone, sizes[: len(alone)]) is None
    assert study_groups(frame.drop(columns=["seed"]), sizes) is None
    many = pd.concat([frame.assign(seed=frame["seed"] + 10 * copy) for copy in range(9)], ignore_index=True)
    assert study_groups(many, many[["n_pretrain", "n_params", "n_finetune"]].to_numpy()) is None


def test_intervals_know_that_models_share_the_luck_of_a_subset() -> None:
    """Three models see each subset: taken as independent, they tell its luck three times over (nominal 90%)."""
    inside = []
    for seed in range(25):
        generator = np.random.default_rng(seed)
        places = np.indices((5, 5, 3)).reshape(3, -1)
        D, M = 1e3 * 4.0 ** places[1], 1e6 * 4.0 ** places[2]
        luck = 0.05 * generator.standard_normal((5, 5))[places[0], places[1]] + 0.002 * generator.standard_normal(75)
        truth = 0.05 + 0.3 * (D / 1e3) ** -0.4 + 0.1 * (M / 1e6) ** -0.5
        frame = pd.DataFrame({"seed": places[0], "n_pretrain": D, "n_params": M, "error": truth * np.exp(luck)})
        law = AdditivePowerLaw(["n_pretrain", "n_params"], objective="log", random_state=0)
        spans = [
            law.fit(table).intervals(0.9)["n_pretrain.exponent"] for table in (frame, frame.drop(columns=["seed"]))
        ]
        inside.append([low <= 0.4 <= high for low, high in spans])
    told, untold = np.mean(inside, axis=0)
    assert told >= 0.76
    assert untold <= told - 0.1
