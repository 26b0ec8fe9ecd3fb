"""What the commands share: how sizes are typed, how JSON is printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tippingpoint.errors import InputError

__all__ = [
    "SCHEMA_VERSION",
    "parse_assignments",
    "print_json",
    "read_definitions",
    "read_number",
    "read_pairs",
    "split_names",
]

T = TypeVar("T")

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


def read_number(text: str) -> float:
    """Read a number such as ``38e6`` or ``1_000``; ValueError if it is none."""
    number = float(text.replace("_", ""))
    if math.isnan(number):
        raise ValueError(text)
    return number


def read_pairs(
    texts: Iterable[str] | None, option: str, form: str, read: Callable[[str], T], faults: list[str]
) -> dict[str, T]:
    """Read ``NAME=VALUE`` texts as a mapping.

    Parameters
    ----------
    texts : iterable of str or None
        What stood behind the option, one text for each pair.
    option : str
        The option's name, for the messages.
    form : str
        How such a text looks, with an example, for the messages.
    read : callable
        Reads a value, or raises ValueError.
    faults : list of str
        Takes a sentence for every text that cannot be read or repeats a name.

    Returns
    -------
    dict
        The pairs that could be read.
    """
    found: dict[str, T] = {}
    for text in texts or ():
        name, _, value = (word.strip() for word in text.partition("="))
        try:
            if not name:
                raise ValueError(text)
            known = read(value)
        except ValueError:
            faults.append(f"{option}: '{text}' is not of the form {form}.")
            continue
        if name in found:
            faults.append(f"{option}: {name} is given twice; give it once.")
        found[name] = known
    return found


def read_definitions(texts: Iterable[str] | None, faults: list[str]) -> dict[str, str]:
    """Read what stood behind ``--define`` as a mapping from column to expression; for ``faults`` see `read_pairs`."""

    def expression(text: str) -> str:
        if not text or text.startswith("="):
            raise ValueError(text)
        return text

    return read_pairs(texts, "--define", "NAME=EXPR, for example 'D=C / (6 * N)'", expression, faults)


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
    faults: list[str] = []
    sizes = read_pairs(split_names(text), option, "name=number, for example n_params=38e6", read_number, faults)
    if faults:
        raise InputError(faults)
    return sizes
