"""What every law does with the sizes it is asked about: read them, and say how far outside the data they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import RunsError, did_you_mean
from tippingpoint.laws.prediction import Prediction

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer", "read_points"]

Array = NDArray[np.float64]


def read_points(axes: Sequence[str], sizes: Mapping[str, Any] | pd.DataFrame) -> tuple[Array, bool]:
    """Return the sizes as an array (points, k), and whether they were single numbers.

    Raises
    ------
    RunsError
        An axis is missing, unknown or not above 0 (all of them are told), or ``sizes`` has no names.
    """
    if not isinstance(sizes, Mapping) and not hasattr(sizes, "columns"):
        raise RunsError(f"Sizes are a mapping from axis to number or a DataFrame, not {type(sizes).__name__}.")
    given = [str(name) for name in (sizes if isinstance(sizes, Mapping) else sizes.columns)]
    faults = [f"The size of axis '{axis}' is not given." for axis in axes if axis not in given]
    if isinstance(sizes, Mapping):
        faults += [
            f"'{name}' is no axis of this law ({', '.join(axes)}).{did_you_mean(name, axes)}"
            for name in given
            if name not in axes
        ]
    if faults:
        raise RunsError(faults)
    try:
        columns = np.broadcast_arrays(*(np.asarray(sizes[axis], dtype=float) for axis in axes))
    except (TypeError, ValueError) as error:
        raise RunsError(f"Sizes must be numbers, or arrays of one length ({error}).") from error
    points = np.stack([np.ravel(column) for column in columns], axis=-1)
    bad = [axis for axis, column in zip(axes, points.T, strict=True) if not ((column > 0) & np.isfinite(column)).all()]
    if bad:
        raise RunsError(f"The size of axis '{axis}' must be finite and above 0." for axis in bad)
    return points, columns[0].ndim == 0


def answer(
    axes: Sequence[str],
    asked: tuple[Array, bool],
    expected: Array,
    band: Array | None,
    *,
    level: float | None,
    seen: Array,
    warnings: tuple[str, ...],
    law: str,
    rows: pd.Index | None = None,
) -> Prediction | Array | pd.DataFrame:
    """Return a law's answer in the shape of the question.

    Parameters
    ----------
    axes : sequence of k str
    asked : tuple
        What :func:`read_points` gave: points (p, k), and whether they were single numbers.
    expected : ndarray, shape (p,)
    band : ndarray, shape (2, p), or None
        Ends of the interval at ``level``.
    seen : ndarray, shape (n, k)
        The sizes of the data.
    warnings : tuple of str
        Of the fit.
    law : str
        Its name.
    rows : pandas.Index, optional
        Index of the table; 0..p-1 by default.

    Returns
    -------
    Prediction, numpy.ndarray or pandas.DataFrame
        For single numbers a :class:`Prediction`; else an array, or with a band a table with the columns
        ``prediction``, ``low``, ``high``.
    """
    points, scalar = asked
    if not scalar:
        if band is None:
            return expected
        import pandas as pd

        return pd.DataFrame({"prediction": expected, "low": band[0], "high": band[1]}, index=rows)
    point = points[0]
    factor = np.maximum(np.maximum(point / seen.max(axis=0), seen.min(axis=0) / point), 1.0)
    far = [
        f"{axis} = {size:g} lies outside the data by a factor of {times:.3g}; the law is extrapolated."
        for axis, size, times in zip(axes, point, factor, strict=True)
        if times > 1
    ]
    return Prediction(
        float(expected[0]),
        at=dict(zip(axes, point.tolist(), strict=True)),
        interval=None if band is None else (float(band[0, 0]), float(band[1, 0])),
        level=level,
        outside=dict(zip(axes, factor.tolist(), strict=True)),
        warnings=(*far, *warnings),
        law=law,
    )
