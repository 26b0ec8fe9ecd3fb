r"""The advice whose sliders the reader of a page moves: laws and costs small enough to be carried in it, as data.

Every recipe (with each of its teachers) has the law that ``tippingpoint advise`` would fit, with some of its posterior
draws and what the runs tell of its FLOPs. ``at`` answers here what the page's script answers there; the tests hold the
one against the other. As ``advise`` does, a recipe is offered at the model sizes it was run with and no other: its law
may know nothing of them. Symbols: R draws, k axes; draw r is ``E_r + sum_j exp(log c_rj - e_rj log x_j)``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.errors import TippingPointError
from tippingpoint.report.words import target_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.advice.cost import FlopsModel
    from tippingpoint.advice.family import Family
    from tippingpoint.report.analysis import Analysis

    Floats = NDArray[np.float64]

__all__ = ["SIZES", "Offer", "Plan", "PlanLaw", "plans_of"]

SIZES = ("n_pretrain", "n_finetune", "n_params")
MOST_DRAWS = 300
MOST_SETS = 3  # each costs the reader a law of every recipe to load


class Offer(NamedTuple):
    """What one recipe comes to at given sizes and prices; ``chance`` is the share of draws in which it is best."""

    name: str
    value: float
    low: float
    high: float
    chance: float
    images: float
    labels: float
    compute: float

    @property
    def cost(self) -> float:
        """The sum."""
        return self.images + self.labels + self.compute


class PlanLaw(NamedTuple):
    """The law of one recipe and teacher.

    Attributes
    ----------
    name : str
        Recipe and teacher.
    axes : tuple of str
        Of the law.
    parameters : array, shape (1 + 2k,)
        Floor, logs of the coefficients in raw units, exponents.
    draws : array of float32, shape (R, 1 + 2k)
        The same for each draw.
    levels : dict of str to list of float
        Sizes that were measured, by axis.
    flops : FlopsModel or None
        What one training takes, or None where the runs do not tell.
    """

    name: str
    axes: tuple[str, ...]
    parameters: Floats
    draws: NDArray[np.float32]
    levels: dict[str, list[float]]
    flops: FlopsModel | None

    def offered(self, sizes: Mapping[str, float]) -> bool:
        """Return whether the recipe was run with the model size."""
        known = self.levels.get("n_params")
        return not known or sizes["n_params"] in known

    def values(self, sizes: Mapping[str, float]) -> tuple[float, Floats]:
        """Return the expected target at sizes, by the fit and by every draw."""
        k = len(self.axes)
        logs = np.log([sizes[axis] for axis in self.axes])
        tables = np.vstack([self.parameters, self.draws.astype(float)])
        terms = np.exp(tables[:, 1 : 1 + k] - tables[:, 1 + k :] * logs)
        found = tables[:, 0] + terms.sum(axis=1)
        return float(found[0]), found[1:]


class Plan(NamedTuple):
    """The laws of one scored set.

    Attributes
    ----------
    scored : str
        What is scored, in words.
    target : str
    laws : tuple of PlanLaw
    flops_per_hour : float or None
        What the machine of the runs did in an hour.
    level : float
        Probability of the intervals.
    """

    scored: str
    target: str
    laws: tuple[PlanLaw, ...]
    flops_per_hour: float | None
    level: float

    @property
    def levels(self) -> dict[str, list[float]]:
        """Every size that was measured, of all recipes together."""
        return {
            axis: sorted({size for law in self.laws for size in law.levels.get(axis, [])})
            for axis in SIZES
            if any(law.levels.get(axis) for law in self.laws)
        }

    @property
    def middle(self) -> dict[str, float]:
        """The sizes at which the sliders stand first: the middle one of each."""
        return {axis: sizes[len(sizes) // 2] for axis, sizes in self.levels.items()}

    def at(self, sizes: Mapping[str, float], prices: Mapping[str, float] | None = None) -> tuple[Offer, ...]:
        """Return what every recipe comes to.

        Parameters
        ----------
        sizes : mapping
            ``n_pretrain``, ``n_finetune``, ``n_params``: those that the laws need.
        prices : mapping, optional
            ``image``, ``label``, ``gpu_hour`` in one currency; 0 unless said.

        Returns
        -------
        tuple of Offer
            In the order of ``laws``; recipes that were not run with the model size are left out.
        """
        own = {"image": 0.0, "label": 0.0, "gpu_hour": 0.0, **(prices or {})}
        laws = [law for law in self.laws if law.offered(sizes)]
        if not laws:
            return ()
        answers = [law.values(sizes) for law in laws]
        best = np.argmin(np.vstack([draws for _, draws in answers]), axis=0)
        tail = (1 - self.level) / 2
        found = []
        for place, (law, (value, draws)) in enumerate(zip(laws, answers, strict=True)):
            low, high = np.quantile(draws, [tail, 1 - tail])
            hours = 0.0
            if law.flops is not None and self.flops_per_hour:
                hours = float(law.flops({axis: np.asarray(sizes[axis]) for axis in SIZES if axis in sizes}))
                hours /= self.flops_per_hour
            found.append(
                Offer(
                    law.name,
                    value,
                    float(low),
                    float(high),
                    float(np.mean(best == place)),
                    own["image"] * sizes["n_pretrain"] if "n_pretrain" in law.levels else 0.0,
                    own["label"] * sizes["n_finetune"] if "n_finetune" in law.levels else 0.0,
                    own["gpu_hour"] * hours,
                )
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return what the page carries: plain JSON types, draws as base64 of little-endian float32, row by row."""
        return {
            "scored": self.scored,
            "target": self.target,
            "measure": target_words(self.target),
            "level": self.level,
            "flops_per_hour": self.flops_per_hour,
            "levels": self.levels,
            "laws": [
                {
                    "name": law.name,
                    "axes": list(law.axes),
                    "parameters": [value if np.isfinite(value) else None for value in law.parameters.tolist()],
                    "draws": base64.b64encode(law.draws.astype("<f4").tobytes()).decode("ascii"),
                    "levels": law.levels,
                    "flops": _knots(law.flops),
                }
                for law in self.laws
            ],
        }


def _knots(flops: FlopsModel | None) -> list[dict[str, Any]]:
    """Return each part of the FLOPs as its level and the broken lines of its sizes, all in logs."""
    parts = [] if flops is None else flops.parts.values()
    return [
        {"level": part.level, "knots": {name: [x.tolist(), y.tolist()] for name, (x, y) in part.knots.items()}}
        for part in parts
    ]


def plans_of(analysis: Analysis) -> tuple[Plan, ...]:
    """Return the plans of a page: one for each downstream set, or of the upstream test set where nothing is fine-tuned.

    Parameters
    ----------
    analysis : Analysis
        Its runs; the laws are fitted anew, recipe by recipe and teacher by teacher.

    Returns
    -------
    tuple of Plan
        Empty where no law can be fitted; at most ``MOST_SETS``.
    """
    frame = analysis.frame
    stages = [str(name) for name in frame["stage"].dropna().unique()]
    stage = "finetuned" if "finetuned" in stages else stages[0] if stages else None
    rows = frame if stage is None else frame[frame["stage"] == stage]
    primary = analysis.primary
    upstreams = [str(name) for name in rows["upstream"].dropna().unique()]
    upstream = primary.look.upstream if primary is not None else None
    upstream = upstream if upstream in upstreams else (upstreams[0] if upstreams else None)
    names = [str(name) for name in rows["downstream"].dropna().unique()][:MOST_SETS]
    sets: list[str | None] = [*names] or [None]
    target = "error" if "error" in rows and rows["error"].notna().any() else analysis.laws[0].target
    found = (_plan(analysis, rows, target, stage, upstream, downstream) for downstream in sets)
    return tuple(plan for plan in found if plan is not None)


def _plan(
    analysis: Analysis,
    rows: pd.DataFrame,
    target: str,
    stage: str | None,
    upstream: str | None,
    downstream: str | None,
) -> Plan | None:
    """Return the plan of one scored set, or None where no law can be fitted."""
    from tippingpoint.advice.cost import measured_speed
    from tippingpoint.advice.family import families_of
    from tippingpoint.runs import read_runs

    try:
        families, _ = families_of(
            read_runs(rows.dropna(axis=1, how="all")),
            recipes=None,
            stage=stage,
            upstream=upstream,
            downstream=downstream,
            target=target,
            law="additive",
            random_state=analysis.random_state,
        )
        laws = tuple(_plan_law(family, place) for place, family in enumerate(families))
    except (TippingPointError, ArithmeticError, np.linalg.LinAlgError):
        return None
    where = f", fine-tuned on {downstream}" if downstream else ", upstream test set" if stage == "pretrained" else ""
    return Plan(f"{target_words(target)}{where}", target, laws, measured_speed(analysis.frame), analysis.level)


def _plan_law(family: Family, place: int) -> PlanLaw:
    """Return a family's law with some of its draws, in an order that owes nothing to the other laws'."""
    axes = family.axes
    names = ["floor", *(f"{axis}.coefficient" for axis in axes), *(f"{axis}.exponent" for axis in axes)]
    family.law.intervals(0.9)  # makes the draws
    table = family.law.draws_[names].to_numpy(float)
    order = np.random.default_rng(place).permutation(len(table))[:MOST_DRAWS]
    fitted = np.array([[family.law.parameters_[name] for name in names]])
    both = np.vstack([fitted, table[order]])
    with np.errstate(divide="ignore"):  # a term that is not there: exp(-inf) is 0
        both[:, 1 : 1 + len(axes)] = np.log(both[:, 1 : 1 + len(axes)])
    return PlanLaw(
        family.name,
        axes,
        both[0],
        both[1:].astype(np.float32),
        family.levels,
        family.flops,
    )
