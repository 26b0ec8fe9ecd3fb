"""The study file as typed, documented settings: what each key means, its unit and its default.

Values that the paper does not give are marked *assumed*. Unknown keys and wrong types are faults, never ignored; what
concerns several keys at once (a teacher that the study does not train) is checked in ``study.checks``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

__all__ = [
    "GUIDED",
    "RECIPES",
    "Block",
    "Distilled",
    "DistilledLight",
    "Endpoint",
    "ExtraCompute",
    "Grown",
    "ImageSettings",
    "Length",
    "ModelSettings",
    "NoPretraining",
    "Pair",
    "Recipes",
    "Scratch",
    "SelfDistilled",
    "Size",
    "Smoothed",
    "StudyConfig",
    "Training",
]

RECIPES = (
    "scratch",
    "distilled",
    "distilled_light",
    "self_distilled",
    "grown",
    "smoothed",
    "scratch_extra_compute",
    "no_pretraining",
)
GUIDED = ("distilled", "distilled_light", "self_distilled")  # the recipes with a teacher in the loss
Size = int | float  # a count of images, or a share of the pool of training images


def _read_size(value: Any) -> Size:
    """An integer counts images, a float in (0, 1] is a share of the training images."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticCustomError("size", "must be a count of images (250) or a share of them (0.25)")
    if isinstance(value, float) and not 0 < value <= 1:
        hint = f"; for a count of images write {int(value)}" if value > 1 and value == int(value) else ""
        raise PydanticCustomError("size", "a share must lie in (0, 1]{hint}", {"hint": hint})
    if value <= 0:
        raise PydanticCustomError("size", "a count of images must be at least 1")
    return value


def _read_teacher(value: Any) -> tuple[int, ...]:
    """One teacher (2) or several ([2, 4]), by their heads."""
    several = list(value) if isinstance(value, (list, tuple)) else [value]
    if not several or any(isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 for heads in several):
        raise PydanticCustomError("teacher", "must be a number of heads (2) or a list of them ([2, 4])")
    if len(set(several)) < len(several):
        raise PydanticCustomError("teacher", "names a teacher twice")
    return tuple(sorted(several))


def _write_teacher(value: tuple[int, ...]) -> int | list[int]:
    return value[0] if len(value) == 1 else list(value)


ImageCount = Annotated[Any, PlainValidator(_read_size)]
Teacher = Annotated[tuple[int, ...], PlainValidator(_read_teacher), PlainSerializer(_write_teacher)]
Heads = Annotated[int, Field(ge=1, le=64)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class _Settings(BaseModel):
    """Strict: no unknown keys, no conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImageSettings(_Settings):
    """How images enter the model."""

    size: int = Field(28, ge=4, le=1024, description="Side of the square image, in pixels. Assumed.")
    channels: Literal[1, 3] = Field(1, description="1 grey, 3 colour.")


class ModelSettings(_Settings):
    """The DeiT shape that all models of the study share; they differ by their heads."""

    patch_size: int = Field(7, ge=1, description="Side of a patch in pixels; divides the image's side.")
    depth: int = Field(4, ge=1, le=48, description="Transformer blocks.")
    head_dim: int = Field(8, ge=1, le=256, description="Width of one head; the model's width is heads x head_dim.")


class Length(_Settings):
    """How long to train: in epochs or in steps. The schedule is a confound, so it is always stated. Assumed."""

    epochs: float | None = Field(None, gt=0, description="Passes over the subset.")
    steps: int | None = Field(None, ge=1, description="Steps, whatever the subset's size.")
    min_steps: int = Field(0, ge=0, description="With epochs: at least this many steps.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Length:
        if (self.epochs is None) == (self.steps is None):
            raise PydanticCustomError("length", "give either epochs or steps, and only one of them")
        if self.steps is not None and self.min_steps:
            raise PydanticCustomError("length", "min_steps belongs to epochs; with steps leave it out")
        return self


class Training(_Settings):
    """AdamW with a linear warm-up and a cosine."""

    batch_size: int = Field(ge=1, description="Images a step.")
    learning_rate: Positive = Field(description="Peak rate.")
    length: Length = Field(description="Epochs or steps.")
    weight_decay: NotNegative = Field(0.05, description="Decoupled. Assumed: DeiT's.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Of AdamW.")
    warmup_steps: int = Field(0, ge=0, description="Steps of the linear warm-up.")
    warmup_learning_rate: NotNegative = Field(1e-6, description="Where the warm-up starts.")
    final_learning_rate: NotNegative = Field(1e-5, description="Where the cosine ends. Assumed: DeiT's.")
    clip_norm: NotNegative = Field(0.0, description="Largest norm of the gradient; 0 leaves it alone.")


class Pair(_Settings):
    """A student and the teacher or teachers that guide it, by their heads."""

    teacher: Teacher = Field(description="Heads of the teacher, or a list for several.")
    student: Heads = Field(description="Heads of the student.")


class _Recipe(_Settings):
    n_pretrain: list[ImageCount] | None = Field(None, description="Only these of the study's sizes.")


class Scratch(_Recipe):
    """Pretraining on the labels alone."""

    students: list[Heads] = Field(min_length=1, description="Heads of each model.")


class _Guidance(_Settings):
    """What every recipe with a teacher in its loss says of that loss."""

    label_weight: float = Field(0.5, ge=0, le=1, description="The paper's alpha: weight of the labels. Assumed.")
    temperature: Positive = Field(2.0, description="tau of the softened probabilities. Assumed.")
    attention_weight: NotNegative = Field(1.0, description="Weight of the attention-map term. Assumed.")
    attention_temperature: Positive = Field(1.0, description="Temperature of the attention maps. Assumed.")
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

    def guides(self, training: str) -> bool:
        """Return whether the teacher is heard in ``pretraining`` or ``finetuning``."""
        return self.guide in ("both", training) or (self.guide is None and training == "pretraining")

    @model_validator(mode="after")
    def _token_has_no_maps(self) -> _Guidance:
        if self.distillation_token and self.attention_weight > 0:
            raise PydanticCustomError(
                "token", "with distillation_token the maps cannot be compared: attention_weight: 0"
            )
        if self.distillation_token and not self.guides("pretraining"):
            raise PydanticCustomError("token", "distillation_token is pretrained: it needs guide: pretraining or both")
        return self

    @model_validator(mode="after")
    def _checks_belong_to_a_schedule(self) -> _Guidance:
        if self.check_every is not None and self.guidance_schedule != "until_passed":
            raise PydanticCustomError("check_every", "check_every belongs to guidance_schedule: until_passed")
        return self


class _Taught(_Recipe):
    pairs: list[Pair] = Field(min_length=1, description="Which teacher guides which student.")


class Distilled(_Guidance, _Taught):
    """Pretraining guided by another, already pretrained model: w CE + (1 - w) tau^2 KL + w_att A (Eq. 3).

    The teacher is the scratch model of its heads on the same images: smaller than the student as in the paper, or
    larger. Several teachers are one whose softened probabilities and attention maps are the mean of theirs.
    """


class DistilledLight(Distilled):
    """The same guidance with most of the weight on the labels: how much hinges on Eq. 3's alpha, which is not given."""

    label_weight: float = Field(0.9, ge=0, le=1, description="The paper's alpha: weight of the labels. Assumed.")


class SelfDistilled(_Guidance, _Recipe):
    """Control: a teacher of the student's own size, trained on the same images from other initial weights.

    What a smaller teacher gives beyond this is owed to its size. The teacher is trained for this recipe alone, with a
    seed of its own: the scratch model of the same block would start from the very weights that the student starts from.
    """

    students: list[Heads] = Field(min_length=1, description="Heads of each model and of its teacher.")


class Grown(_Recipe):
    """A trained smaller model's weights, written into the student, which then trains on the labels like `scratch`.

    At first the student computes what the smaller model computes, whatever their heads; what is new in it starts as in
    the scratch student of the same block. The other way of using a small model again, beside guidance.
    """

    pairs: list[Pair] = Field(min_length=1, description="Which model (`teacher`, one) grows into which student.")


class Smoothed(_Recipe):
    """Control: label smoothing without a teacher."""

    students: list[Heads] = Field(min_length=1, description="Heads of each model.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Share of the label spread over all classes.")


class ExtraCompute(_Recipe):
    """Control: scratch, with the compute of teacher and guidance spent on more steps of pretraining.

    The guidance is that of `distilled` in pretraining; with `until_passed`, the most that it can cost.
    """

    pairs: list[Pair] = Field(min_length=1, description="Whose teacher's compute goes to which student.")


class NoPretraining(_Settings):
    """Control: fine-tuning from random weights."""

    students: list[Heads] = Field(min_length=1, description="Heads of each model.")


class Recipes(_Settings):
    """Which recipes run, and on which models."""

    scratch: Scratch | None = Field(None, description="Labels alone; also trains the teachers.")
    distilled: Distilled | None = Field(None, description="Guided by other models, smaller or larger.")
    distilled_light: DistilledLight | None = Field(None, description="Guided, with less weight on the teacher.")
    self_distilled: SelfDistilled | None = Field(None, description="Guided by a model of the student's own size.")
    grown: Grown | None = Field(None, description="Started from a smaller model's weights.")
    smoothed: Smoothed | None = Field(None, description="Label smoothing without a teacher.")
    scratch_extra_compute: ExtraCompute | None = Field(None, description="Scratch with the teacher's compute.")
    no_pretraining: NoPretraining | None = Field(None, description="Fine-tuning from random weights.")

    def named(self) -> dict[str, Any]:
        """Return the recipes that the study runs, by name."""
        return {name: getattr(self, name) for name in RECIPES if getattr(self, name) is not None}


class Block(_Settings):
    """The independent unit of a study: one draw of images and one seed of weights and order."""

    subset_seed: int = Field(ge=0, description="Which images; subsets of one seed are nested.")
    seed: int = Field(ge=0, description="Initial weights and order of batches.")


class Endpoint(_Settings):
    """The one primary question, declared before anything runs; all else is exploratory."""

    recipes: tuple[str, str] = Field(("scratch", "distilled"), description="First minus second.")
    student: Heads = Field(description="Heads of the student.")
    teacher: Teacher | None = Field(None, description="Heads of the teacher, where the second recipe has one.")
    stage: Literal["pretrained", "finetuned"] = Field("finetuned", description="Scored upstream or downstream.")
    downstream: str | None = Field(None, description="Which downstream set, for stage finetuned.")
    target: Literal["error", "cross_entropy", "cross_entropy_calibrated"] = Field(
        "error", description="What is compared."
    )
    along: Literal["n_pretrain", "n_finetune"] = Field("n_pretrain", description="The axis that is crossed.")
    n_pretrain: ImageCount | None = Field(None, description="Held size, along n_finetune; default the largest.")
    n_finetune: ImageCount | None = Field(None, description="Held size, for stage finetuned; default the largest.")


class StudyConfig(_Settings):
    """A whole study."""

    schema_version: Literal[1] = Field(1, description="Version of this file's form.")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Names the study and its directory.")
    upstream: str = Field(min_length=1, description="Set of images to pretrain on.")
    downstream: list[str] = Field(default_factory=list, description="Sets of images to fine-tune on.")
    data_dir: str | None = Field(
        None, description="Where the relative path of a set of your own starts; default the working directory."
    )
    image: ImageSettings = Field(default_factory=ImageSettings, description="How images enter the model.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="The shape all models share.")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the training images held out for choices."
    )
    score_on: Literal["test", "validation"] = Field(
        "test", description="`validation` for trials: then no test image is used."
    )
    n_pretrain: list[ImageCount] = Field(min_length=1, description="Sizes of the upstream subsets.")
    n_finetune: list[ImageCount] = Field(default_factory=list, description="Sizes of the downstream subsets.")
    recipes: Recipes = Field(description="What is trained.")
    blocks: list[Block] | None = Field(None, min_length=1, description="The independent repeats.")
    seeds: int | None = Field(None, ge=1, description="Short for the blocks (i, i), i < seeds.")
    pretraining: Training = Field(description="Settings of every pretraining.")
    finetuning: Training | None = Field(None, description="Settings of every fine-tuning.")
    finetuning_of: dict[str, Training] | None = Field(
        None, description="Settings of the fine-tunings on some sets, by the set's name; the others have `finetuning`."
    )
    finetune_recipes: list[str] | None = Field(None, description="Only fine-tune these recipes.")
    endpoint: Endpoint | None = Field(None, description="The one primary question.")

    @model_validator(mode="after")
    def _blocks_or_seeds(self) -> StudyConfig:
        if (self.blocks is None) == (self.seeds is None):
            raise PydanticCustomError("blocks", "give either blocks or seeds, and only one of them")
        return self

    def finetuning_on(self, downstream: str) -> Training | None:
        """Return the settings of the fine-tunings on one set."""
        return (self.finetuning_of or {}).get(downstream, self.finetuning)

    def all_blocks(self) -> list[Block]:
        """Return the blocks, ``seeds`` written out."""
        return self.blocks or [Block(subset_seed=place, seed=place) for place in range(self.seeds or 0)]
