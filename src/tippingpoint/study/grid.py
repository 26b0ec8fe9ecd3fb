"""From a study to its cells and to the rows that they will fill.

Within a block everything is paired: the scratch and the guided student of one size see the same images, start from the
same weights and take their batches in the same order; a teacher is the scratch cell of its own name on exactly these
images (or on as many as ``teacher_n_pretrain`` says). A teacher is trained once and shared; a pretrained checkpoint
serves all its fine-tunings. The teacher of the student's own size alone is trained for its recipe, from other initial
weights, and has no row of its own.

A fine-tuning is guided by the teacher's own fine-tuning on the same images, which then keeps its weights. Where a
teacher guides fine-tuning alone, the student starts from its scratch checkpoint; its pretraining has no row.

Public weights have no pretraining here: they are fine-tuned, or their features of a whole set are computed once (a
cell without a row) and a linear classifier learns from those of each subset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tippingpoint.study.cells import Cell, Estimate, RowPlan, cell_key
from tippingpoint.study.config import Block
from tippingpoint.study.load import Study
from tippingpoint.study.recipes import (
    Distilled,
    ExtraCompute,
    Grown,
    Guided,
    NoPretraining,
    Public,
    PublicFrozen,
    SelfDistilled,
    Smoothed,
    pairs_of,
)
from tippingpoint.study.tasks import TaskWriter
from tippingpoint.study.values import Model, model_name

__all__ = ["Grid", "build_grid"]

OWN_TEACHER = 1_000_000  # added to a block's seed: weights and batches of a teacher that is as large as its student
SCRATCH = "scratch"


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

    def closure(self, keys: Iterable[str]) -> list[str]:
        """Return cells and all that they start from, in the order of the grid."""
        found: set[str] = set()
        pending = list(keys)
        while pending:
            key = pending.pop()
            if key not in found:
                found.add(key)
                pending += self.cells[key].parents.values()
        return [key for key in self.cells if key in found]


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
    for recipe in builder.recipes:
        builder.add_recipe(recipe)
    return Grid(builder.cells, tuple(builder.pretrained + builder.finetuned))


@dataclass(frozen=True)
class _Student:
    """One model of one recipe in one block: what its cells and rows have in common."""

    recipe: str
    model: Model
    teachers: tuple[Model, ...]
    count: int | None  # images that it is pretrained on
    block: Block

    def where(self, **more: Any) -> dict[str, Any]:
        """Return its place in the grid."""
        return {
            "recipe": self.recipe,
            "student": self.model,
            "teacher": model_name(self.teachers) if self.teachers else None,
            "n_pretrain": self.count,
            "subset_seed": self.block.subset_seed,
            "seed": self.block.seed,
            "downstream": None,
            "n_finetune": None,
            **more,
        }


class _Builder:
    """Collects cells (once each) and rows."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.config = study.config
        self.tasks = TaskWriter(study)
        self.recipes = study.config.recipes.named()
        self.cells: dict[str, Cell] = {}
        self.pretrained: list[RowPlan] = []
        self.finetuned: list[RowPlan] = []
        # Models whose fine-tuned weights others learn from: they are kept, in the cell of their own row.
        self._tutors = {
            teacher
            for name, recipe in self.recipes.items()
            if isinstance(recipe, Distilled) and self._guides(name, "finetuning")
            for pair in recipe.pairs
            for teacher in pair.teacher
        }

    def add_recipe(self, name: str) -> None:
        """Add every cell and row of one recipe."""
        settings = self.recipes[name]
        for model, teachers in pairs_of(settings):
            for count in self._counts(settings):
                for block in self.config.all_blocks():
                    self._add(_Student(name, model, teachers, count, block))

    def _counts(self, settings: Any) -> list[int | None]:
        """Return the sizes of a recipe's pretraining; one None where it has none."""
        if isinstance(settings, (NoPretraining, Public, PublicFrozen)):
            return [None]
        sizes = settings.n_pretrain if settings.n_pretrain is not None else self.config.n_pretrain
        wanted = {self.study.n_pretrain[repr(size)] for size in sizes}
        return [count for count in self.study.n_pretrain.values() if count in wanted]

    def _add(self, student: _Student) -> None:
        settings, start = self.recipes[student.recipe], None
        if student.count is not None:
            start = self._pretrain(student)
            if not isinstance(settings, Guided) or settings.guides("pretraining"):
                self.pretrained.append(RowPlan(start.key, start.key, self._columns(start, student)))
        tuned = self.config.finetune_recipes
        if start is not None and tuned is not None and student.recipe not in tuned:
            return
        for data in self.config.downstream:
            for images in self.study.n_finetune[data].values():
                make = self._probe if isinstance(settings, PublicFrozen) else self._finetune
                cell = make(student, start, data, images)
                columns = self._columns(cell, student, start) | {"downstream": data, "n_finetune": images}
                self.finetuned.append(RowPlan(cell.key, start.key if start else None, columns))

    # --- cells ---

    def _guides(self, recipe: str, training: str) -> bool:
        """Return whether a recipe has a teacher in ``pretraining`` or in ``finetuning``."""
        settings = self.recipes.get(recipe)
        return isinstance(settings, Guided) and settings.guides(training)

    def _teachers(self, student: _Student) -> list[_Student]:
        """Return a student's teachers as students of their own."""
        settings, block = self.recipes[student.recipe], student.block
        apart = OWN_TEACHER if isinstance(settings, SelfDistilled) else 0
        origin = Block(subset_seed=block.subset_seed, seed=block.seed + apart)
        count = self.tasks.taught_on(settings, student.count or 0)
        return [_Student(SCRATCH, teacher, (), count, origin) for teacher in student.teachers]

    def _pretrain(self, student: _Student) -> Cell:
        """Return the pretraining cell of a recipe, its teachers before it."""
        settings, upstream, count = self.recipes.get(student.recipe), self.config.upstream or "", student.count or 0
        task = self.tasks.training("pretrain", student.model, upstream, count, student.block, settings)
        parents: dict[str, str] = {}
        if self._guides(student.recipe, "pretraining"):
            for place, teacher in enumerate(self._teachers(student)):
                parents[f"teacher_{place}"] = self._pretrain(teacher).key
            task = self.tasks.guided(task, settings, student.teachers)
        elif isinstance(settings, Grown):
            parents["grown_from"] = self._pretrain(self._teachers(student)[0]).key
            task = self.tasks.grown(task, student.teachers[0])
        elif isinstance(settings, Smoothed):
            task["label_smoothing"] = settings.label_smoothing
        elif isinstance(settings, ExtraCompute):
            task = self.tasks.extra_compute(task, student.teachers, count, student.block)
        return self._cell(task, parents, upstream, student.where())

    def _finetune(
        self, student: _Student, start: Cell | None, data: str, images: int, *, teaches: bool = False
    ) -> Cell:
        """Return one fine-tuning (of a checkpoint, random or public weights), its fine-tuned teachers before it."""
        settings = self.recipes.get(student.recipe)
        task = self.tasks.training("finetune", student.model, data, images, student.block, settings)
        parents = {"init": start.key} if start else {}
        if isinstance(settings, Public):
            task = self.tasks.public(task, str(student.model))
        if teaches or (student.recipe == SCRATCH and student.model in self._tutors):
            task["keep_weights"] = True
        if self._guides(student.recipe, "finetuning"):
            for place, teacher in enumerate(self._teachers(student)):
                own = self._pretrain(teacher)
                parents[f"teacher_{place}"] = self._finetune(teacher, own, data, images, teaches=True).key
                if not self._guides(student.recipe, "pretraining"):
                    parents[f"owed_{place}"] = own.key  # no other training of this student pays for it
            task = self.tasks.guided(task, settings, student.teachers)
        return self._cell(task, parents, data, student.where(downstream=data, n_finetune=images))

    def _probe(self, student: _Student, _start: Cell | None, data: str, images: int) -> Cell:
        """Return a linear classifier on public weights' features, which are computed once for all blocks."""
        name = str(student.model)
        where = student.where(downstream=data, subset_seed=None, seed=None)
        features = self._cell(self.tasks.features(name, data), {}, data, where)
        task = self.tasks.probe(name, data, images, student.block.subset_seed)
        return self._cell(task, {"features": features.key}, data, student.where(downstream=data, n_finetune=images))

    def _cell(self, task: dict[str, Any], parents: dict[str, str], data: str, where: dict[str, Any]) -> Cell:
        fingerprint = self.study.images[data].fingerprint
        key = cell_key(task, fingerprint, parents)
        if key not in self.cells:
            cost = self.tasks.cost(task)
            estimate = Estimate(
                n_params=int(cost["n_params"]),
                n_params_head=int(cost["n_params_head"]),
                n_steps=int(cost["n_steps"]),
                flops=float(cost["flops"]),
                guidance_flops=float(cost["guidance_flops"]),
            )
            self.cells[key] = Cell(key, task, parents, fingerprint, where, estimate)
        return self.cells[key]

    # --- rows ---

    def _columns(self, cell: Cell, student: _Student, start: Cell | None = None) -> dict[str, Any]:
        """Return the columns of a row that are known before anything is trained."""
        settings = self.recipes[student.recipe]
        parents = {**(start.parents if start else {}), **cell.parents}
        sizes = [self.cells[key].estimate.n_params for role, key in parents.items() if role not in ("init", "features")]
        is_public = isinstance(settings, (Public, PublicFrozen))
        return {
            "recipe": student.recipe,
            "stage": cell.stage,
            "upstream": settings.upstream if is_public else self.config.upstream,
            "downstream": None,
            "n_pretrain": settings.n_pretrain if is_public else student.count,
            "student": model_name(student.model),
            "n_params_teacher": max(sizes) if sizes else None,
            "teacher": model_name(student.teachers) if student.teachers else None,
            "n_finetune": None,
            "subset_seed": student.block.subset_seed,
            "seed": student.block.seed,
            "scored_on": self.config.score_on,
        }
