"""What ``fit``, ``predict`` and ``compare`` are all told: which runs, which columns, which group, and how to fit.

The options stand once, as fields of a dataclass; a command takes the whole question as its first parameter:

>>> @asks                                                       # doctest: +SKIP
... def fit(question: FitQuestion, level: float = 0.9) -> None: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from tippingpoint.cli._common import read_definitions, read_number, read_pairs, split_names

if TYPE_CHECKING:
    from tippingpoint.laws.base import Law
    from tippingpoint.runs import Runs

__all__ = ["FitQuestion", "JsonOption", "LawOption", "Question", "asks"]

LawOption = Annotated[
    str,
    typer.Option(
        "--law", help="auto, additive, multiplicative, multiplicative-floor, transfer, interaction, or your own."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@dataclass(frozen=True)
class Question:
    """Which runs a law is to explain, and what it minimises; every field is an option of the command line."""

    runs: Annotated[str, typer.Argument(metavar="RUNS", help="A CSV, JSONL or Parquet file, or a study directory.")]
    axes: Annotated[
        str | None, typer.Option("--axes", help="Columns of sizes by commas, e.g. n_pretrain,n_params.")
    ] = None
    target: Annotated[str, typer.Option("--target", help="Column to explain, e.g. cross_entropy.")] = "error"
    define: Annotated[
        list[str] | None,
        typer.Option("--define", metavar="NAME=EXPR", help="A new column, e.g. 'D=C / (6 * N)'. Repeatable."),
    ] = None
    where: Annotated[
        str | None, typer.Option("--where", metavar="EXPR", help="Condition that rows must meet, e.g. 'seed < 3'.")
    ] = None
    recipe: Annotated[str | None, typer.Option("--recipe", help="Which recipe, e.g. scratch, where several.")] = None
    stage: Annotated[str | None, typer.Option("--stage", help="finetuned (unless said) or pretrained.")] = None
    upstream: Annotated[str | None, typer.Option("--upstream", help="Which upstream set, e.g. digits.")] = None
    downstream: Annotated[str | None, typer.Option("--downstream", help="Which downstream set, e.g. digits.")] = None
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="COLUMN", help="How often each run counts, e.g. count.")
    ] = None
    objective: Annotated[
        str, typer.Option("--objective", help="huber-log, log, squares, or binomial (error rates on n_test images).")
    ] = "huber-log"
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resampling, e.g. 1.")] = 0

    @property
    def group(self) -> dict[str, str | None]:
        """The group, as ``fit`` and ``select_group`` name its parts."""
        return {
            "recipe": self.recipe,
            "stage": self.stage,
            "upstream": self.upstream,
            "downstream": self.downstream,
        }

    def read(self) -> tuple[Runs, list[str] | None]:
        """Return the whole table with its new columns, and the axes that were named."""
        from tippingpoint.errors import InputError
        from tippingpoint.runs import read_runs

        names, faults = split_names(self.axes), list[str]()
        define = read_definitions(self.define, faults)
        if faults:
            raise InputError(faults)
        return read_runs(self.runs, axes=names, target=self.target, define=define, where=self.where), names

    def choose(self) -> tuple[Runs, list[str]]:
        """Return the runs of the group, and the axes (those that vary where none are named)."""
        from tippingpoint.runs import default_axes, select_group

        table, names = self.read()
        chosen = select_group(table, **self.group)
        return chosen, names or default_axes(chosen)


@dataclass(frozen=True)
class FitQuestion(Question):
    """The same for one law, whose parameters may be held."""

    bootstrap: Annotated[
        int,
        typer.Option("--bootstrap", min=0, help="Resamples of seed blocks for the intervals; 0: from the posterior."),
    ] = 0
    fix: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME=VALUE", help="A parameter that is known, e.g. floor=0. Repeatable."),
    ] = None
    bound: Annotated[
        list[str] | None,
        typer.Option(
            "--bound",
            metavar="NAME=LOW:HIGH",
            help="Ends of a parameter, either may be empty, e.g. n_params.exponent=0.1:1. Repeatable.",
        ),
    ] = None
    share: Annotated[
        list[str] | None,
        typer.Option(
            "--share",
            metavar="NAME,NAME",
            help="Exponents with one value, e.g. n_pretrain.exponent,n_finetune.exponent. Repeatable.",
        ),
    ] = None

    def fit(self, law: str) -> Law:
        """Return the law of a name, fitted."""
        from tippingpoint.laws.registry import law_named

        held = self._held()
        made = law_named(law)
        runs, axes = self.choose()
        fitted: Law = made(
            axes, objective=self.objective, bootstrap=self.bootstrap, random_state=self.seed, **held
        ).fit(runs, self.target, weights=self.weights)
        return fitted

    def _held(self) -> dict[str, Any]:
        """Read ``--fix``, ``--bound`` and ``--share``; every faulty one is named."""
        from tippingpoint.errors import InputError

        faults: list[str] = []
        fixed = read_pairs(self.fix, "--fix", "NAME=VALUE, for example floor=0", read_number, faults)
        bounds = read_pairs(self.bound, "--bound", "NAME=LOW:HIGH, for example n_params.exponent=0.1:1", _ends, faults)
        shared = [split_names(text) or [] for text in self.share or []]
        faults += [
            f"--share: '{text}' must name two parameters or more, joined by commas."
            for text, names in zip(self.share or [], shared, strict=True)
            if len(names) < 2
        ]
        if faults:
            raise InputError(faults)
        return {"fixed": fixed, "bounds": bounds, "shared": shared}


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose first parameter, a dataclass of options, is spread over the command line."""
    hints = get_type_hints(command, include_extras=True)
    first, *rest = inspect.signature(command).parameters.values()
    kind = hints[first.name]
    of_kind = get_type_hints(kind, include_extras=True)

    @wraps(command)
    def spread(**given: Any) -> None:
        command(kind(**{one.name: given.pop(one.name) for one in fields(kind)}), **given)

    asked = [one.replace(annotation=of_kind[one.name]) for one in inspect.signature(kind).parameters.values()]
    own = [one.replace(annotation=hints[one.name]) for one in rest]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in [*asked, *own]]
    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {one.name: one.annotation for one in parameters}
    return spread


def _ends(text: str) -> tuple[float | None, float | None]:
    """Read ``LOW:HIGH``, either of which may be empty."""
    low, colon, high = (part.strip() for part in text.partition(":"))
    if not colon or not (low or high):
        raise ValueError(text)
    return read_number(low) if low else None, read_number(high) if high else None
