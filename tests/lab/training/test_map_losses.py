"""Spatial maps against float64 loops, shuffled teachers, and where the gradients of both kinds of maps go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import build_model, recording
from tippingpoint.lab.training.losses import Guidance, guided_loss, shuffled_order, spatial_distance

B, C, N, K = 5, 4, 6, 3
CNN = {"timm": "resnet18", "arguments": {"channels": [8, 16, 32, 64]}}
WIDE = {"timm": "resnet18", "arguments": {"channels": [16, 32, 64, 128]}}
SMALL = {"heads": 2, "head_dim": 4, "depth": 2, "patch_size": 7}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def logits(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(B, C)) * 2)


def maps(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(K, B, N, N))).softmax(dim=-1)


def spatial(rng: np.random.Generator, *sides: int) -> list[torch.Tensor]:
    """Squares, as of activations: (B, side^2) for each stage."""
    return [torch.from_numpy(rng.normal(size=(B, side * side)) ** 2) for side in sides]


def loop_spatial(student: list[torch.Tensor], teachers: list[list[torch.Tensor]]) -> float:
    """Stage by stage, image by image, position by position, in float64; stages and resolutions agree."""
    total = 0.0
    for stage, own in enumerate(student):
        for b in range(B):
            lengths = [math.sqrt(sum(float(x) ** 2 for x in teacher[stage][b])) for teacher in teachers]
            length = math.sqrt(sum(float(x) ** 2 for x in own[b]))
            for h in range(own.shape[1]):
                target = sum(float(t[stage][b, h]) / m for t, m in zip(teachers, lengths, strict=True)) / len(teachers)
                total += (float(own[b, h]) / length - target) ** 2 / B
    return total / len(student)


@pytest.mark.parametrize("n_teachers", [1, 3])
def test_spatial_distance_is_the_loop(rng: np.random.Generator, n_teachers: int) -> None:
    student, teachers = spatial(rng, 4, 2), [spatial(rng, 4, 2) for _ in range(n_teachers)]
    expected = loop_spatial(student, teachers)
    assert expected > 0.1
    assert spatial_distance(student, teachers).item() == pytest.approx(expected, rel=2e-6)  # computed in float32


def test_spatial_distance_by_hand() -> None:
    """Maps (3, 4, 0, 0) / 5 and (0, 4, 3, 0) / 5: 9/25 twice; its scale does not count; the largest is 2."""
    own, other = torch.tensor([[3.0, 4.0, 0.0, 0.0]]), torch.tensor([[0.0, 4.0, 3.0, 0.0]])
    assert spatial_distance([own], [[other]]).item() == pytest.approx(18 / 25, rel=1e-6)
    assert spatial_distance([100 * own], [[0.01 * other]]).item() == pytest.approx(18 / 25, rel=1e-6)
    apart = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    assert spatial_distance([own], [[apart]]).item() == pytest.approx(2.0, rel=1e-6)


def test_a_map_of_another_resolution_is_averaged_over_areas(rng: np.random.Generator) -> None:
    student, teacher = spatial(rng, 2), spatial(rng, 4)
    areas = torch.zeros(B, 4, dtype=torch.float64)
    for row in range(4):
        for column in range(4):
            areas[:, 2 * (row // 2) + column // 2] += teacher[0][:, 4 * row + column] / 4
    assert spatial_distance(student, [teacher]).item() == pytest.approx(loop_spatial(student, [[areas]]), rel=2e-6)
    wider = torch.stack([student[0][:, [0, 0, 1, 1]], student[0][:, [2, 2, 3, 3]]], dim=1)  # each position four times
    repeated = wider.repeat_interleave(2, dim=1).flatten(1)
    assert spatial_distance([repeated], [student]).item() == pytest.approx(0, abs=1e-10)


def test_stages_listen_at_the_same_relative_depth(rng: np.random.Generator) -> None:
    student, teacher = spatial(rng, 4, 2), spatial(rng, 4, 4, 2, 2)
    expected = loop_spatial(student, [[teacher[1], teacher[3]]])
    assert spatial_distance(student, [teacher]).item() == pytest.approx(expected, rel=2e-6)


def test_spatial_guidance_in_the_whole_loss(rng: np.random.Generator) -> None:
    """Maps without a key axis are spatial; equal ones give zero and a finite gradient."""
    own, teacher = spatial(rng, 4, 2), spatial(rng, 4, 2)
    labels, guidance = torch.tensor([0, 1, 2, 3, 0]), Guidance(label_weight=1.0, attention_weight=0.7)
    student = logits(rng)
    parts = guided_loss(
        student, labels, guidance=guidance, teachers=[student], student_maps=own, teacher_maps=[teacher]
    )
    assert parts["attention"].item() == pytest.approx(loop_spatial(own, [teacher]), rel=2e-6)
    assert parts["loss"].item() == pytest.approx(parts["ce"].item() + 0.7 * loop_spatial(own, [teacher]), rel=1e-6)
    same = [one.clone().requires_grad_() for one in own]
    zero = guided_loss(student, labels, guidance=guidance, teachers=[student], student_maps=same, teacher_maps=[own])
    assert zero["attention"].item() == pytest.approx(0, abs=1e-10)
    for gradient in torch.autograd.grad(zero["attention"], same):
        assert torch.isfinite(gradient).all()


def test_maps_of_two_kinds_are_refused(rng: np.random.Generator) -> None:
    guidance = Guidance()
    for own, other in [(spatial(rng, 4), list(maps(rng))), (list(maps(rng)), []), ([], [])]:
        with pytest.raises(ConfigError, match="set attention_weight to 0"):
            guided_loss(
                logits(rng),
                torch.zeros(B, dtype=torch.int64),
                guidance=guidance,
                teachers=[logits(rng)],
                student_maps=own,
                teacher_maps=[other],
            )


@pytest.mark.parametrize(
    ("student", "teacher", "size"),
    [(CNN, WIDE, 28), (CNN, {"timm": "convnext_atto"}, 32), ({**SMALL, "heads": 4}, {**SMALL, "depth": 3}, 14)],
)
def test_gradients_flow_to_the_student_only(student: dict[str, Any], teacher: dict[str, Any], size: int) -> None:
    own, other = (build_model(spec, image_size=size, channels=3, n_classes=C, seed=1) for spec in (student, teacher))
    images, labels = torch.randn(B, 3, size, size), torch.tensor([0, 1, 2, 3, 0])
    with recording(own) as mine, recording(other.eval()) as theirs:
        with torch.no_grad():
            heard = other(images)
        parts = guided_loss(
            own(images), labels, guidance=Guidance(label_weight=0.5), teachers=[heard],
            student_maps=mine.maps(), teacher_maps=[theirs.maps()],
        )  # fmt: skip
        parts["attention"].backward()
    first = next(iter(own.parameters()))
    moved = [name for name, weight in own.named_parameters() if weight.grad is not None and weight.grad.abs().max() > 0]
    assert moved, "the maps alone teach the student"
    assert first.grad is not None
    assert all(weight.grad is None for weight in other.parameters())


@pytest.mark.parametrize("student", [CNN, SMALL])
def test_a_teacher_that_is_the_student_says_nothing(student: dict[str, Any]) -> None:
    model = build_model(student, image_size=28, channels=3, n_classes=C, seed=1).eval()
    images, labels = torch.randn(B, 3, 28, 28), torch.tensor([0, 1, 2, 3, 0])
    with recording(model) as recorder:
        with torch.no_grad():
            heard, theirs = model(images), recorder.maps()
        said = model(images)
        parts = guided_loss(
            said, labels, guidance=Guidance(), teachers=[heard], student_maps=recorder.maps(), teacher_maps=[theirs]
        )
    assert parts["kl"].item() == pytest.approx(0, abs=1e-6)
    assert parts["attention"].item() == pytest.approx(0, abs=1e-6)


@given(labels=st.lists(st.integers(0, 4), max_size=40), seed=st.integers(0, 2**40), step=st.integers(0, 10**6))
def test_shuffled_orders_are_permutations(labels: list[int], seed: int, step: int) -> None:
    told = torch.tensor(labels, dtype=torch.int64)
    assert torch.equal(shuffled_order(told, None, seed, step), torch.arange(len(labels)))
    for how in ("images", "within_class"):
        order = shuffled_order(told, how, seed, step)
        assert torch.equal(order.sort().values, torch.arange(len(labels)))
        assert torch.equal(order, shuffled_order(told, how, seed, step)), "a pure function"
    assert torch.equal(told[order], told), "within a class the labels stay"


def test_shuffled_orders_are_drawn_anew_and_evenly() -> None:
    """Over 4000 steps each image of 8 (of the 4 of its class) is given each of them equally often."""
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    for how, share in (("images", 1 / 8), ("within_class", 1 / 4)):
        counts = torch.zeros(8, 8)
        for step in range(4000):
            counts[torch.arange(8), shuffled_order(labels, how, 3, step)] += 1 / 4000
        allowed = (labels[:, None] == labels[None]) | (how == "images")
        assert torch.equal(counts > 0, allowed)
        torch.testing.assert_close(counts[allowed], torch.full_like(counts[allowed], share), rtol=0, atol=0.035)
    assert not torch.equal(shuffled_order(labels, "images", 3, 0), shuffled_order(labels, "images", 4, 0))
