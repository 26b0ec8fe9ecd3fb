r"""The sign of ``offset + a D^-alpha - b D^-alpha'`` beyond doubt, by decimal arithmetic.

Floating point decides nearly every sign; this module is asked only where rounding could turn it. The parameters are
taken as the exact binary numbers they are. Eighty digits settle nearly all that is left; 800 settle what cancels over
the whole range of floats, and what still vanishes then is zero.

Notation
--------
x      natural logarithm of D
pair   a D^-alpha - b D^-alpha' = exp(l2) (exp(d) - 1), l2 = ln b - alpha' x, d = ln(a / b) - (alpha - alpha') x
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction

__all__ = ["exact_log_ratio", "exact_sign"]

_DIGITS = (80, 800)
_TINY = Decimal(10) ** -30  # below it exp(d) - 1 is taken from its series
_FAR = 999_999_999_999_999_999


def _context(digits: int) -> Context:
    return Context(prec=digits, rounding=ROUND_HALF_EVEN, Emax=_FAR, Emin=-_FAR)


def _log_expm1(d: Decimal) -> Decimal:
    """Return ln|exp(d) - 1| for d < 0."""
    if d > -_TINY:
        return (-d * (1 + d / 2 + d * d / 6)).ln()
    if d < -1000:
        return Decimal(0)
    return (1 - d.exp()).ln()


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _folded(
    offset: float, a: float, alpha: float, b: float, alpha_prime: float, flat: float
) -> tuple[Decimal, Decimal, Decimal]:
    """Return offset, a and b with constant terms and equal exponents folded, without rounding before the end."""
    constant, first, second = Fraction(offset), Fraction(a), Fraction(b)
    if alpha < flat:
        constant, first = constant + first, Fraction(0)
    if alpha_prime < flat:
        constant, second = constant - second, Fraction(0)
    if alpha == alpha_prime:
        first, second = max(first - second, Fraction(0)), max(second - first, Fraction(0))
    return _decimal(constant), _decimal(first), _decimal(second)


def exact_sign(
    offset: float,
    a: float,
    alpha: float,
    b: float,
    alpha_prime: float,
    *,
    flat: float,
    x: float | None = None,
    size: float = 1.0,
) -> int:
    """Return the sign of F at ``D = exp(x)``, or at ``D = size``.

    Parameters
    ----------
    offset, a, alpha, b, alpha_prime : float
        The parameters of F as they were given.
    flat : float
        Exponents below it are zero.
    x : float, optional
        Natural logarithm of D.
    size : float, default 1
        D itself, where ``x`` is not given.

    Returns
    -------
    int
        -1, 0 or 1; 0 where F vanishes to 780 digits of its largest part.
    """
    for digits in _DIGITS:
        with localcontext(_context(digits)):
            constant, first, second = _folded(offset, a, alpha, b, alpha_prime, flat)
            at = Decimal(x) if x is not None else Decimal(size).ln()
            found = _sign_of_parts(constant, (first, alpha), (second, alpha_prime), at, Decimal(10) ** (20 - digits))
        if found is not None:
            return found
    return 0


def _sign_of_parts(
    constant: Decimal, first: tuple[Decimal, float], second: tuple[Decimal, float], x: Decimal, zero: Decimal
) -> int | None:
    """Return the sign of constant + first - second; None where they cancel to less than ``zero`` of themselves."""
    rest = (constant > 0) - (constant < 0)
    logs = [c.ln() - Decimal(p) * x if c else None for c, p in (first, second)]
    if logs[0] is None or logs[1] is None:
        side, pair = (1, logs[0]) if logs[1] is None else (-1, logs[1])
        if pair is None:
            return rest
    else:
        d = first[0].ln() - second[0].ln() - (Decimal(first[1]) - Decimal(second[1])) * x
        if abs(d) < zero:
            return rest if rest and d == 0 else None
        side = 1 if d > 0 else -1
        pair = max(logs[0], logs[1]) + _log_expm1(-abs(d))
    if rest in (0, side):
        return side
    lead = pair - abs(constant).ln()
    return None if abs(lead) < zero else side if lead > 0 else -side


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
    with localcontext(_context(_DIGITS[0])):
        p, q = Decimal(alpha), Decimal(alpha_prime)
        x = ((Decimal(a) * p).ln() - (Decimal(b) * q).ln()) / (p - q)
        part = Decimal(a).ln() + abs(1 - p / q).ln() - p * x  # F(D*) - offset = a (1 - alpha / alpha') D*^-alpha
        return float(part - Decimal(abs(offset)).ln())
