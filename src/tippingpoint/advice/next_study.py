"""Which runs could be made next and what each costs: from the cells of a study, as ``cells.jsonl`` lists them.

The study knows which cells it still has to train, what each starts from and what it costs. Extra blocks are copies of
the first block with other seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.advice.next_offers import Offers
from tippingpoint.boundary.levels import is_size, names_in
from tippingpoint.boundary.selection import AXES, Selection
from tippingpoint.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["extra_cells", "offers_of_cells", "read_cells", "read_endpoint"]

SCHEMA_VERSION = 1  # of cells.jsonl and progress.json


def read_cells(root: Path) -> list[dict[str, Any]]:
    """Return the cells that a study directory lists.

    Raises
    ------
    InputError
        It lists none, or its file is damaged or of a newer version.
    """
    path = root / "cells.jsonl"
    return [cell for line in _text(path).splitlines() if (cell := _parsed(path, line))]


def read_endpoint(root: Path) -> dict[str, Any] | None:
    """Return the primary endpoint that a study directory declares, None where it declares none.

    Raises
    ------
    InputError
        Its file is damaged or of a newer version.
    """
    path = root / "progress.json"
    study = _parsed(path, _text(path)).get("study")
    endpoint = study.get("endpoint") if isinstance(study, dict) else None
    return endpoint if isinstance(endpoint, dict) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: there is no such file; 'tippingpoint run' writes one into a study directory (a table of runs is "
            "named itself, not its folder)."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; run the study again, which writes it anew.") from error
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror or error}); check its permissions.") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        version = found["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is damaged and cannot be read; run the study again, which writes it anew."
        ) from error
    if version != SCHEMA_VERSION:
        raise InputError(f"{path}: was written by a newer version of tippingpoint; upgrade the package.")
    return dict(found)


def extra_cells(cells: Sequence[Mapping[str, Any]], extra: int) -> list[dict[str, Any]]:
    """Return the cells of further blocks: those of the first one, none done, with seeds beyond all there are."""
    blocks = list(dict.fromkeys(block for cell in cells if (block := _block(cell))))
    found: list[dict[str, Any]] = []
    if not blocks:
        return found
    first = [cell for cell in cells if _block(cell) == blocks[0]]
    own = {str(cell["key"]) for cell in first}  # what all blocks share is not copied
    top = [max(block[place] for block in blocks) for place in (0, 1)]
    for step in range(1, extra + 1):
        seeds = {"subset_seed": top[0] + step, "seed": top[1] + step}
        for cell in first:
            inputs = cell["inputs"]
            parents = {role: f"{key} +{step}" if key in own else key for role, key in inputs["parents"].items()}
            label = cell["label"].rpartition(" block ")[0] + f" block {seeds['subset_seed']}/{seeds['seed']}"
            copied = {"where": {**inputs["where"], **seeds}, "parents": parents}
            found.append({**cell, "key": f"{cell['key']} +{step}", "label": label, "state": "todo", "inputs": copied})
    return found


def _block(cell: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return a cell's seeds; None where it serves all blocks."""
    where = cell["inputs"]["where"]
    return None if where["seed"] is None else (int(where["subset_seed"]), int(where["seed"]))


def offers_of_cells(chosen: Selection, cells: Iterable[Mapping[str, Any]], stage: str | None, cost: str) -> Offers:
    """Return what a study could train next for a question.

    Parameters
    ----------
    chosen : Selection
        The runs that there are of it.
    cells : iterable of mapping
        As in ``cells.jsonl``.
    stage : str or None
        Of the question: ``pretrained`` or ``finetuned``.
    cost : str
        ``flops`` or ``seconds``; seconds are known for models that the study has trained.

    Returns
    -------
    Offers
        What a failed cell stands in the way of is not on offer.

    Raises
    ------
    InputError
        Seconds are asked for, and no cell is done.
    """
    import pandas as pd

    by_key = {str(cell["key"]): cell for cell in cells}
    kinds = ("pretrain",) if stage == "pretrained" else ("finetune", "probe")
    names = [{column: names_in(frame, column) for column in ("teacher", "downstream")} for frame in chosen.frames]
    begun = {_block(cell) for cell in by_key.values() if cell["state"] == "done"}
    rows: list[dict[str, Any]] = []
    needs: list[frozenset[str]] = []
    for cell in by_key.values():
        row = _row(cell, by_key, chosen, kinds, names)
        if row is None or cell["state"] == "done":
            continue
        wanted = _open(cell, by_key)
        if any(by_key[key]["state"] in ("failed", "blocked") for key in wanted):
            continue
        rows.append({**row, "new": _block(cell) not in begun})
        needs.append(frozenset(wanted))
    used = sorted(set().union(*needs))
    costs = _costs(used, by_key, cost)
    labels = {key: str(by_key[key]["label"]) for key in used}
    columns = ["side", *AXES, "subset_seed", "seed", "pretrain_id", "new"]
    table = pd.DataFrame(rows, columns=columns if not rows else None)
    return Offers(_typed(table), tuple(needs), costs, labels, "FLOPs" if cost == "flops" else "seconds")


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({axis: float for axis in AXES if axis in table.columns})


def _row(
    cell: Mapping[str, Any],
    cells: Mapping[str, Mapping[str, Any]],
    chosen: Selection,
    kinds: Sequence[str],
    known: Sequence[Mapping[str, Sequence[str]]],
) -> dict[str, Any] | None:
    """Return the run that a cell will be, or None where it does not belong to the question."""
    where = cell["inputs"]["where"]
    if where["recipe"] not in chosen.recipes or cell["kind"] not in kinds:
        return None
    side = chosen.recipes.index(where["recipe"])
    if any(names and where[column] not in names for column, names in known[side].items()):
        return None
    start = cells[cell["inputs"]["parents"]["init"]] if "init" in cell["inputs"]["parents"] else cell
    guides = [key for role, key in start["inputs"]["parents"].items() if role.startswith("teacher")]
    row = {
        "side": side,
        "n_pretrain": where["n_pretrain"],
        "n_params": cell["cost"]["n_params"],
        "n_params_teacher": max((cells[key]["cost"]["n_params"] for key in guides), default=None),
        "n_finetune": where["n_finetune"],
        "subset_seed": where["subset_seed"],
        "seed": where["seed"],
        "pretrain_id": str(start["key"])[:12] if "+" not in str(start["key"]) else str(start["key"]),
    }
    for axis in chosen.held:
        if row.get(axis) is not None and not is_size(np.array(float(row[axis])), chosen.at[axis]):
            return None
    return row


def _open(cell: Mapping[str, Any], cells: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the cell and all it stands on, those that are not done."""
    found: set[str] = set()
    pending = [str(cell["key"])]
    while pending:
        key = pending.pop()
        if cells[key]["state"] != "done" and key not in found:
            found.add(key)
            pending += cells[key]["inputs"]["parents"].values()
    return found


def _costs(keys: Sequence[str], cells: Mapping[str, Mapping[str, Any]], cost: str) -> dict[str, float]:
    """Return what every cell costs: its FLOPs, or these at the speed of those like it that are done."""
    work = {key: float(cell["cost"]["flops"]) + float(cell["cost"]["guidance_flops"]) for key, cell in cells.items()}
    if cost == "flops":
        return {key: max(work[key], 1.0) for key in keys}
    spent: dict[Any, list[float]] = {}
    for key, cell in cells.items():
        if cell["state"] == "done" and cell.get("wall_s") and work[key] > 0:
            for alike in (_alike(cell), None):
                total = spent.setdefault(alike, [0.0, 0.0])
                total[0] += float(cell["wall_s"])
                total[1] += work[key]
    if None not in spent:
        raise InputError("cost: seconds are asked for, but no cell of the study is done yet; take flops.")
    rates = {alike: seconds / flops for alike, (seconds, flops) in spent.items()}
    return {key: max(work[key] * rates.get(_alike(cells[key]), rates[None]), 1e-9) for key in keys}


def _alike(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return cell["kind"], cell["inputs"]["where"]["recipe"], cell["cost"]["n_params"]
