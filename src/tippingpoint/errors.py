"""One small tree of errors; every message says what is wrong, where, and the remedy.

Whatever a user feeds in ends in one of these and never in a traceback. An error carries *all* the faults that were
found, one sentence each, so that a file is mended in one go. The command prints them and leaves with ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigError",
    "DataError",
    "EnvironmentFault",
    "ExpressionError",
    "FitError",
    "InputError",
    "MissingExtraError",
    "NotFittedError",
    "RunsError",
    "StoreError",
    "TippingPointError",
    "did_you_mean",
]


class TippingPointError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    faults : str or iterable of str
        One sentence for each fault: what is wrong, where, and what to do.

    Attributes
    ----------
    faults : tuple of str
        The sentences, in the order they were found.
    exit_code : int
        What the command returns to the shell.
    """

    exit_code = 1

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type[TippingPointError], tuple[tuple[str, ...]]]:
        return type(self), (self.faults,)


class InputError(TippingPointError, ValueError):
    """What the user gave is wrong: exit code 2."""

    exit_code = 2


class RunsError(InputError):
    """A table of runs cannot be used as asked."""


class ExpressionError(InputError):
    """An expression of ``--where`` or ``--define`` is not one of the allowed kind."""


class ConfigError(InputError):
    """A study file, a preset's name or a setting is wrong."""


class DataError(InputError):
    """A set of images cannot be found or read, or does not hold what is asked of it."""


class FitError(InputError):
    """A law cannot be fitted to these runs."""


class NotFittedError(InputError, AttributeError):
    """A law was asked for its results before ``fit``."""


class EnvironmentFault(TippingPointError, OSError):
    """The machine refuses (disk, permission, a missing package): exit code 3."""

    exit_code = 3

    def __str__(self) -> str:
        return "\n".join(self.faults)


class MissingExtraError(EnvironmentFault):
    """A package is needed that only an extra of this one installs."""


class StoreError(EnvironmentFault):
    """The store of a study cannot be read or written."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known word, or an empty string.

    Parameters
    ----------
    word : str
        What the user wrote.
    known : sequence of str
        What would have been right.

    Returns
    -------
    str
        A sentence with a leading blank, or ``""`` where nothing is near.
    """
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)  # a word of the wrong kind is just unknown
    return f" Did you mean '{near[0]}'?" if near else ""
