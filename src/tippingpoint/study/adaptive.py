"""Running a study until its answer is sharp enough: cells are trained in the order in which they help most.

The first set is the smallest that can be asked: the three smallest sizes of the axis, which cost least, in two blocks
(benchmarks/adaptive.py holds it against the ends and the middle of the axis). Then
:func:`tippingpoint.advice.next_choice.next_cells` chooses, from the cells that the study has still to train. What it
says to train is written into ``adaptive.jsonl`` before it starts: the same command after an interruption goes on with
it, and the record tells why every cell was trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tippingpoint.advice.next_study import read_cells
from tippingpoint.errors import ConfigError, InputError, TippingPointError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.config import Block
from tippingpoint.study.endpoint import FIRST_BLOCKS, FIRST_SIZES, endpoint_cells, endpoint_numbers
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.values import above_zero

if TYPE_CHECKING:
    from tippingpoint.advice.next_result import Candidate, Next

__all__ = ["RECORD", "Adaptive", "Until", "left_out", "read_until", "with_extra_seeds"]

RECORD = "adaptive.jsonl"
SCHEMA_VERSION = 1  # of the record
_NAMED = 6  # cells that a choice is told with on the way; the record has all
_FORM = re.compile(r"\s*(boundary|prediction)\s+width\s*<\s*([0-9.eE_+-]+)\s*(decades?)?\s*")


class Until(NamedTuple):
    """When to stop: ``kind`` is ``boundary`` (width in decades) or ``prediction`` (in the target's unit)."""

    kind: str
    width: float

    def __str__(self) -> str:
        return f"{self.kind} width < {self.width:g}{' decades' * (self.kind == 'boundary')}"


def read_until(text: str) -> Until:
    """Read ``boundary width < 0.3 decades`` or ``prediction width < 0.02``.

    Raises
    ------
    InputError
        It has another form, or the width is not above 0.
    """
    found = _FORM.fullmatch(text)
    try:
        if found is None or (found[1] == "prediction" and found[3]):
            raise ValueError(text)
        width = above_zero(found[2])
    except ValueError as error:
        raise InputError(
            f"--until: '{text}' is not of the form 'boundary width < 0.3 decades' or 'prediction width < 0.02', with a "
            "number above 0."
        ) from error
    return Until(found[1], width)


def with_extra_seeds(study: Study, extra: int) -> Study:
    """Return a study with further blocks, their seeds beyond all it has."""
    if not extra:
        return study
    blocks = study.config.all_blocks()
    images, seeds = max(block.subset_seed for block in blocks), max(block.seed for block in blocks)
    more = [Block(subset_seed=images + step, seed=seeds + step) for step in range(1, extra + 1)]
    return replace(study, config=study.config.model_copy(update={"blocks": [*blocks, *more], "seeds": None}))


@dataclass
class Adaptive:
    """Chooses the cells of a study, for :func:`tippingpoint.study.execute.run_study`.

    Parameters
    ----------
    study : Study
        With an endpoint; extra seeds are blocks of it.
    root : Path
        The study directory.
    until : Until or None
        When the answer is sharp enough; None asks for ``most_cells`` alone.
    predict : mapping, optional
        What is predicted, where ``until`` speaks of a prediction.
    most_cells : int, optional
        Trainings of the study at most, those done before included.
    batch : int, default 1
        Candidates chosen at a time: enough to keep all workers busy.
    note : callable, optional
        Is told every choice in a sentence.

    Attributes
    ----------
    ended : str
        Why it stopped; empty while it goes on.
    width : float or None
        Of the answer when it was last asked.

    Raises
    ------
    ConfigError
        The study declares no endpoint, or has fewer than three sizes or two blocks of it.
    InputError
        ``adaptive.jsonl`` is damaged.
    """

    study: Study
    root: Path
    until: Until | None
    predict: Mapping[str, Any] | None = None
    most_cells: int | None = None
    batch: int = 1
    note: Callable[[str], None] = field(default=lambda _: None)
    ended: str = field(default="", init=False)
    width: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.grid = build_grid(self.study)
        endpoint = endpoint_numbers(self.study, self.grid)
        if endpoint is None:
            raise ConfigError("--adaptive: the study declares no endpoint, so that there is no question; add one.")
        self.endpoint = endpoint
        self.first = _first_set(self.study, self.grid, endpoint)
        self.records = _read_record(self.root / RECORD)

    def __call__(self) -> Collection[str]:
        """Return the cells to train next; none where the answer is sharp enough, or nothing would help."""
        cells = read_cells(self.root)
        state = {str(cell["key"]): str(cell["state"]) for cell in cells}
        done = sum(one == "done" for one in state.values())
        if begun := [key for key in self._last() if state.get(key) in ("todo", "running")]:
            return begun
        wanted = self.grid.closure(self.first)
        if (open_ := [key for key in wanted if state[key] == "todo"]) and not any(
            one["why"] != "stopped" for one in self.records
        ):
            return self._record("first set", done, None, open_)
        return self._ask(cells, done)

    def _ask(self, cells: list[dict[str, Any]], done: int) -> Collection[str]:
        """Ask what to run next, and whether the answer is sharp enough."""
        try:
            found = self._next(cells, beyond=False)
            sharp = self.until is not None and found.width < self.until.width
            if sharp and not found.bracketed:
                found = self._next(cells, beyond=True)
        except TippingPointError as error:
            return self._stop(f"the question cannot be asked: {' '.join(error.faults)}", done, None)
        self.width = found.width
        if sharp and (found.bracketed or not found.candidates):
            return self._stop(f"the answer is sharp enough: {self.until}", done, found)
        if not found.candidates:
            return self._stop("nothing left to train would narrow the answer", done, found)
        found = self._affordable(found, done)
        if not found.candidates:
            return self._stop(f"more would be over --most-cells {self.most_cells}", done, found)
        keys = [key for one in found.candidates for key in one.cells]
        return self._record("beyond what was run" if sharp else "next", done, found, keys)

    def _affordable(self, found: Next, done: int) -> Next:
        """Keep the candidates that stay within ``most_cells``, each needing those before it."""
        kept: list[Candidate] = []
        for one in found.candidates:
            done += len(one.cells)
            if self.most_cells is not None and done > self.most_cells:
                break
            kept.append(one)
        return replace(found, candidates=tuple(kept))

    def _next(self, cells: list[dict[str, Any]], *, beyond: bool) -> Next:
        from tippingpoint.advice.next_choice import asked_by, next_cells

        about: dict[str, Any] = {"predict": self.predict, "batch": self.batch, "extra_seeds": 0, "beyond": beyond}
        return next_cells(self.root / "runs.csv", cells=cells, **asked_by(self.endpoint), **about)

    # --- the record ---

    def _last(self) -> list[str]:
        chosen = [one for one in self.records if one["why"] != "stopped"]
        return [str(key) for key in chosen[-1]["cells"]] if chosen else []

    def _stop(self, reason: str, done: int, found: Next | None) -> Collection[str]:
        self.ended = reason
        self._record("stopped", done, found, [], reason)
        return ()

    def _record(
        self, why: str, done: int, found: Next | None, keys: list[str], reason: str | None = None
    ) -> Collection[str]:
        """Write down a choice before it is acted on."""
        entry: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "why": why,
            "reason": reason,
            "until": None if self.until is None else str(self.until),
            "cells_done": done,
            "width": None if found is None else found.width,
            "basis": None if found is None else found.basis,
            "answer": None if found is None else found.answer,
            "candidates": [] if found is None or not keys else [one.to_dict() for one in found.candidates],
            "unit": "FLOPs",
            "cells": sorted(keys, key=list(self.grid.cells).index),
        }
        if not self.records or self.records[-1] != (entry := json.loads(dump_json(entry))):
            self.records.append(entry)
            write_atomic(self.root / RECORD, "".join(dump_json(one) + "\n" for one in self.records))
        if keys:
            names = [cell.label for key, cell in self.grid.cells.items() if key in keys]
            labels = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            width = "" if found is None else f" (width now {found.width:.3g})"
            self.note(f"Next{width}: {labels}")
        return keys


def _first_set(study: Study, grid: Grid, endpoint: Mapping[str, Any]) -> list[str]:
    """Return the cells that score the smallest sizes of the endpoint's axis in the first blocks, for both recipes."""
    along, rows = endpoint["along"], endpoint_cells(grid, endpoint)
    blocks = [(block.subset_seed, block.seed) for block in study.config.all_blocks()][:FIRST_BLOCKS]
    recipes = {
        recipe: {cell.where[along] for cell in rows if cell.where["recipe"] == recipe} for recipe in endpoint["recipes"]
    }
    sizes = sorted(set.intersection(*recipes.values()))[:FIRST_SIZES] if recipes else []
    if len(sizes) < FIRST_SIZES or len(blocks) < FIRST_BLOCKS:
        raise ConfigError(
            f"--adaptive: the study has {len(sizes)} sizes of {along} that {' and '.join(endpoint['recipes'])} share "
            f"and {len(blocks)} blocks (seeds); it needs {FIRST_SIZES} sizes and {FIRST_BLOCKS} blocks to begin with."
        )
    return [
        cell.key
        for cell in rows
        if cell.where[along] in sizes and (cell.where["subset_seed"], cell.where["seed"]) in blocks
    ]


def left_out(root: Path, known: Collection[str]) -> list[str]:
    """Return the cells that adaptive runs of a directory chose and that are not among the study's.

    Parameters
    ----------
    root : Path
        The study directory.
    known : collection of str
        Keys of the cells of the study as it is configured now.

    Returns
    -------
    list of str
        Keys: cells of further seed blocks (``--extra-seeds``), which stay in the store but not in ``runs.csv``.
    """
    return sorted({key for one in _read_record(root / RECORD) for key in one["cells"]} - set(known))


def _read_record(path: Path) -> list[dict[str, Any]]:
    """Return the choices of earlier runs; none where there is no record yet."""
    if not path.is_file():
        return []
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if {one["schema_version"] for one in found} <= {SCHEMA_VERSION}:
            return [{**one, "why": str(one["why"]), "cells": list(one["cells"])} for one in found]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is damaged and cannot be read; delete it, and the choice begins anew from the runs that are done."
        ) from error
    raise InputError(f"{path}: was written by a newer version of tippingpoint; upgrade the package.")
