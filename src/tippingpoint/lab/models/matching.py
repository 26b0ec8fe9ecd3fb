"""What of a guidance is known to be impossible from the words of its models alone, before any of them is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models.building import ModelFacts, inspect_model

__all__ = ["check_guidance"]

REMEDY = "or set attention_weight: 0"


def check_guidance(
    student: Mapping[str, Any],
    teachers: Sequence[Mapping[str, Any]],
    attention_weight: float,
    image_size: int,
    channels: int,
) -> None:
    """Raise where the maps of teachers cannot be compared with the student's.

    Parameters
    ----------
    student : mapping
        Its words, see `tippingpoint.lab.models.build_model`.
    teachers : sequence of mapping
        Theirs.
    attention_weight : float
        How much the maps count; where it is 0, anything goes.
    image_size, channels : int
        Side and colour channels of an image.

    Raises
    ------
    ConfigError
        A model has no maps, a teacher's are of another kind, or its tokens are others in number: all that are.
    """
    if attention_weight == 0 or not teachers:
        return
    own = inspect_model(student, image_size=image_size, channels=channels)
    faults = []
    if own.map_kind is None:
        faults.append(f"guidance: {_called(student)} has no maps that a teacher could guide; set attention_weight: 0.")
    if own.drops_tokens:
        faults.append(
            f"guidance: {_called(student)} leaves out patches while it trains, and no teacher's map is of what "
            f"is left; remove patch_drop_rate, {REMEDY}."
        )
    for teacher in teachers:
        other = inspect_model(teacher, image_size=image_size, channels=channels)
        fault = _fault(_called(student), own, _called(teacher), other)
        if fault and fault not in faults:
            faults.append(fault)
    if faults:
        raise ConfigError(faults)


def _called(spec: Mapping[str, Any]) -> str:
    if "timm" in spec:
        return str(spec["timm"])
    return f"the DeiT of {spec['heads']} head{'s' if spec['heads'] != 1 else ''}" + (
        " with a distillation token" if spec.get("distillation_token") else ""
    )


def _fault(student: str, own: ModelFacts, teacher: str, other: ModelFacts) -> str | None:
    """Return why a teacher's maps cannot guide a student's, or None."""
    if other.map_kind is None:
        return f"guidance: the teacher {teacher} has no maps to guide with; choose another, {REMEDY}."
    if own.map_kind is None:
        return None
    if own.map_kind != other.map_kind:
        return (
            f"guidance: the maps of the teacher {teacher} are {other.map_kind} and those of the student {student} "
            f"{own.map_kind}; choose models of one kind, {REMEDY}."
        )
    if own.map_kind == "attention" and own.map_sizes[0] != other.map_sizes[0]:
        return (
            f"guidance: the teacher {teacher} has {other.map_sizes[0]} tokens and the student {student} "
            f"{own.map_sizes[0]}; give both the same patch_size and tokens, {REMEDY}."
        )
    return None
