r"""What choosing the runs is worth: adaptive choice against other orders, on simulated studies and on recorded runs.

Command: ``python benchmarks/adaptive.py`` (``--count 100`` surfaces; ``--workers 2`` for two processes)

The question is where the better of ``scratch`` and ``distilled`` changes along n_pretrain, at the largest model with
all labels (``simulated_studies.py``: four kinds of truth in turn, noise 2% of the error). Runs beyond three seed blocks
are candidates: twelve blocks in all.

*Cost* is training FLOPs: parameters x images, the same number of epochs everywhere; a teacher's forward passes cost a
third of its training; fine-tuning is included, and the teacher of a block and size is trained once. The base, 1, is
what a full grid of three blocks costs along n_pretrain at this place: 7 sizes x 3 blocks x (scratch, distilled, their
teacher, two fine-tunings). ``whole_study`` is what that is of the whole grid of 7 x 4 x 7 sizes with both recipes.

*Orders*, each beginning with the first set, the three smallest sizes in two blocks, and asking anew after every choice:

* ``adaptive``: ``next_cells``, one candidate at a time;
* ``random``: a pair of both recipes at a size and block drawn at random from all sizes of all twelve blocks;
* ``cheapest``: the cheapest pair that is not done, of the first three blocks, then of the next three, and so on.

An order stops as ``run --adaptive`` stops: when the width of the answer (``Next.width``, decades) is at most 1.25 times
the full grid's on the same surface, and what is open lies inside the sizes that were run. It is given up at a cost of
1. ``coverage`` is that of the crossing's 90% interval where it stopped, ``share_within_third`` the part of the surfaces
that stopped at a cost of a third or less, ``width_ratio_at_third`` the median over the surfaces of the width that a
third of the cost buys (or less, where the order stopped before) over the full grid's.

``replay`` does the same on the recorded runs of our own study (five blocks, no others), for its primary endpoint, with
the costs that its table says, to the end of each order. The truth is not known there: no coverage.

Five variants of the rule were tried, on surfaces 100 to 139 (part ``main`` uses 3,000,000 and on): as first set the
three smallest sizes in two blocks, in three, and sizes 1, 3 and 5 of 7 in two; pairs alone as candidates, or single
runs too; and, added last, that what is open must lie inside the sizes that were run before it stops.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from simulated_studies import AT, KINDS, N_FINETUNE, N_PARAMS, N_PRETRAIN, Truth, draw_truth, simulate

from tippingpoint import load_example
from tippingpoint.advice.next_choice import next_cells
from tippingpoint.advice.next_result import Next
from tippingpoint.boundary.diagnosis import laws_hold
from tippingpoint.boundary.draws import fit_pair
from tippingpoint.boundary.paired import pair_up
from tippingpoint.boundary.selection import select_pair
from tippingpoint.runs import read_runs

FIRST = 3_000_000
NOISE, BLOCKS, RESAMPLES, LEVEL = 0.02, 12, 400, 0.9
WIDER, GIVEN_UP = 1.25, 1.0
ORDERS = ("adaptive", "random", "cheapest")
RESULT = Path(__file__).parent / "results" / "adaptive.json"
TEACHER, STUDENT = float(N_PARAMS[0]), float(N_PARAMS[-1])
Array = NDArray[np.float64]
Run = tuple[int, float, int]  # which recipe, n_pretrain, block


class Pool:
    """All runs that could be made, which are done, and what they cost.

    ``frame`` has one row for each; ``own`` and ``teacher`` are the cost of each run itself and of the teacher that it
    needs; ``base`` is what the full grid costs.
    """

    def __init__(self, frame: pd.DataFrame, own: Array, teacher: Array, question: dict[str, Any]) -> None:
        self.frame, self.question = frame.reset_index(drop=True), question
        self.student = float(question["at"]["n_params"])
        self.guide = float(frame["n_params_teacher"].dropna().iloc[0])
        side = (frame["recipe"] == "distilled").astype(int)
        self.runs: list[Run] = list(zip(side, frame["n_pretrain"], frame["subset_seed"], strict=True))
        self.place = {run: i for i, run in enumerate(self.runs)}
        self.own, self.teacher = own, teacher
        self.sizes = sorted({run[1] for run in self.runs})
        self.blocks = sorted({run[2] for run in self.runs})

    def cost(self, runs: set[Run]) -> float:
        """Return what runs cost, a teacher for a size and block once."""
        taught = {run[1:]: self.teacher[self.place[run]] for run in runs if run[0] == 1}
        return float(sum(self.own[self.place[run]] for run in runs) + sum(taught.values()))

    def table(self, runs: set[Run]) -> pd.DataFrame:
        """Return the runs that are done."""
        return self.frame.iloc[sorted(self.place[run] for run in runs)].reset_index(drop=True)

    def cells(self, runs: set[Run]) -> list[dict[str, Any]]:
        """Return every run as a study lists its cells, so that next_cells chooses from exactly these."""
        found = []
        for size in self.sizes:
            for block in self.blocks:
                taught = (1, size, block) in runs
                guide = f"t {size} {block}"
                found.append(_cell(guide, "teacher", size, block, self.guide, self._teacher(size, block), taught, {}))
                for side, recipe in enumerate(("scratch", "distilled")):
                    run = (side, size, block)
                    if run in self.place:
                        parents = {"teacher_0": guide} if side else {}
                        cost = float(self.own[self.place[run]])
                        key = f"{side} {size} {block}"
                        found.append(_cell(key, recipe, size, block, self.student, cost, run in runs, parents))
        return found

    def _teacher(self, size: float, block: int) -> float:
        return float(self.teacher[self.place[(1, size, block)]])

    def ask(self, runs: set[Run], beyond: bool = False) -> Next:
        """Return what the runs say, and which to make next."""
        about = {"batch": 1, "extra_seeds": 0, "resamples": RESAMPLES, "level": LEVEL, "beyond": beyond}
        return next_cells(self.table(runs), cells=self.cells(runs), **self.question, **about)

    def width(self, runs: set[Run]) -> float:
        """Return the width as the laws say it, without a ranking; 0 where they may miss the runs: then ask."""
        asked = {"along": "n_pretrain", "target": "error", "recipes": ("scratch", "distilled"), **self.question}
        chosen = select_pair(read_runs(self.table(runs)), **asked)
        draws = fit_pair(chosen, resamples=RESAMPLES, random_state=0, objective="log").draws
        sizes = np.geomspace(self.sizes[0], self.sizes[-1], 484)
        law = draws.differences[draws.middle(sizes, np.ones(draws.total, dtype=bool))]
        if not laws_hold(chosen, law, pair_up(chosen, LEVEL)):
            return 0.0
        share = (draws.values(sizes) > 0).mean(axis=0)
        open_ = (share > (1 - LEVEL) / 2) & (share < (1 + LEVEL) / 2)
        return float(open_.mean() * math.log10(sizes[-1] / sizes[0]))


def _cell(
    key: str, recipe: str, size: float, block: int, n_params: float, cost: float, done: bool, parents: dict[str, str]
) -> dict[str, Any]:
    where = {"recipe": recipe, "teacher": "heads=2" if parents else None, "n_pretrain": size, "n_finetune": None}
    where |= {"subset_seed": block, "seed": block, "downstream": None}
    return {
        "key": key,
        "kind": "pretrain",
        "label": f"{recipe} {size:g} block {block}/{block}",
        "state": "done" if done else "todo",
        "inputs": {"where": where, "parents": parents},
        "cost": {"n_params": n_params, "flops": cost, "guidance_flops": 0.0},
    }


# --- orders ---


def choose(order: str, pool: Pool, done: set[Run], found: Next | None, generator: np.random.Generator) -> set[Run]:
    """Return the runs to make next; none where the order has come to its end."""
    if order == "adaptive":
        runs = set()
        for one in found.candidates if found else ():
            for key in one.cells:
                side, size, block = key.split()
                if side != "t":
                    runs.add((int(side), float(size), int(float(block))))
        return runs
    pairs = [(size, block) for size in pool.sizes for block in pool.blocks if (0, size, block) not in done]
    if not pairs:
        return set()
    if order == "random":
        size, block = pairs[int(generator.integers(len(pairs)))]
    else:
        size, block = min(pairs, key=lambda pair: (pair[1] // 3, pair[0], pair[1]))
    return {(0, size, block), (1, size, block)}


def walk(pool: Pool, order: str, wanted: float, base: float, seed: int) -> dict[str, Any]:
    """Follow one order until its answer is as narrow as wanted; return its path and what it says where it stopped."""
    generator = np.random.default_rng([5, seed])
    done = {(side, size, block) for side in (0, 1) for size in pool.sizes[:3] for block in pool.blocks[:2]}
    path = []
    while True:
        cost = pool.cost(done) / base
        found = None if order != "adaptive" and (width := pool.width(done)) > wanted else pool.ask(done)
        path.append((cost, width if found is None else found.width))
        sharp = found is not None and found.width <= wanted
        if sharp and not found.bracketed and order == "adaptive":
            found = pool.ask(done, beyond=True)
        reached = sharp and found.bracketed
        more = set() if reached or cost > GIVEN_UP else choose(order, pool, done, found, generator)
        if not more:
            found = pool.ask(done) if found is None else found
            return {"cost": cost, "reached": reached, "path": path, "found": found}
        done = done | more


# --- simulated ---


def surface(seed: int) -> tuple[Pool, Truth]:
    """Return the runs of one simulated study at the place, as pretrained models for their cells, and the truth."""
    truth = draw_truth(KINDS[seed % len(KINDS)], seed)
    frame = simulate(truth, NOISE, seed, blocks=BLOCKS)
    frame = frame[np.isclose(frame["n_params"], STUDENT) & np.isclose(frame["n_finetune"], AT["n_finetune"])]
    frame = frame.drop(columns=["n_finetune", "downstream"]).assign(stage="pretrained", pretrain_id=None)
    frame["pretrain_id"] = [
        f"{r} {s} {b}" for r, s, b in zip(frame.recipe, frame.n_pretrain, frame.subset_seed, strict=True)
    ]
    size = frame["n_pretrain"].to_numpy()
    guided = (frame["recipe"] == "distilled").to_numpy()
    own = STUDENT * (size + AT["n_finetune"]) + np.where(guided, TEACHER * size / 3, 0.0)
    question = {"stage": "pretrained", "at": {"n_params": STUDENT}, "teacher": "heads=2"}
    return Pool(frame, own, np.where(guided, TEACHER * size, 0.0), question), truth


def whole_study() -> float:
    """Return the part of a three-block study of the whole grid that the full grid at the place costs."""
    images, labels = float(N_PRETRAIN.sum()), float(N_FINETUNE.sum())
    guided = N_PARAMS[1:]
    whole = float(
        (N_PARAMS * (images + 7 * labels)).sum() + (guided * (images + 7 * labels) + TEACHER * images / 3).sum()
    )
    place = 2 * STUDENT * (images + 7 * AT["n_finetune"]) + TEACHER * images * (1 + 1 / 3)
    return place / whole


def judge(seed: int, orders: tuple[str, ...]) -> dict[str, Any]:
    """Follow every order on one surface."""
    pool, truth = surface(seed)
    grid = {run for run in pool.runs if run[2] < 3}
    base, full = pool.cost(grid), pool.ask(grid)
    found: dict[str, Any] = {"seed": seed, "kind": truth.kind, "full_width": full.width}
    stopped = {"full": {"cost": 1.0, "reached": True, "path": [], "found": full}}
    stopped |= {order: walk(pool, order, WIDER * full.width, base, seed) for order in orders}
    for name, one in stopped.items():
        found[name] = {**one, "width": one["found"].width} | _against(truth, one.pop("found"))
        del found[name]["found"]
    return found


def _against(truth: Truth, found: Next) -> dict[str, bool]:
    """Hold the interval of the crossing of the truth's direction against the truth; open ends reach to all sizes."""
    way = "second recipe helps below" if truth.regime == "below" else "second recipe helps above"
    own = [one["interval"] for one in found.crossings if one["direction"] == way and one["interval"] is not None]
    low, high = own[0] if own else (None, None)
    covered = (low is None or low <= truth.crossing) and (high is None or truth.crossing <= high)
    return {"covered": bool(covered), "open": low is None or high is None}


def summarise(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the figures of one order."""
    own = [one[name] for one in found]
    cost = np.array([one["cost"] for one in own])
    covered = float(np.mean([one["covered"] for one in own]))
    told = {
        "mean_cost": round(float(cost.mean()), 4),
        "standard_error": round(float(cost.std(ddof=1) / math.sqrt(len(cost))), 4),
        "median_cost": round(float(np.median(cost)), 4),
        "share_within_third": round(float((cost <= 1 / 3).mean()), 4),
        "reached": round(float(np.mean([one["reached"] for one in own])), 4),
        "mean_width_ratio": round(
            float(np.mean([one[name]["width"] / max(one["full_width"], 1e-9) for one in found])), 4
        ),
        "coverage": round(covered, 4),
        "coverage_standard_error": round(math.sqrt(covered * (1 - covered) / len(own)), 4),
        "open": round(float(np.mean([one["open"] for one in own])), 4),
    }
    if own[0]["path"]:
        ratios = [_at_third(one[name]["path"]) / one["full_width"] for one in found]
        told["width_ratio_at_third"] = round(float(np.median(ratios)), 4)
    return told


def _at_third(path: list[tuple[float, float]]) -> float:
    """Return the width that a third of the cost buys; the last one where the order stopped before."""
    return [width for cost, width in path if cost <= 1 / 3][-1]


# --- recorded ---


def recorded() -> Pool:
    """Return the recorded runs of our own study at its primary endpoint, with the costs that the table says."""
    frame = load_example().frame
    frame = frame[frame["stage"] == "pretrained"]
    teacher = frame[(frame["recipe"] == "scratch") & (frame["student"] == "heads=2")]
    trained = {
        (size, block): flops
        for size, block, flops in zip(
            teacher["n_pretrain"], teacher["subset_seed"], teacher["pretrain_flops"], strict=True
        )
    }
    keep = (frame["student"] == "heads=4") & frame["recipe"].isin(["scratch", "distilled"])
    own = frame[keep].reset_index(drop=True)
    guide = np.array([trained[key] for key in zip(own["n_pretrain"], own["subset_seed"], strict=True)])
    guided = (own["recipe"] == "distilled").to_numpy()
    guide = np.where(guided, guide, 0.0)
    cost = own["train_flops"].to_numpy() - guide
    at = {"n_params": float(own["n_params"].iloc[0])}
    question = {"stage": "pretrained", "target": "cross_entropy", "at": at, "teacher": "heads=2"}
    return Pool(own, cost, guide, question)


def replay(order: str) -> list[dict[str, Any]]:
    """Follow one order on the recorded runs to their end; return cost, width, basis and answer of every step."""
    pool = recorded()
    base, generator = pool.cost(set(pool.runs)), np.random.default_rng(0)
    done = {(side, size, block) for side in (0, 1) for size in pool.sizes[:3] for block in pool.blocks[:2]}
    path: list[dict[str, Any]] = []
    while True:
        found = pool.ask(done)
        cost = round(pool.cost(done) / base, 4)
        path.append({"cost": cost, "width": round(found.width, 4), "basis": found.basis, "bracketed": found.bracketed})
        path[-1] |= {"runs": len(done), "answer": found.answer}
        more = choose(order, pool, done, found, generator)
        if not more and len(done) < len(pool.runs):
            found = pool.ask(done, beyond=True)
            more = choose(order, pool, done, found, generator)
        if not more:
            return path
        done = done | more


# --- command ---


def _table(main: dict[str, Any]) -> None:
    head = ("order", "mean cost", "median", "<= 1/3", "reached", "width ratio", "at 1/3", "coverage", "open")
    keys = (
        "mean_cost",
        "median_cost",
        "share_within_third",
        "reached",
        "mean_width_ratio",
        "width_ratio_at_third",
        "coverage",
        "open",
    )
    rows = [head, *((name, *(f"{own.get(key, math.nan):.3f}" for key in keys)) for name, own in main["orders"].items())]
    for row in rows:
        print("  ".join(cell.rjust(12) for cell in row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["main", "replay"], action="append")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for part in options.part or ["main", "replay"]:
        started = time.perf_counter()
        if part == "main":
            orders = tuple(options.orders.split(","))
            work: Callable[[int], dict[str, Any]] = partial(judge, orders=orders)
            with ProcessPoolExecutor(options.workers) as pool:
                found = list(pool.map(work, range(options.first, options.first + options.count)))
            result["main"] = {
                "surfaces": options.count,
                "noise": NOISE,
                "level": LEVEL,
                "whole_study": round(whole_study(), 4),
                "median_full_width": round(float(np.median([one["full_width"] for one in found])), 4),
                "orders": {name: summarise(found, name) for name in ("full", *orders)},
            }
            _table(result["main"])
        else:
            result["replay"] = {order: replay(order) for order in ORDERS}
            for order, path in result["replay"].items():
                steps = "  ".join(f"{one['cost']:.2f}:{one['width']:.2f}{one['basis'][0]}" for one in path)
                print(f"{order}: {steps}")
        result["seconds"] = {**result.get("seconds", {}), part: round(time.perf_counter() - started)}
        print(f"{part}: {result['seconds'][part]} s", flush=True)
        result["command"] = "python benchmarks/adaptive.py"
        result["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        if not options.no_record:
            RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
