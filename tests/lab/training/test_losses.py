"""The loss against hand-worked numbers and against float64 loops written straight from THEORY."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.task import LogitDistillationTask, TokenDistillationTask

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import DeiTShape, attention_maps, build_deit
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


def test_attention_divergence_refuses_other_tokens(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="are of 5 tokens, the student's of 6"):
        attention_divergence(list(maps(rng)), [[one[:, :5, :5] for one in maps(rng)]])


@pytest.mark.parametrize(
    ("depth", "others", "heard"),
    # By hand: layer k of K listens to layer ceil(k K_T / K).
    [(4, 12, [3, 6, 9, 12]), (12, 4, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]), (3, 2, [1, 2, 2]), (2, 3, [2, 3])],
)
def test_layers_listen_at_the_same_relative_depth(
    rng: np.random.Generator, depth: int, others: int, heard: list[int]
) -> None:
    student, teacher = ([torch.from_numpy(softmaxed(rng)) for _ in range(count)] for count in (depth, others))
    expected = loop_attention(
        np.stack([one.numpy() for one in student]), np.stack([teacher[layer - 1].numpy() for layer in heard])[None]
    )
    assert attention_divergence(student, [teacher]).item() == pytest.approx(expected, rel=2e-6)


def test_teachers_of_unequal_depths_are_averaged_layer_by_layer(rng: np.random.Generator) -> None:
    student, even, deep = ([torch.from_numpy(softmaxed(rng)) for _ in range(count)] for count in (2, 2, 4))
    heard = np.stack([[even[k].numpy(), deep[2 * k + 1].numpy()] for k in range(2)]).swapaxes(0, 1)
    expected = loop_attention(np.stack([one.numpy() for one in student]), heard)
    assert attention_divergence(student, [even, deep]).item() == pytest.approx(expected, rel=2e-6)


def softmaxed(rng: np.random.Generator) -> np.ndarray:
    """One layer's maps, (B, N, N)."""
    return np.stack([[softmax(row) for row in rng.normal(size=(N, N))] for _ in range(B)])


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
        Guidance(
            label_weight=1.5,
            temperature=0,
            attention_weight=-1,
            attention_temperature=-2,
            schedule="until_past",
            check_every=0,
            shuffle="labels",
        )
    assert len(caught.value.faults) == 7
    with pytest.raises(ConfigError, match="temperature"):
        Guidance(temperature=1e200)  # its square is no float


def test_constant_guidance_is_itself_at_every_step() -> None:
    for schedule in ("constant", "until_passed"):
        guidance = Guidance(schedule=schedule)
        assert all(guidance.at(step, 10) is guidance for step in range(10))


def test_decay_by_hand() -> None:
    guidance = Guidance(label_weight=0.6, attention_weight=2.0, temperature=3.0, schedule="decayed")
    first, middle, last = (guidance.at(step, 10) for step in (0, 5, 9))
    assert (first.label_weight, first.attention_weight) == (0.6, 2.0)
    assert middle.label_weight == pytest.approx(0.8, rel=1e-12)
    assert middle.attention_weight == pytest.approx(1.0, rel=1e-12)
    assert last.label_weight == pytest.approx(0.96, rel=1e-12)
    assert last.attention_weight == pytest.approx(0.2, rel=1e-12)
    assert {first.temperature, middle.temperature, last.temperature} == {3.0}, "what is compared stays"


@given(
    w=st.floats(0, 1),
    attention=st.floats(0, 100),
    n_steps=st.integers(1, 10_000),
    share=st.floats(0, 1, exclude_max=True),
)
def test_decayed_guidance_is_always_valid(w: float, attention: float, n_steps: int, share: float) -> None:
    """Its weights stay in their ranges at every step: `Guidance` checks them."""
    start = Guidance(label_weight=w, attention_weight=attention, schedule="decayed")
    now = start.at(int(share * n_steps), n_steps)
    assert now.label_weight >= w - 1e-15
    assert now.attention_weight <= attention


def test_output_divergence_is_a_mean_over_the_batch_and_a_sum_over_classes() -> None:
    """Rows with 3/4 ln(3/2) + 1/4 ln(1/2) and 0 nats, and a class more that nobody expects: their mean stays."""
    one = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    teacher, student = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    assert output_divergence(student, [teacher], 1.0).item() == pytest.approx(one / 2, rel=1e-6)
    unlikely = torch.full((2, 1), -40.0)
    wider = output_divergence(torch.cat([student, unlikely], 1), [torch.cat([teacher, unlikely], 1)], 1.0)
    assert wider.item() == pytest.approx(one / 2, rel=1e-6)
    twice = output_divergence(student.repeat(2, 1), [teacher.repeat(2, 1)], 1.0)
    assert twice.item() == pytest.approx(one / 2, rel=1e-6)


@pytest.mark.parametrize(("w", "tau"), [(0.3, 1.0), (0.5, 2.0), (0.9, 5.0)])
def test_whole_loss_is_timms(w: float, tau: float) -> None:
    """Without the attention term: timm's task of logit distillation with both of its weights given."""
    student, teacher = (build_deit(shape(heads), C, seed=heads).double() for heads in (4, 2))
    for model in (student, teacher):
        model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # it asks how images were normalised
    task = LogitDistillationTask(
        student,
        teacher,
        criterion=torch.nn.CrossEntropyLoss(),
        task_loss_weight=w,
        distill_loss_weight=1 - w,
        temperature=tau,
        verbose=False,
    )
    images, labels = torch.randn(B, 3, 14, 14).double(), torch.tensor([0, 1, 2, 3, 0])
    theirs = task(images, labels)
    with torch.no_grad():
        target = teacher(task.teacher.normalize_input(images, task.student_mean, task.student_std))
    guidance = Guidance(label_weight=w, temperature=tau, attention_weight=0)
    ours = guided_loss(student(images), labels, guidance=guidance, teachers=[target])
    assert ours["loss"].item() == pytest.approx(theirs["loss"].item(), rel=1e-9)
    assert tau**2 * ours["kl"].item() == pytest.approx(theirs["kd_loss"].item(), rel=1e-6, abs=1e-12)


def shape(heads: int, **changes: bool) -> DeiTShape:
    return DeiTShape(heads=heads, head_dim=4, depth=2, patch_size=7, image_size=14, channels=3, **changes)


def test_loss_with_a_distillation_token_is_timms() -> None:
    """The class head learns from the labels, the distillation head from the softened teacher."""
    student, teacher = build_deit(shape(4, distillation_token=True), C, seed=4), build_deit(shape(2), C, seed=2)
    for model in (student, teacher):
        model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    task = TokenDistillationTask(
        student,
        teacher,
        criterion=torch.nn.CrossEntropyLoss(),
        task_loss_weight=0.4,
        distill_loss_weight=0.6,
        distill_type="soft",
        temperature=2.0,
        verbose=False,
    )
    images, labels = torch.randn(B, 3, 14, 14), torch.tensor([0, 1, 2, 3, 0])
    theirs = task.train()(images, labels)
    guidance = Guidance(label_weight=0.4, temperature=2.0, attention_weight=0)
    with torch.no_grad():
        target = teacher(task.teacher.normalize_input(images, task.student_mean, task.student_std))
        own, heard = student.train()(images)
    ours = guided_loss(own, labels, guidance=guidance, teachers=[target], distilled=heard)
    assert ours["loss"].item() == pytest.approx(theirs["loss"].item(), rel=1e-6)
    plain = guided_loss(own, labels, distilled=heard)["loss"]
    assert plain.item() == pytest.approx(torch.nn.functional.cross_entropy((own + heard) / 2, labels).item(), rel=1e-6)


def loop_maps(model: torch.nn.Module, images: torch.Tensor, heads: int, tau: float) -> np.ndarray:
    """The maps of every layer in float64, head by head and key by key, from what each layer is given."""
    given: list[torch.Tensor] = []
    handles = [block.attn.register_forward_hook(lambda _, x, __: given.append(x[0].detach())) for block in model.blocks]
    model(images)
    for handle in handles:
        handle.remove()
    found = []
    for block, x in zip(model.blocks, given, strict=True):
        weight, bias = (p.detach().double().numpy() for p in (block.attn.qkv.weight, block.attn.qkv.bias))
        d = weight.shape[1] // heads
        layer = np.zeros((len(images), x.shape[1], x.shape[1]))
        for b in range(len(images)):
            for h in range(heads):
                q, k = (
                    x[b].double().numpy() @ weight[i].T + bias[i]
                    for i in np.r_[: 2 * heads * d].reshape(2, heads, d)[:, h]
                )
                for i in range(x.shape[1]):
                    scores = np.array([q[i] @ k[j] for j in range(x.shape[1])]) / math.sqrt(d) / tau
                    layer[b, i] += softmax(scores) / heads
        found.append(layer)
    return np.stack(found)


@pytest.mark.parametrize("tau", [1.0, 2.5])
def test_attention_term_of_two_heads_and_four_is_the_loop(tau: float) -> None:
    """From images to nats: models of 2 and 4 heads against loops over heads, queries and keys in float64."""
    small, large = (build_deit(shape(heads), C, seed=heads).eval() for heads in (2, 4))
    with torch.no_grad():
        for model in (small, large):
            for block in model.blocks:
                block.attn.qkv.weight.mul_(20)  # maps far from flat
        images = torch.randn(3, 3, 14, 14)
        maps = [list(attention_maps(model, images, tau)) for model in (large, small)]
        expected = loop_attention(loop_maps(large, images, 4, tau), loop_maps(small, images, 2, tau)[None])
    assert expected > 0.01
    assert attention_divergence(maps[0], [maps[1]]).item() == pytest.approx(expected, rel=1e-4)
