"""The one door from the report to the laws and the boundary: a failure comes back as a sentence, never a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.errors import TippingPointError
from tippingpoint.report.looks import Look, look_frames
from tippingpoint.report.words import counted
from tippingpoint.runs import AXES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tippingpoint.boundary import Boundary
    from tippingpoint.laws import AdditivePowerLaw

__all__ = ["LawResult", "TermRow", "fit_group", "fit_look"]

Interval = tuple[float | None, float | None]


class TermRow(NamedTuple):
    """One term of a fitted law: raw coefficient, exponent, their intervals, whether the data determine it."""

    axis: str
    coefficient: float
    coefficient_interval: Interval
    exponent: float
    exponent_interval: Interval
    identified: bool | None


class LawResult(NamedTuple):
    """A group's law for one target, or the sentence that says why there is none."""

    recipe: str
    stage: str | None
    upstream: str | None
    downstream: str | None
    target: str
    axes: tuple[str, ...]
    n_runs: int
    law: AdditivePowerLaw | None
    reason: str
    status: str
    floor: float
    floor_interval: Interval
    terms: tuple[TermRow, ...]
    warnings: tuple[str, ...]

    @property
    def group(self) -> str:
        """The group in one line."""
        scored = "upstream test set" if self.stage == "pretrained" else self.downstream or self.stage or "all runs"
        return f"{self.recipe}, {scored}"

    def curve(self, sizes: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the law at sizes (each a number, or an array of the same length); NaN without a law."""
        length = max(np.size(value) for value in sizes.values())
        if self.law is None:
            return np.full(length, np.nan)
        columns = {name: np.broadcast_to(np.asarray(sizes[name], float), (length,)) for name in self.axes}
        return np.asarray(self.law.predict(columns), dtype=float).reshape(-1)


def _interval(intervals: Mapping[str, Any], name: str) -> Interval:
    low, high = intervals.get(name) or (None, None)
    return (None if low is None else float(low), None if high is None else float(high))


def usable_axes(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the axes along which these runs differ."""
    numeric = {name: pd.to_numeric(frame[name], errors="coerce") for name in AXES if name in frame}
    return tuple(name for name, column in numeric.items() if column.notna().all() and column.nunique() > 1)


def fit_group(
    frame: pd.DataFrame, group: Mapping[str, str | None], target: str, *, random_state: int | None
) -> LawResult:
    """Fit the additive law to one group.

    Parameters
    ----------
    frame : DataFrame
        The group's runs.
    group : mapping
        ``recipe``, ``stage``, ``upstream``, ``downstream``.
    target : str
        The column to explain.
    random_state : int or None
        Seed of the posterior's draws, for the intervals.

    Returns
    -------
    LawResult
        With ``reason`` where no law can be fitted.
    """
    rows = frame.dropna(subset=[target]).dropna(axis=1, how="all")
    axes = usable_axes(rows)
    empty = LawResult(
        recipe=str(group["recipe"]),
        stage=group["stage"],
        upstream=group["upstream"],
        downstream=group["downstream"],
        target=target,
        axes=axes,
        n_runs=len(rows),
        law=None,
        reason="",
        status="not fitted",
        floor=np.nan,
        floor_interval=(None, None),
        terms=(),
        warnings=(),
    )
    if not axes:
        return empty._replace(reason="No law: these runs all have the same sizes, so there is no axis to fit along.")
    cells = len(rows[list(axes)].drop_duplicates())
    if cells < 2 * len(axes) + 1:
        need = 2 * len(axes) + 1
        return empty._replace(reason=f"No law: it has {need} parameters and the runs only {cells} different sizes.")
    from tippingpoint.laws import AdditivePowerLaw

    try:
        law = AdditivePowerLaw(axes=list(axes), random_state=random_state).fit(rows, target=target)
    except (TippingPointError, ArithmeticError, np.linalg.LinAlgError) as error:
        return empty._replace(reason=f"No law: {error}")
    return _with_law(empty, law)


def _with_law(result: LawResult, law: AdditivePowerLaw) -> LawResult:
    """Copy what the tables show out of a fitted law."""
    found = law.to_dict()
    intervals = found.get("intervals") or {}
    terms = tuple(
        TermRow(
            axis=axis,
            coefficient=float(term["coefficient"]),
            coefficient_interval=_interval(intervals, f"{axis}.coefficient"),
            exponent=float(term["exponent"]),
            exponent_interval=_interval(intervals, f"{axis}.exponent"),
            identified=term.get("identified"),
        )
        for axis, term in found["terms"].items()
    )
    return result._replace(
        law=law,
        n_runs=int(found["n_runs"]),
        status=str(found["status"]),
        floor=float(found["floor"]),
        floor_interval=_interval(intervals, "floor"),
        terms=terms,
        warnings=tuple(str(text) for text in found.get("warnings") or ()),
    )


def fit_look(
    frame: pd.DataFrame, look: Look, *, level: float, resamples: int, random_state: int | None
) -> tuple[Boundary | None, str]:
    """Find the boundary of one look from the runs of its own student and teacher.

    Only the pair's runs are used: no other model size can bend its curves. Where fine-tuning sizes differ, the look is
    told at its own, from the runs at that size.

    Parameters
    ----------
    frame : DataFrame
        The tidy runs.
    look : Look
        What is compared.
    level : float
        Probability of the intervals.
    resamples : int
        Draws of the joint posterior.
    random_state : int or None
        Seed of the draws.

    Returns
    -------
    boundary : Boundary or None
        None where it cannot be fitted.
    reason : str
        Then, the sentence why.
    """
    parts = look_frames(frame, look)
    for recipe, part in zip(look.recipes, parts, strict=True):
        if look.along not in part:
            return None, f"The table has no column {look.along}."
        count = part[look.along].nunique()
        if count < 3:
            return (
                None,
                f"{recipe} has {counted(count, 'size')} of {look.along}; a curve with a floor needs at least 3.",
            )
    from tippingpoint.boundary import find_boundary

    rows = pd.concat(parts, ignore_index=True).dropna(axis=1, how="all")  # an empty column is one less to explain
    settings: dict[str, Any] = {} if look.stage is None else {"stage": look.stage}
    try:
        found = find_boundary(
            rows,
            along=look.along,
            at={},
            target=look.target,
            recipes=look.recipes,
            level=level,
            resamples=resamples,
            random_state=random_state,
            **settings,
        )
    except (TippingPointError, ArithmeticError, np.linalg.LinAlgError) as error:
        return None, str(error)
    return found, ""
