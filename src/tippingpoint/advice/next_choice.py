"""What to run next: the runs that sharpen a boundary or a prediction most for what they cost.

:mod:`tippingpoint.advice.next_rule` has the measure and the choice, ``next_belief`` what a run would tell, and
``next_offers`` and ``next_study`` what can be run and what it costs. benchmarks/adaptive.py measures what the choice is
worth against other orders, and whether intervals still cover the truth where it stops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.advice.next_answer import Answer, Prediction, answer_of, drawn_of, limits_of, width_of
from tippingpoint.advice.next_belief import to_come
from tippingpoint.advice.next_offers import Bundle, Offers, bundles_of, offers_of_table
from tippingpoint.advice.next_result import Candidate, Next
from tippingpoint.advice.next_rule import Belief, Picked, pick
from tippingpoint.advice.next_study import extra_cells, offers_of_cells, read_cells, read_endpoint
from tippingpoint.boundary.asked import check_asked
from tippingpoint.boundary.selection import AXES, Selection
from tippingpoint.errors import InputError
from tippingpoint.kinds import is_count, is_list, said
from tippingpoint.runs import read_runs

__all__ = ["asked_by", "next_cells"]

Array = NDArray[np.float64]

_GRID = 121  # sizes at which it is asked which recipe is better
_LEAST = 1e-3  # share of what is open that a candidate must take away to be worth naming
_USUAL = {
    "along": "n_pretrain",
    "target": "error",
    "stage": "finetuned",
    "recipes": ("scratch", "distilled"),
}


def next_cells(
    runs: Any,
    *,
    cells: Sequence[Mapping[str, Any]] | None = None,
    along: str | None = None,
    at: Mapping[str, float] | None = None,
    target: str | None = None,
    stage: str | None = None,
    recipes: Sequence[str] | None = None,
    where: str | None = None,
    upstream: str | None = None,
    downstream: str | None = None,
    teacher: str | None = None,
    pool: str = "auto",
    predict: Mapping[str, Any] | None = None,
    level: float = 0.9,
    batch: int = 5,
    extra_seeds: int = 3,
    cost: str = "flops",
    beyond: bool = False,
    resamples: int = 1000,
    random_state: int = 0,
) -> Next:
    """Rank what could be run next by how much it is expected to sharpen the answer, for what it costs.

    Parameters
    ----------
    runs : path, DataFrame, mapping or Runs
        A table of runs, or a study directory: then its cells are what can be run, and its primary endpoint is the
        question unless another is asked.
    cells : sequence of mapping, optional
        The cells of a study, as in ``cells.jsonl``; by default those of the directory.
    along, at, target, stage, recipes, where, upstream, downstream, teacher, pool
        The boundary that is asked for, as for :func:`tippingpoint.find_boundary`.
    predict : mapping, optional
        Sharpen a prediction instead: sizes by axis, and ``recipe`` (by default the second).
    level : float, default 0.9
        Probability of the interval.
    batch : int, default 5
        How many candidates to return; each is chosen given those before it.
    extra_seeds : int, default 3
        Further seed blocks on offer.
    cost : {"flops", "seconds"}
        What is paid with.
    beyond : bool, default False
        Where what is open reaches beyond the sizes that were run, choose the nearest size beyond it.
    resamples : int, default 1000
        Draws of the posterior.
    random_state : int, default 0
        Seed of the draws.

    Returns
    -------
    Next

    Raises
    ------
    RunsError
        As :func:`tippingpoint.find_boundary`; or the runs are of one block only.
    InputError
        A setting is out of its range; a study directory is not one.

    Examples
    --------
    >>> next_cells("studies/standard").summary()  # doctest: +SKIP
    """
    question: dict[str, Any] = {"along": along, "target": target, "stage": stage, "recipes": recipes, "at": at}
    question |= {"upstream": upstream, "downstream": downstream, "teacher": teacher}
    _check(question, cells, predict, level, batch, extra_seeds, cost, resamples, random_state)
    root = Path(runs) if isinstance(runs, (str, Path)) and Path(runs).is_dir() else None
    if root is not None and (root / "cells.jsonl").is_file():
        cells = read_cells(root) if cells is None else cells
        question = _completed(question, read_endpoint(root))
    asked: dict[str, Any] = {**_USUAL, **{name: value for name, value in question.items() if value is not None}}
    asked["at"], wanted = _prediction(dict(asked.get("at") or {}), asked, predict)
    table = read_runs(runs, where=where)
    found = answer_of(table, asked, pool, level, resamples, random_state, lawful=wanted is not None)
    if cells is None:
        offers = offers_of_table(found.chosen, table, extra_seeds=extra_seeds, cost=cost)
    else:
        every = [*cells, *extra_cells(cells, extra_seeds)]
        offers = offers_of_cells(found.chosen, every, asked["stage"], cost)
    return _ranked(found, offers, wanted, asked, level, batch, beyond)


def _check(
    question: Mapping[str, Any],
    cells: object,
    predict: object,
    level: float,
    batch: int,
    extra_seeds: int,
    cost: str,
    resamples: int,
    random_state: int,
) -> None:
    faults = []
    if not (cells is None or (is_list(cells) and all(isinstance(cell, Mapping) for cell in cells))):
        faults.append("cells: they are not a list of cells, as the lines of cells.jsonl are; leave them out for all.")
    if not (predict is None or isinstance(predict, Mapping)):
        faults.append(f"predict: {predict!r} is not a mapping from axis to size, such as {{'n_pretrain': 100000}}.")
    if not is_count(batch) or batch < 1:
        faults.append(f"batch: {said(batch)} is not a whole number of 1 or more; 5 is usual.")
    if not is_count(extra_seeds):
        faults.append(f"extra_seeds: {said(extra_seeds)} is not a whole number; 0 offers no new block, 3 is usual.")
    if cost not in ("flops", "seconds"):
        faults.append(f"cost: '{cost}' is not known; take flops or seconds.")
    if is_count(resamples) and resamples < 100:
        faults.append(f"resamples: {resamples} draws are too few to rank with; 1000 is usual.")
    asked = {name: value for name, value in question.items() if value is not None}
    check_asked(faults, **asked, level=level, resamples=resamples, random_state=random_state)


def asked_by(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's primary endpoint, as ``progress.json`` says it, as the settings of :func:`next_cells`."""
    names = ("along", "target", "stage", "recipes", "upstream", "downstream", "teacher")
    found = {name: endpoint[name] for name in names if endpoint.get(name) is not None}
    return found | {"at": {axis: value for axis, value in (endpoint.get("at") or {}).items() if value is not None}}


def _completed(question: dict[str, Any], endpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fill what is not asked from the endpoint; its place and sets only where the same is asked of them."""
    if endpoint is None:
        return question
    declared = asked_by(endpoint)
    same = all(question[name] in (None, declared.get(name)) for name in ("along", "stage"))
    if not same:
        declared = {name: declared[name] for name in ("target", "recipes", "upstream") if name in declared}
    return {**declared, **{name: value for name, value in question.items() if value is not None}}


def _prediction(
    at: dict[str, float], asked: Mapping[str, Any], predict: Mapping[str, Any] | None
) -> tuple[dict[str, float], Prediction | None]:
    """Return the place on the other axes, and the value that is to be predicted."""
    if predict is None:
        return at, None
    sizes = {axis: value for axis, value in predict.items() if axis != "recipe"}
    recipes = [str(name) for name in asked["recipes"]]
    recipe, along = str(predict.get("recipe", recipes[-1])), asked["along"]
    faults = []
    if recipe not in recipes:
        faults.append(f"predict: recipe '{recipe}' is not one of the two that are compared, {', '.join(recipes)}.")
    if along not in sizes:
        faults.append(f"predict: give a size of {along}, for example {along}=1000.")
    faults += [
        f"predict: {axis}={value} is not a size above 0."
        for axis, value in sizes.items()
        if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0)
    ]
    if faults:
        raise InputError(faults)
    others = {axis: float(value) for axis, value in sizes.items() if axis != along}
    return {**at, **others}, Prediction(recipes.index(recipe), float(sizes[along]))


def _ranked(
    found: Answer,
    offers: Offers,
    wanted: Prediction | None,
    asked: Mapping[str, Any],
    level: float,
    batch: int,
    beyond: bool,
) -> Next:
    """Put the answer so far and the candidates together."""
    chosen = found.chosen
    span = _span(chosen, offers)
    grid = np.geomspace(*span, _GRID) if wanted is None else np.array([wanted.size])
    drawn = drawn_of(found, grid, wanted)
    width, bracketed = width_of(found, drawn, grid, level, wanted)
    bundles = bundles_of(offers)
    forced = [] if bracketed or not beyond else _beyond(bundles, offers, chosen, span, drawn)
    step = None if wanted is not None else math.log10(span[1] / span[0]) / _GRID
    settled = width == 0 and not forced
    picks, now = _picked(found, offers, forced or bundles, drawn, step, batch, forced=bool(forced), settled=settled)
    question = {**{name: asked.get(name) for name in ("along", "target", "stage")}, "at": dict(chosen.at)}
    predict = None if wanted is None else {"recipe": chosen.recipes[wanted.side], asked["along"]: wanted.size}
    return Next(
        question={**question, "recipes": list(chosen.recipes), "level": level, "predict": predict},
        basis=found.basis,
        width=width,
        bracketed=bracketed,
        range=span,
        answer=found.edge.sentence,
        crossings=tuple(one.to_dict() for one in found.edge.crossings),
        candidates=tuple(_candidate(offers, chosen, one, width / now) for one in picks),
        unit=offers.unit,
        offered=len(bundles),
        warnings=limits_of(found, span, wanted, bracketed),
        notes=(*found.edge.notes, *offers.notes),
    )


def _picked(
    found: Answer,
    offers: Offers,
    bundles: list[Bundle],
    drawn: Array,
    step: float | None,
    batch: int,
    *,
    forced: bool,
    settled: bool,
) -> tuple[list[Picked], float]:
    """Return what is picked, and the measure before."""
    if not bundles or settled:
        return [], 1.0
    told = to_come(found.curves, found.chosen, offers.rows)
    belief = Belief.of(drawn, told.values, told.noise, step)
    now = belief.open() or 1.0
    picks = pick(
        belief,
        [bundle.rows for bundle in bundles],
        [bundle.cells for bundle in bundles],
        offers.costs,
        1 if forced else batch,
        least=-math.inf if forced else _LEAST,
    )
    return picks, now


def _span(chosen: Selection, offers: Offers) -> tuple[float, float]:
    """Return the range that is asked about: all sizes that were or could be run."""
    sizes = [chosen.low, chosen.high]
    if len(offers.rows) and chosen.along in offers.rows.columns:
        own = offers.rows[chosen.along].to_numpy(dtype=float)
        sizes += own[np.isfinite(own)].tolist()
    return min(sizes), max(sizes)


def _beyond(
    bundles: list[Bundle], offers: Offers, chosen: Selection, span: tuple[float, float], drawn: Array
) -> list[Bundle]:
    """Return the cheapest whole bundle at the nearest size beyond those that were run, where something is open."""
    sizes = offers.rows[chosen.along].to_numpy(dtype=float)
    share = (drawn > 0).mean(axis=0)
    grid = np.geomspace(*span, len(share))
    unsure = np.abs(share - 0.5) < 0.45
    above = bool((unsure & (grid > chosen.high)).any()) or chosen.high < span[1]
    over = sizes[sizes > chosen.high * (1 + 1e-6)] if above else sizes[sizes < chosen.low * (1 - 1e-6)]
    if not len(over):
        return []
    nearest = over.min() if above else over.max()
    side = offers.rows["side"].to_numpy()
    whole = [
        bundle
        for bundle in bundles
        if np.abs(sizes[bundle.rows] / nearest - 1).max() < 1e-6 and len(set(side[bundle.rows])) == 2
    ]
    paid = [sum(offers.costs[cell] for cell in bundle.cells) for bundle in whole]
    return [whole[int(np.argmin(paid))]] if whole else []


def _candidate(offers: Offers, chosen: Selection, one: Picked, scale: float) -> Candidate:
    rows = offers.rows.iloc[one.runs]
    sizes = {}
    for axis in AXES:
        if axis in rows.columns and axis != "n_params_teacher":
            values = rows[axis].dropna().unique()
            if len(values) == 1:
                sizes[axis] = float(values[0])
    walked = {chosen.along: sizes[chosen.along]} if chosen.along in sizes else {}
    cells = sorted(one.cells, key=lambda key: offers.labels[key])
    return Candidate(
        recipes=tuple(chosen.recipes[side] for side in sorted(set(rows["side"]))),
        sizes=walked | {axis: value for axis, value in sizes.items() if axis not in (*walked, *chosen.held)},
        block=(int(rows["subset_seed"].iloc[0]), int(rows["seed"].iloc[0])),
        new_block=bool(rows["new"].iloc[0]),
        trains=tuple(offers.labels[key] for key in cells),
        cells=tuple(cells),
        cost=one.cost,
        width_before=one.before * scale,
        width_after=one.after * scale,
        gain=one.gain * scale,
    )
