"""Simulated studies on the paper's grid, whose boundary is known: what the benchmarks of boundary and advice share.

A study has 7 x 4 x 7 sizes (n_pretrain 5 to 100% of 1.28M, four DeiTs, n_finetune 5 to 100% of 50,000), recipes
``scratch`` and ``distilled`` (guided by the smallest model), and seed blocks. Noise is multiplicative; its variance is
shared out as ``SHARES`` says: by all runs of a block, all of one recipe in a block, the two recipes of a pair, the
fine-tunings of a checkpoint, and none.

Four kinds of truth, with parameters drawn anew for every study:

* ``additive``: Eq. (1);
* ``product``: a floor and one product of powers (D^-a M^-b F^-g);
* ``transfer``: labels and transferred images add up to effective data (Hernandez et al. 2021), which no power of
  n_pretrain follows at many labels;
* ``capacity``: Eq. (1) with a coefficient of n_pretrain that depends on model size and labels.

The place that is asked for is the largest model with all labels. A truth *with* a crossing changes sign once, within
the middle 70% of the range (in logs); its recipes differ by 8 to 30% of the error at both ends (``strong``, the
default) or by 5 to 8% at one of them at least (``weak``). One *without* differs by 3 to 30% everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

FRACTIONS = np.array([0.05, 0.1, 0.25, 0.33, 0.5, 0.7, 1.0])
N_PRETRAIN, N_FINETUNE = 1.28e6 * FRACTIONS, 5e4 * FRACTIONS
N_PARAMS = np.array([2.5e6, 9.75e6, 21.7e6, 38.4e6])
AT = {"n_params": float(N_PARAMS[-1]), "n_finetune": float(N_FINETUNE[-1])}
KINDS = ("additive", "product", "transfer", "capacity")
SHARES = {"block": 0.2, "recipe": 0.05, "pair": 0.15, "checkpoint": 0.35, "run": 0.25}
EFFECTS = {"strong": (0.08, 0.3), "weak": (0.05, 0.08), "none": (0.03, 0.3)}


class Truth(NamedTuple):
    """Parameters of both recipes, the crossing at ``AT`` (None without one), and the regime within the range."""

    kind: str
    scratch: dict[str, float]
    distilled: dict[str, float]
    crossing: float | None
    regime: str

    def error(self, recipe: str, n_pretrain: Array, n_params: Array, n_finetune: Array) -> Array:
        """Return the error without noise."""
        return expected(
            self.kind, self.distilled if recipe == "distilled" else self.scratch, n_pretrain, n_params, n_finetune
        )


def expected(kind: str, p: dict[str, float], n_pretrain: Array, n_params: Array, n_finetune: Array) -> Array:
    """Return the error of one recipe at sizes that broadcast."""
    D, M, F = n_pretrain / N_PRETRAIN[0], n_params / N_PARAMS[0], n_finetune / N_FINETUNE[0]
    by_size, by_labels = p["c_m"] * M ** -p["b"], p["c_f"] * F ** -p["g"]
    if kind == "additive":
        return p["floor"] + p["c_d"] * D ** -p["a"] + by_size + by_labels
    if kind == "product":
        total = p["c_d"] + p["c_m"] + p["c_f"]
        return p["floor"] + total * D ** -p["a"] * M ** -p["b"] * F ** -p["g"]
    if kind == "transfer":
        effective = (F + 3 * D ** p["a"] * M**0.1) / 4
        return p["floor"] + by_size + (p["c_d"] + p["c_f"]) * effective ** -p["g"]
    together = (0.6 + 0.4 * M ** -p["b"]) * (0.5 + 0.5 * F ** -p["g"])
    return p["floor"] + p["c_d"] * D ** -p["a"] * together + by_size + by_labels


def draw_truth(kind: str, seed: int, effect: str = "strong") -> Truth:
    """Draw parameters until the two recipes differ as the effect says."""
    generator = np.random.default_rng([7, seed])
    grid = np.geomspace(N_PRETRAIN[0], N_PRETRAIN[-1], 4001)
    least, most = EFFECTS[effect]
    while True:
        scratch, distilled = _parameters(generator)
        first = expected(kind, scratch, grid, *map(np.array, AT.values()))
        relative = (first - expected(kind, distilled, grid, *map(np.array, AT.values()))) / first
        turns = np.flatnonzero(np.sign(relative[1:]) != np.sign(relative[:-1]))
        ends = np.abs(relative[[0, -1]])
        if effect == "none":
            if not len(turns) and np.abs(relative).min() > least and np.abs(relative).max() < most:
                return Truth(kind, scratch, distilled, None, "always" if relative[0] > 0 else "never")
        elif len(turns) == 1 and 0.15 < turns[0] / 4000 < 0.85 and ends.max() < 0.3 and least < ends.min() < most:
            crossing = float(np.sqrt(grid[turns[0]] * grid[turns[0] + 1]))
            return Truth(kind, scratch, distilled, crossing, "below" if relative[0] > 0 else "above")


def _parameters(generator: np.random.Generator) -> tuple[dict[str, float], dict[str, float]]:
    ranges = {"floor": (0.05, 0.15), "c_d": (0.2, 0.4), "a": (0.3, 0.9), "c_m": (0.03, 0.1), "b": (0.2, 0.8)}
    ranges |= {"c_f": (0.1, 0.3), "g": (0.2, 0.8)}
    first = {name: float(generator.uniform(*ends)) for name, ends in ranges.items()}
    change = {
        "c_d": (0.5, 1.1),
        "a": (0.6, 1.4),
        "c_m": (0.7, 1.2),
        "c_f": (0.7, 1.2),
        "b": (0.8, 1.2),
        "g": (0.8, 1.2),
    }
    second = {name: first[name] * float(generator.uniform(*ends)) for name, ends in change.items()}
    return first, {**second, "floor": first["floor"] + float(generator.uniform(-0.03, 0.05))}


def simulate(truth: Truth, noise: float, seed: int, blocks: int = 3) -> pd.DataFrame:
    """Return the runs of a study; ``noise`` is the standard deviation of one run over its error."""
    generator = np.random.default_rng([11, seed, round(noise * 1e4)])
    spread = {name: noise * np.sqrt(share) for name, share in SHARES.items()}
    parts = []
    sizes = np.meshgrid(N_PRETRAIN, N_PARAMS, N_FINETUNE, indexing="ij")
    place = np.indices(sizes[0].shape).reshape(3, -1)
    for block in range(blocks):
        pair, of_block = (
            spread["pair"] * generator.standard_normal((7, 4)),
            spread["block"] * generator.standard_normal(),
        )
        for recipe in ("scratch", "distilled"):
            own = pair + of_block + spread["recipe"] * generator.standard_normal()
            own = own + spread["checkpoint"] * generator.standard_normal((7, 4))
            logs = own[:, :, None] + spread["run"] * generator.standard_normal((7, 4, 7))
            frame = pd.DataFrame(
                {
                    "recipe": recipe,
                    "stage": "finetuned",
                    "upstream": "up",
                    "downstream": "down",
                    "n_pretrain": sizes[0].ravel(),
                    "n_params": sizes[1].ravel(),
                    "n_params_teacher": N_PARAMS[0] if recipe == "distilled" else np.nan,
                    "teacher": "heads=2" if recipe == "distilled" else None,
                    "n_finetune": sizes[2].ravel(),
                    "subset_seed": block,
                    "seed": block,
                    "pretrain_id": [f"{recipe}-{block}-{i}-{j}" for i, j in place[:2].T],
                    "error": (truth.error(recipe, *sizes) * np.exp(logs)).ravel(),
                }
            )
            parts.append(frame if recipe == "scratch" else frame[frame["n_params"] > N_PARAMS[0]])
    return pd.concat(parts, ignore_index=True)
