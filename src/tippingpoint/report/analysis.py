"""All that a report says, computed once: the laws, the declared comparison, every other look, the controls, the costs.

Honesty rules that hold here: one look is primary, and only if the study declared it before it ran; all others are
exploratory, and the tests of all of them together (level and trend of each, see ``pairs``) are adjusted by Holm's
method; a law or boundary that cannot be fitted is a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from tippingpoint.boundary.adjusted import holm
from tippingpoint.report.engine import LawResult, fit_group, fit_look
from tippingpoint.report.looks import GROUP, TARGETS, Look, declared_look, every_look, first_look, look_frames, tidy
from tippingpoint.report.maps import MapFinding, find_maps
from tippingpoint.report.pairs import PairedTest, Pairs, pair_runs
from tippingpoint.report.published import Cost, Published, costs_of, read_published

if TYPE_CHECKING:
    from tippingpoint.boundary import Boundary
    from tippingpoint.runs import Runs

__all__ = ["Analysis", "Finding", "analyse"]

FEW = 300  # draws of an exploratory look
CONTROLS = ("smoothed", "self_distilled", "scratch_extra_compute")
Progress = Callable[[str, int, int], None]


class Finding(NamedTuple):
    """One look and what came of it.

    Attributes
    ----------
    look : Look
        What was compared.
    pairs : Pairs
        Paired differences, free of any law.
    boundary : Boundary or None
        Crossings and regimes.
    reason : str
        Why there is no boundary.
    level_p, trend_p : float
        p-values of the two paired tests, adjusted where the look is exploratory; NaN where they cannot be made.
    """

    look: Look
    pairs: Pairs
    boundary: Boundary | None
    reason: str
    level_p: float
    trend_p: float

    @property
    def curve(self) -> pd.DataFrame | None:
        """The fitted difference over the data's range, or None."""
        return None if self.boundary is None else self.boundary.curve_

    @property
    def crossings(self) -> tuple[tuple[float, float | None, float | None, bool], ...]:
        """Each crossing as (value, low, high, in range), an open end None; the measured ones where the laws fail."""
        if self.boundary is None:
            return ()
        if not self.boundary.laws_hold:
            return tuple((turn.value, *turn.interval, True) for turn in self.boundary.measured)
        found = []
        for crossing in self.boundary.crossings:
            low, high = crossing.interval or (None, None)
            found.append((float(crossing.value), _finite(low), _finite(high), bool(crossing.in_range)))
        return tuple(found)

    @property
    def sizes(self) -> tuple[float, float] | None:
        """The smallest and largest size that both recipes have, or None where they share none."""
        return (self.pairs.sizes[0].size, self.pairs.sizes[-1].size) if self.pairs.sizes else None


class Analysis(NamedTuple):
    """Everything that the report, the short text and the JSON summary say.

    Attributes
    ----------
    name : str
        The study's name, or the table's.
    source : str
        Where the runs came from, for messages.
    frame : DataFrame
        The tidy runs.
    published : Published
        What the study says of itself.
    declared : bool
        Whether the primary look was declared before the runs.
    primary : Finding or None
        The declared comparison, or the first available one where none was declared.
    exploratory, controls, second : tuple of Finding
        All other looks; the controls; and the primary look told by the other targets (these are part of
        ``exploratory``, repeated for the reader).
    laws : tuple of LawResult
        One per group and target.
    costs : tuple of Cost
        One per recipe.
    notes : tuple of str
        Warnings in full, in order of appearance, each once.
    family : int
        Number of exploratory tests that Holm's method adjusts.
    level, resamples, random_state
        Settings that the numbers depend on.
    maps : tuple of MapFinding
        The better recipe over two axes, one map for each axis that allows it.
    """

    name: str
    source: str
    frame: pd.DataFrame
    published: Published
    declared: bool
    primary: Finding | None
    exploratory: tuple[Finding, ...]
    controls: tuple[Finding, ...]
    second: tuple[Finding, ...]
    laws: tuple[LawResult, ...]
    costs: tuple[Cost, ...]
    notes: tuple[str, ...]
    family: int
    level: float
    resamples: int
    random_state: int | None
    maps: tuple[MapFinding, ...] = ()

    def group(self, result: LawResult) -> pd.DataFrame:
        """Return the runs of a law's group."""
        return _select(self.frame, {name: getattr(result, name) for name in GROUP})


def _finite(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _select(frame: pd.DataFrame, group: Mapping[str, Any]) -> pd.DataFrame:
    rows = frame
    for name, value in group.items():
        rows = rows[rows[name].isna()] if value is None else rows[rows[name] == value]
    return rows


def analyse(
    runs: Runs | pd.DataFrame | str | Path | Mapping[str, Any],
    endpoint: Mapping[str, Any] | None = None,
    study: str | Path | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.9,
    random_state: int | None = 0,
    primary_only: bool = False,
    progress: Progress | None = None,
) -> Analysis:
    """Fit, compare and adjust all that a table of runs allows.

    Parameters
    ----------
    runs : Runs, DataFrame, str, Path or mapping
        The table, a file, or a study directory.
    endpoint : mapping, optional
        The comparison that was declared before the runs; by default what the study's ``progress.json`` says.
    study : str or Path, optional
        The study directory; by default ``runs`` itself where that is one.
    resamples : int, default 2000
        Draws for the primary boundary; exploratory ones take at most 300.
    level : float, default 0.9
        Probability of all intervals.
    random_state : int or None, default 0
        Seed of the draws: the same input gives the same report.
    primary_only : bool, default False
        Leave out the other looks, the controls, the maps and the laws: for an answer while a study runs.
    progress : callable, optional
        Called with (what, done, of all).

    Returns
    -------
    Analysis

    Raises
    ------
    RunsError
        The table cannot be read or has no target column.
    """
    from tippingpoint.errors import RunsError
    from tippingpoint.runs import read_runs

    folder = study if study is not None else _folder_of(runs)
    table = read_runs(runs)
    frame = tidy(table.frame)
    targets = [name for name in TARGETS if name in frame and frame[name].notna().any()]
    if frame.empty or not targets:
        why = f"there are no runs with any of {', '.join(TARGETS)}, so that nothing can be reported"
        raise RunsError(f"{table.source}: {why}; add one of these columns ('error' is 1 - accuracy, from 0 to 1).")
    published = read_published(folder, Path(str(table.source)).stem)
    endpoint = endpoint if endpoint is not None else published.endpoint
    look, notes = declared_look(endpoint, frame) if endpoint is not None else (None, ())
    declared = look is not None
    if look is None:
        look, more = first_look(frame, ("scratch", "distilled"), "n_pretrain")
        notes = (*notes, *more)
    work = _Work(frame, level, random_state, progress or (lambda what, done, of: None))
    primary = None if look is None else work.finding(look, resamples)
    looks = every_look(frame, look.recipes, look.along, look) if look is not None and not primary_only else ()
    others = [item for item in looks if item != look]
    controls = _control_looks(frame, look) if look is not None and not primary_only else ()
    few = min(FEW, resamples)
    work.total = len(others) + len(controls)
    found = work.findings([*others, *controls], few)
    adjusted, family = _adjust(found)
    exploratory, compared = adjusted[: len(others)], adjusted[len(others) :]
    maps = () if look is None or primary_only else work.maps([look, *others], few)
    laws = () if primary_only else work.laws(targets)
    return Analysis(
        name=published.name,
        source=str(table.source),
        frame=frame,
        published=published,
        declared=declared,
        primary=primary,
        exploratory=exploratory,
        controls=compared,
        second=tuple(
            item for item in exploratory if look is not None and item.look._replace(target=look.target) == look
        ),
        laws=laws,
        costs=costs_of(frame),
        notes=_notes([*table.notes, *published.notes, *notes], primary, adjusted),
        family=family,
        level=level,
        resamples=resamples,
        random_state=random_state,
        maps=maps,
    )


def _folder_of(runs: object) -> Path | None:
    """Return the study directory that a path names, or None."""
    if isinstance(runs, (str, Path)) and Path(runs).is_dir():
        return Path(runs)
    return None


def _notes(notes: list[str], primary: Finding | None, others: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return every warning once, the primary look's before the others'."""
    found = list(notes)
    if primary is not None:
        found += [*primary.pairs.notes, *(primary.boundary.warnings if primary.boundary is not None else ())]
    where: dict[str, list[str]] = {}
    for item in others:
        warnings = item.boundary.warnings if item.boundary is not None else ()
        for text in dict.fromkeys((*item.pairs.notes, *map(str, warnings))):
            where.setdefault(text, []).append(item.look.title)
    for text, titles in where.items():
        if text not in found:
            several = f"in {len(titles)} exploratory looks, the first: " if len(titles) > 1 else ""
            found.append(f"{text} ({several}{titles[0]})")
    return tuple(dict.fromkeys(map(str, found)))


def _control_looks(frame: pd.DataFrame, look: Look) -> tuple[Look, ...]:
    """Return the controls against the look's second recipe, everything else equal.

    Each is told as the control minus the second recipe, so that a positive difference means the same as in the
    primary look: the second recipe helps beyond what the control explains.
    """
    looks = []
    for control in CONTROLS:
        if control in look.recipes:
            continue
        candidate = look._replace(recipes=(control, look.recipes[1]))
        if all(len(part) for part in look_frames(frame, candidate)):
            looks.append(candidate)
    return tuple(looks)


def _adjust(found: list[Finding]) -> tuple[tuple[Finding, ...], int]:
    """Adjust the level and trend tests of all exploratory looks as one family."""
    raw = [p for item in found for p in (item.level_p, item.trend_p)]
    adjusted = holm(raw)
    pairs = zip(found, adjusted[::2], adjusted[1::2], strict=True)
    return tuple(item._replace(level_p=a, trend_p=b) for item, a, b in pairs), int(np.isfinite(raw).sum())


class _Work:
    """The fits of one report, with its settings and its progress."""

    def __init__(self, frame: pd.DataFrame, level: float, random_state: int | None, progress: Progress) -> None:
        self.frame = frame
        self.level = level
        self.random_state = random_state
        self.progress = progress
        self.total = 1

    def finding(self, look: Look, resamples: int) -> Finding:
        """Pair the runs of one look and find its boundary."""
        first, second = look_frames(self.frame, look)
        pairs = pair_runs(first, second, along=look.along, target=look.target, level=self.level)
        boundary, reason = fit_look(
            self.frame, look, level=self.level, resamples=resamples, random_state=self.random_state
        )
        return Finding(look, pairs, boundary, reason, _p(pairs.level), _p(pairs.trend))

    def findings(self, looks: list[Look], resamples: int) -> list[Finding]:
        """Do so for many looks."""
        found = []
        for place, look in enumerate(looks):
            self.progress("boundaries", place, len(looks))
            found.append(self.finding(look, resamples))
        return found

    def maps(self, looks: list[Look], resamples: int) -> tuple[MapFinding, ...]:
        """Find the boundary over two axes, for each other axis that allows it."""
        settings: dict[str, Any] = {"level": self.level, "resamples": resamples, "random_state": self.random_state}
        return find_maps(self.frame, looks, **settings, progress=self.progress)

    def laws(self, targets: list[str]) -> tuple[LawResult, ...]:
        """Fit each group's law for each target."""
        groups = [
            {name: None if pd.isna(value) else str(value) for name, value in zip(GROUP, values, strict=True)}
            for values in self.frame[list(GROUP)].drop_duplicates().itertuples(index=False)
        ]
        tasks = [(group, target) for group in groups for target in targets]
        found = []
        for place, (group, target) in enumerate(tasks):
            self.progress("laws", place, len(tasks))
            rows = _select(self.frame, group)
            if target not in rows or rows[target].isna().all():
                continue
            found.append(fit_group(rows, group, target, random_state=self.random_state))
        return tuple(found)


def _p(test: PairedTest | None) -> float:
    return float("nan") if test is None else test.p
