"""Blocks stay together, and their resampling has the right spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tippingpoint.fitting.blocks import block_weights, blocks_of


def study(seeds: int = 6) -> pd.DataFrame:
    rows = [
        {"subset_seed": s, "seed": s, "pretrain_id": f"{s}-{n}", "n_pretrain": n, "recipe": r}
        for s in range(seeds)
        for n in (10, 100)
        for r in ("scratch", "distilled")
    ]
    return pd.DataFrame(rows)


def test_weights_are_equal_within_a_block_and_across_recipes() -> None:
    frame = study()
    weights = block_weights(frame, 50, 0)
    assert weights.shape == (50, len(frame))
    for _, rows in frame.groupby("seed"):
        assert (weights[:, rows.index] == weights[:, rows.index[:1]]).all()
    np.testing.assert_allclose(weights.sum(axis=1), len(frame), rtol=1e-12)
    np.testing.assert_array_equal(weights, block_weights(frame, 50, 0))


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_spread_of_a_mean_is_unbiased(seeds: int) -> None:
    frame = study(seeds)
    values = np.random.default_rng(0).normal(size=seeds)[frame["seed"]]
    means = block_weights(frame, 40_000, 1) @ values / len(frame)
    block_means = pd.Series(values).groupby(frame["seed"]).mean()
    np.testing.assert_allclose(means.var(), block_means.var(ddof=1) / seeds, rtol=0.05)
    np.testing.assert_allclose(means.mean(), values.mean(), rtol=0, atol=0.02)


def test_levels_and_warnings() -> None:
    blocks = blocks_of(study())
    assert (blocks.kind, blocks.count, blocks.warnings) == ("seed blocks", 6, ())
    few = blocks_of(study(3))
    assert "Only 3 seed blocks" in few.warnings[0]
    one = blocks_of(study(1))
    assert (one.kind, one.count) == ("checkpoints", 2)
    assert "spread between seeds is not known" in one.warnings[0]
    rows = blocks_of(study()[["n_pretrain"]])
    assert (rows.kind, rows.count) == ("rows", 24)
    assert "as if independent" in rows.warnings[0]
    assert blocks_of(study()[["seed"]]).kind == "seed blocks"


def test_order_of_rows_does_not_matter() -> None:
    frame = study()
    order = np.random.default_rng(2).permutation(len(frame))
    np.testing.assert_array_equal(block_weights(frame, 5, 3)[:, order], block_weights(frame.iloc[order], 5, 3))


def test_a_single_row_keeps_its_weight() -> None:
    assert block_weights(pd.DataFrame({"x": [1]}), 3, 0).tolist() == [[1.0]] * 3
