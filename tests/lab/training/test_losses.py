"""The loss against hand-worked numbers and against float64 loops written straight from THEORY."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tippingpoint.errors import ConfigError
from tippingpoint.lab.training.losses import Guidance, attention_divergence, guided_loss, output_divergence

B, C, N, K, T = 5, 4, 6, 3, 2


def softmax(row: np.ndarray) -> np.ndarray:
    e = np.exp(row - row.max())
    return e / e.sum()


def loop_output(student: np.ndarray, teachers: list[np.ndarray], tau: float) -> float:
    total = 0.0
    for b in range(len(student)):
        p_t = sum(softmax(t[b] / tau) for t in teachers) / len(teachers)
        p_s = softmax(student[b] / tau)
        for c in range(len(p_s)):
            total += p_t[c] * (math.log(p_t[c]) - math.log(p_s[c]))
    return total / len(student)


def loop_attention(student: np.ndarray, teachers: np.ndarray) -> float:
    """student (K, B, N, N), teachers (T, K, B, N, N)."""
    P_t = teachers.mean(axis=0)
    total, queries = 0.0, 0
    for k in range(student.shape[0]):
        for b in range(student.shape[1]):
            for i in range(student.shape[2]):
                queries += 1
                for j in range(student.shape[3]):
                    total += P_t[k, b, i, j] * (math.log(P_t[k, b, i, j]) - math.log(student[k, b, i, j]))
    return total / queries


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def logits(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(B, C)) * 2)


def maps(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(K, B, N, N))).softmax(dim=-1)


@pytest.mark.parametrize("tau", [1.0, 2.0, 7.5])
@pytest.mark.parametrize("n_teachers", [1, 3])
def test_output_divergence_is_the_loop(rng: np.random.Generator, tau: float, n_teachers: int) -> None:
    student, teachers = logits(rng), [logits(rng) for _ in range(n_teachers)]
    expected = loop_output(student.numpy(), [t.numpy() for t in teachers], tau)
    assert output_divergence(student, teachers, tau).item() == pytest.approx(expected, rel=1e-12)


def test_output_divergence_by_hand() -> None:
    # p_T = (3/4, 1/4), p_S = (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2)
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert output_divergence(student, [teacher], 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_mean_of_divergences_differs_from_divergence_to_mean_by_a_constant(rng: np.random.Generator) -> None:
    """THEORY: several teachers are their mean; then gradients of the student agree."""
    student = logits(rng).requires_grad_()
    teachers = [logits(rng) for _ in range(3)]
    (one,) = torch.autograd.grad(output_divergence(student, teachers, 2.0), student)
    mean = torch.stack([output_divergence(student, [t], 2.0) for t in teachers]).mean()
    (other,) = torch.autograd.grad(mean, student)
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_that_constant_is_how_much_the_teachers_differ(rng: np.random.Generator) -> None:
    """mean_t KL(p_t || p_S) - KL(mean p_t || p_S) = H(mean p_t) - mean H(p_t), whoever the student is."""
    teachers = [logits(rng) for _ in range(3)]
    p = np.stack([[softmax(row / 2.0) for row in t.numpy()] for t in teachers])
    entropy = -(p * np.log(p)).sum(axis=-1)
    mixed = -(p.mean(axis=0) * np.log(p.mean(axis=0))).sum(axis=-1)
    expected = float((mixed - entropy.mean(axis=0)).mean())
    for student in (logits(rng), logits(rng), teachers[0]):
        mean = torch.stack([output_divergence(student, [t], 2.0) for t in teachers]).mean()
        found = (mean - output_divergence(student, teachers, 2.0)).item()
        assert found == pytest.approx(expected, rel=1e-10)


def test_attention_divergence_is_the_loop(rng: np.random.Generator) -> None:
    student, teachers = maps(rng), [maps(rng) for _ in range(T)]
    expected = loop_attention(student.numpy(), np.stack([t.numpy() for t in teachers]))
    found = attention_divergence(list(student), [list(t) for t in teachers]).item()
    assert found == pytest.approx(expected, rel=2e-6)  # computed in float32, as THEORY asks


def test_attention_divergence_survives_a_key_that_nobody_looks_at() -> None:
    teacher = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    student = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]], requires_grad=True)
    divergence = attention_divergence([student], [[teacher]])
    assert divergence.item() == pytest.approx(math.log(2) / 2, rel=1e-6)
    (gradient,) = torch.autograd.grad(divergence, student)
    assert torch.isfinite(gradient).all()


def test_attention_divergence_refuses_other_depth(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="the teacher has 2 layers"):
        attention_divergence(list(maps(rng)), [list(maps(rng))[:2]])


@pytest.mark.parametrize("tau", [1.0, 3.0])
@pytest.mark.parametrize("w", [0.0, 0.3, 1.0])
def test_whole_loss(rng: np.random.Generator, w: float, tau: float) -> None:
    """L = w CE + (1 - w) tau^2 KL + w_att A, with KL over the batch alone."""
    student, teacher = logits(rng), logits(rng)
    student_maps, teacher_maps = maps(rng), maps(rng)
    labels = torch.tensor([0, 1, 2, 3, 0])
    guidance = Guidance(label_weight=w, temperature=tau, attention_weight=0.7)
    parts = guided_loss(
        student,
        labels,
        guidance=guidance,
        teachers=[teacher],
        student_maps=list(student_maps),
        teacher_maps=[list(teacher_maps)],
    )
    ce = -np.mean([math.log(softmax(row)[y]) for row, y in zip(student.numpy(), labels, strict=True)])
    kl = loop_output(student.numpy(), [teacher.numpy()], tau)
    attention = loop_attention(student_maps.numpy(), teacher_maps.numpy()[None])
    assert parts["loss"].item() == pytest.approx(w * ce + (1 - w) * tau**2 * kl + 0.7 * attention, rel=1e-6)
    assert parts["ce"].item() == pytest.approx(ce, rel=1e-12)


def test_teacher_equal_to_student_gives_zero(rng: np.random.Generator) -> None:
    student, student_maps = logits(rng), maps(rng)
    parts = guided_loss(
        student,
        torch.zeros(B, dtype=torch.int64),
        guidance=Guidance(),
        teachers=[student],
        student_maps=list(student_maps),
        teacher_maps=[list(student_maps)],
    )
    assert parts["kl"].item() == pytest.approx(0, abs=1e-12)
    assert parts["attention"].item() == pytest.approx(0, abs=1e-7)


def test_labels_alone_is_plain_training(rng: np.random.Generator) -> None:
    student, labels = logits(rng), torch.tensor([0, 1, 2, 3, 0])
    plain = guided_loss(student, labels)
    guided = guided_loss(student, labels, guidance=Guidance(label_weight=1, attention_weight=0), teachers=[logits(rng)])
    assert torch.equal(plain["loss"], guided["loss"])


def test_label_smoothing(rng: np.random.Generator) -> None:
    student, labels = logits(rng), torch.tensor([0, 1, 2, 3, 0])
    log_p = np.log([softmax(row) for row in student.numpy()])
    target = np.full((B, C), 0.1 / C) + 0.9 * np.eye(C)[labels.numpy()]
    expected = -(target * log_p).sum(axis=1).mean()
    assert guided_loss(student, labels, label_smoothing=0.1)["loss"].item() == pytest.approx(expected, rel=1e-12)


def test_guidance_names_every_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        Guidance(label_weight=1.5, temperature=0, attention_weight=-1, attention_temperature=-2)
    assert len(caught.value.faults) == 4
