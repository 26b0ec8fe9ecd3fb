"""Cells as numbers, without what pandas would convert by surprise (dates, complex numbers, endless integers)."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EMPTY", "floats"]

EMPTY = {"", "na", "n/a", "null", "nan"}  #: what stands in a cell of text that is empty, in small letters
_FAST = {"string", "integer", "floating", "mixed-integer-float", "empty"}


def floats(cells: pd.Series[Any]) -> pd.Series[float]:
    """Return cells as floats, NaN where a cell is empty or no real number; integers too long become infinite."""
    import pandas as pd

    if cells.dtype == bool or (isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "iuf"):
        return cells.astype(float)
    plain = cells.astype(object)
    if pd.api.types.infer_dtype(plain, skipna=True) in _FAST:
        try:
            return pd.to_numeric(plain, errors="coerce").astype(float)
        except (OverflowError, TypeError, ValueError):
            pass
    return pd.Series([_float(cell) for cell in plain], index=cells.index, dtype=float)


def _float(cell: object) -> float:
    if isinstance(cell, str | Real | Decimal):
        try:
            return float(cell)
        except ValueError:
            return float("nan")
        except OverflowError:
            return float("inf")
    return float("nan")
