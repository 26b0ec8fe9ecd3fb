"""The trials behind the presets' settings, on validation images alone.

    python benchmarks/trials.py                     # some 12 minutes on two busy cores; prints the tables
    python benchmarks/trials.py --cache DIR         # keeps finished trainings in DIR and goes on from there

Test images are never looked at: every score is on the half of the validation images (20% of the training images, held
out) that does not set the temperature. The blocks used here (seeds 101 to 103) appear in no preset. All that was tried
is in here, whatever came out; the tables are recorded in benchmarks/results/trials.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

UPSTREAM = "fashion_mnist[0-5]"
LENGTH = {"epochs": 8, "min_steps": 600}
Task = dict[str, Any]


def model(heads: int) -> dict[str, int]:
    return {"heads": heads, "head_dim": 8, "depth": 4, "patch_size": 7}


def task(data: str, heads: int, n: int, seed: int, rate: float, length: dict[str, int], **changes: Any) -> Task:
    guidance = changes.get("guidance")
    return {
        "kind": "pretrain",
        "model": model(heads),
        "data": {"name": data, "image_size": 28, "channels": 1, "validation_fraction": 0.2},
        "n_images": n,
        "subset_seed": seed,
        "seed": seed,
        "score_on": "validation",
        "training": {
            "batch_size": 64,
            "learning_rate": rate,
            "weight_decay": 0.05,
            "warmup_steps": 50,
            "warmup_learning_rate": 1e-6,
            "final_learning_rate": 1e-5,
            "length": length,
        },
        "guidance": guidance,
        "teachers": [model(2)] if guidance else [],
        "label_smoothing": changes.get("label_smoothing", 0.0),
        "extra_flops": 0.0,
    }


def tuning(data: str, n: int, rate: float, steps: int) -> Task:
    tuned = task(data, 4, n, 102, rate, {"steps": steps})
    tuned["kind"] = "finetune"
    tuned["training"].update(batch_size=32, warmup_steps=20, warmup_learning_rate=1e-5)
    return tuned


def guidance(w: float, tau: float, attention: float) -> dict[str, float]:
    return {"label_weight": w, "temperature": tau, "attention_weight": attention, "attention_temperature": 1.0}


def done(job: tuple[Task, list[tuple[str, Task]], str]) -> dict[str, Any]:
    """Do one training (its parents first), or take it from the cache."""
    from tippingpoint.lab import tasks

    what, parents, cache = job
    folder = place(cache, what, parents)
    if not (folder / "result.json").exists():
        tasks.prepare_worker()
        for _, parent in parents:
            done((parent, [], cache))
        folder.mkdir(parents=True, exist_ok=True)
        result = tasks.execute(what, {role: place(cache, parent, []) for role, parent in parents}, folder)
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))


def place(cache: str, what: Task, parents: list[tuple[str, Task]]) -> Path:
    text = json.dumps([what, parents], sort_keys=True)
    return Path(cache) / hashlib.sha256(text.encode()).hexdigest()[:24]


def lengths() -> list[tuple[dict[str, Any], Task, list[tuple[str, Task]]]]:
    """Trial 1: how long to train, and at which peak rate (scratch, 4 heads, block 101)."""
    rows = []
    for data in (UPSTREAM, "fashion_mnist"):
        for n in (250, 2000, 12000):
            for rate in (1e-3, 2e-3, 4e-3) if data == UPSTREAM else (2e-3,):
                for steps in (400, 800):
                    about = {"trial": "length", "data": data, "n": n, "rate": rate, "steps": steps}
                    rows.append((about, task(data, 4, n, 101, rate, {"steps": steps}), []))
    return rows


def recipes() -> list[tuple[dict[str, Any], Task, list[tuple[str, Task]]]]:
    """Trial 2: two peak rates for scratch and for distilled, then what guides (2 -> 4 heads, blocks 102 and 103)."""
    settings: dict[str, Any] = {
        "scratch": {},
        "w=.5 tau=2 attention=1": {"guidance": guidance(0.5, 2, 1)},
        "w=.5 tau=2 attention=0": {"guidance": guidance(0.5, 2, 0)},
        "w=.9 tau=2 attention=1": {"guidance": guidance(0.9, 2, 1)},
        "w=.5 tau=4 attention=1": {"guidance": guidance(0.5, 4, 1)},
        "w=.2 tau=2 attention=1": {"guidance": guidance(0.2, 2, 1)},
        "label smoothing .1": {"label_smoothing": 0.1},
    }
    rows = []
    for n in (250, 1000, 4000, 12000):
        for rate, names in ((4e-3, list(settings)[:2]), (2e-3, list(settings))):
            for seed in (102, 103):
                teacher = task(UPSTREAM, 2, n, seed, rate, LENGTH)
                about = {"trial": "recipe", "n": n, "rate": rate, "seed": seed}
                rows.append(({**about, "recipe": "teacher (2 heads)"}, teacher, []))
                for name in names:
                    student = task(UPSTREAM, 4, n, seed, rate, LENGTH, **settings[name])
                    parents = [("teacher_0", teacher)] if student["guidance"] else []
                    rows.append(({**about, "recipe": name}, student, parents))
    return rows


def tunings() -> list[tuple[dict[str, Any], Task, list[tuple[str, Task]]]]:
    """Trial 3: rate and length of fine-tuning, from 4,000 upstream images and from random weights (block 102)."""
    start = task(UPSTREAM, 4, 4000, 102, 4e-3, LENGTH)
    rows = []
    for data in ("fashion_mnist[6-9]", "digits"):
        for n in (50, 200, 800):
            for rate in (5e-4, 1e-3, 2e-3):
                for steps in (150, 300):
                    for pretrained in (True, False):
                        about = {"trial": "tuning", "data": data, "n": n, "rate": rate, "steps": steps}
                        parents = [("init", start)] if pretrained else []
                        rows.append(({**about, "pretrained": pretrained}, tuning(data, n, rate, steps), parents))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", default=None, help="folder that keeps finished trainings")
    parser.add_argument("--output", default="benchmarks/results/trials.json")
    parser.add_argument("--only", choices=["lengths", "recipes", "tunings"], default=None)
    options = parser.parse_args()
    cache = options.cache or tempfile.mkdtemp(prefix="trials-")
    chosen = [lengths, recipes, tunings] if options.only is None else [globals()[options.only]]
    rows = [row for make in chosen for row in make()]
    first = [row for row in rows if row[0].get("recipe") == "teacher (2 heads)"]
    with get_context("spawn").Pool(2) as pool:
        pool.map(done, [(what, parents, cache) for _, what, parents in first], chunksize=1)
        results = pool.map(done, [(what, parents, cache) for _, what, parents in rows], chunksize=1)
    table = []
    for (about, _, _), result in zip(rows, results, strict=True):
        scores = {name: result["scores"][name] for name in ("error", "cross_entropy", "cross_entropy_calibrated")}
        table.append({**about, **scores})
        print(about, {name: round(value, 4) for name, value in scores.items()})
    Path(options.output).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
