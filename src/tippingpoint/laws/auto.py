r"""No law taken for granted: additive and multiplying laws, averaged by what each foretells of the largest scales.

.. math:: \log \hat y(x) = \sum_l \omega_l \log \hat y_l(x), \qquad \omega_l \propto s_l^{-4 F / 3}

with s_l the mean squared log error of law l on the largest scales of F axes, each held out (training rows alone).
Where one law is clearly right the average is that law; where none is, it stands between them. Additive and multiplying
laws are averaged because which of them holds is an open question (docs/fitting.md, "Several axes"); laws
that bend in other ways are compared by ``tippingpoint compare``.

An interval is that of the averaged draws, widened by how far the laws lie apart: on each side the distance d becomes
sqrt(d^2 + z^2 V), with V the laws' weighted variance about the average and z the normal quantile of the level.
"""

from __future__ import annotations

from html import escape
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.laws.base import Law
from tippingpoint.laws.latex import number

if TYPE_CHECKING:
    from tippingpoint.fitting.comparison import Comparison
    from tippingpoint.fitting.intervals import Draws
    from tippingpoint.fitting.setting import FitSetting
    from tippingpoint.runs import Runs

__all__ = ["AutoLaw"]

Array = NDArray[np.float64]

_LEAST_WEIGHT = 1e-3  # laws below it are left out of the average


class AutoLaw(Law):
    """An average of laws by their held-out error; the settings are those of :class:`Law` and go to every one of them.

    ``fixed``, ``bounds`` and ``shared`` are refused: parameters belong to one law. What is said of a fit (parameters,
    their intervals, status) is said of the law with the greatest share; predictions are of the average.

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
    """

    name: ClassVar[str] = "auto"

    def _forget(self) -> None:
        super()._forget()
        self._comparison: Comparison | None = None
        self.weights_: dict[str, float] = {}
        self.laws_: dict[str, Law] = {}

    def _fit_group(self, group: Runs, target: str, setting: FitSetting) -> Any:
        from tippingpoint.fitting.comparison import AVERAGED, compare_laws
        from tippingpoint.laws.registry import law_named

        if setting.constrained:
            raise FitError(
                "fixed, bounds and shared hold parameters of one law and 'auto' averages several: name the law "
                "(on the command line --law additive)."
            )
        found = compare_laws(
            group,
            self._axes,
            target,
            laws=AVERAGED,
            blocks=False,
            objective=setting.objective,
            huber_delta=setting.huber_delta,
            weights=setting.weights,
            max_exponent=setting.max_exponent,
        )
        shares = {score.law: score.weight for score in found.scores if score.weight >= _LEAST_WEIGHT}
        self._comparison = found
        self.weights_ = {name: share / sum(shares.values()) for name, share in shares.items()}
        params = self.get_params()
        self.laws_ = {
            name: law_named(name)(**params).fit(group, target, weights=setting.weights) for name in self.weights_
        }
        return self._chosen._fitted

    def _draw(self) -> Draws:
        for law in self.laws_.values():
            law._draw()
        self._drawn = self._chosen._draw()
        return self._drawn

    # -- what was fitted -----------------------------------------------------------------------------------------

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
    def _chosen(self) -> Law:
        return self.laws_[self.chosen_]

    @property
    def parameters_(self) -> dict[str, float]:
        """Every parameter of the chosen law in raw units, by name."""
        return self._chosen.parameters_

    @property
    def status_(self) -> str:
        """That of the chosen law."""
        return self._chosen.status_

    @property
    def identifiability_(self) -> dict[str, Any]:
        """What the data say about each axis, by the chosen law."""
        return self._chosen.identifiability_

    @property
    def warnings_(self) -> tuple[str, ...]:
        """Those of the comparison and of the chosen law."""
        return (*self.comparison_.warnings, *self._chosen.warnings_)

    @property
    def notes_(self) -> tuple[str, ...]:
        """How laws were weighed, and runs that were set aside."""
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.weights_.items())
        return (f"Laws averaged by their error on the largest scales: {shares}.", *self.comparison_.notes)

    # -- asking --------------------------------------------------------------------------------------------------

    def _logs(self, points: Array) -> Array:
        """Return the log of every law at points (p, k), shape (laws, p)."""
        with np.errstate(divide="ignore"):
            found: Array = np.log([law._expect(points) for law in self.laws_.values()])
        return found

    def _expect(self, points: Array) -> Array:
        """Return the average at points (p, k), shape (p,)."""
        expected: Array = np.exp(self._shares @ self._logs(points))
        return expected

    def curves(self, points: Array) -> Array:
        """Return the average of the laws' draws at points (p, k), shape (draws, p); draws are made on first use."""
        self._draw()
        drawn = [law.curves(points) for law in self.laws_.values()]
        count = min(len(one) for one in drawn)
        with np.errstate(divide="ignore"):
            averaged = sum(share * np.log(one[:count]) for share, one in zip(self._shares, drawn, strict=True))
        curves: Array = np.exp(averaged)
        return curves

    @property
    def _shares(self) -> Array:
        return np.array(list(self.weights_.values()))

    def _band(self, points: Array, expected: Array, level: float) -> Array:
        """Return the ends (2, p) of the interval of the expected value."""
        from tippingpoint.fitting.intervals import percentiles

        with np.errstate(divide="ignore"):
            middle = np.log(expected)
            low, high = percentiles(np.log(self.curves(points)), level)
        apart = NormalDist().inv_cdf((1 + level) / 2) ** 2 * (self._shares @ (self._logs(points) - middle) ** 2)
        below, above = np.maximum(middle - low, 0.0), np.maximum(high - middle, 0.0)
        ends: Array = np.exp(np.stack([middle - np.sqrt(below**2 + apart), middle + np.sqrt(above**2 + apart)]))
        return ends

    # -- showing -------------------------------------------------------------------------------------------------

    @property
    def _heading(self) -> str:
        return f"Average of laws of {self.target_}"

    def _term(self, axis: str) -> dict[str, Any]:
        return self._chosen._term(axis)

    def to_dict(self, level: float | None = 0.9) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint fit``: that of the chosen law, its name under ``chosen``, shares of all."""
        return self._chosen.to_dict(level) | {
            "law": self.name,
            "chosen": self.chosen_,
            "laws": {
                score.law: {
                    "weight": self.weights_.get(score.law, 0.0),
                    "rmsle": score.rmsle,
                    "status": score.status,
                }
                for score in self.comparison_.scores
            },
            "warnings": list(self.warnings_),
            "notes": list(self.notes_),
        }

    def _latex(self) -> str:
        """Return the product of the laws, each to the power of its share."""
        shares = self.weights_.items()
        if len(shares) == 1:
            return self._chosen._latex()
        parts = (rf"\left({self.laws_[one]._latex()}\right)^{{{number(share)}}}" for one, share in shares)
        return r"\,".join(parts)

    def _shares_text(self) -> str:
        lines = [f"{self._heading} over {', '.join(self._axes)}"]
        for score in self.comparison_.scores:
            share = self.weights_.get(score.law, 0.0)
            lines.append(f"  {score.law}: share {share:.1%}, RMSLE on the largest scales {score.rmsle:.4g}")
        return "\n".join(lines)

    def summary(self, level: float | None = 0.9) -> None:
        """Print the shares, then the chosen law."""
        print(self._shares_text() + "\n")
        self._chosen.summary(level)

    def __str__(self) -> str:
        return repr(self) if self._comparison is None else f"{self._shares_text()}\n\n{self._chosen}"

    def _repr_html_(self) -> str:
        if self._comparison is None:
            return repr(self)
        return f"<pre>{escape(self._shares_text())}</pre>{self._chosen._repr_html_()}"
