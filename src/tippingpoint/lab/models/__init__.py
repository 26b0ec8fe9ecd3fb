"""Models whose size is set by the number of attention heads, and their attention maps."""

from tippingpoint.lab.models.attention import MappedAttention, attention_maps, recording
from tippingpoint.lab.models.deit import DeiTShape, build_deit, count_parameters, forward_flops
from tippingpoint.lab.models.grow import grow

__all__ = [
    "DeiTShape",
    "MappedAttention",
    "attention_maps",
    "build_deit",
    "count_parameters",
    "forward_flops",
    "grow",
    "recording",
]
