"""``tippingpoint figures``: the figures of a paper from anyone's table of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tippingpoint.report.plates import Plate

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(name="figures")
    def figures(
        runs: Annotated[
            Path,
            typer.Argument(help="A study directory, or a CSV, JSONL or Parquet file.", metavar="RUNS", readable=False),
        ],
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", help="Folder to write to; figures beside the runs by default."),
        ] = None,
        formats: Annotated[
            str, typer.Option("--format", metavar="A,B", help="pdf, svg and png, joined by commas.")
        ] = "pdf",
        only: Annotated[
            str | None,
            typer.Option("--only", metavar="A,B", help="Which figures, e.g. difference,pretraining; all unless named."),
        ] = None,
        resamples: Annotated[int, typer.Option(min=1, help="Draws for the primary boundary.")] = 2000,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    ) -> None:
        """Draw the paper's figures from any runs, for print: colour-blind safe, readable in grey, fonts embedded.

        [bold]tippingpoint figures runs.csv -o figures --format pdf,svg[/bold]
        """
        from tippingpoint.cli._common import print_json, split_names
        from tippingpoint.cli.report import patience
        from tippingpoint.errors import InputError
        from tippingpoint.report import analyse
        from tippingpoint.report.plates import check_plates, save_plates
        from tippingpoint.report.writing import default_output

        kinds, names = split_names(only), split_names(formats) or []
        check_plates(kinds, names)
        folder = output if output is not None else default_output(runs).with_name("figures")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: is a file; name a folder with -o.")
        told: list[dict[str, object]] = []

        def tell(plate: Plate, paths: tuple[Path, ...]) -> None:
            told.append({"kind": plate.kind, "caption": plate.caption, "files": [str(path) for path in paths]})
            if not as_json:
                print(*paths, sep="\n")

        analysis = analyse(runs, resamples=resamples, random_state=seed, progress=patience())
        *_, captions = save_plates(analysis, folder, formats=names, only=kinds, progress=tell)
        if as_json:
            print_json({"folder": str(folder), "captions": str(captions), "figures": told})
        else:
            print(captions)
