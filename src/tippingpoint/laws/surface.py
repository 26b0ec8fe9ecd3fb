"""The face of every law that is given by a :class:`~tippingpoint.laws.formula.Formula`.

A law of one's own is a formula and three lines:

>>> class MyLaw(SurfaceLaw):  # doctest: +SKIP
...     name = "mine"
...     formula_class = MyFormula
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.base import Law
from tippingpoint.laws.formula import Formula

if TYPE_CHECKING:
    from tippingpoint.fitting.rivals import AxisFinding, SurfaceEstimate
    from tippingpoint.fitting.setting import FitSetting
    from tippingpoint.runs import Runs

__all__ = ["SurfaceLaw"]

Array = NDArray[np.float64]

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class SurfaceLaw(Law):
    """A law that a formula gives; the settings, and what all laws say once fitted, are those of :class:`Law`.

    Parameters
    ----------
    axes, objective, huber_delta, bootstrap, random_state, **settings
        Those of :class:`Law`.
    **options
        What the law's formula takes beside axes, such as ``labels``.

    Raises
    ------
    FitError
        The law needs an axis that is not among ``axes``.
    """

    formula_class: ClassVar[type[Formula]]

    def __init__(self, axes: Sequence[str], *arguments: Any, **settings: Any) -> None:
        for name, default in self._options().items():
            setattr(self, name, settings.pop(name, default))
        super().__init__(axes, *arguments, **settings)
        self._check()
        _ = self.formula  # an axis that it lacks is told at once

    @classmethod
    def _options(cls) -> dict[str, Any]:
        """Return what the formula takes beside axes and the greatest exponent, with the defaults."""
        known = inspect.signature(cls.formula_class).parameters.values()
        own = [one for one in known if one.name not in {"axes", "max_exponent"} and one.kind in _NAMED]
        return {one.name: one.default for one in own}

    @classmethod
    def _setting_names(cls) -> list[str]:
        return [*super()._setting_names(), *cls._options()]

    @property
    def formula(self) -> Formula:
        """The law's mathematics over its axes."""
        options = {name: getattr(self, name) for name in self._options()}
        return self.formula_class(self._axes, max_exponent=self.max_exponent, **options)

    def _fit_group(self, group: Runs, target: str, setting: FitSetting) -> SurfaceEstimate:
        from tippingpoint.fitting.rivals import estimate_surface

        return estimate_surface(group, self.formula, target, setting)

    @property
    def status_(self) -> str:
        """``converged``, ``bound hit``, ``unidentified`` or ``too few runs``."""
        return str(self._fitted.solution.status)

    @property
    def identifiability_(self) -> dict[str, AxisFinding]:
        """For each axis: how far it moves the target over the data, and whether the law needs it."""
        return dict(zip(self._axes, self._fitted.findings, strict=True))

    @property
    def warnings_(self) -> tuple[str, ...]:
        """All that is not as it should be, one sentence each."""
        return (*self._fitted.solution.reasons, *(self._drawn.warnings if self._drawn else ()))

    def curves(self, points: Array) -> Array:
        """Return the law of every draw at points (p, k), shape (draws, p); draws are made on first use."""
        found: Array = self._fitted.solution.predict(points, self._draw().theta)
        return found

    def _latex(self) -> str:
        return self.formula.latex(self.parameters_)

    @property
    def _heading(self) -> str:
        return f"{self.formula.title}: {self.target_}"

    def _term(self, axis: str) -> dict[str, Any]:
        coefficient, exponent = self.formula.term(axis, self.parameters_)
        return {"coefficient": coefficient, "exponent": exponent}
