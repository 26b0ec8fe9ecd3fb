"""``tippingpoint boundary``: where the better of two recipes changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    import typer

    @app.command()
    def boundary(
        runs: str = typer.Argument(..., metavar="RUNS", help="A CSV, JSONL or Parquet file, or a study directory."),
        along: str = typer.Option("n_pretrain", help="Axis to walk along: n_pretrain, n_finetune, n_params, ..."),
        at: str = typer.Option(None, metavar="K=V,...", help="Sizes on the other axes, where there are several."),
        target: str = typer.Option("error", help="Column to compare; smaller is better."),
        stage: str = typer.Option("finetuned", help="finetuned, or pretrained."),
        recipes: str = typer.Option("scratch,distilled", metavar="A,B", help="Two recipes; is the second better?"),
        where: str = typer.Option(None, metavar="EXPR", help="Condition on the rows, for example 'seed < 3'."),
        upstream: str = typer.Option(None, help="Which upstream set, where there are several."),
        downstream: str = typer.Option(None, help="Which downstream set, where there are several."),
        teacher: str = typer.Option(None, help="Which teacher, where there are several."),
        pool: str = typer.Option("auto", help="Tie other axes together by the law: auto, none or all."),
        level: float = typer.Option(0.9, help="Probability of the intervals."),
        resamples: int = typer.Option(2000, min=0, help="Draws of the posterior; 0 for no intervals."),
        seed: int = typer.Option(0, min=0, help="Seed of the draws."),
        as_json: bool = typer.Option(False, "--json", help="Print one JSON object and nothing else."),
    ) -> None:
        """Say up to which size, from which size or between which sizes the second recipe is better.

        The answer is a set of crossings, each with an interval, and a regime: always, never, below, above, window or
        outside_window (where the second recipe helps). "No crossing in this range" is a good answer.
        """
        from tippingpoint.boundary import find_boundary
        from tippingpoint.cli._common import parse_assignments, print_json, split_names
        from tippingpoint.errors import RunsError

        pair, place = split_names(recipes) or [], parse_assignments(at, "--at")
        asked: dict[str, Any] = {"along": along, "target": target, "stage": stage, "recipes": pair}
        try:
            found = find_boundary(
                runs,
                **asked,
                at=place,
                where=where,
                level=level,
                resamples=resamples,
                random_state=seed,
                upstream=upstream,
                downstream=downstream,
                teacher=teacher,
                pool=pool,
            )
        except RunsError as error:
            told = _endpoint_note(runs, {**asked, "at": place})
            raise RunsError([*error.faults, *([told] if told else [])]) from error
        note = _endpoint_note(runs, {**asked, "at": found.at})
        if as_json:
            result = found.to_dict()
            print_json({**result, "notes": [*([note] if note else []), *result["notes"]]})
        else:
            found.summary()
            if note:
                print(f"- {note}")


def _endpoint_note(source: str, asked: dict[str, Any]) -> str | None:
    """Return a sentence on the endpoint that a study declared before it ran; None where there is none."""
    import json
    from pathlib import Path

    path = Path(source) / "progress.json"
    if not path.is_file():
        return None
    try:
        endpoint = json.loads(path.read_text(encoding="utf-8"))["study"]["endpoint"]
        declared = {name: endpoint.get(name) for name in ("along", "target", "stage", "recipes")}
        place = {axis: value for axis, value in (endpoint.get("at") or {}).items() if value is not None}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # a study without an endpoint, or not yet told: nothing to hold the question against
    same = all(asked[name] == value for name, value in declared.items() if value is not None)
    same = same and all(asked["at"].get(axis, value) == value for axis, value in place.items())
    if same:
        return "This is the study's declared primary endpoint."
    options = [
        f"--{name} {','.join(value) if isinstance(value, list) else value}" for name, value in declared.items() if value
    ]
    options += [f"--at {','.join(f'{axis}={value}' for axis, value in place.items())}"] if place else []
    options += [f"--{name} '{endpoint[name]}'" for name in ("upstream", "downstream", "teacher") if endpoint.get(name)]
    return f"Exploratory: the study's declared primary endpoint is {' '.join(options)}."
