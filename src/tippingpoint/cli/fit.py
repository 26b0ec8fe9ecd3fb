"""``tippingpoint fit``: one law, with intervals and what the data determine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tippingpoint.cli._common import print_json, split_names

if TYPE_CHECKING:
    from tippingpoint.laws import AdditivePowerLaw, AutoLaw, SurfaceLaw
    from tippingpoint.runs import Runs

__all__ = ["choose_runs", "definitions", "new_law", "register"]

RunsArgument = Annotated[
    str, typer.Argument(metavar="RUNS", help="A CSV, JSONL or Parquet file, or a study directory.")
]
LawOption = Annotated[
    str,
    typer.Option(
        "--law", help="auto, additive, multiplicative, multiplicative-floor, transfer, interaction, or your own."
    ),
]
AxesOption = Annotated[str | None, typer.Option("--axes", help="Columns of sizes, joined by commas.")]
TargetOption = Annotated[str, typer.Option("--target", help="Column to explain.")]
DefineOption = Annotated[
    list[str] | None, typer.Option("--define", metavar="NAME=EXPR", help="A new column; may be given several times.")
]
WhereOption = Annotated[str | None, typer.Option("--where", metavar="EXPR", help="Condition that rows must meet.")]
RecipeOption = Annotated[str | None, typer.Option("--recipe", help="Which recipe, where there are several.")]
StageOption = Annotated[str | None, typer.Option("--stage", help="finetuned (unless said) or pretrained.")]
UpstreamOption = Annotated[str | None, typer.Option("--upstream", help="Which upstream set.")]
DownstreamOption = Annotated[str | None, typer.Option("--downstream", help="Which downstream set.")]
ObjectiveOption = Annotated[str, typer.Option("--objective", help="huber-log, log or squares.")]
BootstrapOption = Annotated[
    int, typer.Option("--bootstrap", min=0, help="Resamples of seed blocks for the intervals; 0: from the posterior.")
]
IntervalsOption = Annotated[bool, typer.Option("--intervals/--no-intervals", help="Whether to give intervals.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the resampling.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("fit")
    def fit(
        runs: RunsArgument,
        law: LawOption = "additive",
        axes: AxesOption = None,
        target: TargetOption = "error",
        define: DefineOption = None,
        where: WhereOption = None,
        recipe: RecipeOption = None,
        stage: StageOption = None,
        upstream: UpstreamOption = None,
        downstream: DownstreamOption = None,
        objective: ObjectiveOption = "huber-log",
        bootstrap: BootstrapOption = 0,
        intervals: IntervalsOption = True,
        seed: SeedOption = 0,
        level: Annotated[float, typer.Option("--level", help="Level of the intervals.")] = 0.9,
        as_json: JsonOption = False,
    ) -> None:
        """Fit one law, with intervals and what the data determine.

        [bold]tippingpoint fit runs.csv --axes n_pretrain,n_params --target error[/bold]
        """
        from tippingpoint.laws import AdditivePowerLaw, SurfaceLaw

        group = {"recipe": recipe, "stage": stage, "upstream": upstream, "downstream": downstream}
        chosen, names = choose_runs(runs, axes, target, define, where, group)
        fitted = new_law(law, names, objective, bootstrap, seed).fit(chosen, target)
        if intervals and isinstance(fitted, AdditivePowerLaw | SurfaceLaw):
            fitted.intervals(level)  # the draws
        found = fitted.to_dict(level if intervals else None)
        if as_json:
            print_json(found)
        else:
            fitted.summary(level)


def choose_runs(
    source: str,
    axes: str | None,
    target: str,
    define: list[str] | None,
    where: str | None,
    group: dict[str, str | None],
) -> tuple[Runs, list[str]]:
    """Return the runs of one group, and the axes (those that vary where none are named)."""
    from tippingpoint.runs import default_axes, read_runs, select_group

    names = split_names(axes)
    table = read_runs(source, axes=names, target=target, define=definitions(define), where=where)
    chosen = select_group(table, **group)
    return chosen, names or default_axes(chosen)


def new_law(
    name: str, axes: list[str], objective: str, bootstrap: int, seed: int
) -> AdditivePowerLaw | SurfaceLaw | AutoLaw:
    """Return an unfitted law by its name; an unknown one is an error that lists them."""
    from tippingpoint.laws.registry import law_named

    law = law_named(name)
    made: AdditivePowerLaw | SurfaceLaw | AutoLaw = law(
        axes, objective=objective, bootstrap=bootstrap, random_state=seed
    )
    return made


def definitions(texts: list[str] | None) -> dict[str, str]:
    """Read ``NAME=EXPR`` options; every faulty one is named."""
    from tippingpoint.errors import InputError

    found: dict[str, str] = {}
    faults: list[Any] = []
    for text in texts or []:
        name, _, expression = text.partition("=")
        if name.strip() and expression.strip() and not expression.startswith("="):
            found[name.strip()] = expression.strip()
        else:
            faults.append(f"--define: '{text}' is not of the form NAME=EXPR, for example 'D=C / (6 * N)'.")
    if faults:
        raise InputError(faults)
    return found
