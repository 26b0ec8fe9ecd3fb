"""The training curves that a study publishes (``curves.jsonl``), one for each finished cell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import EnvironmentFault, RunsError

__all__ = ["Curve", "read_curves"]

_VERSION = 1
_PLACE = (
    "recipe",
    "stage",
    "upstream",
    "downstream",
    "n_pretrain",
    "student",
    "teacher",
    "n_finetune",
    "subset_seed",
    "seed",
)


@dataclass(frozen=True, eq=False)
class Curve:
    """One cell's training curve.

    Attributes
    ----------
    place : dict
        ``recipe``, ``stage``, ``upstream``, ``downstream``, ``n_pretrain``, ``student``, ``teacher``, ``n_finetune``,
        ``subset_seed`` and ``seed``, as in the runs table; None where one does not apply.
    n_steps : int
        Optimiser steps of the training.
    warmup_steps : int
        Those during which the learning rate rose.
    step : ndarray, shape (n,)
        The step at which each point ends, ascending.
    parts : dict of str to ndarray, shape (n,)
        ``loss`` (what was minimised), ``ce`` (cross-entropy on the labels of the batches) and its other parts: each the
        mean over the steps since the point before, in nats.
    """

    place: dict[str, Any]
    n_steps: int
    warmup_steps: int
    step: NDArray[np.float64]
    parts: dict[str, NDArray[np.float64]]


def read_curves(source: str | Path) -> tuple[Curve, ...]:
    """Read the curves of a study.

    Parameters
    ----------
    source : str or Path
        A study directory, or its ``curves.jsonl``.

    Returns
    -------
    tuple of Curve
        In the order of the file; cells without a point are left out.

    Raises
    ------
    RunsError
        There is no such file, or lines of it are not curves; every faulty line is named.
    EnvironmentFault
        The system will not let it be read.
    """
    path = Path(source)
    path = path / "curves.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise RunsError(
            f"{path}: there is no such file; a study that has run publishes its curves (tippingpoint run), and "
            "tippingpoint smoothness gathers those of an older study from its cells."
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RunsError(f"{path}: byte {error.start} is not UTF-8; publish the curves again.") from error
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error}); check its permissions.") from error
    if any(lines) and not any(line.lstrip().startswith("{") for line in lines):
        raise RunsError(f"{path}: is not a file of training curves; name a study directory, or its curves.jsonl.")
    curves, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            curves.append(_curve(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            faults.append(f"{path}, line {number}: is not a training curve ({error}); publish the curves again.")
    if faults:
        raise RunsError([*faults[:20], *([f"{path}: {len(faults) - 20} more lines are faulty."] * (len(faults) > 20))])
    return tuple(curve for curve in curves if len(curve.step))


def _curve(line: dict[str, Any]) -> Curve:
    """Return one line as a curve; ValueError, KeyError or TypeError where it is none."""
    if line["schema_version"] != _VERSION:
        raise ValueError(f"schema_version {line['schema_version']}, and this release reads {_VERSION}")
    lists = {name: np.array(value, dtype=float) for name, value in line.items() if isinstance(value, list)}
    step = lists.pop("step")
    if any(part.shape != step.shape for part in (lists["loss"], lists["ce"], *lists.values())):
        raise ValueError("its parts differ in length")
    if not (np.isfinite(step).all() and (np.diff(step, prepend=0) > 0).all()):
        raise ValueError("its steps do not ascend")
    place = {name: line[name] for name in _PLACE}
    return Curve(place, int(line["n_steps"]), int(line["warmup_steps"]), step, lists)
