r"""The sign of ``offset + a D^-alpha - b D^-alpha'`` beyond doubt, by decimal arithmetic of 120 digits.

Floating point decides nearly every sign; this module is asked only where rounding could turn it. The parameters are
taken as the exact binary numbers they are.

Notation
--------
x      natural logarithm of D
pair   a D^-alpha - b D^-alpha' = exp(l2) (exp(d) - 1), l2 = ln b - alpha' x, d = ln(a / b) - (alpha - alpha') x
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

__all__ = ["exact_log_ratio", "exact_sign"]

_DIGITS = 120
_ZERO = Decimal(10) ** -90  # what cancels to less than this share of its parts is zero
_TINY = Decimal(10) ** -30  # below it exp(d) - 1 is taken from its series
_CONTEXT = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, Emax=999_999_999_999_999_999, Emin=-999_999_999_999_999_999)


def _log_expm1(d: Decimal) -> Decimal:
    """Return ln|exp(d) - 1| for d < 0."""
    if d > -_TINY:
        return (-d * (1 + d / 2 + d * d / 6)).ln()
    if d < -1000:
        return Decimal(0)
    return (1 - d.exp()).ln()


def exact_sign(offset: float, a: float, alpha: float, b: float, alpha_prime: float, *, x: Decimal | float) -> int:
    """Return the sign of F at ``D = exp(x)`` for positive ``a`` and ``b``.

    Parameters
    ----------
    offset, a, alpha, b, alpha_prime : float
        The parameters of F, with ``a > 0`` and ``b > 0``.
    x : Decimal or float
        Natural logarithm of D.

    Returns
    -------
    int
        -1, 0 or 1; 0 where F vanishes to 90 digits of its largest part.
    """
    with localcontext(_CONTEXT):
        at = Decimal(x)
        log_a, log_b = Decimal(a).ln(), Decimal(b).ln()
        d = log_a - log_b - (Decimal(alpha) - Decimal(alpha_prime)) * at
        if abs(d) < _ZERO:
            return (offset > 0) - (offset < 0)
        side = 1 if d > 0 else -1
        largest = max(log_a - Decimal(alpha) * at, log_b - Decimal(alpha_prime) * at)
        if offset == 0 or (offset > 0) == (side > 0):
            return side
        lead = largest + _log_expm1(-abs(d)) - Decimal(abs(offset)).ln()
        return 0 if abs(lead) < _ZERO else side if lead > 0 else -side


def exact_log_ratio(offset: float, a: float, alpha: float, b: float, alpha_prime: float) -> float:
    """Return ``ln(|F(D*) - offset| / |offset|)``: how far the extremum lies from zero.

    Parameters
    ----------
    offset, a, alpha, b, alpha_prime : float
        The parameters of F, all but the offset positive, the offset not zero, the exponents different.

    Returns
    -------
    float
        Positive where the extremum has the sign of the powers' part, negative where it keeps the offset's.
    """
    with localcontext(_CONTEXT):
        p, q = Decimal(alpha), Decimal(alpha_prime)
        x = ((Decimal(a) * p).ln() - (Decimal(b) * q).ln()) / (p - q)
        part = Decimal(a).ln() + abs(1 - p / q).ln() - p * x  # F(D*) - offset = a (1 - alpha / alpha') D*^-alpha
        return float(part - Decimal(abs(offset)).ln())
