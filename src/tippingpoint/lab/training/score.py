"""Scores of a model on a test set: top-1 error and cross-entropy, plain and after temperature scaling.

Cross-entropy mixes knowledge and calibration. The calibrated one divides the logits by one temperature, chosen on
*validation* images (held out of the training images), so a difference that vanishes there was calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional as F

from tippingpoint.lab.training.batches import ImagesView, as_batch

__all__ = ["Scores", "fit_temperature", "passes", "predict_logits", "score", "score_logits"]


@dataclass(frozen=True)
class Scores:
    """Scores on a whole test set.

    Attributes
    ----------
    error : float
        Share of images whose top class is wrong, 0..1.
    cross_entropy : float
        Mean, in nats.
    cross_entropy_calibrated : float or None
        Mean, in nats, at ``temperature``; None without validation images.
    temperature : float or None
        What the logits are divided by.
    n_test : int
        Images scored.
    """

    error: float
    cross_entropy: float
    cross_entropy_calibrated: float | None
    temperature: float | None
    n_test: int

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON types."""
        return asdict(self)


def predict_logits(
    model: nn.Module,
    images: ImagesView | npt.NDArray[np.uint8],
    *,
    batch_size: int = 500,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Return the logits of a model, (n, C), on the CPU in float64; images are gathered batch by batch."""
    model.to(device).eval()
    with torch.inference_mode():
        parts = [
            model(as_batch(images[first : first + batch_size], device)).double().cpu()
            for first in range(0, len(images), batch_size)
        ]
    return torch.cat(parts)


def passes(
    teachers: Sequence[nn.Module],
    images: ImagesView | npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    device: torch.device | str = "cpu",
) -> Callable[[nn.Module], bool]:
    """Return a function that says whether a student errs less than its teachers.

    Parameters
    ----------
    teachers : sequence of nn.Module
        Run once, here; several are one by the mean of their probabilities.
    images, labels : ImagesView or ndarray, and ndarray
        Images held out: uint8 (n, height, width, channels) and int64 (n,).
    device : torch.device or str, default "cpu"
        Where to run the models.

    Returns
    -------
    callable
        Student -> True where its top-1 error on these images is below the teachers' (not equal to it).
    """
    targets = torch.tensor(labels)
    together = torch.stack([predict_logits(teacher, images, device=device).softmax(dim=-1) for teacher in teachers])
    bar = int((together.mean(dim=0).argmax(dim=1) != targets).sum())

    def passed(student: nn.Module) -> bool:
        return int((predict_logits(student, images, device=device).argmax(dim=1) != targets).sum()) < bar

    return passed


def fit_temperature(logits: torch.Tensor, labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature that minimises the cross-entropy of ``logits / temperature`` (bounded to 0.05..20)."""
    targets = torch.tensor(labels)

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / float(np.exp(log_temperature)), targets))

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def score(
    model: nn.Module,
    images: ImagesView | npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    *,
    calibration: tuple[ImagesView | npt.NDArray[np.uint8], npt.NDArray[np.int64]] | None = None,
    device: torch.device | str = "cpu",
) -> Scores:
    """Score a model.

    Parameters
    ----------
    model : nn.Module
        Is moved to the device and put in evaluation mode.
    images, labels : ImagesView or ndarray, and ndarray
        The test set: uint8 (n, height, width, channels) and int64 (n,).
    calibration : tuple of the same, optional
        Validation images and labels on which the temperature is chosen.
    device : torch.device or str, default "cpu"
        Where to run the model.

    Returns
    -------
    Scores
        Over all n images.
    """
    held_out = None
    if calibration is not None and len(calibration[1]):
        held_out = predict_logits(model, calibration[0], device=device), calibration[1]
    return score_logits(predict_logits(model, images, device=device), labels, calibration=held_out)


def score_logits(
    logits: torch.Tensor,
    labels: npt.NDArray[np.int64],
    *,
    calibration: tuple[torch.Tensor, npt.NDArray[np.int64]] | None = None,
) -> Scores:
    """Score the logits of a test set.

    Parameters
    ----------
    logits : torch.Tensor
        (n, C), float64, on the CPU.
    labels : ndarray of int64, shape (n,)
        The classes.
    calibration : tuple, optional
        Logits and labels of validation images on which the temperature is chosen.

    Returns
    -------
    Scores
        Over all n images.
    """
    targets = torch.tensor(labels)
    calibrated = temperature = None
    if calibration is not None:
        temperature = fit_temperature(*calibration)
        calibrated = float(F.cross_entropy(logits / temperature, targets))
    return Scores(
        error=float((logits.argmax(dim=1) != targets).double().mean()),
        cross_entropy=float(F.cross_entropy(logits, targets)),
        cross_entropy_calibrated=calibrated,
        temperature=temperature,
        n_test=len(labels),
    )
