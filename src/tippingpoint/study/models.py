"""Which models a study has: the DeiT shape that it shares, its ladder of named sizes, and what a task says of each."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from tippingpoint.study.values import Model, Settings

__all__ = ["LadderModel", "ModelSettings", "model_spec"]

HUB = "hub"  # in place of a file: the weights that timm publishes under the model's own name


class LadderModel(Settings):
    """One named size: a DeiT by its heads, or any model of timm."""

    heads: int | None = Field(None, ge=1, le=64, description="Of a DeiT; the model's width is heads x head_dim.")
    depth: int | None = Field(None, ge=1, le=48, description="Of a DeiT; absent: that of `model`.")
    head_dim: int | None = Field(None, ge=1, le=256, description="Of a DeiT; absent: that of `model`.")
    patch_size: int | None = Field(None, ge=1, description="Of a DeiT; absent: that of `model`.")
    timm: str | None = Field(None, min_length=1, description="A model of timm by its name, such as `resnet18`.")
    arguments: dict[str, JsonValue] | None = Field(
        None, description="Arguments of that model, such as `{channels: [8, 16, 32, 64]}` for a narrow `resnet18`."
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="Public weights of a timm model, for the recipes `public` and `public_frozen` alone: `hub` (timm's "
        "own, fetched before by `tippingpoint weights fetch`) or a `.safetensors` or `.pth` file. All other recipes "
        "start from random weights.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> LadderModel:
        if (self.heads is None) == (self.timm is None):
            raise PydanticCustomError("ladder", "give either heads (a DeiT) or timm (a model by name), and only one")
        wrong = ("depth", "head_dim", "patch_size") if self.timm else ("arguments", "weights")
        kind, other = ("timm", "heads") if self.timm else ("heads", "timm")
        for name in wrong:
            if getattr(self, name) is not None:
                raise PydanticCustomError(
                    "ladder", "{name} belongs to a model with {other}, not to one with {kind}",
                    {"name": name, "other": other, "kind": kind},
                )  # fmt: skip
        return self


class ModelSettings(Settings):
    """The DeiT shape of the models that are named by their heads, and a ladder of further models by name."""

    patch_size: int = Field(7, ge=1, description="Side of a patch in pixels; divides the image's side.")
    depth: int = Field(4, ge=1, le=48, description="Transformer blocks.")
    head_dim: int = Field(8, ge=1, le=256, description="Width of one head; the model's width is heads x head_dim.")
    ladder: dict[str, LadderModel] | None = Field(
        None, description="Named models: students and teachers are numbers of heads, or names from here."
    )


def model_spec(settings: ModelSettings, model: Model) -> dict[str, Any]:
    """Return what a task says of a model, its weights left out.

    Parameters
    ----------
    settings : ModelSettings
        Of the study.
    model : int or str
        A number of heads, or a name of the ladder.

    Returns
    -------
    dict
        ``{"heads", "head_dim", "depth", "patch_size"}`` or ``{"timm"[, "arguments"]}``.
    """
    shared = {name: getattr(settings, name) for name in ("patch_size", "depth", "head_dim")}
    if isinstance(model, int):
        return {**shared, "heads": model}
    entry = (settings.ladder or {})[model]
    if entry.timm is not None:
        return {"timm": entry.timm} | ({"arguments": entry.arguments} if entry.arguments else {})
    own = {name: getattr(entry, name) for name in shared if getattr(entry, name) is not None}
    return {**shared, **own, "heads": entry.heads}
