"""What would run and why, and what it costs; nothing is written and nothing is trained.

Times come from cells of the same shape that this directory has finished, else from a few training steps on synthetic
images, timed here, else from FLOPs at a stated rate. They leave out the start of the processes (some seconds) and the
report. A public set that is not prepared is planned with by its maker's counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tippingpoint.study.cells import Cell
from tippingpoint.study.endpoint import endpoint_numbers, models_of_one_size
from tippingpoint.study.eta import shape_of
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.precision import undecided, with_precision
from tippingpoint.study.reasons import why_new
from tippingpoint.study.runners.local import usable_cores
from tippingpoint.study.store import Store

__all__ = ["Group", "Plan", "plan_study"]

FORWARD_SHARE = 1 / 3  # of a training step that scoring costs an image: no backward pass
LONGEST_TIMED = 1e10  # FLOPs of a step; a few of them are timed in seconds on one core, more would take minutes
CELL_OVERHEAD = 16_384  # bytes on the disk beside the weights: JSON files, by whole blocks


@dataclass
class Group:
    """The cells of one kind and recipe.

    Attributes
    ----------
    kind, recipe : str
        Which cells.
    total, done : int
        Of the study; already in the directory.
    reasons : Counter of str
        Why the others run -> how many.
    steps : int
        Optimiser steps to do.
    flops : float
        FLOPs to spend, guidance included.
    seconds : float or None
        Processor time to spend; None where nothing was timed.
    disk : int
        Bytes to write.
    """

    kind: str
    recipe: str
    total: int = 0
    done: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    flops: float = 0.0
    seconds: float | None = 0.0
    disk: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "kind": self.kind,
            "recipe": self.recipe,
            "cells": self.total,
            "done": self.done,
            "to_run": self.total - self.done,
            "reasons": dict(self.reasons),
            "steps": self.steps,
            "flops": self.flops,
            "seconds": self.seconds,
            "disk_bytes": self.disk,
        }


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    name : str
        The study.
    root : Path
        Its directory, which may not exist.
    groups : list of Group
        By kind and recipe.
    rows : int
        Rows of the runs table when all is done.
    workers : int
        Processes that the estimate counts on.
    seconds : float or None
        Wall-clock time, or None where nothing was timed.
    endpoint : dict or None
        The primary endpoint.
    notes : list of str
        What should be known.
    """

    name: str
    root: Path
    groups: list[Group]
    rows: int
    workers: int
    seconds: float | None
    endpoint: dict[str, Any] | None
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as ``plan --json`` prints it."""
        return {
            "study": self.name,
            "directory": str(self.root),
            "cells": sum(group.total for group in self.groups),
            "done": sum(group.done for group in self.groups),
            "to_run": sum(group.total - group.done for group in self.groups),
            "rows": self.rows,
            "groups": [group.to_dict() for group in self.groups],
            "steps": sum(group.steps for group in self.groups),
            "flops": sum(group.flops for group in self.groups),
            "disk_bytes": sum(group.disk for group in self.groups),
            "workers": self.workers,
            "seconds": self.seconds,
            "endpoint": self.endpoint,
            "notes": self.notes,
        }


def plan_study(
    study: Study, root: str | Path, *, workers: int | None = None, timing: bool = True, rate: float | None = None
) -> Plan:
    """Return what a run in this directory would do.

    Parameters
    ----------
    study : Study
        What would run.
    root : str or Path
        The study directory; it need not exist.
    workers : int, optional
        Processes; by default one for each core that may be used.
    timing : bool, default True
        Time a few synthetic steps of each shape that this directory knows nothing of, unless that takes minutes.
    rate : float, optional
        FLOPs a second of each worker: time is FLOPs by this rate, and nothing is timed.

    Returns
    -------
    Plan
        Cells by kind and recipe with reasons, steps, FLOPs, time and disk.
    """
    study = with_precision(study, Path(root))
    study, assumed = _decided(study, timing=timing and rate is None)
    grid = build_grid(study)
    store = Store(root)
    done = store.done()
    todo = [cell for cell in grid.cells.values() if cell.key not in done]
    reasons = why_new(todo, store, study.config)
    notes = [*store.notes, *_absent(study), *_absent_weights(study), *models_of_one_size(grid), *assumed]
    if rate is not None:
        rates = {shape_of(cell): (cell.estimate.work / cell.estimate.n_steps / rate, False) for cell in todo}
        notes.append(f"Times are FLOPs at {rate:.3g} a second for each worker, as stated; nothing was timed.")
    else:
        rates = _rates(study, grid, store, todo, timing=timing)
    large = max((cell.estimate.work / cell.estimate.n_steps for cell in todo if shape_of(cell) not in rates), default=0)
    if timing and large:
        notes.append(f"A step takes up to {large:.2g} FLOPs, too many to time here: state FLOPs a second with --rate.")
    arrays = _features_sizes(study, grid)
    groups: dict[tuple[str, str], Group] = {}
    times: list[float] = []
    for cell in grid.cells.values():
        name = (cell.kind, str(cell.where["recipe"]))
        group = groups.setdefault(name, Group(*name))
        group.total += 1
        if cell.key in done:
            group.done += 1
            continue
        group.reasons[reasons[cell.key]] += 1
        _add_cost(group, cell, seconds := _seconds(study, cell, rates))
        group.disk += arrays.get(cell.key, 0)
        times.append(seconds or 0.0)
    count = workers or usable_cores()
    wall = max([sum(times) / count, *times]) if all(group.seconds is not None for group in groups.values()) else None
    store.close()
    return Plan(
        study.config.name,
        Path(root),
        list(groups.values()),
        len(grid.rows),
        count,
        wall,
        endpoint_numbers(study, grid),
        notes,
    )


def _decided(study: Study, *, timing: bool) -> tuple[Study, list[str]]:
    """Decide about ``precision: auto`` for this plan alone, by a probe where that takes seconds."""
    notes, found = [], dict(study.precision)
    for model, cell in undecided(study).items():
        if timing and cell.estimate.work <= LONGEST_TIMED * cell.estimate.n_steps:
            found[model] = study.laboratory.probe_precision(cell.task, "cpu")
        else:
            found[model] = "float32"
            notes = ["precision auto is not decided yet: planned with float32. 'run' measures which is faster first."]
    return replace(study, precision=found), notes


def _absent_weights(study: Study) -> list[str]:
    """Return a sentence for every model whose public weights were not fetched."""
    ladder = study.config.model.ladder or {}
    return [
        f"The public weights of '{name}' are not here, and 'run' needs them: "
        f"tippingpoint weights fetch {ladder[name].timm}."
        for name, weights in study.weights.items()
        if not weights["path"]
    ]


def _absent(study: Study) -> list[str]:
    """Return a sentence for every set that is not prepared: how to, and what the plan counts on."""
    image, notes = study.config.image, {}
    for facts in study.images.values():
        if facts.kept is not None and (said := facts.kept.misfit(image.size, image.channels)):
            notes[said] = f"{said}. 'run' needs it at that size."
        if facts.absent is not None:
            count = facts.n_pool + facts.n_validation + facts.n_test
            size = f"{count * image.size**2 * image.channels / 1e9:.3g} GB at {image.size}x{image.size}"
            assumed = f"; assumed: {facts.absent.assumed}" if facts.absent.assumed else ""
            notes[facts.absent.remedy(image.size, image.channels)] = (
                f"'{facts.absent.name}' is not prepared on this machine, and 'run' needs it: "
                f"{facts.absent.remedy(image.size, image.channels)}. Planned with {count:,} images, {size}{assumed}."
            )
    return list(notes.values())


def _add_cost(group: Group, cell: Cell, seconds: float | None) -> None:
    cost = cell.estimate
    group.steps += cost.n_steps
    group.flops += cost.work
    kept = cell.kind == "pretrain" or "keep_weights" in cell.task
    group.disk += CELL_OVERHEAD + (4 * (cost.n_params + cost.n_params_head) if kept else 0)
    group.seconds = None if group.seconds is None or seconds is None else group.seconds + seconds


def _features_sizes(study: Study, grid: Grid) -> dict[str, int]:
    """Return the bytes of every cell of features: four a number, as many numbers as a class of its probe weighs."""
    sizes = {}
    for cell in grid.cells.values():
        if cell.kind == "probe":
            facts = study.images[cell.task["data"]["name"]]
            n_images = facts.n_pool + facts.n_validation + facts.n_test
            sizes[cell.parents["features"]] = 4 * n_images * (cell.estimate.n_params_head // facts.n_classes - 1)
    return sizes


def _rates(
    study: Study, grid: Grid, store: Store, todo: Iterable[Cell], *, timing: bool
) -> dict[str, tuple[float, bool]]:
    """Return shape -> (seconds per step, whether scoring is in it) of every shape that is to run."""
    wanted: dict[str, Cell] = {}
    for cell in todo:
        wanted.setdefault(shape_of(cell), cell)
    sums: dict[str, list[float]] = {}
    for key in store.done() & set(grid.cells):
        shape = shape_of(grid.cells[key])
        if shape in wanted:
            total = sums.setdefault(shape, [0.0, 0.0])
            total[0] += float(store.result(key)["wall_s"])
            total[1] += grid.cells[key].estimate.n_steps
    rates = {shape: (seconds / steps, True) for shape, (seconds, steps) in sums.items() if steps}
    for shape, cell in wanted.items():
        if shape not in rates and timing and cell.estimate.work <= LONGEST_TIMED * cell.estimate.n_steps:
            rates[shape] = (study.laboratory.time_step(cell.task), False)
    return rates


def _seconds(study: Study, cell: Cell, rates: Mapping[str, tuple[float, bool]]) -> float | None:
    """Return the seconds of a cell: its steps, and scoring where the rate does not hold it already."""
    if shape_of(cell) not in rates:
        return None
    rate, whole = rates[shape_of(cell)]
    if whole:
        return rate * cell.estimate.n_steps
    facts = study.images[cell.task["data"]["name"]]
    scored = facts.n_validation + (facts.n_test if study.config.score_on == "test" else 0)
    if "training" not in cell.task:  # features and what learns from them are scored by the way
        return rate * cell.estimate.n_steps
    own: float = rate * cell.estimate.flops / cell.estimate.work / cell.task["training"]["batch_size"]
    return rate * cell.estimate.n_steps + own * FORWARD_SHARE * scored
