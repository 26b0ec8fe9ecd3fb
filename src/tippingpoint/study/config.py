"""The study file as typed, documented settings: what each key means, its unit and its default.

Values that the paper does not give are marked *assumed*. Unknown keys and wrong types are faults, never ignored; what
concerns several keys at once (a teacher that the study does not train) is checked in ``study.checks``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tippingpoint.study.models import ModelSettings
from tippingpoint.study.recipes import NoPretraining, Public, PublicFrozen, Recipes
from tippingpoint.study.values import Beta, ImageCount, ModelName, NotNegative, Positive, Settings, Teacher

__all__ = ["AugmentationSettings", "Block", "Endpoint", "ImageSettings", "Length", "StudyConfig", "Training"]

MOST_BLOCKS = 10_000  # each is written out; more is a seed that was mistaken for their number
# Beyond these no training ends: a slip of the pen is told before a plan counts with it.
MOST_EPOCHS, MOST_STEPS, MOST_BATCH = 1_000_000, 1_000_000_000, 1_000_000


class ImageSettings(Settings):
    """How images enter the model."""

    size: int = Field(28, ge=4, le=1024, description="Side of the square image, in pixels. Assumed.")
    channels: Literal[1, 3] = Field(1, description="1 grey, 3 colour.")


class Length(Settings):
    """How long to train: in epochs or in steps. The schedule is a confound, so it is always stated. Assumed."""

    epochs: float | None = Field(None, gt=0, le=MOST_EPOCHS, description="Passes over the subset.")
    steps: int | None = Field(None, ge=1, le=MOST_STEPS, description="Steps, whatever the subset's size.")
    min_steps: int = Field(0, ge=0, le=MOST_STEPS, description="With epochs: at least this many steps.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Length:
        if (self.epochs is None) == (self.steps is None):
            raise PydanticCustomError("length", "give either epochs or steps, and only one of them")
        if self.steps is not None and self.min_steps:
            raise PydanticCustomError("length", "min_steps belongs to epochs; with steps leave it out")
        return self


class Training(Settings):
    """AdamW with a linear warm-up and a cosine."""

    batch_size: int = Field(ge=1, le=MOST_BATCH, description="Images a step.")
    learning_rate: Positive = Field(description="Peak rate.")
    length: Length = Field(description="Epochs or steps.")
    weight_decay: NotNegative = Field(0.05, description="Decoupled. Assumed: DeiT's.")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), description="Of AdamW, each at least 0 and below 1.")
    warmup_steps: int = Field(0, ge=0, le=MOST_STEPS, description="Steps of the linear warm-up.")
    warmup_learning_rate: NotNegative = Field(1e-6, description="Where the warm-up starts.")
    final_learning_rate: NotNegative = Field(1e-5, description="Where the cosine ends. Assumed: DeiT's.")
    clip_norm: NotNegative = Field(0.0, description="Largest norm of the gradient; 0 leaves it alone.")


class AugmentationSettings(Settings):
    """How training images are changed, each by the seed, the image and the epoch alone."""

    flip: bool = Field(False, description="Mirror an image left to right half of the times.")
    crop_padding: int = Field(
        0, ge=0, description="Pixels by which an image is shifted at most, each way; what comes in is black."
    )
    random_resized_crop: tuple[float, float] | None = Field(
        None, description="Lowest and highest share of the image's area that is cut out and stretched to the whole."
    )
    crop_ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="Lowest and highest width : height of what is cut out."
    )
    contrast: float = Field(0.0, ge=0, le=1, description="x: a random factor in [1 - x, 1 + x].")
    brightness: float = Field(0.0, ge=0, le=1, description="As contrast.")
    saturation: float = Field(0.0, ge=0, le=1, description="As contrast; needs colour.")
    erasing: float = Field(0.0, ge=0, le=1, description="Probability that a rectangle becomes mid-grey.")


class Block(Settings):
    """The independent unit of a study: one draw of images and one seed of weights and order."""

    subset_seed: int = Field(ge=0, description="Which images; subsets of one seed are nested.")
    seed: int = Field(ge=0, description="Initial weights and order of batches.")


class Endpoint(Settings):
    """The one primary question, declared before anything runs; all else is exploratory."""

    recipes: tuple[str, str] = Field(("scratch", "distilled"), description="First minus second.")
    student: ModelName = Field(description="The student: its heads, or its name in the ladder.")
    teacher: Teacher | None = Field(None, description="The teacher, where the second recipe has one.")
    stage: Literal["pretrained", "finetuned"] = Field("finetuned", description="Scored upstream or downstream.")
    downstream: str | None = Field(None, description="Which downstream set, for stage finetuned.")
    target: Literal["error", "cross_entropy", "cross_entropy_calibrated"] = Field(
        "error", description="What is compared."
    )
    along: Literal["n_pretrain", "n_finetune"] = Field("n_pretrain", description="The axis that is crossed.")
    n_pretrain: ImageCount | None = Field(None, description="Held size, along n_finetune; default the largest.")
    n_finetune: ImageCount | None = Field(None, description="Held size, for stage finetuned; default the largest.")


class StudyConfig(Settings):
    """A whole study."""

    schema_version: Literal[1] = Field(1, description="Version of this file's form.")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Names the study and its directory.")
    upstream: str | None = Field(
        None, min_length=1, description="Set of images to pretrain on; needed where a recipe pretrains."
    )
    downstream: list[str] = Field(default_factory=list, description="Sets of images to fine-tune on.")
    data_dir: str | None = Field(
        None, description="Where the relative path of a set of your own starts; default the working directory."
    )
    allow_overlap: bool | None = Field(
        None,
        description="`true`: run although training images are test images, of the same set or of a downstream one, and "
        "have it told. Absent means that the study stops before it trains.",
    )
    image: ImageSettings = Field(default_factory=ImageSettings, description="How images enter the model.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="Shapes of the models.")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the training images held out for choices."
    )
    score_on: Literal["test", "validation"] = Field(
        "test", description="`validation` for trials: then no test image is used."
    )
    augmentation: AugmentationSettings | None = Field(None, description="Of every training; absent: none.")
    augmentation_of: dict[str, AugmentationSettings] | None = Field(
        None, description="Of the trainings on some sets, by the set's name, in place of `augmentation`."
    )
    precision: Literal["float32", "bfloat16", "auto"] | None = Field(
        None,
        description="Absent means `float32`. `bfloat16`: forward passes in bfloat16 where that is safe, weights in "
        "float32. `auto`: whichever is faster here, measured once for each model and then kept in `precision.json`.",
    )
    compile: bool | None = Field(
        None,
        description="`true`: torch's compiler writes the student's passes, which pays for large models on a GPU. Every "
        "cell compiles anew, minutes on a CPU; `plan` leaves that out. Absent means `false`.",
    )
    n_pretrain: list[ImageCount] = Field(
        default_factory=list, description="Sizes of the upstream subsets; needed where a recipe pretrains."
    )
    n_finetune: list[ImageCount] = Field(default_factory=list, description="Sizes of the downstream subsets.")
    recipes: Recipes = Field(description="What is trained.")
    blocks: list[Block] | None = Field(None, min_length=1, description="The independent repeats.")
    seeds: int | None = Field(
        None, ge=1, le=MOST_BLOCKS, description="How many blocks, not a seed: short for the blocks (i, i), i < seeds."
    )
    pretraining: Training | None = Field(
        None, description="Settings of every pretraining; needed where a recipe pretrains."
    )
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

    def augmentation_on(self, name: str) -> AugmentationSettings | None:
        """Return how images of one set are changed while they are trained on."""
        return (self.augmentation_of or {}).get(name, self.augmentation)

    def pretrains(self) -> bool:
        """Return whether any recipe pretrains."""
        apart = (NoPretraining, Public, PublicFrozen)
        return not all(isinstance(recipe, apart) for recipe in self.recipes.named().values())

    def all_blocks(self) -> list[Block]:
        """Return the blocks, ``seeds`` written out."""
        return self.blocks or [Block(subset_seed=place, seed=place) for place in range(self.seeds or 0)]
