"""Extrapolated curves as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tippingpoint.fitting.curve_table import ExtrapolatedCurve, Extrapolation

__all__ = ["lines"]

_SHOWN = 12  # predictions of one curve that are printed
_FEW = 3  # curves up to which all show predictions; of more, only those without a score do


def lines(found: Extrapolation) -> Iterator[str]:
    """Return what :meth:`Extrapolation.summary` prints: notes, every curve, then the scores."""
    yield from found.notes
    for curve in found.curves:
        yield from _curve(curve, found.level, len(found.curves) <= _FEW)
    scores = found.rmsles
    if scores:
        count = f"{len(scores)} curve{'s' if len(scores) > 1 else ''}"
        yield f"RMSLE over {count} (law {found.law}): mean {np.mean(scores):.4f}, median {np.median(scores):.4f}"
    if found.coverage is not None:
        yield f"Intervals of level {found.level:g} hold {found.coverage:.1%} of the held-out scores (mean over curves)."


def _curve(curve: ExtrapolatedCurve, level: float | None, few: bool) -> Iterator[str]:
    name = ", ".join(f"{key} {value}" for key, value in curve.group.items()) or "curve"
    score = "" if curve.rmsle is None else f", RMSLE {curve.rmsle:.4f}"
    count = f"{len(curve.x)} prediction{'' if len(curve.x) == 1 else 's'}"
    yield f"{name}: {curve.n_train} training points, {count}{score}"
    for warning in curve.warnings:
        yield f"  {warning}"
    if not few and curve.rmsle is not None:
        return
    for place in range(0, len(curve.x), max(1, -(-len(curve.x) // _SHOWN))):
        ends = ""
        if curve.low is not None and curve.high is not None:
            ends = f"  {level:.0%} of the time in [{curve.low[place]:.4g}, {curve.high[place]:.4g}]"
        seen = f"  measured {curve.y[place]:.4g}" if curve.y[place] >= 0 else ""
        yield f"  at {curve.x[place]:.6g}: {curve.predicted[place]:.4g}{ends}{seen}"
