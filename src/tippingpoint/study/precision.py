"""What ``precision: auto`` comes to: measured once for each model, then kept in the study directory.

The decision is part of every cell's key. So it is made before any cell is, by one run alone, and never again: a run
that goes on, another that helps, and a plan read ``precision.json``, whatever machine they are on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tippingpoint.errors import StoreError
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.study.cells import Cell, canonical_json
from tippingpoint.study.claims import Runner
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, dump_config
from tippingpoint.study.tasks import PROBED, probed_model

__all__ = ["RECORD", "decide_precision", "undecided", "with_precision"]

RECORD = "precision.json"
SCHEMA_VERSION = 1
CLAIM = "precision"  # taken like a cell while one run measures
WAIT = 0.5  # seconds between two looks at whether another run has measured


def with_precision(study: Study, root: Path) -> Study:
    """Return a study with the decisions that its directory has recorded; itself where nothing is to be decided.

    Parameters
    ----------
    study : Study
        Checked and resolved.
    root : Path
        Its directory, which may not exist.

    Raises
    ------
    StoreError
        The record is damaged, or of a newer version.
    """
    if study.config.precision != "auto":
        return study
    return replace(study, precision={_name(one): one["precision"] for one in _read(root / RECORD)})


def undecided(study: Study) -> dict[str, Cell]:
    """Return the models whose precision is still to be decided, each with the first training of it."""
    found: dict[str, Cell] = {}
    if study.config.precision != "auto":
        return found
    for cell in build_grid(study).cells.values():
        if "training" in cell.task and (model := probed_model(cell.task)) not in study.precision:
            found.setdefault(model, cell)
    return found


def decide_precision(study: Study, root: Path, device: str = "cpu") -> Study:
    """Return a study whose models have a precision, measured here where the directory has no record of it.

    Parameters
    ----------
    study : Study
        Checked and resolved.
    root : Path
        Its directory; gets ``precision.json``.
    device : str, default "cpu"
        Where the study will be trained.

    Raises
    ------
    StoreError
        The record is damaged, the disk refuses, or another run holds the directory with other settings.
    """
    study = with_precision(study, root)
    if not undecided(study):
        return study
    with Runner(root, dump_config(study.config)) as runner:
        while not runner.take(CLAIM):
            time.sleep(WAIT)
        study = with_precision(study, root)  # another may have measured meanwhile
        for model, cell in undecided(study).items():
            said = study.laboratory.probe_precision(cell.task, device)
            study = replace(study, precision={**study.precision, model: said})
            _record(root / RECORD, {**json.loads(model), "precision": said, "device": device.partition(":")[0]})
    return study


def _record(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one decision to the record."""
    text = dump_json({"schema_version": SCHEMA_VERSION, "decisions": [*_read(path), entry]}, indent=2)
    write_atomic(path, text + "\n")


def _name(entry: Mapping[str, Any]) -> str:
    return canonical_json({name: entry[name] for name in PROBED})


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the decisions so far; none where there is no record yet."""
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] <= SCHEMA_VERSION:
            decisions = [dict(one) for one in found["decisions"]]
            if all(one["precision"] in ("float32", "bfloat16") and _name(one) for one in decisions):
                return decisions
            raise ValueError("no such precision")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: is damaged and cannot be read; bring it back, or delete it: then it is measured again, and cells "
            "whose precision comes out otherwise are trained anew."
        ) from error
    raise StoreError(f"{path}: was written by a newer version of tippingpoint; upgrade the package.")
