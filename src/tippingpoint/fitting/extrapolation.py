"""Learning curves beyond their data: one curve as an estimator; tables of curves are in :mod:`.curve_table`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.fitting.conformal import CALIBRATED, FARTHEST, half_width, interval_scale, named_scale
from tippingpoint.fitting.curves import FittedCurve, fit_curve
from tippingpoint.fitting.tempered import Grid, Tempering, average, exponent_weights, solve_grid
from tippingpoint.laws.curves import curve_law, law_key
from tippingpoint.laws.curves.law import Array

__all__ = ["CurveExtrapolator", "CurvePrediction"]

_USUAL = 4  # fewer training points than this are warned about
_SMALLEST, _LARGEST = 1e-100, 1e100  # of sizes and scores
_FARTHEST_LOG = 700.0


class CurvePrediction(NamedTuple):
    """What a curve is expected to do.

    Attributes
    ----------
    x, y : ndarray, shape (T,)
        Sizes and predicted scores.
    low, high : ndarray, shape (T,), or None
        The interval in which the *measured* score lies with the level that was asked for.
    """

    x: Array
    y: Array
    low: Array | None
    high: Array | None


class CurveExtrapolator:
    """Extrapolate one learning curve.

    Parameters
    ----------
    law : str, default "auto"
        ``auto`` averages over exponents and two laws (see :mod:`tippingpoint.fitting.tempered`); or the name of one
        law: ``power`` (m1), ``floored`` (m2), ``saturating`` (m3), ``sigmoidal`` (m4), ``broken`` (bnsl), ``broken2``
        (bnsl2) to ``broken9`` by the number of breaks, or one that another package brings.
    tempering : Tempering, optional
        The constants of ``auto``; the shipped ones unless given. A named law needs them for its intervals alone.

    Attributes
    ----------
    n_points_ : int
        Training points that were used.
    largest_ : float
        The largest training size.
    misfit_ : float
        Mean squared log residual (weighted, for ``auto``).
    average_misfit_ : float
        That of ``auto`` on the same points, which intervals are made of whatever the law.
    fitted_ : FittedCurve or None
        The fitted law; None for ``auto``.
    warnings_ : tuple of str
        What to bear in mind.

    Examples
    --------
    >>> x = [1000, 2000, 4000, 8000, 16000]
    >>> curve = CurveExtrapolator().fit(x, [0.58, 0.45, 0.36, 0.30, 0.26])
    >>> bool(0.2 < curve.predict([32000]).y[0] < 0.25)
    True
    """

    def __init__(self, law: str = "auto", *, tempering: Tempering | None = None) -> None:
        self.law = law
        self.tempering = Tempering() if tempering is None else tempering

    def fit(self, x: Array, y: Array) -> CurveExtrapolator:
        """Fit the curve's points.

        Parameters
        ----------
        x, y : array_like, shape (n,)
            Sizes above 0 and scores of at least 0; scores of 0 have no logarithm and are set aside with a warning.
            Where no score is above 1 they are taken as rates, and nothing above 1 is predicted.

        Returns
        -------
        CurveExtrapolator
            Itself.

        Raises
        ------
        FitError
            There are fewer than two different sizes with a score above 0, or a size or score is no such number.
        """
        sizes, scores = _points(x, y)
        used = scores > 0
        if len(np.unique(sizes[used])) < 2:
            raise FitError("A curve needs at least 2 different sizes with a score above 0; score more sizes.")
        sizes, scores = sizes[used], scores[used]
        order = np.lexsort((scores, sizes))
        sizes, scores = sizes[order], scores[order]
        self.n_points_ = len(sizes)
        self._sizes = len(np.unique(sizes))
        self.largest_ = float(sizes.max())
        self._rate = bool(scores.max() <= 1)
        self.fitted_: FittedCurve | None = None
        self.average_misfit_ = self.misfit_ = self._fit_auto(sizes, scores)
        if self.law != "auto":
            self.fitted_ = fit_curve(sizes, scores, curve_law(self.law))
            self.misfit_ = self.fitted_.objective / len(sizes)
        self.warnings_ = self._warn(int((~used).sum()))
        return self

    def predict(self, x: Array, interval: float | None = None) -> CurvePrediction:
        """Return what to expect at other sizes.

        Parameters
        ----------
        x : array_like, shape (T,)
            Sizes above 0.
        interval : float, optional
            Level of a predictive interval, 0.05 to 0.99.

        Returns
        -------
        CurvePrediction

        Raises
        ------
        FitError
            A size is not above 0, or the level is outside those that were calibrated.
        NotFittedError
            ``fit`` has not been called.
        """
        if not hasattr(self, "misfit_"):
            raise NotFittedError("The curve is not fitted yet; call fit(x, y) first.")
        sizes = np.atleast_1d(np.asarray(x, dtype=float))
        if not ((sizes >= _SMALLEST) & (sizes <= _LARGEST)).all():
            raise FitError(f"Sizes to predict at must be above 0 (from {_SMALLEST:g} to {_LARGEST:g}).")
        logs = self._log_predict(sizes)
        if interval is None:
            return CurvePrediction(sizes, np.exp(logs), None, None)
        half = half_width(interval, self.scale(sizes), named=self.fitted_ is not None)
        low, high = (np.exp(np.clip(ends, -_FARTHEST_LOG, _FARTHEST_LOG)) for ends in (logs - half, logs + half))
        return CurvePrediction(sizes, np.exp(logs), low, np.minimum(high, 1.0) if self._rate else high)

    def scale(self, x: Array) -> Array:
        """Return sigma of :mod:`tippingpoint.fitting.conformal` at sizes (T,): what intervals are a multiple of."""
        sizes = np.asarray(x, dtype=float)
        scale = interval_scale(self.average_misfit_, self._sizes, sizes / self.largest_)
        if self.fitted_ is None:
            return scale
        return named_scale(scale, self._log_predict(sizes) - self._log_average(sizes))

    def doubts(self, x: Array) -> tuple[str, ...]:
        """Return what is to be borne in mind of intervals at sizes (T,)."""
        found = []
        if self.fitted_ is not None and law_key(self.law) not in CALIBRATED:
            found.append(
                f"Intervals were not calibrated on the law '{self.law}' but on {', '.join(CALIBRATED)}: they widen "
                "where it parts from 'auto', and hold as often as theirs only if it errs no more than they do."
            )
        if bool(np.any(np.asarray(x, dtype=float) > FARTHEST * self.largest_)):
            found.append(f"Intervals are calibrated up to {FARTHEST:g} times the largest training size only.")
        return tuple(found)

    def _fit_auto(self, x: Array, y: Array) -> float:
        settings = self.tempering
        laws = (False, True) if self._rate and len(np.unique(x[y < 1])) > 1 else (False,)
        self._grids: list[Grid] = [solve_grid(x, y, settings.recency, settings.effective, odds) for odds in laws]
        logs = [exponent_weights(grid, settings) @ np.log(grid.misfit) for grid in self._grids]
        return float(np.exp(np.mean(logs)))

    def _log_average(self, x: Array) -> Array:
        logs, _ = average(self._grids, self.tempering, x)
        return np.minimum(logs, 0.0) if self._rate else logs

    def _log_predict(self, x: Array) -> Array:
        if self.fitted_ is None:
            return self._log_average(x)
        with np.errstate(all="ignore"):
            logs: Array = np.log(np.clip(self.fitted_.predict(x), 1e-300, 1e300))
        return np.minimum(logs, 0.0) if self._rate else logs

    def _warn(self, zeros: int) -> tuple[str, ...]:
        found = []
        if zeros:
            found.append(f"{zeros} training points with score 0 have no logarithm and were set aside.")
        if self._sizes < _USUAL:
            found.append(f"There are only {self._sizes} training sizes; the prior decides most of the prediction.")
        if self.fitted_ is None and not any(grid.coefficient[grid.allowed].any() for grid in self._grids):
            found.append("The scores do not fall with size; the prediction is their recent level.")
        if self.fitted_ is not None and self.fitted_.status != "converged":
            found.append(f"Fit of {self.law}: {self.fitted_.status}.")
        return tuple(found)


def _points(x: Array, y: Array) -> tuple[Array, Array]:
    """Return sizes and scores as checked floats."""
    try:
        sizes, scores = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    except (TypeError, ValueError) as error:
        raise FitError(f"Sizes and scores must be lists of numbers ({error}).") from error
    if sizes.ndim != 1 or sizes.shape != scores.shape:
        raise FitError(f"Sizes and scores must be lists of one length, not {sizes.shape} and {scores.shape}.")
    faults = []
    if not ((sizes >= _SMALLEST) & (sizes <= _LARGEST)).all():
        faults.append(f"Sizes must be above 0 (from {_SMALLEST:g} to {_LARGEST:g}); leave the other points out.")
    if not ((scores == 0) | ((scores >= _SMALLEST) & (scores <= _LARGEST))).all():
        faults.append(f"Scores must be 0 or from {_SMALLEST:g} to {_LARGEST:g}; leave the other points out.")
    if faults:
        raise FitError(faults)
    return sizes, scores
