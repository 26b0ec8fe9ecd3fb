"""The table itself, and the one check that stands before every fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import RunsError, did_you_mean
from tippingpoint.runs.faults import at_rows, larger_is_better, missing_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Runs"]


@dataclass(frozen=True)
class Runs:
    """A table of runs that has been read and checked.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per scored model, index 0..n-1.
    source : str
        Where it came from, for messages.
    notes : tuple of str
        What was set aside or changed while reading and choosing, with counts.
    lines : ndarray of int, shape (n,)
        The line of the file (or the row of the data frame) each row came from, for messages.
    row_word : str
        What ``lines`` counts: ``line`` of a text file or ``row``.
    """

    frame: pd.DataFrame
    source: str = "table"
    notes: tuple[str, ...] = ()
    lines: NDArray[np.intp] | None = None
    row_word: str = "row"

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"Runs({len(self.frame)} rows, {len(self.frame.columns)} columns, from {self.source})"

    def _repr_html_(self) -> str:
        html: str = self.frame.to_html(max_rows=20)
        return html

    def line_numbers(self) -> NDArray[np.intp]:
        """Return the line or row number of each run, shape (n,)."""
        return np.arange(len(self.frame)) if self.lines is None else self.lines

    def keep(self, mask: NDArray[np.bool_], why: str | None = None) -> Runs:
        """Return the runs where ``mask`` holds; the others are counted in ``notes`` with the reason ``why``."""
        dropped = int((~mask).sum())
        if not dropped:
            return self
        total = len(self.frame)
        notes = self.notes if why is None else (*self.notes, f"{dropped} of {total} rows set aside: {why}.")
        frame = self.frame[mask].reset_index(drop=True)
        return replace(self, frame=frame, notes=notes, lines=self.line_numbers()[mask])

    def noted(self, *sentences: str) -> Runs:
        """Return the same runs with more notes."""
        return replace(self, notes=(*self.notes, *sentences)) if sentences else self

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column as floats, shape (n,); an empty cell is NaN.

        Raises
        ------
        RunsError
            The column is missing (a near name is suggested) or holds text.
        """
        if column not in self.frame.columns:
            raise RunsError(missing_columns([column], self.frame.columns, self.source))
        try:
            return self.frame[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise RunsError(f"{self.source}: column '{column}' holds text; numbers are needed.") from error

    def require(self, axes: Sequence[str], target: str, *, positive_target: bool = False) -> None:
        """Check that every run has what a fit needs.

        Parameters
        ----------
        axes : sequence of str
            Columns that must be present, finite and above 0.
        target : str
            Column that must be present and finite.
        positive_target : bool, default False
            Whether it must be above 0 as well (objectives on logarithms).

        Raises
        ------
        RunsError
            With all the faults, each with its rows and a remedy.
        """
        if target in axes:
            raise RunsError(f"Column '{target}' is both target and axis; choose another axis.")
        faults = _unusable_names(axes) + missing_columns([*axes, target], self.frame.columns, self.source)
        faults += larger_is_better(target)
        if not len(self.frame):
            faults.append(f"{self.source}: no runs are left to fit.")
        if faults:
            raise RunsError(faults)
        for axis in axes:
            values = self.numbers(axis)
            faults += self._at(~np.isfinite(values), axis, "is empty or not finite; leave the axis out or fill it in")
            faults += self._at(values <= 0, axis, "is not above 0; a power law needs sizes above 0")
        values = self.numbers(target)
        faults += self._at(~np.isfinite(values), target, "is empty or not finite; score these runs or leave them out")
        if positive_target:
            remedy = "is not above 0 and has no logarithm; use the objective 'squares' or leave these runs out"
            faults += self._at(values <= 0, target, remedy)
        if faults:
            raise RunsError(faults)

    def _at(self, bad: NDArray[np.bool_], column: str, what: str) -> list[str]:
        return at_rows(bad, self.line_numbers(), column, what, self.source, self.row_word)


def _unusable_names(axes: Sequence[str]) -> list[str]:
    faults = [] if axes else ["A law needs at least one axis."]
    twice = sorted({axis for axis in axes if list(axes).count(axis) > 1})
    return faults + [f"Axis '{axis}' is named twice." for axis in twice]


def choices(values: Sequence[Any]) -> str:
    """Return values as a readable list, at most eight."""
    shown = ", ".join(f"'{value}'" for value in values[:8])
    return shown + (f" and {len(values) - 8} more" if len(values) > 8 else "")


def unknown_value(column: str, value: str, known: Sequence[str], source: str) -> str:
    """Return the sentence for a group value that does not occur."""
    return f"{source}: no run has {column} '{value}'; there are {choices(known)}.{did_you_mean(value, known)}"
