"""A setting of the wrong kind ends in a sentence, in every face that asks of runs, never in Python's own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import tippingpoint as tp
from tippingpoint.errors import InputError

RUNS = pd.DataFrame({"recipe": ["scratch", "distilled"], "n_pretrain": [10, 20], "error": [0.5, 0.4]})
OFFER = {"prices": {"image": 1.0}, "budget": 5.0}
CURVE = {"x": "n_pretrain", "y": "error"}


@pytest.mark.parametrize(
    ("ask", "usual", "wrong"),
    [
        (tp.advise, OFFER, {"prices": 5}),
        (tp.advise, OFFER, {"prices": {"image": "a"}}),
        (tp.advise, OFFER, {"prices": {1: 2}}),
        (tp.advise, OFFER, {"budget": "a"}),
        (tp.advise, OFFER, {"budget": True}),
        (tp.advise, OFFER, {"have": 5}),
        (tp.advise, OFFER, {"have": {"n_pretrain": "x"}}),
        (tp.advise, OFFER, {"level": "a", "max_extrapolation": None, "flops_per_gpu_hour": "x", "any_size": "no"}),
        (tp.advise, OFFER, {"target": 5, "law": 5, "recipes": "scratch", "stage": 5, "random_state": "x"}),
        (tp.find_boundary, {}, {"along": 5, "at": 5, "target": None, "stage": 5, "recipes": 5, "level": "a"}),
        (tp.find_boundary, {}, {"resamples": 1.5, "random_state": True, "teacher": 5, "objective": 5}),
        (tp.find_boundary, {}, {"at": {"n_params": "x"}}),
        (tp.find_boundary, {}, {"where": 5}),
        (tp.boundary_map, {}, {"over": None, "at": {5: 5}, "recipes": None, "level": None}),
        (tp.best_teacher, {}, {"recipes": 5, "at": 5, "random_state": -1}),
        (tp.check_conditions, {}, {"factor": "x", "resamples": "x", "recipes": ("scratch",)}),
        (tp.next_cells, {}, {"cells": 5, "predict": 5, "batch": 1.5, "extra_seeds": "x", "at": 5, "random_state": "x"}),
        (tp.compare_laws, {}, {"axes": 5, "target": 5, "laws": "additive", "huber_delta": "x", "max_exponent": "x"}),
        (tp.extrapolate, CURVE, {"x": 5, "group": "recipe", "law": 5, "interval": "x", "at": 5}),
        (tp.compare_smoothness, {}, {"recipes": 5, "level": "x"}),
    ],
)
def test_wrong_kinds_are_told_all_at_once(
    ask: Callable[..., Any], usual: dict[str, Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as told:
        ask(RUNS, **{**usual, **wrong})
    faults = told.value.faults
    assert len(faults) == len(wrong)
    for fault in faults:
        assert fault.endswith(".")
        assert "\n" not in fault
