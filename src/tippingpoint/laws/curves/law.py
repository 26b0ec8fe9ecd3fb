r"""What a law of a learning curve has to say of itself; fitting and extrapolating live once, elsewhere.

.. math:: y = f(x; \theta)

A law shows how it becomes *linear* once a few of its parameters (its shape) are fixed: then all but the shape is found
exactly, only the shape is laid on a grid, and no fit depends on a lucky start.

Notation: n points, k parameters, m shapes of the grid, q parameters of a shape, p coefficients
that are linear given it. A law sees sizes without unit (divided by a reference); :meth:`CurveLaw.raw` returns to the
user's unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "CurveLaw", "LinearForms", "exp_capped"]

Array = NDArray[np.float64]

_HIGHEST = 300.0  # exponent of e up to which powers are followed, so that products of two do not overflow


class LinearForms(NamedTuple):
    """A law rearranged as ``response = design @ coefficients``, once for each shape of a grid.

    Attributes
    ----------
    shapes : ndarray, shape (m, q)
        Shape parameters; q may be 0, then m is 1.
    response : ndarray, shape (m, n)
        Left side, a function of y.
    design : ndarray, shape (m, n, p)
        Right side.
    slope : ndarray, shape (m, n)
        d log y / d response: turns residuals of the response into residuals of log y, to first order.
    at_least_zero : tuple of bool
        Which of the p coefficients may not be negative.
    """

    shapes: Array
    response: Array
    design: Array
    slope: Array
    at_least_zero: tuple[bool, ...]


class CurveLaw(ABC):
    """A learning curve's law; subclass it with one short file a law.

    Attributes
    ----------
    name, title : str
        The name on the command line, and the one in a sentence with its source.
    parameters : tuple of str
        Names of the k parameters.
    lower, upper : tuple of float
        Bounds of the parameters, for sizes and scores of order 1.
    on_log : tuple of bool
        Which parameters are positive and spread over decades, so that they are polished on a logarithmic scale.
    """

    name: ClassVar[str]
    title: str
    parameters: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    on_log: tuple[bool, ...]

    @abstractmethod
    def predict(self, x: Array, theta: Array) -> Array:
        """Return f, shape (..., n), for sizes (n,) and parameters (..., k)."""

    @abstractmethod
    def gradient(self, x: Array, theta: Array) -> Array:
        """Return df/dtheta, shape (n, k), for sizes (n,) and parameters (k,)."""

    @abstractmethod
    def linear_forms(self, x: Array, y: Array) -> LinearForms:
        """Return the law's linear forms for sizes (n,) of order 1 and scores (n,) above 0."""

    @abstractmethod
    def join(self, shapes: Array, coefficients: Array) -> Array:
        """Return parameters, shape (m, k), from shapes (m, q) and coefficients (m, p)."""

    def simpler(self) -> CurveLaw | None:
        """Return a law that this one holds, from whose fit another start is taken; none unless said."""
        return None

    def embed(self, theta: Array, x: Array) -> Array:
        """Return parameters (m, k) of the simpler law's curve, for sizes (n,) of order 1."""
        raise NotImplementedError(f"{type(self).__name__} names a simpler law and must embed its parameters.")

    @abstractmethod
    def raw(self, theta: Array, unit: float) -> Array:
        """Return the parameters (k,) of the same curve for sizes in raw units, x = unit times the size seen here."""


def exp_capped(exponent: Array) -> Array:
    """Return e^exponent, cut where products would overflow."""
    found: Array = np.exp(np.clip(exponent, -_HIGHEST, _HIGHEST))
    return found
