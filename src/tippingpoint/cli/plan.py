"""``tippingpoint plan``: what would run and why, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tippingpoint.cli._common import print_json
from tippingpoint.cli._study import DirectoryOption, SettingsOption, StudyArgument, WorkersOption

if TYPE_CHECKING:
    from tippingpoint.study.plan import Plan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


def plan(
    study: StudyArgument,
    directory: DirectoryOption = None,
    settings: SettingsOption = None,
    workers: WorkersOption = None,
    no_timing: Annotated[bool, typer.Option("--no-timing", help="Time no synthetic steps.")] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="FLOPS", help="Time by FLOPs a second of each worker, e.g. 1e14.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a run would do and why, its time, FLOPs and disk. Writes nothing.

    A public set of images need not be prepared for a plan.
    """
    from tippingpoint.errors import InputError
    from tippingpoint.study.load import load_study, study_directory
    from tippingpoint.study.plan import plan_study

    if rate is not None and not 0 < rate < float("inf"):
        raise InputError(f"--rate {rate:g}: must be a number of FLOPs a second above 0, such as 1e14.")
    loaded = load_study(study, settings or [], planning=True)
    root = study_directory(loaded, directory)
    planned = plan_study(loaded, root, workers=workers, timing=not no_timing, rate=rate)
    if json:
        print_json(planned.to_dict())
    else:
        _tell(planned)


def _tell(planned: Plan) -> None:
    from tippingpoint.study.display import duration

    whole = planned.to_dict()
    print(f"{planned.name} in {planned.root}: {whole['cells']} cells, {whole['done']} done, {whole['to_run']} to run.")
    head = ("kind", "recipe", "cells", "done", "to run", "FLOPs", "time", "why")
    rows = [head]
    for group in planned.groups:
        why = "; ".join(f"{reason} ({count})" for reason, count in group.reasons.most_common())
        time = "?" if group.seconds is None else duration(group.seconds)
        left = group.total - group.done
        rows.append(
            (group.kind, group.recipe, str(group.total), str(group.done), str(left), f"{group.flops:.2g}", time, why)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    processes = f"{planned.workers} worker{'s' if planned.workers > 1 else ''}"
    time = "not timed" if planned.seconds is None else f"about {duration(planned.seconds)} with {processes}"
    size = whole["disk_bytes"]
    disk = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    print(f"Time: {time}. FLOPs: {whole['flops']:.3g}. Disk: {disk}. Rows: {planned.rows}.")
    for note in planned.notes:
        print(f"Note: {note}")
