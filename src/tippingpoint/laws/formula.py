r"""What a law over several axes has to say of itself, so that fitting, intervals and printing can live once, elsewhere.

.. math:: f(x; w, s) = \sum_i w_i\, \Phi_i(x; s), \qquad w_i \ge 0,\; s^{low} \le s \le s^{high}

A law is linear in its *weights* w (a floor, coefficients) once its *shape* s (exponents) is fixed: given s the best w
is found exactly, and only s is searched. A formula sees sizes without units, as logs of size over a reference, and says
in :meth:`Formula.raw` what its parameters are in raw units.

Notation: n runs, k axes, m weights, q shape parameters, R sets of parameters worked on together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError, did_you_mean

__all__ = ["HIGHEST", "Formula", "Shape", "check_role", "power"]

Array = NDArray[np.float64]

HIGHEST = 300.0  # exponent of e up to which powers are followed
PRIOR_MEDIAN, PRIOR_SPREAD = 0.6, 2.0  # of exponents, log-normal: two thirds of it between 0.08 and 4.4


class Shape(NamedTuple):
    """One shape parameter.

    Attributes
    ----------
    name : str
        As it is printed: ``n_pretrain.exponent``.
    low, high : float
        Bounds, for sizes without units.
    usual : tuple of float
        Where starts of the search are laid out.
    axis : str or None
        The axis it belongs to, if to one.
    prior : tuple of float or None
        What is believed before the data, for intervals: the middle, in units of the parameter, and the spread, in
        units of its log where it is explored on a log scale. None is 0.6 and a factor e^2 (as for exponents), with the
        geometric middle of ``usual`` where that does not reach 0.6; on a linear scale the middle of ``usual`` and half
        its width.
    logarithmic : bool or None
        Whether intervals explore it on a log scale; None: if ``low`` is not negative.
    """

    name: str
    low: float
    high: float
    usual: tuple[float, float]
    axis: str | None = None
    prior: tuple[float, float] | None = None
    logarithmic: bool | None = None

    @property
    def on_logs(self) -> bool:
        """Whether it is explored on a log scale."""
        return self.low >= 0 if self.logarithmic is None else self.logarithmic

    @property
    def belief(self) -> tuple[float, float]:
        """Middle and spread of its prior."""
        if self.prior is not None:
            return self.prior
        first, last = self.usual
        if not self.on_logs:
            return (first + last) / 2, max((last - first) / 2, 1e-6)
        if first <= PRIOR_MEDIAN <= last:
            return PRIOR_MEDIAN, PRIOR_SPREAD
        return (first * last) ** 0.5 if first > 0 else max(last, 1e-300) / 2, PRIOR_SPREAD


class Formula(ABC):
    """A law's mathematics; subclass it with one short file a law.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes, in the order of the columns of ``logs``.
    max_exponent : float, default 10
        Upper bound of exponents.

    Attributes
    ----------
    name, title : str
        The name on the command line and the one in a sentence.
    weights : tuple of str
        Names of the m weights; one named ``floor`` is the irreducible part.
    shapes : tuple of Shape
        The q shape parameters.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, axes: Sequence[str], max_exponent: float = 10.0) -> None:
        self.axes = tuple(axes)
        self.max_exponent = max_exponent
        self.weights: tuple[str, ...] = ()
        self.shapes: tuple[Shape, ...] = ()

    @abstractmethod
    def features(self, logs: Array, shape: Array) -> Array:
        """Return Phi, shape (R, m, n), for logs (n, k) and shape (R, q); that of a ``floor`` is 1."""

    @abstractmethod
    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return df/ds, shape (R, q, n), for weights (R, m) and shape (R, q)."""

    @abstractmethod
    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return every parameter in raw units by name, each (R,), from weights (R, m), shape (R, q), references (k,).

        Weights come in units of y; names are those of ``weights`` and ``shapes``.
        """

    def term(self, axis: str, parameters: dict[str, float]) -> tuple[float | None, float | None]:
        """Return coefficient and decay exponent of an axis's own falling term, None where the law has none."""
        return parameters.get(f"{axis}.coefficient"), parameters.get(f"{axis}.exponent")

    def latex(self, parameters: Mapping[str, float]) -> str:
        """Return the right-hand side of the law in LaTeX, with numbers, from parameters in raw units by name.

        Raises
        ------
        FitError
            The law has no formula to print; a law of one's own overrides this.
        """
        raise FitError(f"The {self.name} law says nothing in LaTeX; give {type(self).__name__} a method latex().")

    def from_additive(self, weights: Array, exponents: Array) -> Array | None:
        """Return starts (R, m + q) at an additive law (1 + k weights, k exponents), if this one contains it."""
        return None

    def in_units(self, unit: float) -> Formula:
        """Return the law for y divided by a unit; only bounds of weights have one, and a law of its own has none."""
        return self

    @property
    def low(self) -> Array:
        """Lower bounds of weights and shape, (m + q,)."""
        return np.array([0.0] * len(self.weights) + [shape.low for shape in self.shapes])

    @property
    def high(self) -> Array:
        """Upper bounds of weights and shape, (m + q,)."""
        return np.array([np.inf] * len(self.weights) + [shape.high for shape in self.shapes])


def power(logs: Array) -> Array:
    """Return e^logs, cut where squares would overflow."""
    cut: Array = np.exp(np.minimum(logs, HIGHEST))
    return cut


def check_role(role: str, axis: str, axes: Sequence[str], law: str) -> int:
    """Return the place of the axis that plays a part in a law.

    Raises
    ------
    FitError
        There is no such axis; the remedy names the argument and a near axis.
    """
    if axis not in axes:
        raise FitError(
            f"The {law} law needs an axis for {role}, and '{axis}' is not among {', '.join(axes)}; name one with "
            f"{role}=..., or give the column that name with --define.{did_you_mean(axis, axes)}"
        )
    return list(axes).index(axis)
