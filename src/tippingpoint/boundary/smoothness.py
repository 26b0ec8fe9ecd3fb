r"""Are curves smoother under guidance? Training curves and curves of error against data, paired and compared.

A pair is a cell of each recipe that shares student, sizes, data sets, ``subset_seed`` and ``seed``: the same images,
initial weights and order of batches. Of each pair one log ratio is taken, second recipe over first:

* ``roughness``: of the training cross-entropy over steps, in nats (:mod:`tippingpoint.fitting.roughness`);
* ``relative_roughness``: of its logarithm, so that a lower curve is not smoother for that alone;
* ``steps``: optimiser steps until the smooth trend is down at the *higher* of both final losses, which both reach;
  where the second ends lower, that is the steps it takes to the first's final loss, over all the first took;
* ``error_roughness``, ``cross_entropy_roughness``: of the scores over pretraining images.

Log ratios are averaged within a seed block, blocks are the independent units: intervals are Student's t over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.boundary.adjusted import holm
from tippingpoint.boundary.smoothness_result import MEASURES, Smoothness
from tippingpoint.errors import InputError, RunsError, did_you_mean
from tippingpoint.fitting.roughness import (
    FEWEST_POINTS,
    SPAN,
    data_roughness,
    roughness,
    smooth_trend,
    steps_to_level,
)
from tippingpoint.kinds import LEVEL, NAMES, kind_faults
from tippingpoint.runs import read_runs
from tippingpoint.runs.curves import Curve, read_curves
from tippingpoint.runs.faults import missing_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_smoothness"]

_BLOCK = ["subset_seed", "seed"]
_SIZES = ["stage", "upstream", "downstream", "n_pretrain", "student", "n_finetune", *_BLOCK]
_GROUP = ["student", "teacher", "stage"]
_OVER_STEPS = ("roughness", "relative_roughness", "steps")
_OVER_DATA = {"error_roughness": "error", "cross_entropy_roughness": "cross_entropy"}
_COLUMNS = [*_GROUP, "measure", "scope", "downstream", "n_pretrain", "n_finetune", "first", "second"]


def compare_smoothness(
    source: str | Path,
    recipes: Sequence[str] = ("scratch", "distilled"),
    *,
    level: float = 0.9,
    span: float = SPAN,
) -> Smoothness:
    """Compare how smooth the curves of two recipes are, over seed blocks.

    Parameters
    ----------
    source : str or Path
        A study directory that has published ``curves.jsonl`` and ``runs.csv``.
    recipes : sequence of str, default ("scratch", "distilled")
        First and second; ratios are second over first.
    level : float, default 0.9
        Probability of the intervals.
    span : float, default 0.15
        Share of a training curve's points that its smooth trend looks at.

    Returns
    -------
    Smoothness

    Raises
    ------
    RunsError
        The directory has no curves, a recipe is not in them, or no two cells pair up.
    InputError
        A setting cannot be used.
    """
    import pandas as pd

    faults = kind_faults({"recipes": (recipes, NAMES), "level": (level, LEVEL)})
    if faults:
        raise InputError(faults)
    curves = read_curves(source)
    _check_recipes(curves, recipes, str(source))
    notes: list[str] = []
    pairs = _paired_curves(curves, recipes, notes)
    if not pairs:
        told = f" {' '.join(notes)}" if notes else ""
        raise RunsError(f"{source}: no cell of {recipes[0]} pairs up with one of {recipes[1]}.{told}")
    cells = pd.DataFrame([_measures(first, second, span) for first, second in pairs])
    rows = [row for measure in _OVER_STEPS for row in _aggregate(cells, measure, level)]
    scores = _paired_scores(source, recipes, pairs, notes)
    if len(scores):
        rows += [row for measure in _OVER_DATA for row in _aggregate(scores, measure, level)]
    return Smoothness((recipes[0], recipes[1]), level, span, _finish(rows), len(pairs), tuple(notes))


def _check_recipes(curves: Sequence[Curve], recipes: Sequence[str], source: str) -> None:
    """Raise where a recipe has no curve."""
    known = sorted({str(curve.place["recipe"]) for curve in curves})
    faults = [
        f"recipes: no curve of {source} is of recipe '{recipe}'; there are {', '.join(known)}."
        f"{did_you_mean(recipe, known)}"
        for recipe in recipes
        if recipe not in known
    ]
    if len(recipes) != 2 or recipes[0] == recipes[1]:
        faults.append("recipes: name two different recipes, for example scratch,distilled.")
    if faults:
        raise RunsError(faults)


# --- over steps ---


def _paired_curves(curves: Iterable[Curve], recipes: Sequence[str], notes: list[str]) -> list[tuple[Curve, Curve]]:
    """Return the pairs whose trainings took the same steps and are long enough; the others are counted."""
    sides: list[list[Curve]] = [[], []]
    for curve in curves:
        if curve.place["recipe"] in recipes:
            sides[recipes.index(curve.place["recipe"])].append(curve)
    taught = all(any(curve.place["teacher"] for curve in side) for side in sides)
    names = [*_SIZES, "teacher"] if taught else _SIZES
    firsts = {tuple(curve.place[name] for name in names): curve for curve in sides[0]}
    kept, unequal, short = [], 0, 0
    for second in sides[1]:
        first = firsts.get(tuple(second.place[name] for name in names))
        if first is None:
            continue
        late = (first.step > first.warmup_steps).sum()
        if not np.array_equal(first.step, second.step):
            unequal += 1
        elif late < FEWEST_POINTS:
            short += 1
        else:
            kept.append((first, second))
    if unequal:
        notes.append(f"{unequal} pairs are set aside: their trainings took different numbers of steps.")
    if short:
        notes.append(f"{short} pairs are set aside: their curves have under {FEWEST_POINTS} points after the warm-up.")
    return kept


def _measures(first: Curve, second: Curve, span: float) -> dict[str, Any]:
    """Return one pair's place and, of each measure, both values."""
    place = {name: second.place[name] for name in _SIZES}
    found: dict[str, Any] = {**place, "teacher": second.place["teacher"] or first.place["teacher"]}
    trends = []
    for side, curve in (("first", first), ("second", second)):
        ce = curve.parts["ce"]
        found[f"roughness_{side}"] = roughness(curve.step, ce, after=curve.warmup_steps, span=span)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = roughness(curve.step, np.log(ce), after=curve.warmup_steps, span=span)
        found[f"relative_roughness_{side}"] = relative
        trends.append(smooth_trend(curve.step, ce, span))
    shared = max(trend[-1] for trend in trends)
    for side, trend in zip(("first", "second"), trends, strict=True):
        found[f"steps_{side}"] = steps_to_level(first.step, trend, shared)
    found["reached"] = bool(trends[1].min() <= trends[0][-1])
    return found


# --- over data ---


def _paired_scores(
    source: str | Path, recipes: Sequence[str], pairs: Sequence[tuple[Curve, Curve]], notes: list[str]
) -> pd.DataFrame:
    """Return, of every curve of scores over n_pretrain that both recipes have, both roughnesses."""
    import pandas as pd

    path = Path(source) if Path(source).is_dir() else Path(source).parent
    table = read_runs(path)
    keys, runs = ["stage", "downstream", "n_finetune", *_BLOCK], table.frame
    needed = [*keys, "recipe", "student", "teacher", "n_pretrain", *_OVER_DATA.values()]
    if faults := missing_columns(needed, runs.columns, table.source):
        raise RunsError(faults)
    frame = runs.assign(**{key: runs[key].astype(object).where(runs[key].notna(), None) for key in keys})
    rows = []
    for student, teacher in sorted(
        {(_text(b, "student"), _text(b, "teacher") or _text(a, "teacher")) for a, b in pairs}
    ):
        own = frame[(frame["student"].astype(str) == student)]
        alike = own["teacher"].isna() | (own["teacher"] == teacher)
        sides = [_by_place(own[(own["recipe"] == recipe) & alike], keys) for recipe in recipes]
        for key, first in sides[0].items():
            second = sides[1].get(key)
            if second is not None and (row := _score_row(first, second)):
                rows.append({**dict(zip(keys, key, strict=True)), "student": student, "teacher": teacher, **row})
    if not rows:
        notes.append("Roughness against data needs three sizes of n_pretrain that both recipes have: it is left out.")
    found = pd.DataFrame(rows)
    return found.assign(n_pretrain=np.nan) if rows else found


def _by_place(frame: pd.DataFrame, keys: list[str]) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Return the rows of each place; what does not apply there is None, which, unlike NaN, equals itself."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for position, place in enumerate(frame[keys].itertuples(index=False, name=None)):
        places.setdefault(place, []).append(position)
    return {place: frame.iloc[positions] for place, positions in places.items()}


def _text(curve: Curve, name: str) -> str:
    return str(curve.place[name] or "")


def _score_row(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float]:
    """Return both roughnesses of each score over the sizes that both have; empty where there are under three."""
    sides = [side.groupby("n_pretrain")[list(_OVER_DATA.values())].mean() for side in (first, second)]
    sizes = sides[0].index.intersection(sides[1].index).sort_values()
    if len(sizes) < 3:
        return {}
    return {
        f"{measure}_{word}": data_roughness(sizes.to_numpy(dtype=float), side.loc[sizes, score].to_numpy(dtype=float))
        for measure, score in _OVER_DATA.items()
        for word, side in zip(("first", "second"), sides, strict=True)
    }


# --- over blocks ---


def _aggregate(cells: pd.DataFrame, measure: str, level: float) -> list[dict[str, Any]]:
    """Return the rows of one measure: overall, at each size, and along n_finetune."""
    values = cells[[f"{measure}_first", f"{measure}_second"]].to_numpy(dtype=float)
    usable = (np.isfinite(values) & (values > 0)).all(axis=1)
    cells = cells[usable].assign(first=np.log(values[usable, 0]), second=np.log(values[usable, 1]))
    rows = []
    for key, group in cells.groupby(_GROUP, dropna=False, sort=False):
        about = {**dict(zip(_GROUP, key, strict=True)), "measure": measure}
        rows.append({**about, "scope": "all", **_ratio(group, level), **_reached(group, measure)})
        axes = ["downstream", "n_finetune"] if about["stage"] == "finetuned" else ["n_pretrain"]
        if group[axes].notna().all(axis=None) and len(group.groupby(axes)) > 1:
            for place, part in group.groupby(axes):
                sizes = dict(zip(axes, place, strict=True))
                rows.append({**about, "scope": "size", **sizes, **_ratio(part, level), **_reached(part, measure)})
        if about["stage"] == "finetuned" and group["n_finetune"].nunique() > 1:
            rows.append({**about, "scope": "doubling", **_slope(group, level)})
    return rows


def _ratio(group: pd.DataFrame, level: float) -> dict[str, Any]:
    """Return the mean ratio over blocks, its interval, and the geometric means of both recipes."""
    blocks = group.groupby(_BLOCK)[["first", "second"]].mean()
    told = _student((blocks["second"] - blocks["first"]).to_numpy(), level)
    means = {name: float(np.exp(blocks[name].mean())) for name in ("first", "second")}
    return {**means, **told}


def _reached(group: pd.DataFrame, measure: str) -> dict[str, float]:
    """Return the share of pairs in which the second recipe came down to the first's final loss."""
    return {"reached": float(group["reached"].astype(float).mean())} if measure == "steps" else {}


def _slope(group: pd.DataFrame, level: float) -> dict[str, Any]:
    """Return by what the ratio is multiplied whenever n_finetune doubles: least squares in each block."""
    slopes = []
    for _, block in group.groupby(_BLOCK):
        x = np.log2(block["n_finetune"].to_numpy(dtype=float))
        x = x - x.mean()
        if x @ x > 0:
            slopes.append(float(x @ (block["second"] - block["first"]).to_numpy() / (x @ x)))
    return _student(np.array(slopes), level)


def _student(values: Any, level: float) -> dict[str, Any]:
    """Return the exponential of mean and Student's interval, and the two-sided p of a mean of zero."""
    from scipy.special import stdtr, stdtrit

    n, mean = len(values), float(np.mean(values)) if len(values) else math.nan
    if n < 2:
        return {"ratio": math.exp(mean), "low": math.nan, "high": math.nan, "n_blocks": n, "p": math.nan}
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * error
    p = 2 * float(stdtr(n - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return {"ratio": math.exp(mean), "low": math.exp(mean - half), "high": math.exp(mean + half), "n_blocks": n, "p": p}


def _finish(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the table: overall answers first, each scope adjusted by Holm's method for all of its rows."""
    import pandas as pd

    columns = [*_COLUMNS, "ratio", "low", "high", "n_blocks", "p", "p_holm", "reached"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    for scope in table["scope"].unique():
        own = table["scope"] == scope
        table.loc[own, "p_holm"] = holm(table.loc[own, "p"].astype(float).tolist())
    order = {"all": 0, "size": 1, "doubling": 2}
    ranks = table.assign(_scope=table["scope"].map(order), _measure=table["measure"].map(list(MEASURES).index))
    ranks = ranks.sort_values([*_GROUP, "_scope", "_measure", "downstream", "n_pretrain", "n_finetune"])
    return ranks[columns].reset_index(drop=True)
