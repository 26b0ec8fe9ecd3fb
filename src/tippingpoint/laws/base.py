"""The face of every law: its settings, and how it is fitted, asked and shown; a law's own file adds what it alone says.

Settings follow scikit-learn's habits: the constructor stores them untouched, ``fit`` returns the law, what is fitted
ends in ``_``, and ``type(law)(**law.get_params())`` is an unfitted copy.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import FitError, NotFittedError, RunsError, did_you_mean
from tippingpoint.laws import printing
from tippingpoint.laws.asking import answer, read_points

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from tippingpoint.fitting.intervals import Draws
    from tippingpoint.fitting.setting import FitSetting
    from tippingpoint.runs import Runs

__all__ = ["Law"]

Array = NDArray[np.float64]

_GIVEN_WEIGHTS = "given weights"  # the column that weights which came as an array are kept in


class Law(ABC):
    """A law over several axes, fitted by a search that needs no start.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes, 1 to 6.
    objective : {"huber-log", "log", "squares", "binomial"}, default "huber-log"
        Huber's loss on logs as Chinchilla's fit, least squares on logs, least squares, or the likelihood of error rates
        measured on ``n_test`` images, which seeds vary more than sampling alone.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    bootstrap : int, default 0
        Resamples over seed blocks, from which intervals are then taken. With 0 they come from the posterior over
        exponents (1000 draws, made when first asked for), which covers what it says with few blocks too.
    random_state : int or None, default None
        Seed of the draws; None gives other draws each time.
    max_exponent : float, default 10
        Upper bound of the exponents that ``bounds`` does not name.
    fixed : mapping of str to float, optional
        Parameters that are known, by the names they are printed with: ``{"floor": 0, "n_params.exponent": 0.5}``.
    bounds : mapping of str to (float or None, float or None), optional
        Least and greatest value of parameters; None leaves an end as the law has it.
    shared : sequence of sequences of str, optional
        Exponents with one value in common: ``[["n_pretrain.exponent", "n_finetune.exponent"]]``.

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
        With the objective ``binomial``: variance over that of sampling alone.
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
    _drawn: Any

    def __init__(
        self,
        axes: Sequence[str],
        objective: str = "huber-log",
        huber_delta: float = 1e-3,
        bootstrap: int = 0,
        random_state: int | None = None,
        *,
        max_exponent: float = 10.0,
        fixed: Mapping[str, float] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        shared: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.axes = axes
        self.objective = objective
        self.huber_delta = huber_delta
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.max_exponent = max_exponent
        self.fixed = fixed
        self.bounds = bounds
        self.shared = shared
        self._forget()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(axes={self._axes})"

    # -- settings ------------------------------------------------------------------------------------------------

    @property
    def _axes(self) -> list[str]:
        return [self.axes] if isinstance(self.axes, str) else [str(axis) for axis in self.axes]

    @classmethod
    def _setting_names(cls) -> list[str]:
        return [name for name in inspect.signature(Law.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments by name; ``deep`` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self._setting_names()}

    def set_params(self, **params: Any) -> Self:
        """Change settings and forget what was fitted with the old ones.

        Raises
        ------
        FitError
            There is no such setting.
        """
        known = list(self.get_params())
        unknown = [name for name in params if name not in known]
        if unknown:
            raise FitError(f"{type(self).__name__} has no setting '{n}'.{did_you_mean(n, known)}" for n in unknown)
        for name, value in params.items():
            setattr(self, name, value)
        self._forget()
        return self

    def _fit_setting(self, weights: str | None) -> FitSetting:
        from tippingpoint.fitting.setting import FitSetting

        return FitSetting(
            self.objective,
            self.huber_delta,
            self.max_exponent,
            weights,
            self.fixed or {},
            self.bounds or {},
            self.shared or (),
        )

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

        if not isinstance(self.bootstrap, int | np.integer) or self.bootstrap < 0:
            raise FitError(f"bootstrap is {self.bootstrap!r}; it must be a number of resamples, 0 or more.")
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

    def _new_draws(self) -> Draws:
        """Return draws of the parameters: from the bootstrap if ``bootstrap`` is above 0, else from the posterior."""
        from tippingpoint.fitting.intervals import DEFAULT_RESAMPLES, draws_for

        count = int(self.bootstrap)
        return draws_for(self._fitted, count or DEFAULT_RESAMPLES, self.random_state, bootstrap=count > 0)

    def _frame(self) -> pd.DataFrame:
        """Return the draws that were made, one column per parameter in raw units."""
        frame: pd.DataFrame = self._drawn.frame()
        return frame

    def _forget(self) -> None:
        """Drop what was fitted."""
        self._estimate = None
        self._drawn = None

    def _draw(self) -> Any:
        """Draw once; later calls return the same draws."""
        if self._drawn is None:
            self._drawn = self._new_draws()
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
        """With the objective ``binomial``: variance over that of sampling alone; else None."""
        found = getattr(self._fitted, "over_dispersion", None)
        return None if found is None else float(found)

    @property
    def draws_(self) -> pd.DataFrame | None:
        """The draws behind the intervals, one column per parameter, or None before any were asked for."""
        return None if self._drawn is None else self._frame()

    @property
    def intervals_from_(self) -> str:
        """What made the draws: the posterior, or the bootstrap over blocks; empty before any were asked for."""
        return "" if self._drawn is None else str(self._drawn.source)

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
            columns ``prediction``, ``low``, ``high``.

        Raises
        ------
        RunsError
            An axis is missing, unknown or not above 0.
        """
        seen, asked = self._fitted.sizes, read_points(self._axes, sizes)
        expected = self._expect(asked[0])
        band = None if interval is None else self._band(asked[0], expected, interval)
        return answer(
            self._axes, asked, expected, band, level=interval, seen=seen, warnings=self.warnings_, law=self.name
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

        self._draw()
        draws = self._frame()
        low, high = percentiles(draws.to_numpy(dtype=float), level)
        return {str(name): (float(a), float(b)) for name, a, b in zip(draws.columns, low, high, strict=True)}

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
