r"""Noise that runs share in groups which cross: blocks of seeds, one recipe in a block, the pair of two recipes.

.. math:: V = I + \sum_c \rho_c Z_c Z_c'

in units of the variance of single runs, with Z_c[i, g] = 1 where run i is in group g of component c. Nested groups have
:mod:`tippingpoint.fitting.variance`, which needs only sums over groups; here V is
written out, for some hundreds of runs.

All ratios are estimated by restricted likelihood. Some components may have so few groups (the recipes of three blocks)
that their ratios are hardly known: these are integrated over, with a prior that is flat in log(1 + rho/rho_0), rho_0
the variance that the finer components leave in the mean of one of the groups.

Notation: n runs, p columns of the design, m columns of a law, C components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.blocks import blocks_of
from tippingpoint.fitting.variance import Inner, Node

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CrossedGroups", "crossed", "crossed_groups", "study_groups"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_ITERATIONS = 40
_MANY = 400  # runs beyond which a rough estimate of the ratios has to do: an inverse of V costs n^3
_SETTLED = 1e-3  # relative change of every variance
_NOTHING = 1e-8  # of the runs' variance: as good as none
_STEPS = np.arange(0.0, 9.01, 0.5)  # log(1 + rho/rho_0) of a component that is integrated over
_EXACT = 1e-10  # residuals below this, in units of the runs' noise, are rounding: nothing is shared by them
_LEAST_SHARE = 0.01  # of the greatest weight, below which a ratio is left out


@dataclass(frozen=True)
class CrossedGroups:
    """Components of shared noise.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        Runs stay in the order they have.
    codes : dict of str to ndarray of int, shape (n,)
        For each component the group of every run; components that the runs cannot tell apart are not there.
    doubtful : tuple of str
        The components whose ratios are integrated over.
    cells : ndarray of int, shape (n,)
        Runs with the same sizes have the same number: a law's columns are alike there.
    """

    order: Index
    codes: dict[str, Index]
    doubtful: tuple[str, ...]
    cells: Index

    def products(self, columns: Array) -> Inner:
        """Keep columns of shape (..., m, n), the target last: every node weighs them anew.

        All columns but the target are alike within a cell, so that one run of each cell tells them.
        """
        first = np.unique(self.cells, return_index=True)[1]
        return Inner(columns[..., :-1, first], columns[..., -1:, :])

    def weigh(self, inner: Inner, node: Node) -> Array:
        """Return A'V^-1 A, shape (..., m, m), for the ratios of a node."""
        columns, target = inner.plain, inner.sums.reshape(-1, inner.sums.shape[-1])[0]
        inverse = np.linalg.inv(self.covariance(node.ratios))
        within = self.cells[:, None] == np.arange(columns.shape[-1])  # (n, cells)
        between = within.T @ inverse @ within
        pull, rest = within.T @ (inverse @ target), target @ inverse @ target
        m = columns.shape[-2]
        found = np.empty((*columns.shape[:-2], m + 1, m + 1))
        flat = columns.reshape(-1, columns.shape[-1]) @ between
        found[..., :m, :m] = flat.reshape(columns.shape) @ np.swapaxes(columns, -1, -2)
        found[..., m, :m] = found[..., :m, m] = columns @ pull
        found[..., m, m] = rest
        return found

    def covariance(self, ratios: tuple[float, ...]) -> Array:
        """Return V, shape (n, n)."""
        V = np.eye(len(self.order))
        for codes, ratio in zip(self.codes.values(), ratios, strict=True):
            V += ratio * (codes[:, None] == codes)
        return V

    def nodes(self, design: Array, residuals: Array) -> list[Node]:
        """Return the ratios' posterior: all but the doubtful one at their estimate.

        Parameters
        ----------
        design : ndarray, shape (p, n)
            Derivatives of the fitted values by the parameters, in units of each run's noise.
        residuals : ndarray, shape (n,)
            In the same units.

        Returns
        -------
        list of Node
            Ratios in the order of ``codes``; weights sum to 1.
        """
        if not self.codes:
            return [Node((), 1.0)]
        length = np.linalg.norm(design, axis=1)
        basis = np.linalg.qr((design[length > 0] / length[length > 0, None]).T)[0]
        if np.abs(residuals - basis @ (basis.T @ residuals)).max() < _EXACT:
            return [Node((0.0,) * len(self.codes), 1.0)]
        ratios = self._estimated(basis, residuals)
        if not self.doubtful:
            return [Node(ratios, 1.0)]
        places = [list(self.codes).index(name) for name in self.doubtful]
        units = [self._left_in_mean(place, ratios) for place in places]
        tried = []
        for steps in product(_STEPS if len(places) == 1 else _STEPS[::2], repeat=len(places)):
            own = list(ratios)
            for place, step, unit in zip(places, steps, units, strict=True):
                own[place] = float(np.expm1(step)) * unit
            tried.append(tuple(own))
        level = np.array([_restricted(self.covariance(one), basis, residuals) for one in tried])
        share = np.exp(level - level.max())
        share = np.where(share > _LEAST_SHARE * share.max(), share, 0.0)
        return [Node(one, float(s)) for one, s in zip(tried, share / share.sum(), strict=True) if s > 0]

    def _estimated(self, basis: Array, residuals: Array) -> tuple[float, ...]:
        """Return every ratio by restricted likelihood; each step is certain not to lower it (Zhou et al. 2019)."""
        n = len(residuals)
        parts = [(codes[:, None] == codes).astype(float) for codes in self.codes.values()] + [np.eye(n)]
        left = residuals - basis @ (basis.T @ residuals)
        total = float(left @ left) / max(n - basis.shape[1], 1) + 1e-300
        variance = np.full(len(parts), total / len(parts))
        for _ in range(_ITERATIONS if n <= _MANY else _ITERATIONS // 4):
            inverse = np.linalg.inv(np.einsum("c,cij->ij", variance, parts))
            fitted = inverse @ basis
            within = inverse - fitted @ np.linalg.solve(basis.T @ fitted, fitted.T)
            pull = within @ residuals
            seen = np.array([pull @ part @ pull for part in parts])
            expected = np.array([float((within * part).sum()) for part in parts])
            new = np.maximum(variance * np.sqrt(seen / np.maximum(expected, 1e-300)), _NOTHING * total)
            settled = np.abs(np.log(new / variance)).max() < _SETTLED
            variance = new
            if settled:
                break
        return tuple((variance[:-1] / variance[-1]).tolist())

    def _left_in_mean(self, place: int, ratios: tuple[float, ...]) -> float:
        """Return the variance of the mean of one group of a component that its finer components leave."""
        groups = [len(np.unique(codes)) for codes in self.codes.values()]
        finer = sum(ratio / count for ratio, count in zip(ratios, groups, strict=True) if count > groups[place])
        return groups[place] * (1 / len(self.order) + finer)


def crossed_groups(codes: Mapping[str, Index], cells: Index, doubtful: Sequence[str] = ()) -> CrossedGroups:
    """Return the components that runs can tell apart.

    Parameters
    ----------
    codes : mapping of str to ndarray of int, shape (n,)
        Group of every run, by component; of two that group the runs alike the first is kept, and one whose groups are
        single runs, or all runs, is left out.
    cells : ndarray of int, shape (n,)
        Number of the cell of every run: runs of equal sizes have the same.
    doubtful : sequence of str
        The components whose ratios are integrated over, those of them that are kept.

    Returns
    -------
    CrossedGroups
    """
    n = len(cells)
    kept: dict[str, Index] = {}
    for name, own in codes.items():
        plain = np.unique(own, return_inverse=True)[1].ravel().astype(np.intp)
        count = int(plain.max(initial=-1)) + 1
        if 1 < count < n and not any(_alike(plain, other) for other in kept.values()):
            kept[name] = plain
    plain = np.unique(cells, return_inverse=True)[1].ravel().astype(np.intp)
    return CrossedGroups(np.arange(n), kept, tuple(name for name in doubtful if name in kept), plain)


def _restricted(V: Array, basis: Array, residuals: Array) -> float:
    """Return the restricted log-likelihood, with the runs' variance found exactly."""
    root = np.linalg.cholesky(V)
    white = np.linalg.solve(root, np.column_stack([basis, residuals]))
    gram = white.T @ white
    inner, across = gram[:-1, :-1], gram[:-1, -1]
    left = max(float(gram[-1, -1] - across @ np.linalg.solve(inner, across)), 1e-300)
    freedom = max(len(residuals) - basis.shape[1], 1)
    logs = 2 * np.log(np.diag(root)).sum() + np.linalg.slogdet(inner)[1]
    return -0.5 * float(logs + freedom * np.log(left))


def crossed(*parts: Index) -> Index:
    """Return a number for every combination of codes, shape (n,)."""
    return np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1].ravel().astype(np.intp)


def study_groups(frame: pd.DataFrame, sizes: Array) -> CrossedGroups | None:
    """Return the noise that runs of one recipe share, where it crosses.

    Parameters
    ----------
    frame : DataFrame
        Runs of one group.
    sizes : ndarray, shape (n, k)
        Their sizes on the axes of the law.

    Returns
    -------
    CrossedGroups or None
        Of blocks, checkpoints, and the upstream and the fine-tuning images of a block, which several models share;
        ratios of the first and the third are integrated over. None where checkpoints are all that runs of a block
        share, where there are no seed blocks, and for more than some hundreds of runs.
    """
    blocks = blocks_of(frame)
    if blocks.kind != "seed blocks" or len(frame) > _MANY:
        return None
    codes = {"block": blocks.codes}
    if "pretrain_id" in frame.columns and frame["pretrain_id"].notna().all():
        codes["checkpoint"] = crossed(blocks.codes, frame["pretrain_id"].astype(str).factorize()[0])
    for name, axis in (("upstream", "n_pretrain"), ("labels", "n_finetune")):
        if axis in frame.columns and frame[axis].notna().all():
            codes[name] = crossed(blocks.codes, frame[axis].factorize()[0])
    cells = np.unique(sizes, axis=0, return_inverse=True)[1].ravel().astype(np.intp)
    groups = crossed_groups(codes, cells, doubtful=("block", "upstream"))
    return groups if {"upstream", "labels"} & set(groups.codes) else None


def _alike(first: Index, second: Index) -> bool:
    """Whether two codes, each without gaps, group the runs alike."""
    both = len(np.unique(np.stack([first, second]), axis=1).T)
    return bool(both == first.max() + 1 == second.max() + 1)
