"""How often nominal 95% intervals cover the truth, in simulated studies whose noise is shared.

    python benchmarks/coverage.py --part main --count 1200 --workers 2     # one part; see PARTS
    python benchmarks/coverage.py --part all                                # every part with its own count

Results are recorded part by part in benchmarks/results/coverage.json, with counts, standard errors over studies, seeds
and machine; ``--no-record`` prints only.

A simulated study is a grid of sizes, repeated in seed blocks. Noise is multiplicative and shared: some by all runs of a
block, some by the fine-tunings of a checkpoint, some of each run. The truths of a part go round. Counted is whether
each parameter, and the expected value in the middle of the grid (``in range``) and at three times its greatest sizes
(``beyond``), lie in their intervals. The prior and the odds of a law without a floor were chosen while watching
simulations like those of ``log`` with other seeds; ``fresh`` and ``rivals`` use truths that no choice has seen.

========  ==============================================================================================
part      what it is
========  ==============================================================================================
main      the additive law as it comes (Huber on logs); exponents 0.2 to 2, floors of 0 and above, 5 blocks
log       the same with squared log residuals
fresh     3 blocks, noise of 5%, exponents .3/.8/.15 and 1.2/.25/.6, another grid
rivals    each rival of the additive law on truths of its own, and its predictions
auto      predictions of ``auto``, on additive and multiplying truths in turn
profile   profile likelihood intervals of the studies of ``main``
rows      the studies of ``main`` without the columns that tell which runs share noise
crossed   a further noise, shared by all runs of one block and one n_pretrain, as by its images
========  ==============================================================================================
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tippingpoint.laws.additive_formula import AdditiveFormula
from tippingpoint.laws.formula import Formula
from tippingpoint.laws.registry import law_named

AXES = ("n_pretrain", "n_params", "n_finetune")
LEVEL = 0.95
RESULT = Path(__file__).parent / "results" / "coverage.json"
SHARES = (0.2, 0.15, 0.15)  # each additive term at its smallest size
TOLD = ["seed", "pretrain_id"]  # columns that tell what runs share


@dataclass(frozen=True)
class Truth:
    """A law with weights at the smallest sizes of the grid."""

    law: str
    weights: tuple[float, ...]
    shape: tuple[float, ...]

    @property
    def formula(self) -> Formula:
        """Return the law's formula."""
        return AdditiveFormula(AXES) if self.law == "additive" else law_named(self.law)(AXES).formula


@dataclass(frozen=True)
class Part:
    """Truths, grid and noise of simulated studies, and what is asked of them."""

    truths: tuple[Truth, ...]
    seed: int = 2026
    sizes: tuple[tuple[float, ...], ...] = (
        (1e3, 4e3, 1.6e4, 6.4e4),
        (2.5e6, 9.7e6, 2.17e7, 3.84e7),
        (100.0, 400.0, 1600.0),
    )
    blocks: int = 5
    noise: tuple[float, float, float] = (0.01, 0.01, 0.006)  # of a block, a checkpoint, a run
    crossed: float = 0.0  # of a block and an n_pretrain
    objective: str = "huber-log"
    asked: str = "intervals"
    told: bool = True
    law: str = ""  # fitted instead of the truth's own
    count: int = 300


def additive(floor: float, *exponents: float) -> Truth:
    return Truth("additive", (floor, *SHARES), exponents)


USUAL = (
    additive(0.05, 0.4, 0.5, 0.3),
    additive(0.0, 0.2, 0.5, 0.4),
    additive(0.05, 2.0, 0.5, 0.4),
    additive(0.05, 0.4, 2.0, 0.2),
    additive(0.0, 0.4, 2.0, 0.5),
    additive(0.1, 0.2, 1.0, 2.0),
)
RIVALS = (
    Truth("multiplicative", (0.5,), (0.2, 0.1, 0.3)),
    Truth("multiplicative", (0.4,), (0.1, 0.05, 0.5)),
    Truth("multiplicative-floor", (0.05, 0.45), (0.4, 0.3, 0.2)),
    Truth("multiplicative-floor", (0.0, 0.5), (0.2, 0.15, 0.3)),
    Truth("transfer", (0.05, 0.45), (0.5, 0.5, 0.6, 0.3)),
    Truth("transfer", (0.02, 0.5), (0.3, -1.0, 0.4, 0.5)),
    Truth("interaction", (0.03, 0.2, 0.15, 0.1, 0.05), (0.4, 0.5, 0.3, 0.4, 0.5)),
    Truth("interaction", (0.05, 0.2, 0.1, 0.15, 0.02), (0.6, 0.8, 0.5, 0.8, 0.8)),
)
FRESH = Part(
    (additive(0.05, 0.3, 0.8, 0.15), additive(0.03, 1.2, 0.25, 0.6), additive(0.0, 0.3, 0.8, 0.15)),
    seed=2027,
    sizes=((1e3, 3e3, 9e3, 2.7e4, 8.1e4), (2.5e6, 9.7e6, 3.84e7), (100.0, 300.0, 900.0, 2700.0)),
    blocks=3,
    noise=(0.03, 0.03, 0.026),  # 5% together
)
MAIN = Part(USUAL, count=1200)
PARTS = {
    "main": MAIN,
    "log": replace(MAIN, objective="log", count=1080),
    "fresh": FRESH,
    "rivals": Part(RIVALS, seed=2028, count=640),
    "auto": Part((USUAL[0], RIVALS[0], USUAL[2], RIVALS[2]), seed=2029, law="auto"),
    "profile": replace(MAIN, asked="profile_intervals", count=300),
    "rows": replace(MAIN, told=False, count=300),
    "crossed": replace(MAIN, seed=2030, crossed=0.01, count=300),
}


def simulate(part: Part, seed: int) -> tuple[Truth, pd.DataFrame]:
    """Return the truth and the runs of one study."""
    truth = part.truths[seed % len(part.truths)]
    generator = np.random.default_rng([part.seed, seed])
    shape = (part.blocks, *map(len, part.sizes))
    block, checkpoint, run = part.noise
    shared = block * generator.standard_normal((shape[0], 1, 1, 1))
    shared = shared + checkpoint * generator.standard_normal((*shape[:3], 1))
    noise = shared + run * generator.standard_normal(shape)
    if part.crossed:
        noise = noise + part.crossed * generator.standard_normal((*shape[:2], 1, 1))
    place = np.indices(shape).reshape(4, -1)
    columns = {name: np.array(size)[at] for name, size, at in zip(AXES, part.sizes, place[1:], strict=True)}
    frame = pd.DataFrame(columns)
    frame["error"] = value(part, truth, frame.to_numpy()) * np.exp(noise.ravel())
    frame["seed"] = place[0]
    frame["pretrain_id"] = [f"{b}-{p}-{m}" for b, p, m in place[:3].T]
    return truth, frame if part.told else frame.drop(columns=TOLD)


def value(part: Part, truth: Truth, sizes: np.ndarray) -> np.ndarray:
    """Return the truth at sizes (n, k)."""
    smallest = np.log([size[0] for size in part.sizes])
    features = truth.formula.features(np.log(sizes) - smallest, np.array([truth.shape]))[0]
    found: np.ndarray = np.array(truth.weights) @ features
    return found


def known(part: Part, truth: Truth) -> dict[str, float]:
    """Return the true parameters in raw units."""
    smallest = np.log([size[0] for size in part.sizes])
    raw = truth.formula.raw(np.array([truth.weights]), np.array([truth.shape]), smallest)
    names = {*truth.formula.weights, *(one.name for one in truth.formula.shapes)}
    return {name: float(column[0]) for name, column in raw.items() if name in names}


def judge(part: Part, seed: int) -> tuple[int, dict[str, int], dict[str, float]]:
    """Return which truth it was; for everything asked -1 (truth below), 0 (inside) or 1 (above); and log widths."""
    truth, frame = simulate(part, seed)
    law = law_named(part.law or truth.law)(AXES, objective=part.objective, random_state=seed).fit(frame)
    spans, true = {}, {}
    if not part.law:
        true, spans = known(part, truth), getattr(law, part.asked)(LEVEL)
    if part.asked == "intervals":
        ends = np.array([[size[0], size[-1]] for size in part.sizes])
        for name, at in (("in range", np.sqrt(ends.prod(axis=1))), ("beyond", 3 * ends[:, 1])):
            spans[name] = law.predict(dict(zip(AXES, at, strict=True)), interval=LEVEL).interval
            true[name] = float(value(part, truth, at[None])[0])
    missed = {
        name: int(one > spans[name][1] * (1 + 1e-12)) - int(one < spans[name][0] * (1 - 1e-12))
        for name, one in true.items()
    }
    widths = {name: float(np.log(spans[name][1] / spans[name][0])) for name in ("in range", "beyond") if name in spans}
    return seed % len(part.truths), missed, widths


def rate(values: list[int]) -> dict[str, float]:
    """Return coverage and the two kinds of misses."""
    n = max(len(values), 1)
    inside, below, above = (sum(one == side for one in values) / n for side in (0, -1, 1))
    return {"covered": round(inside, 4), "truth_below": round(below, 4), "truth_above": round(above, 4)}


def over_studies(found: list[dict[str, int]], suffix: str = "") -> dict[str, float]:
    """Return coverage of all parameters whose names end so, with its standard error over studies."""
    told = [[one for name, one in missed.items() if name not in POINTS and name.endswith(suffix)] for missed in found]
    told = [missed for missed in told if missed]
    if not told:
        return {}
    shares = np.array([np.mean([one == 0 for one in missed]) for missed in told])
    error = float(shares.std(ddof=1) / math.sqrt(len(shares))) if len(shares) > 1 else math.nan
    return rate([one for missed in told for one in missed]) | {"standard_error": round(error, 4)}


POINTS = ("in range", "beyond")


def at_points(found: list[tuple[int, dict[str, int], dict[str, float]]]) -> dict[str, Any]:
    """Return coverage and median log width of predictions."""
    result = {}
    for name in POINTS:
        told = [(missed[name], widths[name]) for _, missed, widths in found if name in missed]
        if told:
            covered = rate([one for one, _ in told])
            error = math.sqrt(covered["covered"] * (1 - covered["covered"]) / len(told))
            width = round(float(np.median([width for _, width in told])), 4)
            result[name] = covered | {"standard_error": round(error, 4), "median_log_width": width}
    return result


def summarise(part: Part, found: list[tuple[int, dict[str, int], dict[str, float]]]) -> dict[str, Any]:
    """Return coverage over everything, by kind of parameter, by truth, and of predictions."""
    missed = [one for _, one, _ in found]
    by_truth = []
    for which, truth in enumerate(part.truths):
        own = [one for one in found if one[0] == which]
        if own:
            names = list(own[0][1])
            each = {name: rate([one[name] for _, one, _ in own])["covered"] for name in names}
            told = {"law": truth.law, "weights": truth.weights, "shape": truth.shape, "studies": len(own)}
            by_truth.append(told | {"overall": over_studies([one for _, one, _ in own]), "covered": each})
    kinds = {kind: over_studies(missed, kind) for kind in ("exponent", "coefficient", "floor")}
    return {
        "studies": len(found),
        "level": LEVEL,
        "objective": part.objective,
        "overall": over_studies(missed),
        "by_kind": {kind: told for kind, told in kinds.items() if told},
        "predictions": at_points(found),
        "by_truth": by_truth,
    }


def machine() -> dict[str, Any]:
    """Return what it ran on."""
    cpu = platform.processor()
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        names = [line.split(":", 1)[1].strip() for line in listed.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {"cores": os.cpu_count(), "cpu": cpu}


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the result of one part."""
    part, started = PARTS[name], time.perf_counter()
    seeds = range(options.first, options.first + (options.count or part.count))
    if options.workers > 1:
        with ProcessPoolExecutor(options.workers) as pool:
            found = list(pool.map(partial(judge, part), seeds, chunksize=10))
    else:
        found = [judge(part, seed) for seed in seeds]
    told = {
        "command": f"python benchmarks/coverage.py --part {name} --first {seeds.start} --count {len(seeds)}",
        "seeds": [part.seed, seeds.start, seeds.stop - 1],
        "seconds": round(time.perf_counter() - started, 1),
        "workers": options.workers,
        "machine": machine(),
    }
    return summarise(part, found) | told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--count", type=int, help="studies; each part has a number of its own")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    for name in PARTS if options.part == "all" else [options.part]:
        result = run(name, options)
        print(name, json.dumps(result, indent=1), flush=True)
        if not options.no_record:
            recorded = json.loads(RESULT.read_text()) if RESULT.exists() else {}
            RESULT.write_text(json.dumps(recorded | {name: result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
