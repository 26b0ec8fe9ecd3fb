"""``tippingpoint advise``: what to buy and what to train, for a budget or a target."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from tippingpoint.cli._common import parse_assignments, print_json, read_definitions, split_names
from tippingpoint.cli._laws import JsonOption, LawOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("advise")
    def advise(
        runs: Annotated[
            str, typer.Argument(metavar="RUNS", help="A CSV, JSONL or Parquet file, or a study directory.")
        ],
        price: Annotated[
            str | None,
            typer.Option("--price", metavar="k=v,…", help="Prices in one currency: image=, label=, gpu_hour=."),
        ] = None,
        budget: Annotated[float | None, typer.Option("--budget", help="The sum to spend, in that currency.")] = None,
        target_error: Annotated[
            float | None, typer.Option("--target-error", help="Instead of a budget: the error to reach, 0 to 1.")
        ] = None,
        have: Annotated[
            str | None, typer.Option("--have", metavar="k=v,…", help="What there is: n_pretrain=, n_finetune=.")
        ] = None,
        recipes: Annotated[
            str | None, typer.Option("--recipes", metavar="A,B", help="Recipes to choose among; all unless named.")
        ] = None,
        law: LawOption = "additive",
        target: Annotated[str, typer.Option("--target", help="Column to make small.")] = "error",
        define: Annotated[
            list[str] | None, typer.Option("--define", metavar="NAME=EXPR", help="A new column. Repeatable.")
        ] = None,
        where: Annotated[
            str | None, typer.Option("--where", metavar="EXPR", help="Condition that rows must meet, e.g. 'seed < 3'.")
        ] = None,
        stage: Annotated[str | None, typer.Option("--stage", help="finetuned (unless said) or pretrained.")] = None,
        upstream: Annotated[str | None, typer.Option("--upstream", help="Which upstream set, where several.")] = None,
        downstream: Annotated[
            str | None, typer.Option("--downstream", help="Which downstream set, where several.")
        ] = None,
        level: Annotated[float, typer.Option("--level", help="Level of the intervals.")] = 0.9,
        max_extrapolation: Annotated[
            float, typer.Option("--max-extrapolation", help="Factor beyond the data that no advised size exceeds.")
        ] = 10.0,
        any_size: Annotated[
            bool, typer.Option("--any-size", help="Also advise model sizes that were not measured.")
        ] = False,
        flops_per_gpu_hour: Annotated[
            float | None, typer.Option("--flops-per-gpu-hour", help="What a GPU does in an hour, for example 1e17.")
        ] = None,
        gpu_hours_per_flop: Annotated[
            float | None, typer.Option("--gpu-hours-per-flop", help="The same, the other way round.")
        ] = None,
        seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
        as_json: JsonOption = False,
    ) -> None:
        """Say what to buy and what to train, for a budget or for a target error.

        [bold]tippingpoint advise runs.csv --budget 500 --price image=0.01,label=0.5[/bold]
        """
        from tippingpoint.advice import advise as ask
        from tippingpoint.runs import read_runs

        prices, amounts, columns = _read(price, have, define)
        table = read_runs(runs, define=columns, where=where)
        with _progress() as told:
            found = ask(
                table,
                prices=prices,
                budget=budget,
                target_error=target_error,
                have=amounts,
                target=target,
                stage=stage,
                recipes=split_names(recipes),
                upstream=upstream,
                downstream=downstream,
                law=law,
                level=level,
                max_extrapolation=max_extrapolation,
                any_size=any_size,
                flops_per_gpu_hour=flops_per_gpu_hour,
                gpu_hours_per_flop=gpu_hours_per_flop,
                random_state=seed,
                progress=told,
            )
        if as_json:
            print_json(found.to_dict())
        else:
            found.summary()


def _read(
    price: str | None, have: str | None, define: list[str] | None
) -> tuple[dict[str, float], dict[str, float], dict[str, str]]:
    """Read the options that are pairs; the faults of all are told at once."""
    from tippingpoint.errors import InputError

    faults: list[str] = []
    found = []
    for text, option in ((price, "--price"), (have, "--have")):
        try:
            found.append(parse_assignments(text, option))
        except InputError as error:
            faults += error.faults
    columns = read_definitions(define, faults)
    if faults:
        raise InputError(faults)
    return found[0], found[1], columns


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Show on a terminal which law is being fitted; the bar goes when the answer comes."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("fitting", total=None)

        def told(name: str, done: int, total: int) -> None:
            bar.update(task, description=f"fitting {name}", completed=done, total=total)

        yield told
