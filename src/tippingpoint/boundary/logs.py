"""Numbers by their logarithms: the few functions that keep digits where subtraction would lose them."""

from __future__ import annotations

import math
import sys

__all__ = ["clipped_sum", "exp", "log_complement", "log_quotient", "sign"]

_LARGEST = math.log(sys.float_info.max)


def sign(value: float) -> int:
    """Return -1, 0 or 1."""
    return (value > 0) - (value < 0)


def exp(x: float) -> float:
    """Return e^x, infinite where it is beyond floats."""
    return math.inf if x > _LARGEST else math.exp(x)


def log_quotient(over: float, under: float) -> float:
    """Return ln(over / under), with full relative precision where the two are near."""
    if under / 2 <= over <= under * 2:
        return math.log1p((over - under) / under)
    return math.log(over) - math.log(under)


def log_complement(d: float) -> float:
    """Return ln(1 - exp(-d)) for d > 0."""
    return math.log(-math.expm1(-d))


def clipped_sum(parts: list[float]) -> float:
    """Return the correctly rounded sum; beyond the range of floats, the largest float of its sign."""
    try:
        return math.fsum(parts)
    except OverflowError:
        return math.copysign(sys.float_info.max, math.fsum(part / 4 for part in parts))
