"""The report's findings as plain JSON, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tippingpoint.report.text import headline

if TYPE_CHECKING:
    from tippingpoint.report.analysis import Analysis, Finding
    from tippingpoint.report.pairs import PairedTest

__all__ = ["summary"]


def summary(analysis: Analysis) -> dict[str, Any]:
    """Return what the report says as a mapping of plain types.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.

    Returns
    -------
    dict
        ``study``, ``answer``, ``declared``, ``primary``, ``exploratory``, ``controls``, ``maps``, ``laws``, ``costs``,
        ``warnings``; differences are first recipe minus second, in the target's own unit.
    """
    return {
        "study": analysis.name,
        "answer": headline(analysis),
        "declared": analysis.declared,
        "level": analysis.level,
        "resamples": analysis.resamples,
        "primary": None if analysis.primary is None else _finding(analysis.primary),
        "exploratory": [_finding(item) for item in analysis.exploratory],
        "controls": [_finding(item) for item in analysis.controls],
        "holm_family": analysis.family,
        "maps": [
            {
                "over": item.over,
                "look": item.look._asdict(),
                "reason": item.reason,
                "sentence": "" if item.found is None else item.found.sentence,
                "claims": "" if item.found is None else item.found.claims,
                "slices": [] if item.found is None else item.found.table_.to_dict(orient="records"),
            }
            for item in analysis.maps
        ],
        "laws": [
            {
                "recipe": item.recipe,
                "stage": item.stage,
                "upstream": item.upstream,
                "downstream": item.downstream,
                "target": item.target,
                "fit": None if item.law is None else item.law.to_dict(),
                "reason": item.reason,
            }
            for item in analysis.laws
        ],
        "costs": [cost._asdict() for cost in analysis.costs],
        "warnings": list(analysis.notes),
    }


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "look": item.look._asdict(),
        "boundary": None if item.boundary is None else item.boundary.to_dict(),
        "reason": item.reason,
        "paired": [size._asdict() for size in item.pairs.sizes],
        "level": _test(item.pairs.level, item.level_p),
        "trend": _test(item.pairs.trend, item.trend_p),
    }


def _test(test: PairedTest | None, p: float) -> dict[str, Any] | None:
    """Return a test with its p-value as reported: adjusted where the look is exploratory."""
    if test is None:
        return None
    return {**test._asdict(), "p_raw": test.p, "p": p}
