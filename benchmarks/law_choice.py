"""Does ``--law auto`` choose well over several axes? Simulated surfaces of five kinds, and our own study's runs.

Run: ``python benchmarks/law_choice.py`` (about a minute on one core; ``--quick`` for a look, ``--seeds N`` for more).
Measured: benchmarks/results/law_choice.json.

*Simulated.* A study on the grid below, three seed blocks, noise of 1, 2 or 5% (half of its standard deviation more is
common to a block); floors of 0, 0.02 and 0.08; exponents log-normal about 0.25-0.3 with spread 0.5. Kinds: the additive
law, the multiplying law without and with a floor, and two that are none of the averaged laws: the geometric mean of an
additive and a multiplying surface, and effective data transferred.
Score: RMSLE to the noise-free surface at all points of the grid widened by four times the largest size of each axis
that lie outside the data. ``auto`` sees the noisy runs alone.

*Our study.* Each group of the ``standard`` runs with the largest size of one axis after the other kept aside;
everything, the choice of law included, is done on the others.

The claim: the mean score of ``auto`` is at most 1.1 times that of the best of the averaged laws, the best one taken
*for each case with hindsight*, which no rule can do. It holds on the simulated studies (1.00; the exit status says so)
and on the 13 cases of our study (0.99). As geometric mean of the ratios of single cases it holds on the simulated
studies (0.97) and NOT on our study: 1.12, 0.99 on the ten finetuned cases and 1.69 on the three pretrained ones. There
one or two scales can be held out, and the law that is nearest at the last seen scale is not the nearest at the next.
``law_rules.py`` tries other rules on the same backtests and tells why none is shipped in its place.

Variants tried before this was written: about 30 weightings on 63 simulated studies with other seeds (0-20): powers 1,
2, 4, 8 of the backtest error, nine ways to subtract a noise floor, the single best law and equal shares, arithmetic and
geometric averages, with and without the floored multiplying law. Power 4 was kept, the simplest of those within two
points of the best. Then about 18 on 11 cases of our own study, when half of its runs were there, geometric averages
included: with one or two axes to hold out in place of three, a power of 4/3 for each axis held out did better than 4
(mean score over that of the best of three laws 1.08 against 1.11), and is what is shipped. Those runs are among the
ones scored here, so that the figures on our study are not of data unseen by the choice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tippingpoint.errors import RunsError
from tippingpoint.fitting.backtest import largest_folds
from tippingpoint.fitting.comparison import AVERAGED
from tippingpoint.laws.auto import AutoLaw
from tippingpoint.laws.registry import law_named
from tippingpoint.runs import Runs, default_axes, load_example, read_runs, select_group

Array = NDArray[np.float64]

AXES = ["n_pretrain", "n_params", "n_finetune"]
GRIDS = [[1e3, 1e4, 1e5, 1e6, 3e6], [2.5e6, 1e7, 2.2e7, 3.8e7], [1e2, 1e3, 1e4, 1e5]]
KINDS = ("additive", "multiplicative", "multiplicative-floor", "between", "transfer")
NOISES = (0.01, 0.02, 0.05)
BLOCKS = 3
RESULT = Path(__file__).parent / "results" / "law_choice.json"


def grid(wider: bool) -> Array:
    axes = [[*sizes, 4 * sizes[-1]] if wider else sizes for sizes in GRIDS]
    stacked: Array = np.stack([column.ravel() for column in np.meshgrid(*axes, indexing="ij")], axis=-1)
    return stacked


def surface(kind: str, sizes: Array, random: np.random.Generator) -> Array:
    logs = np.log(sizes) - np.log(grid(False)).mean(axis=0)
    floor = random.choice([0.0, 0.02, 0.08])
    exponents = np.exp(random.normal(np.log([0.25, 0.25, 0.3]), 0.5))
    added = floor + (0.35 * random.dirichlet([2, 2, 2]) * np.exp(-logs * exponents)).sum(axis=1)
    multiplied = (0.0 if kind == "multiplicative" else floor) + 0.25 * np.exp(-logs @ (0.6 * exponents))
    if kind == "transfer":
        moved = random.normal(0, 1.5) + logs[:, :2] @ (2 * exponents[:2])
        multiplied = floor + 0.25 * np.exp(-exponents[2] * np.logaddexp(logs[:, 2], moved))
    found: Array = {"additive": added, "between": np.sqrt(added * multiplied)}.get(kind, multiplied)
    return found


def simulated(kind: str, noise: float, seed: int) -> tuple[Runs, Array, Array]:
    """Return noisy runs inside, and sizes and noise-free error outside."""
    random = np.random.default_rng([1000 + seed, KINDS.index(kind), int(1000 * noise)])
    sizes = grid(True)
    y = surface(kind, sizes, random)
    inside = (sizes <= [axis[-1] for axis in GRIDS]).all(axis=1)
    frames = []
    for block in range(BLOCKS):
        jitter = noise * (random.standard_normal(inside.sum()) + 0.5 * random.standard_normal())
        frame = pd.DataFrame(sizes[inside], columns=AXES)
        frames.append(frame.assign(loss=y[inside] * np.exp(jitter), seed=block))
    return read_runs(pd.concat(frames, ignore_index=True)), sizes[~inside], y[~inside]


def scores(runs: Runs, axes: list[str], target: str, sizes: Array, y: Array) -> dict[str, float]:
    """Return the RMSLE of every law and of their average at sizes where y is known."""
    columns = dict(zip(axes, sizes.T, strict=True))
    laws = {name: law_named(name)(axes) for name in AVERAGED} | {"auto": AutoLaw(axes)}
    found = {}
    for name, law in laws.items():
        predicted = law.fit(runs, target).predict(columns)
        found[name] = float(np.sqrt(np.mean(np.log(predicted / y) ** 2)))
    return found


def studies() -> Iterator[tuple[dict[str, str], Runs, list[str], Array, Array]]:
    """Yield, for each group of the standard runs and axis, what is to be learned from and what to be foretold."""
    try:
        table = load_example()
    except RunsError:
        return
    keys = ["recipe", "stage", "upstream", "downstream"]
    for values in table.frame[keys].drop_duplicates().astype(object).to_numpy():
        group = {key: str(value) for key, value in zip(keys, values, strict=True) if not pd.isna(value)}
        try:
            runs = select_group(table, **group)
            axes = default_axes(runs)
        except RunsError:
            continue
        sizes = np.column_stack([runs.numbers(axis) for axis in axes])
        for fold in largest_folds(sizes, axes) if len(axes) > 1 else []:
            kept = runs.keep(~fold.held)
            if all(len(np.unique(column)) > 1 for column in sizes[~fold.held].T):
                yield group | {"held": fold.name}, kept, axes, sizes[fold.held], runs.numbers("error")[fold.held]


def summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean scores, and the average's over those of the better law of each case."""
    table = pd.DataFrame([case["rmsle"] for case in cases])
    better = table[list(AVERAGED)].min(axis=1)
    plain = table[["additive", "multiplicative"]].min(axis=1)
    return {
        "cases": len(cases),
        "mean_rmsle": {name: round(float(table[name].mean()), 5) for name in table},
        "mean_of_better": round(float(better.mean()), 5),
        "ratio_of_means": round(float(table["auto"].mean() / better.mean()), 4),
        "geometric_mean_ratio": round(float(np.exp(np.log(table["auto"] / better).mean())), 4),
        "ratio_of_means_two_laws": round(float(table["auto"].mean() / plain.mean()), 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="one seed; nothing is written")
    options = parser.parse_args()
    begun = time.process_time()
    cases: dict[str, list[dict[str, object]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for noise in NOISES:
            for seed in range(1 if options.quick else options.seeds):
                runs, sizes, y = simulated(kind, noise, seed)
                cases[kind].append({"noise": noise, "seed": seed, "rmsle": scores(runs, AXES, "loss", sizes, y)})
    own = [{**what, "rmsle": scores(runs, axes, "error", sizes, y)} for what, runs, axes, sizes, y in studies()]
    everything = [case for kind in KINDS for case in cases[kind]]
    found: dict[str, Any] = {
        "command": f"python benchmarks/law_choice.py --seeds {options.seeds}",
        "simulated": summary(everything),
        "by_kind": {kind: summary(some) for kind, some in cases.items()},
        "by_noise": {str(noise): summary([case for case in everything if case["noise"] == noise]) for noise in NOISES},
        "standard_study": summary(own) if own else None,
        "standard_cases": own,
        "cpu_s": round(time.process_time() - begun, 1),
    }
    print(json.dumps({key: value for key, value in found.items() if key != "standard_cases"}, indent=1))
    if not options.quick:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["simulated"]["ratio_of_means"] <= 1.1 else 1


if __name__ == "__main__":
    sys.exit(main())
