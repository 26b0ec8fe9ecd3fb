"""What ``run`` and ``plan`` are both told: which study, where, with which changes, by how many processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DeviceOption",
    "DirectoryOption",
    "SettingsOption",
    "StudyArgument",
    "WorkersOption",
    "WorkersPerGpuOption",
]

StudyArgument = Annotated[str, typer.Argument(metavar="PRESET_OR_YAML", help="A preset's name or a study file.")]
DirectoryOption = Annotated[
    Path | None,
    typer.Option("--dir", help="Study directory.", show_default="studies/NAME", readable=False),
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. seeds=2. Repeatable.")
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Worker processes.", show_default="one for each core")]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="cpu|cuda|auto", help="Where to train; auto: on all GPUs, else the CPU.")
]
WorkersPerGpuOption = Annotated[
    int | None, typer.Option("--workers-per-gpu", min=1, help="Cells that share a GPU.", show_default="1")
]
