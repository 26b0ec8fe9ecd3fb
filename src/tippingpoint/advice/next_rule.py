r"""How much a run that is not yet made would sharpen an answer, and which runs to make for what they cost.

Draws of the joint posterior are taken as Gaussian: what is asked for (the difference F at sizes x, or one predicted
value) and what candidate runs would measure have one covariance over the draws, to which the runs' own noise is added.
A set c of new runs then leaves, whatever it will measure,

.. math:: Var(F(x) | c) = s^2(x)\,(1 - \rho(x)), \qquad
          \rho(x) = \frac{C_{xc}\,(S_{cc} + N_{cc})^{-1}\,C_{cx}}{s^2(x)},

which is the design for a linear model of Chaloner and Verdinelli (1995). For a prediction that is all. For a boundary
what counts is where F changes its sign, and many draws may have no such place. So the measure is how far it is from
settled, over the range in log size, which of the two recipes is better:

.. math:: U = \int p(x)\,(1 - p(x))\,dx, \qquad p = \Phi(h), \quad h = m(x) / s(x),

(for one Gaussian crossing U is its standard deviation over the root of pi). Its expectation after the runs is

.. math:: E[U | c] = \int 2\,T\Big(h, \sqrt{(1 - \rho)/(1 + \rho)}\Big)\,dx

with Owen's T: stepwise uncertainty reduction for the set where a function is positive (Chevalier et al. 2014). Runs are
picked one bundle after the other, each by the reduction of U per unit of its cost, given those picked before.

Notation: R draws; G sizes on a grid in log10; k runs that could be made; h, rho (G,); m, s (G,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Belief", "Picked", "pick"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_TRIM = 0.01  # share of the draws pulled in at either end: a few wild ones would make all sizes look unknown
_TINY = 1e-12


@dataclass
class Belief:
    """What is believed of the answer and of the runs to come, as Gaussians; conditioned as runs are picked.

    Attributes
    ----------
    mean, variance : ndarray, shape (G,)
        Of what is asked for.
    across : ndarray, shape (G, k)
        Covariance with what the runs would measure.
    within : ndarray, shape (k, k)
        Covariance of what they would measure, noise included.
    step : float or None
        Decades of size between two places of the grid; None where one value is predicted.
    explained : ndarray, shape (G,)
        Variance that the runs picked so far take away.
    """

    mean: Array
    variance: Array
    across: Array
    within: Array
    step: float | None
    explained: Array

    @classmethod
    def of(cls, asked: Array, measured: Array, noise: Array, step: float | None) -> Belief:
        """Take the moments of draws: ``asked`` (R, G), ``measured`` (R, k); ``noise`` (k, k) comes on top."""
        asked, measured = _trimmed(asked), _trimmed(measured)
        off, away = asked - asked.mean(axis=0), measured - measured.mean(axis=0)
        count = max(len(asked) - 1, 1)
        variance = (off**2).sum(axis=0) / count + _TINY * (1 + asked.mean(axis=0) ** 2)
        within = away.T @ away / count + noise
        return cls(asked.mean(axis=0), variance, off.T @ away / count, within, step, np.zeros(asked.shape[1]))

    def open(self, runs: Index | None = None) -> float:
        """Return U in decades (for a prediction the standard deviation), as expected after some more runs."""
        explained = self.explained
        if runs is not None and len(runs):
            own = self.across[:, runs]
            explained = explained + (own * np.linalg.solve(self.within[np.ix_(runs, runs)], own.T).T).sum(axis=1)
        share = np.clip(explained / self.variance, 0.0, 1.0)
        if self.step is None:
            return float(np.sqrt(self.variance[0] * (1 - share[0])))
        from scipy.special import owens_t

        undecided = 2 * owens_t(self.mean / np.sqrt(self.variance), np.sqrt((1 - share) / (1 + share)))
        return float(undecided.sum() * self.step)

    def take(self, runs: Index) -> None:
        """Condition on runs: the others tell less of the same afterwards."""
        own, seen = self.across[:, runs], self.within[:, runs]
        gain = np.linalg.solve(self.within[np.ix_(runs, runs)], np.vstack([own, seen]).T).T
        self.explained = self.explained + (own * gain[: len(own)]).sum(axis=1)
        self.across = self.across - gain[: len(own)] @ seen.T
        self.within = self.within - gain[len(own) :] @ seen.T
        keep = np.arange(len(self.within))
        self.within[keep, keep] = np.maximum(self.within[keep, keep], _TINY)


class Picked(NamedTuple):
    """One bundle that was picked.

    Attributes
    ----------
    bundle : int
        Its number among those offered.
    runs : ndarray of int
        Those of its runs that are not made by the ones picked before.
    cells : frozenset of str
        Those of its trainings that are not paid by the ones picked before.
    cost : float
        Of what has still to be trained for it, after those picked before.
    before, after : float
        U (or the standard deviation) expected before and after it, those picked before included.
    """

    bundle: int
    runs: Index
    cells: frozenset[str]
    cost: float
    before: float
    after: float

    @property
    def gain(self) -> float:
        """What it takes away, for each unit of cost."""
        return (self.before - self.after) / self.cost


def pick(
    belief: Belief,
    runs: Sequence[Index],
    cells: Sequence[frozenset[str]],
    costs: dict[str, float],
    batch: int,
    *,
    least: float = 1e-3,
) -> list[Picked]:
    """Pick bundles one after the other, the greatest gain per cost first.

    Parameters
    ----------
    belief : Belief
        Is conditioned on what is picked.
    runs : sequence of ndarray of int
        For each bundle, which of the k runs it makes.
    cells : sequence of frozenset of str
        For each bundle, what has to be trained; what two bundles share is paid once.
    costs : dict of str to float
        Of every cell, above 0.
    batch : int
        How many at most.
    least : float, default 0.001
        A bundle that takes away less than this share of what is open is not picked.

    Returns
    -------
    list of Picked
        In the order picked; shorter where nothing would help.
    """
    found: list[Picked] = []
    paid: set[str] = set()
    taken: set[int] = set()
    left = list(range(len(runs)))
    while left and len(found) < batch:
        now = belief.open()
        offers = []
        for i in left:
            fresh, unpaid = _fresh(runs[i], taken), cells[i] - paid
            cost = sum(costs[cell] for cell in unpaid) or _TINY
            offers.append(Picked(i, fresh, unpaid, cost, now, belief.open(fresh)))
        worth = [one for one in offers if one.before - one.after > least * now]
        if not worth:
            break
        best = max(worth, key=lambda one: one.gain)
        found.append(best)
        paid |= best.cells
        taken |= set(best.runs.tolist())
        belief.take(best.runs)
        left = [i for i in left if len(_fresh(runs[i], taken))]
    return found


def _fresh(runs: Index, taken: set[int]) -> Index:
    return np.array([run for run in runs.tolist() if run not in taken], dtype=np.intp)


def _trimmed(values: Array) -> Array:
    """Pull the outermost draws in."""
    if not values.size:
        return values
    low, high = np.quantile(values, [_TRIM, 1 - _TRIM], axis=0)
    found: Array = np.clip(values, low, high)
    return found
