"""Why a cell has to run, in the words of the study file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tippingpoint.study.cells import STAGE_VERSIONS, Cell, key_material
from tippingpoint.study.config import StudyConfig
from tippingpoint.study.recipes import Recipes
from tippingpoint.study.store import Store

__all__ = ["why_new"]

KEYS = {  # of a task -> of a study file
    "extra_flops": "recipes.scratch_extra_compute.pairs",
    "grown_from": "recipes.grown.pairs",
    "keep_weights": "recipes.distilled.guide",
    "label_smoothing": "recipes.smoothed.label_smoothing",
    "data.image_size": "image.size",
    "data.channels": "image.channels",
}


def why_new(todo: Iterable[Cell], store: Store, config: StudyConfig) -> dict[str, str]:
    """Return key -> why a cell has to run.

    Parameters
    ----------
    todo : iterable of Cell
        Cells that the store does not have.
    store : Store
        What is done.
    config : StudyConfig
        Of the study, whose keys are named.

    Returns
    -------
    dict of str to str
        ``new``, ``failed before``, ``was damaged``, ``config changed at KEY``, ``data changed``, ``stage version
        raised`` or ``what it starts from changes``.
    """
    todo = list(todo)
    failed, damaged = store.failed(), store.damaged()
    known: dict[str, list[dict[str, Any]]] = {}
    if todo and store.done():
        for about in store.described():
            known.setdefault(repr(sorted(about["where"].items(), key=str)), []).append(about)
    reasons = {}
    for cell in todo:
        old = known.get(repr(sorted(cell.where.items(), key=str)), [])
        if cell.key in failed:
            reasons[cell.key] = "failed before"
        elif cell.key in damaged:
            reasons[cell.key] = "was damaged"
        elif old:
            reasons[cell.key] = min((_difference(cell, about, config) for about in old), key=len)
        else:
            reasons[cell.key] = "new"
    return reasons


def _difference(cell: Cell, about: Mapping[str, Any], config: StudyConfig) -> str:
    """Say in what a cell differs from one that stood in its place before."""
    if about.get("stage_version") != STAGE_VERSIONS[cell.kind]:
        return "stage version raised"
    if about.get("data_fingerprint") != cell.fingerprint:
        return "data changed"
    new = _leaves(key_material(cell.task, "", {})["task"])
    old = _leaves(key_material(about["task"], "", {})["task"])
    paths = [path for path in new.keys() | old.keys() if new.get(path) != old.get(path)]
    changed = sorted({_config_key(cell, path, config) for path in paths})
    return f"config changed at {', '.join(changed)}" if changed else "what it starts from changes"


def _leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(value, dict):
        return {leaf: item for name, inner in value.items() for leaf, item in _leaves(inner, (*path, name)).items()}
    return {path: value}


def _config_key(cell: Cell, path: tuple[str, ...], config: StudyConfig) -> str:
    """Return the study file's key behind a place in a task."""
    first, rest, name = path[0], ".".join(path[1:]), str(cell.task["data"]["name"])
    if first == "training" and cell.kind == "pretrain":
        return f"pretraining.{rest}"
    if first in ("training", "augmentation"):
        key = "finetuning" if first == "training" else first
        return f"{key}_of.{name}.{rest}" if name in (getattr(config, f"{key}_of") or {}) else f"{key}.{rest}"
    if first in ("guidance", "teachers"):
        rest = {"schedule": "guidance_schedule"}.get(rest, rest)
        return f"{'.'.join(Recipes.place(cell.where['recipe']))}.{rest}".rstrip(".")
    if first == "model" and isinstance(cell.where["student"], str):
        return f"model.ladder.{cell.where['student']}.{path[1]}"
    return KEYS.get(first) or KEYS.get(".".join(path)) or ".".join(path[first == "data" :])
