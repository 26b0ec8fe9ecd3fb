"""``tippingpoint extrapolate``: learning curves beyond their data."""

from __future__ import annotations

from typing import Annotated

import typer

from tippingpoint.cli._common import print_json, split_names

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("extrapolate")
    def extrapolate(
        file: Annotated[
            str, typer.Argument(metavar="FILE", help="A CSV, JSONL or Parquet file, or a study directory.")
        ],
        x: Annotated[str, typer.Option("--x", help="Column of sizes.")],
        y: Annotated[str, typer.Option("--y", help="Column of scores; lower is better.")],
        group: Annotated[str | None, typer.Option("--group", help="Columns that tell curves apart, by commas.")] = None,
        train: Annotated[str | None, typer.Option("--train", help="Column: 1 to fit on, 0 to predict.")] = None,
        law: Annotated[
            str, typer.Option("--law", help="auto, or m1 to m4, bnsl, bnsl2 to bnsl9 (so many breaks).")
        ] = "auto",
        interval: Annotated[float, typer.Option("--interval", help="Level of predictive intervals; 0 for none.")] = 0.9,
        at: Annotated[str | None, typer.Option("--at", help="More sizes to predict at, by commas.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    ) -> None:
        """Fit learning curves, predict beyond them, and score where scores are held out.

        [bold]tippingpoint extrapolate curves.csv --x images --y error --group model --train is_train[/bold]
        """
        from tippingpoint.fitting.curve_table import extrapolate as run

        sizes = _sizes(at)
        names = split_names(group) or []
        found = run(file, x=x, y=y, group=names, train=train, law=law, interval=interval or None, at=sizes)
        if as_json:
            print_json(found.to_dict())
        else:
            found.summary()


def _sizes(text: str | None) -> list[float] | None:
    """Read ``1e5,2e5``; every part that is no number is named."""
    from tippingpoint.errors import InputError

    sizes: list[float] = []
    faults: list[str] = []
    for part in split_names(text) or []:
        try:
            sizes.append(float(part.replace("_", "")))
        except ValueError:
            faults.append(f"--at: '{part}' is not a number, for example 1e6.")
    if faults:
        raise InputError(faults)
    return sizes or None
