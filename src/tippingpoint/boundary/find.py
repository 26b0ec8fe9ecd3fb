"""Find the boundary: draw both recipes' laws together, and read the answer off their difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.asked import check_asked
from tippingpoint.boundary.diagnosis import answer, diagnose, laws_hold, measured_answer
from tippingpoint.boundary.draws import Draws, FittedPair, fit_pair
from tippingpoint.boundary.measured import measured_crossings
from tippingpoint.boundary.paired import block_differences, pair_up, sign_changes
from tippingpoint.boundary.power_difference import REGIMES, PowerDifference, Regime
from tippingpoint.boundary.result import Boundary, Crossing, Interval, Stationary
from tippingpoint.boundary.selection import Selection, select_pair
from tippingpoint.boundary.spread import score_step
from tippingpoint.runs import read_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["boundary_of", "find_boundary"]

_CURVE_POINTS = 121


def find_boundary(
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
    teacher: str | None = None,
    pool: str = "auto",
    objective: str = "log",
) -> Boundary:
    """Say up to which size, from which size, or between which sizes the second recipe is better.

    Both recipes get a law of their own (Eq. (1) without, Eq. (4) with a teacher axis), over ``along`` and the pooled
    axes. Their difference is crossed exactly (``PowerDifference``). Uncertainty is the joint posterior of both laws,
    with the noise that blocks, checkpoints and pairs share (:mod:`tippingpoint.boundary.draws`).

    Parameters
    ----------
    runs : path, DataFrame, mapping or Runs
        Whatever :func:`read_runs` takes.
    along : str, default "n_pretrain"
        The axis to walk along: n_pretrain, n_finetune, n_params, n_params_teacher, or another column of sizes.
    at : mapping of str to float, optional
        Sizes on the other axes; one with a single shared size needs none.
    target : str, default "error"
        Column to compare; smaller is better.
    stage : str, default "finetuned"
        Or "pretrained".
    recipes : pair of str, default ("scratch", "distilled")
        First and second; the difference is first minus second.
    where : str, optional
        Condition on the rows.
    level : float, default 0.9
        Probability of the intervals.
    resamples : int, default 2000
        Draws of the joint posterior; 0 for no intervals.
    random_state : int, optional
        Seed of the draws.
    upstream, downstream, teacher : str, optional
        Which, where the table has several.
    pool : {"auto", "none", "all"}
        Whether the other axes are tied together by the laws or only runs of exactly the size in ``at`` are used.
        ``auto`` ties an axis of three or more sizes where the size was not measured.
    objective : {"log", "huber-log", "squares", "binomial"}
        What the fits minimise. Squared log residuals by default: what a block does to both recipes then cancels in the
        difference nearly as in the data, which Huber's loss, nearly a median, does less.

    Returns
    -------
    Boundary

    Raises
    ------
    RunsError
        A recipe, column or size is missing, or the choice is ambiguous (the choices are listed).
    InputError
        A setting is out of its range.

    Examples
    --------
    >>> edge = find_boundary("runs.csv", along="n_pretrain", at={"n_params": 51000}, stage="pretrained",
    ...                      target="cross_entropy")  # doctest: +SKIP
    >>> edge.summary()  # doctest: +SKIP
    """
    check_asked(
        along=along,
        at=at,
        target=target,
        stage=stage,
        recipes=recipes,
        level=level,
        resamples=resamples,
        random_state=random_state,
        upstream=upstream,
        downstream=downstream,
        teacher=teacher,
        objective=objective,
    )
    table = read_runs(runs, where=where)
    chosen = select_pair(
        table,
        along=along,
        at=dict(at or {}),
        target=target,
        stage=stage,
        recipes=(recipes[0], recipes[1]),
        upstream=upstream,
        downstream=downstream,
        teacher=teacher,
        pool=pool,
    )
    fitted = fit_pair(chosen, resamples=resamples, random_state=random_state, objective=objective)
    return boundary_of(chosen, fitted, notes=table.notes, stage=stage, level=level)


def boundary_of(
    chosen: Selection, fitted: FittedPair, *, notes: tuple[str, ...], stage: str | None, level: float
) -> Boundary:
    """Return the answer of a fit.

    Parameters
    ----------
    chosen : Selection
        The runs.
    fitted : FittedPair
        Both laws and the draws.
    notes : tuple of str
        What was decided when the runs were read.
    stage : str or None
        What was asked for, to be said.
    level : float
        Probability of the intervals.

    Returns
    -------
    Boundary
    """
    draws, low, high = fitted.draws, chosen.low, chosen.high
    fitted, regime, shares = _likeliest(fitted, low, high)
    F = fitted.difference
    crossings = _crossings(F, draws, low, high, level)
    paired = pair_up(chosen, level)
    holds = laws_hold(chosen, F, paired)
    step = score_step(chosen.frames, chosen.target)
    measured = measured_crossings(block_differences(chosen), paired, level, step)
    curve = _curve(F, draws, chosen, level)
    return Boundary(
        recipes=chosen.recipes,
        along=chosen.along,
        at=chosen.at,
        target=chosen.target,
        stage=stage,
        level=level,
        regime=regime,
        regime_global=F.regime,
        regime_probability=shares,
        regime_global_probability=_ranked(np.array([one.regime for one in draws.differences])) if draws.total else {},
        crossings=crossings,
        stationary=_stationary(F, draws, level),
        tangency=F.tangency,
        range=(low, high),
        sentence=(
            answer(chosen, F, regime, crossings, shares, level)
            if holds
            else measured_answer(chosen, crossings, measured, paired, level)
        ),
        laws_hold=holds,
        measured=measured,
        warnings=diagnose(chosen, fitted, regime, crossings, paired, curve, level),
        notes=(*notes, *chosen.notes),
        curve_=curve,
        paired_=paired,
        second_opinion=sign_changes(paired),
        difference_=F,
        laws_=fitted.fits,
        n_blocks=draws.blocks,
        resamples=draws.total,
    )


def _likeliest(fitted: FittedPair, low: float, high: float) -> tuple[FittedPair, Regime, dict[str, float]]:
    """Return the laws that are shown, their regime in the range, and the share of the draws with each regime.

    They are those of the draw whose difference lies nearest to the mean of the draws with the likeliest regime, so that
    what is shown as the answer is also what is likeliest; without draws those of the two fits.
    """
    draws = fitted.draws
    if not draws.total:
        return fitted, fitted.difference.regime_in(low, high), {}
    regimes = np.array([difference.regime_in(low, high) for difference in draws.differences])
    shares = _ranked(regimes)
    likeliest = next(name for name in REGIMES if shares.get(name) == max(shares.values()))
    place = draws.middle(np.geomspace(low, high, _CURVE_POINTS), regimes == likeliest)
    return fitted.shown(place), likeliest, shares


def _ranked(regimes: NDArray[Any]) -> dict[str, float]:
    """Return the share of each regime among the draws, likeliest first."""
    names, counts = np.unique(regimes, return_counts=True)
    ranked = sorted(zip(counts.tolist(), names.tolist(), strict=True), reverse=True)
    return {str(name): count / len(regimes) for count, name in ranked}


def _crossings(F: PowerDifference, draws: Draws, low: float, high: float, level: float) -> list[Crossing]:
    """Return every crossing with its interval over the draws."""
    found = []
    for place, value in enumerate(F.crossings):
        direction = _direction(F, place)
        between = F.regime == "outside_window"
        ends = np.array([_end(difference, direction, between) for difference in draws.differences])
        interval: Interval | None = None
        share = None
        if draws.total:
            interval = _open_ended(*draws.quantiles(ends, level))
            share = float(np.mean([_has(difference, direction) for difference in draws.differences]))
        found.append(Crossing(value, interval, low < value < high, direction, share))
    return found


def _direction(F: PowerDifference, place: int) -> int:
    """Return 1 where F turns positive at its crossing number ``place``, else -1."""
    first = 1 if F.regime in ("below", "outside_window") else -1
    return -first if place == 0 else first


def _has(F: PowerDifference, direction: int) -> bool:
    return any(_direction(F, place) == direction for place in range(len(F.log_crossings)))


def _end(F: PowerDifference, direction: int, between: bool) -> float:
    """Return ln D of a draw's crossing of one direction; where it has none, the end of the axis it has gone to.

    Read the pair of crossings as the set of sizes where the second recipe helps: it starts at the rising crossing
    (at 0 if it helps from the first size on, at infinity if it never helps) and stops at the falling one. Where the
    laws that are shown have it harm ``between`` two crossings, read them as the set where it harms, which starts at the
    falling one: a draw in which it never helps again has its rising crossing at infinity, not at 0.
    """
    for place, x in enumerate(F.log_crossings):
        if _direction(F, place) == direction:
            return x
    one_sided = "below" if (direction > 0) is not between else "above"
    helps_everywhere_else = F.regime in ("always", one_sided)
    return -direction * math.inf if helps_everywhere_else else direction * math.inf


def _open_ended(low: Any, high: Any) -> Interval:
    """Return an interval of sizes from logarithms; infinite or unrepresentable ends are open."""

    def size_of(x: float) -> float | None:
        value = math.exp(x) if x < 700 else math.inf
        return value if 0 < value < math.inf else None

    return size_of(float(low)), size_of(float(high))


def _stationary(F: PowerDifference, draws: Draws, level: float) -> Stationary:
    """Return D* with its interval over the draws that have one."""
    logs = [difference.log_stationary for difference in draws.differences]
    there = np.array([x is not None for x in logs], dtype=bool)
    if F.stationary is None or not there.any():
        return Stationary(F.stationary, None, 0.0 if draws.total else None)
    ends = draws.quantiles(np.array([x for x in logs if x is not None]), level)
    return Stationary(F.stationary, _open_ended(*ends), float(there.mean()))


def _curve(F: PowerDifference, draws: Draws, chosen: Selection, level: float) -> pd.DataFrame:
    """Return the difference over the range with its band, and the probability that the second recipe helps."""
    import pandas as pd

    sizes = np.geomspace(chosen.low, chosen.high, _CURVE_POINTS)
    low: NDArray[np.float64] = np.full(len(sizes), math.nan)
    high, helps = low, low
    if draws.total:
        values = draws.values(sizes)
        low, high = draws.quantiles(values, level)
        helps = (values > 0).mean(axis=0)
    columns = {"difference": F(sizes), "low": low, "high": high, "probability_helps": helps}
    return pd.DataFrame({chosen.along: sizes, **columns})
