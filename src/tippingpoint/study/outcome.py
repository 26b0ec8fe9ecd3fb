"""How a run of a study ended, and what it takes over from the runs before it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tippingpoint.files import write_atomic
from tippingpoint.study.grid import Grid
from tippingpoint.study.load import Study, dump_config

__all__ = ["Outcome", "keep_config", "spent_before", "told_of_images"]


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended.

    Attributes
    ----------
    state : str
        ``done``, ``failed`` (some cells did) or ``interrupted``.
    counts : dict of str to int
        Cells by state.
    trained : int
        Cells that this run trained.
    reused : int
        Cells that were there before, or that another run trained meanwhile.
    failures : dict of str to str
        Label of each failed cell -> reason.
    logs : list of Path
        Log of each failed cell.
    n_rows : int
        Rows of ``runs.csv``.
    wall_s : float
        Seconds of this run.
    root : Path
        The study directory.
    notes : list of str
        What was mended or should be known.
    """

    state: str
    counts: dict[str, int]
    trained: int
    reused: int
    failures: dict[str, str]
    logs: list[Path]
    n_rows: int
    wall_s: float
    root: Path
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 done, 1 cells failed, 130 interrupted."""
        return {"done": 0, "failed": 1}.get(self.state, 130)


def told_of_images(root: Path, study: Study, grid: Grid) -> list[str]:
    """Return what should be known of a study's images, as an earlier run found it out or looked at now.

    Raises
    ------
    DataError
        A set of images cannot be read, a subset lacks a class, or training images are test images.
    """
    told = _told_before(root, study)
    if told is None:
        tasks = (cell.task for cell in grid.cells.values())
        allow_overlap = bool(study.config.allow_overlap)
        told = study.laboratory.inspect(tasks, places=study.places, allow_overlap=allow_overlap)
    return told


def _told_before(root: Path, study: Study) -> list[str] | None:
    """Return what an earlier run of the very same study found out about its images; None where there was none."""
    try:
        before = json.loads((root / "progress.json").read_text(encoding="utf-8"))
        same = {name: facts["fingerprint"] for name, facts in before["images"].items()} == {
            name: facts.fingerprint for name, facts in study.images.items()
        } and (root / "study.yaml").read_text(encoding="utf-8") == dump_config(study.config)
        return [str(note) for note in before["notes"]] if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def spent_before(root: Path, study: Study) -> float:
    """Return the seconds that earlier runs of the same study took."""
    try:
        before = json.loads((root / "progress.json").read_text(encoding="utf-8"))
        return float(before["wall_s"]) if before["study"]["name"] == study.config.name else 0.0
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def keep_config(root: Path, study: Study, n_cells: int, n_before: int) -> list[str]:
    """Write the resolved study beside its cells; return a sentence where another one lay there.

    Parameters
    ----------
    root : Path
        The study directory.
    study : Study
        What is run now.
    n_cells, n_before : int
        Its cells, and those that are here already.
    """
    path, text = root / "study.yaml", dump_config(study.config)
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    if before != text:
        write_atomic(path, text)
    if before is None or before == text:
        return []
    reused = f"{n_before} of its {n_cells} cells are here already"
    return [f"The study in {root} has changed since the last run; {reused} and are used."]
