"""How often nominal 95% parameter intervals cover the truth, in simulated studies whose noise is shared.

Command: ``python benchmarks/coverage.py --count 1200 --workers 2`` (about six minutes on two busy cores); ``--first``
and ``--count`` run a part, ``--raw FILE`` adds it to the parts before.

Each simulated study has 5 seed blocks over 4 x 4 x 3 sizes. Noise is multiplicative and shared: .01 by all runs of a
block, .01 by the fine-tunings of a checkpoint, .006 of each run (the spreads of THEORY, where intervals from rows as if
independent cover 46% of a nominal 90%). The truths go round: usual exponents; exponents 0.2 and 2, far from the prior's
middle; floors of 0.05 and of 0. Counted is whether floor, every coefficient and every exponent lie in their intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from tippingpoint.laws import AdditivePowerLaw

AXES = ["n_pretrain", "n_params", "n_finetune"]
SIZES = ((1e3, 4e3, 1.6e4, 6.4e4), (2.5e6, 9.7e6, 2.17e7, 3.84e7), (100.0, 400.0, 1600.0))
SHARES = (0.2, 0.15, 0.15)  # each term at its smallest size
TRUTHS = (
    (0.05, (0.4, 0.5, 0.3)),
    (0.0, (0.2, 0.5, 0.4)),
    (0.05, (2.0, 0.5, 0.4)),
    (0.05, (0.4, 2.0, 0.2)),
    (0.0, (0.4, 2.0, 0.5)),
    (0.1, (0.2, 1.0, 2.0)),
)
BLOCK, CHECKPOINT, RUN, BLOCKS = 0.01, 0.01, 0.006, 5
LEVEL = 0.95
RESULT = Path(__file__).parent / "results" / "coverage.json"


def simulate(seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the runs of one study, and its true parameters by the names of the intervals."""
    floor, exponents = TRUTHS[seed % len(TRUTHS)]
    generator = np.random.default_rng([2026, seed])
    shape = (BLOCKS, *map(len, SIZES))
    terms = [share * (np.array(size) / size[0]) ** -e for share, size, e in zip(SHARES, SIZES, exponents, strict=True)]
    truth = floor + terms[0][:, None, None] + terms[1][:, None] + terms[2]
    shared = BLOCK * generator.standard_normal((BLOCKS, 1, 1, 1))
    shared = shared + CHECKPOINT * generator.standard_normal((*shape[:3], 1))
    error = truth * np.exp(shared + RUN * generator.standard_normal(shape))
    place = np.indices(shape).reshape(4, -1)
    frame = pd.DataFrame({name: np.array(size)[at] for name, size, at in zip(AXES, SIZES, place[1:], strict=True)})
    frame["error"], frame["seed"] = error.ravel(), place[0]
    frame["pretrain_id"] = [f"{b}-{p}-{m}" for b, p, m in place[:3].T]
    known = {"floor": floor}
    for name, share, size, exponent in zip(AXES, SHARES, SIZES, exponents, strict=True):
        known |= {f"{name}.coefficient": share * size[0] ** exponent, f"{name}.exponent": exponent}
    return frame, known


def judge(seed: int) -> tuple[int, dict[str, int]]:
    """Return which truth it was, and for every parameter -1 (truth below the interval), 0 (inside) or 1 (above)."""
    frame, known = simulate(seed)
    law = AdditivePowerLaw(AXES, objective="log", random_state=seed).fit(frame)
    spans = law.intervals(LEVEL)
    slack = 1e-12
    missed = {
        name: int(known[name] > high * (1 + slack)) - int(known[name] < low * (1 - slack))
        for name, (low, high) in spans.items()
    }
    return seed % len(TRUTHS), missed


def rate(values: list[int]) -> dict[str, float]:
    """Return coverage and the two kinds of misses."""
    n = len(values)
    inside = sum(one == 0 for one in values) / n
    below, above = (sum(one == side for one in values) / n for side in (-1, 1))
    return {"covered": round(inside, 4), "truth_below": round(below, 4), "truth_above": round(above, 4)}


def summarise(found: list[tuple[int, dict[str, int]]]) -> dict[str, object]:
    """Return coverage over everything, by parameter, and by truth."""
    names = list(found[0][1])
    everything = [one for _, missed in found for one in missed.values()]
    by_study = np.array([np.mean([one == 0 for one in missed.values()]) for _, missed in found])
    return {
        "studies": len(found),
        "level": LEVEL,
        "overall": rate(everything),
        "standard_error_over_studies": round(float(by_study.std(ddof=1) / math.sqrt(len(found))), 4),
        "exponents": rate([m[name] for _, m in found for name in names if name.endswith("exponent")]),
        "coefficients": rate([m[name] for _, m in found for name in names if name.endswith("coefficient")]),
        "floor": rate([m["floor"] for _, m in found]),
        "by_parameter": {name: rate([m[name] for _, m in found]) for name in names},
        "by_truth": [
            {
                "floor": floor,
                "exponents": exponents,
                "overall": rate([v for t, m in found if t == which for v in m.values()]),
                "exponents_only": rate([v for t, m in found if t == which for k, v in m.items() if "exponent" in k]),
                "floor_only": rate([m["floor"] for t, m in found if t == which]),
            }
            for which, (floor, exponents) in enumerate(TRUTHS)
            if any(t == which for t, _ in found)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--raw", type=Path, help="keep (truth, misses) of every study here; parts are added")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    started = time.perf_counter()
    seeds = range(options.first, options.first + options.count)
    if options.workers > 1:
        with ProcessPoolExecutor(options.workers) as pool:
            found = list(pool.map(judge, seeds, chunksize=10))
    else:
        found = [judge(seed) for seed in seeds]
    earlier: dict[str, object] = {}
    if options.raw:
        earlier = json.loads(options.raw.read_text()) if options.raw.exists() else {}
        earlier |= {str(seed): one for seed, one in zip(seeds, found, strict=True)}
        options.raw.write_text(json.dumps(earlier))
        found = list(earlier.values())  # type: ignore[arg-type]
    result = summarise(found) | {"seconds_of_this_part": round(time.perf_counter() - started, 1)}
    print(json.dumps(result, indent=1))
    if not options.no_record:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
