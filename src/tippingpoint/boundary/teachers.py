r"""Which recipe, and under which teacher, is best where: all candidates at once, not pair by pair.

A candidate is a recipe without teachers, or a recipe with one teacher. All are fitted as one posterior, with the noise
that they share (:mod:`tippingpoint.boundary.draws`, with more than two recipes), so that the chance to be best is the
share of its draws in which a candidate has the least value: the shares of all candidates sum to 1.

The second opinion has no law: at each size the mean of every candidate over B seed blocks, with

.. math:: \mu^* = \bar y + \sqrt{\frac{B-1}{\chi^2_{B-1}}}\;\frac{1}{\sqrt{B(B-1)}}\;(Y - \bar y)'z

for the table Y (blocks by candidates) and z of N(0, I_B). The difference of any two candidates is then distributed as
Student's paired t has it, exactly; the chance to be best is the share of draws in which a candidate is least.

Claims are adjusted: at one size the leader is said to be best where it beats each rival (the largest one-sided p of its
paired t-tests), times the number of candidates that might have led, and by Holm's method over the sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.adjusted import holm, paired_p
from tippingpoint.boundary.asked import check_asked
from tippingpoint.boundary.draws import Stacked, few_blocks, fit_recipe
from tippingpoint.boundary.levels import levels_of, names_in
from tippingpoint.boundary.pair_law import PairLaw
from tippingpoint.boundary.paired import block_differences
from tippingpoint.boundary.selection import Selection, select_pair
from tippingpoint.boundary.spread import score_step, standard_error
from tippingpoint.boundary.teachers_result import BestTeacher, Candidate
from tippingpoint.errors import RunsError, did_you_mean
from tippingpoint.fitting.blocks import Blocks, blocks_of
from tippingpoint.kinds import NAMES
from tippingpoint.runs import Runs, read_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["best_teacher"]

Array = NDArray[np.float64]

_DRAWS = 20_000  # of the second opinion: they cost nothing
_FIT = 0.95  # probability, over all sizes and candidates together, of the test that the laws fit the paired runs
_COLUMNS = ("candidate", "gain", "standard_error", "chance", "n_pairs")


def best_teacher(
    runs: Any,
    along: str = "n_pretrain",
    at: Mapping[str, float] | None = None,
    target: str = "error",
    stage: str | None = "finetuned",
    recipes: Sequence[str] = ("scratch", "distilled"),
    where: str | None = None,
    level: float = 0.9,
    resamples: int = 2000,
    random_state: int | None = None,
    *,
    upstream: str | None = None,
    downstream: str | None = None,
    pool: str = "auto",
    objective: str = "log",
) -> BestTeacher:
    """Say which recipe and teacher is best at every measured size of an axis, and how sure that is.

    Parameters
    ----------
    runs, along, at, target, stage, where, level, resamples, random_state, upstream, downstream, pool, objective
        As for :func:`find_boundary`; ``along`` is not n_params_teacher, of which every teacher has its own size.
    recipes : sequence of str, default ("scratch", "distilled")
        Two or more; the first has no teachers, each of the others is split by its teachers.

    Returns
    -------
    BestTeacher
        A teacher that cannot be compared at this place is listed with the reason.

    Raises
    ------
    RunsError
        No teacher can be compared, a recipe, column or size is missing, or the choice is ambiguous.
    InputError
        A setting is out of its range.

    Examples
    --------
    >>> found = best_teacher("runs.csv", at={"n_params": 200000, "n_finetune": 100})  # doctest: +SKIP
    >>> found.table_  # doctest: +SKIP
    """
    _check_settings(
        recipes,
        along=along,
        at=at,
        target=target,
        stage=stage,
        level=level,
        resamples=resamples,
        random_state=random_state,
        upstream=upstream,
        downstream=downstream,
        objective=objective,
    )
    table = read_runs(runs, where=where)
    place = dict(at or {})
    asked: dict[str, Any] = {"target": target, "stage": stage, "upstream": upstream, "downstream": downstream}
    chosen, failed = [], []
    for recipe, teacher in _candidates(table, recipes):
        try:
            own = (recipes[0], recipe)
            chosen.append(
                (teacher, select_pair(table, along=along, at=place, recipes=own, teacher=teacher, pool=pool, **asked))
            )
        except RunsError as error:
            failed.append((Candidate(recipe, teacher), " ".join(error.faults)))
    if not chosen:
        raise RunsError(["No teacher can be compared.", *dict.fromkeys(reason for _, reason in failed)])
    field = _field(chosen)
    generator = np.random.default_rng(random_state)
    law = _by_laws(field, resamples, generator, objective)
    measured, table_ = _measured(field, chosen, level, generator)
    return BestTeacher(
        along=along,
        at={axis: size for axis, size in field.at.items() if axis != "n_params_teacher"},
        target=target,
        stage=stage,
        level=level,
        candidates=tuple(field.candidates),
        failed=tuple(failed),
        laws_hold=_laws_hold(law, measured, along, recipes[0]),
        laws_=law,
        measured_=measured,
        leaders_=table_,
        notes=tuple(dict.fromkeys(note for _, one in chosen for note in (*table.notes, *one.notes))),
        warnings=tuple(dict.fromkeys([*_few(field), *(note for _, one in chosen for note in one.warnings)])),
    )


class _Field(NamedTuple):
    """All candidates' runs at one place."""

    candidates: list[Candidate]
    frames: list[pd.DataFrame]
    axes: list[tuple[str, ...]]
    along: str
    at: dict[str, float]
    held: tuple[str, ...]
    target: str
    low: float
    high: float

    @property
    def sizes(self) -> list[float]:
        """Sizes of the axis that were measured within the range that all share."""
        own = sorted({size for frame in self.frames for size in levels_of(frame, self.along)})
        return [size for size in own if self.low <= size <= self.high]


def _check_settings(recipes: Sequence[str], **asked: Any) -> None:
    faults = []
    if asked["along"] == "n_params_teacher":
        faults.append("along: every teacher has a size of its own; walk along another axis, such as n_pretrain.")
    if not NAMES.fits(recipes) or len(recipes) < 2 or len(set(recipes)) < len(recipes):
        faults.append("recipes: name two or more different ones, the one without teachers first: scratch,distilled.")
    check_asked(faults, **asked)


def _candidates(table: Runs, recipes: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return every (recipe, teacher) that the first recipe is held against."""
    columns = {str(name) for name in table.frame.columns}
    if "recipe" not in columns:
        raise RunsError(f"{table.source} has no column 'recipe', so that recipes cannot be told apart; add one.")
    known = names_in(table.frame, "recipe")
    faults = [
        f"recipes: no run is of recipe '{recipe}'; the table has {', '.join(known)}.{did_you_mean(recipe, known)}"
        for recipe in recipes
        if recipe not in known
    ]
    if faults:
        raise RunsError(faults)
    teachers = {
        recipe: names_in(table.frame[(table.frame["recipe"].astype(str) == recipe).to_numpy(bool)], "teacher")
        for recipe in recipes
    }
    if teachers[recipes[0]]:
        raise RunsError(
            f"recipes: '{recipes[0]}' comes first and is guided by {', '.join(teachers[recipes[0]])}; put one without "
            "teachers first, such as scratch."
        )
    none: list[str | None] = [None]
    return [(recipe, teacher) for recipe in recipes[1:] for teacher in (teachers[recipe] or none)]


def _field(chosen: list[tuple[str | None, Selection]]) -> _Field:
    """Return all candidates, the one that all are held against first."""
    first = chosen[0][1]
    low, high = max(one.low for _, one in chosen), min(one.high for _, one in chosen)
    return _Field(
        [Candidate(first.recipes[0], None), *(Candidate(one.recipes[1], teacher) for teacher, one in chosen)],
        [first.frames[0], *(one.frames[1] for _, one in chosen)],
        [first.axes[0], *(one.axes[1] for _, one in chosen)],
        first.along,
        first.at,
        first.held,
        first.target,
        low,
        high,
    )


def _few(field: _Field) -> list[str]:
    blocks, both = _blocks(field)
    none = "One seed block says nothing of how blocks differ: chances by the laws are missing."
    return [*few_blocks(both, blocks.kind, blocks.count), *([none] if blocks.count < 2 else [])]


def _blocks(field: _Field) -> tuple[Blocks, pd.DataFrame]:
    """Return the independent blocks of all candidates' runs, and the runs."""
    import pandas as pd

    both = pd.concat(field.frames, ignore_index=True)
    return blocks_of(both), both


def _by_laws(field: _Field, resamples: int, generator: np.random.Generator, objective: str) -> pd.DataFrame:
    """Return each candidate's chance to be best by the laws, and its value, at every size."""
    import pandas as pd

    columns = [field.along, "candidate", "mean", "chance"]
    if not resamples or _blocks(field)[0].count < 2:
        return pd.DataFrame(columns=columns)
    pooled = [axis for axis in field.at if axis not in field.held and axis != "n_params_teacher"]
    law = PairLaw(field.along, pooled, field.axes)
    fits = [
        fit_recipe(axes, frame, field.target, objective) for axes, frame in zip(field.axes, field.frames, strict=True)
    ]
    data = Stacked.of(law, field.frames, field.target, field.at, fits)
    joint, _ = data.joint(resamples, generator, objective)
    recipes = data.recipes(joint.theta)  # (R, K, 3)
    rows = []
    for size in field.sizes:
        with np.errstate(divide="ignore", over="ignore"):
            values = recipes[..., 0] + np.exp(np.log(recipes[..., 1]) - recipes[..., 2] * np.log(size))
        chance = np.bincount(values.argmin(axis=1), minlength=values.shape[1]) / len(values)
        for place, candidate in enumerate(field.candidates):
            rows.append((size, candidate.name, float(values[:, place].mean()), float(chance[place])))
    return pd.DataFrame(rows, columns=columns)


def _measured(
    field: _Field, chosen: list[tuple[str | None, Selection]], level: float, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return each candidate's mean difference from the first and chance to be best at every size, and the leaders."""
    import pandas as pd

    gains = [block_differences(one) for _, one in chosen]
    step = score_step([frame for _, one in chosen for frame in one.frames], field.target)
    rows, leaders = [], []
    for size in field.sizes:
        if not all(size in gain.columns for gain in gains):
            continue
        both = pd.concat([gain[size] for gain in gains], axis=1, join="inner").dropna().to_numpy(dtype=float)
        if not len(both):
            continue
        values = np.column_stack([np.zeros(len(both)), -both])  # blocks by candidates, the first recipe at 0
        chance = _chances(values, generator)
        mean = values.mean(axis=0)
        leader = int(mean.argmin())
        names = [candidate.name for candidate in field.candidates]
        error = standard_error(values, step)
        rows += [(size, name, -mean[k], error[k], chance[k], len(both)) for k, name in enumerate(names)]
        rival = np.delete(values - values[:, [leader]], leader, axis=1)  # above 0 where the leader is better
        one_sided = paired_p(rival.mean(axis=0), standard_error(rival, step), np.full(rival.shape[1], len(both))) / 2
        leaders.append((size, names[leader], chance[leader], float(np.minimum(1.0, len(names) * one_sided.max()))))
    table = pd.DataFrame(leaders, columns=[field.along, "leader", "chance", "p"])
    table["p_holm"] = holm(table["p"].astype(float).tolist())
    table["established"] = (table["p_holm"] < 1 - level).to_numpy(bool)
    return pd.DataFrame(rows, columns=[field.along, *_COLUMNS]), table


def _laws_hold(law: pd.DataFrame, measured: pd.DataFrame, along: str, first: str) -> bool:
    """Whether the laws' differences from the first candidate lie within the noise of the paired ones, all together."""
    import pandas as pd
    from scipy.special import stdtrit

    if not len(law) or not len(measured):
        return True
    own = law[law["candidate"] == first].set_index(along)["mean"]
    both = pd.merge(law, measured[measured["candidate"] != first], on=[along, "candidate"], suffixes=("", "_runs"))
    both = both[both["n_pairs"] > 1]
    gain = both[along].map(own) - both["mean"]
    width = stdtrit(both["n_pairs"] - 1.0, 1 - (1 - _FIT) / 2 / max(len(both), 1)) * both["standard_error"]
    return bool(((gain - both["gain"]).abs() <= width).all())


def _chances(values: Array, generator: np.random.Generator) -> Array:
    """Return each candidate's chance to have the least mean, from values (blocks, candidates)."""
    blocks, count = values.shape
    if blocks < 2:
        return np.full(count, np.nan)
    mean = values.mean(axis=0)
    spread = (values - mean) / np.sqrt(blocks * (blocks - 1))
    stretch = np.sqrt((blocks - 1) / generator.chisquare(blocks - 1, _DRAWS))
    drawn = mean + stretch[:, None] * (generator.standard_normal((_DRAWS, blocks)) @ spread)
    return np.bincount(drawn.argmin(axis=1), minlength=count) / _DRAWS
