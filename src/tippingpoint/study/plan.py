"""What would run and why, and what it costs; nothing is written and nothing is trained.

Times come from cells of the same shape that this directory has finished, else from a few training steps on synthetic
images, timed here, else from FLOPs at a stated rate. They leave out the start of the processes (some seconds) and the
report. A public set that is not prepared is planned with by its maker's counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tippingpoint.errors import InputError
from tippingpoint.study.cells import Cell
from tippingpoint.study.endpoint import endpoint_numbers, models_of_one_size
from tippingpoint.study.eta import shape_of
from tippingpoint.study.grid import Grid, build_grid
from tippingpoint.study.hardware import Machines, Price
from tippingpoint.study.load import Study
from tippingpoint.study.precision import undecided, with_precision
from tippingpoint.study.reasons import why_new
from tippingpoint.study.runners.local import usable_cores
from tippingpoint.study.store import Store
from tippingpoint.study.timing import LONGEST_TIMED, Rate, Span, cell_times, makespan, measure_rates, stated_rates

__all__ = ["Group", "Plan", "Planned", "plan_study"]

CELL_OVERHEAD = 5 * 4096  # bytes on the disk beside the weights: a folder, three JSON files, a log, by whole blocks
HOUR = 3600


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


class Planned(NamedTuple):
    """One cell that would run.

    Attributes
    ----------
    cell : Cell
        Which.
    reason : str
        Why.
    seconds : float or None
        What it takes; None where nothing was timed.
    """

    cell: Cell
    reason: str
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        cell = self.cell
        about = {"key": cell.key, "kind": cell.kind, "label": cell.label, "reason": self.reason}
        return {**about, "steps": cell.estimate.n_steps, "flops": cell.estimate.work, "seconds": self.seconds}


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
    todo : list of Planned
        The cells that would run, each after those that it starts from.
    rows : int
        Rows of the runs table when all is done.
    workers : int
        Processes that the estimate counts on.
    seconds : Span or None
        Wall-clock time with its interval, or None where nothing was timed. What is stated has no interval: its ends
        are its middle.
    basis : str or None
        ``measured`` (here) or ``stated``; None where there is no time.
    machines : Machines or None
        What it was asked to plan for.
    price : Price or None
        Of an hour of one device or core.
    paid : int
        Devices or cores that are paid for.
    endpoint : dict or None
        The primary endpoint.
    notes : list of str
        What should be known.
    """

    name: str
    root: Path
    groups: list[Group]
    todo: list[Planned]
    rows: int
    workers: int
    seconds: Span | None
    basis: str | None
    machines: Machines | None
    price: Price | None
    paid: int
    endpoint: dict[str, Any] | None
    notes: list[str]

    @property
    def money(self) -> Span | None:
        """What the devices cost while the study runs, idle ones too; None without a price or a time."""
        if self.price is None or self.seconds is None:
            return None
        return self.seconds.times(self.paid * self.price.amount / HOUR)

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
            "seconds": None if self.seconds is None else self.seconds.middle,
            "seconds_interval": self._interval(self.seconds),
            "basis": self.basis,
            "on": None if self.machines is None else str(self.machines),
            "utilisation": None if self.machines is None else self.machines.utilisation,
            "price": None if self.price is None else {"unit": self.price.unit, "amount": self.price.amount},
            "money": None if self.money is None else self.money.middle,
            "money_interval": self._interval(self.money),
            "endpoint": self.endpoint,
            "notes": self.notes,
        }

    def _interval(self, span: Span | None) -> list[float] | None:
        """Return the ends of a span; None of what is stated, for nobody knows how far off it is."""
        return None if span is None or self.basis != "measured" else [span.low, span.high]


def plan_study(
    study: Study,
    root: str | Path,
    *,
    workers: int | None = None,
    timing: bool = True,
    rate: float | None = None,
    machines: Machines | None = None,
    price: Price | None = None,
    devices: Sequence[str] = ("cpu",),
) -> Plan:
    """Return what a run in this directory would do.

    Parameters
    ----------
    study : Study
        What would run.
    root : str or Path
        The study directory; it need not exist.
    workers : int, optional
        Processes; by default one for each core that may be used, on other machines one for each device.
    timing : bool, default True
        Time a few synthetic steps of each shape that this directory knows nothing of, unless that takes minutes.
    rate : float, optional
        FLOPs a second of each worker: time is FLOPs by this rate, and nothing is timed.
    machines : Machines, optional
        Plan for these devices at their stated throughput; nothing is timed.
    price : Price, optional
        Of an hour of one GPU, or of one core: a worker has one of its own.
    devices : sequence of str, default ("cpu",)
        Where the workers train; steps are timed on the first.

    Returns
    -------
    Plan
        Cells by kind and recipe with reasons, steps, FLOPs, time, disk and money.

    Raises
    ------
    InputError
        The price is not that of the workers.
    """
    _check_price(price, gpu=None if rate else machines is not None or devices[0] != "cpu")
    study = with_precision(study, Path(root))
    stated = _throughput(rate, machines)
    study, assumed = _decided(study, devices[0], timing=timing and stated is None)
    grid = build_grid(study)
    store = Store(root)
    done = store.done()
    todo = [cell for cell in grid.cells.values() if cell.key not in done]
    reasons = why_new(todo, store, study.config)
    if stated is not None:
        rates = stated_rates(todo, stated)
    else:
        rates = measure_rates(study, grid, store, todo, timing=timing, device=devices[0])
    notes = [*store.notes, *_absent(study), *_absent_weights(study), *models_of_one_size(grid), *assumed]
    notes += [*_of_stated(rate, machines), *_too_large(todo, rates, timing=timing)]
    store.close()
    times = cell_times(study, todo, rates)
    count = workers or (machines.count if machines else usable_cores())
    return Plan(
        study.config.name,
        Path(root),
        _groups(study, grid, done, reasons, times),
        [Planned(cell, reasons[cell.key], span.middle if (span := times[cell.key]) else None) for cell in todo],
        len(grid.rows),
        count,
        wall := _wall_clock(grid, times, count, done),
        None if wall is None else "measured" if stated is None else "stated",
        machines,
        price,
        count if devices[0] == "cpu" else len(devices),
        endpoint_numbers(study, grid),
        notes,
    )


def _check_price(price: Price | None, *, gpu: bool | None) -> None:
    """Refuse the price of a GPU for cores, and the other way round; a stated rate may be of either."""
    if price is None or gpu is None or price.unit == ("gpu_hour" if gpu else "cpu_hour"):
        return
    if gpu:
        raise InputError("--price cpu_hour: this plan is for GPUs; give the price of an hour of one, gpu_hour=2.5.")
    raise InputError(
        "--price gpu_hour: this plan is for CPU cores; give cpu_hour=0.04, or say for which GPUs, with --on 8xH100."
    )


def _throughput(rate: float | None, machines: Machines | None) -> Callable[[Cell], float] | None:
    """Return the stated FLOPs a second for a cell; None where time is measured."""
    if rate is not None:
        return lambda _: rate
    if machines is not None:
        return lambda cell: machines.throughput(str(cell.task.get("precision", "float32")))
    return None


def _of_stated(rate: float | None, machines: Machines | None) -> list[str]:
    if rate is not None:
        return [f"Times are FLOPs at {rate:.3g} a second for each worker, as stated; nothing was timed."]
    if machines is None:
        return []
    device, share = machines.device, machines.utilisation
    half = "" if device.bfloat16 is None else f", {device.bfloat16:.3g} in bfloat16"
    return [
        f"Times are stated, not measured: {share:.0%} (--utilisation) of {device.name}'s peak of {device.float32:.3g} "
        f"FLOPs a second in float32{half} ({device.source}). Small models reach far less: time a few cells there, "
        "and state their FLOPs a second with --rate."
    ]


def _too_large(todo: list[Cell], rates: Mapping[str, Rate], *, timing: bool) -> list[str]:
    """Say which steps were not timed because they are too large."""
    left = [cell.estimate.work / max(1, cell.estimate.n_steps) for cell in todo if shape_of(cell) not in rates]
    if not timing or not left:
        return []
    return [f"A step takes up to {max(left):.2g} FLOPs, too many to time here: state FLOPs a second with --rate."]


def _groups(
    study: Study, grid: Grid, done: set[str], reasons: Mapping[str, str], times: Mapping[str, Span | None]
) -> list[Group]:
    """Return the cells by kind and recipe, with what those to run cost."""
    arrays = _features_sizes(study, grid)
    groups: dict[tuple[str, str], Group] = {}
    for cell in grid.cells.values():
        name = (cell.kind, str(cell.where["recipe"]))
        group = groups.setdefault(name, Group(*name))
        group.total += 1
        if cell.key in done:
            group.done += 1
            continue
        group.reasons[reasons[cell.key]] += 1
        span = times[cell.key]
        _add_cost(group, cell, None if span is None else span.middle)
        group.disk += arrays.get(cell.key, 0)
    return list(groups.values())


def _wall_clock(grid: Grid, times: Mapping[str, Span | None], workers: int, done: set[str]) -> Span | None:
    """Return how long the workers take for all cells, in the order of a run; None where a cell has no time."""
    known = {key: span for key, span in times.items() if span is not None}
    if len(known) < len(times):
        return None
    ends = ({key: span[end] for key, span in known.items()} for end in range(3))
    return Span(*(makespan(grid, seconds, workers, done=done, only=None) for seconds in ends))


def _decided(study: Study, device: str, *, timing: bool) -> tuple[Study, list[str]]:
    """Decide about ``precision: auto`` for this plan alone, by a probe where that takes seconds."""
    notes, found = [], dict(study.precision)
    for model, cell in undecided(study).items():
        if timing and cell.estimate.work <= LONGEST_TIMED * cell.estimate.n_steps:
            found[model] = study.laboratory.probe_precision(cell.task, device)
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
