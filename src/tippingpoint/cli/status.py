"""``tippingpoint status``: how a study directory stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tippingpoint.cli._common import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Study directory.", readable=False)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say which cells of a study are done, running, failed, to do."""
    from tippingpoint.study.display import duration
    from tippingpoint.study.status import study_status

    now = study_status(directory)
    if json:
        print_json(now)
        return
    held = f" by {now['held_by']}" if now["held_by"] else ""
    print(f"{now['study']} in {now['directory']}: {now['state']}{held}.")
    counts = now["cells"]
    print(f"  cells: {counts['done']} done, {counts['running']} running, {counts['failed']} failed, ", end="")
    print(f"{counts['blocked']} blocked, {counts['todo']} to do, {counts['total']} in all")
    print(f"  runs:  {now['rows']} in runs.csv")
    if now["wall_s"] is not None:
        print(f"  time:  {duration(now['wall_s'])}", end="")
        print(f", about {duration(now['eta_s'])} left" if now["eta_s"] is not None else "")
    for failure in now["failures"]:
        print(f"  failed: {failure['cell']}: {failure['reason']} (log: {failure['log']})")
        print(f"    {failure['command']}")
