"""The part of ``extrapolation.py`` that measures predictive intervals.

``auto``: its own conformal intervals and a pairs bootstrap's, each data set with constants and quantiles of the other
three. Laws asked for by name: their intervals of :mod:`tippingpoint.fitting.conformal`, quantiles pooled over M1 to M4
and BNSL, once leaving out the data set alone, once the law as well: what a law may expect that nobody calibrated.

About 40 forms of sigma were looked at for named laws, on these curves at all three amounts: a law's own misfit, with
and without its number of parameters; its own backtest after half and 70% of the training sizes (largest error, mean,
or the later one; alone, added, or multiplied); signed quantiles; the distance to ``auto`` with factors from 0.3 to 1
beside the law's misfit or the average's. With the first 30% of the rows neither misfit nor backtest tells how far off a
law with many parameters is. A factor of 1/2 beside the average's misfit was kept; 0.4 and 0.6 do about as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from curve_cases import AMOUNTS, PEERS, POOL, SETS, Array, Case, auto, cap, grids, named

from tippingpoint.fitting.conformal import _LEVELS, interval_scale, named_scale, weighted_quantile
from tippingpoint.fitting.tempered import Tempering, average

Told = list[tuple[Array, Array]]  #: of each case log predictions and sigma


def intervals(cases: list[Case], found: Told, quantile: float) -> list[tuple[Array, Array]]:
    ends = []
    for case, (logs, sigma) in zip(cases, found, strict=True):
        half = quantile * sigma
        high = np.exp(logs + half)
        ends.append((np.exp(logs - half), np.minimum(high, 1.0) if case.capped else high))
    return ends


def scaled(cases: list[Case], found: list[tuple[Array, float]]) -> Told:
    return [(logs, scale(case, misfit)) for case, (logs, misfit) in zip(cases, found, strict=True)]


def scaled_named(cases: list[Case], logs: list[Array], average_: Told) -> Told:
    """Return a law's predictions and sigma, made of those of ``auto``."""
    found = []
    for case, own, (middle, sigma) in zip(cases, logs, average_, strict=True):
        capped = cap(case, own)
        found.append((capped, named_scale(sigma, capped - middle)))
    return found


def scale(case: Case, misfit: float) -> Array:
    return interval_scale(misfit, len(np.unique(case.x)), case.beyond / case.x.max())


def calibrated(cases: list[Case], found: Told, level: float) -> float:
    """Return Q: the weighted quantile of scaled residuals, each case with the same weight."""
    residuals, weights = [], []
    for case, (logs, sigma) in zip(cases, found, strict=True):
        residuals.append(np.abs(np.log(case.truth) - logs) / sigma)
        weights.append(np.full(len(logs), 1 / len(logs)))
    return weighted_quantile(np.concatenate(residuals), np.concatenate(weights), level)


def bootstrap(cases: list[Case], constants: list[Tempering], draws: int = 100) -> list[tuple[Array, Array]]:
    """Return nominal 90% intervals of a pairs bootstrap of the same predictor."""
    random = np.random.default_rng(0)
    ends = []
    for case, setting in zip(cases, constants, strict=True):
        logs: list[Array] = []
        while len(logs) < draws:
            pick = random.integers(0, len(case.x), len(case.x))
            if len(np.unique(case.x[pick])) > 1:
                x, y = case.x[pick], case.y[pick]
                logs.append(cap(case, average(grids(x, y, setting), setting, case.beyond)[0]))
        low, high = np.exp(np.quantile(logs, [0.05, 0.95], axis=0))
        ends.append((low, high))
    return ends


def judge(cases: list[Case], ends: list[tuple[Array, Array]]) -> dict[str, Any]:
    """Return coverage with its clustered standard error, median width and mean interval score of nominal 90%."""
    covered, widths, scores = [], [], []
    for case, (low, high) in zip(cases, ends, strict=True):
        miss = np.maximum(low - case.truth, 0) + np.maximum(case.truth - high, 0)
        covered.append(np.mean(miss <= 0))
        widths.append(np.median(high - low))
        scores.append(np.mean(high - low + 20 * miss))
    names = [case.data_set for case in cases]
    values = np.array(covered)
    by_set = {one: float(values[[n == one for n in names]].mean()) for one in SETS}
    return {
        "coverage": float(values.mean()),
        "clustered_se": clustered(values, names),
        "by_data_set": by_set,
        "median_width": float(np.median(widths)),
        "interval_score": float(np.mean(scores)),
    }


def calibrate(cases: list[Case]) -> None:
    """Print the constants of fitting/conformal.py, from all image curves and the shipped constants."""
    images = [case for case in cases if case.domain == "IC"]
    found = scaled(images, auto(images, [Tempering()])[0])
    print("_QUANTILES =", tuple(round(calibrated(images, found, level), 3) for level in _LEVELS))
    pooled = [one for law in PEERS.values() for one in scaled_named(images, named(images, law), found)]
    print("_NAMED =", tuple(round(calibrated(images * len(PEERS), pooled, level), 3) for level in _LEVELS))


def clustered(values: Array, names: list[str]) -> float:
    """Return the standard error of a mean of values whose errors are shared within a name."""
    centred = values - values.mean()
    sums = [centred[[name == one for one in names]].sum() for name in dict.fromkeys(names)]
    return float(np.sqrt(np.sum(np.square(sums))) / len(values))


def run_intervals(
    cases: list[Case],
    pool: list[list[tuple[Array, float]]],
    best: dict[str, int],
    laws: dict[str, list[Array]],
) -> dict[str, Any]:
    """Return coverage at 90%, each data set with constants and calibration of the other three; laws by their name."""
    image = [i for i, case in enumerate(cases) if case.domain == "IC"]
    images = [cases[i] for i in image]
    averages = {one: scaled(images, [pool[place][i] for i in image]) for one, place in best.items()}
    own = {name: [logs[i] for i in image] for name, logs in laws.items()}
    told = {name: {one: scaled_named(images, logs, averages[one]) for one in SETS} for name, logs in own.items()}
    kinds = {"auto, leave one data set out": leave_out(images, averages, [averages])}
    for name, law in told.items():
        kinds[f"{name}, leave one data set out"] = leave_out(images, law, list(told.values()))
        others = [other for which, other in told.items() if which != name]
        kinds[f"{name}, leave one data set and {name} out"] = leave_out(images, law, others)
    kinds["auto, pairs bootstrap"] = bootstrap(images, [POOL[best[case.data_set]] for case in images])
    result: dict[str, Any] = {}
    for kind, ends in kinds.items():
        result[kind] = {}
        for amount in AMOUNTS:
            chosen = [i for i, case in enumerate(images) if case.amount == amount]
            result[kind][f"{amount:.0%}"] = judge([images[i] for i in chosen], [ends[i] for i in chosen])
    return result


def leave_out(cases: list[Case], law: dict[str, Told], teachers: list[dict[str, Told]]) -> list[tuple[Array, Array]]:
    """Return a law's intervals, in each data set with quantiles that the teachers give on the other three."""
    ends: list[tuple[Array, Array]] = [(np.empty(0), np.empty(0))] * len(cases)
    for one in SETS:
        rest = [i for i, case in enumerate(cases) if case.data_set != one]
        q = calibrated([cases[i] for i in rest] * len(teachers), [t[one][i] for t in teachers for i in rest], 0.9)
        here = [i for i, case in enumerate(cases) if case.data_set == one]
        found = intervals([cases[i] for i in here], [law[one][i] for i in here], q)
        for i, pair in zip(here, found, strict=True):
            ends[i] = pair
    return ends
