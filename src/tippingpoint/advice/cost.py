"""What a choice costs: images and labels at a price each, and GPU-hours from the FLOPs that the runs themselves record.

The FLOPs of pretraining, of the teacher and of fine-tuning are described one by one as a product of one factor for each
size, ``log F = sum_j g_j(log x_j)``, with every g_j a broken line through the measured sizes: a plain power where the
FLOPs are one, exact where they are not (a fixed number of steps below some size, say). Beyond the data the last piece
goes on. A cost never falls as a size grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bill", "FlopsModel", "Prices", "SizeCurve", "fit_flops", "measured_speed"]

Array = NDArray[np.float64]

_MOST_KNOTS = 9
_FAR = 60.0  # log sizes beyond the data
#: Each part of the FLOPs, and the sizes that it depends on.
_PARTS: dict[str, tuple[str, ...]] = {
    "pretrain_flops": ("n_pretrain", "n_params"),
    "teacher_flops": ("n_pretrain", "n_params"),
    "finetune_flops": ("n_finetune", "n_params"),
}
_WHOLE = "train_flops"
_SIZES = ("n_pretrain", "n_finetune", "n_params")


class Prices(NamedTuple):
    """Price of an upstream image, a downstream label and a GPU-hour; None where it is not given."""

    image: float | None = None
    label: float | None = None
    gpu_hour: float | None = None


class Bill(NamedTuple):
    """What is paid for images, labels and compute."""

    images: float
    labels: float
    compute: float

    @property
    def total(self) -> float:
        """The sum."""
        return self.images + self.labels + self.compute

    def to_dict(self) -> dict[str, float]:
        """Return plain JSON types, the sum under ``total``."""
        return {**self._asdict(), "total": self.total}


@dataclass(frozen=True)
class SizeCurve:
    """A quantity as the product of one factor for each size.

    Attributes
    ----------
    level : float
        Its logarithm at the first knot of every size.
    knots : dict of str to (ndarray, ndarray)
        For each size the logs of its knots and of the factor there; the factor of the first knot is 1.
    """

    level: float
    knots: dict[str, tuple[Array, Array]]

    @cached_property
    def _lines(self) -> dict[str, tuple[Array, Array]]:
        """The broken lines with their first and last pieces drawn out far beyond the data."""
        lines = {}
        for name, (x, y) in self.knots.items():
            first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])
            far = np.concatenate([[x[0] - _FAR], x, [x[-1] + _FAR]])
            lines[name] = (far, np.concatenate([[y[0] - first * _FAR], y, [y[-1] + last * _FAR]]))
        return lines

    def __call__(self, sizes: Mapping[str, Array]) -> Array:
        """Return the quantity at sizes, arrays of one shape."""
        total = np.asarray(self.level)
        for name, (x, y) in self._lines.items():
            total = total + np.interp(np.log(sizes[name]), x, y)
        result: Array = np.exp(total)
        return result

    def at(self, name: str, size: float) -> SizeCurve:
        """Return the curve over the other sizes, one of them being fixed."""
        if name not in self.knots:
            return self
        level = self.level + float(np.interp(np.log(size), *self._lines[name]))
        return SizeCurve(level, {other: line for other, line in self.knots.items() if other != name})

    def grows(self, name: str) -> bool:
        """Say whether the quantity still grows with a size at the largest one measured."""
        x, y = self.knots.get(name, (np.zeros(1), np.zeros(1)))
        return len(x) > 1 and bool(y[-1] - y[-2] > 1e-6 * (x[-1] - x[-2]))


def fit_curve(columns: Mapping[str, Array], y: Array) -> SizeCurve:
    """Fit a :class:`SizeCurve` by least squares on logs.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        Sizes above 0; one that does not vary is left out.
    y : ndarray, shape (n,)
        Above 0.
    """
    logs = {name: np.log(values) for name, values in columns.items() if values.max() > values.min() * (1 + 1e-9)}
    knots, design = {}, [np.ones((len(y), 1))]
    for name, log in logs.items():
        x = np.unique(np.round(log, 9))
        if len(x) > _MOST_KNOTS:
            x = np.unique(np.quantile(log, np.linspace(0, 1, _MOST_KNOTS)))
        knots[name] = x
        design.append(np.column_stack([np.interp(log, x, unit) for unit in np.eye(len(x))[1:]]))
    found, *_ = np.linalg.lstsq(np.hstack(design), np.log(y), rcond=None)
    curves: dict[str, tuple[Array, Array]] = {}
    start = 1
    for name, x in knots.items():
        heights = np.concatenate([[0.0], found[start : start + len(x) - 1]])
        curves[name] = (x.astype(np.float64), np.maximum.accumulate(heights))
        start += len(x) - 1
    return SizeCurve(float(found[0]), curves)


@dataclass(frozen=True)
class FlopsModel:
    """How many FLOPs one training takes, its teacher's included.

    Attributes
    ----------
    parts : dict of str to SizeCurve
        By column of the table; those that are nil are left out.
    """

    parts: dict[str, SizeCurve]

    def __call__(self, sizes: Mapping[str, Array]) -> Array:
        """Return FLOPs at sizes, arrays of one shape."""
        shape = np.shape(next(iter(sizes.values()))) if sizes else ()
        total: Array = np.zeros(shape)
        for curve in self.parts.values():
            total = total + curve(sizes)
        return total

    def at(self, name: str, size: float) -> FlopsModel:
        """Return the model over the other sizes, one of them being fixed."""
        return FlopsModel({part: curve.at(name, size) for part, curve in self.parts.items()})

    def grows(self, size: str) -> bool:
        """Say whether the cost still grows with a size at the largest one measured."""
        return any(curve.grows(size) for curve in self.parts.values())


def fit_flops(frame: pd.DataFrame) -> FlopsModel | None:
    """Describe the FLOPs of runs of one recipe and one teacher.

    Parameters
    ----------
    frame : DataFrame
        Has ``pretrain_flops``, ``teacher_flops``, ``finetune_flops``, or ``train_flops`` alone.

    Returns
    -------
    FlopsModel or None
        None where no run has any.
    """
    parts = {name: sizes for name, sizes in _PARTS.items() if name in frame.columns}
    if _WHOLE in frame.columns and len(parts) < len(_PARTS):
        parts = {_WHOLE: _SIZES}
    found: dict[str, SizeCurve] = {}
    for part, sizes in parts.items():
        y = _numbers(frame, part)
        columns = {size: _numbers(frame, size) for size in sizes if size in frame.columns}
        columns = {size: values for size, values in columns.items() if np.isfinite(values).any()}
        use = np.isfinite(y) & (y > 0)
        for values in columns.values():
            use &= np.isfinite(values) & (values > 0)
        if use.any():
            found[part] = fit_curve({size: values[use] for size, values in columns.items()}, y[use])
    return FlopsModel(found) if found else None


def measured_speed(frame: pd.DataFrame) -> float | None:
    """Return the FLOPs that the machine of the runs did in an hour, or None where the table does not tell.

    Parameters
    ----------
    frame : DataFrame
        ``wall_s`` is the seconds of a row's own training: fine-tuning where the row has labels, else pretraining. Rows
        with a teacher are left out, whose seconds and FLOPs are not of the same work.
    """
    if "wall_s" not in frame.columns:
        return None
    blank = np.full(len(frame), np.nan)
    labels, whole, tuned, pretrained = (
        _numbers(frame, name) if name in frame.columns else blank
        for name in ("n_finetune", _WHOLE, "finetune_flops", "pretrain_flops")
    )
    flops = np.where(np.isfinite(labels), tuned, pretrained)
    flops = np.where(np.isfinite(flops), flops, whole)
    seconds = _numbers(frame, "wall_s")
    guided = frame["teacher"].notna().to_numpy(bool) if "teacher" in frame.columns else np.zeros(len(frame), bool)
    use = np.isfinite(flops) & np.isfinite(seconds) & (flops > 0) & (seconds > 0)
    use = use & ~guided if (use & ~guided).any() else use
    return float(3600 * flops[use].sum() / seconds[use].sum()) if use.any() else None


def _numbers(frame: pd.DataFrame, column: str) -> Array:
    values: Array = frame[column].to_numpy(dtype=float, na_value=np.nan)
    return values
