"""The small types that a study file is made of: sizes, models by name, and strict settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

__all__ = [
    "Beta",
    "ImageCount",
    "Model",
    "ModelName",
    "NotNegative",
    "Positive",
    "Settings",
    "Size",
    "Teacher",
    "Temperature",
    "above_zero",
    "model_name",
]

MOST_HEADS = 64
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

Size = int | float  # a count of images, or a share of the pool of training images
Model = int | str  # a number of heads, or a name of the ladder


def above_zero(text: str) -> float:
    """Return a finite number above 0, as a user types it on the command line; ValueError where it is none."""
    number = float(text.replace("_", ""))
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def _read_size(value: Any) -> Size:
    """An integer counts images, a float in (0, 1] is a share of the training images."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticCustomError("size", "must be a count of images (250) or a share of them (0.25)")
    if isinstance(value, float) and not 0 < value <= 1:
        hint = f"; for a count of images write {int(value)}" if value > 1 and value.is_integer() else ""
        raise PydanticCustomError("size", "a share must lie in (0, 1]{hint}", {"hint": hint})
    if value <= 0:
        raise PydanticCustomError("size", "a count of images must be at least 1")
    return value


def _is_model(value: Any) -> bool:
    if isinstance(value, str):
        return _NAME.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_HEADS


def _read_model(value: Any) -> Model:
    """A number of heads (4), or a name of model.ladder."""
    if not _is_model(value):
        raise PydanticCustomError(
            "model", f"must be a number of heads (1 to {MOST_HEADS}) or a name of model.ladder (letters, digits, _.-)"
        )
    found: Model = value
    return found


def _read_teacher(value: Any) -> tuple[Model, ...]:
    """One teacher (2, or small) or several ([2, 4])."""
    several = list(value) if isinstance(value, (list, tuple)) else [value]
    if not several or not all(map(_is_model, several)):
        raise PydanticCustomError(
            "teacher", "must be a number of heads (2), a name of model.ladder, or a list of them ([2, 4])"
        )
    if len(set(several)) < len(several):
        raise PydanticCustomError("teacher", "names a teacher twice")
    return tuple(sorted(several, key=lambda model: (isinstance(model, str), model)))


def _write_teacher(value: tuple[Model, ...]) -> Model | list[Model]:
    return value[0] if len(value) == 1 else list(value)


ImageCount = Annotated[Any, PlainValidator(_read_size)]
ModelName = Annotated[Model, PlainValidator(_read_model)]
Teacher = Annotated[tuple[Model, ...], PlainValidator(_read_teacher), PlainSerializer(_write_teacher)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Temperature = Annotated[float, Field(ge=1e-3, le=1e3)]  # beyond, float32 knows no difference of two outputs


class Settings(BaseModel):
    """Strict: no unknown keys, no conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def model_name(models: Model | Sequence[Model]) -> str:
    """Return what the runs table calls a model, or several: ``heads=2``, ``heads=2+4``, ``small`` or ``small+deep``.

    Parameters
    ----------
    models : int, str or sequence of them
        Numbers of heads, names of the ladder.
    """
    several = [models] if isinstance(models, (int, str)) else list(models)
    heads = "+".join(str(model) for model in several if isinstance(model, int))
    return "+".join([f"heads={heads}"] * bool(heads) + [model for model in several if isinstance(model, str)])
