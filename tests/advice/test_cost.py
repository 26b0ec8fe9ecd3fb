"""What a training costs: FLOPs as the runs record them, speed, bills."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.advice.cost import Bill, fit_curve, fit_flops, measured_speed


def grid() -> pd.DataFrame:
    n, p, t = (axis.ravel() for axis in np.meshgrid([100.0, 400, 1600], [1e4, 4e4], [10.0, 100], indexing="ij"))
    return pd.DataFrame({"n_pretrain": n, "n_params": p, "n_finetune": t})


def test_a_product_of_powers_is_found_exactly_and_goes_on() -> None:
    frame = grid()
    flops = fit_flops(frame.assign(train_flops=7 * frame.n_pretrain * frame.n_params**1.1 * frame.n_finetune**0.5))
    far = {"n_pretrain": np.array([10.0, 5e5]), "n_params": np.array([1e3, 1e7]), "n_finetune": np.array([1.0, 900])}
    expected = 7 * far["n_pretrain"] * far["n_params"] ** 1.1 * far["n_finetune"] ** 0.5
    np.testing.assert_allclose(flops(far), expected, rtol=1e-7)
    assert flops.grows("n_pretrain")
    assert flops.grows("n_finetune")


def test_parts_are_summed_and_a_fixed_number_of_steps_is_no_power() -> None:
    frame = grid()
    frame["pretrain_flops"] = 6 * frame.n_params * np.maximum(frame.n_pretrain, 400)
    frame["teacher_flops"] = 3e4 * frame.n_pretrain
    frame["finetune_flops"] = 50 * frame.n_params
    flops = fit_flops(frame.assign(train_flops=1.0))  # the parts say more than their sum
    sizes = {name: frame[name].to_numpy() for name in ("n_pretrain", "n_params", "n_finetune")}
    parts = frame[["pretrain_flops", "teacher_flops", "finetune_flops"]].sum(axis=1)
    np.testing.assert_allclose(flops(sizes), parts, rtol=1e-9)
    assert not flops.grows("n_finetune")


def test_a_cost_never_falls() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(1, 1000, 300)
    curve = fit_curve({"n": x}, np.exp(random.normal(0, 1, 300)))
    ladder = curve({"n": np.geomspace(0.1, 1e5, 200)})
    assert (np.diff(ladder) >= -1e-12 * ladder[1:]).all()


def test_the_example_is_met_at_every_cell() -> None:
    frame = tp.load_example().frame
    own = frame[(frame.recipe == "distilled") & (frame.stage == "finetuned") & (frame.teacher == "heads=2")]
    sizes = {name: own[name].to_numpy(dtype=float) for name in ("n_pretrain", "n_params", "n_finetune")}
    np.testing.assert_allclose(fit_flops(own)(sizes), own["train_flops"], rtol=0.02)


def test_without_flops_or_seconds_there_is_nothing_to_tell() -> None:
    assert fit_flops(grid()) is None
    assert fit_flops(grid().assign(train_flops=np.nan)) is None
    assert measured_speed(grid()) is None
    assert measured_speed(grid().assign(wall_s=1.0)) is None


def test_speed_is_that_of_a_rows_own_training() -> None:
    frame = pd.DataFrame(
        {
            "n_finetune": [np.nan, 50.0, 50.0],
            "pretrain_flops": [7200.0, 7200.0, 7200.0],
            "finetune_flops": [0.0, 3600.0, 3600.0],
            "teacher": [None, None, "big"],  # left out: its seconds are not of these FLOPs
            "wall_s": [2.0, 1.0, 1000.0],
        }
    )
    assert measured_speed(frame) == pytest.approx(3600 * (7200 + 3600) / 3, rel=1e-12)
    assert measured_speed(pd.DataFrame({"train_flops": [10.0], "wall_s": [5.0]})) == pytest.approx(7200, rel=1e-12)


def test_a_bill_adds_up() -> None:
    bill = Bill(1.0, 2.0, 3.5)
    assert bill.total == 6.5
    assert bill.to_dict() == {"images": 1.0, "labels": 2.0, "compute": 3.5, "total": 6.5}
