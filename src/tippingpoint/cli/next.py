"""``tippingpoint next``: what to run next, and how much sharper the answer is expected to get."""

from __future__ import annotations

from typing import Annotated

import typer

from tippingpoint.cli._common import parse_assignments, print_json, split_names

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command("next")
    def next_(
        runs: Annotated[
            str, typer.Argument(metavar="DIR_OR_RUNS", help="A study directory, or a CSV, JSONL or Parquet file.")
        ],
        along: Annotated[
            str | None,
            typer.Option(help="Axis to walk along.", show_default="the endpoint's, or n_pretrain"),
        ] = None,
        at: Annotated[
            str | None,
            typer.Option(metavar="K=V,…", help="Sizes on the other axes.", show_default="the endpoint's"),
        ] = None,
        target: Annotated[
            str | None,
            typer.Option(help="Column to compare.", show_default="the endpoint's, or error"),
        ] = None,
        stage: Annotated[
            str | None,
            typer.Option(help="finetuned, or pretrained.", show_default="the endpoint's, or finetuned"),
        ] = None,
        recipes: Annotated[
            str | None,
            typer.Option(metavar="A,B", help="The two recipes.", show_default="the endpoint's, or scratch,distilled"),
        ] = None,
        where: Annotated[str | None, typer.Option(metavar="EXPR", help="Condition on the rows.")] = None,
        upstream: Annotated[str | None, typer.Option(help="Which upstream set, where there are several.")] = None,
        downstream: Annotated[str | None, typer.Option(help="Which downstream set, where there are several.")] = None,
        teacher: Annotated[str | None, typer.Option(help="Which teacher, where there are several.")] = None,
        pool: Annotated[str, typer.Option(help="Tie other axes together by the law: auto, none or all.")] = "auto",
        predict: Annotated[
            str | None,
            typer.Option(metavar="K=V,…", help="Sharpen a prediction instead, e.g. recipe=distilled,n_pretrain=1e5."),
        ] = None,
        batch: Annotated[int, typer.Option(help="How many to choose, each given those before it.")] = 5,
        extra_seeds: Annotated[int, typer.Option("--extra-seeds", help="Further seed blocks to choose from.")] = 3,
        cost: Annotated[str, typer.Option(help="What is paid with: flops or seconds.")] = "flops",
        level: Annotated[float, typer.Option(help="Probability of the interval.")] = 0.9,
        resamples: Annotated[int, typer.Option(help="Draws of the posterior.")] = 1000,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    ) -> None:
        """Say what to run next: what narrows the boundary most for what it costs.

        A study directory's question is its primary endpoint, unless another is asked.

        [bold]tippingpoint next studies/standard --batch 3[/bold]
        """
        from tippingpoint.advice.next_choice import next_cells
        from tippingpoint.cli._predict import parse_prediction

        found = next_cells(
            runs,
            along=along,
            at=None if at is None else parse_assignments(at, "--at"),
            target=target,
            stage=stage,
            recipes=split_names(recipes),
            where=where,
            upstream=upstream,
            downstream=downstream,
            teacher=teacher,
            pool=pool,
            predict=None if predict is None else parse_prediction(predict),
            level=level,
            batch=batch,
            extra_seeds=extra_seeds,
            cost=cost,
            resamples=resamples,
            random_state=seed,
        )
        if as_json:
            print_json(found.to_dict())
        else:
            found.summary()
