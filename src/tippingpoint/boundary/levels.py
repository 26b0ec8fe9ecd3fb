"""The sizes and names that occur in a table; sizes that differ by rounding alone are one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["has_size", "is_size", "levels_of", "names_in", "shared_sizes"]

_SAME = 1e-6  # relative: sizes nearer than this are one size


def levels_of(frame: pd.DataFrame, axis: str) -> list[float]:
    """Return the distinct sizes of an axis, ascending; empty where the recipe does not have it."""
    if axis not in frame.columns:
        return []
    values = np.sort(frame[axis].to_numpy(dtype=float, na_value=np.nan))
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    fresh = np.concatenate([[True], np.diff(values) > _SAME * np.abs(values[1:])])
    return [float(value) for value in values[fresh]]


def names_in(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the distinct names of a column in alphabetical order; empty where the table does not have it."""
    return sorted(map(str, frame[column].dropna().unique())) if column in frame.columns else []


def is_size(values: Any, value: float) -> Any:
    """Say of each value whether it is a certain size."""
    return np.abs(values - value) <= _SAME * abs(value)


def has_size(sizes: list[float], value: float) -> bool:
    """Say whether a size is among others."""
    return bool(is_size(np.array(sizes), value).any())


def shared_sizes(levels: list[list[float]]) -> list[float]:
    """Return the sizes of the first list that all the others have too."""
    return [value for value in levels[0] if all(has_size(sizes, value) for sizes in levels[1:])]
