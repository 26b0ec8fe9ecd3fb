"""``tippingpoint compare``: several laws by what they foretell of the largest scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tippingpoint.cli._common import print_json, split_names
from tippingpoint.cli._laws import JsonOption, Question, asks

if TYPE_CHECKING:
    from tippingpoint.fitting.shared import SharedExponents

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command("compare")
    @asks
    def compare(
        question: Question,
        laws: Annotated[
            str | None, typer.Option("--laws", help="Names of laws, joined by commas; all of ours.")
        ] = None,
        shared: Annotated[
            bool, typer.Option("--shared", help="Test instead whether downstream sets share their exponents.")
        ] = False,
        resamples: Annotated[int, typer.Option("--resamples", min=19, help="Resamples of that test.")] = 199,
        as_json: JsonOption = False,
    ) -> None:
        """Compare laws: fit each without the largest scale of every axis, and see how it foretells it.

        [bold]tippingpoint compare runs.csv --laws additive,multiplicative[/bold]
        """
        from tippingpoint.fitting.comparison import DEFAULT_LAWS, compare_laws

        if shared:
            _check_shared(question, laws)
            _show_shared(question, resamples, as_json)
            return
        chosen, names = question.choose()
        result = compare_laws(
            chosen,
            names,
            question.target,
            laws=split_names(laws) or DEFAULT_LAWS,
            objective=question.objective,
            weights=question.weights,
        )
        if as_json:
            print_json({**result.to_dict(), "shared": None})
        else:
            result.summary()


def _check_shared(question: Question, laws: str | None) -> None:
    """Raise on options that the test of shared exponents would pass over."""
    from tippingpoint.errors import InputError

    faults = []
    if question.downstream or laws:
        faults.append("--shared tests all downstream sets together: leave out --downstream and --laws.")
    if question.weights or question.objective not in {Question.objective, "log"}:
        faults.append("--shared compares plain sums of squared log residuals: leave out --weights and --objective.")
    if faults:
        raise InputError(faults)


def _show_shared(question: Question, resamples: int, as_json: bool) -> None:
    """Print the test over all downstream sets of a group, and what was set aside."""
    tested, notes = _test_shared(question, resamples)
    if as_json:
        whole: dict[str, Any] = {"axes": list(tested.axes), "target": question.target, "laws": []}
        print_json({**whole, "shared": {**tested.to_dict(), "notes": notes}, "warnings": list(tested.warnings)})
        return
    tested.summary()
    for sentence in notes:
        print(f"note: {sentence}")


def _test_shared(question: Question, resamples: int) -> tuple[SharedExponents, list[str]]:
    """Return the test over all downstream sets of a group, and what was set aside."""
    from tippingpoint.errors import InputError
    from tippingpoint.fitting.shared import compare_exponents
    from tippingpoint.runs import default_axes, select_group

    table, names = question.read()
    if "downstream" not in table.frame.columns:
        raise InputError(f"{table.source}: there is no column 'downstream' whose sets could share exponents.")
    values = sorted({str(value) for value in table.frame["downstream"].dropna()})
    sets = {value: select_group(table, **{**question.group, "downstream": value}) for value in values}
    sets = {value: runs for value, runs in sets.items() if len(runs)}
    names = names or sorted(set.intersection(*(set(default_axes(runs)) for runs in sets.values())))
    tested = compare_exponents(sets, names, question.target, resamples=resamples, random_state=question.seed)
    return tested, list(dict.fromkeys(note for runs in sets.values() for note in runs.notes))
