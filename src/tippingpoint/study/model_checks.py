"""Whether the models that a study names are there, and fit what is asked of them: without and with the laboratory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tippingpoint.errors import ConfigError, did_you_mean
from tippingpoint.study.config import StudyConfig
from tippingpoint.study.laboratory import Laboratory
from tippingpoint.study.models import LadderModel, model_spec
from tippingpoint.study.recipes import Distilled, Grown, Guided, Public, PublicFrozen, SelfDistilled, pairs_of
from tippingpoint.study.source import Fault, Loc
from tippingpoint.study.values import Model

__all__ = ["ask_laboratory", "check_models", "in_words", "model_named", "shares_patches"]

DIMENSIONS = ("depth", "head_dim", "patch_size")


def model_named(config: StudyConfig, model: Model) -> bool:
    """Return whether a model is a number of heads or a name of the ladder."""
    return isinstance(model, int) or model in (config.model.ladder or {})


def shares_patches(config: StudyConfig) -> bool:
    """Return whether any model has the patch size that all DeiTs share unless they say otherwise."""
    ladder = config.model.ladder or {}
    heads = any(isinstance(model, int) for model, _ in _mentions(config))
    return heads or not ladder or any(entry.heads and entry.patch_size is None for entry in ladder.values())


def in_words(model: Model) -> str:
    """Return ``with 2 heads`` or ``'small'``."""
    return f"with {model} heads" if isinstance(model, int) else f"'{model}'"


def check_models(config: StudyConfig) -> Iterator[Fault]:
    """Find names that the ladder lacks, teachers that nobody trains, and students that cannot grow.

    Parameters
    ----------
    config : StudyConfig
        Well-typed settings.
    """
    for name, entry in (config.model.ladder or {}).items():
        yield from _ladder(config, name, entry)
    for model, loc in _mentions(config):
        if not model_named(config, model):
            known = list(config.model.ladder or {})
            listed = f"which has {', '.join(known)}" if known else "which is not given"
            hint = did_you_mean(str(model), known).rstrip(".")
            yield loc, f"'{model}' is not a model of model.ladder, {listed}.{hint}".rstrip(".")
    for name, recipe in config.recipes.named().items():
        if isinstance(recipe, (Distilled, Grown)):
            yield from _teachers(config, name, recipe)
        if isinstance(recipe, Grown):
            yield from _growth(config, name, recipe)
        if isinstance(recipe, (Public, PublicFrozen)):
            yield from _public(config, name, recipe)


def _ladder(config: StudyConfig, name: str, entry: LadderModel) -> Iterator[Fault]:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name):
        yield (
            ("model", "ladder", name),
            f"'{name}' is not a name: a letter, then letters, digits, _ . - (at most 64)",
        )
    if entry.patch_size is not None and config.image.size % entry.patch_size:
        yield (
            ("model", "ladder", name, "patch_size"),
            f"{entry.patch_size} does not divide the image's side of {config.image.size} pixels",
        )


def _mentions(config: StudyConfig) -> Iterator[tuple[Model, Loc]]:
    """Find every place that names a model."""
    for name, recipe in config.recipes.named().items():
        place: Loc = config.recipes.place(name)
        for number, student in enumerate(getattr(recipe, "students", [])):
            yield student, (*place, "students", number)
        for number, pair in enumerate(getattr(recipe, "pairs", [])):
            yield pair.student, (*place, "pairs", number, "student")
            for teacher in pair.teacher:
                yield teacher, (*place, "pairs", number, "teacher")
    if config.endpoint is not None:
        yield config.endpoint.student, ("endpoint", "student")
        for teacher in config.endpoint.teacher or ():
            yield teacher, ("endpoint", "teacher")


def _teachers(config: StudyConfig, name: str, recipe: Distilled | Grown) -> Iterator[Fault]:
    scratch, place = config.recipes.scratch, config.recipes.place(name)
    trained = scratch.students if scratch else []
    for number, pair in enumerate(recipe.pairs):
        for teacher in pair.teacher:
            if teacher not in trained and model_named(config, teacher):
                yield (
                    (*place, "pairs", number, "teacher"),
                    f"the teacher {in_words(teacher)} is not trained in this study; "
                    f"add {teacher} to recipes.scratch.students",
                )
    if scratch is None:
        return
    sizes = scratch.n_pretrain if scratch.n_pretrain is not None else config.n_pretrain
    own = getattr(recipe, "teacher_n_pretrain", None)
    if own is not None:
        if repr(own) not in map(repr, sizes):
            where = "n_pretrain" if repr(own) not in map(repr, config.n_pretrain) else "recipes.scratch.n_pretrain"
            yield (*place, "teacher_n_pretrain"), f"no teacher is trained on {own} images; add {own} to {where}"
        return
    for size in recipe.n_pretrain if recipe.n_pretrain is not None else config.n_pretrain:
        if repr(size) not in map(repr, sizes):
            yield (
                place,
                f"at n_pretrain {size} no teacher is trained; add {size} to recipes.scratch.n_pretrain, "
                f"or leave it out of {'.'.join(place)}.n_pretrain",
            )


def _growth(config: StudyConfig, name: str, recipe: Grown) -> Iterator[Fault]:
    for number, pair in enumerate(recipe.pairs):
        loc: Loc = (*config.recipes.place(name), "pairs", number, "teacher")
        models = (pair.teacher[0], pair.student)
        if len(pair.teacher) > 1:
            yield loc, "a student grows from one model; name one"
            continue
        if not all(model_named(config, model) for model in models):
            continue
        small, large = (model_spec(config.model, model) for model in models)
        differing = [key for key in DIMENSIONS if small.get(key) != large.get(key)]
        if "timm" in small or "timm" in large:
            yield loc, "only a DeiT that is named by its heads grows, into another one"
        elif differing:
            yield loc, f"the two models differ in {' and '.join(differing)}; a model grows by heads alone"
        elif small["heads"] >= large["heads"]:
            yield (
                loc,
                f"a model with {small['heads']} heads cannot grow into one with {large['heads']}; name a smaller one",
            )


def _public(config: StudyConfig, name: str, recipe: Public | PublicFrozen) -> Iterator[Fault]:
    for number, student in enumerate(recipe.students):
        entry = (config.model.ladder or {}).get(str(student))
        if isinstance(student, int) or (entry is not None and entry.weights is None):
            yield (
                (*config.recipes.place(name), "students", number),
                f"the model {in_words(student)} has no public weights; name one of model.ladder with the key weights",
            )


# --- with the laboratory ---


def ask_laboratory(
    config: StudyConfig, laboratory: Laboratory, *, planning: bool = False
) -> tuple[dict[str, dict[str, str]], list[Fault]]:
    """Return the public weights that a study uses, and a fault for each model that cannot do what is asked of it.

    Parameters
    ----------
    config : StudyConfig
        Without faults of its own in its models.
    laboratory : Laboratory
        Knows models and weights.
    planning : bool, default False
        Weights that were not fetched will do.

    Returns
    -------
    weights : dict of str to dict
        Name of the ladder -> ``path`` and ``sha256``; both empty where they were not fetched.
    faults : list of (loc, str)
        Where and what.
    """
    image, faults = config.image, list(_augmentation(config, laboratory))
    usable = []
    for name in config.model.ladder or {}:
        spec = model_spec(config.model, name)
        found = laboratory.model_faults(spec, image.size, image.channels, _smallest_batch(config, name))
        faults += [(("model", "ladder", name), _clause(fault, "model: ")) for fault in found]
        usable += [name] * (not found)
    faults += _guidance(config, laboratory, usable)
    weights = {}
    for name in usable:
        entry = (config.model.ladder or {})[name]
        if entry.timm is None or entry.weights is None:
            continue
        try:
            weights[name] = dict(laboratory.weights(entry.timm, entry.weights, config.data_dir, planning=planning))
        except ConfigError as error:
            faults += [(("model", "ladder", name, "weights"), _clause(said, "weights: ")) for said in error.faults]
            continue
        if weights[name]["path"]:  # a file of another model is told now, and not when its turn comes
            spec = {**model_spec(config.model, name), "weights": weights[name]}
            found = laboratory.model_faults(spec, image.size, image.channels, None)
            faults += [(("model", "ladder", name, "weights"), _clause(fault, "weights: ")) for fault in found]
    return weights, faults


def _clause(sentence: str, prefix: str) -> str:
    return sentence.removeprefix(prefix).rstrip(".")


def _smallest_batch(config: StudyConfig, model: Model) -> int | None:
    """Return the smallest batch that a model is trained with; None where it is not trained."""
    sizes = []
    for recipe in config.recipes.named().values():
        if isinstance(recipe, PublicFrozen) or model not in [student for student, _ in pairs_of(recipe)]:
            continue
        tuned = [config.finetuning_on(name) for name in config.downstream]
        sizes += [settings.batch_size for settings in [config.pretraining, *tuned] if settings]
    return min(sizes, default=None)


def _augmentation(config: StudyConfig, laboratory: Laboratory) -> Iterator[Fault]:
    asked: dict[Loc, Any] = {("augmentation",): config.augmentation}
    asked |= {("augmentation_of", name): one for name, one in (config.augmentation_of or {}).items()}
    for loc, settings in asked.items():
        if settings is not None:
            values = settings.model_dump(mode="json", exclude_none=True)
            for fault in laboratory.augmentation_faults(values, config.image.size, config.image.channels):
                yield loc, _clause(fault, "augmentation: ")


def _guidance(config: StudyConfig, laboratory: Laboratory, usable: list[str]) -> Iterator[Fault]:
    """Ask whether students can hear their teachers, where a model of the ladder is one of them."""
    for name, recipe in config.recipes.named().items():
        if not isinstance(recipe, Guided):
            continue
        key = "students" if isinstance(recipe, SelfDistilled) else "pairs"
        for number, (student, teachers) in enumerate(pairs_of(recipe)):
            named = [model for model in (student, *teachers) if isinstance(model, str)]
            if not named or not set(named) <= set(usable):
                continue
            specs = [model_spec(config.model, model) for model in (student, *teachers)]
            if recipe.distillation_token:
                specs[0]["distillation_token"] = True
            told = laboratory.guidance_faults(
                specs[0], specs[1:], recipe.guidance(), config.image.size, config.image.channels
            )
            for fault in told:
                yield (*config.recipes.place(name), key, number), _clause(fault, "guidance: ")
