"""DeiT whose size is set by its heads (section 3.1 of the paper: width = heads x 64, depth fixed).

The model is timm's ``VisionTransformer`` with timm's initialisation and names of weights; what is ours is the
attention class that can show its maps, and linear layers and a patch embedding that a CPU computes faster. Deliberately
not built: a transformer of our own. With a distillation token it is timm's ``VisionTransformerDistilled`` (Touvron et
al. 2021, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models.attention import MappedAttention
from tippingpoint.lab.models.linear import LinearPatchEmbed, quicken
from tippingpoint.lab.seeds import derive_seed

__all__ = ["DeiTShape", "build_deit"]


@dataclass(frozen=True)
class DeiTShape:
    """The shape of a DeiT.

    Parameters
    ----------
    heads : int
        Attention heads; the width is ``heads * head_dim``.
    head_dim : int, default 64
        Width of one head; the paper keeps 64, on a CPU 8 or 16 will do.
    depth : int, default 12
        Number of blocks.
    patch_size : int, default 16
        Side of a patch in pixels; divides ``image_size``.
    image_size : int, default 224
        Side of an image in pixels.
    channels : int, default 3
        Colour channels of an image.
    distillation_token : bool, default False
        A second token beside the class token, with a head of its own for what a teacher says.

    Raises
    ------
    ConfigError
        A number is below 1 or the patches do not tile the image.
    """

    heads: int
    head_dim: int = 64
    depth: int = 12
    patch_size: int = 16
    image_size: int = 224
    channels: int = 3
    distillation_token: bool = False

    def __post_init__(self) -> None:
        faults = [
            f"model: {name} is {value}; it must be at least 1."
            for name, value in vars(self).items()
            if value is not False and value < 1
        ]
        if not faults and self.image_size % self.patch_size:
            faults.append(
                f"model: patches of {self.patch_size} pixels do not tile an image of {self.image_size}; "
                "choose a patch_size that divides the image size."
            )
        if faults:
            raise ConfigError(faults)

    @property
    def embed_dim(self) -> int:
        """Width of a token."""
        return self.heads * self.head_dim


def build_deit(shape: DeiTShape, n_classes: int, seed: int) -> VisionTransformer:
    """Build a DeiT with initial weights that are a function of shape, classes and seed.

    Parameters
    ----------
    shape : DeiTShape
        Heads, width, depth, patches.
    n_classes : int
        Outputs of the classification head.
    seed : int
        Of the initial weights; torch's global generator is left as it was.

    Returns
    -------
    timm.models.vision_transformer.VisionTransformer
        In training mode, on the CPU, float32.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("weights", seed))
        model = VisionTransformer(**_arguments(shape))
        # The head is added last and by its own seed, so that the trunk is the same whatever the number of classes.
        torch.manual_seed(derive_seed("head", seed))
        model.reset_classifier(n_classes)
        head = model.get_classifier()
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        if shape.distillation_token:
            model = _with_token(model, shape, n_classes, seed)
    quicken(model)
    return model


def _arguments(shape: DeiTShape) -> dict[str, Any]:
    return {
        "img_size": shape.image_size,
        "patch_size": shape.patch_size,
        "in_chans": shape.channels,
        "num_classes": 0,
        "embed_dim": shape.embed_dim,
        "depth": shape.depth,
        "num_heads": shape.heads,
        "attn_layer": MappedAttention,
        "embed_layer": LinearPatchEmbed,
    }


def _with_token(plain: VisionTransformer, shape: DeiTShape, n_classes: int, seed: int) -> VisionTransformerDistilled:
    """Return the same model with a distillation token: what both have starts alike, so that they can be paired."""
    torch.manual_seed(derive_seed("distillation", seed))
    model = VisionTransformerDistilled(**_arguments(shape))
    model.reset_classifier(n_classes)
    nn.init.trunc_normal_(model.head_dist.weight, std=0.02)
    nn.init.zeros_(model.head_dist.bias)
    state = {**model.state_dict(), **plain.state_dict()}
    own = model.pos_embed[:, 1:2].detach()
    state["pos_embed"] = torch.cat([plain.pos_embed[:, :1], own, plain.pos_embed[:, 1:]], dim=1).detach()
    model.load_state_dict(state)
    return model
