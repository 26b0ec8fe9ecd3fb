"""Whether the primary endpoint asks for what the study trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tippingpoint.study.config import Endpoint, StudyConfig
from tippingpoint.study.model_checks import in_words, model_named
from tippingpoint.study.recipes import NoPretraining, Public, PublicFrozen, pairs_of
from tippingpoint.study.source import Fault, Loc

__all__ = ["check_endpoint"]

PUBLIC = (Public, PublicFrozen)


def check_endpoint(config: StudyConfig) -> Iterator[Fault]:
    """Find what the endpoint asks for and the study does not train.

    Parameters
    ----------
    config : StudyConfig
        Well-typed settings.
    """
    endpoint = config.endpoint
    if endpoint is None:
        return
    running = config.recipes.named()
    for place, name in enumerate(endpoint.recipes):
        loc: Loc = ("endpoint", "recipes", place)
        if name not in running:
            yield loc, f"recipe '{name}' is not run by this study, which runs {', '.join(running)}"
        elif isinstance(running[name], NoPretraining):
            yield loc, "no_pretraining has no n_pretrain and cannot be one side of a boundary"
        elif isinstance(running[name], PUBLIC) and not _is_public_alone(config, endpoint):
            yield loc, f"{name} has no n_pretrain here; it can be compared with another public recipe along n_finetune"
        else:
            yield from _endpoint_models(config, name, running[name])
    if endpoint.recipes[0] == endpoint.recipes[1]:
        yield ("endpoint", "recipes"), "names one recipe twice; name two"
    yield from _endpoint_stage(config)


def _is_public_alone(config: StudyConfig, endpoint: Endpoint) -> bool:
    """Return whether both recipes start from public weights, and the axis is one that they have."""
    sides = [config.recipes.named().get(name) for name in endpoint.recipes]
    return endpoint.along == "n_finetune" and all(isinstance(side, PUBLIC) for side in sides)


def _endpoint_models(config: StudyConfig, name: str, recipe: Any) -> Iterator[Fault]:
    endpoint = config.endpoint
    assert endpoint is not None  # noqa: S101 - the caller has looked
    place = ".".join(map(str, config.recipes.place(name)))
    students = {student for student, _ in pairs_of(recipe)}
    taught = [(student, teachers) for student, teachers in pairs_of(recipe) if hasattr(recipe, "pairs")]
    if not taught:
        if endpoint.student not in students and model_named(config, endpoint.student):
            yield (
                ("endpoint", "student"),
                f"a student {in_words(endpoint.student)} is not among {place}.students {recipe.students}",
            )
        return
    if endpoint.teacher is None:
        yield ("endpoint",), f"recipe {name} has teachers; say which one with the key teacher"
    elif (endpoint.student, endpoint.teacher) not in taught:
        teacher = " and ".join(map(str, endpoint.teacher))
        yield (
            ("endpoint", "teacher"),
            f"the pair of teacher {teacher} and student {endpoint.student} is not among {place}.pairs",
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
        if getattr(config.recipes.named().get(name), "guide", None) == "finetuning":
            yield (
                ("endpoint", "recipes", place),
                f"recipe '{name}' guides fine-tuning alone: its pretraining is scratch's; set stage: finetuned",
            )
    for key in ("downstream", "n_finetune"):
        if getattr(endpoint, key) is not None:
            yield ("endpoint", key), f"stage pretrained is scored upstream; remove {key} or set stage: finetuned"
    if endpoint.along == "n_finetune":
        yield ("endpoint", "along"), "stage pretrained has no n_finetune; set stage: finetuned or along: n_pretrain"
