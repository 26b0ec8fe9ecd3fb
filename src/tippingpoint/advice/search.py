r"""The best amounts of images and labels for a budget, or the cheapest ones that reach a target: for any law.

Notation: n images, t labels; y(n, t) the expected error; C(n, t) the cost, which never falls as an amount grows.

* Budget B: for every t, n may go up to the largest one with C(n, t) <= B. Below it the n of least y is found, for a law
  that falls in n that largest one: the budget's line, on which the search is exact. Then the least y over t.
* Target: for every t, the least n with y(n, t) <= target; then the least C over t.

Both are deterministic, need no derivative and no convexity, and hold for laws that rise somewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Amounts", "Space", "best_for_budget", "cheapest_for_target", "least_along"]

Array = NDArray[np.float64]
Surface = Callable[[Array, Array], Array]

_COARSE = 129  # places of log t in the first grid
_FINE = 17  # places of the later ones
_ROUNDS = 11
_ENOUGH = 1e-7  # width of a grid of log t at which the search ends
_ROUNDS_OF_IMAGES = 9
_SURE = 4  # grids of log n after which the largest n is taken for the best
_PIECES = 16  # that a log range is cut into at once
_FEW_CUTS = 5
_CUTS = 11  # 16^-11: below 1e-12 of a size
_BASINS = 3  # local minima that are refined
_WASTED = 1e-9  # relative fall of the error that is not worth an image
_TRIMMED = 0.99  # an amount is only cut where at least 1% of it does nothing


class Space(NamedTuple):
    """What can be bought for one model of one recipe.

    Attributes
    ----------
    error, cost : callable
        Of n and t, arrays of one shape.
    images, labels : tuple of float
        Least and greatest n and t; equal where the amount is fixed.
    """

    error: Surface
    cost: Surface
    images: tuple[float, float]
    labels: tuple[float, float]


class Amounts(NamedTuple):
    """Images and labels, with the error they lead to and what they cost."""

    images: float
    labels: float
    error: float
    cost: float


def _amounts(space: Space, images: float, labels: float) -> Amounts:
    n, t = np.array([images]), np.array([labels])
    return Amounts(images, labels, float(space.error(n, t)[0]), float(space.cost(n, t)[0]))


def best_for_budget(space: Space, budget: float) -> Amounts | None:
    """Return the amounts of least expected error that cost at most ``budget``; of equal ones the cheaper.

    Parameters
    ----------
    space : Space
    budget : float

    Returns
    -------
    Amounts or None
        None where not even the least amounts can be paid for.
    """
    (least_n, most_n), (least_t, most_t) = space.images, space.labels
    if _amounts(space, least_n, least_t).cost > budget:
        return None
    top_t = float(_largest(lambda t: space.cost(np.full_like(t, least_n), t) <= budget, least_t, np.array([most_t]))[0])

    def best_images(log_t: Array) -> tuple[Array, Array]:
        t = _sizes(log_t, (least_t, top_t))
        paid = functools.partial(_paid, space, t, budget)
        cuts = _CUTS if len(t) < _COARSE else _FEW_CUTS  # the first grid only has to find the basins
        return _best_images(space, t, _largest(paid, least_n, np.full_like(t, most_n), cuts))

    log_t = _least(lambda logs: best_images(logs)[1], (np.log(least_t), np.log(top_t)))
    place = np.array([log_t])
    images = float(best_images(place)[0][0])
    return _trimmed(space, _amounts(space, images, float(_sizes(place, (least_t, top_t))[0])))


def _best_images(space: Space, t: Array, top: Array) -> tuple[Array, Array]:
    """Return for each t, shape (p,), the n up to ``top`` of least error, as large as possible, and that error."""
    low, high, rows = np.full_like(top, np.log(space.images[0])), np.log(top), np.arange(len(t))
    steps, ends = np.linspace(0, 1, _FINE), (np.full_like(top, space.images[0]), top)
    for turn in range(_ROUNDS_OF_IMAGES):
        ladder = low[:, None] + (high - low)[:, None] * steps
        n = np.clip(np.exp(ladder), ends[0][:, None], ends[1][:, None])
        n[:, -1] = np.where(high >= np.log(top), top, n[:, -1])
        error = space.error(n.ravel(), np.repeat(t, len(steps))).reshape(n.shape)
        place = len(steps) - 1 - error[:, ::-1].argmin(axis=1)
        images, least = n[rows, place], error[rows, place]
        if turn >= _SURE and (images == top).all():
            break
        low = ladder[rows, np.maximum(place - 1, 0)]
        high = ladder[rows, np.minimum(place + 1, len(steps) - 1)]
    return images, least


def _sizes(logs: Array, ends: tuple[float, float]) -> Array:
    """Return sizes from their logs, the ends exactly."""
    low, high = np.log(ends)
    inside = np.clip(np.exp(logs), *ends)
    found: Array = np.where(logs <= low, ends[0], np.where(logs >= high, ends[1], inside))
    return found


def _paid(space: Space, t: Array, budget: float, n: Array) -> NDArray[np.bool_]:
    """Say for n, shape (p, s), and t, shape (p,), whether the budget pays for them."""
    return space.cost(n, np.broadcast_to(t[:, None], n.shape)) <= budget


def _largest(holds: Callable[[Array], NDArray[np.bool_]], least: float, most: Array, cuts: int = 11) -> Array:
    """Return the largest sizes up to ``most``, shape (p,), for which a condition holds that is true at ``least``.

    The condition takes an array (p, s) and must be false above the size that is sought. Eleven cuts leave 1e-12 of it.
    """
    low, high = np.full_like(most, np.log(least)), np.log(most)
    done = holds(most[:, None])[:, 0]
    for _ in range(cuts):
        low, high = _cut(lambda logs: holds(np.exp(logs)), low, high)
    found: Array = np.where(done, most, np.maximum(np.exp(low), least))
    return found


def _cut(holds: Callable[[Array], NDArray[np.bool_]], low: Array, high: Array) -> tuple[Array, Array]:
    """Cut ranges (p,) to the sixteenth in which a condition stops to hold."""
    steps = np.linspace(0, 1, _PIECES + 1)
    ladder = low[:, None] + (high - low)[:, None] * steps
    place = np.cumprod(holds(ladder[:, 1:-1]), axis=1).sum(axis=1)
    rows = np.arange(len(low))
    return ladder[rows, place], ladder[rows, place + 1]


def _grid(low: float, high: float, count: int) -> Array:
    return np.linspace(low, high, count) if high > low else np.array([low])


def _least(value: Callable[[Array], Array], ends: tuple[float, float]) -> float:
    """Return where a function of log t is least: a grid, then finer ones about its best local minima."""
    grid = _grid(*ends, _COARSE)
    line = value(grid)
    if not np.isfinite(line.min()):
        return float(grid[0])
    before, after = np.concatenate([[np.inf], line[:-1]]), np.concatenate([line[1:], [np.inf]])
    basins = np.flatnonzero((line <= before) & (line <= after))
    basins = basins[np.argsort(line[basins], kind="stable")][:_BASINS]
    return min(_refined(value, grid, int(place)) for place in basins)[1]


def _refined(value: Callable[[Array], Array], grid: Array, place: int) -> tuple[float, float]:
    """Return the least value near a grid point, and where it is; each grid spans the last one's neighbours."""
    found = (np.inf, float(grid[place]))
    for _ in range(_ROUNDS):
        grid = _grid(float(grid[max(place - 1, 0)]), float(grid[min(place + 1, len(grid) - 1)]), _FINE)
        line = value(grid)
        place = int(line.argmin())
        found = min(found, (float(line[place]), float(grid[place])))
        if np.ptp(grid) < _ENOUGH:
            break
    return found


def _trimmed(space: Space, found: Amounts) -> Amounts:
    """Return the amounts without what does nothing: a term that is nil buys no images."""
    enough = found.error * (1 + _WASTED)

    def smallest(error: Callable[[Array], Array], least: float, most: float) -> float:
        if error(np.array([least]))[0] <= enough:
            return least
        low, high = np.log([least]), np.log([most])
        for _ in range(_CUTS if error(np.array([_TRIMMED * most]))[0] <= enough else 0):
            low, high = _cut(lambda logs: (error(np.exp(logs).ravel()) > enough).reshape(logs.shape), low, high)
        return float(np.exp(high[0])) if high[0] < np.log(_TRIMMED * most) else most

    images = smallest(lambda n: space.error(n, np.full_like(n, found.labels)), space.images[0], found.images)
    labels = smallest(lambda t: space.error(np.full_like(t, images), t), space.labels[0], found.labels)
    return _amounts(space, images, labels)


def cheapest_for_target(space: Space, target: float) -> Amounts | None:
    """Return the cheapest amounts whose expected error is at most ``target``.

    Parameters
    ----------
    space : Space
    target : float

    Returns
    -------
    Amounts or None
        None where no amounts of the space reach it.
    """
    (least_n, most_n), (least_t, most_t) = space.images, space.labels
    ladder = np.exp(_grid(np.log(least_n), np.log(most_n), 65))
    ladder[0], ladder[-1] = least_n, most_n

    def needed(log_t: Array) -> Array:
        t = _sizes(log_t, space.labels)
        good = _reached(space, np.broadcast_to(ladder, (len(t), len(ladder))), t, target)
        place = good.argmax(axis=1)
        low, high = np.log(ladder[np.maximum(place - 1, 0)]), np.log(ladder[place])

        def short(logs: Array) -> NDArray[np.bool_]:
            return ~_reached(space, np.exp(logs), t, target)

        for _ in range(_CUTS):
            low, high = _cut(short, low, high)
        n_best = np.where(place == 0, least_n, np.minimum(np.exp(high), ladder[place]))
        return np.where(good.any(axis=1), n_best, np.nan)

    def value(log_t: Array) -> Array:
        n, t = needed(log_t), _sizes(log_t, space.labels)
        cost: Array = np.where(np.isfinite(n), space.cost(np.nan_to_num(n, nan=most_n), t), np.inf)
        return cost

    log_t = _least(value, (np.log(least_t), np.log(most_t)))
    place = np.array([log_t])
    images = float(needed(place)[0])
    return _amounts(space, images, float(_sizes(place, space.labels)[0])) if np.isfinite(images) else None


def _reached(space: Space, n: Array, t: Array, target: float) -> NDArray[np.bool_]:
    """Say for n, shape (p, s), and t, shape (p,), whether the target is reached."""
    labels = np.broadcast_to(t[:, None], n.shape)
    return space.error(n.ravel(), labels.ravel()).reshape(n.shape) <= target


def least_along(value: Callable[[float], float], low: float, high: float, coarse: int = 11, rounds: int = 6) -> float:
    """Return where a function of one number is least: a grid, then finer ones between the best point's neighbours.

    Parameters
    ----------
    value : callable
    low, high : float
    coarse : int, default 11
        Points of the first grid; later ones have 7.
    rounds : int, default 6
        Grids after the first; each is three times as fine.
    """
    points = np.linspace(low, high, coarse)
    best = (np.inf, low)
    for _ in range(rounds + 1):
        found = [value(float(point)) for point in points]
        place = int(np.argmin(found))
        best = min(best, (found[place], float(points[place])))
        points = np.linspace(points[max(place - 1, 0)], points[min(place + 1, len(points) - 1)], 7)
    return best[1]
