"""The answer in sentences: the same words stand on the report's first screen and at the end of ``tippingpoint run``."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from tippingpoint.report.words import (
    amount,
    axis_words,
    better,
    count_words,
    exact_size,
    favour,
    interval,
    p_value,
    percent,
    size,
    target_words,
)

if TYPE_CHECKING:
    from tippingpoint.boundary import Boundary
    from tippingpoint.report.analysis import Analysis, Finding
    from tippingpoint.report.pairs import PairedTest

__all__ = [
    "REGIMES",
    "answer",
    "beyond_sentence",
    "declared_sentence",
    "ends_sentence",
    "headline",
    "laws_sentence",
    "level_sentence",
    "limits",
    "probability_sentence",
    "range_words",
    "regime_sentence",
    "stationary_sentence",
    "trend_sentence",
]

LAWS_WOULD = "The fitted laws would"  # opens the second sentence of an answer that the runs give
WIDTH = 80
LINES = 15


def range_words(finding: Finding) -> str:
    """Return the range of sizes that was studied (``250 to 16,000 pretraining images``)."""
    sizes = finding.sizes
    words = count_words(finding.look.along)
    return f"{exact_size(sizes[0])} to {exact_size(sizes[1])} {words}" if sizes else words


def _crossing_words(finding: Finding, place: int, level: float) -> str:
    value, low, high, inside = finding.crossings[place]
    text = f"{size(value)} {count_words(finding.look.along)} ({interval(low, high, level=level)})"
    return text if inside else f"{text[:-1]}, outside the sizes that were run)"


def _in_range(finding: Finding) -> list[int]:
    return [place for place, crossing in enumerate(finding.crossings) if crossing[3]]


def regime_sentence(finding: Finding, level: float = 0.9) -> str:
    """Say where the second recipe helps, in one sentence with its uncertainty.

    Parameters
    ----------
    finding : Finding
        One look.
    level : float, default 0.9
        Probability of the intervals.

    Returns
    -------
    str
        "No boundary in this range" as plainly as a boundary; the reason where none could be fitted.
    """
    first, second = finding.look.recipes
    target = target_words(finding.look.target)
    if finding.boundary is None:
        return f"No boundary could be fitted for {target}: {finding.reason.rstrip('.')}."
    if not finding.boundary.laws_hold:
        return finding.boundary.sentence
    regime = str(finding.boundary.regime)
    inside = _in_range(finding)
    edges = [_crossing_words(finding, place, level) for place in inside]
    never = f"No boundary from {range_words(finding)}: "
    if regime == "below" and edges:
        text = f"On {target}, {second} is better up to about {edges[-1]}; above that {first} is better."
    elif regime == "above" and edges:
        text = f"On {target}, {second} is better from about {edges[0]}; below that {first} is better."
    elif regime == "window" and len(edges) > 1:
        text = (
            f"On {target}, {second} is better only between about {edges[0]} and {edges[1]}; {first} is better outside."
        )
    elif regime == "outside_window" and len(edges) > 1:
        text = f"On {target}, {second} is worse between about {edges[0]} and {edges[1]}, and better outside."
    elif regime == "always":
        text = f"{never}on {target}, {second} is better at every size."
    elif regime == "never":
        text = f"{never}on {target}, {first} is better at every size."
    elif regime == "equal":
        text = f"{never}on {target}, the two recipes are equal."
    else:
        text = f"On {target}, the regime is '{regime}' from {range_words(finding)}."
    return text


def _by_laws(finding: Finding) -> Boundary | None:
    """Return the boundary where the laws may speak: they miss no difference that the paired runs establish."""
    return finding.boundary if finding.boundary is not None and finding.boundary.laws_hold else None


def probability_sentence(finding: Finding) -> str:
    """Say how sure the regime is, and which other is likeliest; empty without a boundary."""
    boundary = _by_laws(finding)
    if boundary is None or not boundary.regime_probability:
        return ""
    shares = {str(name): float(share) for name, share in boundary.regime_probability.items()}
    regime = str(boundary.regime)
    second = finding.look.recipes[1]
    share = shares.get(regime, 0.0)
    text = "All draws of the laws agree" if share == 1 else f"{percent(share)} of the draws of the laws agree"
    rivals = sorted(((share, name) for name, share in shares.items() if name != regime and share > 0.005), reverse=True)
    if rivals:
        share, name = rivals[0]
        text += f"; {percent(share)} say instead that {REGIMES.get(name, name).format(second=second)}"
    return f"{text}."


def stationary_sentence(finding: Finding, level: float = 0.9) -> str:
    """Say where the fitted difference turns, if that lies within the sizes that were run."""
    boundary = _by_laws(finding)
    if boundary is None or finding.sizes is None:
        return ""
    turn = boundary.to_dict().get("stationary") or {}
    value = turn.get("value")
    if value is None or not finding.sizes[0] <= value <= finding.sizes[1]:
        return ""
    low, high = turn.get("interval") or (None, None)
    words = count_words(finding.look.along)
    return f"The fitted difference turns at about {size(value)} {words} ({interval(low, high, level=level)})."


def beyond_sentence(finding: Finding) -> str:
    """Say what the fitted laws imply beyond the sizes that were run, where that differs."""
    boundary = _by_laws(finding)
    if boundary is None or boundary.regime_global in (None, boundary.regime):
        return ""
    regime = str(boundary.regime_global)
    told = REGIMES.get(regime, regime).format(second=finding.look.recipes[1])
    return f"Carried on to all sizes, which no run supports, the fitted laws say that {told}."


REGIMES = {
    "always": "{second} is better at every size",
    "never": "{second} is better at no size",
    "below": "{second} is better below one crossing",
    "above": "{second} is better above one crossing",
    "window": "{second} is better between two crossings only",
    "outside_window": "{second} is worse between two crossings only",
    "equal": "the two are equal",
}


def ends_sentence(finding: Finding) -> str:
    """Say who is better at both ends of the range, by the fitted laws."""
    curve, look = finding.curve, finding.look
    if curve is None or not len(curve) or not _by_laws(finding):
        return ""
    sizes = [exact_size(round(float(curve[look.along].iloc[place]))) for place in (0, -1)]
    told = [better(float(curve["difference"].iloc[place]), look.recipes, look.target) for place in (0, -1)]
    return f"By the fitted laws {told[0]} at {sizes[0]} {count_words(look.along)}, and {told[1]} at {sizes[1]}."


def limits(finding: Finding) -> tuple[str, ...]:
    """Return the boundary's own warnings, weightiest first."""
    return () if finding.boundary is None else tuple(map(str, finding.boundary.warnings))


def stands_out(finding: Finding, level: float = 0.9) -> bool:
    """Whether the paired runs, without any law, show a trend that stands out of the noise between blocks."""
    return math.isfinite(finding.trend_p) and finding.trend_p < 1 - level


def level_sentence(finding: Finding, level: float = 0.9, *, adjusted: bool = False) -> str:
    """Say who is better on average over the sizes, free of any law."""
    test = finding.pairs.level
    if test is None:
        return _without_test(finding)
    who = better(test.mean, finding.look.recipes, finding.look.target)
    noise = "" if finding.level_p < 1 - level else "; this does not stand out of the noise between blocks"
    return f"Averaged over the sizes, {who} ({_test_words(test, finding, finding.level_p, level, adjusted)}){noise}."


def trend_sentence(finding: Finding, level: float = 0.9, *, adjusted: bool = False) -> str:
    """Say how the difference changes with the axis, free of any law."""
    test = finding.pairs.trend
    if test is None:
        return ""
    first, second = finding.look.recipes
    gains, loses = (second, first) if test.mean > 0 else (first, second)
    if not stands_out(finding, level):
        text = "Whether the difference changes with the data does not stand out of the noise between blocks"
    else:
        words = axis_words(finding.look.along)
        gain = amount(test.mean, finding.look.target)
        text = f"Each doubling of the {words} shifts the difference by {gain} away from {loses}, towards {gains}"
    return f"{text} ({_test_words(test, finding, finding.trend_p, level, adjusted)})."


def _test_words(test: PairedTest, finding: Finding, p: float, level: float, adjusted: bool) -> str:
    look = finding.look
    span = favour(test.low, test.high, look.recipes, look.target, level=level)
    value = p_value(p) if p_value(p).startswith("<") else f"= {p_value(p)}"
    if adjusted:
        return f"unadjusted {span}; Holm-adjusted p {value}"
    return f"{span}, p {value}, {test.n_blocks} seed blocks"


def _without_test(finding: Finding) -> str:
    if not finding.pairs.sizes:
        return "No runs of the two recipes share seeds and sizes, so there are no paired differences."
    blocks = max(point.n_blocks for point in finding.pairs.sizes)
    means = [point.mean for point in finding.pairs.sizes]
    who = better(sum(means) / len(means), finding.look.recipes, finding.look.target)
    have = "one seed block only" if blocks == 1 else "no complete seed blocks to compare"
    return f"Averaged over the sizes, {who}, with {have}: nothing can be said about noise."


def laws_sentence(finding: Finding) -> str:
    """Say where the fitted laws would have put it, where the runs answer instead of them; else empty."""
    if finding.boundary is None or finding.boundary.laws_hold:
        return ""
    _, start, rest = finding.boundary.sentence.partition(LAWS_WOULD)
    return f"{start}{rest}"


def _measured_sentence(finding: Finding, level: float) -> str:
    """Say where the paired runs change sides without a law, or that they do not."""
    measured = () if finding.boundary is None else finding.boundary.measured
    if not measured and all(point.low <= 0 <= point.high for point in finding.pairs.sizes):
        return "But at no size do the runs alone tell the two apart: the differences are within their noise."
    if not measured:
        return "The runs alone, without a fitted law, establish no change of sides."
    places = " and ".join(f"{size(turn.value)} ({interval(*turn.interval, level=level)})" for turn in measured)
    return f"Without a law, the runs change sides at about {places}."


def headline(analysis: Analysis) -> str:
    """Return the answer in one sentence (what the report opens with).

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.

    Returns
    -------
    str
    """
    finding = analysis.primary
    if finding is None:
        if analysis.frame["recipe"].nunique() > 1:
            return (
                "These runs do not compare scratch with distilled, and no other comparison was declared, so there is "
                "no boundary to tell; the laws are below. An endpoint in the study file declares one, and tippingpoint "
                "boundary --recipes answers any."
            )
        return "These runs do not compare two recipes, so there is no boundary to tell; the laws are below."
    if finding.boundary is not None and not finding.boundary.laws_hold:
        return finding.boundary.sentence.partition(LAWS_WOULD)[0].rstrip()
    text = regime_sentence(finding, analysis.level)
    crossed = bool(_in_range(finding))
    if crossed and finding.pairs.sizes and finding.boundary is not None:
        text += f" {_measured_sentence(finding, analysis.level)}"
    if not crossed and finding.pairs.level is not None and finding.level_p >= 1 - analysis.level:
        text += " Averaged over the sizes, that does not stand out of the noise between blocks."
    return text


def declared_sentence(analysis: Analysis) -> str:
    """Say what was declared before the runs, or that nothing was."""
    finding = analysis.primary
    if finding is None:
        return "No endpoint was declared, and none could be chosen."
    if analysis.declared:
        return f"Declared before the runs: {finding.look.title}."
    return f"Nothing was declared before the runs; shown as exploratory: {finding.look.title}."


def answer(analysis: Analysis) -> str:
    """Return the answer for a terminal: at most 15 lines of at most 80 columns.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.

    Returns
    -------
    str
        Plain text without a line end at its end.
    """
    finding = analysis.primary
    parts = [headline(analysis)]
    if finding is not None:
        parts.append(laws_sentence(finding))
        parts.append(probability_sentence(finding))
        parts.append(ends_sentence(finding))
        parts.append(level_sentence(finding, analysis.level))
        parts.extend(f"Note: {text}" for text in limits(finding)[:1])
    parts.append(declared_sentence(analysis))
    if analysis.notes:
        count = len(analysis.notes)
        words = "1 note or warning stands" if count == 1 else f"{count} notes and warnings stand"
        parts.append(f"{words} in the report.")
    lines = [line for part in parts if part for line in textwrap.wrap(part, WIDTH, break_on_hyphens=False)]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], "The rest stands in the report."]
    return "\n".join(lines)
