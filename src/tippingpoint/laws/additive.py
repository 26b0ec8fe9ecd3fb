r"""The additive power law: a floor, and one falling term for each axis.

.. math:: y(x) = E + \sum_j c_j\, x_j^{-e_j}, \qquad E \ge 0,\; c_j \ge 0,\; e_j \ge 0

What the parameters mean:

* ``floor`` E: what is left of the error when every axis is endless; more of nothing helps below it.
* ``exponents`` e_j: doubling axis j multiplies its term by 2^-e_j (0.5 means a third off, 1 means half).
* ``coefficients`` c_j: the term at size 1, which nobody has; read ``at_reference`` instead, the part of the error that
  axis j explains at the data's middle (the paper's 1/lambda, 1/omega, 1/delta are the c_j in raw units).

Eq. (1) and (2) of the paper are this law over ``["n_pretrain", "n_params", "n_finetune"]`` for error and for
cross-entropy; Eq. (4), of the distilled recipe, has the further axis ``n_params_teacher``; Chinchilla's law is it over
model size and tokens, and with one axis it is the plain learning curve:

>>> AdditivePowerLaw(["n_pretrain", "n_params", "n_finetune"])                       # Eq. (1), (2)
AdditivePowerLaw(axes=['n_pretrain', 'n_params', 'n_finetune'])
>>> AdditivePowerLaw(["n_pretrain", "n_params", "n_params_teacher", "n_finetune"])   # Eq. (4)
AdditivePowerLaw(axes=['n_pretrain', 'n_params', 'n_params_teacher', 'n_finetune'])

It cannot express an error that rises with an axis (the paper's appendix D): such a term ends at coefficient 0 and is
reported so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.laws import printing
from tippingpoint.laws.asking import answer, read_points

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from tippingpoint.fitting.estimation import Estimate
    from tippingpoint.runs import Runs

__all__ = ["AdditivePowerLaw", "gradient", "value"]

Array = NDArray[np.float64]


def value(sizes: ArrayLike, floor: ArrayLike, coefficients: ArrayLike, exponents: ArrayLike) -> Array:
    """Return y, shape (...), at sizes of shape (..., k) for coefficients and exponents of shape (..., k)."""
    terms = np.asarray(coefficients) * np.asarray(sizes, dtype=float) ** -np.asarray(exponents)
    result: Array = np.asarray(floor) + terms.sum(axis=-1)
    return result


def gradient(sizes: ArrayLike, coefficients: ArrayLike, exponents: ArrayLike) -> Array:
    """Return dy/d(floor, coefficients, exponents), shape (..., 1 + 2k)."""
    size = np.asarray(sizes, dtype=float)
    powers = size ** -np.asarray(exponents)
    slopes = -np.asarray(coefficients) * np.log(size) * powers
    return np.concatenate([np.ones((*powers.shape[:-1], 1)), powers, slopes], axis=-1)


class AdditivePowerLaw:
    """Floor plus one power of each axis, fitted by a search that needs no start.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes, 1 to 6.
    objective : {"huber-log", "log", "squares"}, default "huber-log"
        Huber's loss on logs as Chinchilla's fit, least squares on logs, or least squares.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    bootstrap : int, default 0
        Resamples over seed blocks, from which intervals are then taken. With 0 they come from the posterior over
        exponents (1000 draws, made when first asked for), which covers what it says with few blocks too.
    random_state : int or None, default None
        Seed of the draws; None gives other draws each time.
    max_exponent : float, default 10
        Upper bound of the exponents.

    Attributes
    ----------
    floor_ : float
        E, in the target's units.
    coefficients_, exponents_, reference_ : dict of str to float
        For each axis c_j in raw units, e_j, and the geometric mean of its sizes.
    status_ : str
        ``converged``, ``bound hit``, ``unidentified`` or ``too few runs``.
    objective_ : float
        The sum that was minimised.
    n_runs_ : int
        Runs that were fitted.
    identifiability_ : dict of str to Identifiability
        For each axis: its swing over the data, whether its profile is flat, whether it is at a bound.
    draws_ : pandas.DataFrame or None
        One row per draw: ``floor``, ``<axis>.coefficient``, ``<axis>.exponent``.
    warnings_ : tuple of str
        Everything that is not as it should be, one sentence each.
    target_ : str
        What was fitted.
    notes_ : tuple of str
        Runs that were set aside, with counts.
    """

    name = "additive"

    def __init__(
        self,
        axes: Sequence[str],
        objective: str = "huber-log",
        huber_delta: float = 1e-3,
        bootstrap: int = 0,
        random_state: int | None = None,
        *,
        max_exponent: float = 10.0,
    ) -> None:
        self.axes = [axes] if isinstance(axes, str) else [str(axis) for axis in axes]
        self.objective = objective
        self.huber_delta = huber_delta
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.max_exponent = max_exponent
        self._estimate: Estimate | None = None
        self._drawn: pd.DataFrame | None = None
        self._draw_warnings: tuple[str, ...] = ()
        self._draw_source = ""

    def __repr__(self) -> str:
        return f"AdditivePowerLaw(axes={self.axes})"

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(
        self,
        runs: Runs | pd.DataFrame | Mapping[str, Any] | str | Path,
        target: str = "error",
        *,
        recipe: str | None = None,
        stage: str | None = None,
        upstream: str | None = None,
        downstream: str | None = None,
    ) -> AdditivePowerLaw:
        """Fit the law to one group of runs.

        Parameters
        ----------
        runs : Runs, DataFrame, mapping of columns, or path
            The table.
        target : str, default "error"
            Column to explain.
        recipe, stage, upstream, downstream : str, optional
            Which group, where the table has these columns and several values; ``stage`` is ``finetuned`` unless said.

        Returns
        -------
        AdditivePowerLaw
            Itself, fitted.

        Raises
        ------
        RunsError
            The table is faulty or the group ambiguous; every fault is told.
        FitError
            A setting is wrong.
        """
        from tippingpoint.fitting.estimation import estimate
        from tippingpoint.fitting.setting import FitSetting
        from tippingpoint.runs import read_runs, select_group

        if not isinstance(self.bootstrap, int | np.integer) or self.bootstrap < 0:
            raise FitError(f"bootstrap is {self.bootstrap!r}; it must be a number of resamples, 0 or more.")
        group = select_group(read_runs(runs), recipe=recipe, stage=stage, upstream=upstream, downstream=downstream)
        self._drawn, self._draw_warnings, self._draw_source = None, (), ""
        setting = FitSetting(self.objective, self.huber_delta, self.max_exponent)
        self._estimate = estimate(group, self.axes, target, setting)
        if self.bootstrap:
            self._draw()
        return self

    def _draw(self) -> pd.DataFrame:
        """Draw once; later calls return the same draws."""
        if self._drawn is None:
            from tippingpoint.fitting.intervals import DEFAULT_RESAMPLES, bootstrap_draws, posterior_draws

            if self.bootstrap:
                drawn = bootstrap_draws(self._fitted, int(self.bootstrap), self.random_state)
            else:
                drawn = posterior_draws(self._fitted, DEFAULT_RESAMPLES, self.random_state)
            self._drawn, self._draw_warnings = drawn.frame(self.axes), drawn.warnings
            self._draw_source = drawn.source
        return self._drawn

    @property
    def _fitted(self) -> Estimate:
        if self._estimate is None:
            raise NotFittedError("The law is not fitted yet; call fit(runs) first.")
        return self._estimate

    # -- what was fitted -----------------------------------------------------------------------------------------

    @property
    def floor_(self) -> float:
        """E, in the target's units."""
        return self._fitted.solution.floor

    @property
    def coefficients_(self) -> dict[str, float]:
        """c_j in raw units, by axis."""
        return dict(zip(self.axes, self._fitted.solution.coefficients.tolist(), strict=True))

    @property
    def exponents_(self) -> dict[str, float]:
        """e_j, by axis."""
        return dict(zip(self.axes, self._fitted.solution.exponents.tolist(), strict=True))

    @property
    def reference_(self) -> dict[str, float]:
        """Geometric mean of the sizes, by axis."""
        return dict(zip(self.axes, self._fitted.solution.reference.tolist(), strict=True))

    @property
    def status_(self) -> str:
        """``converged``, ``bound hit``, ``unidentified`` or ``too few runs``."""
        return self._fitted.status

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
    def identifiability_(self) -> dict[str, Any]:
        """What the data say about each term, by axis."""
        return dict(zip(self.axes, self._fitted.terms, strict=True))

    @property
    def draws_(self) -> pd.DataFrame | None:
        """The draws behind the intervals, or None before any were asked for."""
        return self._drawn

    @property
    def intervals_from_(self) -> str:
        """What made the draws: the posterior, or the bootstrap over blocks; empty before any were asked for."""
        return self._draw_source

    @property
    def warnings_(self) -> tuple[str, ...]:
        """All that is not as it should be, one sentence each."""
        return (*self._fitted.warnings, *self._draw_warnings)

    @property
    def notes_(self) -> tuple[str, ...]:
        """Runs that were set aside, with counts."""
        return self._fitted.notes

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
        from tippingpoint.fitting.intervals import percentiles

        asked = read_points(self.axes, sizes)
        fit = self._fitted
        band: Array | None = None
        if interval is not None:
            band = percentiles(self.curves(asked[0]), interval)
        expected = fit.solution.predict(asked[0])
        return answer(
            self.axes, asked, expected, band, level=interval, seen=fit.sizes, warnings=self.warnings_, law=self.name
        )

    def curves(self, points: Array) -> Array:
        """Return the law of every draw at points (p, k), shape (draws, p); draws are made on first use."""
        return self._curves(self._draw(), points)

    def _curves(self, draws: pd.DataFrame, points: Array) -> Array:
        """Return the law of every draw at every point, shape (draws, points)."""
        result = np.repeat(draws["floor"].to_numpy(dtype=float)[:, None], len(points), axis=1)
        for place, axis in enumerate(self.axes):
            coefficient = draws[f"{axis}.coefficient"].to_numpy(dtype=float)[:, None]
            exponent = draws[f"{axis}.exponent"].to_numpy(dtype=float)[:, None]
            with np.errstate(divide="ignore"):
                term = np.exp(np.log(coefficient) - exponent * np.log(points[:, place]))
            result += term
        return result

    def profile_intervals(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return profile likelihood intervals, named as those of :meth:`intervals`."""
        from tippingpoint.fitting.profile import profile_intervals

        return profile_intervals(self._fitted, self.axes, level)

    def intervals(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return percentile intervals of ``floor``, ``<axis>.coefficient`` and ``<axis>.exponent``.

        Parameters
        ----------
        level : float, default 0.9
            Share of the draws inside. They are made on first use: from the posterior, or from the block bootstrap
            if ``bootstrap`` is above 0.
        """
        from tippingpoint.fitting.intervals import percentiles

        draws = self._draw()
        low, high = percentiles(draws.to_numpy(dtype=float), level)
        return {str(name): (float(a), float(b)) for name, a, b in zip(draws.columns, low, high, strict=True)}

    def swings(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return for each axis the interval of its swing: how far its term moves the target over the data.

        Parameters
        ----------
        level : float, default 0.9
            Share of the draws inside.
        """
        from tippingpoint.fitting.intervals import percentiles

        draws, sizes = self._draw(), self._fitted.sizes
        found = {}
        for place, axis in enumerate(self.axes):
            powers = np.log([sizes[:, place].min(), sizes[:, place].max()])
            with np.errstate(divide="ignore"):
                log_coefficient = np.log(draws[f"{axis}.coefficient"].to_numpy(dtype=float))
            exponent = draws[f"{axis}.exponent"].to_numpy(dtype=float)
            first, last = (np.exp(log_coefficient - exponent * power) for power in powers)
            low, high = percentiles(first - last, level)
            found[axis] = (float(low), float(high))
        return found

    # -- showing -------------------------------------------------------------------------------------------------

    def to_dict(self, level: float | None = 0.9) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint fit``; ``level`` None leaves the intervals out (and makes no draws)."""
        if level is not None:
            self._draw()
        return printing.as_dict(self, level)

    def summary(self, level: float = 0.9) -> None:
        """Print the fit: status first, then parameters with intervals, then what the data determine."""
        self._draw()
        print(printing.as_text(self, level))

    def to_latex(self) -> str:
        """Return the fitted formula in LaTeX."""
        return printing.as_latex(self)

    def __str__(self) -> str:
        return repr(self) if self._estimate is None else printing.as_text(self, 0.9)

    def _repr_html_(self) -> str:
        return repr(self) if self._estimate is None else printing.as_html(self, 0.9)
