"""``tippingpoint plan``: what would run and why, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    from tippingpoint.study.hardware import Machines, Price
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
    device: DeviceOption = "auto",
    workers_per_gpu: WorkersPerGpuOption = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="NxDEVICE", help="Plan for other machines, e.g. 8xH100, as stated.")
    ] = None,
    utilisation: Annotated[
        float | None,
        typer.Option("--utilisation", metavar="SHARE", help="With --on: share of the peak.", show_default="0.3"),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="K=V", help="Of an hour of a GPU or a core: gpu_hour=2.5, cpu_hour=0.04."),
    ] = None,
    no_timing: Annotated[bool, typer.Option("--no-timing", help="Time no synthetic steps.")] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="FLOPS", help="Time by FLOPs a second of each worker, e.g. 1e14.")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Name every cell that would run, and why, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a run would do and why, its time, FLOPs, disk and money. Writes nothing.

    A public set of images need not be prepared for a plan.
    """
    from tippingpoint.study.load import load_study, study_directory
    from tippingpoint.study.only import SHOWN
    from tippingpoint.study.plan import plan_study
    from tippingpoint.study.runners.devices import choose_devices, count_workers

    machines, cost = _stated(on, utilisation, price, rate, workers or workers_per_gpu)
    loaded = load_study(study, settings or [], planning=True)
    root = study_directory(loaded, directory)
    here: tuple[str, ...] = ("cpu",)
    if machines is None and rate is None:
        here = choose_devices(device, loaded.laboratory)
        workers = count_workers(here, workers, workers_per_gpu)
    planned = plan_study(
        loaded,
        root,
        workers=workers,
        timing=not no_timing,
        rate=rate,
        machines=machines,
        price=cost,
        devices=here,
    )
    if json:
        print_json({**planned.to_dict(), **({"each": [one.to_dict() for one in planned.todo]} if each else {})})
        return
    if each:
        for one in planned.todo:
            print(f"{one.cell.key[:SHOWN]}  {one.cell.label}: {one.reason}")
    _tell(planned)


def _stated(
    on: str | None, utilisation: float | None, price: str | None, rate: float | None, counted: int | None
) -> tuple[Machines | None, Price | None]:
    """Read what is stated of machines and prices; all faults are told at once."""
    from tippingpoint.errors import InputError
    from tippingpoint.study.hardware import UTILISATION, read_machines, read_price

    faults, machines, cost = [], None, None
    if rate is not None and not 0 < rate < float("inf"):
        faults.append(f"--rate {rate:g}: must be a number of FLOPs a second above 0, such as 1e14.")
    if rate is not None and on is not None:
        faults.append("--on and --rate: give one of them; the second states the FLOPs a second of each worker itself.")
    if counted is not None and on is not None:
        faults.append("--on says how many devices there are, each with one worker; leave out --workers.")
    if utilisation is not None and on is None:
        faults.append("--utilisation: belongs to --on; add that, or leave it out.")
    try:
        machines = None if on is None else read_machines(on, UTILISATION if utilisation is None else utilisation)
    except InputError as error:
        faults += error.faults
    try:
        cost = None if price is None else read_price(price)
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(faults)
    return machines, cost


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
    size = whole["disk_bytes"]
    disk = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    print(f"Time: {_time(planned)}. FLOPs: {whole['flops']:.3g}. Disk: {disk}. Rows: {planned.rows}.")
    if planned.price is not None:
        print(f"Money: {_money(planned)}.")
    for note in planned.notes:
        print(f"Note: {note}")


def _time(planned: Plan) -> str:
    from tippingpoint.study.display import duration

    if planned.seconds is None:
        return "not timed"
    low, middle, high = (duration(seconds) for seconds in planned.seconds)
    between = "" if planned.basis == "stated" or low == high else f" ({low} to {high})"
    one = planned.machines.device.name if planned.machines else "worker"
    return f"about {middle}{between} with {planned.workers} {one}{'s' if planned.workers > 1 else ''}"


def _money(planned: Plan) -> str:
    price = planned.price
    if price is None or planned.money is None:
        return "unknown, for there is no time"
    low, middle, high = (f"{amount:,.2f}" if amount >= 1 else f"{amount:.2g}" for amount in planned.money)
    between = "" if planned.basis == "stated" or low == high else f" ({low} to {high})"
    return f"{middle}{between}, at {price.amount:g} for each {price.unit[:3].upper()}-hour, idle too"
