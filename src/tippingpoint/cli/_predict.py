"""How ``next`` and ``run --adaptive`` are told which prediction is meant."""

from __future__ import annotations

from typing import Any

from tippingpoint.cli._common import read_number, read_pairs, split_names
from tippingpoint.errors import InputError

__all__ = ["parse_prediction"]


def parse_prediction(text: str) -> dict[str, Any]:
    """Read ``recipe=distilled,n_pretrain=1e5``: a recipe's name, if it is given, and sizes.

    Raises
    ------
    InputError
        A part is not ``name=number`` (or ``recipe=name``), or repeats a name.
    """
    parts = split_names(text) or []
    faults: list[str] = []
    named = [part for part in parts if part.partition("=")[0].strip() == "recipe"]
    found: dict[str, Any] = dict(read_pairs(named, "--predict", "recipe=name", str, faults))
    rest = [part for part in parts if part not in named]
    found |= read_pairs(rest, "--predict", "name=number, for example n_pretrain=1e5", read_number, faults)
    if not found and not faults:
        faults.append("--predict: is empty; say a size, for example n_pretrain=1e5.")
    if faults:
        raise InputError(faults)
    return found
