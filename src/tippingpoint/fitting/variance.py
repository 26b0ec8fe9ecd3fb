r"""How much of the noise runs share: variance between seed blocks, between checkpoints of a block, and between runs.

.. math:: V = I + \rho_1 Z_1 Z_1' + \rho_2 Z_2 Z_2'

in units of the variance of single runs. Fine-tunings of one checkpoint share its error, and all runs of a seed block
share images and weights. Treated as independent, they give a 95% interval of the expected value inside the grid whose
ends are .009 apart in log where .025 are needed (medians), and which covers 59% of 300 simulated studies
(``benchmarks/coverage.py``, parts ``rows`` and ``main``). The ratios are estimated by restricted likelihood and,
because a study has few blocks, integrated over instead of plugged in.

Not in the model is noise that all runs of one block and one size share beyond their checkpoints, such as that of the
images of one subset: tables of up to some hundreds of runs have it (:mod:`tippingpoint.fitting.crossed`).

Notation
--------
========  =======  ============================================================================
symbol    shape    meaning
========  =======  ============================================================================
n, G, B            runs, checkpoints, blocks; runs are sorted so that both are contiguous
rho_1              variance between blocks over variance between runs
rho_2              variance between checkpoints of a block over variance between runs
s_g       (..., G) sum of a column over the runs of checkpoint g, which has m_g runs
t_b       (..., B) sum over block b of s_g / (1 + rho_2 m_g)
q_b       (B,)     sum over block b of m_g / (1 + rho_2 m_g)
========  =======  ============================================================================

Checkpoints nest in blocks, so that Woodbury's identity, applied twice, needs only sums over groups:
A'V^-1 B = A'B - sum_g a_g s_g(A) s_g(B) - sum_b c_b t_b(A) t_b(B), a_g = rho_2/(1 + rho_2 m_g), c_b = rho_1/(1 +
rho_1 q_b), and log|V| = sum_g log(1 + rho_2 m_g) + sum_b log(1 + rho_1 q_b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tippingpoint.fitting.blocks import blocks_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Groups", "Inner", "Node", "Shared", "groups_of", "inner_products", "shared_variance", "weighted"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_STEPS = np.arange(0.0, 9.01, 0.5)  # log(1 + rho m): the prior is flat in it, as Jeffreys' is in a balanced study
_LEAST_SHARE = 1e-4  # of the weight, below which a pair of ratios is left out


@dataclass(frozen=True)
class Groups:
    """Nested groups of runs.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        Sorts runs by block, then checkpoint.
    starts : ndarray of int, shape (G,)
        First sorted run of each checkpoint.
    sizes : ndarray of float, shape (G,)
        Runs of each checkpoint.
    block_starts : ndarray of int, shape (B,)
        First checkpoint of each block.
    has_blocks, has_checkpoints : bool
        Whether the level can be told from its neighbours: several blocks; checkpoints with several runs.
    loads : ndarray, shape (n,), or None
        Square roots of the weights of sorted runs; None if all are 1. Shared noise does not shrink as a run counts for
        more, so that in units of the run's own noise it grows with them; ``sizes`` are then sums of weights.
    """

    order: Index
    starts: Index
    sizes: Array
    block_starts: Index
    has_blocks: bool
    has_checkpoints: bool
    loads: Array | None = None

    def products(self, columns: Array) -> Inner:
        """Return the inner products of sorted columns of shape (..., m, n)."""
        return inner_products(columns, self)

    def weigh(self, inner: Inner, node: Node) -> Array:
        """Return A'V^-1 A, shape (..., m, m)."""
        return weighted(inner, self, *node.ratios)

    def nodes(self, design: Array, residuals: Array) -> list[Node]:
        """Return the posterior of the ratios (:func:`shared_variance`)."""
        return shared_variance(design, residuals, self)


class Inner(NamedTuple):
    """Inner products of columns: plain (..., m, m), with their group sums (..., m, G)."""

    plain: Array
    sums: Array


class Node(NamedTuple):
    """Variance ratios and their posterior weight; of nested groups: between blocks, between checkpoints."""

    ratios: tuple[float, ...]
    weight: float


class Shared(Protocol):
    """What a posterior asks of the groups that share noise."""

    @property
    def order(self) -> Index:
        """Sorts the runs, shape (n,)."""

    def products(self, columns: Array) -> Inner:
        """Return what :meth:`weigh` needs of sorted columns (..., m, n)."""

    def weigh(self, inner: Inner, node: Node) -> Array:
        """Return A'V^-1 A, shape (..., m, m), for the ratios of a node."""

    def nodes(self, design: Array, residuals: Array) -> list[Node]:
        """Return the posterior of the ratios, from the sorted design (p, n) and residuals (n,)."""


def groups_of(frame: pd.DataFrame | None, n: int, weights: Array | None = None) -> Groups:
    """Return the groups of a table: seed blocks, and checkpoints (``pretrain_id``) within them.

    Parameters
    ----------
    frame : pandas.DataFrame or None
        Runs; without any of ``subset_seed``, ``seed``, ``pretrain_id`` every run is a block of its own.
    n : int
        Runs.
    weights : ndarray, shape (n,), optional
        How much each run counts, above 0; ones by default.

    Returns
    -------
    Groups
    """
    block = np.zeros(n, dtype=np.intp)
    checkpoint = np.arange(n)
    if frame is not None:
        blocks = blocks_of(frame)
        if blocks.kind == "seed blocks":
            block = blocks.codes
        if "pretrain_id" in frame.columns:
            known = frame["pretrain_id"].notna().to_numpy()
            codes = frame["pretrain_id"].astype(str).where(known).factorize()[0]
            checkpoint = np.where(known, codes, n + np.arange(n)).astype(np.intp)
    order = np.lexsort((checkpoint, block))
    pairs = np.stack([block[order], checkpoint[order]])
    new = np.concatenate([[True], (np.diff(pairs, axis=1) != 0).any(axis=0)])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, n)).astype(float)
    of_block = pairs[0, starts]
    block_starts = np.flatnonzero(np.concatenate([[True], np.diff(of_block) != 0]))
    several = 1 < len(block_starts) < len(starts) or 1 < len(block_starts) < n
    nested = bool(sizes.max() > 1 and len(starts) > len(block_starts))
    loads = None
    if weights is not None and (weights != 1).any():
        sizes, loads = np.add.reduceat(weights[order], starts), np.sqrt(weights[order])
    return Groups(order, starts, sizes, block_starts, several, nested, loads)


def inner_products(columns: Array, groups: Groups) -> Inner:
    """Return the inner products of sorted columns of shape (..., m, n)."""
    plain = columns @ np.swapaxes(columns, -1, -2)
    if not (groups.has_blocks or groups.has_checkpoints):
        return Inner(plain, np.empty((*columns.shape[:-1], 0)))
    loaded = columns if groups.loads is None else columns * groups.loads
    return Inner(plain, np.add.reduceat(loaded, groups.starts, axis=-1))


def weighted(inner: Inner, groups: Groups, between_blocks: float, between_checkpoints: float) -> Array:
    """Return A'V^-1 A, shape (..., m, m), for a pair of ratios."""
    result = inner.plain
    if groups.has_checkpoints and between_checkpoints > 0:
        shrink = between_checkpoints / (1 + between_checkpoints * groups.sizes)
        result = result - (inner.sums * shrink) @ np.swapaxes(inner.sums, -1, -2)
    if groups.has_blocks and between_blocks > 0:
        left = 1 + between_checkpoints * groups.sizes
        sums = np.add.reduceat(inner.sums / left, groups.block_starts, axis=-1)
        held = np.add.reduceat(groups.sizes / left, groups.block_starts)
        result = result - (sums * (between_blocks / (1 + between_blocks * held))) @ np.swapaxes(sums, -1, -2)
    return result


def log_determinant(groups: Groups, between_blocks: float, between_checkpoints: float) -> float:
    """Return log|V|."""
    left = 1 + between_checkpoints * groups.sizes
    held = np.add.reduceat(groups.sizes / left, groups.block_starts)
    return float(np.log(left).sum() + np.log1p(between_blocks * held).sum())


def shared_variance(design: Array, residuals: Array, groups: Groups) -> list[Node]:
    """Return the posterior of the variance ratios, by restricted likelihood.

    Parameters
    ----------
    design : ndarray, shape (p, n)
        Derivatives of the fitted values by the parameters, in units of each run's noise; sorted.
    residuals : ndarray, shape (n,)
        In the same units and order.
    groups : Groups

    Returns
    -------
    list of Node
        Pairs of ratios with weights that sum to 1; a single pair of zeros where no level can be told apart.
    """
    if not (groups.has_blocks or groups.has_checkpoints):
        return [Node((0.0, 0.0), 1.0)]
    length = np.linalg.norm(design, axis=1)
    free = design[length > 0] / length[length > 0, None]
    inner = inner_products(np.vstack([free, residuals]), groups)
    p, n = len(free), len(residuals)
    pairs = []
    score = []
    for fine in _STEPS if groups.has_checkpoints else _STEPS[:1]:
        rho_2 = float(np.expm1(fine) / groups.sizes.mean())
        held = np.add.reduceat(groups.sizes / (1 + rho_2 * groups.sizes), groups.block_starts).mean()
        for coarse in _STEPS if groups.has_blocks else _STEPS[:1]:
            rho_1 = float(np.expm1(coarse) / held)
            pairs.append((rho_1, rho_2))
            score.append(_restricted(weighted(inner, groups, rho_1, rho_2), p, n) - log_determinant(groups, *pairs[-1]))
    level = np.array(score) / 2
    share = np.exp(level - level.max())
    share /= share.sum()
    return [Node(pair, float(one)) for pair, one in zip(pairs, share, strict=True) if one > _LEAST_SHARE]


def _restricted(gram: Array, p: int, n: int) -> float:
    """Return twice the restricted log-likelihood but for log|V|."""
    design = gram[:p, :p] + 1e-10 * np.eye(p)
    across = gram[:p, p]
    left = float(gram[p, p] - across @ np.linalg.solve(design, across)) if p else float(gram[p, p])
    freedom = max(n - p, 1)
    return -float(np.linalg.slogdet(design)[1]) - freedom * float(np.log(max(left, 1e-12 * gram[p, p] + 1e-300)))
