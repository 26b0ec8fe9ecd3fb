"""A simulated study: the truth is known, the table looks like what ``tippingpoint run`` writes."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.report.live import LiveServer

sys.path.insert(0, str(Path(__file__).parent))  # the tests of the live page share `live_study`

PARAMS = {2: 13_200, 4: 51_000, 8: 200_000}
UPSTREAM = "fashion_mnist[0-5]"
DOWNSTREAMS = ("fashion_mnist[6-9]", "digits")
SIZES = (250, 500, 1000, 2000, 4000, 8000, 16000)
FAR = {None: 0.0, "fashion_mnist[6-9]": 0.05, "digits": 0.15}


def truth(recipe: str, n_pretrain: float, n_params: float, n_teacher: float | None) -> float:
    """Return the cross-entropy that the simulated study draws its runs around, upstream."""
    model = 30.0 * n_params**-0.5
    if recipe == "distilled":
        assert n_teacher is not None
        return 0.31 + 8.0 * n_pretrain**-0.42 + model + 20.0 * n_teacher**-0.6
    if recipe == "smoothed":
        return 0.36 + 12.0 * n_pretrain**-0.47 + model
    if recipe == "scratch_extra_compute":
        return 0.30 + 15.4 * n_pretrain**-0.5 + model
    if recipe == "no_pretraining":
        return 1.1 + model
    return 0.30 + 16.0 * n_pretrain**-0.5 + model


def simulate(
    *,
    blocks: int = 4,
    sizes: Sequence[int] = SIZES,
    n_finetune: Sequence[int] = (100, 400),
    noise: float = 0.01,
    finetuned: bool = True,
    seed: int = 7,
) -> pd.DataFrame:
    """Return the runs table of a study with 2, 4 and 8 heads and all five recipes."""
    random = np.random.default_rng(seed)
    models = [("scratch", heads, None) for heads in (2, 4, 8)]
    models += [("distilled", 4, 2), ("distilled", 8, 2), ("smoothed", 4, None), ("scratch_extra_compute", 4, 2)]
    rows = []
    for block in range(blocks):
        shared = random.normal(0, noise, len(sizes))  # what the images of a block do to every recipe
        for recipe, heads, teacher in models:
            for place, n in enumerate(sizes):
                rows += _checkpoint(
                    random, recipe, heads, teacher, n, block, shared[place], noise, finetuned, n_finetune
                )
        if finetuned:
            rows += _checkpoint(random, "no_pretraining", 4, None, None, block, 0.0, noise, True, n_finetune)
    return pd.DataFrame(rows)


def _checkpoint(
    random: np.random.Generator,
    recipe: str,
    heads: int,
    teacher: int | None,
    n: int | None,
    block: int,
    shared: float,
    noise: float,
    finetuned: bool,
    n_finetune: Sequence[int],
) -> list[dict[str, Any]]:
    """Return the rows of one pretrained model: its upstream score and its fine-tunings."""
    level = truth(recipe, n or 1, PARAMS[heads], PARAMS[teacher] if teacher else None)
    level *= float(np.exp(shared + random.normal(0, noise)))
    name = f"{recipe}-{heads}-{teacher or 0}-{n or 0}-{block}"
    steps = max(600, 8 * (n or 0) // 64)
    flops = 6.0 * PARAMS[heads] * 16 * 64 * steps
    base = {
        "schema_version": 1,
        "recipe": recipe,
        "upstream": UPSTREAM,
        "n_pretrain": n,
        "n_params": PARAMS[heads],
        "n_params_head": 6 * heads * 8,
        "n_params_teacher": PARAMS[teacher] if recipe == "distilled" and teacher else None,
        "teacher": f"heads={teacher}" if teacher else None,
        "subset_seed": block,
        "seed": block,
        "pretrain_id": name if n else None,
        "n_test": 6000,
        "scored_on": "test",
        "n_steps": steps,
        "pretrain_flops": flops if n else 0.0,
        "teacher_flops": flops / 3 if recipe == "distilled" else 0.0,
    }
    rows = []
    if n is not None:
        rows.append(_scored(base, "pretrained", None, None, level, flops=0.0, wall=0.02 * steps))
    if finetuned:
        for downstream in DOWNSTREAMS:
            for labels in n_finetune:
                own = (level + FAR[downstream] + 3.0 * labels**-0.6) * float(np.exp(random.normal(0, noise / 2)))
                rows.append(_scored(base, "finetuned", downstream, labels, own, flops=1e9 * labels, wall=3.0))
    return rows


def _scored(
    base: dict[str, Any],
    stage: str,
    downstream: str | None,
    labels: int | None,
    level: float,
    *,
    flops: float,
    wall: float,
) -> dict[str, Any]:
    total = base["pretrain_flops"] + base["teacher_flops"] + flops
    return {
        **base,
        "stage": stage,
        "downstream": downstream,
        "n_finetune": labels,
        "error": min(0.9, 0.25 * level + 0.05),
        "cross_entropy": level,
        "cross_entropy_calibrated": 0.97 * level,
        "finetune_flops": flops,
        "train_flops": total,
        "wall_s": wall,
    }


ENDPOINT = {
    "recipes": ["scratch", "distilled"],
    "along": "n_pretrain",
    "stage": "pretrained",
    "target": "cross_entropy",
    "upstream": UPSTREAM,
    "downstream": None,
    "student": {"heads": 4},
    "teacher": "heads=2",
    "at": {"n_params": PARAMS[4], "n_finetune": None},
}


def write_study(folder: Path, frame: pd.DataFrame, *, endpoint: dict[str, Any] | None = ENDPOINT) -> Path:
    """Publish a table as a study directory does: ``runs.csv``, ``cells.jsonl``, ``progress.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "runs.csv", index=False)
    cells = [
        {"schema_version": 1, "key": f"{i:08x}", "kind": "pretrain", "state": "done", "wall_s": 9.5} for i in range(20)
    ]
    (folder / "cells.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells), encoding="utf-8")
    progress = {
        "schema_version": 1,
        "study": {"name": "simulated", "endpoint": endpoint},
        "state": "done",
        "cells": {"done": 20, "failed": 0, "to_do": 0},
        "wall_s": 540.0,
    }
    (folder / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def study_frame() -> pd.DataFrame:
    """Return the whole simulated table; copy before changing it."""
    return simulate()


@pytest.fixture(scope="session")
def small_frame() -> pd.DataFrame:
    """Return a table of the pretrained stage alone."""
    return simulate(finetuned=False, blocks=4)


@pytest.fixture(scope="session")
def endpoint() -> dict[str, Any]:
    """Return the endpoint that the simulated study declared."""
    return dict(ENDPOINT)


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Path]:
    """Return the function that publishes a table as a study directory."""
    return write_study


@pytest.fixture(scope="session")
def make_runs() -> Callable[..., pd.DataFrame]:
    """Return the simulator itself."""
    return simulate


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LiveServer]]:
    """Return what serves a directory; every request looks at the files anew."""
    monkeypatch.setattr("tippingpoint.report.live.FRESH", 0.0)
    servers: list[tuple[LiveServer, threading.Thread]] = []

    def start(root: Path, *, answers: bool = False, **more: Any) -> LiveServer:
        server = LiveServer(root, port=0, **more)
        if not answers:
            server.study.answering.close()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a Chromium without a window."""
    sync = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need Playwright: pip install playwright"
    )
    known = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    with sync.sync_playwright() as play:
        for path in (None, *known):
            try:
                launched = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
            except sync.Error:
                continue
            yield launched
            launched.close()
            return
        pytest.skip("the browser tests need a Chromium: playwright install chromium, or the system's package")
