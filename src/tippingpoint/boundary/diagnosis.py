"""The answer in a sentence, and sentences on what limits it: noise, pairing, misfit, range, compute."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tippingpoint.boundary.draws import FittedPair
from tippingpoint.boundary.levels import has_size, levels_of
from tippingpoint.boundary.measured import MeasuredCrossing, established_signs
from tippingpoint.boundary.no_crossing import why_none
from tippingpoint.boundary.paired import blocks_to_settle, pair_up, sign_changes
from tippingpoint.boundary.power_difference import PowerDifference, Regime
from tippingpoint.boundary.result import Crossing
from tippingpoint.boundary.selection import Selection
from tippingpoint.boundary.words import axis_words, better, interval_words, size, target_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer", "diagnose", "laws_hold", "measured_answer"]

_FIT = 0.95  # probability, over all sizes together, of the test that the laws' difference fits the paired runs
_GROWS = 0.5  # correlation with log size above which a target is said to grow
_ROUNDING = 1e-6  # of the target: what a fit to runs without noise may be off
_PARTS = ("pretrain_flops", "teacher_flops", "finetune_flops")
_UNEQUAL = 0.05  # relative difference of training compute that is worth saying


def answer(
    chosen: Selection,
    F: PowerDifference,
    regime: Regime,
    crossings: list[Crossing],
    shares: dict[str, float],
    level: float,
) -> str:
    """Return the answer in one or two sentences, the sign said by the better recipe's name."""
    first, second = chosen.recipes
    axis = axis_words(chosen.along)
    inside = [f"{size(c.value)} ({interval_words(c.interval, level)})" for c in crossings if c.in_range]
    where = f"Between {size(chosen.low)} and {size(chosen.high)} {axis}"
    if regime == "below":
        text = f"{where}, {second} is better up to about {inside[0]}, {first} above."
    elif regime == "above":
        text = f"{where}, {second} is better from about {inside[0]} on, {first} below."
    elif regime == "window":
        text = f"{where}, {second} is better from about {inside[0]} to {inside[1]}, {first} outside of that."
    elif regime == "outside_window":
        text = f"{where}, {first} is better from about {inside[0]} to {inside[1]}, {second} outside of that."
    elif regime == "equal":
        text = f"No crossing in this range: {where[0].lower()}{where[1:]}, {first} and {second} are equal."
    else:
        winner = second if regime == "always" else first
        text = (
            f"No crossing in this range: {where[0].lower()}{where[1:]}, {winner} is better at every size by the laws."
        )
    ends = [f"{better(F(end), chosen.recipes)} at {size(end)}" for end in (chosen.low, chosen.high)]
    agree = f" Probability of this: {100 * shares.get(regime, 0.0):.0f}%." if shares else ""
    return f"{text} In {target_words(chosen.target)}, {ends[0]}, and {ends[1]}.{agree}"


def laws_hold(chosen: Selection, F: PowerDifference, paired: pd.DataFrame) -> bool:
    """Return whether the laws' difference fits the paired runs: its sign where it is established, its size everywhere.

    Parameters
    ----------
    chosen : Selection
        Without pairs there is nothing to hold the laws against.
    F : PowerDifference
        Of the two fitted laws.
    paired : DataFrame
        From ``pair_up``, at the boundary's level.

    Returns
    -------
    bool
        Sizes are held against Student's intervals over blocks, together at 95% (Bonferroni); laws that were fitted to
        these very runs lie nearer to them than independent ones would, so that right laws are turned down less often.
        Where it is False, the answer is told from the runs: an interval around a law that misses them means nothing.
    """
    signs_hold = all(F.sign(place) == sign for place, sign in established_signs(paired))
    return signs_hold and not _misses(chosen, F, paired, _FIT)


def _misses(chosen: Selection, F: PowerDifference, paired: pd.DataFrame, level: float) -> list[float]:
    """Return the sizes at which the laws' difference leaves the paired interval, all sizes together at ``level``."""
    if not len(paired):
        return []
    strict = pair_up(chosen, 1 - (1 - level) / len(paired))
    places = strict[chosen.along].to_numpy(dtype=float)
    law = F(places)
    # Runs without noise have intervals without width, which the rounding of a fit would leave.
    rounding = _ROUNDING * max(float(frame[chosen.target].abs().mean()) for frame in chosen.frames)
    off = (law < strict["low"].to_numpy() - rounding) | (law > strict["high"].to_numpy() + rounding)
    return [float(place) for place in places[off]]


def measured_answer(
    chosen: Selection,
    crossings: list[Crossing],
    measured: tuple[MeasuredCrossing, ...],
    paired: pd.DataFrame,
    level: float,
) -> str:
    """Return the answer from the paired runs alone, and where the laws would have put it."""
    winner = {1: chosen.recipes[1], -1: chosen.recipes[0]}
    signs = established_signs(paired)
    text = f"In {target_words(chosen.target)}, measured without a law, "
    if not signs:
        text += f"no difference stands out of the noise at any of {len(paired)} sizes."
    elif not measured:
        text += f"{winner[signs[0][1]]} is better wherever a difference stands out of the noise (at "
        text += f"{', '.join(size(place) for place, _ in signs)} {axis_words(chosen.along)})."
    else:
        # An opening that does not stand out of the noise is left to the list of crossings: the answer stays short.
        told = measured[1:] if measured[0].interval[0] is None and len(measured) > 1 else measured
        vague = ", within noise," if told[0].interval[0] is None else ""
        place = f"{size(told[0].value)} {axis_words(chosen.along)} ({interval_words(told[0].interval, level)})"
        parts = [f"{winner[-told[0].direction]} is better{vague} up to about {place}"]
        for crossing, following in zip(told, (*told[1:], None), strict=True):
            vague = ", within noise" if crossing.interval[1] is None else ""
            until = "" if following is None else f" up to about {_measured_words(following, level)}"
            parts.append(f"{winner[crossing.direction]} above it{vague}{until}")
        text += f"{'; '.join(parts)}."
    inside = [size(crossing.value) for crossing in crossings if crossing.in_range]
    laws = f"at {' and '.join(inside)}" if inside else "nowhere in this range"
    return f"{text} The fitted laws would cross {laws}, but they miss the measured differences."


def _measured_words(crossing: MeasuredCrossing, level: float) -> str:
    return f"{size(crossing.value)} ({interval_words(crossing.interval, level)})"


def diagnose(
    chosen: Selection,
    fitted: FittedPair,
    regime: Regime,
    crossings: list[Crossing],
    paired: pd.DataFrame,
    curve: pd.DataFrame,
    level: float,
) -> tuple[str, ...]:
    """Return every sentence that limits the answer, the weightiest first."""
    whole = regime in ("always", "never")
    found = [
        *_rising(chosen),
        *([] if regime == "equal" else _noise(chosen, paired, curve, level)),
        *_disagreement(chosen, fitted.difference, crossings, paired, level),
        *(why_none(chosen, fitted.difference, fitted.draws, regime == "always", crossings) if whole else []),
        *_open_ends(chosen, crossings, level),
        *_pairing(chosen, paired),
        *_drawing(fitted),
        *_laws(fitted),
        *chosen.warnings,
        *_student_above_teacher(chosen),
        *_compute(chosen),
    ]
    if fitted.difference.tangency:
        touch = fitted.difference.stationary or math.nan
        found.insert(
            0,
            f"The difference touches zero at {size(touch)} without crossing it; the least noise decides.",
        )
    return tuple(dict.fromkeys(found))


def _rising(chosen: Selection) -> list[str]:
    """Say where both recipes' target grows along the axis: it may be a score of which more is better."""
    for frame in chosen.frames:
        if not len(levels_of(frame, chosen.along)) > 1 or frame[chosen.target].nunique() < 2:
            return []
        sizes, scores = (frame[name].to_numpy(dtype=float) for name in (chosen.along, chosen.target))
        if not np.corrcoef(np.log(sizes), scores)[0, 1] > _GROWS:
            return []
    return [
        f"The {target_words(chosen.target)} of both recipes grows with {axis_words(chosen.along)}. Smaller counts as "
        "better here: if more of it is better, this answer is upside down, and an error must be made of it (1 - it)."
    ]


def _noise(chosen: Selection, paired: pd.DataFrame, curve: pd.DataFrame, level: float) -> list[str]:
    """Say where nothing stands out of the noise, and how many more blocks would settle it."""
    known = paired[paired["n_pairs"] > 1]
    if len(known):
        if not ((known["low"] <= 0) & (known["high"] >= 0)).all():
            return []
        more = blocks_to_settle(known, level)
        settle = (
            "more than 1,000 seed blocks would be needed to settle it"
            if more is None
            else f"about {more} more seed block{'s' * (more > 1)} would settle it where it is clearest, if mean and "
            "spread stay"
        )
        return [
            f"The difference is within noise at every size that was measured ({_name(level)} of the pairs): {settle}."
        ]
    if curve["low"].notna().all() and ((curve["low"] <= 0) & (curve["high"] >= 0)).all():
        return [f"The difference of the laws is within noise over the whole range ({_name(level)})."]
    return []


def _disagreement(
    chosen: Selection, F: PowerDifference, crossings: list[Crossing], paired: pd.DataFrame, level: float
) -> list[str]:
    """Hold the laws against the paired differences, size by size and crossing by crossing."""
    if not len(paired):
        return []
    found = []
    sizes = paired[chosen.along].to_numpy(dtype=float)
    law = F(sizes)
    mean = paired["mean"].to_numpy(dtype=float)
    contrary = (paired["low"] * paired["high"] > 0).to_numpy() & (law * mean < 0)
    for place in np.flatnonzero(contrary):
        found.append(
            f"Laws and pairs disagree at {size(sizes[place])}: measured, "
            f"{better(float(mean[place]), chosen.recipes)}, beyond its {_name(level)}; by the laws, "
            f"{better(float(law[place]), chosen.recipes)}. Trust the pairs there."
        )
    missed = [size(place) for place in _misses(chosen, F, paired, level) if place not in sizes[contrary]]
    if missed:
        found.append(
            f"The laws miss the paired differences by more than noise at {', '.join(missed)}: look at the curve."
        )
    changes = sign_changes(paired)
    inside = [c for c in crossings if c.in_range]
    if len(changes) != len(inside):
        places = " and ".join(f"between {size(change.low)} and {size(change.high)}" for change in changes) or "nowhere"
        laws = f"at {' and '.join(size(c.value) for c in inside)}" if inside else "nowhere in the range"
        sure = any(change.sure for change in changes)
        tail = "" if sure or not changes else " (within noise)"
        found.append(f"Without laws the mean difference changes its sign {places}{tail}; the laws cross {laws}.")
        return found
    for change, crossing in zip(changes, inside, strict=True):
        low, high = crossing.interval or (crossing.value, crossing.value)
        apart = (low is not None and low > change.high) or (high is not None and high < change.low)
        if apart or change.direction != crossing.direction:
            found.append(
                f"Without laws the sign changes between {size(change.low)} and {size(change.high)}; the laws put it at "
                f"{size(crossing.value)}."
            )
    return found


def _open_ends(chosen: Selection, crossings: list[Crossing], level: float) -> list[str]:
    """Say which intervals are open, and why."""
    found = []
    for crossing in crossings:
        if crossing.in_range and crossing.interval is not None and None in crossing.interval:
            share = 0.0 if crossing.share is None else crossing.share
            found.append(
                f"The interval of the crossing at {size(crossing.value)} is open: {100 * share:.0f}% of the draws "
                f"have it, too many others have none on one side, where the {_name(level)} has no end."
            )
    return found


def _pairing(chosen: Selection, paired: pd.DataFrame) -> list[str]:
    """Say where recipes are not paired."""
    measured = all(
        has_size(levels, value)
        for axis, value in chosen.at.items()
        for frame in chosen.frames
        if (levels := levels_of(frame, axis))
    )
    if not len(paired):
        if measured:
            return [
                "The recipes are not paired (no subset_seed and seed with every size in common): their noise does not "
                "cancel, and there is no second opinion."
            ]
        return ["No run of both recipes stands at exactly these sizes: there is no second opinion from pairs."]
    blocks = [
        int(frame.groupby(_seeds(frame), dropna=False).ngroups) if _seeds(frame) else 0 for frame in chosen.frames
    ]
    least = int(paired["n_pairs"].min())
    if least < max(blocks):
        return [f"Not every run has its pair: {least} to {max(blocks)} seed blocks have both recipes at a size."]
    return []


def _seeds(frame: pd.DataFrame) -> list[str]:
    return [name for name in ("subset_seed", "seed") if name in frame.columns and frame[name].notna().any()]


def _drawing(fitted: FittedPair) -> list[str]:
    """Say how far the draws can be trusted."""
    none = "One seed block says nothing of how blocks differ: intervals and probabilities are missing."
    return [*fitted.warnings, *([none] if fitted.draws.blocks < 2 else [])]


def _laws(fitted: FittedPair) -> list[str]:
    """Say in which state the fits are."""
    return [f"Law of {fit.recipe}: {reason}" for fit in fitted.fits for reason in fit.reasons]


def _student_above_teacher(chosen: Selection) -> list[str]:
    """Along model size, the student must stay larger than its teacher."""
    axes = {"n_params", "n_params_teacher"}
    if chosen.along not in axes:
        return []
    other = chosen.at.get((axes - {chosen.along}).pop())
    if other is None:
        return []
    student, teacher = (chosen.low, other) if chosen.along == "n_params" else (other, chosen.high)
    if student > teacher:
        return []
    return [
        f"Guidance is by a smaller model: where the teacher (up to {size(teacher)} parameters) is not smaller than the "
        f"student (from {size(student)}), the answer means something else."
    ]


def _compute(chosen: Selection) -> list[str]:
    """Say where the recipes did not cost the same."""
    costs = [_costs(frame, chosen.along) for frame in chosen.frames]
    if costs[0] is None or costs[1] is None:
        return []
    ratio = float((costs[1] / costs[0]).mean())
    if not math.isfinite(ratio) or abs(ratio - 1) <= _UNEQUAL:
        return []
    told = "teacher_flops" in chosen.frames[1].columns
    charged = "the teacher charged" if told else "as train_flops has it: the table has no teacher_flops"
    return [
        f"Compute is not equal: a run of {chosen.recipes[1]} costs {ratio:.3g} times the training FLOPs of one of "
        f"{chosen.recipes[0]}, {charged}."
    ]


def _costs(frame: pd.DataFrame, along: str) -> pd.Series[float] | None:
    """Return the mean training FLOPs at every size, the teacher's own with them wherever the table has them."""
    if "train_flops" not in frame.columns or along not in frame.columns:
        return None
    total = frame["train_flops"].astype(float)
    if set(_PARTS) <= set(frame.columns):  # a total that leaves the teacher out is less than its parts
        parts = frame[list(_PARTS)].astype(float).fillna(0.0).sum(axis=1)
        total = total.where(total > parts, parts)
    return total.groupby(frame[along].astype(float)).mean()


def _name(level: float) -> str:
    return f"{100 * level:g}% interval"
