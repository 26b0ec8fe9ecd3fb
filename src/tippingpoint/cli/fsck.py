"""``tippingpoint fsck``: whether all that a study directory holds is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tippingpoint.cli._common import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fsck")(fsck)


def fsck(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Study directory.", readable=False)],
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged cells aside, never deleted, and build the index anew.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Read every cell of a study in full and check its hashes, and the index. Leaves with 2 where faults are found."""
    from tippingpoint.study.fsck import check_store

    found = check_store(directory, repair=repair)
    if json:
        print_json(found.to_dict())
        return found.exit_code
    for fault in found.faults:
        print(f"tippingpoint: {fault}", file=sys.stderr)
    for sentence in found.mended:
        print(sentence)
    count = len(found.faults)
    told = f"{count} fault{'s' if count > 1 else ''}" if count else "no faults"
    print(f"{found.root}: {found.cells} cells checked, {told}.")
    if found.exit_code:
        print("'--repair' sets damaged cells aside and builds the index anew; then run the study again.")
    if found.behind and not found.mended:
        print(f"{found.behind} not in the index yet: the next run adds them.")
    if found.unfinished:
        print(
            f"{found.unfinished} unfinished: in training, or left by a run that died ('tippingpoint gc' removes those)."
        )
    return found.exit_code
