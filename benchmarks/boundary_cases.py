"""PowerDifference against brute force on random parameter sets, extreme ones included.

Command: ``python benchmarks/boundary_cases.py --count 100000 --seed 0`` (two to five minutes on one core).

The oracle knows neither Eq. (14) nor the case list.

1. On a grid over every scale of the parameters, F must have the sign that the claimed regime and crossings give.
2. The largest excursion of the powers' part is found by zooming in; mpmath at 60 digits says its sign there, so that
   no narrow window is missed.
3. On both sides of every claimed crossing, 1e-9 of D away, mpmath must find the claimed signs.

One difference anywhere is a mismatch.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import time
from collections import Counter
from pathlib import Path

import mpmath
import numpy as np

from tippingpoint.boundary import PowerDifference

SIGNS = {
    "always": (1,),
    "never": (-1,),
    "below": (1, -1),
    "above": (-1, 1),
    "window": (-1, 1, -1),
    "outside_window": (1, -1, 1),
    "equal": (0,),
}
RESULT = Path(__file__).parent / "results" / "boundary_cases.json"


def random_parameters(rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Draw ordinary, extreme, nearly equal, degenerate and nearly tangent parameter sets."""
    kind = rng.integers(6)
    if kind == 0:  # like a fitted law
        offset, a, b = rng.normal() * 0.05, 10 ** rng.uniform(-2, 2), 10 ** rng.uniform(-2, 2)
        alpha, alpha_prime = rng.uniform(0.05, 2, 2)
    else:
        a, b = 10 ** rng.uniform(-300, 300, 2)
        alpha, alpha_prime = 10 ** rng.uniform(-12, math.log10(50), 2)
        offset = rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-300, 300)
    if kind == 2:  # exponents that can hardly be told apart
        alpha_prime = alpha * (1 + rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-15, -1))
        b = a * 10 ** rng.uniform(-2, 2)
    if kind == 3:  # something degenerate
        a, b, offset = (value if rng.random() < 0.6 else 0.0 for value in (a, b, offset))
        alpha, alpha_prime = (value if rng.random() < 0.7 else 0.0 for value in (alpha, alpha_prime))
        alpha_prime = alpha if rng.random() < 0.3 else alpha_prime
    if kind == 4:  # near a tangency, on either side of it
        a, b = 10 ** rng.uniform(-3, 3, 2)
        alpha, alpha_prime = 10 ** rng.uniform(-1, 1, 2)
        star = math.log(a * alpha / (b * alpha_prime)) / (alpha - alpha_prime)
        gap = rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-9, -1)
        offset = -a * (1 - alpha / alpha_prime) * math.exp(max(min(-alpha * star, 600), -600)) * (1 + gap)
    if kind == 5:  # the same coefficient or a mild spread
        a, b = 10 ** rng.uniform(-3, 3, 2)
        b = a if rng.random() < 0.2 else b
        offset = rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(-6, 1)
    return float(offset), float(a), float(alpha), float(b), float(alpha_prime)


def oracle_sign(parameters: tuple[float, ...], x: float) -> int:
    """Return the sign of F(exp(x)) by 60 digits."""
    offset, a, alpha, b, alpha_prime = map(mpmath.mpf, parameters)
    terms = (offset, a * mpmath.exp(-alpha * x), -b * mpmath.exp(-alpha_prime * x))
    total = mpmath.fsum(terms)
    return 0 if abs(total) <= mpmath.mpf(10) ** -45 * max(map(abs, terms)) else int(mpmath.sign(total))


def log_terms(parameters: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Return the logarithms of the sizes of the three terms, shape (3, len(x))."""
    offset, a, alpha, b, alpha_prime = parameters
    with np.errstate(divide="ignore"):
        return np.stack([np.log(abs(offset)) + 0 * x, np.log(a) - alpha * x, np.log(b) - alpha_prime * x])


def grid(parameters: tuple[float, ...]) -> np.ndarray:
    """Return points on every scale: around each place where two terms are of one size, and between and beyond."""
    offset, a, alpha, b, alpha_prime = parameters
    places, scales = [0.0], [1.0]
    for (u, p), (v, q) in (
        ((a, alpha), (b, alpha_prime)),
        ((a, alpha), (abs(offset), 0)),
        ((b, alpha_prime), (abs(offset), 0)),
    ):
        if u > 0 and v > 0 and p != q:
            places.append((math.log(u) - math.log(v)) / (p - q))
            scales.append(1 / abs(p - q))
    around = np.concatenate([-np.geomspace(1e-6, 100, 30), [0], np.geomspace(1e-6, 100, 30)])
    local = [place + scale * around for place in places for scale in scales]
    return np.unique(np.concatenate([*local, np.linspace(min(places) - 10, max(places) + 10, 101)]))


def excursion(parameters: tuple[float, ...], x: np.ndarray) -> float | None:
    """Zoom in on where the powers' part, against the offset's sign, is largest."""
    offset, a, alpha, b, alpha_prime = parameters
    if offset == 0 or a == 0 or b == 0 or alpha == alpha_prime:
        return None
    best = None
    for _ in range(14):
        d = (math.log(a) - math.log(b)) - (alpha - alpha_prime) * x
        _, la, lb = log_terms(parameters, x)
        with np.errstate(divide="ignore", over="ignore"):
            height = np.where(np.sign(d) * offset < 0, np.maximum(la, lb) + np.log(-np.expm1(-np.abs(d))), -np.inf)
        top = int(np.argmax(height))
        if not np.isfinite(height[top]):
            return best
        best = float(x[top])
        x = np.linspace(x[max(top - 1, 0)], x[min(top + 1, len(x) - 1)], 41)
    return best


def check(parameters: tuple[float, ...]) -> tuple[str, list[str]]:
    """Return the claimed regime and every mismatch found."""
    F = PowerDifference(*parameters)
    roots, signs = F.log_crossings, SIGNS[F.regime]
    faults = [] if len(roots) == len(signs) - 1 and list(roots) == sorted(roots) else ["shape"]
    if F.tangency:
        return F.regime, faults
    margins = [1e-9 * max(1.0, abs(root)) for root in roots]
    for i, (root, margin) in enumerate(zip(roots, margins, strict=True)):
        narrow = len(roots) == 2 and roots[1] - roots[0] < 4 * margin
        reach = (roots[1] - roots[0]) / 4 if narrow else margin
        if reach == 0:
            continue
        for side, want in ((-1, signs[i]), (1, signs[i + 1])):
            if oracle_sign(parameters, root + side * reach) != want:
                faults.append(f"crossing {i} side {side}")
    x = grid(parameters)
    terms = log_terms(parameters, x)
    peak = terms.max(axis=0)
    parts = np.array([[np.sign(parameters[0])], [1.0], [-1.0]]) * np.exp(terms - np.where(np.isfinite(peak), peak, 0))
    value = parts.sum(axis=0)
    _, _, alpha, _, alpha_prime = parameters
    doubt = 1e-14 * (
        100 + np.nanmax(np.where(np.isfinite(terms), abs(terms), 0), axis=0) + (alpha + alpha_prime) * abs(x)
    )
    claimed = np.array([signs[bisect.bisect(roots, point)] for point in x])
    bad = (np.abs(value) > doubt) & (np.sign(value) != claimed)
    for root, margin in zip(roots, margins, strict=True):
        bad &= np.abs(x - root) > margin
    faults += [f"grid at x = {x[i]!r}" for i in np.flatnonzero(bad)[:1]]
    top = excursion(parameters, x)
    if top is None or any(abs(top - root) <= margin for root, margin in zip(roots, margins, strict=True)):
        return F.regime, faults
    if oracle_sign(parameters, top) not in (0, signs[bisect.bisect(roots, top)]):
        faults.append(f"excursion at x = {top!r}")
    return F.regime, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    mpmath.mp.dps = 60
    rng = np.random.default_rng(options.seed)
    regimes: Counter[str] = Counter()
    tangencies, mismatches = 0, []
    start = time.perf_counter()
    for _ in range(options.count):
        parameters = random_parameters(rng)
        regime, faults = check(parameters)
        regimes[regime] += 1
        tangencies += PowerDifference(*parameters).tangency
        if faults:
            mismatches.append({"parameters": parameters, "faults": faults})
    result = {
        "command": f"python benchmarks/boundary_cases.py --count {options.count} --seed {options.seed}",
        "parameter_sets": options.count,
        "mismatches": len(mismatches),
        "tangencies": tangencies,
        "regimes": dict(regimes.most_common()),
        "seconds": round(time.perf_counter() - start, 1),
        "first_mismatches": mismatches[:5],
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
