"""How far the fitted laws can be trusted, as data: predicted against observed, residuals, backtests, identifiability.

A residual is log(observed / predicted), told in per cent. A backtest fits the law without the largest scale of an axis
(:func:`tippingpoint.fitting.backtest.largest_folds`) and foretells it; its score is the root of the mean squared log
error (RMSLE). Nothing here fits another law than the analysis did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.report.figures_data import label_of
from tippingpoint.report.figures_scaling import place_of
from tippingpoint.report.words import axis_words, count_words, exact_size, target_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.report.analysis import Analysis
    from tippingpoint.report.engine import LawResult

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

__all__ = [
    "Foretold",
    "MatchPanel",
    "ResidualPanel",
    "TermPanel",
    "TermPoint",
    "backtest_panel",
    "predicted_panel",
    "residual_panels",
    "term_panel",
]


class Foretold(NamedTuple):
    """A group of runs with what a law says of them: label, values, and the place of each run in the table."""

    label: str
    observed: Floats
    predicted: Floats
    rows: Places


class MatchPanel(NamedTuple):
    """Predicted against observed; on the diagonal they are equal."""

    title: str
    x_label: str
    y_label: str
    groups: tuple[Foretold, ...]


class ResidualPanel(NamedTuple):
    """Residuals along one axis.

    Attributes
    ----------
    x, y : array
        Size and residual (per cent) of each run.
    rows : array
        Where each run stands in the analysis's table.
    sizes, middle : array
        Mean residual at each size: where it leaves zero by more than its runs scatter, the law has the wrong shape.
    """

    title: str
    x_label: str
    y_label: str
    x: Floats
    y: Floats
    rows: Places
    sizes: Floats
    middle: Floats


class TermPoint(NamedTuple):
    """An exponent with its interval, and whether the data determine it (None where that was not tested)."""

    label: str
    axis: str
    exponent: float
    low: float
    high: float
    identified: bool | None


class TermPanel(NamedTuple):
    """Every exponent of several laws."""

    title: str
    x_label: str
    points: tuple[TermPoint, ...]


def _fitted_runs(analysis: Analysis, result: LawResult) -> tuple[pd.DataFrame, Floats]:
    """Return the runs of a law with all that it needs, sizes and target as numbers, and its predictions."""
    columns = [*result.axes, result.target]
    part = analysis.group(result)[columns].apply(pd.to_numeric, errors="coerce").dropna()
    return part, result.curve({axis: part[axis].to_numpy(float) for axis in result.axes})


def predicted_panel(analysis: Analysis, result: LawResult) -> MatchPanel | None:
    """Return what a law says of the runs it was fitted to, against what they are; None without a law.

    Parameters
    ----------
    analysis : Analysis
    result : LawResult
        One of its laws.

    Returns
    -------
    MatchPanel or None
        One group per model size.
    """
    if result.law is None:
        return None
    part, predicted = _fitted_runs(analysis, result)
    observed = part[result.target].to_numpy(float)
    models = part["n_params"].to_numpy(float) if "n_params" in result.axes else np.zeros(len(part))
    groups = []
    for model in np.unique(models):
        own = models == model
        label = f"{exact_size(float(model))} parameters" if model else f"{own.sum():,} runs"
        groups.append(Foretold(label, observed[own], predicted[own], part.index.to_numpy(dtype=np.intp)[own]))
    name = label_of(result.target)
    title = f"{result.recipe}, {place_of(result)}"
    return MatchPanel(title, f"observed {name}", f"predicted {name}", tuple(groups))


def residual_panels(analysis: Analysis, result: LawResult) -> tuple[ResidualPanel, ...]:
    """Return the residuals of a law along each of its axes; empty without a law, or for targets that are not positive.

    Parameters
    ----------
    analysis : Analysis
    result : LawResult
        One of its laws.
    """
    if result.law is None:
        return ()
    part, predicted = _fitted_runs(analysis, result)
    observed = part[result.target].to_numpy(float)
    if len(part) == 0 or observed.min() <= 0 or predicted.min() <= 0:
        return ()
    residual = 100 * np.log(observed / predicted)
    panels = []
    for axis in result.axes:
        x = part[axis].to_numpy(float)
        sizes = np.unique(x)
        middle = np.array([residual[x == size].mean() for size in sizes])
        title = f"{result.recipe}, {place_of(result)}"
        label = f"{target_words(result.target)}: observed over predicted (%)"
        rows = part.index.to_numpy(dtype=np.intp)
        panels.append(ResidualPanel(title, axis_words(axis), label, x, residual, rows, sizes, middle))
    return tuple(panels)


def backtest_panel(analysis: Analysis, result: LawResult) -> MatchPanel | None:
    """Return what a law foretells of the largest scale of each axis, fitted without it.

    Parameters
    ----------
    analysis : Analysis
    result : LawResult
        One of its laws; it is fitted again, once for each axis, as it was.

    Returns
    -------
    MatchPanel or None
        One group per axis; None without a law, or where no axis has three sizes.
    """
    from tippingpoint.errors import FitError
    from tippingpoint.fitting.backtest import fitter, largest_folds
    from tippingpoint.fitting.setting import FitSetting

    if result.law is None:
        return None
    part, _ = _fitted_runs(analysis, result)
    sizes, y = part[list(result.axes)].to_numpy(float), part[result.target].to_numpy(float)
    fit, _ = fitter("additive", result.axes, FitSetting())
    groups = []
    for fold in largest_folds(sizes, result.axes):
        try:
            law = fit(sizes[~fold.held], y[~fold.held], np.ones(int((~fold.held).sum())))
        except FitError:
            continue
        predicted, seen = law.predict(sizes[fold.held]), y[fold.held]
        with np.errstate(divide="ignore", invalid="ignore"):
            score = float(np.sqrt(np.mean(np.log(predicted / seen) ** 2)))
        held = sizes[fold.held][:, result.axes.index(fold.name)].min()
        label = f"from {exact_size(float(held))} {count_words(fold.name)}: RMSLE {score:.2f}"
        groups.append(Foretold(label, seen, predicted, part.index.to_numpy(dtype=np.intp)[fold.held]))
    if not groups:
        return None
    name = label_of(result.target)
    title = f"{result.recipe}, {place_of(result)}"
    return MatchPanel(title, f"observed {name}", f"foretold {name}", tuple(groups))


def term_panel(results: tuple[LawResult, ...]) -> TermPanel | None:
    """Return every exponent of some laws with its interval and whether the data determine it; None without laws.

    Parameters
    ----------
    results : tuple of LawResult
        Laws of one target.
    """
    points = []
    for result in results:
        for term in result.terms:
            low, high = (np.nan if end is None else end for end in term.exponent_interval)
            points.append(TermPoint(result.group, term.axis, term.exponent, low, high, term.identified))
    if not points:
        return None
    return TermPanel(f"Exponents of {target_words(results[0].target)}", "exponent", tuple(points))
