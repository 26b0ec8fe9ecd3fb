"""A cell is one training to do; its key says exactly what can change its result.

key = SHA-256 of canonical JSON of (stage version, task without the names of its data, fingerprint of its data, the
parents' keys). The data's name and folder are left out because the fingerprint stands for the content; the recipe's
name is left out because only what it does matters: two recipes that come to the same training share one cell. Public
weights count by their content, not by where they lie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["STAGE_VERSIONS", "Cell", "Estimate", "RowPlan", "canonical_json", "cell_key", "key_material"]

# Raised by hand when a stage's mathematics changes.
STAGE_VERSIONS = {"pretrain": 2, "finetune": 2, "features": 1, "probe": 1}
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
STAGES = {"pretrain": "pretrained", "finetune": "finetuned", "features": None, "probe": "finetuned"}


@dataclass(frozen=True)
class Estimate:
    """What a cell costs, known beforehand.

    Attributes
    ----------
    n_params, n_params_head : int
        Parameters of the student without its head, and of its head.
    n_steps : int
        Optimiser steps.
    flops : float
        The student's own training, in FLOPs.
    guidance_flops : float
        Forward passes of its teachers, in FLOPs.
    """

    n_params: int
    n_params_head: int
    n_steps: int
    flops: float
    guidance_flops: float

    @property
    def work(self) -> float:
        """FLOPs that this cell itself spends."""
        return self.flops + self.guidance_flops


@dataclass(frozen=True)
class Cell:
    """One training, or what one training needs to be computed before.

    Attributes
    ----------
    key : str
        64 hexadecimal digits.
    task : dict
        What the laboratory is told (JSON).
    parents : dict of str to str
        Role (``init``, ``teacher_0``, …) -> key of the cell that must be done before.
    fingerprint : str
        Of the images it trains on.
    where : dict
        Its place in the grid, for people: recipe, student, teacher, n_pretrain, block, downstream, n_finetune.
    estimate : Estimate
        Its cost.
    """

    key: str
    task: dict[str, Any] = field(repr=False)
    parents: dict[str, str]
    fingerprint: str
    where: dict[str, Any]
    estimate: Estimate

    @property
    def kind(self) -> str:
        """``pretrain``, ``finetune``, ``features`` or ``probe``."""
        return str(self.task["kind"])

    @property
    def stage(self) -> str | None:
        """Stage of the row that it scores, ``pretrained`` or ``finetuned``; None of features, which are not scored."""
        return STAGES[self.kind]

    @property
    def label(self) -> str:
        """One short phrase for logs: what is trained on how much."""
        w = self.where
        parts = [str(w["recipe"]), w["student"] if isinstance(w["student"], str) else f"{w['student']} heads"]
        if w.get("teacher"):
            parts.append(f"teacher {str(w['teacher']).removeprefix('heads=')}")
        if w.get("n_pretrain") is not None:
            parts.append(f"{w['n_pretrain']} images")
        if self.kind == "features":  # of all images, for every block
            return " ".join([*parts, "features of", w["downstream"]])
        if w.get("downstream"):
            parts.append(f"-> {w['downstream']} {w['n_finetune']}")
        parts.append(f"block {w['subset_seed']}/{w['seed']}")
        return " ".join(parts)

    def describe(self) -> dict[str, Any]:
        """Return what ``cell.json`` says of this cell: enough to know and to repeat it."""
        return {
            "key": self.key,
            "kind": self.kind,
            "stage_version": STAGE_VERSIONS[self.kind],
            "where": self.where,
            "task": self.task,
            "parents": self.parents,
            "data_fingerprint": self.fingerprint,
        }


@dataclass(frozen=True)
class RowPlan:
    """One row of the runs table to come: which cell scores it, and what the columns before training say."""

    cell: str
    pretrain: str | None
    columns: dict[str, Any]


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks, floats by their shortest repr."""
    return _CANONICAL.encode(value)


def key_material(task: Mapping[str, Any], fingerprint: str, parents: Mapping[str, str]) -> dict[str, Any]:
    """Return what a key is the hash of.

    Parameters
    ----------
    task : mapping
        The whole task.
    fingerprint : str
        Of its data.
    parents : mapping of str to str
        Role -> key.
    """
    data = {name: value for name, value in task["data"].items() if name not in ("name", "data_dir")}
    whole = {**task, "data": {**data, "fingerprint": fingerprint}}
    if "weights" in task.get("model", {}):
        weights = {name: value for name, value in task["model"]["weights"].items() if name != "path"}
        whole["model"] = {**task["model"], "weights": weights}
    return {
        "stage_version": STAGE_VERSIONS[task["kind"]],
        "task": whole,
        "parents": dict(parents),
    }


def cell_key(task: Mapping[str, Any], fingerprint: str, parents: Mapping[str, str]) -> str:
    """Return a cell's key; see the module's text."""
    return hashlib.sha256(canonical_json(key_material(task, fingerprint, parents)).encode()).hexdigest()
