"""``tippingpoint predict``: the error to expect at any sizes."""

from __future__ import annotations

from typing import Annotated

import typer

from tippingpoint.cli._common import parse_assignments, print_json
from tippingpoint.cli._laws import FitQuestion, JsonOption, LawOption, asks

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("predict")
    @asks
    def predict(
        question: FitQuestion,
        at: Annotated[str, typer.Option("--at", metavar="k=v,…", help="The size of every axis.")],
        law: LawOption = "auto",
        interval: Annotated[float, typer.Option("--interval", help="Level of the interval; 0 for none.")] = 0.9,
        as_json: JsonOption = False,
    ) -> None:
        """Say what error to expect at any sizes, with an interval.

        [bold]tippingpoint predict runs.csv --at n_pretrain=1e6,n_params=38e6[/bold]
        """
        sizes = parse_assignments(at, "--at")
        fitted = question.fit(law)
        guess = fitted.predict(sizes, interval=interval or None)
        if as_json:
            print_json({**guess.to_dict(), "notes": list(fitted.notes_)})
            return
        place = ", ".join(f"{axis} = {size:g}" for axis, size in guess.at.items())
        print(f"{question.target} at {place}: {float(guess):.6g}")
        if guess.interval is not None:
            print(f"{interval:.0%} interval of the expected value: {guess.interval[0]:.6g} to {guess.interval[1]:.6g}")
        for sentence in guess.warnings:
            print(f"warning: {sentence}")
        for sentence in fitted.notes_:
            print(f"note: {sentence}")
