r"""How much more error rates vary than the sampling of test images explains.

.. math:: \mathrm{var}(y_i) = f_i (1 - f_i) (1/n_i + \rho), \qquad
          \sum_i m_i \frac{(y_i - f_i)^2}{f_i (1 - f_i) (1/n_i + \rho)} = \sum_i m_i - p

The left is Pearson's chi-squared, and the equation gives rho for a fit with p parameters; runs then weigh
1/(1/n_i + rho) in the next fit, until both rest (Williams 1982, model II). Runs that vary no more than sampling have
rho = 0 and weigh n_i.

Notation: n runs, n_i test images and multiplicity m_i of run i.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

__all__ = ["Predicts", "RatesFit", "fit_rates", "over_dispersion", "spread_sentence"]

Array = NDArray[np.float64]

_GREATEST = 1.0  # a share has no greater variance than f (1 - f)
_RESTS = (1e-10, 1e-4)  # change of rho, relative, at which it rests: at first, and where fits creep
_TURNS = (6, 10)  # until the second, and at most
_SEARCHED = 2  # first fits that search everywhere: the weights move far between them


class Predicts(Protocol):
    """What a fit must offer."""

    def predict(self, sizes: Array, /) -> Array:
        """Return the law at sizes (n, k)."""


Solution = TypeVar("Solution", bound=Predicts)


class RatesFit(NamedTuple, Generic[Solution]):
    """What :func:`fit_rates` returns.

    Attributes
    ----------
    solution
        The last fit.
    weights : ndarray, shape (n,)
        m_i / (1/n_i + rho): what it was fitted with.
    over_dispersion : float
        rho.
    """

    solution: Solution
    weights: Array
    over_dispersion: float


def fit_rates(
    fit: Callable[[Array, Solution | None], Solution],
    data: tuple[Array, Array],
    n_test: Array,
    counts: Array,
    parameters: Callable[[Solution], int],
) -> RatesFit[Solution]:
    """Fit a law and the over-dispersion of its runs in turns.

    Parameters
    ----------
    fit : callable
        Fits the law with weights (n,), from a start or (None) from none.
    data : tuple of ndarray
        Sizes (n, k) and rates (n,).
    n_test : ndarray, shape (n,)
        Test images behind each rate.
    counts : ndarray, shape (n,)
        How often each run counts.
    parameters : callable
        Returns how many parameters a fit has.

    Returns
    -------
    RatesFit
    """
    sizes, y = data
    rho, start = 0.0, None
    for turn in range(_TURNS[1]):
        weights = counts / (1 / n_test + rho)
        solution = fit(weights, start)
        found = over_dispersion(y, solution.predict(sizes), n_test, counts, parameters(solution))
        if abs(found - rho) <= _RESTS[turn >= _TURNS[0]] * found:
            break
        rho, start = found, solution if turn + 1 >= _SEARCHED else None
    return RatesFit(solution, weights, rho)


def over_dispersion(y: Array, fitted: Array, n_test: Array, counts: Array, parameters: int) -> float:
    """Return rho from Pearson's chi-squared; 0 where the runs vary no more than sampling, or are too few to tell.

    Parameters
    ----------
    y, fitted : ndarray, shape (n,)
        Rates that were measured, and the law's.
    n_test, counts : ndarray, shape (n,)
        Test images behind each rate, and how often it counts.
    parameters : int
        p.
    """
    freedom = float(counts.sum()) - parameters
    squares = counts * (y - fitted) ** 2 / (fitted * (1 - fitted))

    def excess(rho: float) -> float:
        return float((squares / (1 / n_test + rho)).sum()) - freedom

    if freedom <= 0 or excess(0.0) <= 0:
        return 0.0
    if excess(_GREATEST) >= 0:
        return _GREATEST
    return float(brentq(excess, 0.0, _GREATEST, xtol=1e-18, rtol=1e-13))


def spread_sentence(rho: float, y: Array, counts: Array) -> str:
    """Return what an over-dispersion means, in the units of the rate."""
    if rho <= 0:
        return "The error rates vary no more about the law than the sampling of test images explains."
    middle = float(np.average(y, weights=counts))
    spread = float(np.sqrt(rho * middle * (1 - middle)))
    return (
        f"Seeds spread the error rate by {spread:.2g} beyond sampling (one standard deviation at the mean rate "
        f"{middle:.2g}; over-dispersion {rho:.3g})."
    )
