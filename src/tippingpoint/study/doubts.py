"""What a run does about a cell that a worker found damaged; no fault of a disk keeps it busy for ever."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from tippingpoint.errors import EnvironmentFault
from tippingpoint.study.cell_files import verify_cell
from tippingpoint.study.runners.pool import TO_APPEAR
from tippingpoint.study.store import Store

__all__ = ["Doubts"]

MOST = 3  # times that one cell is found damaged in one run


class Doubts:
    """The cells that workers of a run found damaged.

    Parameters
    ----------
    store : Store
        Of the study.
    tell : callable
        Is told every cell that is set aside in a sentence.
    """

    def __init__(self, store: Store, tell: Callable[[str], None]) -> None:
        self.store, self.tell = store, tell
        self._since: dict[str, float] = {}
        self._times: Counter[str] = Counter()

    def set_aside(self, key: str) -> bool:
        """Look at a cell that was found damaged; move it to the quarantine unless it is sound.

        Parameters
        ----------
        key : str
            Of the cell.

        Returns
        -------
        bool
            Whether it has to be trained again: it was damaged, or is not there.

        Raises
        ------
        EnvironmentFault
            It was damaged again and again: what is written to this disk does not last.
        StoreError
            The disk refuses.
        """
        folder = self.store.folder(key)
        fault = verify_cell(folder)
        if fault is None:
            return False
        place = self.store.set_aside(key)
        if place is None:  # it was found before, through another cell or by another run
            return True
        self.tell(f"{folder} {fault}; it was moved to {place} and is trained again.")
        self._times[key] += 1
        if self._times[key] >= MOST:
            raise EnvironmentFault(
                f"{folder}: was damaged {MOST} times in this run, each time after it was written anew; check the disk, "
                "or choose another folder."
            )
        return True

    def last_too_long(self, child: str) -> bool:
        """Say whether workers have long found fault with what is sound where the run looks.

        Parameters
        ----------
        child : str
            Key of the cell that was to start from it.
        """
        now = time.monotonic()
        return now - self._since.setdefault(child, now) > TO_APPEAR
