"""``tippingpoint init``: a commented study file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    preset: Annotated[str, typer.Argument(metavar="[PRESET]", help="Which preset to start from.")] = "quickstart",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="PRESET.yaml", readable=False)
    ] = None,
) -> None:
    """Write a commented study file to start from. Never overwrites."""
    from tippingpoint import presets
    from tippingpoint.errors import InputError
    from tippingpoint.files import write_atomic

    text = presets.read(preset)
    target = output if output is not None else Path(f"{preset}.yaml")
    if target.is_dir():
        raise InputError(f"{target}: is a directory; name a file with --output, such as {target / 'study.yaml'}.")
    if target.exists():
        raise InputError(f"{target}: exists already and is kept; remove it or name another file with --output.")
    write_atomic(target, text)
    print(f"{target}: written. Change it, then: tippingpoint plan {target} && tippingpoint run {target}")
