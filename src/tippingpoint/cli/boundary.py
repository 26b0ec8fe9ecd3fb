"""``tippingpoint boundary``: where the better of two recipes changes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tippingpoint.runs import Runs

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def boundary(
        runs: str = typer.Argument(..., metavar="RUNS", help="A CSV, JSONL or Parquet file, or a study directory."),
        along: str = typer.Option("n_pretrain", help="Axis to walk along: n_pretrain, n_finetune, n_params, ..."),
        at: str = typer.Option(None, metavar="K=V,...", help="Sizes on the other axes, where there are several."),
        target: str = typer.Option("error", help="Column to compare; smaller is better."),
        stage: str = typer.Option("finetuned", help="finetuned, or pretrained."),
        recipes: str = typer.Option("scratch,distilled", metavar="A,B", help="Two recipes; is the second better?"),
        define: Annotated[list[str] | None, typer.Option(metavar="NAME=EXPR", help="A new column. Repeatable.")] = None,
        where: str = typer.Option(None, metavar="EXPR", help="Condition on the rows, for example 'seed < 3'."),
        upstream: str = typer.Option(None, help="Which upstream set, where there are several."),
        downstream: str = typer.Option(None, help="Which downstream set, where there are several."),
        teacher: str = typer.Option(None, help="Which teacher, where there are several."),
        pool: str = typer.Option("auto", help="Tie other axes together by the law: auto, none or all."),
        level: float = typer.Option(0.9, help="Probability of the intervals."),
        resamples: int = typer.Option(2000, min=0, help="Draws of the posterior; 0 for no intervals."),
        seed: int = typer.Option(0, min=0, help="Seed of the draws."),
        over: str = typer.Option(
            None,
            "--map",
            metavar="AXIS",
            help="One boundary for every measured size of this axis, and the phase diagram.",
        ),
        out: str = typer.Option(
            None, "--out", metavar="FILE", help="With --map: save it as .png, .svg, .pdf, .csv (its table) or .json."
        ),
        teachers: bool = typer.Option(False, "--teachers", help="Which recipe and teacher is best where."),
        conditions: bool = typer.Option(False, "--conditions", help="Check the conditions of the paper's Eq. (6)."),
        as_json: bool = typer.Option(False, "--json", help="Print one JSON object and nothing else."),
    ) -> None:
        """Say up to which size, from which size or between which sizes the second recipe is better.

        The answer is a set of crossings, each with an interval, and a regime: always, never, below, above, window or
        outside_window (where the second recipe helps). "No crossing in this range" is a good answer.
        """
        from tippingpoint.cli._common import parse_assignments, print_json, split_names
        from tippingpoint.errors import RunsError
        from tippingpoint.runs import read_runs

        _check_flags(over, out, teachers, conditions, along, pool)
        place = parse_assignments(at, "--at")
        asked: dict[str, Any] = {"target": target, "stage": stage, "recipes": split_names(recipes) or []}
        more = {"where": where, "level": level, "resamples": resamples, "random_state": seed}
        more |= {"upstream": upstream, "downstream": downstream, "teacher": teacher, "pool": pool}
        question = {"along": along, **asked}
        columns = _definitions(define)
        try:
            table = read_runs(runs, define=columns)
            with _progress(over is not None) as told:
                found = _answer(table, {**question, "at": place, **more}, over, teachers, conditions, told)
        except RunsError as error:
            note = _endpoint_note(runs, {**question, "at": place})
            raise RunsError([*error.faults, *([note] if note else [])]) from error
        note = None if over or teachers or conditions else _endpoint_note(runs, {**question, "at": found.at})
        if out is not None:
            _save(found, out)
        if as_json:
            result = found.to_dict()
            print_json({**result, "notes": [*([note] if note else []), *result["notes"]]})
        else:
            found.summary()
            if note:
                print(f"- {note}")
            if out is not None:
                print(f"wrote {out}")


def _check_flags(over: str | None, out: str | None, teachers: bool, conditions: bool, along: str, pool: str) -> None:
    """Raise with every pair of options that do not go together, before anything is computed."""
    from pathlib import Path

    from tippingpoint.errors import InputError

    faults = []
    chosen = [
        name for name, given in (("--map", over), ("--teachers", teachers), ("--conditions", conditions)) if given
    ]
    if len(chosen) > 1:
        faults.append(f"{' and '.join(chosen)}: ask one question at a time.")
    if out is not None and over is None:
        faults.append("--out: only a map is saved; name its second axis with --map, such as --map n_finetune.")
    elif out is not None and Path(out).suffix.lower() not in _KINDS:
        faults.append(
            f"--out: {out} is not {', '.join(_KINDS[:-1])} or {_KINDS[-1]}; give the file one of these endings."
        )
    if conditions and along != "n_pretrain":
        faults.append("--along: the conditions of Eq. (6) are about n_pretrain; leave --along out.")
    if conditions and pool != "auto":
        faults.append("--pool: the conditions of Eq. (6) are about laws over all axes; leave --pool out.")
    if faults:
        raise InputError(faults)


_KINDS = (".png", ".svg", ".pdf", ".csv", ".json")


def _definitions(define: list[str] | None) -> dict[str, str]:
    """Read ``--define``, or raise with all that is wrong with it."""
    from tippingpoint.cli._common import read_definitions
    from tippingpoint.errors import InputError

    faults: list[str] = []
    columns = read_definitions(define, faults)
    if faults:
        raise InputError(faults)
    return columns


def _answer(
    runs: Runs,
    settings: dict[str, Any],
    over: str | None,
    teachers: bool,
    conditions: bool,
    told: Callable[[str, int, int], None] | None,
) -> Any:
    """Return the boundary, the map, the best teacher or the conditions, as the flags ask."""
    from tippingpoint.boundary import best_teacher, boundary_map, check_conditions, find_boundary
    from tippingpoint.errors import InputError

    if over is not None:
        return boundary_map(runs, over=over, progress=told, **settings)
    if teachers:
        if settings.pop("teacher") is not None:
            raise InputError("--teacher: --teachers compares all of them; leave --teacher out, or choose with --where.")
        return best_teacher(runs, **settings)
    if conditions:
        return check_conditions(runs, **{name: settings[name] for name in settings if name not in ("along", "pool")})
    return find_boundary(runs, **settings)


def _save(found: Any, out: str) -> None:
    """Save a map as a figure, its table or its JSON, by the file's ending."""
    from pathlib import Path

    from tippingpoint.cli._common import SCHEMA_VERSION
    from tippingpoint.files import dump_json, write_atomic

    kind = Path(out).suffix.lower()
    if kind == ".csv":
        write_atomic(out, found.table_.to_csv(index=False, lineterminator="\n"))
    elif kind == ".json":
        write_atomic(out, dump_json({"schema_version": SCHEMA_VERSION, **found.to_dict()}, indent=2) + "\n")
    else:
        from tippingpoint.report.figures import figure_bytes
        from tippingpoint.report.figures_phase import phase_figure

        write_atomic(out, figure_bytes(phase_figure(found), kind.lstrip(".")))


@contextlib.contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show on a terminal which slice is being answered, once that has taken two seconds."""
    import sys
    import time

    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    started = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("slices", total=None, visible=False)

        def told(name: str, done: int, total: int) -> None:
            late = time.monotonic() - started > _PATIENCE
            bar.update(task, description=name, completed=done, total=total, visible=late)

        yield told


_PATIENCE = 2.0  # seconds without a word


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
