r"""Do downstream sets share their exponents? A tested hypothesis, not an assumption.

Both models are additive laws of log error. *Own*: every set has its floor, coefficients and exponents. *Shared*: floor
and coefficients are each set's own, the exponents are common. The statistic is the likelihood ratio
n log(O_shared / O_own), O the sums of squared log residuals, and its distribution under the shared model is found by
a wild bootstrap over seed blocks: y* = f exp(v_b r), with r the residuals of the shared fit and one factor v_b for a
whole block, the same in all sets (they share images and weights), of Webb's six points, which serve where blocks are
few. An F test would take every run for independent, which fine-tunings of one checkpoint are not.

Notation: n runs, G sets, k axes, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.blocks import blocks_of
from tippingpoint.fitting.descent import Problem, descend
from tippingpoint.fitting.objectives import Objective, objective_named
from tippingpoint.fitting.search import exponent_grid, solve_grid
from tippingpoint.laws.formula import Formula, Shape, power
from tippingpoint.laws.printing import aligned
from tippingpoint.runs import Runs

__all__ = ["SharedExponents", "compare_exponents"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

_WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])  # Webb (2014)
_STARTS = 12
_LEVEL = 0.1
_EXACT = 1e-24


@dataclass(frozen=True)
class SharedExponents:
    """What the test says.

    Attributes
    ----------
    by : str
        The column whose values are the sets.
    axes, groups : tuple of str
        Axes and sets.
    shared : dict of str to float
        Exponents of the shared model, by axis.
    own : dict of str to dict of str to float
        Exponents of each set's own model, by set and axis.
    statistic : float
        n log(O_shared / O_own).
    freed : int
        Exponents that the own model has more.
    p_value : float
        Share of resamples, drawn under the shared model, with a statistic at least as large.
    resamples : int
    method : str
        How p was found, in a sentence.
    warnings : tuple of str
    """

    by: str
    axes: tuple[str, ...]
    groups: tuple[str, ...]
    shared: dict[str, float]
    own: dict[str, dict[str, float]]
    statistic: float
    freed: int
    p_value: float
    resamples: int
    method: str
    warnings: tuple[str, ...]

    def summary(self) -> None:
        """Print exponents, shared and each set's own, and the test."""
        print(self)

    def __str__(self) -> str:
        rows = [["exponent", "shared", *self.groups]]
        for axis in self.axes:
            rows.append([axis, f"{self.shared[axis]:.4g}", *(f"{self.own[group][axis]:.4g}" for group in self.groups)])
        verdict = "not rejected" if self.p_value > _LEVEL else "rejected"
        said = f"shared exponents are {verdict} at {_LEVEL:.0%}: p = {self.p_value:.3g} ({self.method})"
        lines = [*aligned(rows), "", said, *(f"warning: {sentence}" for sentence in self.warnings)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON, the ``shared`` part of ``tippingpoint compare``."""
        return {
            "by": self.by,
            "groups": list(self.groups),
            "shared": self.shared,
            "own": self.own,
            "statistic": self.statistic,
            "freed": self.freed,
            "p_value": self.p_value,
            "resamples": self.resamples,
            "method": self.method,
        }


class _Sets(Formula):
    """The additive law of several sets: weights their own, exponents common; each run belongs to one set."""

    name: ClassVar[str] = "shared"
    title: ClassVar[str] = "Additive power laws with common exponents"

    def __init__(self, axes: Sequence[str], codes: Codes, max_exponent: float = 10.0) -> None:
        super().__init__(axes, max_exponent)
        count = int(codes.max()) + 1
        self.inside = (codes == np.arange(count)[:, None]).astype(float)  # (G, n)
        names = ("floor", *(f"{axis}.coefficient" for axis in axes))
        self.weights = tuple(f"{group}.{name}" for group in range(count) for name in names)
        self.shapes = tuple(Shape(f"{axis}.exponent", 0.0, max_exponent, (0.05, 1.5), axis) for axis in axes)

    def _columns(self, logs: Array, shape: Array) -> Array:
        """Return [1, x_j^-e_j ...], (R, 1 + k, n)."""
        falling = power(-shape[:, :, None] * logs.T)
        return np.concatenate([np.ones_like(falling[:, :1]), falling], axis=1)

    def features(self, logs: Array, shape: Array) -> Array:
        """Return each set's columns, zero on the runs of the others."""
        columns = self._columns(logs, shape)
        rows, _, n = columns.shape
        result: Array = (self.inside[None, :, None, :] * columns[:, None]).reshape(rows, -1, n)
        return result

    def slopes(self, logs: Array, weights: Array, shape: Array) -> Array:
        """Return -c_j log x_j x_j^-e_j with the coefficient of each run's set."""
        own = weights.reshape(len(weights), len(self.inside), -1)[:, :, 1:]
        coefficients = np.einsum("rgk,gn->rkn", own, self.inside)
        result: Array = -coefficients * logs.T * self._columns(logs, shape)[:, 1:]
        return result

    def raw(self, weights: Array, shape: Array, log_reference: Array) -> dict[str, Array]:
        """Return the exponents, which have no unit."""
        return {one.name: shape[:, place] for place, one in enumerate(self.shapes)}


def compare_exponents(
    groups: dict[str, Runs],
    axes: Sequence[str],
    target: str = "error",
    *,
    by: str = "downstream",
    resamples: int = 199,
    random_state: int | None = 0,
) -> SharedExponents:
    """Test whether sets share the exponents of an additive law.

    Parameters
    ----------
    groups : dict of str to Runs
        The runs of each set, two sets or more.
    axes : sequence of str
        Columns of sizes.
    target : str, default "error"
        Column to explain, above 0.
    by : str, default "downstream"
        What the sets are, for messages.
    resamples : int, default 199
        B.
    random_state : int or None, default 0
        Seed of the resampling.

    Returns
    -------
    SharedExponents

    Raises
    ------
    FitError
        There are fewer than two sets.
    RunsError
        Cells are missing or out of range.
    """
    if len(groups) < 2:
        raise FitError(f"Exponents are shared between two sets or more; there is one value of {by}.")
    for runs in groups.values():
        runs.require(axes, target, positive_target=True)
    data = _Data.of(groups, axes, target)
    both = _fit_both(data, axes)
    generator = np.random.default_rng(random_state)
    drawn = _null_statistics(data, both, axes, generator, resamples)
    statistic = _ratio(both.value_shared, both.value_own, len(data.codes))
    p_value = (1 + int((drawn >= statistic * (1 - 1e-9)).sum())) / (resamples + 1)
    names = [str(axis) for axis in axes]
    exponents = both.shared[-len(names) :]
    own = {
        group: dict(zip(names, theta[-len(names) :].tolist(), strict=True))
        for group, theta in zip(groups, both.own, strict=True)
    }
    method = f"likelihood ratio, wild bootstrap over {data.kind} (Webb's weights), {resamples} resamples"
    return SharedExponents(
        by,
        tuple(names),
        tuple(groups),
        dict(zip(names, exponents.tolist(), strict=True)),
        own,
        statistic,
        (len(groups) - 1) * len(names),
        p_value,
        resamples,
        method,
        data.warnings,
    )


@dataclass(frozen=True)
class _Data:
    """All sets in one: codes (n,), logs (n, k) over each set's references, y (n,) over each set's mean, blocks (n,)."""

    codes: Codes
    logs: Array
    y: Array
    blocks: Codes
    kind: str
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, groups: dict[str, Runs], axes: Sequence[str], target: str) -> _Data:
        """Take the units away, set by set."""
        import pandas as pd

        logs, y, few = [], [], []
        for name, runs in groups.items():
            own = np.log(np.column_stack([runs.numbers(axis) for axis in axes]))
            logs.append(own - own.mean(axis=0))
            y.append(runs.numbers(target) / runs.numbers(target).mean())
            few += [
                f"{name}: {axis} has fewer than three sizes, which do not determine an exponent."
                for axis, column in zip(axes, own.T, strict=True)
                if len(np.unique(column)) < 3
            ]
        blocks = blocks_of(pd.concat([runs.frame for runs in groups.values()], ignore_index=True))
        codes = np.repeat(np.arange(len(groups)), [len(one) for one in y])
        warnings = (*blocks.warnings, *few)
        return cls(codes, np.concatenate(logs), np.concatenate(y), blocks.codes, blocks.kind, warnings)


@dataclass(frozen=True)
class _Both:
    """Both fits: theta of the shared model, one theta a set of the own model, and their sums."""

    shared: Array
    own: list[Array]
    value_shared: float
    value_own: float


_LOG: Objective = objective_named("log")


def _problem(formula: Formula, logs: Array, y: Array) -> Problem:
    return Problem(formula, logs, y, np.ones((1, len(logs))), _LOG)


@np.errstate(all="ignore")
def _fit_both(data: _Data, axes: Sequence[str]) -> _Both:
    """Fit both models from one grid of exponents, solved exactly for every set."""
    k, count = len(axes), int(data.codes.max()) + 1
    grids = [exponent_grid(k, 10.0)] * k
    solved = []
    for group in range(count):
        inside = data.codes == group
        y = data.y[inside]
        solved.append(solve_grid(data.logs[inside], y, y**-2.0, grids))
    linear = np.stack([theta[:, : 1 + k] for theta, _ in solved], axis=1)  # (T, G, 1 + k)
    linear[..., 0] += 1e-9
    exponents = solved[0][0][:, 1 + k :]
    own = []
    value_own = 0.0
    for group in range(count):
        inside = data.codes == group
        best = np.argsort(solved[group][1], kind="stable")[:_STARTS]
        start = np.concatenate([linear[best, group], exponents[best]], axis=1)
        done = descend(start, _problem(_single(axes, int(inside.sum())), data.logs[inside], data.y[inside][None]))
        own.append(done.theta[np.argmin(done.value)])
        value_own += float(done.value.min())
    best = np.argsort(sum(loss for _, loss in solved), kind="stable")[:_STARTS]
    start = np.concatenate([linear[best].reshape(len(best), -1), exponents[best]], axis=1)
    done = descend(start, _problem(_Sets(axes, data.codes), data.logs, data.y[None]))
    return _Both(done.theta[np.argmin(done.value)], own, float(done.value.min()), value_own)


def _single(axes: Sequence[str], n: int) -> _Sets:
    return _Sets(axes, np.zeros(n, dtype=np.intp))


@np.errstate(all="ignore")
def _null_statistics(
    data: _Data, both: _Both, axes: Sequence[str], generator: np.random.Generator, resamples: int
) -> Array:
    """Return the statistic of data drawn under the shared model, shape (B,)."""
    formula, n, k = _Sets(axes, data.codes), len(data.codes), len(axes)
    m = len(formula.weights)
    fitted = both.shared[:m] @ formula.features(data.logs, both.shared[None, m:])[0]
    wide = np.sqrt(n / max(n - len(both.shared), 1))  # residuals of a fit are smaller than errors
    residuals = wide * (np.log(data.y) - np.log(fitted))
    factors = generator.choice(_WEBB, size=(resamples, int(data.blocks.max()) + 1))
    y = fitted * np.exp(factors[:, data.blocks] * residuals)
    shared = descend(np.tile(both.shared, (resamples, 1)), _problem(formula, data.logs, y)).value
    own = np.zeros(resamples)
    for group, theta in enumerate(both.own):
        inside = data.codes == group
        weights = both.shared[:m].reshape(-1, 1 + k)[group]
        starts = (np.concatenate([weights, both.shared[m:]]), theta)
        problem = _problem(_single(axes, int(inside.sum())), data.logs[inside], y[:, inside])
        ends = [descend(np.tile(start, (resamples, 1)), problem).value for start in starts]
        own += np.minimum(*ends)
    return np.array([_ratio(a, b, n) for a, b in zip(shared, own, strict=True)])


def _ratio(shared: float, own: float, n: int) -> float:
    return float(n * np.log(max((shared + _EXACT) / (own + _EXACT), 1.0)))
