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

__all__ = ["curve_series", "panels", "read_curves", "read_runs"]

PANELS = 60
SERIES = 40  # of one panel
CURVES = 12
POINTS = 160  # of one training curve
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


def read_curves(path: Path, notes: list[str]) -> dict[str, dict[str, Any]]:
    """Return one training curve for each model and stage: of the most images, and there of the first seed.

    Parameters
    ----------
    path : Path
        ``curves.jsonl``.
    notes : list of str
        Takes a sentence where lines were left out.
    """
    chosen: dict[str, dict[str, Any]] = {}
    broken = 0
    for line in lines_of(path):
        try:
            curve = json.loads(line)
            own = _model(*(text_of(curve.get(name), 120) for name in ("recipe", "student", "teacher")))
            name = f"{text_of(curve.get('stage'), 40)}: {own}"
            rank = tuple(number_of(curve.get(size)) or 0.0 for size in ("n_pretrain", "n_finetune"))
            if name in chosen and rank <= chosen[name]["rank"]:
                continue
            points = [
                [step, loss]
                for step, loss in zip(map(number_of, curve["step"]), map(number_of, curve["loss"]), strict=True)
                if step is not None and loss is not None
            ]
            if points:
                chosen[name] = {"rank": rank, "stage": text_of(curve.get("stage"), 40), "points": _thinned(points)}
        except BROKEN:
            broken += 1
    if broken:
        notes.append(f"curves.jsonl: {broken} line(s) cannot be read (half-written or damaged) and are left out.")
    return chosen


def _thinned(points: list[list[float]]) -> list[list[float]]:
    every = -(-len(points) // POINTS)
    return points if every == 1 else [*points[:-1:every], points[-1]]


def curve_series(chosen: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return training curves by stage, as `panels` does scores.

    Parameters
    ----------
    chosen : mapping
        What `read_curves` returned.

    Returns
    -------
    list of dict
        One panel for each stage, of the target ``loss``; at most 12 curves each.
    """
    stages: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for name, curve in chosen.items():
        stages.setdefault(str(curve["stage"]), []).append((name.partition(": ")[2], curve))
    return [
        {
            "title": "Fine-tuning" if stage == "finetuned" else "Pretraining" if stage == "pretrained" else stage,
            "axis": "steps",
            "linear": True,
            "targets": {"loss": "training loss"},
            "series": [
                {
                    "name": f"{name}, {_images(curve['rank'])}",
                    "recipe": place,
                    "points": {"loss": [[step, loss, loss, loss, 1] for step, loss in curve["points"]]},
                }
                for place, (name, curve) in enumerate(group[:CURVES])
            ],
            "left_out": max(0, len(group) - CURVES),
        }
        for stage, group in stages.items()
    ]


def _images(rank: tuple[float, float]) -> str:
    told = [
        f"{size:,.0f} {word} images" for size, word in zip(rank, ("pretraining", "fine-tuning"), strict=True) if size
    ]
    return " and ".join(told) or "no images told"
