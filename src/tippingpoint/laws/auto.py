r"""No law taken for granted: additive and multiplying laws, averaged by what each foretells of the largest scales.

.. math:: \log \hat y(x) = \sum_l \omega_l \log \hat y_l(x), \qquad \omega_l \propto s_l^{-4 F / 3}

with s_l the mean squared log error of law l on the largest scales of F axes, each held out (training rows alone).
Where one law is clearly right the average is that law; where none is, it stands between them. Additive and multiplying
laws are averaged because which of them holds is an open question (THEORY, "Which law matters in several axes"); laws
that bend in other ways are compared by ``tippingpoint compare``.

An interval is that of the averaged draws, widened by how far the laws lie apart: on each side the distance d becomes
sqrt(d^2 + z^2 V), with V the laws' weighted variance about the average and z the normal quantile of the level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import NotFittedError
from tippingpoint.laws.asking import answer, read_points

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from tippingpoint.fitting.comparison import Comparison
    from tippingpoint.runs import Runs

__all__ = ["AutoLaw"]

Array = NDArray[np.float64]

_LEAST_WEIGHT = 1e-3  # laws below it are left out of the average


class AutoLaw:
    """An average of laws by their held-out error; the settings are those of the laws.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes.
    objective : {"huber-log", "log", "squares"}, default "huber-log"
        What every law minimises.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    bootstrap : int, default 0
        As of the laws.
    random_state : int or None, default None
        Seed of the draws.

    Attributes
    ----------
    weights_ : dict of str to float
        Share of each law in the average; they sum to 1.
    chosen_ : str
        The law with the greatest share, whose parameters ``to_dict`` and ``summary`` show.
    laws_ : dict of str to fitted law
        The laws with a share.
    comparison_ : Comparison
        How each law did.
    warnings_, notes_ : tuple of str
        Of the chosen law; runs that were set aside, with counts.
    """

    name: ClassVar[str] = "auto"

    def __init__(
        self,
        axes: Sequence[str],
        objective: str = "huber-log",
        huber_delta: float = 1e-3,
        bootstrap: int = 0,
        random_state: int | None = None,
    ) -> None:
        self.axes = [axes] if isinstance(axes, str) else [str(axis) for axis in axes]
        self.objective = objective
        self.huber_delta = huber_delta
        self.bootstrap = bootstrap
        self.random_state = random_state
        self._comparison: Comparison | None = None
        self.weights_: dict[str, float] = {}
        self.laws_: dict[str, Any] = {}
        self._seen: Array = np.empty((0, 0))

    def __repr__(self) -> str:
        return f"AutoLaw(axes={self.axes})"

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
        """Backtest the laws and fit those with a share; the arguments are those of :meth:`AdditivePowerLaw.fit`.

        Returns
        -------
        AutoLaw
            Itself, fitted.

        Raises
        ------
        RunsError
            The table is faulty or the group ambiguous; every fault is told.
        FitError
            A setting is wrong.
        """
        from tippingpoint.fitting.comparison import AVERAGED, compare_laws
        from tippingpoint.laws.registry import law_named
        from tippingpoint.runs import read_runs, select_group

        group = select_group(read_runs(runs), recipe=recipe, stage=stage, upstream=upstream, downstream=downstream)
        # over one axis the multiplying law with a floor is the additive law
        names = AVERAGED if len(self.axes) > 1 else AVERAGED[:-1]
        setting = {"objective": self.objective, "huber_delta": self.huber_delta}
        found = compare_laws(group, self.axes, target, laws=names, blocks=False, **setting)  # type: ignore[arg-type]
        shares = {score.law: score.weight for score in found.scores if score.weight >= _LEAST_WEIGHT}
        self._comparison = found
        self.weights_ = {name: share / sum(shares.values()) for name, share in shares.items()}
        self.laws_ = {
            name: law_named(name)(self.axes, bootstrap=self.bootstrap, random_state=self.random_state, **setting).fit(
                group, target
            )
            for name in self.weights_
        }
        self._seen = np.column_stack([group.numbers(axis) for axis in self.axes])
        return self

    @property
    def comparison_(self) -> Comparison:
        """How each law did."""
        if self._comparison is None:
            raise NotFittedError("The law is not fitted yet; call fit(runs) first.")
        return self._comparison

    @property
    def chosen_(self) -> str:
        """The law with the greatest share."""
        return max(self.weights_, key=lambda name: self.weights_[name]) if self.comparison_ else ""

    @property
    def target_(self) -> str:
        """The column that was fitted."""
        return self.comparison_.target

    @property
    def warnings_(self) -> tuple[str, ...]:
        """Those of the comparison and of the chosen law."""
        own: tuple[str, ...] = self.laws_[self.chosen_].warnings_
        return (*self.comparison_.warnings, *own)

    @property
    def notes_(self) -> tuple[str, ...]:
        """How laws were weighed, and runs that were set aside."""
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.weights_.items())
        return (f"Laws averaged by their error on the largest scales: {shares}.", *self.comparison_.notes)

    def predict(self, sizes: Mapping[str, Any] | pd.DataFrame, interval: float | None = None) -> Any:
        """Return the averaged expected value at sizes; the arguments are those of :meth:`AdditivePowerLaw.predict`.

        Returns
        -------
        Prediction, numpy.ndarray or pandas.DataFrame
            As of the laws.

        Raises
        ------
        RunsError
            An axis is missing, unknown or not above 0.
        """
        _ = self.comparison_
        asked = read_points(self.axes, sizes)
        columns = dict(zip(self.axes, asked[0].T, strict=True))
        with np.errstate(divide="ignore"):
            logs = np.log([law.predict(columns) for law in self.laws_.values()])  # (laws, points)
        shares = np.array(list(self.weights_.values()))
        middle = shares @ logs
        band = None if interval is None else self._band(asked[0], logs, shares, middle, interval)
        return answer(
            self.axes,
            asked,
            np.exp(middle),
            band,
            level=interval,
            seen=self._seen,
            warnings=self.warnings_,
            law=self.name,
        )

    def _band(self, points: Array, logs: Array, shares: Array, middle: Array, level: float) -> Array:
        """Return the ends (2, points) of the interval."""
        from tippingpoint.fitting.intervals import percentiles

        drawn = [law.curves(points) for law in self.laws_.values()]
        count = min(len(one) for one in drawn)
        with np.errstate(divide="ignore"):
            averaged = sum(share * np.log(one[:count]) for share, one in zip(shares, drawn, strict=True))
        low, high = percentiles(np.asarray(averaged), level)
        apart = NormalDist().inv_cdf((1 + level) / 2) ** 2 * (shares @ (logs - middle) ** 2)
        below, above = np.maximum(middle - low, 0.0), np.maximum(high - middle, 0.0)
        ends: Array = np.exp(np.stack([middle - np.sqrt(below**2 + apart), middle + np.sqrt(above**2 + apart)]))
        return ends

    def intervals(self, level: float = 0.9) -> dict[str, tuple[float, float]]:
        """Return intervals of the chosen law's parameters."""
        _ = self.comparison_
        found: dict[str, tuple[float, float]] = self.laws_[self.chosen_].intervals(level)
        return found

    def to_dict(self, level: float | None = 0.9) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint fit``: that of the chosen law, its name under ``chosen``, shares of all."""
        scores = {score.law: score for score in self.comparison_.scores}
        found: dict[str, Any] = self.laws_[self.chosen_].to_dict(level)
        return found | {
            "law": self.name,
            "chosen": self.chosen_,
            "laws": {
                name: {"weight": self.weights_.get(name, 0.0), "rmsle": score.rmsle, "status": score.status}
                for name, score in scores.items()
            },
            "warnings": list(self.warnings_),
            "notes": list(self.notes_),
        }

    def _text(self) -> str:
        lines = [f"Average of laws of {self.target_} over {', '.join(self.axes)}"]
        for score in self.comparison_.scores:
            share = self.weights_.get(score.law, 0.0)
            lines.append(f"  {score.law}: share {share:.1%}, RMSLE on the largest scales {score.rmsle:.4g}")
        return "\n".join(lines)

    def summary(self, level: float = 0.9) -> None:
        """Print the shares, then the chosen law."""
        print(self._text() + "\n")
        self.laws_[self.chosen_].summary(level)

    def __str__(self) -> str:
        return repr(self) if self._comparison is None else f"{self._text()}\n\n{self.laws_[self.chosen_]}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
