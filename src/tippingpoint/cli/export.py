"""``tippingpoint export``: pretrained models of a study as files that timm alone can use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tippingpoint.cli._common import print_json

__all__ = ["register"]

EXAMPLES = """[bold]Examples[/bold]

tippingpoint export studies/standard --to models --where "recipe == 'distilled' and subset_seed == 0"

tippingpoint export studies/standard --to models --where "n_finetune == 100 and error < 0.1"
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", epilog=EXAMPLES)(export)


def export(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Study directory.", readable=False)],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder for the files.", readable=False)],
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="EXPR", help="Models behind those rows of the runs table that meet it; absent: all."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Write pretrained models as safetensors under timm's names, each with a JSON that says how timm builds it."""
    from tippingpoint.study.export import export_study

    found = export_study(study, to, where=where)
    if json:
        print_json({"directory": str(to), "models": [{"path": str(one.path), **one.about} for one in found]})
        return
    for one in found:
        print(f"  {one.path}: {one.about['python']}")
    print(f"{to}: {len(found)} model{'s' if len(found) > 1 else ''}, each with a .json beside it.")
