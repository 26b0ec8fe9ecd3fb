r"""The laws of two recipes as one: what a joint posterior explores.

.. math:: f_r(D, z) = l_r(z) + h_r(z)\, D^{-e_r}, \qquad
          l_r(z) = \sum_{S} l_{rS} \prod_{j \in S} z_j^{-g_{rj}}, \quad
          h_r(z) = \sum_{S} h_{rS} \prod_{j \in S} z_j^{-g_{rj}}, \qquad l_{rS}, h_{rS} \ge 0

for recipe r along D, with z the pooled axes and S the sets of none, one or two of them. Eq. (1) and (4) are the case in
which only l_r0, the l_rj and h_r0 are there, the multiplying law with a floor, over up to two pooled axes, that of l_r0
and one h_rS: how axes combine is not presumed. At one place on the pooled axes every recipe has a level and one falling
power, so that the difference of two is a :class:`~tippingpoint.boundary.power_difference.PowerDifference`.

Two recipes are the rule; K of them, such as one for every teacher, go the same way.

Notation: n runs of all K recipes; sizes are logs over references, and a last column says which recipe (0 to K - 1); m
weights, q exponents, R sets of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.laws.formula import Formula, Shape, power

__all__ = ["PairLaw"]

Array = NDArray[np.float64]

_USUAL = (0.05, 1.5)


class PairLaw(Formula):
    """All recipes' laws over one axis and the pooled ones.

    Parameters
    ----------
    along : str
        The axis that is walked along.
    pooled : sequence of str
        The other axes of the laws.
    axes : K sequences of str
        Which of them each recipe has.
    max_exponent : float, default 10
        Upper bound of exponents.
    additive : bool, default False
        Leave out all products of axes: Eq. (1) and (4) as they are written.
    """

    name: ClassVar[str] = "pair"
    title: ClassVar[str] = "Laws of two recipes"

    def __init__(
        self,
        along: str,
        pooled: Sequence[str] = (),
        axes: Sequence[Sequence[str]] = ((), ()),
        max_exponent: float = 10.0,
        additive: bool = False,
    ) -> None:
        super().__init__((along, *pooled, "recipe"), max_exponent)
        self.along, self.of_recipes = along, tuple(tuple(own) for own in axes)
        weights: list[str] = []
        shapes: list[Shape] = []
        falls: list[tuple[int, list[tuple[int, int]]]] = []
        for side, own in enumerate(axes):
            rest = [axis for axis in pooled if axis in own]
            place = {axis: len(shapes) + i for i, axis in enumerate([a for a in (along, *rest) if a in own])}
            shapes += [Shape(f"{side}.{axis}.exponent", 0.0, max_exponent, _USUAL, axis) for axis in place]
            base: tuple[str, ...]
            for head, base in (("level", ()), ("fall", (along,))):
                if set(base) <= set(own):
                    most = 2 if not additive else 0 if base else 1
                    for together in _subsets(rest, most):
                        weights.append(".".join([f"{side}.{head}", *together]))
                        falls.append((side, [(place[axis], self.axes.index(axis)) for axis in (*base, *together)]))
        self.weights, self.shapes = tuple(weights), tuple(shapes)
        self.sides = np.array([side for side, _ in falls])
        self.loads = np.zeros((len(weights), len(shapes), len(self.axes) - 1))  # (m, q, k): which powers a weight has
        for row, (_, factors) in enumerate(falls):
            for exponent, column in factors:
                self.loads[row, exponent, column] = 1.0

    def _parts(self, logs: Array) -> tuple[Array, Array]:
        """Return the log sizes behind every weight and exponent, (m, q, n), and which runs a weight is for, (m, n)."""
        return np.einsum("mqk,nk->mqn", self.loads, logs[:, :-1]), self.sides[:, None] == logs[:, -1]

    def features(self, logs: Array, shape: Array) -> Array:
        """Return each recipe's level and fall, zero on the runs of the other, (R, m, n)."""
        parts, own = self._parts(logs)
        return np.where(own, power(-np.einsum("rq,mqn->rmn", shape, parts)), 0.0)

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return df by every exponent, (R, q, n)."""
        parts, _ = self._parts(logs)
        result: Array = -np.einsum("rm,rmn,mqn->rqn", weights, self.features(logs, shape), parts)
        return result

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return levels and falls for raw sizes, the exponents as they are."""
        moved = np.einsum("rq,mqk,k->rm", shape, self.loads, log_reference[: self.loads.shape[2]])
        with np.errstate(divide="ignore", over="ignore"):
            raw = np.exp(np.log(weights) + moved)
        found = {name: raw[:, place] for place, name in enumerate(self.weights)}
        return found | {one.name: shape[:, place] for place, one in enumerate(self.shapes)}

    def recipes_at(self, theta: Array, at: Mapping[str, float], log_reference: Mapping[str, float]) -> Array:
        """Return level, coefficient and exponent of every recipe along the axis at one place, shape (R, K, 3).

        Parameters
        ----------
        theta : ndarray, shape (R, m + q)
            Weights, in the target's units, and exponents, for sizes over their references.
        at : mapping of str to float
            Sizes on the pooled axes.
        log_reference : mapping of str to float
            Log of the reference of every axis.
        """
        m = len(self.weights)
        logs = [0.0 if axis == self.along else np.log(at[axis]) - log_reference[axis] for axis in self.axes[:-1]]
        parts = np.einsum("rq,mqk,k->rm", theta[:, m:], self.loads, np.array(logs))
        values = theta[:, :m] * power(-parts)
        found = np.zeros((len(theta), len(self.of_recipes), 3))
        names = [shape.name for shape in self.shapes]
        for side in range(len(self.of_recipes)):
            for column, head in enumerate(("level", "fall")):
                rows = [row for row, name in enumerate(self.weights) if name.startswith(f"{side}.{head}")]
                found[:, side, column] = values[:, rows].sum(axis=1)
            own = f"{side}.{self.along}.exponent"
            if own in names:
                found[:, side, 2] = theta[:, m + names.index(own)]
        with np.errstate(divide="ignore"):
            found[..., 1] = np.exp(np.log(found[..., 1]) + found[..., 2] * log_reference[self.along])
        return found


def _subsets(axes: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Return the sets of up to so many axes, the empty one first."""
    return [subset for count in range(most + 1) for subset in combinations(axes, count)]
