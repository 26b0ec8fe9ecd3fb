"""What a study file must fulfil beyond types: faults of several keys at once, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tippingpoint.errors import DataError, did_you_mean
from tippingpoint.study.config import GUIDED, Distilled, Endpoint, Grown, Pair, StudyConfig, Training
from tippingpoint.study.laboratory import ImageFacts, Laboratory
from tippingpoint.study.source import Loc

__all__ = ["check_config", "resolve_images", "resolve_sizes"]

Fault = tuple[Loc, str]


def check_config(config: StudyConfig) -> list[Fault]:
    """Return every fault that can be seen without the data.

    Parameters
    ----------
    config : StudyConfig
        Well-typed settings.

    Returns
    -------
    list of (loc, str)
        Where and what; empty where all is well.
    """
    checks: list[Callable[[StudyConfig], Iterator[Fault]]] = [
        _repeats,
        _model,
        _recipe_sizes,
        _teachers,
        _guided_finetuning,
        _downstream,
        _finetune_recipes,
        _endpoint,
    ]
    return [fault for check in checks for fault in check(config)]


def _repeated(values: Sequence[Any], loc: Loc, what: str) -> Iterator[Fault]:
    for place, value in enumerate(values):
        if repr(value) in map(repr, values[:place]):
            yield (*loc, place), f"{what} stands here for the second time; remove it"


def _repeats(config: StudyConfig) -> Iterator[Fault]:
    for name in ("n_pretrain", "n_finetune", "downstream", "blocks", "finetune_recipes"):
        yield from _repeated(getattr(config, name) or [], (name,), f"this entry of {name}")
    for name, recipe in config.recipes.named().items():
        for key in ("students", "pairs", "n_pretrain"):
            yield from _repeated(getattr(recipe, key, None) or [], ("recipes", name, key), f"this entry of {key}")


def _model(config: StudyConfig) -> Iterator[Fault]:
    if config.image.size % config.model.patch_size:
        yield (
            ("model", "patch_size"),
            f"{config.model.patch_size} does not divide the image's side of {config.image.size} pixels",
        )
    if not config.recipes.named():
        yield ("recipes",), "no recipe is given; a study needs at least one, such as scratch: {students: [2, 4]}"
    settings: dict[Loc, Training | None] = {("pretraining",): config.pretraining, ("finetuning",): config.finetuning}
    settings |= {("finetuning_of", name): training for name, training in (config.finetuning_of or {}).items()}
    for loc, training in settings.items():
        if training and training.length.steps is not None and training.warmup_steps > training.length.steps:
            yield (
                (*loc, "warmup_steps"),
                f"{training.warmup_steps} is more than the {training.length.steps} steps of the training",
            )


def _recipe_sizes(config: StudyConfig) -> Iterator[Fault]:
    for name, recipe in config.recipes.named().items():
        for place, size in enumerate(getattr(recipe, "n_pretrain", None) or []):
            if repr(size) not in map(repr, config.n_pretrain):
                yield (
                    ("recipes", name, "n_pretrain", place),
                    f"{size} is not one of the study's sizes; add it to n_pretrain or remove it here",
                )


def _teachers(config: StudyConfig) -> Iterator[Fault]:
    for name, recipe in config.recipes.named().items():
        if isinstance(recipe, (Distilled, Grown)):
            yield from _teachers_of(config, name, recipe)
        if isinstance(recipe, Grown):
            yield from _growth(name, recipe)


def _guided_finetuning(config: StudyConfig) -> Iterator[Fault]:
    for name in GUIDED:
        recipe = getattr(config.recipes, name)
        if recipe is None or not recipe.guides("finetuning"):
            continue
        loc: Loc = ("recipes", name, "guide")
        if not config.downstream:
            yield loc, "guides a fine-tuning, but downstream names no set of images"
        elif config.finetune_recipes is not None and name not in config.finetune_recipes:
            yield loc, f"guides a fine-tuning, but finetune_recipes leaves {name} out; add it there"
        if name == "distilled" and recipe.guide == "finetuning" and config.recipes.scratch_extra_compute:
            yield (
                ("recipes", "scratch_extra_compute"),
                "gives the compute of a guided pretraining, but distilled guides fine-tuning alone; remove it, "
                "or set recipes.distilled.guide: both",
            )


def _growth(name: str, recipe: Grown) -> Iterator[Fault]:
    for place, pair in enumerate(recipe.pairs):
        loc: Loc = ("recipes", name, "pairs", place, "teacher")
        if len(pair.teacher) > 1:
            yield loc, "a student grows from one model; name one"
        elif pair.teacher[0] >= pair.student:
            yield (
                loc,
                f"a model with {pair.teacher[0]} heads cannot grow into one with {pair.student}; name a smaller one",
            )


def _teachers_of(config: StudyConfig, name: str, recipe: Distilled | Grown) -> Iterator[Fault]:
    scratch = config.recipes.scratch
    trained = scratch.students if scratch else []
    sizes = scratch.n_pretrain if scratch and scratch.n_pretrain is not None else config.n_pretrain
    wanted = recipe.n_pretrain if recipe.n_pretrain is not None else config.n_pretrain
    for place, pair in enumerate(recipe.pairs):
        loc: Loc = ("recipes", name, "pairs", place, "teacher")
        for heads in pair.teacher:
            if heads not in trained:
                yield (
                    loc,
                    f"the teacher with {heads} heads is not trained in this study; "
                    f"add {heads} to recipes.scratch.students",
                )
    for size in wanted:
        if scratch and repr(size) not in map(repr, sizes):
            yield (
                ("recipes", name),
                f"at n_pretrain {size} no teacher is trained; add {size} to recipes.scratch.n_pretrain, "
                f"or leave it out of recipes.{name}.n_pretrain",
            )


def _downstream(config: StudyConfig) -> Iterator[Fault]:
    if config.downstream and not config.n_finetune:
        yield ("downstream",), "there is a set to fine-tune on, but n_finetune gives no size; add n_finetune: [100]"
    if config.n_finetune and not config.downstream:
        yield ("n_finetune",), "there are sizes to fine-tune with, but downstream names no set of images; add one"
    for place, name in enumerate(config.downstream):
        if config.finetuning_on(name) is None:
            yield (
                ("downstream", place),
                f"'{name}' is to be fine-tuned on, but the key finetuning (batch_size, …) is missing",
            )
    known = ", ".join(config.downstream) or "none"
    for name in config.finetuning_of or {}:
        if name not in config.downstream:
            hint = did_you_mean(name, config.downstream).rstrip(".")
            yield (
                ("finetuning_of", name),
                f"'{name}' is not among the study's downstream sets ({known}).{hint}".rstrip("."),
            )
    if config.recipes.no_pretraining and not config.downstream:
        yield ("recipes", "no_pretraining"), "fine-tunes from random weights, but downstream names no set of images"


def _finetune_recipes(config: StudyConfig) -> Iterator[Fault]:
    running = list(config.recipes.named())
    for place, name in enumerate(config.finetune_recipes or []):
        if name not in running:
            yield (
                ("finetune_recipes", place),
                f"recipe '{name}' is not run by this study, which runs {', '.join(running)}."
                f"{did_you_mean(name, running)}".rstrip("."),
            )


def _endpoint(config: StudyConfig) -> Iterator[Fault]:
    endpoint = config.endpoint
    if endpoint is None:
        return
    running = config.recipes.named()
    for place, name in enumerate(endpoint.recipes):
        loc: Loc = ("endpoint", "recipes", place)
        if name not in running:
            yield loc, f"recipe '{name}' is not run by this study, which runs {', '.join(running)}"
        elif name == "no_pretraining":
            yield loc, "no_pretraining has no n_pretrain and cannot be one side of a boundary"
        else:
            yield from _endpoint_models(config, name, running[name])
    if endpoint.recipes[0] == endpoint.recipes[1]:
        yield ("endpoint", "recipes"), "names one recipe twice; name two"
    yield from _endpoint_stage(config)


def _endpoint_models(config: StudyConfig, name: str, recipe: Any) -> Iterator[Fault]:
    endpoint = config.endpoint
    assert endpoint is not None  # noqa: S101 - the caller has looked
    pairs: list[Pair] = getattr(recipe, "pairs", [])
    if not pairs:
        if endpoint.student not in recipe.students:
            yield (
                ("endpoint", "student"),
                f"a student with {endpoint.student} heads is not among recipes.{name}.students {recipe.students}",
            )
        return
    if endpoint.teacher is None:
        yield ("endpoint",), f"recipe {name} has teachers; say which one with the key teacher"
    elif not any(pair.student == endpoint.student and pair.teacher == endpoint.teacher for pair in pairs):
        teacher = " and ".join(map(str, endpoint.teacher))
        yield (
            ("endpoint", "teacher"),
            f"the pair of teacher {teacher} and student {endpoint.student} is not among recipes.{name}.pairs",
        )


def _endpoint_stage(config: StudyConfig) -> Iterator[Fault]:
    endpoint = config.endpoint
    assert endpoint is not None  # noqa: S101 - the caller has looked
    if endpoint.stage == "pretrained":
        yield from _endpoint_pretrained(config, endpoint)
        return
    if endpoint.downstream is None:
        yield ("endpoint",), "stage finetuned needs the key downstream: which set of images"
    elif endpoint.downstream not in config.downstream:
        known = ", ".join(config.downstream) or "none"
        yield ("endpoint", "downstream"), f"'{endpoint.downstream}' is not among the study's downstream sets ({known})"
    for place, name in enumerate(endpoint.recipes):
        if config.finetune_recipes is not None and name not in config.finetune_recipes:
            yield ("endpoint", "recipes", place), f"recipe '{name}' is not fine-tuned: finetune_recipes leaves it out"
    for key in ("n_pretrain", "n_finetune"):
        size = getattr(endpoint, key)
        if size is not None and key == endpoint.along:
            yield ("endpoint", key), f"{key} is the axis that is crossed; remove it here"
        elif size is not None and repr(size) not in map(repr, getattr(config, key)):
            yield ("endpoint", key), f"{size} is not one of the study's sizes {getattr(config, key)}"


def _endpoint_pretrained(config: StudyConfig, endpoint: Endpoint) -> Iterator[Fault]:
    for place, name in enumerate(endpoint.recipes):
        if getattr(getattr(config.recipes, name, None), "guide", None) == "finetuning":
            yield (
                ("endpoint", "recipes", place),
                f"recipe '{name}' guides fine-tuning alone: its pretraining is scratch's; set stage: finetuned",
            )
    for key in ("downstream", "n_finetune"):
        if getattr(endpoint, key) is not None:
            yield ("endpoint", key), f"stage pretrained is scored upstream; remove {key} or set stage: finetuned"
    if endpoint.along == "n_finetune":
        yield ("endpoint", "along"), "stage pretrained has no n_finetune; set stage: finetuned or along: n_pretrain"


def resolve_images(
    config: StudyConfig, laboratory: Laboratory, *, planning: bool = False
) -> tuple[dict[str, ImageFacts], list[Fault]]:
    """Return the facts of every set that the study names, and a fault for each that cannot be used.

    Parameters
    ----------
    config : StudyConfig
        Names the sets.
    laboratory : Laboratory
        Knows them.
    planning : bool, default False
        A public set that is not prepared will do.
    """
    facts: dict[str, ImageFacts] = {}
    faults: list[Fault] = []
    named: list[tuple[Loc, str]] = [(("upstream",), config.upstream)]
    named += [(("downstream", place), name) for place, name in enumerate(config.downstream)]
    for loc, name in named:
        if name in facts:
            continue
        try:
            facts[name] = laboratory.image_facts(name, config.data_dir, config.validation_fraction)
        except DataError as error:
            faults += [(loc, fault.rstrip(".")) for fault in error.faults]
            continue
        absent = facts[name].absent
        if absent is not None and not planning:
            remedy = absent.remedy(config.image.size, config.image.channels)
            faults.append((loc, f"'{absent.name}' is not prepared on this machine: {remedy}"))
    return facts, faults


def resolve_sizes(sizes: Sequence[Any], facts: ImageFacts, key: str, name: str) -> tuple[dict[str, int], list[Fault]]:
    """Return ``repr(size)`` -> count of images, and a fault for each size that the pool cannot give.

    Sizes are told apart by their ``repr``: 1 is one image, 1.0 is all of them.

    Parameters
    ----------
    sizes : sequence of int or float
        Counts or shares, as the file gives them.
    facts : ImageFacts
        Of the set.
    key : str
        ``n_pretrain`` or ``n_finetune``.
    name : str
        The set, for messages.
    """
    counts: dict[str, int] = {}
    faults: list[Fault] = []
    pool = facts.n_pool
    for place, size in enumerate(sizes):
        count = size if isinstance(size, int) else int(size * pool + 0.5)
        if count > pool:
            fault = f"{size} images are asked for, but {name} has {pool} training images besides the validation part"
            faults.append(((key, place), fault))
        elif count < 1:
            faults.append(((key, place), f"the share {size} of the {pool} images of {name} is no image"))
        elif count < facts.n_classes:
            fault = f"{size} is too few: {name} has {facts.n_classes} classes, and each needs an image; ask for more"
            faults.append(((key, place), fault))
        elif count in counts.values():
            faults.append(((key, place), f"{size} comes to {count} images of {name}, as another size does; remove one"))
        else:
            counts[repr(size)] = count
    return counts, faults
