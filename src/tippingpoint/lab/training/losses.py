r"""The whole loss of small-to-large guidance (Eq. 3 plus the alignment of attention maps).

.. math::  L = w\,CE + (1 - w)\,\tau^2\,KL(p_T \Vert p_S) + w_{att}\,A

Notation
--------
B images, C classes, N tokens, H x W positions, T teachers, K layers of the student, K_T of a teacher.

=========  ==============  ==========================================================================
symbol     shape           meaning
=========  ==============  ==========================================================================
w          scalar          ``label_weight``, the weight of the *labels* (the paper's alpha)
tau        scalar          temperature of the soft targets
p_T, p_S   (B, C)          softened probabilities of teacher(s) and student
P_T, P_S   (K, B, N, N)    attention maps at tau_a, averaged over heads (and over teachers)
A          nats            KL(P_T || P_S): summed over keys, averaged over queries, layers and batch
Q_T, Q_S   (K, B, H W)     spatial maps of convolutional networks, each divided by its length (2-norm)
A          none            of those: |Q_T - Q_S|^2 summed over positions, averaged over stages and batch
=========  ==============  ==========================================================================

Several teachers are one: the target is the mean of their softened probabilities. The mean of their KLs equals the KL
to that mean up to a constant; their sum would multiply the weight by T. KL is averaged over the batch, not over batch
x classes, which would weaken it by the number of classes. Plain training is w = 1 and w_att = 0.

Depths may differ: layer k of the student (from 1) listens to layer :math:`\lceil k K_T / K \rceil` of the teacher, that
at the same relative depth; the last listens to the last. Spatial maps are attention transfer (Zagoruyko & Komodakis
2017, arXiv:1612.03928, Eq. 2), but for the square of the distance: it has a gradient where the maps agree. It lies in
[0, 2]. A teacher's map of another resolution is brought to the student's by averaging over areas.

The guidance may change over a training (``SCHEDULES``): stay as it is, decay in a straight line to plain training, or
end once the student errs less than its teachers on images held out (the idea of arXiv:2604.15451).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from tippingpoint.errors import ConfigError
from tippingpoint.lab.seeds import generator

__all__ = [
    "SCHEDULES",
    "SHUFFLES",
    "TEMPERATURES",
    "Guidance",
    "attention_divergence",
    "guided_loss",
    "output_divergence",
    "shuffled_order",
    "spatial_distance",
]

SCHEDULES = ("constant", "decayed", "until_passed")
SHUFFLES = ("images", "within_class")
TEMPERATURES = (1e-3, 1e3)  # beyond, float32 knows no difference of two outputs


@dataclass(frozen=True)
class Guidance:
    """How strongly a teacher guides.

    Parameters
    ----------
    label_weight : float, default 0.5
        w, in [0, 1]: 1 learns from the labels alone. The paper does not give it.
    temperature : float, default 2
        tau, in `TEMPERATURES`. The paper does not give it.
    attention_weight : float, default 1
        w_att >= 0: 0 leaves the maps alone. The paper does not give it.
    attention_temperature : float, default 1
        tau_a, in `TEMPERATURES`. The paper does not give it.
    schedule : str, default "constant"
        One of `SCHEDULES`.
    check_every : int, default 50
        With ``until_passed``: steps between two comparisons with the teachers.
    shuffle : {"images", "within_class"}, optional
        A control: each image is given what the teacher says of another one of its batch (see `shuffled_order`).

    Raises
    ------
    ConfigError
        A number is out of its range; all such are named.
    """

    label_weight: float = 0.5
    temperature: float = 2.0
    attention_weight: float = 1.0
    attention_temperature: float = 1.0
    schedule: str = "constant"
    check_every: int = 50
    shuffle: str | None = None

    def __post_init__(self) -> None:
        faults = []
        if not 0 <= self.label_weight <= 1:
            faults.append(f"guidance: label_weight is {self.label_weight}; it must lie in [0, 1].")
        if not self.attention_weight >= 0:
            faults.append(f"guidance: attention_weight is {self.attention_weight}; it must not be negative.")
        for name in ("temperature", "attention_temperature"):
            if not TEMPERATURES[0] <= getattr(self, name) <= TEMPERATURES[1]:
                faults.append(f"guidance: {name} is {getattr(self, name)}; it must lie in {list(TEMPERATURES)}.")
        if self.schedule not in SCHEDULES:
            faults.append(f"guidance: schedule is '{self.schedule}'; it must be one of {', '.join(SCHEDULES)}.")
        if self.shuffle is not None and self.shuffle not in SHUFFLES:
            faults.append(f"guidance: shuffle is '{self.shuffle}'; it must be one of {', '.join(SHUFFLES)}, or absent.")
        if self.check_every < 1:
            faults.append(f"guidance: check_every is {self.check_every}; it must be at least 1.")
        if faults:
            raise ConfigError(faults)

    @property
    def is_plain(self) -> bool:
        """Whether nothing of the teacher enters the loss."""
        return self.label_weight == 1 and self.attention_weight == 0

    def at(self, step: int, n_steps: int) -> Guidance:
        """Return the guidance of one step; a pure function of it.

        Parameters
        ----------
        step : int
            0 <= step < ``n_steps``.
        n_steps : int
            Length of the whole training.

        Returns
        -------
        Guidance
            Itself, unless it is ``decayed``: then what the teacher weighs, 1 - w and w_att, is multiplied by
            1 - step / n_steps, which is 1 at the first step and would be 0 after the last.
        """
        if self.schedule != "decayed":
            return self
        left = 1 - step / n_steps
        return replace(
            self, label_weight=1 - (1 - self.label_weight) * left, attention_weight=self.attention_weight * left
        )


def output_divergence(student: torch.Tensor, teachers: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """Return KL(teacher || student) of the softened outputs, averaged over the batch.

    Parameters
    ----------
    student : torch.Tensor
        Logits, (B, C).
    teachers : sequence of torch.Tensor
        Logits of each teacher, (B, C).
    temperature : float
        tau. The factor tau^2 of Eq. (3) is not in here.

    Returns
    -------
    torch.Tensor
        A scalar in nats.
    """
    target = torch.stack([(logits / temperature).softmax(dim=-1) for logits in teachers]).mean(dim=0)
    log_student = (student / temperature).log_softmax(dim=-1)
    return F.kl_div(log_student, target, reduction="batchmean")  # 'batchmean': over B, not over B x classes


def _heard(maps: Sequence[torch.Tensor], depth: int) -> list[torch.Tensor]:
    """Return, for each of a student's layers, the teacher's map at the same relative depth."""
    return [maps[-(-(layer + 1) * len(maps) // depth) - 1] for layer in range(depth)]


def attention_divergence(student: Sequence[torch.Tensor], teachers: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """Return A of transformers: KL between head-averaged attention maps, layer by layer.

    Parameters
    ----------
    student : sequence of torch.Tensor
        K maps, (B, N, N) each.
    teachers : sequence of sequence of torch.Tensor
        For each teacher its maps. Heads may differ (maps are averaged over them) and so may depths; tokens may not.

    Returns
    -------
    torch.Tensor
        A scalar in nats, float32.

    Raises
    ------
    ConfigError
        A teacher's number of tokens differs from the student's.
    """
    for maps in teachers:
        if not maps or maps[0].shape[-1] != student[0].shape[-1]:
            raise ConfigError(
                f"guidance: the teacher's maps are of {maps[0].shape[-1] if maps else 0} tokens, the student's of "
                f"{student[0].shape[-1]}; give both the same patches, or set attention_weight to 0."
            )
    P_student = torch.stack(list(student)).float()  # (K, B, N, N)
    P_teacher = torch.stack([torch.stack(_heard(maps, len(student))) for maps in teachers]).float().mean(dim=0)
    tiny = torch.finfo(torch.float32).tiny  # a key that no head looks at has P = 0: its log must stay finite
    divergence = P_teacher * (P_teacher.clamp_min(tiny).log() - P_student.clamp_min(tiny).log())
    return divergence.sum(dim=-1).mean()


def spatial_distance(student: Sequence[torch.Tensor], teachers: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """Return A of convolutional networks: the squared distance between normalised spatial maps, stage by stage.

    Parameters
    ----------
    student : sequence of torch.Tensor
        K maps of square images, (B, H W) each, not negative.
    teachers : sequence of sequence of torch.Tensor
        For each teacher its maps. Channels, depths and resolutions may differ. Several teachers are one: the mean of
        their normalised maps.

    Returns
    -------
    torch.Tensor
        A scalar, float32.
    """
    total = torch.zeros((), device=student[0].device)
    for stage, Q_student in enumerate(student):
        heard = [_heard(maps, len(student))[stage] for maps in teachers]
        target = torch.stack([F.normalize(_resized(one.float(), Q_student.shape[-1]), dim=-1) for one in heard])
        distance = F.normalize(Q_student.float(), dim=-1) - target.mean(dim=0)
        total = total + distance.square().sum(dim=-1).mean()
    return total / len(student)


def _resized(maps: torch.Tensor, positions: int) -> torch.Tensor:
    """Return square maps (B, H W) at another resolution, each new position the mean of those it covers."""
    if maps.shape[-1] == positions:
        return maps
    side, wanted = round(maps.shape[-1] ** 0.5), round(positions**0.5)
    return F.adaptive_avg_pool2d(maps.reshape(len(maps), side, side), wanted).flatten(-2)


def _map_difference(student: Sequence[torch.Tensor], teachers: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    """Return A of whichever kind the maps are: attention maps have a query and a key, spatial ones a position."""
    if len({one.ndim for maps in (student, *teachers) for one in maps}) != 1:
        raise ConfigError(
            "guidance: attention maps and spatial maps cannot be compared, and a model without maps has nothing to "
            "compare; choose models of one kind, or set attention_weight to 0."
        )
    return attention_divergence(student, teachers) if student[0].ndim == 3 else spatial_distance(student, teachers)


def shuffled_order(labels: torch.Tensor, how: str | None, seed: int, step: int) -> torch.Tensor:
    """Return which image's teacher each image of a batch is given: a pure function of its arguments.

    Parameters
    ----------
    labels : torch.Tensor
        (B,), int64: the batch's.
    how : {"images", "within_class"} or None
        Any image of the batch, or one of the same class: then what the teacher says of the class as a whole stays.
        Permutations are drawn uniformly, so an image may well be given its own teacher: one of B (of its class) is on
        average, and a class that has one image in the batch keeps it. None leaves all as they are.
    seed, step : int
        Of the training, and the step of this batch.

    Returns
    -------
    torch.Tensor
        (B,), int64, on the labels' device: take rows ``targets[order]``.
    """
    if how is None:
        return torch.arange(len(labels), device=labels.device)
    drawn = torch.randperm(len(labels), generator=generator("shuffle", seed, step)).to(labels.device, non_blocking=True)
    if how == "images":
        return drawn
    order = torch.empty_like(drawn)  # the places of a class, in their order, get its images, in the drawn order
    order[torch.argsort(labels, stable=True)] = drawn[torch.argsort(labels[drawn], stable=True)]
    return order


def guided_loss(
    student: torch.Tensor,
    labels: torch.Tensor,
    *,
    guidance: Guidance | None = None,
    teachers: Sequence[torch.Tensor] = (),
    distilled: torch.Tensor | None = None,
    student_maps: Sequence[torch.Tensor] = (),
    teacher_maps: Sequence[Sequence[torch.Tensor]] = (),
    label_smoothing: float = 0.0,
) -> dict[str, torch.Tensor]:
    """Return the loss and its named parts.

    Parameters
    ----------
    student : torch.Tensor
        Logits, (B, C).
    labels : torch.Tensor
        (B,), int64.
    guidance : Guidance, optional
        None is plain training.
    distilled : torch.Tensor, optional
        Logits of a distillation head, (B, C): it learns from the teachers and ``student`` from the labels. Without
        guidance both learn from the labels, as one: their logits are averaged, as in scoring.
    teachers, student_maps, teacher_maps
        See :func:`output_divergence`, :func:`attention_divergence` and :func:`spatial_distance`; needed as far as
        their weights are not zero.
    label_smoothing : float, default 0
        Of the cross-entropy with the labels, in [0, 1).

    Returns
    -------
    dict of str to torch.Tensor
        ``loss``, ``ce``, ``kl`` (without tau^2), ``attention``: scalars; the last two are 0 where they do not enter.
    """
    plain = guidance is None or guidance.is_plain
    if plain and distilled is not None:
        student = (student + distilled) / 2
    ce = F.cross_entropy(student, labels, label_smoothing=label_smoothing)
    zero = torch.zeros((), device=ce.device)
    if guidance is None or plain:
        return {"loss": ce, "ce": ce, "kl": zero, "attention": zero}
    kl = attention = zero
    loss = guidance.label_weight * ce
    if guidance.label_weight < 1:
        heard = student if distilled is None else distilled
        kl = output_divergence(heard, teachers, guidance.temperature)
        loss = loss + (1 - guidance.label_weight) * guidance.temperature**2 * kl  # Eq. (3)
    if guidance.attention_weight > 0:
        attention = _map_difference(student_maps, teacher_maps)
        loss = loss + guidance.attention_weight * attention
    return {"loss": loss, "ce": ce, "kl": kl, "attention": attention}
