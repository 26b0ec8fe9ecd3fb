"""The better of two recipes over two axes: the boundary maps that a table allows, found once for page and print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tippingpoint.errors import TippingPointError
from tippingpoint.report.looks import Look, look_frames
from tippingpoint.report.words import axis_words

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.boundary import BoundaryMap

__all__ = ["OVER", "MapFinding", "find_maps"]

OVER = ("n_params", "n_finetune")
MAP_DRAWS = 300  # of each slice


class MapFinding(NamedTuple):
    """The map over one other axis.

    Attributes
    ----------
    over : str
        The axis of the slices.
    look : Look
        What is compared, with ``over`` left open.
    found : BoundaryMap or None
        None where no slice can be answered.
    reason : str
        Then, the sentence why.
    """

    over: str
    look: Look
    found: BoundaryMap | None
    reason: str

    @property
    def place(self) -> dict[str, float]:
        """The sizes of the axes that are held."""
        return {
            axis: size
            for axis in ("n_params", "n_finetune", "n_pretrain")
            if axis not in (self.over, self.look.along) and (size := getattr(self.look, axis)) is not None
        }


def find_maps(
    frame: pd.DataFrame,
    looks: Sequence[Look],
    *,
    level: float,
    resamples: int,
    random_state: int | None,
    progress: Callable[[str, int, int], None],
) -> tuple[MapFinding, ...]:
    """Find the boundary at every size of each other axis that two recipes share.

    Parameters
    ----------
    frame : DataFrame
        The tidy runs.
    looks : sequence of Look
        The primary look, then all others: the first that has two sizes of an axis is told over it.
    level : float
        Probability of the intervals.
    resamples : int
        Draws of each slice, 300 at most.
    random_state : int or None
        Seed of the draws.
    progress : callable
        Called with (what, done, of all).

    Returns
    -------
    tuple of MapFinding
        At most one for each axis of ``OVER``; empty where the recipes share two sizes of none.
    """
    from tippingpoint.boundary import boundary_map

    asked = [MapFinding(over, look, None, "") for over, look in _sliced(frame, looks)]
    findings = []
    for done, item in enumerate(asked):
        progress(f"the map over {axis_words(item.over)}", done, len(asked))
        look = item.look
        try:
            found = boundary_map(
                frame.dropna(axis=1, how="all"),
                along=look.along,
                over=item.over,
                at=item.place,
                target=look.target,
                stage=look.stage,
                recipes=look.recipes,
                upstream=look.upstream,
                downstream=look.downstream,
                teacher=look.teacher,
                level=level,
                resamples=min(MAP_DRAWS, resamples),
                random_state=random_state,
            )
        except (TippingPointError, ArithmeticError, np.linalg.LinAlgError) as error:
            findings.append(item._replace(reason=str(error)))
            continue
        findings.append(item._replace(found=found))
    return tuple(findings)


def _sliced(frame: pd.DataFrame, looks: Sequence[Look]) -> Iterator[tuple[str, Look]]:
    """Yield each other axis with the first look whose recipes share two sizes of it, that axis left open."""
    for over in OVER:
        for look in looks:
            if look.along == over or (over == "n_finetune" and look.stage == "pretrained"):
                continue
            open_look = look._replace(n_params=None) if over == "n_params" else look._replace(n_finetune=None)
            sizes = [set(part[over].dropna()) for part in look_frames(frame, open_look) if over in part]
            if len(sizes) == 2 and len(sizes[0] & sizes[1]) > 1:
                yield over, open_look
                break
