"""Pretrained models of a study, for use elsewhere: see ``tippingpoint.lab.models.export`` for what is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tippingpoint.errors import InputError, MissingExtraError, StoreError
from tippingpoint.runs import read_runs
from tippingpoint.study.cell_files import read_cell, verify_cell
from tippingpoint.study.fsck import require_study
from tippingpoint.study.store import is_key

__all__ = ["Exported", "export_study"]

WEIGHTS = "weights.safetensors"


class Exported(NamedTuple):
    """One model that was written.

    Attributes
    ----------
    path : Path
        The ``.safetensors`` file; the JSON lies beside it.
    about : dict
        What the JSON says.
    """

    path: Path
    about: dict[str, Any]


def export_study(root: str | Path, to: str | Path, *, where: str | None = None) -> list[Exported]:
    """Write the pretrained models of a study under timm's names, each with the call of timm that builds it.

    Parameters
    ----------
    root : str or Path
        The study directory.
    to : str or Path
        A folder; it is made if it is missing. Files of the same models are written anew.
    where : str, optional
        Condition over the runs table: a model is written if it stands behind one of the rows that meet it, such as
        ``recipe == 'distilled' and n_finetune == 100 and error < 0.2``.

    Returns
    -------
    list of Exported
        In the order of the runs table.

    Raises
    ------
    InputError
        It is not a study directory, the condition is wrong, or no model is left.
    StoreError
        A cell is damaged.
    EnvironmentFault
        The files cannot be written, or the laboratory is not installed.
    """
    root, folder = Path(root), Path(to)
    require_study(root)
    cells = _chosen(root, where)
    faults = [f"{cell} {fault}; run the study again." for cell in cells if (fault := verify_cell(cell))]
    if faults:
        raise StoreError(faults)
    try:
        from tippingpoint.lab.models.export import export_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"Exporting needs the package '{error.name}'; install the laboratory: pip install 'tippingpoint[lab]'."
        ) from error
    found = []
    for cell in cells:
        about, result = read_cell(cell)
        path = folder / f"{_name(about)}.safetensors"
        found.append(Exported(path, export_model(cell, path, _told(about, result))))
    return found


def _chosen(root: Path, where: str | None) -> list[Path]:
    """Return the pretraining cells behind the rows that meet a condition, each once."""
    frame = read_runs(root, where=where).frame
    wanted = [str(text) for text in frame["pretrain_id"].dropna().unique()] if "pretrain_id" in frame else []
    known = {path.name[:12]: path for path in (root / "cells").iterdir() if is_key(path.name)}
    missing = [short for short in wanted if short not in known]
    if missing:
        raise StoreError(f"{root}: the cells {', '.join(missing)} of its runs table are gone; run the study again.")
    cells = [known[short] for short in wanted if (known[short] / WEIGHTS).is_file()]
    if not cells:
        told = f" behind the rows that meet {where}" if where else ""
        raise InputError(
            f"{root}: there is no pretrained model{told}; a study keeps the weights of its own pretrainings alone, not "
            "those of fine-tunings or public models: choose other rows, or run the study first."
        )
    return cells


def _name(about: Mapping[str, Any]) -> str:
    """Return a file's name that says what the model is, unique by the cell's key."""
    place = about["where"]
    parts = [place["recipe"], place["student"], place["n_pretrain"], about["key"][:12]]
    if isinstance(place["student"], int):
        parts[1] = f"heads{place['student']}"
    return re.sub(r"[^\w.-]+", "_", "-".join(str(part) for part in parts if part is not None))


def _told(about: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the JSON says of a model's training; no path of this machine."""
    return {
        "trained_on": {"images": about["task"]["data"]["name"], "data_fingerprint": about["data_fingerprint"]},
        "study": {name: value for name, value in about["where"].items() if value is not None},
        "scores": result["scores"],
        "n_params": result["n_params"],
        "n_params_head": result["n_params_head"],
        "cell": about["key"],
    }
