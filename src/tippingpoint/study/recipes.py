"""The recipes of a study file: what is trained, from what, and guided by whom."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tippingpoint.study.values import ImageCount, Model, ModelName, NotNegative, Settings, Teacher, Temperature

__all__ = [
    "RECIPES",
    "Distilled",
    "ExtraCompute",
    "Grown",
    "Guided",
    "NoPretraining",
    "Pair",
    "Public",
    "PublicFrozen",
    "Recipe",
    "Recipes",
    "Scratch",
    "SelfDistilled",
    "Smoothed",
    "pairs_of",
]

RECIPES = (  # in the order of the runs table; variants stand after distilled
    "scratch",
    "distilled",
    "self_distilled",
    "grown",
    "smoothed",
    "scratch_extra_compute",
    "no_pretraining",
    "public",
    "public_frozen",
)

GUIDANCE = ("label_weight", "temperature", "attention_weight", "attention_temperature")
CHECK_EVERY = 50  # steps, where a study does not say


class Pair(Settings):
    """A student and the teacher or teachers that guide it, each by its heads or by its name in the ladder."""

    teacher: Teacher = Field(description="The teacher, or a list for several.")
    student: ModelName = Field(description="The student.")


class Recipe(Settings):
    """What every recipe with a pretraining of its own has."""

    n_pretrain: list[ImageCount] | None = Field(None, description="Only these of the study's sizes.")


class Scratch(Recipe):
    """Pretraining on the labels alone."""

    students: list[ModelName] = Field(min_length=1, description="Heads of each model, or its name in the ladder.")


class Guided(Recipe):
    """What every recipe with a teacher in its loss says of that loss."""

    label_weight: float = Field(0.5, ge=0, le=1, description="The paper's alpha: weight of the labels. Assumed.")
    temperature: Temperature = Field(2.0, description="tau of the softened probabilities. Assumed.")
    attention_weight: NotNegative = Field(
        1.0,
        description="Weight of the attention-map term. Assumed. Of CNNs: of their spatial attention; a transformer "
        "and a CNN have no maps in common, and need 0.",
    )
    attention_temperature: Temperature = Field(1.0, description="Temperature of the attention maps. Assumed.")
    distillation_token: bool | None = Field(
        None,
        description="DeiT's own way: a second token, whose head learns the teacher's outputs while the class head "
        "learns the labels; scores average both. Needs `attention_weight: 0`: the teacher has no such token.",
    )
    guide: Literal["pretraining", "finetuning", "both"] | None = Field(
        None,
        description="Which training hears the teacher; absent means `pretraining`. A fine-tuning hears the teacher "
        "fine-tuned on the same images.",
    )
    guidance_schedule: Literal["constant", "decayed", "until_passed"] | None = Field(
        None,
        description="Absent means `constant`. `decayed`: what the teacher weighs falls in a straight line to nothing. "
        "`until_passed`: plain training once the student errs less than the teacher on the validation images.",
    )
    check_every: int | None = Field(
        None,
        ge=1,
        description="With `until_passed`: steps between two looks at the validation images; absent means 50.",
    )
    shuffle: Literal["images", "within_class"] | None = Field(
        None,
        description="Control: what the teacher says of the images of a batch is dealt out among them anew: to any "
        "image, or to one of the same label. What is left of guidance is not knowledge of the single image.",
    )

    def guides(self, training: str) -> bool:
        """Return whether the teacher is heard in ``pretraining`` or ``finetuning``."""
        return self.guide in ("both", training) or (self.guide is None and training == "pretraining")

    def guidance(self) -> dict[str, Any]:
        """Return the guidance as a task says it: what is not set is left out."""
        found: dict[str, Any] = {name: getattr(self, name) for name in GUIDANCE}
        if self.guidance_schedule not in (None, "constant"):
            found["schedule"] = self.guidance_schedule
        if self.guidance_schedule == "until_passed":
            found["check_every"] = self.check_every or CHECK_EVERY
        if self.shuffle is not None:
            found["shuffle"] = self.shuffle
        return found

    @model_validator(mode="after")
    def _token_has_no_maps(self) -> Guided:
        if self.distillation_token and self.attention_weight > 0:
            raise PydanticCustomError(
                "token", "with distillation_token the maps cannot be compared: attention_weight: 0"
            )
        if self.distillation_token and not self.guides("pretraining"):
            raise PydanticCustomError("token", "distillation_token is pretrained: it needs guide: pretraining or both")
        return self

    @model_validator(mode="after")
    def _checks_belong_to_a_schedule(self) -> Guided:
        if self.check_every is not None and self.guidance_schedule != "until_passed":
            raise PydanticCustomError("check_every", "check_every belongs to guidance_schedule: until_passed")
        return self


class _Taught(Recipe):
    pairs: list[Pair] = Field(min_length=1, description="Which teacher guides which student.")


class Distilled(Guided, _Taught):
    """Pretraining guided by another, already pretrained model: w CE + (1 - w) tau^2 KL + w_att A (Eq. 3).

    The teacher is the scratch model of its name on the same images: smaller than the student as in the paper, or
    larger. Several teachers are one whose softened probabilities and attention maps are the mean of theirs.
    """

    teacher_n_pretrain: ImageCount | None = Field(
        None,
        description="One of the study's sizes: the teacher is the scratch model of the same block trained on that many "
        "images, whatever the student has. Absent: on the student's own images.",
    )


class SelfDistilled(Guided):
    """Control: a teacher of the student's own size, trained on the same images from other initial weights.

    What a smaller teacher gives beyond this is owed to its size. The teacher is trained for this recipe alone, with a
    seed of its own: the scratch model of the same block would start from the very weights that the student starts from.
    """

    students: list[ModelName] = Field(min_length=1, description="Each model, which is its teacher's shape too.")


class Grown(Recipe):
    """A trained smaller model's weights, written into the student, which then trains on the labels like `scratch`.

    At first the student computes what the smaller model computes, whatever their heads; what is new in it starts as in
    the scratch student of the same block. The other way of using a small model again, beside guidance. Both are DeiTs
    that differ by their heads alone.
    """

    pairs: list[Pair] = Field(min_length=1, description="Which model (`teacher`, one) grows into which student.")


class Smoothed(Recipe):
    """Control: label smoothing without a teacher."""

    students: list[ModelName] = Field(min_length=1, description="Heads of each model, or its name in the ladder.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Share of the label spread over all classes.")


class ExtraCompute(Recipe):
    """Control: scratch, with the compute of teacher and guidance spent on more steps of pretraining.

    The guidance is that of `distilled` in pretraining; with `until_passed`, the most that it can cost.
    """

    pairs: list[Pair] = Field(min_length=1, description="Whose teacher's compute goes to which student.")


class NoPretraining(Settings):
    """Control: fine-tuning from random weights."""

    students: list[ModelName] = Field(min_length=1, description="Heads of each model, or its name in the ladder.")


class _OfOthers(Settings):
    students: list[ModelName] = Field(min_length=1, description="Names of the ladder whose models have `weights`.")
    upstream: str = Field("public", min_length=1, description="What the runs table calls the set they were trained on.")
    n_pretrain: int | None = Field(
        None, ge=1, description="Images of that set, as the runs table tells it. Assumed: nobody here has counted them."
    )


class Public(_OfOthers):
    """Public weights under a new classification head, fine-tuned with the settings of `finetuning`."""


class PublicFrozen(_OfOthers):
    """The same weights as they are: their features of every image are computed once, a linear classifier learns."""


class Recipes(Settings):
    """Which recipes run, and on which models."""

    scratch: Scratch | None = Field(None, description="Labels alone; also trains the teachers.")
    distilled: Distilled | None = Field(None, description="Guided by other models, smaller or larger.")
    variants: dict[str, Distilled] | None = Field(
        None, description="Further recipes like `distilled`, with other settings, under names of your own."
    )
    self_distilled: SelfDistilled | None = Field(None, description="Guided by a model of the student's own size.")
    grown: Grown | None = Field(None, description="Started from a smaller model's weights.")
    smoothed: Smoothed | None = Field(None, description="Label smoothing without a teacher.")
    scratch_extra_compute: ExtraCompute | None = Field(None, description="Scratch with the teacher's compute.")
    no_pretraining: NoPretraining | None = Field(None, description="Fine-tuning from random weights.")
    public: Public | None = Field(None, description="Fine-tuning from public weights.")
    public_frozen: PublicFrozen | None = Field(None, description="A linear classifier on public weights' features.")

    def named(self) -> dict[str, Any]:
        """Return the recipes that the study runs, by name, in the order of the runs table."""
        found: dict[str, Any] = {}
        for name in RECIPES:
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
            if name == "distilled":
                found |= self.variants or {}
        return found

    @staticmethod
    def place(name: str) -> tuple[str, ...]:
        """Return where a recipe stands in the file: ``recipes.NAME``, or ``recipes.variants.NAME``."""
        return ("recipes", name) if name in RECIPES else ("recipes", "variants", name)


def pairs_of(recipe: Any) -> list[tuple[Model, tuple[Model, ...]]]:
    """Return (student, teachers) of everything that a recipe trains; no teacher where it has none."""
    if hasattr(recipe, "pairs"):
        return [(pair.student, pair.teacher) for pair in recipe.pairs]
    own = isinstance(recipe, SelfDistilled)
    return [(student, (student,) if own else ()) for student in recipe.students]
