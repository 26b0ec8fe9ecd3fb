"""What the live page draws: the scores that are in by size, and the training curves that are published."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tippingpoint.report.live_reading import BROKEN, lines_of, number_of, text_of
from tippingpoint.report.looks import TARGETS
from tippingpoint.report.words import axis_words, target_words

__all__ = ["Curve", "best_of", "curve_of", "curve_series", "keep_curve", "panels", "read_curves", "read_runs", "unread"]

PANELS = 60
SERIES = 40  # of one panel
CURVES = 12  # of finished trainings in a panel
RUNNING = 6  # of running ones
POINTS = 160  # of one training curve
_CURVES_VERSION = 1
NAMES = ("recipe", "stage", "upstream", "downstream", "student", "teacher")


class Run(NamedTuple):
    """A row of ``runs.csv``: names, sizes and the scores that it has."""

    recipe: str
    stage: str
    upstream: str
    downstream: str
    student: str
    teacher: str
    n_pretrain: float | None
    n_finetune: float | None
    scores: Mapping[str, float]

    @property
    def model(self) -> str:
        """The recipe, with the model and the teacher."""
        return _model(self.recipe, self.student, self.teacher)


def _model(recipe: str, student: str, teacher: str) -> str:
    return f"{recipe}{f', {student}' if student else ''}{f', teacher {teacher}' if teacher else ''}"


def read_runs(path: Path, notes: list[str]) -> list[Run]:
    """Return the rows of ``runs.csv``; those of another length than its head are counted and left out.

    Parameters
    ----------
    path : Path
        The file.
    notes : list of str
        Takes a sentence where rows were left out.
    """
    runs: list[Run] = []
    broken = 0
    reader = csv.reader(lines_of(path))
    head = next(reader, [])
    for row in reader:
        fields = dict(zip(head, row, strict=False))
        scores = {name: value for name in TARGETS if (value := number_of(fields.get(name))) is not None}
        if len(row) != len(head) or not fields.get("recipe"):
            broken += 1
            continue
        recipe, stage, upstream, downstream, student, teacher = (text_of(fields.get(name), 120) for name in NAMES)
        student = student or text_of(fields.get("n_params"))
        n_pretrain, n_finetune = (number_of(fields.get(name)) for name in ("n_pretrain", "n_finetune"))
        runs.append(Run(recipe, stage, upstream, downstream, student, teacher, n_pretrain, n_finetune, scores))
    if broken:
        notes.append(f"runs.csv: {broken} row(s) cannot be read (half-written or damaged) and are left out.")
    return runs


def panels(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the means by size, one panel for each stage and set of images (and number of fine-tuning images).

    Parameters
    ----------
    runs : sequence of Run
        The rows so far.

    Returns
    -------
    list of dict
        ``title``, ``axis``, ``targets`` ({name: words}) and ``series``: ``name``, ``recipe`` (its place among the
        recipes, for the colour) and ``points``: {target: [size or None, mean, least, greatest, number of runs]}.
    """
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.stage, run.downstream or run.upstream), []).append(run)
    found = []
    for (stage, place), group in groups.items():
        varies = len({run.n_pretrain for run in group if run.n_pretrain is not None}) > 1
        axis = "n_pretrain" if varies or stage != "finetuned" else "n_finetune"
        parts: dict[float | None, list[Run]] = {}
        for run in group:
            parts.setdefault(run.n_finetune if axis == "n_pretrain" else None, []).append(run)
        for labels, part in sorted(parts.items(), key=lambda item: item[0] or 0.0):
            title = f"Fine-tuned on {place}" if stage == "finetuned" else f"{stage.capitalize()} on {place}"
            title += f", {labels:,.0f} images" if labels else ""
            found.append(_panel(title, axis, part, recipes))
    return found[:PANELS]


def _panel(title: str, axis: str, runs: Sequence[Run], recipes: list[str]) -> dict[str, Any]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.model, []).append(run)
    targets = [name for name in TARGETS if any(name in run.scores for run in runs)]
    return {
        "title": title,
        "axis": axis_words(axis),
        "targets": {name: target_words(name) for name in targets},
        "series": [
            {
                "name": name,
                "recipe": recipes.index(group[0].recipe),
                "points": {target: _points(group, axis, target) for target in targets},
            }
            for name, group in list(groups.items())[:SERIES]
        ],
        "left_out": max(0, len(groups) - SERIES),
    }


def _points(runs: Sequence[Run], axis: str, target: str) -> list[list[float | None]]:
    sizes: dict[float | None, list[float]] = {}
    for run in runs:
        if target in run.scores:
            sizes.setdefault(getattr(run, axis), []).append(run.scores[target])
    ordered = sorted(sizes.items(), key=lambda item: (item[0] is not None, item[0] or 0.0))
    return [[size, sum(found) / len(found), min(found), max(found), len(found)] for size, found in ordered]


class Curve(NamedTuple):
    """A training curve that the page can draw.

    Attributes
    ----------
    stage, model : str
        What was trained.
    rank : tuple of float
        Its images, and its seeds turned: of one model the greatest is drawn.
    points : list of [step, loss]
        At most 161.
    """

    stage: str
    model: str
    rank: tuple[float, ...]
    points: list[list[float]]


Named = tuple[str, Curve]


def curve_of(told: Mapping[str, Any]) -> Curve:
    """Return the curve of a line of ``curves.jsonl`` or of a cell at work; one of `BROKEN` where it is none."""
    model = _model(*(text_of(told.get(name), 120) for name in ("recipe", "student", "teacher")))
    images = [number_of(told.get(name)) or 0.0 for name in ("n_pretrain", "n_finetune")]
    seeds = [-(number_of(told.get(name)) or 0.0) for name in ("subset_seed", "seed")]
    points = [
        [step, loss]
        for step, loss in zip(map(number_of, told["step"]), map(number_of, told["loss"]), strict=True)
        if step is not None and loss is not None
    ]
    return Curve(text_of(told.get("stage"), 40), model, (*images, *seeds), _thinned(points))


def keep_curve(chosen: dict[str, Curve], line: str, left_out: dict[str, int]) -> None:
    """Keep a line's curve if it is the one to draw of its model and stage, so far.

    Parameters
    ----------
    chosen : dict
        Takes it.
    line : str
        Of ``curves.jsonl``.
    left_out : dict of str to int
        Counts the lines that cannot be read, for `unread`.
    """
    try:
        told = json.loads(line)
        if told.get("schema_version", _CURVES_VERSION) != _CURVES_VERSION:
            left_out["other"] = left_out.get("other", 0) + 1
            return
        curve = curve_of(told)
    except BROKEN:
        left_out["broken"] = left_out.get("broken", 0) + 1
        return
    name = f"{curve.stage}: {curve.model}"
    if curve.points and (name not in chosen or curve.rank > chosen[name].rank):
        chosen[name] = curve


def best_of(*sources: Mapping[str, Curve]) -> dict[str, Curve]:
    """Return of each model and stage the curve to draw, of several files' choices."""
    chosen: dict[str, Curve] = {}
    for source in sources:
        for name, curve in source.items():
            if name not in chosen or curve.rank > chosen[name].rank:
                chosen[name] = curve
    return chosen


def unread(name: str, left_out: Mapping[str, int]) -> list[str]:
    """Return a sentence for each kind of lines of a file that were left out."""
    other, broken = left_out.get("other"), left_out.get("broken")
    told = [f"{name}: {broken} line(s) cannot be read (half-written or damaged) and are left out."] * bool(broken)
    newer = f"{name}: {other} line(s) are of another version than this tippingpoint reads; upgrade the package."
    return [*told, *[newer] * bool(other)]


def read_curves(path: Path, notes: list[str]) -> dict[str, Curve]:
    """Return one training curve for each model and stage: of the most images, and there of the first seed.

    Parameters
    ----------
    path : Path
        ``curves.jsonl``.
    notes : list of str
        Takes a sentence where lines were left out.
    """
    chosen: dict[str, Curve] = {}
    left_out: dict[str, int] = {}
    for line in lines_of(path):
        keep_curve(chosen, line, left_out)
    notes += unread(path.name, left_out)
    return chosen


def _thinned(points: list[list[float]]) -> list[list[float]]:
    every = -(-len(points) // POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def curve_series(chosen: Mapping[str, Curve], running: Sequence[tuple[str, Curve]] = ()) -> list[dict[str, Any]]:
    """Return training curves by stage, as `panels` does scores.

    Parameters
    ----------
    chosen : mapping
        What `read_curves` returned.
    running : sequence of (str, Curve), optional
        The labels of cells at work, and their curves so far.

    Returns
    -------
    list of dict
        One panel for each stage, of the target ``loss``; at most 12 curves of finished trainings and then 6 of running
        ones, whose series say ``running``.
    """
    stages: dict[str, tuple[list[Named], list[Named]]] = {}
    finished = [(f"{curve.model}, {_images(curve.rank)}", curve) for curve in chosen.values()]
    for place, named in enumerate((finished, running)):
        for name, curve in named:
            if curve.points:
                stages.setdefault(curve.stage, ([], []))[place].append((name, curve))
    return [_curve_panel(stage, *groups) for stage, groups in stages.items()]


def _curve_panel(stage: str, finished: Sequence[Named], running: Sequence[Named]) -> dict[str, Any]:
    drawn = [*finished[:CURVES], *running[:RUNNING]]
    return {
        "title": {"finetuned": "Fine-tuning", "pretrained": "Pretraining"}.get(stage, stage),
        "axis": "steps",
        "linear": True,
        "targets": {"loss": "training loss"},
        "series": [
            {
                "name": name,
                "recipe": place,
                "running": place >= len(finished[:CURVES]),
                "points": {"loss": [[step, loss, loss, loss, 1] for step, loss in curve.points]},
            }
            for place, (name, curve) in enumerate(drawn)
        ],
        "left_out": max(0, len(finished) - CURVES),
        "running_left_out": max(0, len(running) - RUNNING),
    }


def _images(rank: tuple[float, ...]) -> str:
    told = [
        f"{size:,.0f} {word} images" for size, word in zip(rank, ("pretraining", "fine-tuning"), strict=False) if size
    ]
    return " and ".join(told) or "no images told"
