"""What every question about a boundary is asked with, checked alike: all that is wrong is said at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tippingpoint.errors import InputError
from tippingpoint.kinds import COUNT, LEVEL, NAME, PAIR, SIZES, Kind, kind_faults, or_none

__all__ = ["check_asked"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("along", "over", "target", "objective"), NAME),
    **dict.fromkeys(("stage", "upstream", "downstream", "teacher"), or_none(NAME)),
    "at": or_none(SIZES),
    "recipes": PAIR,
    "level": LEVEL,
    "resamples": Kind(COUNT.fits, f"{COUNT.words}; give 0 for no intervals, 2000 is usual"),
    "random_state": or_none(COUNT),
}


def check_asked(faults: Iterable[str] = (), **asked: Any) -> None:
    """Raise ``InputError`` with the faults found before and every setting that is not of its kind.

    Parameters
    ----------
    faults : iterable of str
        What is wrong besides.
    **asked
        Settings of :func:`tippingpoint.find_boundary` and its kin, by name.
    """
    found = [*faults, *kind_faults({name: (value, _KINDS[name]) for name, value in asked.items()})]
    if found:
        raise InputError(found)
