"""What a training costs by a table of runs: as others of its sizes, else in proportion to parameters and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.boundary.levels import is_size
from tippingpoint.boundary.selection import AXES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prices"]

_FLOPS = ("pretrain_flops", "teacher_flops", "finetune_flops")
_SEEDS = ("subset_seed", "seed")


class Prices:
    """What each training costs by the table, and which are done.

    Parameters
    ----------
    frame : DataFrame
        The whole table.
    cost : str
        ``flops`` or ``seconds``.

    Attributes
    ----------
    costs, labels : dict of str to float, of str to str
        Of every training that was asked for.
    unit : str
        ``FLOPs``, ``seconds`` or ``trainings``.
    notes : tuple of str
        What was assumed.
    """

    def __init__(self, frame: pd.DataFrame, cost: str) -> None:
        self.frame = frame
        self.costs: dict[str, float] = {}
        self.labels: dict[str, str] = {}
        has = set(frame.columns)
        self.sums = set(_FLOPS) <= has and cost == "flops"
        self.column = None if self.sums else "train_flops" if cost == "flops" else "wall_s"
        self.notes: tuple[str, ...] = ()
        self.unit = "FLOPs" if cost == "flops" else "seconds"
        if self.column and self.column not in has:
            self.column, self.unit = None, "trainings" if "n_params" not in has else "FLOPs"
            self.notes = (
                f"The table does not say {'FLOPs' if cost == 'flops' else 'wall_s'}: a training is taken to cost "
                f"{'the same everywhere' if self.unit == 'trainings' else '6 x parameters x images'}.",
            )

    def needs(self, row: dict[str, Any], recipe: str) -> tuple[str, frozenset[str]]:
        """Return the checkpoint's name and the trainings that a run needs; their costs are kept."""
        tuned = bool(np.isfinite(float(row.get("n_finetune", np.nan))))
        upstream = self._upstream(recipe, row, row.get("teacher"))
        known = self._known(upstream, row)
        if self.column == "train_flops":  # checkpoint, teacher and fine-tuning in one sum
            label = self._name(recipe, row, upstream, f" -> {float(row['n_finetune']):g}" if tuned else "")
            return known or f"new {label}", frozenset({self._priced(f"new {label}", label, upstream, row, "pretrain")})
        name = known or f"new {self._name(recipe, row, upstream)}"
        cells = set()
        if not known:
            cells.add(self._priced(name, self._name(recipe, row, upstream), upstream, row, "pretrain"))
            cells |= self._teacher(row)
        if tuned:
            label = self._name(recipe, row, upstream, f" -> {float(row['n_finetune']):g}")
            cells.add(self._priced(f"{name} -> {row['n_finetune']:g}", label, upstream, row, "finetune"))
        return name, frozenset(cells)

    def _upstream(self, recipe: str, row: dict[str, Any], teacher: Any) -> NDArray[np.bool_]:
        """Return the rows of the table that stand on such a checkpoint, of any block."""
        frame = self.frame
        parts: list[NDArray[np.bool_]] = [(frame["recipe"].astype(object) == recipe).to_numpy(bool)]
        for axis in ("n_pretrain", "n_params", "n_params_teacher"):
            if axis in frame.columns and axis in row and np.isfinite(float(row[axis])):
                parts.append(is_size(frame[axis].to_numpy(dtype=float, na_value=np.nan), float(row[axis])))
        if "teacher" in frame.columns and isinstance(teacher, str):
            parts.append((frame["teacher"].astype(object) == teacher).to_numpy(bool))
        return np.asarray(np.stack(parts).all(axis=0), dtype=bool)

    def _known(self, upstream: NDArray[np.bool_], row: dict[str, Any]) -> str | None:
        """Return the checkpoint of this block if a row of the table stands on it."""
        if "pretrain_id" not in self.frame.columns:
            return None
        own = self.frame[upstream & self._block(row)]["pretrain_id"].dropna()
        return str(own.iloc[0]) if len(own) else None

    def _block(self, row: dict[str, Any]) -> NDArray[np.bool_]:
        """Return the rows of one block."""
        same = (self.frame[list(_SEEDS)] == [row[name] for name in _SEEDS]).to_numpy(dtype=bool)
        return np.asarray(same.all(axis=1), dtype=bool)

    def _teacher(self, row: dict[str, Any]) -> set[str]:
        """Return the teacher's training where it is not done: that of the scratch model of its size."""
        size = float(row.get("n_params_teacher", np.nan))
        if not np.isfinite(size):
            return set()
        own = {**row, "n_params": size, "n_params_teacher": np.nan}
        upstream = self._upstream("scratch", own, None)
        if (upstream & self._block(row)).any():
            return set()
        label = self._name("scratch", own, upstream)
        return {self._priced(f"new {label}", label, upstream, own, "pretrain")}

    def _priced(self, key: str, label: str, upstream: NDArray[np.bool_], row: dict[str, Any], kind: str) -> str:
        """Keep the cost of a training: as others of its sizes, else in proportion to parameters and images."""
        if key in self.costs:
            return key
        images = float(row["n_pretrain" if kind == "pretrain" else "n_finetune"]) if "n_pretrain" in row else 1.0
        size = float(row.get("n_params", 1.0))
        value = 6 * size * images if self.unit == "FLOPs" else 1.0
        if self.sums or self.column:
            values, sizes = self._paid(kind)
            values = np.where(self._stage(kind), values, np.nan)
            alike = upstream & np.isfinite(values) & (values > 0)
            if kind == "finetune" and "n_finetune" in row:
                alike &= is_size(self.frame["n_finetune"].to_numpy(dtype=float, na_value=np.nan), images)
            rate = (values / sizes)[(values > 0) & np.isfinite(values)]
            value = float(np.median(values[alike])) if alike.any() else _middle(rate) * size * images
        self.costs[key] = value if np.isfinite(value) and value > 0 else 1.0
        self.labels[key] = label
        return key

    def _stage(self, kind: str) -> NDArray[np.bool_]:
        """Return the rows whose own training is of a kind; where only sums are told, all."""
        if self.column != "wall_s" or "stage" not in self.frame.columns:
            return np.ones(len(self.frame), dtype=bool)
        named = self.frame["stage"].astype(object) == {"pretrain": "pretrained", "finetune": "finetuned"}[kind]
        return named.to_numpy(bool)

    def _paid(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what every row of the table cost in a stage, and its parameters times images."""
        numbers = {name: self.frame[name].to_numpy(dtype=float, na_value=np.nan) for name in self._columns()}
        size = numbers.get("n_params", np.ones(len(self.frame)))
        images = numbers.get("n_pretrain" if kind == "pretrain" else "n_finetune", np.ones(len(self.frame)))
        if not self.sums:
            return numbers[str(self.column)], size * images
        if kind == "finetune":
            return numbers["finetune_flops"], size * images
        return numbers["pretrain_flops"] + self._guidance(numbers), size * images

    def _guidance(self, numbers: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the teachers' forward passes: their FLOPs less their own training, which is charged once."""
        total = numbers["teacher_flops"].copy()
        if not {"n_params", "n_params_teacher"} <= set(numbers):
            return total  # nothing tells which of the runs is the teacher
        size, guide, images = numbers["n_params"], numbers["n_params_teacher"], numbers.get("n_pretrain")
        scratch = (self.frame["recipe"].astype(object) == "scratch").to_numpy(bool)
        for place in np.flatnonzero(total > 0):
            own = scratch & is_size(size, guide[place])
            own &= is_size(images, images[place]) if images is not None else True
            if own.any():
                total[place] = max(total[place] - float(np.median(numbers["pretrain_flops"][own])), 0.0)
        return total

    def _columns(self) -> list[str]:
        names = (*AXES, *_FLOPS, "train_flops", "wall_s")
        return [name for name in names if name in self.frame.columns]

    def _name(self, recipe: str, row: dict[str, Any], upstream: NDArray[np.bool_], then: str = "") -> str:
        """Return what is trained, as the cells of a study are labelled."""
        parts = [recipe]
        named = list(self.frame["student"][upstream].dropna()) if "student" in self.frame.columns else []
        size = float(row.get("n_params", np.nan))
        if named:
            name = str(named[0])
            parts.append(f"{name.removeprefix('heads=')} heads" if name.startswith("heads=") else name)
        elif np.isfinite(size):
            parts.append(f"{size:g} parameters")
        if "n_pretrain" in row and np.isfinite(float(row["n_pretrain"])):
            parts.append(f"{float(row['n_pretrain']):g} images")
        return f"{' '.join(parts)}{then} block {row['subset_seed']}/{row['seed']}"


def _middle(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else np.nan
