"""Tables of learning curves: one row a point, columns that tell curves apart; fit each, predict, score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.errors import FitError, RunsError
from tippingpoint.fitting.conformal import quantile
from tippingpoint.fitting.curve_text import lines
from tippingpoint.fitting.extrapolation import CurveExtrapolator
from tippingpoint.kinds import ABOVE, NAME, NAMES, is_list, is_name, kind_faults, or_none
from tippingpoint.laws.curves import curve_law
from tippingpoint.laws.curves.law import Array
from tippingpoint.runs import Runs, read_runs
from tippingpoint.runs.faults import at_rows, missing_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ExtrapolatedCurve", "Extrapolation", "extrapolate"]

_BEYOND = (1.5, 2.0, 4.0)  # times the largest size, where nothing else is asked for


@dataclass(frozen=True)
class ExtrapolatedCurve:
    """One curve's predictions.

    Attributes
    ----------
    group : dict of str to object
        What tells it apart; empty where the table is one curve.
    n_train : int
        Training points.
    x, y, predicted : ndarray, shape (T,)
        Sizes, measured scores (NaN where there are none) and predicted ones.
    low, high : ndarray, shape (T,), or None
        Predictive interval.
    warnings : tuple of str
        What to bear in mind.
    """

    group: dict[str, Any]
    n_train: int
    x: Array
    y: Array
    predicted: Array
    low: Array | None
    high: Array | None
    warnings: tuple[str, ...]

    @property
    def rmsle(self) -> float | None:
        """Root mean squared difference of logs over measured scores above 0; None where there are none."""
        scored = self.y > 0
        if not scored.any():
            return None
        return float(np.sqrt(np.mean((np.log(self.predicted[scored]) - np.log(self.y[scored])) ** 2)))

    @property
    def coverage(self) -> float | None:
        """Share of measured scores inside the interval; None where there are none of either."""
        scored = np.isfinite(self.y)
        if self.low is None or self.high is None or not scored.any():
            return None
        return float(np.mean((self.low[scored] <= self.y[scored]) & (self.y[scored] <= self.high[scored])))

    def to_dict(self) -> dict[str, Any]:
        """Return the curve's part of the JSON."""
        none = [None] * len(self.x)
        ends = none if self.low is None or self.high is None else list(zip(self.low, self.high, strict=True))
        rows = zip(self.x, self.y, self.predicted, ends, strict=True)
        return {
            "group": self.group,
            "n_train": self.n_train,
            "rmsle": self.rmsle,
            "coverage": self.coverage,
            "predictions": [
                {"x": x, "y": None if math.isnan(y) else y, "predicted": guess, "interval": end and [*end]}
                for x, y, guess, end in rows
            ],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Extrapolation:
    """All curves of a table; what :func:`extrapolate` returns.

    Attributes
    ----------
    law : str
        The law's name.
    level : float or None
        Level of the intervals.
    curves : tuple of ExtrapolatedCurve
        In the order in which they appear.
    notes : tuple of str
        What was set aside.
    """

    law: str
    level: float | None
    curves: tuple[ExtrapolatedCurve, ...]
    notes: tuple[str, ...] = ()

    @property
    def rmsles(self) -> list[float]:
        """The scores of the curves that have one."""
        return [score for curve in self.curves if (score := curve.rmsle) is not None]

    @property
    def coverage(self) -> float | None:
        """Mean of the curves' coverages."""
        found = [share for curve in self.curves if (share := curve.coverage) is not None]
        return float(np.mean(found)) if found else None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint extrapolate``."""
        scores = self.rmsles
        return {
            "law": self.law,
            "level": self.level,
            "curves": [curve.to_dict() for curve in self.curves],
            "mean_rmsle": float(np.mean(scores)) if scores else None,
            "median_rmsle": float(np.median(scores)) if scores else None,
            "coverage": self.coverage,
            "notes": list(self.notes),
        }

    def summary(self) -> None:
        """Print the curves and their scores."""
        print("\n".join(lines(self)))

    def _repr_html_(self) -> str:
        html: str = self.to_frame().to_html(max_rows=20, index=False)
        return html

    def to_frame(self) -> pd.DataFrame:
        """Return one row a prediction: the group's columns, x, y, predicted, low, high."""
        import pandas as pd

        parts = []
        for curve in self.curves:
            part = pd.DataFrame({"x": curve.x, "y": curve.y, "predicted": curve.predicted})
            part["low"], part["high"] = curve.low, curve.high
            for place, (name, value) in enumerate(curve.group.items()):
                part.insert(place, name, [value] * len(part), allow_duplicates=True)
            parts.append(part.astype({"low": float, "high": float}))
        return pd.concat(parts, ignore_index=True)


def extrapolate(
    source: str | Path | pd.DataFrame | dict[str, Any] | Runs,
    *,
    x: str,
    y: str,
    group: Sequence[str] = (),
    train: str | None = None,
    law: str = "auto",
    interval: float | None = None,
    at: Sequence[float] | None = None,
) -> Extrapolation:
    """Fit every curve of a table and predict beyond its training points.

    Parameters
    ----------
    source : path, DataFrame, mapping of columns, or Runs
        One row a point.
    x, y : str
        Columns of sizes and scores.
    group : sequence of str, optional
        Columns that tell curves apart.
    train : str, optional
        Column that is 1 on training points and 0 on points to predict, whose score may be empty. Without it all
        points are for training.
    law : str, default "auto"
        See :class:`CurveExtrapolator`.
    interval : float, optional
        Level of predictive intervals, 0.05 to 0.99.
    at : sequence of float, optional
        More sizes to predict at; 1.5, 2 and 4 times the largest size where there is nothing else to predict.

    Returns
    -------
    Extrapolation

    Raises
    ------
    RunsError
        The table cannot be used; all faults, with rows and columns.
    FitError
        The law or the level is unknown, a size of ``at`` is not above 0, or a curve is too short.
    """
    _check_settings(x, y, group, train, law, interval, at)
    table = read_runs(source)
    sizes, scores, training = _columns(table, x, y, tuple(group), train)
    more = np.asarray([] if at is None else at, dtype=float)
    curves: list[ExtrapolatedCurve] = []
    faults: list[str] = []
    for name, rows in _curves(table, tuple(group)):
        held = rows[~training[rows]]
        asked = np.concatenate([sizes[held], more])
        measured = np.concatenate([scores[held], np.full(len(more), np.nan)])
        fit_rows = rows[training[rows]]
        if not len(asked) and len(fit_rows):
            asked = np.array(_BEYOND) * sizes[fit_rows].max()
            measured = np.full(len(asked), np.nan)
        try:
            curves.append(_one(name, sizes[fit_rows], scores[fit_rows], asked, measured, law, interval))
        except FitError as error:
            label = ", ".join(f"{key} {value}" for key, value in name.items())
            faults += [f"{table.source}{', curve ' + label if label else ''}: {fault}" for fault in error.faults]
    if faults:
        raise FitError(faults)
    return Extrapolation(law, interval, tuple(curves), table.notes)


def _one(
    name: dict[str, Any], x: Array, y: Array, asked: Array, measured: Array, law: str, interval: float | None
) -> ExtrapolatedCurve:
    fitted = CurveExtrapolator(law).fit(x, y)
    guess = fitted.predict(asked, interval)
    warnings = fitted.warnings_ if interval is None else (*fitted.warnings_, *fitted.doubts(asked))
    return ExtrapolatedCurve(name, fitted.n_points_, asked, measured, guess.y, guess.low, guess.high, warnings)


def _check_settings(
    x: str,
    y: str,
    group: Sequence[str],
    train: str | None,
    law: str,
    interval: float | None,
    at: Sequence[float] | None,
) -> None:
    names = {"x": (x, NAME), "y": (y, NAME), "train": (train, or_none(NAME)), "law": (law, NAME)}
    faults = kind_faults({**names, "group": (group, NAMES)})
    try:
        if is_name(law) and law != "auto":
            curve_law(law)
        if interval is not None:
            quantile(interval)
    except FitError as error:
        faults += error.faults
    if not (at is None or (is_list(at) and all(map(ABOVE.fits, at)))):
        faults.append("Sizes to predict at must be a list of numbers, finite and above 0.")
    if faults:
        raise FitError(faults)


def _columns(
    table: Runs, x: str, y: str, group: tuple[str, ...], train: str | None
) -> tuple[Array, Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return sizes, scores (NaN where empty) and which rows are for training, or raise all that is wrong."""
    named = [x, y, *group, *([train] if train else [])]
    faults = missing_columns(named, table.frame.columns, table.source)
    if not faults and x == y:
        faults.append(f"Column '{x}' is both size and score; name two columns.")
    if faults:
        raise RunsError(faults)
    found: dict[str, Array] = {}
    for column in dict.fromkeys((x, y, *([train] if train else []))):
        try:
            found[column] = table.numbers(column)
        except RunsError as error:
            faults += error.faults
    if faults:
        raise RunsError(faults)
    sizes, scores = found[x], found[y]
    flags = found[train] if train else np.ones(len(table))
    training = flags == 1
    empty = np.isnan(scores) & training

    def say(bad: Any, column: str, what: str) -> None:
        values = table.frame[column].tolist()
        faults.extend(at_rows(bad, table.line_numbers(), column, what, table.source, table.row_word, values))

    say(~(np.isfinite(sizes) & (sizes > 0)), x, "is not a size above 0; write one or leave the row out")
    say(empty, y, "is empty on a training point; fill it in or leave the row out")
    say(np.isinf(scores) | (scores < 0), y, "is not a score of at least 0; check it")
    if train:
        say(~np.isin(flags, (0.0, 1.0)), train, "is neither 1 (training) nor 0 (to predict)")
    if faults:
        raise RunsError(faults)
    return sizes, scores, training


def _curves(table: Runs, group: tuple[str, ...]) -> list[tuple[dict[str, Any], Any]]:
    """Return each curve's name and rows, in the order in which they appear; an empty cell is a value of its own."""
    if not group:
        return [({}, np.arange(len(table)))]
    places = table.frame.groupby(list(group), sort=False, dropna=False).indices
    named = []
    for key, rows in places.items():
        # Text files have floats alone: the curve of seed 4 is not that of "seed 4.0".
        parts = key if isinstance(key, tuple) else (key,)
        values = [int(one) if isinstance(one, float) and one.is_integer() else one for one in parts]
        named.append((dict(zip(group, values, strict=True)), np.sort(rows)))
    return sorted(named, key=lambda one: int(one[1][0]))
