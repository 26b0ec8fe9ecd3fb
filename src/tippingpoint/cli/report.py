"""``tippingpoint report``: the report of a study, or of anyone's table of runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["patience", "register"]

PATIENCE = 2.0  # seconds without a word


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(name="report", help="Write what the runs say as one HTML file, or print it as JSON.")
    def report(
        runs: Annotated[
            Path,
            typer.Argument(help="A study directory, or a CSV, JSONL or Parquet file.", metavar="RUNS", readable=False),
        ],
        output: Annotated[
            Path | None,
            typer.Option(
                "--output", "-o", help="File to write; report.html beside the runs by default.", readable=False
            ),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON; write no page.")] = False,
        resamples: Annotated[int, typer.Option(min=1, help="Draws for the primary boundary.")] = 2000,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    ) -> None:
        from tippingpoint.cli._common import print_json
        from tippingpoint.errors import InputError
        from tippingpoint.files import write_atomic
        from tippingpoint.report import analyse, answer, page, summary
        from tippingpoint.report.writing import default_output

        target = output if output is not None else default_output(runs)
        if target.is_dir():
            raise InputError(f"{target}: is a directory; name a file with -o, such as {target / 'report.html'}.")
        analysis = analyse(runs, resamples=resamples, random_state=seed, progress=patience())
        if as_json:
            print_json(summary(analysis))
            return
        written = write_atomic(target, page(analysis))
        print(answer(analysis))
        print(f"wrote {written}")


def patience() -> Callable[[str, int, int], None]:
    """Return a callback that speaks on stderr, but only once the user has waited."""
    started = time.monotonic()
    last = started

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - started > PATIENCE and now - last > PATIENCE:
            last = now
            print(f"tippingpoint: {what} {done}/{of}", file=sys.stderr, flush=True)

    return tell
