"""``tippingpoint fit``: one law, with intervals and what the data determine."""

from __future__ import annotations

from typing import Annotated

import typer

from tippingpoint.cli._common import print_json
from tippingpoint.cli._laws import FitQuestion, JsonOption, LawOption, asks

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("fit")
    @asks
    def fit(
        question: FitQuestion,
        law: LawOption = "additive",
        intervals: Annotated[
            bool, typer.Option("--intervals/--no-intervals", help="Whether to give intervals.")
        ] = True,
        level: Annotated[float, typer.Option("--level", help="Level of the intervals, e.g. 0.95.")] = 0.9,
        as_json: JsonOption = False,
    ) -> None:
        """Fit one law, with intervals and what the data determine.

        [bold]tippingpoint fit runs.csv --axes n_pretrain,n_params --target error[/bold]
        """
        fitted = question.fit(law)
        asked = level if intervals else None
        if as_json:
            print_json(fitted.to_dict(asked))
        else:
            fitted.summary(asked)
