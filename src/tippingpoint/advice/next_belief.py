r"""What runs that are not yet made would measure, given those that are.

For a draw of both recipes' curves, a new run is expected where its curve is, moved by the noise that it shares with the
runs there are (its block may be a lucky one); what is left of its noise is its own:

.. math:: z_j | \theta, y \sim N\big(f_j + V_{ji} V_{ii}^{-1} (y_i - f_i),\;
          \sigma^2 (V_{jj} - V_{ji} V_{ii}^{-1} V_{ij})\big)

in units of the mean curve, for noise is relative; V is that of :class:`tippingpoint.fitting.crossed.CrossedGroups` at
the mean of its ratios' posterior. A new block shares nothing with the others and brings the noise of a whole block;
what a pair shares cancels in its difference.

The curves are the laws' (:class:`tippingpoint.boundary.draws.Joint`) or, where the laws miss the runs, a mean of
their own for every recipe at every size that was run (:class:`Means`), joined by straight lines in log size.

Notation: i the n runs there are, j the k to come; R draws; c cells, a recipe at a size each; X (n, c) says whose run is
whose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.levels import levels_of
from tippingpoint.boundary.noise import noise_codes, shared_noise
from tippingpoint.boundary.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Curves", "Means", "ToCome", "means_of", "to_come"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class Curves(Protocol):
    """Draws of both recipes' expected targets, and the noise that runs share."""

    @property
    def ratios(self) -> dict[str, float]:
        """Variance of each component of shared noise over that of single runs."""
        ...

    @property
    def theta(self) -> Array:
        """Parameters of the draws, (R, p)."""
        ...

    def curves(self, frame: pd.DataFrame, side: Index) -> Array:
        """Return the expected target of every draw for rows, (R, n)."""
        ...


class ToCome(NamedTuple):
    """What k runs would measure, over their scale: ``values`` (R, k) of every draw, ``noise`` (k, k) around it."""

    values: Array
    noise: Array


class Means(NamedTuple):
    """Draws of a mean for every recipe at every size that was run, without a law.

    Attributes
    ----------
    along : str
        The axis.
    sizes : tuple of ndarray
        Log sizes of each recipe, ascending.
    theta : ndarray, shape (R, c)
        The means, those of the first recipe before those of the second.
    ratios : dict of str to float
        As in :class:`Curves`.
    """

    along: str
    sizes: tuple[Array, Array]
    theta: Array
    ratios: dict[str, float]

    def at(self, sizes: Array, side: int) -> Array:
        """Return one recipe's curve at log sizes, (R, len(sizes)); beyond the outermost it stays."""
        own, first = self.sizes[side], len(self.sizes[0]) * side
        values = self.theta[:, first : first + len(own)]
        place = np.clip(np.searchsorted(own, sizes) - 1, 0, max(len(own) - 2, 0))
        if len(own) < 2:
            return np.repeat(values, len(sizes), axis=1)
        share = np.clip((sizes - own[place]) / (own[place + 1] - own[place]), 0.0, 1.0)
        found: Array = values[:, place] * (1 - share) + values[:, place + 1] * share
        return found

    def curves(self, frame: pd.DataFrame, side: Index) -> Array:
        """Return the expected target of every draw for rows, (R, n)."""
        logs = np.log(frame[self.along].to_numpy(dtype=float, na_value=np.nan))
        return np.where(side == 0, self.at(logs, 0), self.at(logs, 1))


def means_of(chosen: Selection, resamples: int, random_state: int) -> Means:
    """Return draws of the means of every recipe at every size, with the noise that runs share.

    Parameters
    ----------
    chosen : Selection
        Runs of two blocks at least; pooled axes are taken as they come.
    resamples : int
        Draws.
    random_state : int
        Seed.

    Returns
    -------
    Means
    """
    import pandas as pd

    both = pd.concat(chosen.frames, ignore_index=True)
    side = np.repeat([0, 1], [len(frame) for frame in chosen.frames]).astype(np.intp)
    y = both[chosen.target].to_numpy(dtype=float, na_value=np.nan)
    values = both[chosen.along].to_numpy(dtype=float, na_value=np.nan)
    levels = [np.array(levels_of(frame, chosen.along)) for frame in chosen.frames]
    nearest = [np.abs(values[:, None] - own).argmin(axis=1) for own in levels]
    cell = np.where(side == 0, nearest[0], len(levels[0]) + nearest[1])
    X = (cell[:, None] == np.arange(len(levels[0]) + len(levels[1]))).astype(float)
    scale = np.abs(X @ (X.T @ y / X.sum(axis=0)))
    design, target = X / scale[:, None], y / scale
    groups = shared_noise(both, side, [chosen.along])
    rough = np.linalg.lstsq(design, target, rcond=None)[0]
    nodes = groups.nodes(np.ascontiguousarray(design.T), target - design @ rough)
    shares = np.array([node.weight for node in nodes])
    ratios = np.expm1(shares @ np.log1p(np.array([node.ratios for node in nodes])))
    inverse = np.linalg.inv(groups.covariance(tuple(ratios.tolist())))
    precision = design.T @ inverse @ design
    centre = np.linalg.solve(precision, design.T @ inverse @ target)
    left = target - design @ centre
    freedom = max(len(y) - X.shape[1], 1)
    generator = np.random.default_rng(random_state)
    sigma = np.sqrt(float(left @ inverse @ left) / generator.chisquare(freedom, resamples))
    away = np.linalg.solve(np.linalg.cholesky(precision).T, generator.standard_normal((X.shape[1], resamples))).T
    logs = (np.log(levels[0]), np.log(levels[1]))
    named = dict(zip(groups.codes, ratios.tolist(), strict=True))
    return Means(chosen.along, logs, centre + sigma[:, None] * away, named)


def to_come(curves: Curves, chosen: Selection, rows: pd.DataFrame) -> ToCome:
    """Return what runs to come would measure.

    Parameters
    ----------
    curves : Curves
        Draws that belong to the runs.
    chosen : Selection
        Those runs.
    rows : DataFrame
        The runs to come: ``side`` (0 or 1), sizes, ``subset_seed``, ``seed`` and, where the runs have it,
        ``pretrain_id``.

    Returns
    -------
    ToCome
    """
    import pandas as pd

    there = pd.concat(chosen.frames, ignore_index=True)
    sides = np.repeat([0, 1], [len(frame) for frame in chosen.frames])
    names = [name for name in rows.columns if name in there.columns]
    both = pd.concat([there[names].astype(object), rows[names].astype(object)], ignore_index=True)
    side = np.concatenate([sides, rows["side"].to_numpy()]).astype(np.intp)
    axes = dict.fromkeys([chosen.along, *(axis for axis in chosen.at if axis not in chosen.held and axis in both)])
    codes, _ = noise_codes(both, side, list(axes))
    n = len(there)
    drawn = curves.curves(both, side)
    scale = np.abs(drawn.mean(axis=0))
    y = there[chosen.target].to_numpy(dtype=float, na_value=np.nan)
    V = np.eye(len(both))
    for name, ratio in curves.ratios.items():
        if name in codes:
            V += ratio * (codes[name][:, None] == codes[name])
    residuals = ((y - drawn[:, :n]) / scale[:n]).T  # (n, R)
    pull = np.linalg.solve(V[:n, :n], np.column_stack([residuals, V[:n, n:]]))
    loss = (residuals * pull[:, : residuals.shape[1]]).sum(axis=0)
    sigma = float(loss.min()) / max(n - curves.theta.shape[1], 1)
    noise = sigma * (V[n:, n:] - V[n:, :n] @ pull[:, residuals.shape[1] :])
    values = drawn[:, n:] / scale[n:] + (V[n:, :n] @ pull[:, : residuals.shape[1]]).T
    return ToCome(values, (noise + noise.T) / 2)
