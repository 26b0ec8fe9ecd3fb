"""Noise shared in groups that cross: against V written out, and found again in simulated runs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tippingpoint.fitting.crossed import crossed_groups
from tippingpoint.fitting.variance import Node

SIZES, BLOCKS, SIDES = 7, 5, 2


@pytest.fixture
def codes() -> dict[str, NDArray[np.intp]]:
    """Runs of two recipes at seven sizes in five blocks."""
    block, side, size = (part.ravel() for part in np.indices((BLOCKS, SIDES, SIZES)))
    return {"block": block, "recipe": block * SIDES + side, "pair": block * SIZES + size, "cell": side * SIZES + size}


def test_products_are_those_of_the_inverse(codes: dict[str, NDArray[np.intp]]) -> None:
    generator = np.random.default_rng(0)
    cells = codes.pop("cell")
    groups = crossed_groups(codes, cells, doubtful="recipe")
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
    groups = crossed_groups(given, codes["cell"], doubtful="again")
    assert list(groups.codes) == ["block", "pair"]
    assert groups.doubtful is None
    assert groups.nodes(np.ones((1, n)), np.random.default_rng(0).standard_normal(n))[0].weight == 1.0


def test_ratios_are_found(codes: dict[str, NDArray[np.intp]]) -> None:
    """Over forty studies: variance 4 of pairs and 1 of recipes in blocks, over that of runs."""
    cells = codes.pop("cell")
    groups = crossed_groups(codes, cells, doubtful="recipe")
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
    groups = crossed_groups(codes, cells, doubtful="recipe")
    ratios = []
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(len(cells))
        nodes = groups.nodes(np.ones((1, len(cells))), noise)
        ratios.append([sum(node.weight * node.ratios[place] for node in nodes) for place in (0, 2)])
    assert (np.median(ratios, axis=0) < 0.15).all()
