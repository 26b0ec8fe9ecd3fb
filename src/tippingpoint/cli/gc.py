"""``tippingpoint gc``: remove what dead runs left in a study directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tippingpoint.cli._common import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gc")(gc)


def gc(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Study directory.", readable=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, say what would go.")] = False,
    unreferenced: Annotated[
        bool, typer.Option("--unreferenced", help="Also finished cells that the study, as last run, does not have.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Remove unfinished cells and temporary files of dead runs, logs and checkpoints of cells that are done since."""
    from tippingpoint.study.gc import collect

    found = collect(directory, dry_run=dry_run, unreferenced=unreferenced)
    if json:
        print_json(found.to_dict())
        return
    for one in found.orphans:
        print(f"  {one.path}: {one.why} ({one.size:,} bytes)")
    size = sum(one.size for one in found.orphans)
    told = "removed" if found.removed else "would be removed"
    print(f"{found.root}: {len(found.orphans)} orphans {told}, {size:,} bytes.")
    for note in found.notes:
        print(note)
