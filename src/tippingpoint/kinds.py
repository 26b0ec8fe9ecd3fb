"""The kinds of settings, each with the words that say it: a wrong one is told in a sentence, not by Python's own error.

What values make sense together is asked where they are used; here each stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import NamedTuple, TypeGuard

__all__ = [
    "ABOVE",
    "COUNT",
    "LEVEL",
    "NAME",
    "NAMES",
    "PAIR",
    "SIZES",
    "Kind",
    "is_count",
    "is_list",
    "is_name",
    "is_number",
    "kind_faults",
    "or_none",
    "said",
]


class Kind(NamedTuple):
    """A test that a setting must pass, and what it then is, in words."""

    fits: Callable[[object], bool]
    words: str


def is_name(value: object) -> bool:
    """Say whether a value is text."""
    return isinstance(value, str)


def is_number(value: object) -> bool:
    """Say whether a value is a number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """Say whether a value is a whole number, 0 or more."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def is_list(value: object) -> TypeGuard[Collection[object]]:
    """Say whether a value is a collection, which can be gone through again, and not itself text."""
    return isinstance(value, Collection) and not is_name(value)


def _are_names(value: object) -> bool:
    return is_list(value) and all(map(is_name, value))


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and _are_names(value)


def _is_level(value: object) -> bool:
    return isinstance(value, Real) and is_number(value) and 0 < float(value) < 1


def _is_above(value: object) -> bool:
    return isinstance(value, Real) and is_number(value) and 0 < float(value) < math.inf


def _are_sizes(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(is_name, value)) and all(map(is_number, value.values()))


NAME = Kind(is_name, "a name")
NAMES = Kind(_are_names, "a list of names")
PAIR = Kind(_is_pair, "a pair; name two, such as scratch,distilled")
ABOVE = Kind(_is_above, "a number above 0")
COUNT = Kind(is_count, "a whole number, 0 or more")
LEVEL = Kind(_is_level, "a probability between 0 and 1; 0.9 is usual")
SIZES = Kind(_are_sizes, "a mapping from axis to size, such as {'n_params': 51000}")


def or_none(kind: Kind) -> Kind:
    """Return the kind that None is of too: the setting can be left out."""
    return Kind(lambda value: value is None or kind.fits(value), kind.words)


def kind_faults(asked: Mapping[str, tuple[object, Kind]]) -> list[str]:
    """Return a sentence for every setting that is not of its kind.

    Parameters
    ----------
    asked : mapping of str to (object, Kind)
        By the setting's name.
    """
    wrong = {name: (value, kind) for name, (value, kind) in asked.items() if not kind.fits(value)}
    return [f"{name}: {said(value)} is not {kind.words}." for name, (value, kind) in wrong.items()]


def said(value: object) -> str:
    """Return a value as the user wrote it, lists as the command takes them."""
    if isinstance(value, list | tuple):
        return f"'{', '.join(map(str, value))}'" if value else "'nothing'"
    return f"{value:.15g}" if isinstance(value, Real) and is_number(value) else repr(value)
