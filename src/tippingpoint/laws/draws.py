"""Draws of a law's parameters for other tools: a plain table, and ArviZ where it is installed.

Draws are independent of each other, so that they are one chain. Deliberately not built: netCDF, which ArviZ writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.errors import InputError, MissingExtraError
from tippingpoint.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.laws.base import Law

__all__ = ["inference_data", "save_draws"]

_ENDINGS = (".parquet", ".csv")


def save_draws(law: Law, path: str | Path) -> Path:
    """Write draws as a table with the columns ``chain``, ``draw`` and one a parameter; see :meth:`Law.save_draws`."""
    target = Path(path)
    if target.suffix.lower() not in _ENDINGS:
        raise InputError(
            f"{path}: draws are written as {' or '.join(_ENDINGS)}; name a file with one of these endings."
        )
    table = _table(law)
    if target.suffix.lower() == ".csv":
        return write_atomic(target, table.to_csv(index=False))
    try:
        return write_atomic(target, table.to_parquet(None, engine="pyarrow", index=False))
    except ImportError as error:
        raise MissingExtraError(f"{path}: Parquet needs pyarrow; pip install 'tippingpoint[parquet]'.") from error


def _table(law: Law) -> pd.DataFrame:
    """Return the draws with the number of their chain and of each in it."""
    drawn = law._draw().frame()
    drawn.insert(0, "draw", np.arange(len(drawn)))
    drawn.insert(0, "chain", 0)
    return drawn


def inference_data(law: Law) -> Any:
    """Return draws as ArviZ holds them; see :meth:`Law.to_inference_data`."""
    try:
        import arviz
    except ImportError as error:
        raise MissingExtraError("to_inference_data needs ArviZ; pip install arviz, or use save_draws(path).") from error

    fitted = law._fitted
    groups = {
        "posterior": {name: column[None] for name, column in law._draw().parameters.items()},
        "observed_data": {law.target_: fitted.y},
        "constant_data": dict(zip(law.identifiability_, fitted.sizes.T, strict=True)),
    }
    before_1 = int(arviz.__version__.split(".")[0]) < 1  # then groups are arguments, each by its name
    return arviz.from_dict(**groups) if before_1 else arviz.from_dict(groups)
