"""``tippingpoint compare``: several laws by what they foretell of the largest scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tippingpoint.cli._common import print_json, split_names
from tippingpoint.cli.fit import (
    AxesOption,
    DefineOption,
    DownstreamOption,
    JsonOption,
    ObjectiveOption,
    RecipeOption,
    RunsArgument,
    SeedOption,
    StageOption,
    TargetOption,
    UpstreamOption,
    WhereOption,
    choose_runs,
)

if TYPE_CHECKING:
    from tippingpoint.fitting.shared import SharedExponents

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("compare")
    def compare(
        runs: RunsArgument,
        laws: Annotated[
            str | None, typer.Option("--laws", help="Names of laws, joined by commas; all of ours.")
        ] = None,
        axes: AxesOption = None,
        target: TargetOption = "error",
        define: DefineOption = None,
        where: WhereOption = None,
        recipe: RecipeOption = None,
        stage: StageOption = None,
        upstream: UpstreamOption = None,
        downstream: DownstreamOption = None,
        objective: ObjectiveOption = "huber-log",
        shared: Annotated[
            bool, typer.Option("--shared", help="Test instead whether downstream sets share their exponents.")
        ] = False,
        resamples: Annotated[int, typer.Option("--resamples", min=19, help="Resamples of that test.")] = 199,
        seed: SeedOption = 0,
        as_json: JsonOption = False,
    ) -> None:
        """Compare laws: fit each without the largest scale of every axis, and see how it foretells it.

        [bold]tippingpoint compare runs.csv --laws additive,multiplicative[/bold]
        """
        from tippingpoint.errors import InputError

        group = {"recipe": recipe, "stage": stage, "upstream": upstream, "downstream": downstream}
        if shared:
            if downstream or laws:
                raise InputError("--shared tests all downstream sets together: leave out --downstream and --laws.")
            tested, notes = _test_shared((runs, axes, target, define, where), group, resamples, seed)
            found = {**tested.to_dict(), "notes": notes}
            whole: dict[str, Any] = {"axes": list(tested.axes), "target": target, "laws": [], "shared": found}
            whole["warnings"] = list(tested.warnings)
            if as_json:
                print_json(whole)
                return
            tested.summary()
            for sentence in notes:
                print(f"note: {sentence}")
            return
        from tippingpoint.fitting.comparison import DEFAULT_LAWS, compare_laws

        chosen, names = choose_runs(runs, axes, target, define, where, group)
        result = compare_laws(chosen, names, target, laws=split_names(laws) or DEFAULT_LAWS, objective=objective)
        if as_json:
            print_json({**result.to_dict(), "shared": None})
        else:
            result.summary()


def _test_shared(
    table: tuple[str, str | None, str, list[str] | None, str | None],
    group: dict[str, str | None],
    resamples: int,
    seed: int,
) -> tuple[SharedExponents, list[str]]:
    """Return the test over all downstream sets of a group, and what was set aside."""
    from tippingpoint.cli.fit import definitions
    from tippingpoint.errors import InputError
    from tippingpoint.fitting.shared import compare_exponents
    from tippingpoint.runs import default_axes, read_runs, select_group

    source, axes, target, define, where = table
    names = split_names(axes)
    read = read_runs(source, axes=names, target=target, define=definitions(define), where=where)
    if "downstream" not in read.frame.columns:
        raise InputError(f"{read.source}: there is no column 'downstream' whose sets could share exponents.")
    values = sorted({str(value) for value in read.frame["downstream"].dropna()})
    sets = {value: select_group(read, **{**group, "downstream": value}) for value in values}
    sets = {value: runs for value, runs in sets.items() if len(runs)}
    names = names or sorted(set.intersection(*(set(default_axes(runs)) for runs in sets.values())))
    tested = compare_exponents(sets, names, target, resamples=resamples, random_state=seed)
    return tested, list(dict.fromkeys(note for runs in sets.values() for note in runs.notes))
