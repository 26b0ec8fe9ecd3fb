"""How long fits take beside their peers, and whether bootstraps end where those of L-BFGS do; one thread, one run.

Command: ``OMP_NUM_THREADS=1 python benchmarks/fit_speed.py`` (about two minutes; needs ../shared/data/fitting).

Peers: scipy's L-BFGS from the published grid, scipy's curve_fit, and the ``chinchilla`` package where it is installed
(``pip install chinchilla``). Times are of the processor, the median of the repetitions where there are several; imports
are timed apart. The grid of 4,500 starts is sampled and its time scaled, which is said in the result.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, cast

_BEGUN = time.process_time()
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy.optimize import curve_fit, minimize  # noqa: E402

from tippingpoint.fitting.additive import AdditiveSolution, Refits, fit_additive, refit_additive  # noqa: E402

IMPORTS = time.process_time() - _BEGUN
DATA = Path(__file__).parents[1].parent / "shared/data/fitting/chinchilla_epoch/svg_extracted_data.csv"
RESULTS = Path(__file__).parent / "results"
STARTS, SAMPLE, RESAMPLES, DELTA = 4500, 60, 4000, 1e-3
CHECKED = RESAMPLES  # resamples that L-BFGS refits too, the first ones
SPREAD = np.array([1.0, 1.0, 0.1, 0.05, 0.05])  # of the perturbed starts of L-BFGS, in a, b, e, alpha, beta
PERTURBED = 3
NAMES = ("floor", "exponent of N", "exponent of D")
GRID = {  # the published starts
    "e": np.arange(-1, 1.5, 0.5),
    "a": np.arange(0, 30, 5.0),
    "b": np.arange(0, 30, 5.0),
    "alpha": np.arange(0, 2.5, 0.5),
    "beta": np.arange(0, 2.5, 0.5),
}
Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


def clock(work: Callable[[], object], repetitions: int = 1) -> tuple[float, object]:
    """Return the median processor time in seconds, and the last result."""
    times, result = [], None
    for _ in range(repetitions):
        begun = time.process_time()
        result = work()
        times.append(time.process_time() - begun)
    return float(np.median(times)), result


def published_runs() -> tuple[np.ndarray, np.ndarray]:
    frame = pd.read_csv(DATA)
    frame = frame[frame["loss"] < 3.42]  # the 240 runs of the published replication
    n = frame["Model Size"].to_numpy()
    return np.column_stack([n, frame["Training FLOP"].to_numpy() / (6 * n)]), frame["loss"].to_numpy()


def huber(y: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    residual = np.abs(np.log(np.maximum(fitted, 1e-300)) - np.log(y))
    inner = np.minimum(residual, DELTA)
    return np.asarray(inner * (residual - inner / 2))


def published_loss(sizes: np.ndarray, y: np.ndarray, weights: np.ndarray, unit: float = 1.0) -> Loss:
    """Return the objective over ``unit`` and its gradient in the published parameters a, b, e, alpha, beta."""
    logs, target, constant = np.log(sizes), np.log(y), np.ones(len(y))

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        parts = np.stack([theta[0] - theta[3] * logs[:, 0], theta[1] - theta[4] * logs[:, 1], theta[2] * constant])
        top = parts.max(axis=0)
        shares = np.exp(parts - top)
        total = shares.sum(axis=0)
        shares /= total
        residual = top + np.log(total) - target
        inner = np.minimum(np.abs(residual), DELTA)
        slope = np.clip(residual, -DELTA, DELTA) * weights
        down = shares @ slope
        gradient = [down[0], down[1], down[2], -(shares[0] * slope) @ logs[:, 0], -(shares[1] * slope) @ logs[:, 1]]
        return float(weights @ (inner * (np.abs(residual) - inner / 2))) / unit, np.array(gradient) / unit

    return loss


def published(sizes: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Time L-BFGS with analytic gradients on a sample of the published grid of starts."""
    loss = published_loss(sizes, y, np.ones(len(y)))
    grid = list(product(*(GRID[name] for name in ("a", "b", "e", "alpha", "beta"))))
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
    return {"seconds": seconds, "objective": float(huber(y, law(sizes, *found[0])).sum())}  # type: ignore[index]


def by_chinchilla(sizes: np.ndarray, y: np.ndarray) -> dict[str, float | str]:
    """Time the ``chinchilla`` package's fit (BFGS, numerical gradient) from every other value of the published grid."""
    begun = time.process_time()
    try:
        from chinchilla import Chinchilla  # type: ignore[import-not-found]
    except ImportError as error:
        return {"skipped": f"the package cannot be imported here ({error}); pip install chinchilla to time it"}
    imports = time.process_time() - begun
    grid = {name: tuple(values[::2].tolist()) for name, values in GRID.items()}
    starts = int(np.prod([len(values) for values in grid.values()]))
    with tempfile.TemporaryDirectory() as folder:
        # The sum over runs, as published: its own mean would end the search sooner at the same tolerance.
        peer = Chinchilla(folder, param_grid=grid, loss_fn=lambda y, fitted: len(y) * huber(y, fitted), log_level=50)
        for (n, d), value in zip(sizes, y, strict=True):
            peer.append(N=n, D=d, loss=value)
        peer.visualizer.optim = lambda *_, **__: None  # the fit is timed, not its figure
        seconds, _ = clock(lambda: peer.fit(parallel=False))
        n, d = sizes.T
        fitted = np.asarray(peer.E + peer.A * n**-peer.alpha + peer.B * d**-peer.beta, dtype=float)
    return {
        "seconds": seconds,
        "objective": float(huber(y, fitted).sum()),
        "starts": starts,
        "version": version("chinchilla"),
        "seconds_scaled_to_4500_starts": seconds * STARTS / starts,
        "imports_s": imports,
    }


def by_lbfgs(sizes: np.ndarray, y: np.ndarray, weights: np.ndarray, fit: AdditiveSolution) -> tuple[np.ndarray, float]:
    """Refit every row of weights by L-BFGS from the full-data optimum and from perturbed starts.

    Returns a, b, e, alpha, beta of the best end, and the share of rows where the perturbed starts alone find it.
    """
    centre = np.concatenate([np.log(fit.coefficients), [np.log(fit.floor)], fit.exponents])
    rng, unit, draws, alone = np.random.default_rng(1), DELTA**2 * len(y), [], []
    options: Any = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-13, "gtol": 1e-7}
    for row in weights:
        loss = published_loss(sizes, y, row, unit)
        starts = [centre, *(centre + SPREAD * rng.standard_normal((PERTURBED, 5)))]
        ends = [minimize(loss, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
        best = min(ends, key=lambda end: end.fun)
        draws.append(best.x)
        alone.append(min(end.fun for end in ends[1:]) <= best.fun * (1 + 1e-6))
    return np.array(draws), float(np.mean(alone))


def agreement(sizes: np.ndarray, y: np.ndarray, weights: np.ndarray, fit: AdditiveSolution, ours: Refits) -> dict:  # type: ignore[type-arg]
    """Compare the ends of the 95% percentile intervals with those of an L-BFGS bootstrap on the same resamples."""
    seconds, found = clock(lambda: by_lbfgs(sizes, y, weights[:CHECKED], fit))
    peer, alone = cast(tuple[np.ndarray, float], found)
    own = np.column_stack([np.log(ours.coefficients), np.log(ours.floor), ours.exponents])[:CHECKED]
    values = np.array(
        [
            [published_loss(sizes, y, row)(theta)[0] for theta in pair]
            for row, *pair in zip(weights, own, peer, strict=False)
        ]
    )
    a, b = (np.column_stack([np.exp(theta[:, 2]), theta[:, 3:]]) for theta in (own, peer))
    ends = np.abs(np.quantile(a, [0.025, 0.975], axis=0) - np.quantile(b, [0.025, 0.975], axis=0)) / b.std(axis=0)
    gap = values[:, 0] / values[:, 1] - 1
    return {
        "resamples": len(peer),
        "lbfgs_starts_each": 1 + PERTURBED,
        "lbfgs_seconds": seconds,
        "share_lbfgs_finds_from_perturbed_starts_alone": alone,
        "endpoint_difference_in_standard_errors": {
            name: {"low": low, "high": high} for name, low, high in zip(NAMES, *ends.tolist(), strict=True)
        },
        "largest_endpoint_difference_in_standard_errors": float(ends.max()),
        "share_ours_lower_by_1e-6": float((gap < -1e-6).mean()),
        "share_ours_higher_by_1e-6": float((gap > 1e-6).mean()),
        "share_ours_higher_by_1e-2": float((gap > 1e-2).mean()),
        "greatest_relative_excess_of_ours": float(gap.max()),
        "median_difference_of_a_refit_in_standard_errors": float(
            np.median((np.abs(a - b) / b.std(axis=0)).max(axis=1))
        ),
    }


def simulated(shape: tuple[int, ...], copies: int) -> tuple[np.ndarray, np.ndarray]:
    axes = np.meshgrid(*(np.geomspace(1e3, 1e6, count) for count in shape), indexing="ij")
    sizes = np.tile(np.stack([axis.ravel() for axis in axes], axis=-1), (copies, 1))
    y = 0.05 + (np.array([0.2, 0.1, 0.15]) * (sizes / 3e4) ** -np.array([0.3, 0.5, 0.4])).sum(axis=1)
    return sizes, y * np.exp(0.02 * np.random.default_rng(0).standard_normal(len(y)))


def told(peer: dict[str, float | str]) -> str:
    """Return what a peer's row says."""
    for key in ("failed", "skipped"):
        if key in peer:
            return f"{key}: {peer[key]}"
    seconds = float(peer["seconds"])
    time_told = f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"
    if "seconds_scaled_to_4500_starts" in peer:
        time_told += f" ({float(peer['seconds_scaled_to_4500_starts']):.0f} s scaled to 4,500 starts)"
    return f"{time_told} at {peer['objective']:.13f}"


def ratio(peer: dict[str, float | str], ours: float, objective: float) -> str:
    """Return time and objective of a peer over ours."""
    if "seconds" not in peer:
        return ""
    times, height = float(peer["seconds"]) / ours, float(peer["objective"]) / objective
    return f"{times:.{2 if times < 1 else 0}f} times our time, {height:.8g} times our objective"


def main() -> int:
    if not DATA.is_file():
        print("skipped: ../shared/data/fitting/chinchilla_epoch is not beside the project")
        return 0
    sizes, y = published_runs()
    one, fit = clock(lambda: fit_additive(sizes, y), 25)
    weights = np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)), RESAMPLES).astype(float)
    many, refits = clock(lambda: refit_additive(sizes, y, weights, fit))  # type: ignore[arg-type]
    three, _ = clock(lambda: fit_additive(*simulated((7, 7, 4), 1)), 9)
    large, _ = clock(lambda: fit_additive(*simulated((10, 10, 10), 100)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # ours: before the peers
    peer, rough, package = published(sizes, y), by_curve_fit(sizes, y), by_chinchilla(sizes, y)
    same = agreement(sizes, y, weights, fit, refits)  # type: ignore[arg-type]
    found = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, one thread",
        "imports_s": IMPORTS,
        "chinchilla_fit_s": one,
        "chinchilla_objective": fit.objective,  # type: ignore[attr-defined]
        "refits_4000_s": many,
        "refits_converged": float(refits.converged.mean()),  # type: ignore[attr-defined]
        "runs_196_axes_3_s": three,
        "runs_100000_axes_3_s": large,
        "peak_memory_mb": memory,
        "published_grid_lbfgs": peer,
        "times_faster_than_published_grid": peer["seconds_scaled_to_4500_starts"] / one,
        "curve_fit": rough,
        "chinchilla_package": package,
        "bootstrap_against_lbfgs": same,
    }
    print(json.dumps(found, indent=1))
    (RESULTS / "fit_speed.json").write_text(json.dumps(found, indent=1) + "\n")
    which = f"{'same' if CHECKED == RESAMPLES else 'first'} {same['resamples']:,} resamples"
    rows = [
        ("Chinchilla, one fit", f"{one * 1e3:.1f} ms at {found['chinchilla_objective']:.13f}", "<= 10 ms"),
        ("4,000 bootstrap refits", f"{many:.2f} s", "<= 5 s"),
        (
            f"largest difference of a 95% endpoint (floor, exponents) from an L-BFGS bootstrap of the {which}",
            f"{same['largest_endpoint_difference_in_standard_errors']:.1e} standard errors "
            f"(L-BFGS, {1 + PERTURBED} starts each: {same['lbfgs_seconds']:.0f} s)",
            "<= 0.1",
        ),
        ("196 runs x 3 axes", f"{three * 1e3:.1f} ms", "<= 30 ms"),
        ("100,000 runs x 3 axes", f"{large:.2f} s, {found['peak_memory_mb']:.0f} MB", "<= 5 s, 1 GB"),
        (
            f"L-BFGS, published 4,500 starts ({SAMPLE} timed, scaled)",
            f"{peer['seconds_scaled_to_4500_starts']:.0f} s, best of the sample {peer['best_of_sample']:.13f}",
            f"{found['times_faster_than_published_grid']:.0f} times ours",
        ),
        (
            "scipy curve_fit from ones (least squares)",
            told(rough),
            ratio(rough, one, float(found["chinchilla_objective"])),
        ),
        (
            f"`chinchilla` package, BFGS from {package.get('starts', 'some')} of the 4,500 starts",
            told(package),
            ratio(package, one, float(found["chinchilla_objective"])),
        ),
    ]
    head = f"# Speed of fits\n\n`{'OMP_NUM_THREADS=1 python benchmarks/fit_speed.py'}`: {found['machine']}.\n"
    lines = [
        "| what | measured | asked / ratio |",
        "| --- | --- | --- |",
        *(f"| {a} | {b} | {c} |" for a, b, c in rows),
    ]
    alone = same["share_lbfgs_finds_from_perturbed_starts_alone"]
    note = (
        f"\nThe L-BFGS bootstrap starts each refit from our fit of all runs and from {PERTURBED} perturbed starts, and "
        f"keeps the best; the perturbed starts alone find that best in {alone:.1%} of the resamples. It says nothing "
        "of minima far from all of these. Peers keep their default tolerances; those of the L-BFGS "
        "bootstrap are tighter (ftol 1e-13).\n"
    )
    (RESULTS / "fit_speed.md").write_text(head + "\n" + "\n".join(lines) + "\n" + note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
