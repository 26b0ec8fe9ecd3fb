"""``tippingpoint smoothness``: whether curves are smoother under guidance, measured."""

from __future__ import annotations

from typing import Annotated

import typer

from tippingpoint.cli._common import print_json, split_names
from tippingpoint.cli._laws import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("smoothness")
    def smoothness(
        directory: Annotated[str, typer.Argument(metavar="DIR", help="A study directory.", show_default=False)],
        recipes: Annotated[str, typer.Option("--recipes", help="Two recipes: ratios are second over first.")] = (
            "scratch,distilled"
        ),
        level: Annotated[float, typer.Option("--level", help="Level of the intervals, e.g. 0.95.")] = 0.9,
        span: Annotated[float, typer.Option("--span", help="Share of a curve that its trend looks at.")] = 0.15,
        as_json: JsonOption = False,
    ) -> None:
        """Compare how smooth two recipes' curves are: training loss over steps, scores against images.

        [bold]tippingpoint smoothness studies/reuse --recipes scratch,distilled[/bold]
        """
        from tippingpoint.boundary.smoothness import compare_smoothness
        from tippingpoint.study.curves import publish_curves

        publish_curves(directory)  # a study that ran before there was curves.jsonl still has its cells
        found = compare_smoothness(directory, split_names(recipes) or [], level=level, span=span)
        if as_json:
            print_json(found.to_dict())
        else:
            found.summary()
