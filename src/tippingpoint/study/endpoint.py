"""The primary endpoint of a study with its sizes as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tippingpoint.study.cells import Cell
from tippingpoint.study.grid import Grid
from tippingpoint.study.load import Study
from tippingpoint.study.values import model_name

__all__ = ["FIRST_BLOCKS", "FIRST_SIZES", "endpoint_cells", "endpoint_numbers", "models_of_one_size"]

FIRST_SIZES, FIRST_BLOCKS = 3, 2  # the fewest that a law and the spread of blocks can be had from


def endpoint_numbers(study: Study, grid: Grid) -> dict[str, Any] | None:
    """Return the primary endpoint with its sizes as numbers, as ``progress.json`` says it.

    Parameters
    ----------
    study : Study
        Whose endpoint.
    grid : Grid
        Its cells, which know the student's size.

    Returns
    -------
    dict or None
        None where the study declares no endpoint.
    """
    endpoint = study.config.endpoint
    if endpoint is None:
        return None
    name = model_name(endpoint.student)
    of_student = [grid.cells[row.cell] for row in grid.rows if row.columns["student"] == name]
    at: dict[str, Any] = {"n_params": of_student[0].estimate.n_params if of_student else None}
    if endpoint.along != "n_pretrain":
        at["n_pretrain"] = _held(study.n_pretrain, endpoint.n_pretrain)
    if endpoint.along != "n_finetune":
        tuned = study.n_finetune.get(endpoint.downstream or "", {})
        at["n_finetune"] = _held(tuned, endpoint.n_finetune) if endpoint.stage == "finetuned" else None
    return {
        "recipes": list(endpoint.recipes),
        "along": endpoint.along,
        "stage": endpoint.stage,
        "target": endpoint.target,
        "upstream": study.config.upstream,
        "downstream": endpoint.downstream,
        "student": name,
        "teacher": model_name(endpoint.teacher) if endpoint.teacher else None,
        "at": at,
    }


def endpoint_cells(grid: Grid, endpoint: Mapping[str, Any]) -> list[Cell]:
    """Return the cells that score the two sides of an endpoint, at every size of its axis and in every block.

    Parameters
    ----------
    grid : Grid
        Of the study.
    endpoint : mapping
        Of `endpoint_numbers`.
    """
    along, held = endpoint["along"], {axis: size for axis, size in endpoint["at"].items() if axis != "n_params"}
    found = []
    for cell in grid.cells.values():
        where = cell.where
        if cell.stage == endpoint["stage"] and where["recipe"] in endpoint["recipes"]:
            same = model_name(where["student"]) == endpoint["student"]
            same &= where["teacher"] is None or where["teacher"] == endpoint["teacher"]
            same &= cell.stage == "pretrained" or where["downstream"] == endpoint["downstream"]
            same &= all(size is None or where[axis] in (None, size) for axis, size in held.items())
            if same and where[along] is not None:
                found.append(cell)
    return found


def models_of_one_size(grid: Grid) -> list[str]:
    """Return a sentence for models that only their names tell apart.

    Fits and boundaries know a model by its number of parameters, and would take such models for one.

    Parameters
    ----------
    grid : Grid
        Cells and rows of a study.
    """
    names: dict[int, dict[str, None]] = {}
    for row in grid.rows:
        names.setdefault(grid.cells[row.cell].estimate.n_params, {})[row.columns["student"]] = None
    return [
        f"{' and '.join(models)} have {n_params:,} parameters each: fits and boundaries tell models apart by that "
        "number alone and pool these; give them sizes that differ, or studies of their own."
        for n_params, models in names.items()
        if len(models) > 1
    ]


def _held(counts: Mapping[str, int], size: Any) -> int | None:
    """Return the count of a size that is held fixed; by default the largest."""
    if size is not None:
        return counts[repr(size)]
    return max(counts.values(), default=None)
