r"""A posterior over the shapes of any law, with its weights solved exactly for every tuple of them.

For fixed shapes (exponents) a law is linear in its weights (floor, coefficients), so that only the shapes need
exploring. A cloud of tuples is re-centred on the posterior and refined until it resolves it; each tuple is weighed by
likelihood and a weak prior; draws are a tuple and, given it, weights: the non-negative solution of the data with new
noise added.

What the likelihood is:

* Near a curve f0 through the data every objective is a sum of squares of (y - f)/s, with s the noise of each
  run up to one factor: s = f0 for objectives on logs (log f - log y is (f - y)/f0 to first order), s = 1 for
  ``squares``; a run that counts w times has s/sqrt(w). The curve is centred again on the posterior's own best.
* For ``huber-log`` residuals beyond 1.345 robust standard deviations are pulled in, as in Huber's M-estimate, so that
  outliers move the intervals no more than they move the fit.
* The noise that seed blocks and checkpoints share enters by its covariance (:mod:`tippingpoint.fitting.variance`),
  whose ratios are integrated over, and the noise's size is integrated out.

Draws are *solved*, not truncated: noise is added to the data and the non-negative problem solved again, so that a term
that is not told from 0 is often exactly 0, which a draw of a truncated Gaussian never is. A law that has a floor,
*without* it, is a hypothesis of its own, weighed against the law with one by the ratio of their greatest likelihoods,
at prior odds of 1.5. How often the intervals cover the truth is measured by benchmarks/coverage.py.

The temperature is 1: this is for parameters and curves *within* the data. Extrapolation far beyond them needs a
temperature of its own (:mod:`tippingpoint.fitting.tempered`) and shares nothing with this.

Notation
--------
========  ==========  =========================================================================
symbol    shape       meaning
========  ==========  =========================================================================
n, k      (n, k)      runs; axes; log sizes over their references
m, q, p               weights and shapes of the law; p of the shapes are explored, not fixed
T, R                  tuples of shapes in the cloud; draws
x         (T, p)      shapes on the explored scale, such as log exponents
X         (T, m, n)   features of the law over s
t         (n,)        y over s
G, h      (T, m, m)   X V^-1 X' and X V^-1 t of each tuple
========  ==========  =========================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tippingpoint.fitting.cloud import HEAVY, Space, chi_squared, even_points, space_of, systematic, t_constant
from tippingpoint.fitting.linearised import pseudo_data
from tippingpoint.fitting.nnls import solve_bounded, solve_nonnegative
from tippingpoint.fitting.objectives import Objective
from tippingpoint.fitting.variance import Inner, Node, Shared
from tippingpoint.laws.formula import Formula

__all__ = ["Posterior", "PosteriorDraws", "posterior_of"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_CLOUD = (1, 200, 300, 400, 700, 1000, 1400)  # tuples while finding the posterior, by p; more at the end
_LAST = 2.5  # times as many in the last cloud
_ROUNDS = 8
_WORK = 200_000  # numbers held at once: as many as a processor keeps near
_BUDGET = 150_000_000  # numbers computed for one cloud at most: 100,000 runs take a smaller cloud
_LEAST_CLOUD = 64
_NODES = 16  # pairs of variance ratios that draws are shared among
_NO_FLOOR = 1.5  # odds of the law without a floor where both fit equally well
_WIDER = 1.15  # the cloud's spread over the posterior's
_DEFENCE = 0.1  # share of the cloud that comes from the prior
_IDLE = 1e-8  # change of the curve by a shape, over the curve, below which the fit does not know that shape


class PosteriorDraws(NamedTuple):
    """Draws in scaled units: theta (R, m + q), weights before shapes, and the cloud's effective size."""

    theta: Array
    effective: float


class _Data(NamedTuple):
    """A law and data for it; sorted by groups, scaled by references."""

    formula: Formula
    space: Space
    logs: Array  # (n, k)
    noise: Array  # s
    target: Array  # t
    groups: Shared
    bounds: tuple[float, float]  # of the floor
    floor: bool  # whether the law has one

    @property
    def free(self) -> Index:
        """Places of the weights that may be above 0."""
        names = self.formula.weights
        found = [place for place, name in enumerate(names) if self.floor or name != "floor"]
        return np.array(found, dtype=np.intp)

    @property
    def unknown(self) -> int:
        """How many weights are to be found."""
        return len(self.free) - int(self.floor and self.bounds[0] == self.bounds[1])

    def hypotheses(self) -> list[_Data]:
        """Return the law, and if it has a floor that may be 0, the law without."""
        droppable = self.floor and self.bounds[0] == 0 < self.bounds[1] and len(self.formula.weights) > 1
        return [self, self._replace(floor=False)] if droppable else [self]


class Posterior(NamedTuple):
    """What the posterior of a fit is made of.

    Attributes
    ----------
    data : _Data
    nodes : list of Node
        Pairs of variance ratios.
    centre, spread : ndarray, shape (p,) and (p, p)
        Of the last cloud.
    """

    data: _Data
    nodes: list[Node]
    centre: Array
    spread: Array

    def draw(self, resamples: int, generator: np.random.Generator) -> PosteriorDraws:
        """Draw R parameters."""
        return _draw(self, resamples, generator)

    def region(self, size: float = 12.0) -> tuple[Array, Array, Array, Array]:
        """Return shapes (T, q), weights (T, m), loss (T,) and G of a large cloud, at the mean variance ratios."""
        data = self.data
        cloud = _make_cloud(data, self.centre, self.spread, size, _ROUNDS)
        linear, loss, gram, _ = _solve(data, data.groups.weigh(cloud.products, _mean(self.nodes)))
        inside = data.space.inside(cloud.x)
        return cloud.shape[inside], linear[inside], loss[inside], gram[inside]


class _Cloud(NamedTuple):
    x: Array  # (T, p)
    shape: Array  # (T, q)
    proposal: Array  # (T,) log density it was made with
    products: Inner  # of the columns and the target together, (T, m + 1, ..)


@np.errstate(all="ignore")
def posterior_of(
    formula: Formula,
    logs: Array,
    y: Array,
    theta: Array,
    objective: Objective,
    groups: Shared,
    *,
    weights: Array | None = None,
) -> Posterior:
    """Find the posterior of a law's shapes near a fit.

    Parameters
    ----------
    formula : Formula
        The law in units of scaled y. Shapes whose bounds meet are not explored; the bounds of the weight named
        ``floor`` are kept too, the same twice if it is known.
    logs : ndarray, shape (n, k)
        Log size over reference.
    y : ndarray, shape (n,)
    theta : ndarray, shape (m + q,)
        The fit, scaled.
    objective : Objective
        Of scaled y.
    groups : Shared
        Made with the same weights.
    weights : ndarray, shape (n,), optional
        How much each run counts, above 0; ones by default.

    Returns
    -------
    Posterior
    """
    m, floor = len(formula.weights), "floor" in formula.weights
    place = formula.weights.index("floor") if floor else 0
    bounds = (float(formula.low[place]), float(formula.high[place])) if floor else (0.0, np.inf)
    logs, y, own = logs[groups.order], y[groups.order], np.ones(len(y)) if weights is None else weights[groups.order]
    space = space_of(formula.shapes)
    linear, shape = theta[:m], theta[m:]
    moved = np.abs(formula.slopes(logs, linear[None], shape[None])[0]) if len(shape) else np.empty((0, len(y)))
    x = space.place(shape, moved.max(axis=1, initial=0.0) > _IDLE * np.abs(y).max())
    for _ in range(2):  # the second time about the posterior's own best curve
        features = formula.features(logs, space.shape(x[None]))[0]
        curve = np.maximum(linear @ features, 1e-12)
        noise, target = pseudo_data(curve, y, own, objective)
        data = _Data(formula, space, logs, noise, target, groups, bounds, floor)
        found, linear, x = _explore(data, x)
    return found


def _explore(data: _Data, x: Array) -> tuple[Posterior, Array, Array]:
    """Re-centre and refine the cloud; return the posterior, and the best weights and x."""
    nodes, spread = _start(data, x)
    mean = _mean(nodes)
    laws = data.hypotheses()
    centre = best_x = x
    best_loss = np.inf
    for turn in range(_ROUNDS):
        cloud = _make_cloud(data, centre, spread, 1.0, turn)
        full = data.groups.weigh(cloud.products, mean)
        levels, losses = zip(*(_judged(law, cloud, _solve(law, full)[1]) for law in laws), strict=True)
        level, loss = np.logaddexp.reduce(levels), losses[0]
        if loss.min() < best_loss:
            best_loss, best_x = float(loss.min()), cloud.x[int(np.argmin(loss))]
        share, tempered = _shares(level, cloud)
        centre = share @ cloud.x
        away = cloud.x - centre
        spread = (away * share[:, None]).T @ away + 1e-14 * np.eye(len(centre))
        if not tempered and 1 / (share**2).sum() > 0.25 * len(share):
            break
    return Posterior(data, nodes, centre, spread), _linear(data, best_x, mean), best_x


def _mean(nodes: list[Node]) -> Node:
    weights = np.array([node.weight for node in nodes])
    ratios = np.expm1(weights @ np.log1p(np.array([node.ratios for node in nodes])))
    return Node(tuple(ratios.tolist()), 1.0)


def _start(data: _Data, x: Array) -> tuple[list[Node], Array]:
    """Return the variance ratios and the spread of x, both to first order about the best weights at x."""
    p, space = len(x), data.space
    one, shape = _linear(data, x, None)[None], space.shape(x[None])
    features = data.formula.features(data.logs, shape)[0]
    slopes = data.formula.slopes(data.logs, one, shape)[0][space.free] * space.stretch(x)[:, None]
    design = np.concatenate([features, slopes]) / data.noise
    residuals = data.target - (one[0] @ features) / data.noise
    nodes = data.groups.nodes(np.ascontiguousarray(design), residuals)
    products = data.groups.weigh(data.groups.products(np.vstack([design, residuals])), _mean(nodes))
    count = len(design)
    sigma = float(products[-1, -1]) / max(len(residuals) - count, 1)
    precision = products[:-1, :-1] / max(sigma, 1e-300)
    precision[range(count), range(count)] *= 1 + 1e-9
    precision[range(count - p, count), range(count - p, count)] += 1 / space.spread**2
    precision += 1e-12 * np.eye(count) * np.trace(precision) / count
    spread = np.asarray(np.linalg.pinv(precision, hermitian=True), dtype=np.float64)[count - p :, count - p :]
    reach = np.minimum(1.0, (space.high - space.low) / 2 / np.sqrt(np.maximum(np.diag(spread), 1e-300)))
    return nodes, spread * np.outer(reach, reach) + 1e-14 * np.eye(p)  # no wider than the bounds are apart


def _make_cloud(data: _Data, centre: Array, spread: Array, size: float, turn: int) -> _Cloud:
    """Make tuples about a centre, with heavy tails, and a share of them from the prior."""
    p, n, m, space = len(centre), len(data.target), len(data.formula.weights), data.space
    usual = _CLOUD[p] if p < len(_CLOUD) else _CLOUD[-1] + 400 * (p + 1 - len(_CLOUD))
    count = max(_LEAST_CLOUD, min(int(usual * size), _BUDGET // (n * m**2)))
    points = even_points(count, p + 1, turn)
    values, vectors = np.linalg.eigh(spread)
    root = vectors * np.sqrt(np.maximum(values, 1e-14)) * _WIDER
    normal = ndtri(points[:, :p])
    chi = np.clip(chi_squared(points[:, p]), 1e-3, None) / HEAVY
    x = centre + (normal / np.sqrt(chi)[:, None]) @ root.T
    prior = space.middle + space.spread * normal
    defended = np.arange(count) < _DEFENCE * count
    x = np.where(defended[np.random.default_rng(turn).permutation(count), None], prior, x)
    z = np.linalg.solve(root, (x - centre).T).T
    local: Array = -np.log(np.maximum(np.abs(np.linalg.det(root)), 1e-300)) - (HEAVY + p) / 2 * np.log1p(
        (z * z).sum(axis=1) / HEAVY
    )
    wide = space.log_prior(x)
    proposal: Array = np.logaddexp(np.log1p(-_DEFENCE) + local + t_constant(p), np.log(_DEFENCE) + wide)
    shape = space.shape(np.clip(x, space.low, space.high))  # a formula is never asked beyond its bounds
    return _Cloud(x, shape, proposal, _products(data, shape))


def _products(data: _Data, shape: Array) -> Inner:
    """Return the inner products of the columns and the target for every tuple, in pieces that fit memory."""
    m, n = len(data.formula.weights), len(data.target)
    step = max(1, _WORK // (n * (m + 1)))
    plain, sums = [], []
    for first in range(0, len(shape), step):
        part = shape[first : first + step]
        columns = np.empty((len(part), m + 1, n))
        np.divide(data.formula.features(data.logs, part), data.noise, out=columns[:, :m])
        columns[:, m] = data.target
        found = data.groups.products(columns)
        plain.append(found.plain)
        sums.append(found.sums)
    return Inner(np.concatenate(plain), np.concatenate(sums))


def _solve(data: _Data, full: Array) -> tuple[Array, Array, Array, Array]:
    """Return weights (T, m), loss (T,), G (T, f, f) and h (T, f) of the f weights, from what a node weighs."""
    free, total = data.free, full[:, -1, -1]
    gram, right = full[:, free[:, None], free], full[:, free, -1]
    linear = np.zeros((len(full), full.shape[1] - 1))
    linear[:, free], gain = _nonnegative(data, gram, right)
    loss = np.maximum(total - gain, 1e-15 * np.abs(total) + 1e-300)
    return linear, loss, gram, right


def _nonnegative(data: _Data, gram: Array, right: Array) -> tuple[Array, Array]:
    if not data.floor:
        return solve_nonnegative(gram, right)
    return solve_bounded(gram, right, data.formula.weights.index("floor"), *data.bounds)


def _judged(data: _Data, cloud: _Cloud, loss: Array) -> tuple[Array, Array]:
    """Return log posterior (up to a constant) and loss of every tuple, those beyond the bounds shut out."""
    freedom = max(len(data.target) - data.unknown, 1)
    level = -freedom / 2 * np.log(loss) + data.space.log_prior(cloud.x)
    inside = data.space.inside(cloud.x)
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


def _linear(data: _Data, x: Array, node: Node | None) -> Array:
    """Return the best weights (m,) at x, for the ratios of a node or, without one, for noise that nothing shares."""
    if node is None:
        columns = data.formula.features(data.logs, data.space.shape(x[None])) / data.noise
        gram = columns @ columns.transpose(0, 2, 1)
        linear, free = np.zeros(columns.shape[1]), data.free
        linear[free] = _nonnegative(data, gram[:, free[:, None], free], (columns @ data.target)[:, free])[0][0]
        return linear
    found: Array = _solve(data, data.groups.weigh(_products(data, data.space.shape(x[None])), node))[0][0]
    return found


@np.errstate(all="ignore")
def _draw(found: Posterior, resamples: int, generator: np.random.Generator) -> PosteriorDraws:
    """Draw variance ratios, then with or without a floor, then tuples, the noise's size and the weights."""
    data = found.data
    laws = data.hypotheses()
    cloud = _make_cloud(data, found.centre, found.spread, _LAST, _ROUNDS)
    picked = systematic(np.array([node.weight for node in found.nodes]), min(_NODES, resamples), generator)
    m = len(data.formula.weights)
    theta = np.empty((resamples, m + cloud.shape.shape[1]))
    effective = []
    last = -1
    for place, rows in zip(picked, np.array_split(generator.permutation(resamples), len(picked)), strict=True):
        if place != last:  # places ascend, and a heavy one comes several times
            full = data.groups.weigh(cloud.products, found.nodes[place])
            parts, last = [_weigh(law, cloud, full) for law in laws], place
        chosen = systematic(_odds([part[1] for part in parts], len(data.target)), len(rows), generator)
        for which, (share, _, solution) in enumerate(parts):
            own = rows[chosen == which]
            at = systematic(share, len(own), generator)
            theta[own, m:] = cloud.shape[at]
            theta[own, :m] = _perturbed(laws[which], solution, at, generator)
        effective.append(1 / float((parts[0][0] ** 2).sum()))
    return PosteriorDraws(theta, float(np.median(effective)))


def _weigh(data: _Data, cloud: _Cloud, full: Array) -> tuple[Array, float, tuple[Array, Array, Array, Array]]:
    """Return the weight of every tuple, the least loss, and what drawing the weights needs."""
    solution = _solve(data, full)
    level, loss = _judged(data, cloud, solution[1])
    score = np.where(np.isfinite(level), level - cloud.proposal, -np.inf)
    share = np.exp(score - score.max())
    return share / share.sum(), float(loss.min()), solution


def _odds(losses: list[float], n: int) -> Array:
    """Return the weights of the laws with and without a floor: the ratio of their greatest likelihoods."""
    gain = np.exp(-0.5 * n * np.log(np.array(losses) / losses[0]))
    odds: Array = gain * np.array([1.0, _NO_FLOOR])[: len(losses)]
    odds /= odds.sum()
    return odds


def _perturbed(
    data: _Data, solution: tuple[Array, Array, Array, Array], at: Index, generator: np.random.Generator
) -> Array:
    """Return the weights (len(at), m) that fit the data with new noise."""
    linear, loss, gram, right = (part[at] for part in solution)
    freedom = max(len(data.target) - data.unknown, 1)
    sigma = np.sqrt(loss / generator.chisquare(freedom, len(at)))
    scale = np.sqrt(np.maximum(np.einsum("tii->ti", gram), 1e-300))
    unit = gram / (scale[:, :, None] * scale[:, None, :])
    values, vectors = np.linalg.eigh(unit)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    noise = (root @ generator.standard_normal((*right.shape, 1)))[..., 0] * scale
    linear[:, data.free] = _nonnegative(data, gram, right + sigma[:, None] * noise)[0]
    return linear
