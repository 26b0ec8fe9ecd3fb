"""``tippingpoint run``: what is missing of a study, then the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tippingpoint.cli._common import print_json
from tippingpoint.cli._study import (
    DeviceOption,
    DirectoryOption,
    SettingsOption,
    StudyArgument,
    WorkersOption,
    WorkersPerGpuOption,
)

if TYPE_CHECKING:
    from tippingpoint.study.budget import Budget
    from tippingpoint.study.display import Display
    from tippingpoint.study.execute import Outcome
    from tippingpoint.study.laboratory import Laboratory
    from tippingpoint.study.load import Study
    from tippingpoint.study.runners.pool import Engine

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    study: StudyArgument,
    directory: DirectoryOption = None,
    settings: SettingsOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    workers_per_gpu: WorkersPerGpuOption = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDR", help="Train on a Ray cluster: auto, or HOST:PORT of its head."),
    ] = None,
    memory_per_cell: Annotated[
        float | None,
        typer.Option("--memory-per-cell", metavar="GB", min=0, help="With --ray: what a cell needs.", show_default="1"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Train only.")] = False,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="2h|1e16flops", help="Train the most informative part that fits, and stop."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KEY", help="Train this cell alone, and what it starts from. Repeatable."),
    ] = None,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Train what sharpens the endpoint's answer most for its cost, and stop.")
    ] = False,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TEXT", help="When: 'boundary width < 0.3 decades'.")
    ] = None,
    predict: Annotated[
        str | None,
        typer.Option("--predict", metavar="K=V,…", help="For --until 'prediction width < 0.02': n_pretrain=1e5."),
    ] = None,
    most_cells: Annotated[
        int | None, typer.Option("--most-cells", min=1, help="With --adaptive: trainings of the study at most.")
    ] = None,
    extra_seeds: Annotated[
        int | None, typer.Option("--extra-seeds", min=0, help="With --adaptive: further seed blocks to choose from.")
    ] = None,
) -> int:
    """Run what is missing of a study, then fit and write report.html.

    The same command goes on after Ctrl-C, a crash or a failed cell: finished cells are never trained again.
    """
    from tippingpoint.study.display import make_display
    from tippingpoint.study.execute import run_study
    from tippingpoint.study.load import load_study, study_directory

    asked = _asked(budget, only or [], _adaptive(adaptive, until, predict, most_cells, extra_seeds))
    loaded = load_study(study, settings or [])
    root = study_directory(loaded, directory)
    with _workers(ray, memory_per_cell, device, workers, workers_per_gpu, loaded.laboratory) as (many, devices, engine):
        display = make_display(quiet=json)
        try:
            loaded, chooser = _chooser(asked, loaded, root, many, devices[0], display)
        except BaseException:
            display.close()
            raise
        outcome = run_study(loaded, root, workers=many, display=display, choose=chooser, devices=devices, engine=engine)
    more = _left_out(root)
    outcome.notes.extend(more)
    report, answer, fault = None, None, None
    if not (no_report or asked.only) and outcome.state != "interrupted" and outcome.n_rows:
        display.note("Fitting the laws and writing the report …")
        report, answer, fault = _report(root)
    if json:
        print_json({**_summary(outcome, report, fault), **_chosen(asked, chooser)})
    else:
        _tell(outcome, report, answer, fault)
        for note in more:
            print(f"Note: {note}")
        _tell_chosen(asked, chooser, root)
    return outcome.exit_code


class _Asked(NamedTuple):
    """Which cells a run is asked to train: all, or those that one of these chooses."""

    adaptive: dict[str, Any] | None
    budget: Budget | None
    only: list[str]


def _asked(budget: str | None, only: list[str], adaptive: dict[str, Any] | None) -> _Asked:
    """Read what chooses cells; one of them alone."""
    from tippingpoint.errors import InputError
    from tippingpoint.study.budget import read_budget

    if sum((budget is not None, bool(only), adaptive is not None)) > 1:
        raise InputError("--adaptive, --budget and --only each choose what is trained; give one of them.")
    return _Asked(adaptive, None if budget is None else read_budget(budget), only)


def _chooser(
    asked: _Asked, study: Study, root: Path, many: int, device: str, display: Display
) -> tuple[Study, Callable[[], Collection[str]] | None]:
    """Return the study with its precision decided, and what chooses its cells; None where all are trained."""
    if not any(asked):
        return study, None
    from tippingpoint.study.precision import decide_precision

    if asked.adaptive is not None:
        from tippingpoint.study.adaptive import Adaptive, with_extra_seeds

        extra = asked.adaptive.pop("extra_seeds")
        study = decide_precision(with_extra_seeds(study, extra), root, device)
        return study, Adaptive(study, root, **asked.adaptive, batch=max(1, many // 2), note=display.note)
    study = decide_precision(study, root, device)
    if asked.budget is not None:
        from tippingpoint.study.budget import Budgeted

        if asked.budget.unit == "seconds":
            display.note("Timing a few steps of each model …")
        chooser = Budgeted(study, root, asked.budget, many, device)
        display.note(chooser.sentence())
        return study, chooser
    from tippingpoint.study.grid import build_grid
    from tippingpoint.study.only import find_cells, once

    return study, once(find_cells(build_grid(study), asked.only))


def _chosen(asked: _Asked, chooser: Any) -> dict[str, Any]:
    """Return what the JSON says of a choice."""
    adaptive = None if asked.adaptive is None else {"ended": chooser.ended or None, "width": chooser.width}
    return {"adaptive": adaptive, "budget": None if asked.budget is None else chooser.to_dict()}


def _tell_chosen(asked: _Asked, chooser: Any, root: Path) -> None:
    if asked.adaptive is not None and chooser.ended:
        print(f"Stopped: {chooser.ended}. {root / 'adaptive.jsonl'} says why every cell was trained.")
    if asked.budget is not None:
        print(f"{chooser.sentence()} The same command with a larger budget goes on.")


class _Workers(NamedTuple):
    """How many cells train at once, where, and what places them; None is this machine."""

    many: int
    devices: tuple[str, ...]
    engine: Engine | None


@contextmanager
def _workers(
    ray: str | None,
    memory_gb: float | None,
    device: str,
    workers: int | None,
    per_gpu: int | None,
    laboratory: Laboratory,
) -> Iterator[_Workers]:
    """Connect to the cluster, or count what this machine has."""
    from tippingpoint.errors import InputError

    if ray is None:
        from tippingpoint.study.runners.devices import choose_devices, count_workers

        if memory_gb is not None:
            raise InputError("--memory-per-cell: belongs to --ray; add that, or leave it out.")
        devices = choose_devices(device, laboratory)
        yield _Workers(count_workers(devices, workers, per_gpu), devices, None)
        return
    from tippingpoint.study.runners.ray import MEMORY_GB, RayCluster

    memory_gb = MEMORY_GB if memory_gb is None else memory_gb
    with RayCluster(ray, device=device, per_gpu=per_gpu or 1, memory_gb=memory_gb, most=workers) as cluster:
        yield _Workers(workers or cluster.room, (cluster.device,), cluster.place)


def _adaptive(
    adaptive: bool, until: str | None, predict: str | None, most_cells: int | None, extra_seeds: int | None
) -> dict[str, Any] | None:
    """Read what belongs to --adaptive; None without it. All faults are told at once, and nothing is started."""
    from tippingpoint.cli._predict import parse_prediction
    from tippingpoint.errors import InputError

    given = {"--until": until, "--predict": predict, "--most-cells": most_cells, "--extra-seeds": extra_seeds}
    if not adaptive:
        faults = [
            f"{name}: belongs to --adaptive; add that, or leave it out." for name, x in given.items() if x is not None
        ]
        if faults:
            raise InputError(faults)
        return None
    from tippingpoint.study.adaptive import read_until

    faults, sharp, place = [], None, None
    if until is None and most_cells is None:
        faults.append("--adaptive: say when to stop, with --until 'boundary width < 0.3 decades' or --most-cells.")
    try:
        sharp = None if until is None else read_until(until)
    except InputError as error:
        faults += error.faults
    try:
        place = None if predict is None else parse_prediction(predict)
    except InputError as error:
        faults += error.faults
    if sharp is not None and (sharp.kind == "prediction") != (predict is not None):
        faults.append("--until 'prediction width < …' and --predict belong together; give both or neither.")
    if faults:
        raise InputError(faults)
    return {"until": sharp, "predict": place, "most_cells": most_cells, "extra_seeds": extra_seeds or 0}


def _left_out(root: Path) -> list[str]:
    """Say how many cells an adaptive run of this directory chose that the study of this run does not have."""
    if not (root / "adaptive.jsonl").is_file():
        return []
    from tippingpoint.advice.next_study import read_cells
    from tippingpoint.study.adaptive import left_out

    others = left_out(root, {str(cell["key"]) for cell in read_cells(root)})
    said = (
        f"runs.csv leaves out {len(others)} cells of further seed blocks that an adaptive run chose; they are kept, "
        "and --adaptive with the same --extra-seeds tells them again."
    )
    return [said] if others else []


def _report(root: Path) -> tuple[Path | None, str | None, str | None]:
    """Write the report; return its path and the answer in a few lines, or what stood in the way.

    A report that cannot be fitted is a sentence and not a failure, for the runs are complete without it.
    """
    from tippingpoint.errors import EnvironmentFault, TippingPointError
    from tippingpoint.files import write_atomic
    from tippingpoint.report import analyse, answer, page

    try:
        analysis = analyse(root)
        return write_atomic(root / "report.html", page(analysis)), answer(analysis), None
    except EnvironmentFault:
        raise
    except TippingPointError as error:
        return None, None, " ".join(error.faults)


def _summary(outcome: Outcome, report: Path | None, fault: str | None) -> dict[str, Any]:
    from tippingpoint.study.only import reproduce

    return {
        "state": outcome.state,
        "directory": str(outcome.root),
        "cells": outcome.counts,
        "trained": outcome.trained,
        "reused": outcome.reused,
        "rows": outcome.n_rows,
        "wall_s": outcome.wall_s,
        "failures": [
            {
                "cell": label,
                "reason": reason,
                "log": str(log),
                "key": log.stem,
                "command": reproduce(outcome.root, log.stem),
            }
            for (label, reason), log in zip(outcome.failures.items(), outcome.logs, strict=True)
        ],
        "notes": outcome.notes,
        "report": str(report) if report else None,
        "report_fault": fault,
    }


def _tell(outcome: Outcome, report: Path | None, answer: str | None, fault: str | None) -> None:
    from tippingpoint.study.display import duration
    from tippingpoint.study.only import reproduce

    counts = outcome.counts
    if answer:
        print(f"{answer}\n")
    total = sum(counts.values())
    print(
        f"{counts['done']} of {total} cells done ({outcome.trained} trained now, {outcome.reused} before) "
        f"in {duration(outcome.wall_s)}."
    )
    print(f"{outcome.root / 'runs.csv'}: {outcome.n_rows} runs.")
    if report:
        print(f"{report}: the report.")
    if fault:
        print(f"tippingpoint: no report: {fault}", file=sys.stderr)
    if outcome.failures:
        number = f"{counts['failed']} cell{'s' if counts['failed'] > 1 else ''} failed"
        print(f"tippingpoint: {number}, {counts['blocked']} not trained because of it:", file=sys.stderr)
        for (label, reason), log in zip(outcome.failures.items(), outcome.logs, strict=True):
            print(f"  {label}: {reason} (log: {log})", file=sys.stderr)
            print(f"    {reproduce(outcome.root, log.stem)}", file=sys.stderr)
        print("The same command tries all of them again, the command below a cell that cell alone.", file=sys.stderr)
    if outcome.state == "interrupted":
        print("tippingpoint: interrupted; finished cells are kept, the same command goes on.", file=sys.stderr)
