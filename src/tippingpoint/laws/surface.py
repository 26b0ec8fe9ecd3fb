"""The face of every law that is given by a :class:`~tippingpoint.laws.formula.Formula`: fit, predict, summary, JSON.

A law of one's own is a formula and three lines:

>>> class MyLaw(SurfaceLaw):  # doctest: +SKIP
...     name = "mine"
...     formula_class = MyFormula

The additive law has the same face with more to say of each term (:class:`~tippingpoint.laws.AdditivePowerLaw`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.laws.asking import answer, read_points
from tippingpoint.laws.formula import Formula
from tippingpoint.laws.printing import aligned

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from tippingpoint.fitting.rivals import AxisFinding, SurfaceEstimate
    from tippingpoint.runs import Runs

__all__ = ["SurfaceLaw"]

Array = NDArray[np.float64]


class SurfaceLaw:
    """A law over several axes, fitted by a search that needs no start.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes, 1 to 6.
    objective : {"huber-log", "log", "squares"}, default "huber-log"
        Huber's loss on logs as Chinchilla's fit, least squares on logs, or least squares.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    bootstrap : int, default 0
        Resamples over seed blocks for the intervals. With 0, intervals are drawn (1000 resamples) when first asked for.
    random_state : int or None, default None
        Seed of the resampling; None gives other draws each time.
    max_exponent : float, default 10
        Upper bound of the exponents.
    **options
        What the law's formula takes, such as ``labels``.

    Attributes
    ----------
    floor_ : float
        The irreducible part, in the target's units; 0 in a law without one.
    parameters_ : dict of str to float
        Every parameter in raw units.
    status_ : str
        ``converged``, ``bound hit``, ``unidentified`` or ``too few runs``.
    objective_ : float
        The sum that was minimised.
    n_runs_ : int
        Runs that were fitted.
    identifiability_ : dict of str to AxisFinding
        For each axis: how far it moves the target over the data, and whether the law needs it.
    draws_ : pandas.DataFrame or None
        One row per resample, one column per parameter.
    warnings_, notes_ : tuple of str
        What is not as it should be; runs that were set aside, with counts.
    target_ : str
        What was fitted.

    Raises
    ------
    FitError
        The law needs an axis that is not among ``axes``.
    """

    name: ClassVar[str]
    formula_class: ClassVar[type[Formula]]

    def __init__(
        self,
        axes: Sequence[str],
        objective: str = "huber-log",
        huber_delta: float = 1e-3,
        bootstrap: int = 0,
        random_state: int | None = None,
        *,
        max_exponent: float = 10.0,
        **options: Any,
    ) -> None:
        self.axes = [axes] if isinstance(axes, str) else [str(axis) for axis in axes]
        self.objective = objective
        self.huber_delta = huber_delta
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.formula = self.formula_class(self.axes, max_exponent=max_exponent, **options)
        self._estimate: SurfaceEstimate | None = None
        self._drawn: tuple[Array, tuple[str, ...]] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(axes={self.axes})"

    def fit(
        self,
        runs: Runs | pd.DataFrame | Mapping[str, Any] | str | Path,
        target: str = "error",
        *,
        recipe: str | None = None,
        stage: str | None = None,
        upstream: str | None = None,
        downstream: str | None = None,
    ) -> Self:
        """Fit the law to one group of runs; the arguments are those of :meth:`AdditivePowerLaw.fit`.

        Returns
        -------
        SurfaceLaw
            Itself, fitted.

        Raises
        ------
        RunsError
            The table is faulty or the group ambiguous; every fault is told.
        FitError
            A setting is wrong.
        """
        from tippingpoint.fitting.rivals import estimate_surface
        from tippingpoint.fitting.setting import FitSetting
        from tippingpoint.runs import read_runs, select_group

        if not isinstance(self.bootstrap, int | np.integer) or self.bootstrap < 0:
            raise FitError(f"bootstrap is {self.bootstrap!r}; it must be a number of resamples, 0 or more.")
        group = select_group(read_runs(runs), recipe=recipe, stage=stage, upstream=upstream, downstream=downstream)
        self._drawn = None
        setting = FitSetting(self.objective, self.huber_delta, self.formula.max_exponent)
        self._estimate = estimate_surface(group, self.formula, target, setting)
        if self.bootstrap:
            self._draw()
        return self

    @property
    def _fitted(self) -> SurfaceEstimate:
        if self._estimate is None:
            raise NotFittedError("The law is not fitted yet; call fit(runs) first.")
        return self._estimate

    def _draw(self) -> Array:
        """Draw once, theta (R, m + q); later calls return the same draws."""
        if self._drawn is None:
            from tippingpoint.fitting.intervals import DEFAULT_RESAMPLES
            from tippingpoint.fitting.rivals import surface_draws

            count = int(self.bootstrap) or DEFAULT_RESAMPLES
            self._drawn = surface_draws(self._fitted, count, self.random_state)
        return self._drawn[0]

    # -- what was fitted -----------------------------------------------------------------------------------------

    @property
    def parameters_(self) -> dict[str, float]:
        """Every parameter in raw units, by name."""
        return self._fitted.solution.parameters

    @property
    def floor_(self) -> float:
        """The irreducible part, in the target's units; 0 in a law without one."""
        return self.parameters_.get("floor", 0.0)

    @property
    def status_(self) -> str:
        """``converged``, ``bound hit``, ``unidentified`` or ``too few runs``."""
        return self._fitted.solution.status

    @property
    def objective_(self) -> float:
        """The sum that was minimised."""
        return self._fitted.solution.objective

    @property
    def n_runs_(self) -> int:
        """Runs that were fitted."""
        return len(self._fitted.y)

    @property
    def target_(self) -> str:
        """The column that was fitted."""
        return self._fitted.target

    @property
    def identifiability_(self) -> dict[str, AxisFinding]:
        """For each axis: how far it moves the target over the data, and whether the law needs it."""
        return dict(zip(self.axes, self._fitted.findings, strict=True))

    @property
    def draws_(self) -> pd.DataFrame | None:
        """The draws behind the intervals in raw units, or None before any were asked for."""
        if self._drawn is None:
            return None
        import pandas as pd

        return pd.DataFrame(self._fitted.solution.raw(self._drawn[0]))

    @property
    def warnings_(self) -> tuple[str, ...]:
        """All that is not as it should be, one sentence each."""
        return (*self._fitted.solution.reasons, *(self._drawn[1] if self._drawn else ()))

    @property
    def notes_(self) -> tuple[str, ...]:
        """Runs that were set aside, with counts."""
        return self._fitted.runs.notes

    # -- asking --------------------------------------------------------------------------------------------------

    def predict(self, sizes: Mapping[str, Any] | pd.DataFrame, interval: float | None = None) -> Any:
        """Return the expected value at sizes; the arguments are those of :meth:`AdditivePowerLaw.predict`.

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
        asked = read_points(self.axes, sizes)
        fit = self._fitted
        band: Array | None = None
        if interval is not None:
            from tippingpoint.fitting.intervals import percentiles

            band = percentiles(self.curves(asked[0]), interval)
        return answer(
            self.axes,
            asked,
            fit.solution.predict(asked[0]),
            band,
            level=interval,
            seen=fit.sizes,
            warnings=self.warnings_,
            law=self.name,
        )

    def curves(self, points: Array) -> Array:
        """Return the law of every draw at points (p, k), shape (draws, p)."""
        return self._fitted.solution.predict(points, self._draw())

    def intervals(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return percentile intervals of every parameter, drawn on first use if ``bootstrap`` was 0."""
        from tippingpoint.fitting.intervals import percentiles

        drawn = self._fitted.solution.raw(self._draw())
        ends = percentiles(np.column_stack(list(drawn.values())), level).T
        return {name: (float(low), float(high)) for name, (low, high) in zip(drawn, ends, strict=True)}

    # -- showing -------------------------------------------------------------------------------------------------

    def to_dict(self, level: float | None = 0.9) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint fit``, all parameters under ``parameters``; no intervals at level None."""
        parameters = self.parameters_
        spans = {} if level is None else self.intervals(level)
        terms = {}
        for axis, found in self.identifiability_.items():
            coefficient, exponent = self.formula.term(axis, parameters)
            terms[axis] = {
                "coefficient": coefficient,
                "exponent": exponent,
                "identified": found.identified,
                "swing": found.swing,
                "reason": found.reason,
            }
        return {
            "law": self.name,
            "axes": list(self.axes),
            "target": self.target_,
            "n_runs": self.n_runs_,
            "status": self.status_,
            "objective": self.objective_,
            "objective_name": self.objective,
            "floor": self.floor_,
            "terms": terms,
            "parameters": parameters,
            "intervals": {name: list(pair) for name, pair in spans.items()},
            "level": level,
            "warnings": list(self.warnings_),
            "notes": list(self.notes_),
        }

    def _rows(self, level: float) -> list[list[str]]:
        spans = self.intervals(level) if self._drawn is not None else {}
        rows = [["", "estimate"] + ([f"{level:.0%} interval"] if spans else [])]
        for name, value in self.parameters_.items():
            span = [f"{spans[name][0]:.4g} to {spans[name][1]:.4g}"] if spans else []
            rows.append([name, f"{value:.6g}", *span])
        return rows

    def _text(self, level: float) -> str:
        plural = "s" if self.n_runs_ != 1 else ""
        lines = [
            f"{self.formula.title}: {self.target_} over {', '.join(self.axes)}",
            f"status: {self.status_}   ({self.n_runs_} run{plural}, {self.objective} objective {self.objective_:.6g})",
            "",
            *aligned(self._rows(level)),
            "",
        ]
        for axis, found in sorted(self.identifiability_.items(), key=lambda item: -item[1].swing):
            state = "identified" if found.identified else f"not identified: {found.reason}"
            lines.append(f"{axis}: moves {self.target_} by {found.swing:.4g} over the data; {state}")
        lines += [f"warning: {sentence}" for sentence in self.warnings_]
        lines += [f"note: {sentence}" for sentence in self.notes_]
        return "\n".join(lines)

    def summary(self, level: float = 0.9) -> None:
        """Print the fit: status first, then parameters with intervals, then what each axis does."""
        self._draw()
        print(self._text(level))

    def __str__(self) -> str:
        return repr(self) if self._estimate is None else self._text(0.9)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
