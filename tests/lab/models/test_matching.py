"""Which maps can guide which is known from the words of the models alone."""

from __future__ import annotations

from typing import Any

import pytest

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import check_guidance

CNN = {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}}
VIT = {"timm": "vit_tiny_patch16_224", "arguments": {"patch_size": 7, "depth": 1, "patch_drop_rate": 0.5}}
SMALL = {"heads": 2, "head_dim": 4, "depth": 2, "patch_size": 7}


@pytest.mark.parametrize(
    ("student", "teachers", "words"),
    [
        (CNN, [SMALL], "the maps of the teacher the DeiT of 2 heads are attention .* the student resnet18 spatial"),
        (SMALL, [CNN], "resnet18 are spatial"),
        (SMALL, [{**SMALL, "patch_size": 4}], "has 50 tokens and the student the DeiT of 2 heads 17"),
        ({**SMALL, "distillation_token": True}, [SMALL], "has 17 tokens .* with a distillation token 18"),
        (SMALL, [{"timm": "cait_xxs24_224", "arguments": {"patch_size": 7}}], "cait_xxs24_224 has no maps"),
        ({"timm": "cait_xxs24_224", "arguments": {"patch_size": 7}}, [SMALL], "has no maps that a teacher"),
        (VIT, [SMALL], "leaves out patches while it trains"),
    ],
)
def test_teachers_whose_maps_do_not_fit_are_named_before_any_compute(
    student: dict[str, Any], teachers: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ConfigError, match=f"{words}.*attention_weight: 0"):
        check_guidance(student, teachers, 1.0, 28, 3)
    check_guidance(student, teachers, 0.0, 28, 3)
    check_guidance(student, [], 1.0, 28, 3)


def test_every_teacher_that_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        check_guidance(SMALL, [CNN, {**SMALL, "patch_size": 4}, {**SMALL, "depth": 5}, CNN], 1.0, 28, 3)
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("student", "teachers"),
    [(SMALL, [{**SMALL, "heads": 3, "depth": 5}, VIT]), (CNN, [{"timm": "resnet50"}, {"timm": "regnety_002"}])],
)
def test_other_depths_widths_and_resolutions_fit(student: dict[str, Any], teachers: list[dict[str, Any]]) -> None:
    check_guidance(student, teachers, 1.0, 28, 3)
