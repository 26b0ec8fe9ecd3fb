"""What each cell of a study is told to do, as plain JSON; see ``tippingpoint.lab.tasks`` for the keys.

What a study does not say is not in its tasks: a study from before there was a setting keeps the keys of its cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tippingpoint.study.cells import canonical_json
from tippingpoint.study.config import AugmentationSettings, Block, Training
from tippingpoint.study.load import Study
from tippingpoint.study.models import model_spec
from tippingpoint.study.recipes import Distilled
from tippingpoint.study.values import Model

__all__ = ["PROBED", "TaskWriter", "probed_model"]

PROBED = ("model", "image_size", "channels")  # what a decision about precision belongs to


def probed_model(task: Mapping[str, Any]) -> str:
    """Return what a decision about precision belongs to, as JSON: the model and the images that enter it."""
    data = task["data"]
    model = {name: value for name, value in task["model"].items() if name != "weights"}
    return canonical_json(dict(zip(PROBED, (model, data["image_size"], data["channels"]), strict=True)))


def _training(settings: Training) -> dict[str, Any]:
    """Return training settings as a task says them: what is not set is left out."""
    values = settings.model_dump(mode="json", exclude_none=True)
    if "steps" in values["length"]:
        values["length"] = {"steps": values["length"]["steps"]}
    return values


class TaskWriter:
    """Writes the tasks of one study.

    Parameters
    ----------
    study : Study
        Checked and resolved.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.config = study.config
        self._costs: dict[str, Mapping[str, float]] = {}
        self._pretraining = _training(self.config.pretraining) if self.config.pretraining else {}
        tuned = {name: self.config.finetuning_on(name) for name in self.config.downstream}
        self._finetuning = {name: _training(settings) for name, settings in tuned.items() if settings}

    def training(
        self, kind: str, student: Model, data: str, count: int, block: Block, recipe: Any = None
    ) -> dict[str, Any]:
        """Return a training without a teacher.

        Parameters
        ----------
        kind : str
            ``pretrain`` or ``finetune``.
        student : int or str
            Which model.
        data : str
            Which set of images.
        count : int
            Images of the subset.
        block : Block
            Seeds.
        recipe : settings of a recipe, optional
            Whose student this is: it may have a distillation token.
        """
        task = {
            "kind": kind,
            "model": self._model(student, recipe),
            "data": self._data(data),
            "n_images": count,
            "subset_seed": block.subset_seed,
            "seed": block.seed,
            "score_on": self.config.score_on,
            "training": self._pretraining if kind == "pretrain" else self._finetuning[data],
            "guidance": None,
            "teachers": [],
            "label_smoothing": 0.0,
            "extra_flops": 0.0,
        }
        changes = self.config.augmentation_on(data)
        if changes is not None and changes != AugmentationSettings():
            task["augmentation"] = changes.model_dump(mode="json", exclude_defaults=True)
        if self._is_half(task):
            task["precision"] = "bfloat16"
        if self.config.compile:
            task["compile"] = True
        return task

    def guided(self, task: dict[str, Any], recipe: Any, teachers: Sequence[Model]) -> dict[str, Any]:
        """Return a task with the teachers that it hears."""
        models = [self._model(teacher) for teacher in teachers]
        return {**task, "guidance": recipe.guidance(), "teachers": models}

    def grown(self, task: dict[str, Any], small: Model) -> dict[str, Any]:
        """Return a task that starts from a smaller model's weights."""
        return {**task, "grown_from": self._model(small)}

    def public(self, task: dict[str, Any], student: str) -> dict[str, Any]:
        """Return a task whose model starts from public weights."""
        return {**task, "model": {**task["model"], "weights": dict(self.study.weights[student])}}

    def features(self, student: str, data: str) -> dict[str, Any]:
        """Return what computes the features of a whole set by public weights."""
        about = {name: value for name, value in self._data(data).items() if name != "validation_fraction"}
        return self.public({"kind": "features", "model": self._model(student), "data": about}, student)

    def probe(self, student: str, data: str, count: int, subset_seed: int) -> dict[str, Any]:
        """Return a linear classifier on features, which has no chance in it but the choice of its images."""
        task = {
            "kind": "probe",
            "model": self._model(student),
            "data": self._data(data),
            "n_images": count,
            "subset_seed": subset_seed,
            "score_on": self.config.score_on,
        }
        return self.public(task, student)

    def extra_compute(
        self, task: dict[str, Any], teachers: Sequence[Model], count: int, block: Block
    ) -> dict[str, Any]:
        """Return a task with the compute that teachers and their guidance cost."""
        recipe = self.config.recipes.distilled or Distilled.model_construct(pairs=[])
        taught = self.taught_on(recipe, count)
        guides = [self.training("pretrain", teacher, task["data"]["name"], taught, block) for teacher in teachers]
        extra = self.cost(self.guided(task, recipe, teachers))["guidance_flops"]
        return {**task, "extra_flops": extra + sum(self.cost(guide)["flops"] for guide in guides)}

    def taught_on(self, recipe: Any, count: int) -> int:
        """Return how many images a recipe's teacher has seen, where its student has ``count``."""
        own = getattr(recipe, "teacher_n_pretrain", None)
        return count if own is None else self.study.n_pretrain[repr(own)]

    def cost(self, task: dict[str, Any]) -> Mapping[str, float]:
        """Ask the laboratory once for each shape of training: seeds cost nothing."""
        shape = canonical_json({**task, "seed": 0, "subset_seed": 0})
        if shape not in self._costs:
            self._costs[shape] = self.study.laboratory.describe(task)
        return self._costs[shape]

    def _model(self, model: Model, recipe: Any = None) -> dict[str, Any]:
        spec = model_spec(self.config.model, model)
        return spec | ({"distillation_token": True} if getattr(recipe, "distillation_token", None) else {})

    def _data(self, name: str) -> dict[str, Any]:
        config = self.config
        about: dict[str, Any] = {
            "name": name,
            "image_size": config.image.size,
            "channels": config.image.channels,
            "validation_fraction": config.validation_fraction,
        }
        return about | ({"data_dir": config.data_dir} if config.data_dir is not None else {})

    def _is_half(self, task: Mapping[str, Any]) -> bool:
        asked = self.config.precision
        return asked == "bfloat16" or (asked == "auto" and self.study.precision.get(probed_model(task)) == "bfloat16")
