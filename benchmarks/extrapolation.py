"""Learning curves beyond their data: the accuracy and the intervals of ``extrapolate``, against the laws of the field.

Command: ``OMP_NUM_THREADS=1 python benchmarks/extrapolation.py`` (about two minutes on one core); it writes
``results/extrapolation.json`` and ``results/extrapolation.md``. ``--calibrate`` prints the constants of
``tippingpoint.fitting.conformal`` instead. Data: ``../shared/data/fitting/revisiting_nsl`` (Alabdulmohsin et al. 2022).

RMSLE: per curve, root mean squared difference of logs over the points that were not trained on; then mean and median
over curves. Amounts: all training rows and their tail (``Training`` = 0); the first 50% or 30% of the training rows by
count (rounded down, at least 4) and all the rest. Predictions of image-classification error are capped at 1 for all
laws.

**The score that counts** is leave-one-data-set-out (bird, c, cal, inet): each data set is predicted with the constants
of :class:`Tempering` that are best on the other three, among the 216 of ``POOL``; best is the lowest mean, over data
sets and the three amounts, of log(mean RMSLE). Intervals are calibrated on those three as well.

**What was tried**, on these curves, before the shipped form: about 1,700 variants, counted with every setting of every
constant. Kept: weights by recency, the log of the misfit in place of its ratio, averaging with the odds, a least number
of effective points, and leaving out exponents without room for a floor (what makes the choice carry over to a data set
that was not looked at: without it the protocol gives .0264/.0220). Dropped: a Gaussian process in log x as discrepancy
(17 settings, three kernels; .0271 at best, and .08-.13 at 50%), its blends with the average (9), one joint average over
both laws, other scales of y (-log(1-y), y/sqrt(1-y)), priors on the rate of flattening, on the share of the floor, or
rising with a power of it, averages over several recencies with and without weights from the misfit, anchoring at the
last residual, and trusting the plain fit more where its residuals look independent (5).

**What leave-one-out does not undo.** The protocol chooses constants, not the form: that exponents without a floor are
left out was thought of after the figures of all four data sets had been seen. With that choice left to the protocol as
well (none, left out, or a prior rising with the floor: 648 variants) it gives .0256/.0215, .0570, .1116. Other criteria
of choice move the mean at 100% between .0253 and .0273 (the mean RMSLE at 100% alone, as criterion: .0271). The shipped
constants were chosen with all curves in view, the other domains included, and lie between points of the pool.

**Where it loses.** On 200 simulated curves that *are* y = E + c x^-a with independent noise of 1 to 5% (5 to 30 points
over two decades, foretold at 1.5, 2 and 4 times the largest) ``--law m2`` is nearer the noise-free truth than the
average, which distrusts a law that happens to be true; the intervals of both are then wider than need be.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from curve_cases import AMOUNTS, PEERS, POOL, SETS, Array, Case, auto, load, named, rmsle
from curve_intervals import calibrate, run_intervals
from scipy.optimize import OptimizeWarning, curve_fit

from tippingpoint.fitting.extrapolation import CurveExtrapolator
from tippingpoint.fitting.tempered import Tempering

HERE = Path(__file__).parent


def choose(scores: Array, cases: list[Case], without: str | None) -> int:
    """Return the best constants on the image curves of all data sets but one; scores are (variants, cases)."""
    total = np.zeros(len(scores))
    for name, amount in itertools.product(SETS, AMOUNTS):
        if name != without:
            chosen = [i for i, case in enumerate(cases) if case.data_set == name and case.amount == amount]
            total += np.log(scores[:, chosen].mean(axis=1))
    return int(np.argmin(total))


def peers(cases: list[Case]) -> tuple[dict[str, tuple[list[float], float]], dict[str, list[Array]]]:
    """Return scores and seconds of laws fitted by our engine and of M2 by curve_fit, and our engine's predictions."""
    found, logs = {}, {}
    for name, law in PEERS.items():
        start = time.perf_counter()
        logs[name] = named(cases, law)
        scores = [rmsle(case, one) for case, one in zip(cases, logs[name], strict=True)]
        found[name] = (scores, time.perf_counter() - start)
    start = time.perf_counter()
    found["M2, curve_fit"] = ([_curve_fit(case) for case in cases], time.perf_counter() - start)
    return found, logs


def _curve_fit(case: Case) -> float:
    import warnings

    unit = float(np.exp(np.mean(np.log(case.x))))

    def law(x: Array, floor: float, c: float, a: float) -> Array:
        logs: Array = np.log(np.maximum(floor + c * x ** -np.clip(a, -20, 20), 1e-12))
        return logs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            best, _ = curve_fit(law, case.x / unit, np.log(case.y), maxfev=5000)
        except RuntimeError:
            best = np.ones(3)  # its start: what a person gets who does not look
    found: Array = law(case.beyond / unit, *best)
    return rmsle(case, found)


def paired(ours: Array, theirs: Array, names: list[str]) -> dict[str, Any]:
    """Return the mean difference and the 95% interval of a bootstrap over data sets, all 256 resamples of it."""
    parts = [ours[[n == one for n in names]] - theirs[[n == one for n in names]] for one in SETS]
    sums, sizes = np.array([part.sum() for part in parts]), np.array([len(part) for part in parts])
    draws = [sums[list(pick)].sum() / sizes[list(pick)].sum() for pick in itertools.product(range(4), repeat=4)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"mean": float((ours - theirs).mean()), "interval": [float(low), float(high)]}


def summary(cases: list[Case], scores: Array) -> dict[str, Any]:
    """Return mean and median by amount for image curves, and the mean by domain for the others."""
    told: dict[str, Any] = {}
    for amount in AMOUNTS:
        part = np.array([s for s, c in zip(scores, cases, strict=True) if c.domain == "IC" and c.amount == amount])
        told[f"{amount:.0%}"] = {"mean": float(part.mean()), "median": float(np.median(part))}
    for domain in ("BB", "LM", "NMT"):
        told[domain] = float(np.mean([s for s, c in zip(scores, cases, strict=True) if c.domain == domain]))
    return told


def run(cases: list[Case]) -> dict[str, Any]:
    names = [case.data_set for case in cases]
    image = np.array([case.domain == "IC" for case in cases])
    pool = auto(cases, POOL)
    scores = np.array([[rmsle(case, logs) for case, (logs, _) in zip(cases, row, strict=True)] for row in pool])
    best = {one: choose(scores, cases, one) for one in SETS}
    overall = choose(scores, cases, None)
    start = time.perf_counter()
    shipped = np.array([rmsle(c, logs) for c, (logs, _) in zip(cases, auto(cases, [Tempering()])[0], strict=True)])
    seconds = time.perf_counter() - start
    ours = np.array([scores[best.get(name, overall), i] for i, name in enumerate(names)])
    result: dict[str, Any] = {
        "data": "revisiting_nsl: 72 image-classification curves, 20 others",
        "chosen_without": {one: POOL[place]._asdict() for one, place in best.items()},
        "shipped_constants": Tempering()._asdict(),
        "rmsle": {"auto, leave one data set out": summary(cases, ours), "auto, shipped": summary(cases, shipped)},
        "seconds": {"auto, shipped": seconds},
        "paired_difference": {},
    }
    told, logs = peers(cases)
    for name, (theirs, took) in told.items():
        result["rmsle"][name] = summary(cases, np.array(theirs))
        result["seconds"][name] = took
    by_amount = {
        amount: [i for i, case in enumerate(cases) if image[i] and case.amount == amount] for amount in AMOUNTS
    }
    for name in ("M4", "BNSL"):
        result["paired_difference"][name] = {
            f"{amount:.0%}": paired(ours[here], np.array(told[name][0])[here], [cases[i].data_set for i in here])
            for amount, here in by_amount.items()
        }
    result["intervals"] = run_intervals(cases, pool, best, logs)
    return result


def simulated(count: int = 200) -> dict[str, Any]:
    """Return error to the truth and coverage of measured scores on curves that are floored power laws."""
    random = np.random.default_rng(0)
    scores: dict[str, list[tuple[float, float]]] = {"auto": [], "m2": []}
    for _ in range(count):
        points, noise = int(random.integers(5, 31)), random.choice([0.01, 0.02, 0.05])
        floor, exponent = random.choice([0.0, 0.02, 0.1]), math.exp(random.normal(math.log(0.5), 0.4))
        x = np.concatenate([np.geomspace(1e3, 1e5, points), [1.5e5, 2e5, 4e5]])
        truth = floor + random.uniform(0.2, 0.8) * (x / 1e3) ** -exponent
        y = truth * np.exp(noise * random.standard_normal(len(x)))
        for law, told in scores.items():
            found = CurveExtrapolator(law).fit(x[:points], y[:points]).predict(x[points:], 0.9)
            inside = (np.asarray(found.low) <= y[points:]) & (y[points:] <= np.asarray(found.high))
            told.append((float(np.sqrt(np.mean(np.log(found.y / truth[points:]) ** 2))), float(inside.mean())))
    return {
        law: dict(zip(("mean_rmsle", "coverage"), map(float, np.mean(told, axis=0)), strict=True))
        for law, told in scores.items()
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    lines = [
        "# Learning curves beyond their data",
        "",
        "`OMP_NUM_THREADS=1 python benchmarks/extrapolation.py`; what is scored and what was tried stands at its head.",
        "",
        "RMSLE, mean/median; 72 image-classification curves by amount of training data, then 20 others (means).",
        "",
        "| law | 100% | 50% | 30% | big-bench | language models | translation | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, told in result["rmsle"].items():
        cells = [f"{told[a]['mean']:.4f}/{told[a]['median']:.4f}" for a in ("100%", "50%", "30%")]
        cells += [f"{told[d]:.4f}" for d in ("BB", "LM", "NMT")]
        seconds = result["seconds"].get(name)
        lines.append(f"| {name} | {' | '.join(cells)} | {'' if seconds is None else f'{seconds:.1f}'} |")
    lines += [
        "",
        "Outside image classification the first row has the constants that all image curves choose, the second the "
        "shipped ones. M1 to M4 and BNSL are at the optimum of unweighted squared log residuals, which is not where "
        "their authors' procedures stop: those score M3 .0615/.0500, .098, .176 and M4 .0415/.0302 (README of the "
        "data, THEORY); the optimum of M3 runs away on short curves.",
    ]
    lines += [
        "",
        "Difference of mean RMSLE (ours, leave one data set out, minus theirs), 95% bootstrap over data sets:",
        "",
    ]
    for name, told in result["paired_difference"].items():
        cells = [f"{a}: {d['mean']:+.4f} [{d['interval'][0]:+.4f}, {d['interval'][1]:+.4f}]" for a, d in told.items()]
        lines.append(f"- {name}: {'; '.join(cells)}")
    lines += [
        "",
        "Nominal 90% predictive intervals, image curves; those of laws asked for by name have quantiles pooled over "
        "all five laws, or over the other four:",
        "",
    ]
    lines += ["| interval | amount | coverage (clustered s.e.) | by data set | median width | interval score |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for kind, told in result["intervals"].items():
        for amount, d in told.items():
            sets = ", ".join(f"{one} {share:.2f}" for one, share in d["by_data_set"].items())
            lines.append(
                f"| {kind} | {amount} | {d['coverage']:.3f} ({d['clustered_se']:.3f}) | {sets} | "
                f"{d['median_width']:.4f} | {d['interval_score']:.4f} |"
            )
    told = ", ".join(
        f"{law} {one['mean_rmsle']:.4f} ({one['coverage']:.1%})" for law, one in result["simulated_m2"].items()
    )
    lines += ["", f"Simulated floored power laws, mean RMSLE to the truth (coverage of nominal 90%): {told}."]
    chosen = {one: tuple(told.values()) for one, told in result["chosen_without"].items()}
    lines += ["", f"Constants (recency, effective, temper, median, spread) chosen without each data set: {chosen}; "]
    lines += [f"shipped: {tuple(result['shipped_constants'].values())}."]
    up = result["rounded_up"]
    lines += [f"With 50% and 30% rounded up: {up['50%']['mean']:.4f}, {up['30%']['mean']:.4f} (shipped)."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibrate", action="store_true", help="print the shipped quantiles instead")
    if parser.parse_args().calibrate:
        calibrate(load())
        return
    start = time.perf_counter()
    result = run(load())
    up = load(math.ceil)
    shipped = auto(up, [Tempering()])[0]
    result["rounded_up"] = summary(up, np.array([rmsle(c, logs) for c, (logs, _) in zip(up, shipped, strict=True)]))
    result["simulated_m2"] = simulated()
    result["seconds"]["all"] = time.perf_counter() - start
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "extrapolation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = table(result)
    (results / "extrapolation.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
