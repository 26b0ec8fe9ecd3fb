"""The curves that ``extrapolation.py`` scores, cut after some of their training points, and ``auto`` on them.

Data: ``../shared/data/fitting/revisiting_nsl`` (Alabdulmohsin et al. 2022).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.fitting.curves import fit_curve
from tippingpoint.fitting.tempered import Tempering, average, exponent_weights, solve_grid

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "fitting" / "revisiting_nsl"
AMOUNTS = (1.0, 0.5, 0.3)
SETS = ("bird", "c", "cal", "inet")
PEERS = {"M1": "power", "M2": "floored", "M3": "saturating", "M4": "sigmoidal", "BNSL": "broken"}
POOL = [
    Tempering(*constants)
    for constants in itertools.product(
        (2.0, 3.0), (1.0, 5.0, 8.0), (0.05, 0.1, 0.2), (0.5, 0.6, 0.7, 0.8), (0.5, 0.7, 1.0)
    )
]
Array = np.ndarray[Any, np.dtype[np.float64]]


class Case(NamedTuple):
    """One curve cut after some of its training points."""

    domain: str
    data_set: str
    amount: float
    x: Array
    y: Array
    beyond: Array
    truth: Array

    @property
    def capped(self) -> bool:
        """Whether scores are error rates, for which a prediction above 1 counts as 1."""
        return self.domain == "IC"


def load(rounding: Callable[[float], int] = math.floor) -> list[Case]:
    frame = pd.concat([pd.read_csv(DATA / f"benchmark.{name}.csv") for name in ("vision", "lang")])
    cases = []
    for (domain, task, _), points in frame.groupby(["Domain", "Task", "Model"]):
        rows = points.sort_values("Seen Examples", kind="stable")
        x, y, train = (rows[name].to_numpy() for name in ("Seen Examples", "Loss", "Training"))
        place = np.flatnonzero(train == 1)
        for amount in AMOUNTS if domain == "IC" else (1.0,):
            kept = place if amount == 1 else place[: max(4, rounding(amount * len(place) + 1e-9))]
            held = np.setdiff1d(np.arange(len(x)), kept)
            name = str(task).split("_")[0] if domain == "IC" else str(domain)
            cases.append(Case(str(domain), name, amount, x[kept], y[kept], x[held], y[held]))
    return cases


def rmsle(case: Case, logs: Array) -> float:
    return float(np.sqrt(np.mean((cap(case, logs) - np.log(case.truth)) ** 2)))


def cap(case: Case, logs: Array) -> Array:
    return np.minimum(logs, 0.0) if case.capped else logs


def grids(x: Array, y: Array, constants: Tempering) -> list[Any]:
    laws = (False, True) if y.max() <= 1 else (False,)
    return [solve_grid(x, y, constants.recency, constants.effective, odds) for odds in laws]


def auto(cases: list[Case], pool: list[Tempering]) -> list[list[tuple[Array, float]]]:
    """Return for each set of constants and case the log predictions and the misfit that intervals use."""
    found = []
    for (recency, effective), group in itertools.groupby(pool, key=lambda one: (one.recency, one.effective)):
        solved = [grids(case.x, case.y, Tempering(recency, effective)) for case in cases]
        for constants in group:
            row = []
            for case, laws in zip(cases, solved, strict=True):
                logs, _ = average(laws, constants, case.beyond)
                misfit = np.mean([exponent_weights(law, constants) @ np.log(law.misfit) for law in laws])
                row.append((cap(case, logs), float(np.exp(misfit))))
            found.append(row)
    return found


def named(cases: list[Case], law: str) -> list[Array]:
    """Return the log predictions of a law fitted by our engine."""
    with np.errstate(all="ignore"):
        return [np.log(np.maximum(fit_curve(case.x, case.y, law).predict(case.beyond), 1e-300)) for case in cases]
