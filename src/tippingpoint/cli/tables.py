"""``tippingpoint tables``: the laws of every group of runs, as the paper's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tippingpoint.cli._common import print_json, split_names
from tippingpoint.cli._laws import JsonOption, LawOption, Question, asks

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("tables")
    @asks
    def tables(
        question: Question,
        law: LawOption = "additive",
        level: Annotated[float, typer.Option("--level", help="Level of the intervals, e.g. 0.95.")] = 0.9,
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", help="File to write: .txt, .html, .tex or .csv.", readable=False),
        ] = None,
        as_json: JsonOption = False,
    ) -> None:
        """Exponents, floors and coefficients of every group, with intervals, for a paper.

        [bold]tippingpoint tables runs.csv --target error,cross_entropy -o tables.tex[/bold]
        """
        from tippingpoint.report.table_formats import check_ending, to_text, write_tables
        from tippingpoint.report.tables import law_rows

        if output is not None:
            check_ending(output)
        targets = split_names(question.target) or ["error"]
        runs, axes = replace(question, target=targets[0], axes=None).read()[0], split_names(question.axes)
        rows = law_rows(
            runs,
            law,
            axes=axes,
            targets=targets,
            group=question.group,
            weights=question.weights,
            objective=question.objective,
            level=level,
            random_state=question.seed,
        )
        if output is not None:
            write_tables(rows, output)
        if as_json:
            print_json({"level": level, "rows": rows.drop(columns="level").to_dict("records")})
        else:
            print(f"wrote {output}" if output is not None else to_text(rows))
