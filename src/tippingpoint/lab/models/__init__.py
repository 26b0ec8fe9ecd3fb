"""Models of a size ladder, our DeiTs by heads and timm's by name, and the maps that guidance compares."""

from tippingpoint.lab.models.attention import MappedAttention
from tippingpoint.lab.models.building import (
    ModelFacts,
    build_model,
    check_model,
    inspect_model,
    measure_model,
    without_weights,
)
from tippingpoint.lab.models.deit import DeiTShape, build_deit
from tippingpoint.lab.models.files import StoredModel, load_model, read_about, save_model
from tippingpoint.lab.models.grow import grow
from tippingpoint.lab.models.maps import Recorder, attention_maps, map_kind, recording
from tippingpoint.lab.models.matching import check_guidance
from tippingpoint.lab.models.measuring import count_parameters, forward_flops, head_names

__all__ = [
    "DeiTShape",
    "MappedAttention",
    "ModelFacts",
    "Recorder",
    "StoredModel",
    "attention_maps",
    "build_deit",
    "build_model",
    "check_guidance",
    "check_model",
    "count_parameters",
    "forward_flops",
    "grow",
    "head_names",
    "inspect_model",
    "load_model",
    "map_kind",
    "measure_model",
    "read_about",
    "recording",
    "save_model",
    "without_weights",
]
