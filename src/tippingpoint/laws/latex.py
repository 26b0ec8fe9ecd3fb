"""Pieces of LaTeX that the laws' formulas are made of; they need no package, and names are never obeyed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

__all__ = ["escaped", "factor", "name", "number", "powers", "sum_of"]

_PLAIN = re.compile(r"[A-Za-z0-9_. ]+")
_LETTERS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",  # as \textquotedbl it would need another font encoding
    "[": "{[}",  # after \\ a bracket or a star would be read as its argument
    "]": "{]}",
    "*": "{*}",
    "`": "{`}",
    "'": "{'}",
    "-": "{-}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "–": "--",
}


def escaped(text: str) -> str:
    """Return a text that LaTeX sets letter by letter; what pdfLaTeX cannot set becomes ``[U+4E2D]``."""
    return "".join(_LETTERS.get(letter) or _letter(letter) for letter in text)


def _letter(letter: str) -> str:
    if letter.isspace() or not letter.isprintable():
        return " "
    if letter.isascii() or (letter.isalpha() and letter <= "\u00ff" and letter not in "ªº"):
        return letter
    return f"{{[}}U+{ord(letter):04X}{{]}}"


def name(text: str) -> str:
    """Return a column's name as it stands in a formula."""
    if _PLAIN.fullmatch(text):
        return rf"\mathrm{{{text.replace('_', chr(92) + '_').replace(' ', chr(92) + ' ')}}}"
    return rf"\mbox{{{escaped(text)}}}"


def number(value: float, digits: int = 4) -> str:
    """Return a number as it stands in a formula; what is not finite is a dot."""
    if not math.isfinite(value):
        return r"\cdot"
    mantissa, _, power = f"{value + 0.0:.{digits}g}".partition("e")
    return rf"{mantissa}\times 10^{{{int(power)}}}" if power else mantissa


def factor(axis: str, exponent: float) -> str:
    """Return a power of an axis."""
    return f"{name(axis)}^{{{number(exponent)}}}"


def powers(coefficient: float, exponents: Mapping[str, float]) -> str:
    """Return a coefficient times a power of each axis."""
    return r"\,".join([number(coefficient), *(factor(axis, exponent) for axis, exponent in exponents.items())])


def sum_of(terms: Sequence[str]) -> str:
    """Return terms joined by plus signs."""
    return " + ".join(terms)
