"""Tables that Weights & Biases and MLflow export, read as they come.

Layouts, as these tools write them:

* MLflow's ``search_runs`` and ``mlflow experiments csv``: ``run_id``, ``experiment_id``, ``status``, ..., and columns
  that begin with ``metrics.``, ``params.`` and ``tags.``. The table that its page downloads has plain names after
  ``Start Time``, ``Duration``, ``Run ID``, ``Name``, ``Source Type``, ``Source Name``, ``User`` and ``Status``; newer
  versions write an apostrophe before a cell that begins with ``=``, ``+``, ``-`` or ``@``, negative numbers among them.
* W&B's documented export script: columns ``summary`` and ``config``, each cell a whole mapping, and ``name``; or the
  same spread over columns that begin with ``summary.`` and ``config.`` (or ``summary/``, ``config/``). The table that
  its page downloads has the columns that are shown there, all quoted: ``Name``, ``State``, ``Notes``, ``User``,
  ``Tags``, ``Created``, ``Runtime``, ``Sweep`` and others, then the entries of config and summary under plain names,
  those of mappings inside mappings dotted.

A column that only one part has loses its prefix; what two parts have with different values keeps it, and a note says
so. Runs that did not finish are set aside and counted. Deliberately not built: a connection to either server.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.errors import RunsError
from tippingpoint.runs.faults import at_rows
from tippingpoint.runs.files import read_table
from tippingpoint.runs.table import Runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plain_columns"]

_MLFLOW = ("metrics.", "params.", "tags.")
_WANDB = ("summary.", "config.", "summary/", "config/")
_CELLS = ("summary", "config")
_OWN = "mlflow."  # what MLflow itself says of a run, under tags
_FINISHED = "finished"
_MLFLOW_PAGE = {"Run ID", "Source Type", "Status"}
_WANDB_PAGE = {"Name", "State"}  # whoever looks at the page chooses its columns, so that others may be missing
_WANDB_STATES = {"crashed", "failed", _FINISHED, "killed", "pending", "preempted", "preempting", "running"}
_FORMULA = re.compile(r"'[=+\-@]")
_NO_NUMBER = re.compile(r"(?<=[:\[,] )-?(?:nan|inf)(?=[,}\]])")
_DEEPEST, _LONGEST = 8, 200  # mappings inside mappings, and letters of a list, that are kept


def plain_columns(runs: Runs) -> Runs:
    """Return a tracker's table under plain column names; any other table comes back as it is.

    Parameters
    ----------
    runs : Runs
        As :func:`~tippingpoint.runs.files.read_table` gave it.

    Returns
    -------
    Runs
        What was renamed or set aside stands in its notes.

    Raises
    ------
    RunsError
        A cell of ``summary`` or ``config`` is no mapping.
    """
    names = [str(name) for name in runs.frame.columns]
    state = _page_state(runs.frame)
    if state == "Status":
        runs = _unquoted(runs)
    if "run_id" in names and any(name.startswith(_MLFLOW[:2]) for name in names):
        runs, state = _renamed(runs, _MLFLOW, "MLflow"), "status"
    elif all(_holds_mappings(runs.frame, name) for name in _CELLS):
        runs, state = _renamed(_spread(runs), _WANDB, "Weights & Biases"), state or "state"
    elif all(any(name.startswith((f"{part}.", f"{part}/")) for name in names) for part in _CELLS):
        runs, state = _renamed(runs, _WANDB, "Weights & Biases"), state or "state"
    return runs if state is None else _finished(runs, state)


def _page_state(frame: pd.DataFrame) -> str | None:
    """Return the column that says whether a run finished, where a tracker's page wrote the table."""
    if set(frame.columns) >= _MLFLOW_PAGE:
        return "Status"
    if set(frame.columns) >= _WANDB_PAGE:
        states = {str(state).lower() for state in frame["State"].dropna()}
        return "State" if states and states <= _WANDB_STATES else None
    return None


def _unquoted(runs: Runs) -> Runs:
    """Take away the apostrophe that MLflow's page writes before what a spreadsheet could take for a formula."""
    frame = runs.frame.copy()
    for name in frame.select_dtypes("object"):
        cells = frame[name].tolist()
        frame[name] = [cell[1:] if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in cells]
    return replace(runs, frame=read_table(frame).frame)


def _holds_mappings(frame: pd.DataFrame, name: str) -> bool:
    """Whether the first cell of a column that is there is a mapping, or text that looks like one."""
    if name not in frame.columns:
        return False
    cell = next(iter(frame[name].dropna()), None)
    return isinstance(cell, Mapping) or (isinstance(cell, str) and cell.startswith("{"))


def _spread(runs: Runs) -> Runs:
    """Return the table with a column for each entry of ``summary`` and ``config``, after the other columns."""
    import pandas as pd

    parts, faults = [runs.frame.drop(columns=list(_CELLS))], list[str]()
    for part in _CELLS:
        found = [_mapping(cell) for cell in runs.frame[part]]
        bad = np.array([one is None for one in found])
        what = "is no mapping of names to values; export the runs again"
        faults += at_rows(bad, runs.line_numbers(), part, what, runs.source, runs.row_word, list(runs.frame[part]))
        parts.append(pd.DataFrame([_flat(one or {}, f"{part}.") for one in found]))
    if faults:
        raise RunsError(faults)
    return replace(runs, frame=read_table(pd.concat(parts, axis=1)).frame)


def _mapping(cell: Any) -> Mapping[str, Any] | None:
    """Return a cell as a mapping: one already, or the text of one as JSON or Python writes it; else None."""
    if not isinstance(cell, str):
        empty = cell is None or (isinstance(cell, float) and np.isnan(cell))
        return cell if isinstance(cell, Mapping) else ({} if empty else None)
    for read in (json.loads, _literal):
        try:
            found = read(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _literal(text: str) -> Any:
    """Return what a Python literal says; nothing in it is run, and numbers that are none are None."""
    return ast.literal_eval(_NO_NUMBER.sub("None", text))


def _flat(entries: Mapping[str, Any], prefix: str, depth: int = 0) -> dict[str, Any]:
    """Return entries under dotted names; W&B's own (``_step``) left out, its ``{"value": 3}`` as the value."""
    found: dict[str, Any] = {}
    for key, given in entries.items():
        wrapped = isinstance(given, Mapping) and "value" in given and set(given) <= {"value", "desc"}
        value = given["value"] if wrapped else given
        if str(key).startswith("_") or depth > _DEEPEST:
            continue
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.", depth + 1)
        elif isinstance(value, str | int | float | None):
            found[f"{prefix}{key}"] = value
        else:
            found[f"{prefix}{key}"] = str(value)[:_LONGEST]
    return found


def _renamed(runs: Runs, prefixes: Sequence[str], tool: str) -> Runs:
    """Return the table without prefixes where that leaves no doubt, with notes."""
    whole: dict[str, list[str]] = {}
    for name in map(str, runs.frame.columns):
        prefix = next((one for one in prefixes if name.startswith(one)), "")
        bare = name.removeprefix(prefix)
        if bare and not bare.startswith(_OWN):
            whole.setdefault(bare, []).append(name)
    frame, doubtful, known = runs.frame, list[str](), {}
    for bare, names in whole.items():
        first, *others = names
        if bare in names or any(not frame[first].equals(frame[other]) for other in others):
            doubtful += [f"'{bare}' ({', '.join(names)})"] if others else []
            continue
        known[first] = bare
        frame = frame.drop(columns=others)
    notes = [f"The table is read as an export of {tool}: {len(known)} columns lose their prefix ({_shown(known)})."]
    if doubtful:
        notes.append(f"Several columns could be {'; '.join(doubtful)}; say which with --define.")
    return replace(runs, frame=frame.rename(columns=known)).noted(*notes)


def _shown(names: Mapping[str, str], most: int = 3) -> str:
    shown = ", ".join(f"{old} is {new}" for old, new in list(names.items())[:most])
    return shown + (", …" if len(names) > most else "")


def _finished(runs: Runs, column: str) -> Runs:
    """Set aside the runs that did not finish, where the table says which did."""
    if column not in runs.frame.columns:
        return runs
    done = runs.frame[column].astype(str).str.lower() == _FINISHED
    return runs.keep(done.to_numpy(bool), f"{column} is not '{_FINISHED}'") if done.any() else runs
