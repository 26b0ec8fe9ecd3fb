"""What a study file must fulfil beyond types: faults of several keys at once, each with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tippingpoint.errors import DataError, did_you_mean
from tippingpoint.study.config import StudyConfig, Training
from tippingpoint.study.endpoint_checks import check_endpoint
from tippingpoint.study.laboratory import ImageFacts, Laboratory
from tippingpoint.study.model_checks import check_models, shares_patches
from tippingpoint.study.recipes import RECIPES, Guided, PublicFrozen
from tippingpoint.study.source import Fault, Loc

__all__ = ["check_config", "named_sets", "resolve_images", "resolve_sizes"]


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
        _shape,
        _pretraining,
        _variants,
        _recipe_sizes,
        check_models,
        _guided_finetuning,
        _downstream,
        _names_of_sets,
        _finetune_recipes,
        check_endpoint,
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
            values = getattr(recipe, key, None)
            if isinstance(values, list):  # else absent, or one number
                yield from _repeated(values, (*config.recipes.place(name), key), f"this entry of {key}")


def _shape(config: StudyConfig) -> Iterator[Fault]:
    if shares_patches(config) and config.image.size % config.model.patch_size:
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


def _pretraining(config: StudyConfig) -> Iterator[Fault]:
    """Ask for what a pretraining needs where there is one."""
    if not config.recipes.named():
        return
    examples = {"upstream": "cifar10[0-5]", "n_pretrain": "[250, 0.5]", "pretraining": "{batch_size: …}"}
    for key, example in examples.items():
        if config.pretrains() and getattr(config, key) == [] and key in config.model_fields_set:
            yield (key,), "should name at least one"
        elif config.pretrains() and not getattr(config, key):
            yield (), f"the key {key} is missing, and a recipe pretrains; add {key}: {example}"


def _variants(config: StudyConfig) -> Iterator[Fault]:
    for name in config.recipes.variants or {}:
        loc: Loc = ("recipes", "variants", name)
        if name in RECIPES:
            yield loc, f"'{name}' is a recipe already; choose another name for the variant"
        elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
            yield loc, f"'{name}' is not a name: a letter, then letters, digits or _ (at most 64)"


def _recipe_sizes(config: StudyConfig) -> Iterator[Fault]:
    for name, recipe in config.recipes.named().items():
        sizes = getattr(recipe, "n_pretrain", None)
        for place, size in enumerate(sizes if isinstance(sizes, list) else []):
            if repr(size) not in map(repr, config.n_pretrain):
                yield (
                    (*config.recipes.place(name), "n_pretrain", place),
                    f"{size} is not one of the study's sizes; add it to n_pretrain or remove it here",
                )


def _guided_finetuning(config: StudyConfig) -> Iterator[Fault]:
    for name, recipe in config.recipes.named().items():
        if not isinstance(recipe, Guided) or not recipe.guides("finetuning"):
            continue
        loc: Loc = (*config.recipes.place(name), "guide")
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


def _downstream(config: StudyConfig) -> Iterator[Fault]:
    if config.downstream and not config.n_finetune:
        yield ("downstream",), "there is a set to fine-tune on, but n_finetune gives no size; add n_finetune: [100]"
    if config.n_finetune and not config.downstream:
        yield ("n_finetune",), "there are sizes to fine-tune with, but downstream names no set of images; add one"
    frozen = all(isinstance(recipe, PublicFrozen) for recipe in config.recipes.named().values())
    for place, name in enumerate(config.downstream):
        if config.finetuning_on(name) is None and not frozen:
            yield (
                ("downstream", place),
                f"'{name}' is to be fine-tuned on, but the key finetuning (batch_size, …) is missing",
            )
    for name in ("no_pretraining", "public", "public_frozen"):
        if getattr(config.recipes, name) and not config.downstream:
            what = "fine-tunes from random weights" if name == "no_pretraining" else "starts from public weights"
            yield ("recipes", name), f"{what}, but downstream names no set of images"


def _names_of_sets(config: StudyConfig) -> Iterator[Fault]:
    """Find settings for sets that the study does not train on."""
    trained = [*config.downstream, *([config.upstream] if config.upstream else [])]
    asked = (("finetuning_of", config.downstream, "downstream sets"), ("augmentation_of", trained, "sets"))
    for key, known, what in asked:
        for name in getattr(config, key) or {}:
            if name not in known:
                listed = ", ".join(known) or "none"
                hint = did_you_mean(name, known).rstrip(".")
                yield (key, name), f"'{name}' is not among the study's {what} ({listed}).{hint}".rstrip(".")


def _finetune_recipes(config: StudyConfig) -> Iterator[Fault]:
    running = list(config.recipes.named())
    for place, name in enumerate(config.finetune_recipes or []):
        if name not in running:
            yield (
                ("finetune_recipes", place),
                f"recipe '{name}' is not run by this study, which runs {', '.join(running)}."
                f"{did_you_mean(name, running)}".rstrip("."),
            )


def named_sets(config: StudyConfig) -> list[tuple[Loc, str]]:
    """Return where a study names its sets of images, and what they are called."""
    named: list[tuple[Loc, str]] = [(("upstream",), config.upstream)] if config.upstream else []
    return named + [(("downstream", place), name) for place, name in enumerate(config.downstream)]


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
        A public set will do that is not prepared, or prepared at another size.
    """
    facts: dict[str, ImageFacts] = {}
    faults: list[Fault] = []
    for loc, name in named_sets(config):
        if name in facts:
            continue
        try:
            facts[name] = laboratory.image_facts(name, config.data_dir, config.validation_fraction)
        except DataError as error:
            faults += [(loc, fault.rstrip(".")) for fault in error.faults]
            continue
        absent, kept = facts[name].absent, facts[name].kept
        if absent is not None and not planning:
            remedy = absent.remedy(config.image.size, config.image.channels)
            faults.append((loc, f"'{absent.name}' is not prepared on this machine: {remedy}"))
        if kept is not None and not planning and (said := kept.misfit(config.image.size, config.image.channels)):
            faults.append((loc, said))
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
        if repr(size) in counts:  # told already, as the same entry a second time
            continue
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
