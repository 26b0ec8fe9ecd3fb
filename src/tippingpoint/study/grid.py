"""From a study to its cells and to the rows that they will fill.

Within a block everything is paired: the scratch and the guided student of one size see the same images, start from the
same weights and take their batches in the same order; a teacher is the scratch cell of its own heads on exactly these
images. A teacher is trained once and shared; a pretrained checkpoint serves all its fine-tunings. The teacher of the
student's own size alone is trained for its recipe, from other initial weights, and has no row of its own.

A fine-tuning is guided by the teacher's own fine-tuning on the same images, which then keeps its weights. Where a
teacher guides fine-tuning alone, the student starts from its scratch checkpoint; its pretraining has no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tippingpoint.study.cells import Cell, Estimate, RowPlan, canonical_json, cell_key
from tippingpoint.study.config import GUIDED, Block, Distilled, Training
from tippingpoint.study.load import Study

__all__ = ["Grid", "build_grid", "endpoint_numbers"]

CHECK_EVERY = 50  # steps, where a study does not say
OWN_TEACHER = 1_000_000  # added to a block's seed: weights and batches of a teacher that is as large as its student


@dataclass(frozen=True)
class Grid:
    """All that a study trains and publishes.

    Attributes
    ----------
    cells : dict of str to Cell
        By key; parents stand before their children.
    rows : tuple of RowPlan
        The runs table to come, in its order.
    """

    cells: dict[str, Cell]
    rows: tuple[RowPlan, ...]

    def children(self) -> dict[str, list[str]]:
        """Return key -> keys of the cells that wait for it."""
        table: dict[str, list[str]] = {key: [] for key in self.cells}
        for cell in self.cells.values():
            for parent in dict.fromkeys(cell.parents.values()):
                table[parent].append(cell.key)
        return table


def build_grid(study: Study) -> Grid:
    """Return the cells and rows of a study; a pure function of the study.

    Parameters
    ----------
    study : Study
        Checked and resolved.

    Returns
    -------
    Grid
        Cells by key, rows in the order of the runs table.
    """
    builder = _Builder(study)
    for recipe in study.config.recipes.named():
        builder.add_recipe(recipe)
    return Grid(builder.cells, tuple(builder.pretrained + builder.finetuned))


def _training(settings: Training) -> dict[str, Any]:
    """Return training settings as a task says them: what is not set is left out."""
    values = settings.model_dump(mode="json", exclude_none=True)
    if "steps" in values["length"]:
        values["length"] = {"steps": values["length"]["steps"]}
    return values


def _teacher_name(heads: Sequence[int]) -> str:
    return "heads=" + "+".join(map(str, heads))


class _Builder:
    """Collects cells (once each) and rows."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.config = study.config
        self.cells: dict[str, Cell] = {}
        self.pretrained: list[RowPlan] = []
        self.finetuned: list[RowPlan] = []
        self._costs: dict[str, Mapping[str, float]] = {}
        self._pretraining = _training(self.config.pretraining)
        tuned = {name: self.config.finetuning_on(name) for name in self.config.downstream}
        self._finetuning = {name: _training(settings) for name, settings in tuned.items() if settings}
        # Heads whose fine-tuned weights others learn from: they are kept, in the cell of their own row.
        self._tutors = {
            heads
            for name, recipe in self.config.recipes.named().items()
            if isinstance(recipe, Distilled) and self._guides(name, "finetuning")
            for pair in recipe.pairs
            for heads in pair.teacher
        }

    def add_recipe(self, recipe: str) -> None:
        """Add every cell and row of one recipe."""
        settings = getattr(self.config.recipes, recipe)
        pairs: list[tuple[int, tuple[int, ...]]]
        if hasattr(settings, "pairs"):
            pairs = [(pair.student, pair.teacher) for pair in settings.pairs]
        elif recipe == "self_distilled":
            pairs = [(student, (student,)) for student in settings.students]
        else:
            pairs = [(student, ()) for student in settings.students]
        if recipe == "no_pretraining":
            for student, _ in pairs:
                for block in self.config.all_blocks():
                    self._finetune(recipe, student, (), None, block, None)
            return
        sizes = settings.n_pretrain if settings.n_pretrain is not None else self.config.n_pretrain
        wanted = {self.study.n_pretrain[repr(size)] for size in sizes}
        for student, teacher in pairs:
            for count in [count for count in self.study.n_pretrain.values() if count in wanted]:
                for block in self.config.all_blocks():
                    cell = self._pretrain(recipe, student, teacher, count, block)
                    if recipe not in GUIDED or self._guides(recipe, "pretraining"):
                        columns = self._columns(cell, recipe, student, teacher)
                        self.pretrained.append(RowPlan(cell.key, cell.key, columns))
                    if self.config.finetune_recipes is None or recipe in self.config.finetune_recipes:
                        self._finetune(recipe, student, teacher, count, block, cell)

    # --- tasks ---

    def _guides(self, recipe: str, training: str) -> bool:
        """Return whether a recipe has a teacher in ``pretraining`` or in ``finetuning``."""
        return recipe in GUIDED and bool(getattr(self.config.recipes, recipe).guides(training))

    def _origin(self, recipe: str, block: Block) -> Block:
        """Return the block of a recipe's teachers."""
        apart = OWN_TEACHER if recipe == "self_distilled" else 0
        return Block(subset_seed=block.subset_seed, seed=block.seed + apart)

    def _task(
        self, kind: str, student: int, data: str, count: int, block: Block, recipe: str = "scratch"
    ) -> dict[str, Any]:
        config = self.config
        model: dict[str, Any] = {**config.model.model_dump(), "heads": student}
        if recipe in GUIDED and getattr(config.recipes, recipe).distillation_token:
            model["distillation_token"] = True
        about: dict[str, Any] = {
            "name": data,
            "image_size": config.image.size,
            "channels": config.image.channels,
            "validation_fraction": config.validation_fraction,
        }
        if config.data_dir is not None:
            about["data_dir"] = config.data_dir
        return {
            "kind": kind,
            "model": model,
            "data": about,
            "n_images": count,
            "subset_seed": block.subset_seed,
            "seed": block.seed,
            "score_on": config.score_on,
            "training": self._pretraining if kind == "pretrain" else self._finetuning[data],
            "guidance": None,
            "teachers": [],
            "label_smoothing": 0.0,
            "extra_flops": 0.0,
        }

    def _guided(self, task: dict[str, Any], recipe: str, teacher: Sequence[int]) -> dict[str, Any]:
        settings = getattr(self.config.recipes, recipe) or Distilled.model_construct(pairs=[])
        names = ("label_weight", "temperature", "attention_weight", "attention_temperature")
        models = [{**self.config.model.model_dump(), "heads": heads} for heads in teacher]
        guidance = {name: getattr(settings, name) for name in names}
        # What is not said is not in a task: studies from before there were schedules keep their keys.
        if settings.guidance_schedule not in (None, "constant"):
            guidance["schedule"] = settings.guidance_schedule
        if settings.guidance_schedule == "until_passed":
            guidance["check_every"] = settings.check_every or CHECK_EVERY
        return {**task, "guidance": guidance, "teachers": models}

    def _pretrain(self, recipe: str, student: int, teacher: tuple[int, ...], count: int, block: Block) -> Cell:
        """Return the pretraining cell of a recipe, its teachers before it."""
        task = self._task("pretrain", student, self.config.upstream, count, block, recipe)
        parents: dict[str, str] = {}
        if self._guides(recipe, "pretraining"):
            for place, heads in enumerate(teacher):
                teaching = self._pretrain("scratch", heads, (), count, self._origin(recipe, block))
                parents[f"teacher_{place}"] = teaching.key
            task = self._guided(task, recipe, teacher)
        elif recipe == "grown":
            parents["grown_from"] = self._pretrain("scratch", teacher[0], (), count, block).key
            task["grown_from"] = {**self.config.model.model_dump(), "heads": teacher[0]}
        elif recipe == "smoothed" and self.config.recipes.smoothed is not None:
            task["label_smoothing"] = self.config.recipes.smoothed.label_smoothing
        elif recipe == "scratch_extra_compute":
            guides = [self._task("pretrain", heads, self.config.upstream, count, block) for heads in teacher]
            task["extra_flops"] = self._cost(self._guided(task, "distilled", teacher))["guidance_flops"] + sum(
                self._cost(guide)["flops"] for guide in guides
            )
        where = self._where(recipe, student, teacher, count, block)
        return self._cell(task, parents, self.config.upstream, where)

    def _finetune(
        self, recipe: str, student: int, teacher: tuple[int, ...], count: int | None, block: Block, start: Cell | None
    ) -> None:
        """Add the fine-tunings of one checkpoint (or of random weights)."""
        for name in self.config.downstream:
            for images in self.study.n_finetune[name].values():
                cell = self._tuned(recipe, student, teacher, count, block, start, name, images)
                columns = self._columns(cell, recipe, student, teacher, start)
                columns |= {"n_pretrain": count, "downstream": name, "n_finetune": images}
                self.finetuned.append(RowPlan(cell.key, start.key if start else None, columns))

    def _tuned(
        self,
        recipe: str,
        student: int,
        teacher: tuple[int, ...],
        count: int | None,
        block: Block,
        start: Cell | None,
        name: str,
        images: int,
        *,
        teaches: bool = False,
    ) -> Cell:
        """Return one fine-tuning, its fine-tuned teachers before it."""
        task = self._task("finetune", student, name, images, block, recipe)
        parents = {"init": start.key} if start else {}
        if teaches or (recipe == "scratch" and student in self._tutors):
            task["keep_weights"] = True
        if count is not None and self._guides(recipe, "finetuning"):
            origin = self._origin(recipe, block)
            for place, heads in enumerate(teacher):
                own = self._pretrain("scratch", heads, (), count, origin)
                tuned = self._tuned("scratch", heads, (), count, origin, own, name, images, teaches=True)
                parents[f"teacher_{place}"] = tuned.key
                if not self._guides(recipe, "pretraining"):
                    parents[f"owed_{place}"] = own.key  # no other training of this student pays for it
            task = self._guided(task, recipe, teacher)
        where = self._where(recipe, student, teacher, count, block)
        return self._cell(task, parents, name, where | {"downstream": name, "n_finetune": images})

    # --- cells and rows ---

    def _where(
        self, recipe: str, student: int, teacher: tuple[int, ...], count: int | None, block: Block
    ) -> dict[str, Any]:
        return {
            "recipe": recipe,
            "student": student,
            "teacher": _teacher_name(teacher) if teacher else None,
            "n_pretrain": count,
            "subset_seed": block.subset_seed,
            "seed": block.seed,
            "downstream": None,
            "n_finetune": None,
        }

    def _cell(self, task: dict[str, Any], parents: dict[str, str], data: str, where: dict[str, Any]) -> Cell:
        fingerprint = self.study.images[data].fingerprint
        key = cell_key(task, fingerprint, parents)
        if key not in self.cells:
            cost = self._cost(task)
            estimate = Estimate(
                n_params=int(cost["n_params"]),
                n_params_head=int(cost["n_params_head"]),
                n_steps=int(cost["n_steps"]),
                flops=float(cost["flops"]),
                guidance_flops=float(cost["guidance_flops"]),
            )
            self.cells[key] = Cell(key, task, parents, fingerprint, where, estimate)
        return self.cells[key]

    def _cost(self, task: dict[str, Any]) -> Mapping[str, float]:
        """Ask the laboratory once for each shape of training: seeds cost nothing."""
        shape = canonical_json({**task, "seed": 0, "subset_seed": 0})
        if shape not in self._costs:
            self._costs[shape] = self.study.laboratory.describe(task)
        return self._costs[shape]

    def _columns(
        self, cell: Cell, recipe: str, student: int, teacher: tuple[int, ...], start: Cell | None = None
    ) -> dict[str, Any]:
        """Return the columns of a row that are known before anything is trained."""
        guided = start or cell
        parents = {**guided.parents, **cell.parents}
        sizes = [self.cells[key].estimate.n_params for role, key in parents.items() if role != "init"]
        return {
            "recipe": recipe,
            "stage": "finetuned" if cell.kind == "finetune" else "pretrained",
            "upstream": self.config.upstream,
            "downstream": None,
            "n_pretrain": guided.task["n_images"] if guided.kind == "pretrain" else None,
            "student": f"heads={student}",
            "n_params_teacher": max(sizes) if sizes else None,
            "teacher": _teacher_name(teacher) if teacher else None,
            "n_finetune": None,
            "subset_seed": cell.task["subset_seed"],
            "seed": cell.task["seed"],
            "scored_on": self.config.score_on,
        }


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
    student = next(
        (
            cell
            for cell in grid.cells.values()
            if cell.kind == "pretrain" and cell.task["model"]["heads"] == endpoint.student
        ),
        None,
    )
    at: dict[str, Any] = {"n_params": student.estimate.n_params if student else None}
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
        "student": {"heads": endpoint.student},
        "teacher": _teacher_name(endpoint.teacher) if endpoint.teacher else None,
        "at": at,
    }


def _held(counts: Mapping[str, int], size: Any) -> int | None:
    """Return the count of a size that is held fixed; by default the largest."""
    if size is not None:
        return counts[repr(size)]
    return max(counts.values(), default=None)
