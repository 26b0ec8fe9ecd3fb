"""``tippingpoint compare``: several laws by what they foretell of the largest scales."""

from __future__ import annotations

import math
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
    from tippingpoint.fitting.comparison import Comparison
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
            print_json(whole) if as_json else _print_shared(tested, notes)
            return
        from tippingpoint.fitting.comparison import DEFAULT_LAWS, compare_laws

        chosen, names = choose_runs(runs, axes, target, define, where, group)
        result = compare_laws(chosen, names, target, laws=split_names(laws) or DEFAULT_LAWS, objective=objective)
        print_json({**result.to_dict(), "shared": None}) if as_json else _print_table(result)


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


def _print_table(found: Comparison) -> None:
    """Print one row a law, the best first."""
    from tippingpoint.laws.printing import aligned

    axes = list(found.scores[0].largest)
    rows = [["law", *(f"largest {axis}" for axis in axes), "together", "blocks", "dAICc", "share", "status"]]
    least = min(one.aicc for one in found.scores)
    for one in found.scores:
        scores = [*(one.largest[axis] for axis in axes), one.rmsle, one.blocks]
        cells = [f"{score:.4f}" if math.isfinite(score) else "-" for score in scores]
        worse = f"{one.aicc - least:.1f}" if math.isfinite(one.aicc) else "-"
        rows.append([one.law, *cells, worse, f"{one.weight:.1%}", one.status])
    print(f"RMSLE of {found.target} on what each law did not see ({found.n_runs} runs)\n")
    print("\n".join(aligned(rows)))
    print(f"\nchosen: {found.chosen}. {found.rule}")
    for name, why in found.skipped.items():
        print(f"left out: {name}: {why}")
    for sentence in found.warnings:
        print(f"warning: {sentence}")
    for sentence in found.notes:
        print(f"note: {sentence}")


def _print_shared(found: SharedExponents, notes: list[str]) -> None:
    """Print exponents, shared and each set's own, and the test."""
    from tippingpoint.laws.printing import aligned

    rows = [["exponent", "shared", *found.groups]]
    for axis in found.axes:
        rows.append([axis, f"{found.shared[axis]:.4g}", *(f"{found.own[group][axis]:.4g}" for group in found.groups)])
    print("\n".join(aligned(rows)))
    verdict = "not rejected" if found.p_value > 0.1 else "rejected"
    print(f"\nshared exponents are {verdict} at 10%: p = {found.p_value:.3g} ({found.method})")
    for sentence in found.warnings:
        print(f"warning: {sentence}")
    for sentence in notes:
        print(f"note: {sentence}")
