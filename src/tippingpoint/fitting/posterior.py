r"""A posterior over exponents, with floor and coefficients solved exactly for every tuple of them.

For fixed exponents the law is linear, so that only the k exponents need exploring. A cloud of exponent tuples is
re-centred on the posterior and refined until it resolves it; each tuple is weighed by likelihood and a weak prior;
draws are a tuple and, given it, floor and coefficients: the non-negative solution of the data with new noise added.

What the likelihood is:

* Near a curve f0 through the data every objective is a sum of squares of (y - f)/s, with s the noise of each
  run up to one factor: s = f0 for objectives on logs (log f - log y is (f - y)/f0 to first order), s = 1 for
  ``squares``. The curve is centred again on the posterior's own best.
* For ``huber-log`` residuals beyond 1.345 robust standard deviations are pulled in, as in Huber's M-estimate, so that
  outliers move the intervals no more than they move the fit.
* The noise that seed blocks and checkpoints share enters by its covariance (:mod:`tippingpoint.fitting.variance`),
  whose ratios are integrated over, and the noise's size is integrated out.

Draws are *solved*, not truncated: noise is added to the data and the non-negative problem solved again, so that a term
that is not told from 0 is often exactly 0, which a draw of a truncated Gaussian never is. The law *without* a floor is
a hypothesis of its own, weighed against the law with one by the ratio of their greatest likelihoods, at prior odds of
1.5. How often the intervals cover the truth, with floors and without, is measured by benchmarks/coverage.py.

The temperature is 1: this is for parameters and curves *within* the data. Extrapolation far beyond them needs a
temperature of its own (THEORY, last section) and shares nothing with this.

Notation
--------
========  ==========  =========================================================================
symbol    shape       meaning
========  ==========  =========================================================================
n, k, m               runs; axes with several sizes; m = 1 + k linear unknowns (floor first)
T, R                  tuples of exponents in the cloud; draws
x         (T, k)      log exponents
X         (T, m, n)   columns: 1 and the powers of each axis, over s
t         (n,)        y over s
G, h      (T, m, m)   X V^-1 X' and X V^-1 t of each tuple
========  ==========  =========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tippingpoint.fitting.cloud import (
    HEAVY,
    PRIOR_MEDIAN,
    PRIOR_SPREAD,
    chi_squared,
    even_points,
    log_prior,
    systematic,
    t_constant,
)
from tippingpoint.fitting.linearised import curve_of, pseudo_data
from tippingpoint.fitting.nnls import solve_nonnegative
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.polish import HIGHEST
from tippingpoint.fitting.variance import Groups, Inner, Node, inner_products, shared_variance, weighted

__all__ = ["Posterior", "PosteriorDraws", "posterior_of"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

LEAST_EXPONENT = 0.01
_LOWEST = float(np.log(LEAST_EXPONENT))
_CLOUD = {0: 1, 1: 200, 2: 300, 3: 400, 4: 700, 5: 1000, 6: 1400}  # tuples while finding the posterior; more at the end
_LAST = 2.5  # times as many in the last cloud
_ROUNDS = 8
_WORK = 2_000_000  # numbers held at once
_BUDGET = 150_000_000  # numbers computed for one cloud at most: 100,000 runs take a smaller cloud
_LEAST_CLOUD = 64
_NODES = 16  # pairs of variance ratios that draws are shared among
_NO_FLOOR = 1.5  # odds of the law without a floor where both fit equally well
_WIDER = 1.15  # the cloud's spread over the posterior's
_DEFENCE = 0.1  # share of the cloud that comes from the prior


class PosteriorDraws(NamedTuple):
    """Draws in scaled units: floor (R,), coefficients and exponents (R, k), and the cloud's effective size."""

    floor: Array
    coefficients: Array
    exponents: Array
    effective: float


@dataclass(frozen=True)
class Posterior:
    """What the posterior of a fit is made of; sorted by groups, scaled by references.

    Attributes
    ----------
    logs : ndarray, shape (n, k)
    noise, target : ndarray, shape (n,)
        s and t.
    groups : Groups
    nodes : list of Node
    centre, spread : ndarray, shape (k,) and (k, k)
        Of the last cloud of log exponents.
    highest : float
        Upper bound of log exponents.
    """

    logs: Array
    noise: Array
    target: Array
    groups: Groups
    nodes: list[Node]
    centre: Array
    spread: Array
    highest: float

    def draw(self, resamples: int, generator: np.random.Generator) -> PosteriorDraws:
        """Draw R parameters."""
        return _draw(self, resamples, generator)

    def region(self, size: float = 12.0) -> tuple[Array, Array, Array, Array]:
        """Return log exponents, linear part, loss and G of a large cloud, at the mean variance ratios."""
        data = _data_of(self)
        cloud = _make_cloud(data, self.centre, self.spread, size, _ROUNDS)
        linear, loss, gram, _ = _solve(data, cloud.products, _mean(self.nodes))
        inside = _inside(data, cloud.x)
        return cloud.x[inside], linear[inside], loss[inside], gram[inside]


class _Cloud(NamedTuple):
    x: Array  # (T, k)
    proposal: Array  # (T,) log density it was made with
    products: Inner  # of the columns and the target together, (T, m + 1, ..)


class _Data(NamedTuple):
    logs: Array
    noise: Array
    target: Array
    groups: Groups
    highest: float
    floor: bool = True  # whether the law has one


def _data_of(found: Posterior) -> _Data:
    return _Data(found.logs, found.noise, found.target, found.groups, found.highest)


def _inside(data: _Data, x: Array) -> NDArray[np.bool_]:
    """Return whether every log exponent of a tuple is between its bounds, (T,)."""
    return np.asarray(((x >= _LOWEST - 1e-12) & (x <= data.highest + 1e-12)).all(axis=1), dtype=np.bool_)


@np.errstate(all="ignore")
def posterior_of(
    logs: Array,
    y: Array,
    theta: Array,
    objective: Objective,
    groups: Groups,
    max_exponent: float,
) -> Posterior:
    """Find the posterior of the exponents near a fit.

    Parameters
    ----------
    logs : ndarray, shape (n, k)
        Log size over reference.
    y : ndarray, shape (n,)
    theta : ndarray, shape (1 + 2k,)
        The fit, scaled.
    objective : Objective
    groups : Groups
    max_exponent : float
        Greatest exponent of every axis; the least is :data:`LEAST_EXPONENT`.

    Returns
    -------
    Posterior
    """
    k = logs.shape[1]
    greatest = max(max_exponent, LEAST_EXPONENT)
    logs, y = logs[groups.order], y[groups.order]
    exponents = np.clip(np.where(theta[1 : 1 + k] > 0, theta[1 + k :], PRIOR_MEDIAN), LEAST_EXPONENT, greatest)
    curve = curve_of(theta[: 1 + k], exponents, logs)
    for _ in range(2):  # the second time about the posterior's own best curve
        noise, target = pseudo_data(curve, y, objective)
        data = _Data(logs, noise, target, groups, float(np.log(greatest)))
        found, linear, exponents = _explore(data, curve, exponents)
        curve = curve_of(linear, exponents, logs)
    return found


def _explore(data: _Data, curve: Array, exponents: Array) -> tuple[Posterior, Array, Array]:
    """Re-centre and refine the cloud; return the posterior and its best linear part and exponents."""
    nodes, spread = _start(data, curve, exponents)
    mean = _mean(nodes)
    centre = np.clip(np.log(exponents), _LOWEST, data.highest)
    best_loss, best_x = np.inf, centre
    for turn in range(_ROUNDS):
        cloud = _make_cloud(data, centre, spread, 1.0, turn)
        level, loss = _levels(data, cloud, mean)
        level = np.logaddexp(level, _levels(data._replace(floor=False), cloud, mean)[0])
        if loss.min() < best_loss:
            best_loss, best_x = float(loss.min()), cloud.x[int(np.argmin(loss))]
        share, tempered = _shares(level, cloud)
        centre = share @ cloud.x
        away = cloud.x - centre
        spread = (away * share[:, None]).T @ away + 1e-14 * np.eye(len(centre))
        if not tempered and 1 / (share**2).sum() > 0.25 * len(share):
            break
    linear = _linear(data, best_x, mean)
    found = Posterior(data.logs, data.noise, data.target, data.groups, nodes, centre, spread, data.highest)
    return found, linear, np.exp(best_x)


def _mean(nodes: list[Node]) -> Node:
    blocks = sum(np.log1p(node.between_blocks) * node.weight for node in nodes)
    checkpoints = sum(np.log1p(node.between_checkpoints) * node.weight for node in nodes)
    return Node(float(np.expm1(blocks)), float(np.expm1(checkpoints)), 1.0)


def _start(data: _Data, curve: Array, exponents: Array) -> tuple[list[Node], Array]:
    """Return the variance ratios and the spread of log exponents, both to first order about the curve."""
    k = len(exponents)
    powers = np.exp(np.minimum(-exponents * data.logs, HIGHEST))
    one = _linear(data, np.log(exponents), Node(0.0, 0.0, 1.0))
    slopes = -one[1:] * exponents * data.logs * powers
    design = np.column_stack([np.ones(len(curve)), powers, slopes]).T / data.noise
    residuals = data.target - curve_of(one, exponents, data.logs) / data.noise
    nodes = shared_variance(np.ascontiguousarray(design), residuals, data.groups)
    node = _mean(nodes)
    products = weighted(
        inner_products(np.vstack([design, residuals]), data.groups), data.groups, node.between_blocks,
        node.between_checkpoints,
    )  # fmt: skip
    sigma = float(products[-1, -1]) / max(len(curve) - 1 - 2 * k, 1)
    precision = products[:-1, :-1] / max(sigma, 1e-300)
    precision[range(1 + 2 * k), range(1 + 2 * k)] *= 1 + 1e-9
    precision[range(1 + k, 1 + 2 * k), range(1 + k, 1 + 2 * k)] += 1 / PRIOR_SPREAD**2
    precision += 1e-12 * np.eye(1 + 2 * k) * np.trace(precision) / (1 + 2 * k)
    spread = np.asarray(np.linalg.pinv(precision, hermitian=True), dtype=np.float64)[1 + k :, 1 + k :]
    return nodes, spread + 1e-14 * np.eye(k)


def _make_cloud(data: _Data, centre: Array, spread: Array, size: float, turn: int) -> _Cloud:
    """Make tuples about a centre, with heavy tails, and a share of them from the prior."""
    k, n = len(centre), len(data.target)
    count = max(_LEAST_CLOUD, min(int(_CLOUD[k] * size), _BUDGET // (n * (k + 1) ** 2)))
    points = even_points(count, k + 1, turn)
    values, vectors = np.linalg.eigh(spread)
    root = vectors * np.sqrt(np.maximum(values, 1e-14)) * _WIDER
    normal = ndtri(points[:, :k])
    chi = np.clip(chi_squared(points[:, k]), 1e-3, None) / HEAVY
    x = centre + (normal / np.sqrt(chi)[:, None]) @ root.T
    prior = np.log(PRIOR_MEDIAN) + PRIOR_SPREAD * normal
    defended = np.arange(count) < _DEFENCE * count
    x = np.where(defended[np.random.default_rng(turn).permutation(count), None], prior, x)
    if data.highest <= _LOWEST:  # max_exponent leaves a single tuple
        x[:] = _LOWEST
    z = np.linalg.solve(root, (x - centre).T).T
    local: Array = -np.log(np.maximum(np.abs(np.linalg.det(root)), 1e-300)) - (HEAVY + k) / 2 * np.log1p(
        (z * z).sum(axis=1) / HEAVY
    )
    wide = log_prior(x)
    proposal: Array = np.logaddexp(np.log1p(-_DEFENCE) + local + t_constant(k), np.log(_DEFENCE) + wide)
    return _Cloud(x, proposal, _products(data, x))


def _products(data: _Data, x: Array) -> Inner:
    """Return the inner products of the columns and the target for every tuple, in pieces that fit memory."""
    k, n = x.shape[1], len(data.target)
    step = max(1, _WORK // (n * (k + 2)))
    plain, sums = [], []
    for first in range(0, len(x), step):
        exponents = np.exp(x[first : first + step])
        columns = np.empty((len(exponents), k + 2, n))
        columns[:, 0] = 1 / data.noise
        for axis in range(k):
            powers = np.exp(np.minimum(-np.outer(exponents[:, axis], data.logs[:, axis]), HIGHEST))
            columns[:, 1 + axis] = powers / data.noise
        columns[:, -1] = data.target
        part = inner_products(columns, data.groups)
        plain.append(part.plain)
        sums.append(part.sums)
    return Inner(np.concatenate(plain), np.concatenate(sums))


def _solve(data: _Data, products: Inner, node: Node) -> tuple[Array, Array, Array, Array]:
    """Return linear part (T, m), loss (T,), G (T, f, f) and h (T, f) of the f free unknowns of every tuple."""
    full = weighted(products, data.groups, node.between_blocks, node.between_checkpoints)
    first, total = _first(data), full[:, -1, -1]
    free = np.arange(first, full.shape[1] - 1)
    gram, right = full[:, free[:, None], free], full[:, free, -1]
    linear = np.zeros((len(full), full.shape[1] - 1))
    linear[:, first:], gain = solve_nonnegative(gram, right)
    loss = np.maximum(total - gain, 1e-15 * np.abs(total) + 1e-300)
    return linear, loss, gram, right


def _first(data: _Data) -> int:
    """Return the place of the first free linear unknown: the floor's, or the first coefficient's."""
    return 0 if data.floor else 1


def _levels(data: _Data, cloud: _Cloud, node: Node) -> tuple[Array, Array]:
    """Return log posterior (up to a constant) and loss of every tuple."""
    _, loss, gram, _ = _solve(data, cloud.products, node)
    freedom = max(len(data.target) - gram.shape[1], 1)
    level = -freedom / 2 * np.log(loss) + log_prior(cloud.x)
    inside = _inside(data, cloud.x)
    return np.where(inside & np.isfinite(level), level, -np.inf), np.where(inside, loss, np.inf)


def _shares(level: Array, cloud: _Cloud) -> tuple[Array, bool]:
    """Return importance weights that sum to 1, tempered while the cloud does not meet the posterior."""
    power, tempered = 1.0, False
    for _ in range(30):
        score = np.where(np.isfinite(level), power * (level - cloud.proposal), -np.inf)
        share = np.exp(score - score.max()) if np.isfinite(score).any() else np.ones(len(level))
        share /= share.sum()
        if 1 / (share**2).sum() > 0.1 * len(share):
            break
        power, tempered = power * 0.7, True
    return share, tempered


def _linear(data: _Data, x: Array, node: Node) -> Array:
    linear: Array = _solve(data, _products(data, x[None]), node)[0][0]
    return linear


@np.errstate(all="ignore")
def _draw(found: Posterior, resamples: int, generator: np.random.Generator) -> PosteriorDraws:
    """Draw variance ratios, then with or without a floor, then tuples, the noise's size and the linear part."""
    data = _data_of(found)
    laws = [data, data._replace(floor=False)]
    cloud = _make_cloud(data, found.centre, found.spread, _LAST, _ROUNDS)
    picked = systematic(np.array([node.weight for node in found.nodes]), min(_NODES, resamples), generator)
    linear, x = np.empty((resamples, 1 + found.logs.shape[1])), np.empty((resamples, found.logs.shape[1]))
    effective = []
    for place, rows in zip(picked, np.array_split(generator.permutation(resamples), len(picked)), strict=True):
        parts = [_weigh(law, cloud, found.nodes[place]) for law in laws]
        chosen = systematic(_odds([part[1] for part in parts], len(data.target)), len(rows), generator)
        for which, (share, _, solution) in enumerate(parts):
            own = rows[chosen == which]
            at = systematic(share, len(own), generator)
            x[own] = cloud.x[at]
            linear[own] = _perturbed(laws[which], solution, at, generator)
        effective.append(1 / float((parts[0][0] ** 2).sum()))
    return PosteriorDraws(linear[:, 0], linear[:, 1:], np.exp(x), float(np.median(effective)))


def _weigh(data: _Data, cloud: _Cloud, node: Node) -> tuple[Array, float, tuple[Array, Array, Array, Array]]:
    """Return the weight of every tuple, the least loss, and what drawing the linear part needs."""
    level, loss = _levels(data, cloud, node)
    score = np.where(np.isfinite(level), level - cloud.proposal, -np.inf)
    share = np.exp(score - score.max())
    return share / share.sum(), float(loss.min()), _solve(data, cloud.products, node)


def _odds(losses: list[float], n: int) -> Array:
    """Return the weights of the laws with and without a floor: the ratio of their greatest likelihoods."""
    gain = np.exp(-0.5 * n * np.log(np.array(losses) / losses[0]))
    odds: Array = gain * np.array([1.0, _NO_FLOOR])
    odds /= odds.sum()
    return odds


def _perturbed(
    data: _Data, solution: tuple[Array, Array, Array, Array], at: Index, generator: np.random.Generator
) -> Array:
    """Return the non-negative solutions (len(at), m) of the data with new noise."""
    linear, loss, gram, right = (part[at] for part in solution)
    freedom = max(len(data.target) - right.shape[1], 1)
    sigma = np.sqrt(loss / generator.chisquare(freedom, len(at)))
    scale = np.sqrt(np.maximum(np.einsum("tii->ti", gram), 1e-300))
    unit = gram / (scale[:, :, None] * scale[:, None, :])
    values, vectors = np.linalg.eigh(unit)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    noise = (root @ generator.standard_normal((*right.shape, 1)))[..., 0] * scale
    linear[:, _first(data) :] = solve_nonnegative(gram, right + sigma[:, None] * noise)[0]
    return linear
