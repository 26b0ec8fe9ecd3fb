"""How long fits take, beside scipy's L-BFGS from the published grid and scipy's curve_fit, in one thread and one run.

Command: ``OMP_NUM_THREADS=1 python benchmarks/fit_speed.py`` (about a minute; needs ../shared/data/fitting).

Times are of the processor, the median of the repetitions where there are several; imports are timed apart. The grid of
4,500 starts is sampled and its time scaled, which is said in the result.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

_BEGUN = time.process_time()
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy.optimize import curve_fit, minimize  # noqa: E402

from tippingpoint.fitting.additive import fit_additive, refit_additive  # noqa: E402

IMPORTS = time.process_time() - _BEGUN
DATA = Path(__file__).parents[1].parent / "shared/data/fitting/chinchilla_epoch/svg_extracted_data.csv"
RESULTS = Path(__file__).parent / "results"
STARTS, SAMPLE, RESAMPLES, DELTA = 4500, 60, 4000, 1e-3


def clock(work: Callable[[], object], repetitions: int = 1) -> tuple[float, object]:
    """Return the median processor time in seconds, and the last result."""
    times, result = [], None
    for _ in range(repetitions):
        begun = time.process_time()
        result = work()
        times.append(time.process_time() - begun)
    return float(np.median(times)), result


def chinchilla() -> tuple[np.ndarray, np.ndarray]:
    frame = pd.read_csv(DATA)
    frame = frame[frame["loss"] < 3.42]  # the 240 runs of the published replication
    n = frame["Model Size"].to_numpy()
    return np.column_stack([n, frame["Training FLOP"].to_numpy() / (6 * n)]), frame["loss"].to_numpy()


def published(sizes: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Time L-BFGS with analytic gradients on a sample of the published grid of starts."""
    logs, target = np.log(sizes), np.log(y)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        parts = np.stack(
            [theta[0] - theta[3] * logs[:, 0], theta[1] - theta[4] * logs[:, 1], np.full(len(y), theta[2])]
        )
        top = parts.max(axis=0)
        shares = np.exp(parts - top)
        total = shares.sum(axis=0)
        shares /= total
        residual = top + np.log(total) - target
        inner = np.minimum(np.abs(residual), DELTA)
        slope = np.clip(residual, -DELTA, DELTA)
        down = shares @ slope
        gradient = [down[0], down[1], down[2], -(shares[0] * slope) @ logs[:, 0], -(shares[1] * slope) @ logs[:, 1]]
        return float((inner * (np.abs(residual) - inner / 2)).sum()), np.array(gradient)

    exponents, floors, scales = np.arange(0, 2.5, 0.5), np.arange(-1, 1.5, 0.5), np.arange(0, 30, 5.0)
    grid = list(product(scales, scales, floors, exponents, exponents))
    picked = [grid[at] for at in np.random.default_rng(0).choice(len(grid), SAMPLE, replace=False)]
    seconds, values = clock(lambda: [minimize(loss, np.array(one), jac=True, method="L-BFGS-B").fun for one in picked])
    found = np.array(values)
    return {
        "seconds_scaled_to_4500_starts": seconds * STARTS / SAMPLE,
        "best_of_sample": float(found.min()),
        "share_within_1e-6": float((found < 0.0010182740178 + 1e-6).mean()),
        "starts_timed": SAMPLE,
    }


def by_curve_fit(sizes: np.ndarray, y: np.ndarray) -> dict[str, float | str]:
    def law(x: np.ndarray, e: float, a: float, b: float, p: float, q: float) -> np.ndarray:
        return np.asarray(e + a * x[:, 0] ** -p + b * x[:, 1] ** -q)

    try:
        seconds, found = clock(lambda: curve_fit(law, sizes, y, p0=np.ones(5)), 3)
    except RuntimeError as error:
        return {"failed": str(error)}
    theta = found[0]  # type: ignore[index]
    residual = np.abs(np.log(np.maximum(law(sizes, *theta), 1e-300)) - np.log(y))
    inner = np.minimum(residual, DELTA)
    return {"seconds": seconds, "objective": float((inner * (residual - inner / 2)).sum())}


def simulated(shape: tuple[int, ...], copies: int) -> tuple[np.ndarray, np.ndarray]:
    axes = np.meshgrid(*(np.geomspace(1e3, 1e6, count) for count in shape), indexing="ij")
    sizes = np.tile(np.stack([axis.ravel() for axis in axes], axis=-1), (copies, 1))
    y = 0.05 + (np.array([0.2, 0.1, 0.15]) * (sizes / 3e4) ** -np.array([0.3, 0.5, 0.4])).sum(axis=1)
    return sizes, y * np.exp(0.02 * np.random.default_rng(0).standard_normal(len(y)))


def main() -> int:
    if not DATA.is_file():
        print("skipped: ../shared/data/fitting/chinchilla_epoch is not beside the project")
        return 0
    sizes, y = chinchilla()
    one, fit = clock(lambda: fit_additive(sizes, y), 25)
    weights = np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)), RESAMPLES).astype(float)
    many, refits = clock(lambda: refit_additive(sizes, y, weights, fit))  # type: ignore[arg-type]
    three, _ = clock(lambda: fit_additive(*simulated((7, 7, 4), 1)), 9)
    large, _ = clock(lambda: fit_additive(*simulated((10, 10, 10), 100)))
    peer, rough = published(sizes, y), by_curve_fit(sizes, y)
    found = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, one thread",
        "imports_s": IMPORTS,
        "chinchilla_fit_s": one,
        "chinchilla_objective": fit.objective,  # type: ignore[attr-defined]
        "refits_4000_s": many,
        "refits_converged": float(refits.converged.mean()),  # type: ignore[attr-defined]
        "runs_196_axes_3_s": three,
        "runs_100000_axes_3_s": large,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "published_grid_lbfgs": peer,
        "times_faster_than_published_grid": peer["seconds_scaled_to_4500_starts"] / one,
        "curve_fit": rough,
    }
    print(json.dumps(found, indent=1))
    (RESULTS / "fit_speed.json").write_text(json.dumps(found, indent=1) + "\n")
    rows = [
        ("Chinchilla, one fit", f"{one * 1e3:.1f} ms at {found['chinchilla_objective']:.13f}", "<= 10 ms"),
        ("4,000 bootstrap refits", f"{many:.2f} s", "<= 5 s"),
        ("196 runs x 3 axes", f"{three * 1e3:.1f} ms", "<= 30 ms"),
        ("100,000 runs x 3 axes", f"{large:.2f} s, {found['peak_memory_mb']:.0f} MB", "<= 5 s, 1 GB"),
        (
            f"L-BFGS, published 4,500 starts ({SAMPLE} timed, scaled)",
            f"{peer['seconds_scaled_to_4500_starts']:.0f} s, best of the sample {peer['best_of_sample']:.13f}",
            f"{found['times_faster_than_published_grid']:.0f} times ours",
        ),
        ("scipy curve_fit from ones (least squares)", ", ".join(f"{k} {v}" for k, v in rough.items()), ""),
    ]
    head = f"# Speed of fits\n\n`{'OMP_NUM_THREADS=1 python benchmarks/fit_speed.py'}`: {found['machine']}.\n"
    lines = [
        "| what | measured | asked / ratio |",
        "| --- | --- | --- |",
        *(f"| {a} | {b} | {c} |" for a, b, c in rows),
    ]
    (RESULTS / "fit_speed.md").write_text(head + "\n" + "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
