"""The face of every law: how it is fitted, asked and shown; a law's own file adds what it alone says.

It follows scikit-learn's habits: settings are given first (:mod:`tippingpoint.laws.settings`), ``fit`` returns the law,
what is fitted ends in ``_``, and ``type(law)(**law.get_params())`` is an unfitted copy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import NotFittedError, RunsError
from tippingpoint.laws import draws, latex, printing
from tippingpoint.laws.asking import answer, read_points
from tippingpoint.laws.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from tippingpoint.fitting.intervals import Draws
    from tippingpoint.fitting.setting import FitSetting
    from tippingpoint.runs import Runs

__all__ = ["Law"]

Array = NDArray[np.float64]

_GIVEN_WEIGHTS = "given weights"  # the column that weights which came as an array are kept in


class Law(Settings):
    """A law over several axes, fitted by a search that needs no start; its settings are those of :class:`Settings`.

    Attributes
    ----------
    parameters_ : dict of str to float
        Every parameter in raw units, by name.
    floor_ : float
        The irreducible part, in the target's units; 0 in a law without one.
    status_ : str
        ``converged``, ``bound hit``, ``unidentified`` or ``too few runs``.
    objective_ : float
        The sum that was minimised.
    over_dispersion_ : float or None
        With the objective ``binomial``: rho of the variance f (1 - f) (1/n_test + rho) of a rate expected to be f.
    n_runs_ : int
        Runs that were fitted.
    target_ : str
        The column that was fitted.
    identifiability_ : dict of str to finding
        For each axis: how far it moves the target over the data, and whether the law needs it.
    draws_ : pandas.DataFrame or None
        One row per draw, one column per parameter in raw units; None before any were asked for.
    intervals_from_ : str
        What made the draws: the posterior, or the bootstrap over blocks; empty before any were asked for.
    warnings_, notes_ : tuple of str
        What is not as it should be; runs that were set aside, with counts.
    """

    name: ClassVar[str]
    _estimate: Any
    _drawn: Draws | None

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(
        self,
        runs: Runs | pd.DataFrame | Mapping[str, Any] | str | Path,
        target: str = "error",
        *,
        weights: str | ArrayLike | None = None,
        recipe: str | None = None,
        stage: str | None = None,
        upstream: str | None = None,
        downstream: str | None = None,
    ) -> Self:
        """Fit the law to one group of runs.

        Parameters
        ----------
        runs : Runs, DataFrame, mapping of columns, or path
            The table.
        target : str, default "error"
            Column to explain.
        weights : str or array, optional
            How often each run counts, 0 or more: a column, or one number a row of the whole table in its order.
        recipe, stage, upstream, downstream : str, optional
            Which group, where the table has these columns and several values; ``stage`` is ``finetuned`` unless said.

        Returns
        -------
        Law
            Itself, fitted.

        Raises
        ------
        RunsError
            The table is faulty or the group ambiguous; every fault is told.
        FitError
            A setting is wrong.
        """
        from tippingpoint.runs import read_runs, select_group

        self._check()
        table, column = _weighted(read_runs(runs), weights)
        group = select_group(table, recipe=recipe, stage=stage, upstream=upstream, downstream=downstream)
        self._forget()
        self._estimate = self._fit_group(group, target, self._fit_setting(column))
        if self.bootstrap:
            self._draw()
        return self

    @abstractmethod
    def _fit_group(self, group: Runs, target: str, setting: FitSetting) -> Any:
        """Return the estimate for one group."""

    def _forget(self) -> None:
        """Drop what was fitted."""
        self._estimate = None
        self._drawn = None

    def _draw(self) -> Draws:
        """Draw once; later calls return the same draws."""
        if self._drawn is None:
            from tippingpoint.fitting.intervals import DEFAULT_RESAMPLES, draws_for

            count = int(self.bootstrap)
            self._drawn = draws_for(self._fitted, count or DEFAULT_RESAMPLES, self.random_state, bootstrap=count > 0)
        return self._drawn

    @property
    def _fitted(self) -> Any:
        """The estimate."""
        if self._estimate is None:
            raise NotFittedError("The law is not fitted yet; call fit(runs) first.")
        return self._estimate

    # -- what was fitted -----------------------------------------------------------------------------------------

    @property
    def parameters_(self) -> dict[str, float]:
        """Every parameter in raw units, by name."""
        found: dict[str, float] = self._fitted.solution.parameters
        return found

    @property
    def floor_(self) -> float:
        """The irreducible part, in the target's units; 0 in a law without one."""
        return self.parameters_.get("floor", 0.0)

    @property
    def status_(self) -> str:
        """``converged``, ``bound hit``, ``unidentified`` or ``too few runs``."""
        return str(self._fitted.status)

    @property
    def objective_(self) -> float:
        """The sum that was minimised."""
        return float(self._fitted.solution.objective)

    @property
    def n_runs_(self) -> int:
        """Runs that were fitted."""
        return len(self._fitted.y)

    @property
    def target_(self) -> str:
        """The column that was fitted."""
        return str(self._fitted.target)

    @property
    def identifiability_(self) -> dict[str, Any]:
        """What the data say about each axis."""
        return dict(zip(self._axes, self._fitted.terms, strict=True))

    @property
    def over_dispersion_(self) -> float | None:
        """With the objective ``binomial``: how much more than sampling rates vary, rho; else None."""
        found: float | None = self._fitted.over_dispersion
        return found

    @property
    def draws_(self) -> pd.DataFrame | None:
        """The draws behind the intervals, one column per parameter, or None before any were asked for."""
        return None if self._drawn is None else self._drawn.frame()

    def save_draws(self, path: str | Path) -> Path:
        """Write the draws behind the intervals, made on first use, as ``.parquet`` or ``.csv``.

        Columns are ``chain`` (0: draws are independent), ``draw``, and one a parameter, in raw units.

        Raises
        ------
        InputError
            The file has another ending.
        EnvironmentFault
            It cannot be written, or Parquet lacks pyarrow.
        """
        return draws.save_draws(self, path)

    def to_inference_data(self) -> Any:
        """Return the draws as ArviZ holds them, with the runs in ``observed_data`` and ``constant_data``.

        Returns
        -------
        arviz.InferenceData, or from ArviZ 1 on xarray.DataTree

        Raises
        ------
        MissingExtraError
            ArviZ is not installed.
        """
        return draws.inference_data(self)

    @property
    def intervals_from_(self) -> str:
        """What made the draws: the posterior, or the bootstrap over blocks; empty before any were asked for."""
        return "" if self._drawn is None else self._drawn.source

    @property
    def warnings_(self) -> tuple[str, ...]:
        """All that is not as it should be, one sentence each."""
        return (*self._fitted.warnings, *(() if self._drawn is None else self._drawn.warnings))

    @property
    def notes_(self) -> tuple[str, ...]:
        """Runs that were set aside, with counts."""
        return tuple(self._fitted.runs.notes)

    # -- asking --------------------------------------------------------------------------------------------------

    def predict(self, sizes: Mapping[str, Any] | pd.DataFrame, interval: float | None = None) -> Any:
        """Return the expected value at sizes.

        Parameters
        ----------
        sizes : mapping from axis to number, or to array, or DataFrame
            Every axis, sizes above 0.
        interval : float, optional
            Level, such as 0.9, of an interval of the *expected* value (the spread of single runs is not in it).

        Returns
        -------
        Prediction, numpy.ndarray or pandas.DataFrame
            For numbers a :class:`Prediction` (a float); for arrays an array, or with ``interval`` a table with the
            columns ``prediction``, ``low``, ``high`` and the index of ``sizes``.

        Raises
        ------
        RunsError
            An axis is missing, unknown or not above 0.
        """
        seen, asked = self._fitted.sizes, read_points(self._axes, sizes)
        expected = self._expect(asked[0])
        band = None if interval is None else self._band(asked[0], expected, interval)
        return answer(
            self._axes,
            asked,
            expected,
            band,
            level=interval,
            seen=seen,
            warnings=self.warnings_,
            law=self.name,
            rows=None if isinstance(sizes, Mapping) else getattr(sizes, "index", None),
        )

    def _expect(self, points: Array) -> Array:
        """Return the law at points (p, k), shape (p,)."""
        found: Array = self._fitted.solution.predict(points)
        return found

    @abstractmethod
    def curves(self, points: Array) -> Array:
        """Return the law of every draw at points (p, k), shape (draws, p); draws are made on first use."""

    def _band(self, points: Array, expected: Array, level: float) -> Array:
        """Return the ends (2, p) of the interval of the expected value."""
        from tippingpoint.fitting.intervals import percentiles

        return percentiles(self.curves(points), level)

    def intervals(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return percentile intervals of every parameter, in raw units by name.

        Parameters
        ----------
        level : float, default 0.9
            Share of the draws inside. They are made on first use: from the posterior, or from the block bootstrap
            if ``bootstrap`` is above 0.
        """
        from tippingpoint.fitting.intervals import percentiles

        drawn = self._draw().parameters
        ends = percentiles(np.column_stack(list(drawn.values())), level).T
        return {name: (float(low), float(high)) for name, (low, high) in zip(drawn, ends, strict=True)}

    def profile_intervals(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return profile likelihood intervals, named as those of :meth:`intervals`."""
        from tippingpoint.fitting.profile import profile_intervals

        return profile_intervals(self._fitted, level)

    def swings(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return for each axis the interval of its swing; empty in a law whose terms say nothing each on its own."""
        return {}

    # -- showing -------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _heading(self) -> str:
        """What was fitted, in the words before "over" and the axes."""

    def _rows(self) -> list[tuple[str, str, str]]:
        """Return what the summary's table shows: what it is called, its value, and the parameter it is (or "")."""
        return [(name, f"{value:.6g}", name) for name, value in self.parameters_.items()]

    @abstractmethod
    def _term(self, axis: str) -> dict[str, Any]:
        """Return what the JSON says of an axis beside what is found of every axis, which follows it."""

    def to_dict(self, level: float | None = 0.9) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint fit``; ``level`` None leaves the intervals out (and makes no draws)."""
        if level is not None:
            self._draw()
        return printing.as_dict(self, level)

    def summary(self, level: float | None = 0.9) -> None:
        """Print the fit: status, parameters with intervals (none at level None), then what each axis does."""
        if level is not None:
            self._draw()
        print(printing.as_text(self, level))

    @abstractmethod
    def _latex(self) -> str:
        """Return the right-hand side of the fitted formula."""

    def to_latex(self) -> str:
        """Return the fitted formula in LaTeX, numbers to four digits; it stands in mathematics and needs no package."""
        return f"{latex.name(self.target_)} = {self._latex()}"

    def __str__(self) -> str:
        return repr(self) if self._estimate is None else printing.as_text(self, 0.9)

    def _repr_html_(self) -> str:
        return repr(self) if self._estimate is None else printing.as_html(self, 0.9)


def _weighted(table: Runs, weights: str | ArrayLike | None) -> tuple[Runs, str | None]:
    """Return the table with the weights in a column, so that choosing rows keeps them, and the column's name."""
    if weights is None or isinstance(weights, str):
        return table, weights
    try:
        numbers = np.asarray(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise RunsError(f"weights are numbers, one a row, or a column's name ({error}).") from error
    if numbers.shape != (len(table),):
        shape = " x ".join(map(str, numbers.shape)) or "one number"
        raise RunsError(f"weights are {shape} and the table has {len(table)} rows; give one number a row.")
    return replace(table, frame=table.frame.assign(**{_GIVEN_WEIGHTS: numbers})), _GIVEN_WEIGHTS
