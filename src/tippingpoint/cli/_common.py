"""What the commands share: how sizes are typed, how JSON is printed."""

from __future__ import annotations

import math
from typing import Any

from tippingpoint.errors import InputError

__all__ = ["SCHEMA_VERSION", "parse_assignments", "print_json", "split_names"]

SCHEMA_VERSION = 1  # of every JSON that a command prints; raised only when a key changes its meaning


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object and nothing else; its ``schema_version`` comes first."""
    from tippingpoint.files import dump_json

    print(dump_json({"schema_version": SCHEMA_VERSION, **value}, indent=2))


def split_names(text: str | None) -> list[str] | None:
    """Return the names of a comma-separated list, or None where none was given."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_assignments(text: str | None, option: str) -> dict[str, float]:
    """Read ``n_params=38e6,n_finetune=5e4`` as a mapping from axis to size.

    Parameters
    ----------
    text : str or None
        What stood behind the option.
    option : str
        The option's name, for the message.

    Returns
    -------
    dict of str to float
        Empty where nothing was given.

    Raises
    ------
    InputError
        A part is not ``name=number`` or repeats a name; every such part is named.
    """
    sizes: dict[str, float] = {}
    faults = []
    for part in split_names(text) or []:
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            size = float(number.replace("_", ""))
        except ValueError:
            size = math.nan
        if not name or math.isnan(size):
            faults.append(f"{option}: '{part}' is not of the form name=number, for example n_params=38e6.")
        elif name in sizes:
            faults.append(f"{option}: {name} is given twice; give it one size.")
        else:
            sizes[name] = size
    if faults:
        raise InputError(faults)
    return sizes
