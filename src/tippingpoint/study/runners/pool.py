"""The one face of whatever trains a run's cells: worker processes on this machine, or a Ray cluster.

A run hands cells to it and is told what becomes of them. It does not choose cells, claim them or commit them: the run
and the store do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tippingpoint.errors import EnvironmentFault, MissingExtraError

__all__ = ["TO_APPEAR", "Engine", "Event", "Pool", "cannot_start"]

TO_APPEAR = 120.0  # seconds for a committed cell to show on another machine: network disks keep old views a while
Event = dict[str, Any]  # see ``worker.py``; and {"event": "note", "text": what the user should know}


class Pool(Protocol):
    """Places that cells are trained at."""

    @property
    def size(self) -> int:
        """How many cells it can have at work at once, now."""
        ...

    def idle(self) -> int:
        """Return how many more cells it takes now."""
        ...

    def submit(self, key: str, order: Mapping[str, Any]) -> None:
        """Take a cell: ``{"cell": what Cell.describe says, "parents": {role: path}}``."""
        ...

    def wait(self, timeout: float) -> list[Event]:
        """Return what happened, at the latest after ``timeout`` seconds; EnvironmentFault ends the run."""
        ...

    def stop(self) -> None:
        """End all that is at work."""
        ...


Engine = Callable[[Path, str, int, Mapping[str, str] | None, str], Pool]
"""Opens a pool: (study directory, ``module:function`` that trains, cells to do, environment, name of the run)."""


def cannot_start(reason: str) -> EnvironmentFault:
    """Return the one sentence for workers that cannot start, from what the first of them said."""
    if reason.startswith("ModuleNotFoundError") and "tippingpoint" not in reason:
        return MissingExtraError(f"{reason}; install the laboratory: pip install 'tippingpoint[lab]'.")
    return EnvironmentFault(f"A worker process cannot start: {reason}.")
