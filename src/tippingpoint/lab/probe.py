"""A linear classifier on frozen features: what n labels are worth to somebody who starts from a public model.

Multinomial logistic regression (``lab.softmax``) on the features of the subset, standardised over that subset alone.
The strength of its L2 penalty is the one of a fixed ladder that gives the validation images the least cross-entropy;
the test images choose nothing. There is no chance in it but the choice of the subset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from tippingpoint.errors import StoreError
from tippingpoint.lab.data import ImageSet, expect_image_set, load_image_set, nested_subset, split_validation
from tippingpoint.lab.features import Features, read_features
from tippingpoint.lab.models import measure_model
from tippingpoint.lab.softmax import Axes, SoftmaxFit, fit_softmax
from tippingpoint.lab.training.score import score_logits

__all__ = ["L2", "Probe", "describe", "execute", "fit_probe", "time_step"]

L2 = tuple(10.0 ** (place / 2) for place in range(4, -14, -1))  # 100 down to 3e-7, each from where the last one ended
ROUGH = 1e-5  # tolerance of the fits that are compared
EVALUATIONS = 15  # of loss and gradient in one of these fits, for the estimate of their cost
Task = Mapping[str, Any]
Report = Callable[[int, int], None]
Labels = npt.NDArray[np.int64]


class Probe(NamedTuple):
    """A fitted classifier.

    Attributes
    ----------
    axes : Axes
        How features enter it.
    fit : SoftmaxFit
        Its weights.
    l2 : float
        The strength that was chosen.
    evaluations : int
        Of loss and gradient, in all fits.
    """

    axes: Axes
    fit: SoftmaxFit
    l2: float
    evaluations: int

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits of features (m, D), (m, C), float64."""
        return self.fit.logits(self.axes.project(features))


def fit_probe(
    features: torch.Tensor,
    labels: Labels,
    n_classes: int,
    validation: tuple[torch.Tensor, Labels],
    report: Report | None = None,
) -> Probe:
    """Fit a linear classifier, its penalty chosen on validation images.

    Parameters
    ----------
    features : torch.Tensor
        (n, D) of the images to learn from.
    labels : ndarray of int64, shape (n,)
        Their classes.
    n_classes : int
        C.
    validation : tuple
        Features (m, D) and labels (m,) on which the penalty is chosen: least cross-entropy, of equals the stronger.
    report : callable, optional
        Called with (fits done, fits in all).

    Returns
    -------
    Probe
        Fitted to a gradient below 1e-9 at the chosen penalty.
    """
    axes, targets = Axes.of(features), torch.tensor(labels)
    learned, held = axes.project(features), axes.project(validation[0])
    judged = torch.tensor(validation[1])
    fit, evaluations = None, 0
    best: tuple[float, float, SoftmaxFit] | None = None
    for place, l2 in enumerate(L2):
        fit = fit_softmax(learned, targets, n_classes, l2, axes.variance, start=fit, tolerance=ROUGH)
        evaluations += fit.evaluations
        lost = float(F.cross_entropy(fit.logits(held), judged))
        if best is None or lost < best[0]:
            best = lost, l2, fit
        if report is not None:
            report(place + 1, len(L2) + 1)
    assert best is not None  # noqa: S101 - the ladder has rungs
    final = fit_softmax(learned, targets, n_classes, best[1], axes.variance, start=best[2])
    return Probe(axes, final, best[1], evaluations + final.evaluations)


def describe(task: Task) -> dict[str, float]:
    """Return what a probe costs; nothing is computed.

    Parameters
    ----------
    task : mapping
        Of kind ``probe``, see ``tippingpoint.lab.tasks``.

    Returns
    -------
    dict
        ``n_params`` (of the trunk), ``n_params_head`` (of the classifier), ``n_steps`` (fits), ``flops`` (of the fits,
        as far as can be known: the features are there) and ``guidance_flops`` (0).
    """
    n_params, n_head, _ = _measure(task)
    n_fits = len(L2) + 1
    return {
        "n_params": n_params,
        "n_params_head": n_head,
        "n_steps": n_fits,
        "flops": _fit_flops(task["n_images"], n_head, n_fits * EVALUATIONS),
        "guidance_flops": 0.0,
    }


def _measure(task: Task) -> tuple[int, int, int]:
    data = task["data"]
    n_classes = expect_image_set(data["name"], data.get("data_dir"))["n_classes"]
    return measure_model(task["model"], data["image_size"], data["channels"], n_classes)


def _fit_flops(n_images: int, n_head: int, evaluations: int) -> float:
    """Return the FLOPs of fits: loss and gradient are two products of images and weights."""
    return float(4 * n_images * n_head * evaluations)


def execute(task: Task, parents: Mapping[str, Path], report: Report | None = None) -> dict[str, Any]:
    """Fit one probe and score it.

    Parameters
    ----------
    task : mapping
        Of kind ``probe``, see ``tippingpoint.lab.tasks``.
    parents : mapping of str to Path
        ``features``: a finished cell of that kind, of the same set and model.
    report : callable, optional
        Called with (fits done, fits in all).

    Returns
    -------
    dict
        As ``lab.tasks.execute`` returns it, with ``l2`` and ``n_features``. Its ``flops`` are what so many labels cost
        somebody who has nothing yet: the features of these images, and the fits.

    Raises
    ------
    TippingPointError
        The data or the features cannot be used.
    """
    started = time.perf_counter()
    data = task["data"]
    images = load_image_set(
        data["name"], image_size=data["image_size"], channels=data["channels"], data_dir=data.get("data_dir")
    )
    features = _matching(read_features(parents["features"]), images, parents["features"])
    pool, validation = split_validation(images.train_labels, data["validation_fraction"], images.fingerprint)
    chosen = nested_subset(images.train_labels, pool, task["n_images"], images.fingerprint, task["subset_seed"])
    held, scored = _judged(task, images, features, validation)
    n_classes = len(images.class_names)
    probe = fit_probe(features.train[chosen], images.train_labels[chosen], n_classes, held, report)
    scores = score_logits(probe.logits(scored[0]), scored[1], calibration=(probe.logits(held[0]), held[1]))
    n_params, n_head, forward = _measure(task)
    return {
        "scores": scores.to_dict(),
        "n_params": n_params,
        "n_params_head": n_head,
        "n_classes": n_classes,
        "n_features": features.train.shape[1],
        "l2": probe.l2,
        "n_steps": len(L2) + 1,
        "flops": float(forward * len(chosen)) + _fit_flops(len(chosen), n_head, probe.evaluations),
        "teacher_flops": 0.0,
        "n_guided": 0,
        "wall_s": time.perf_counter() - started,
        "data_fingerprint": images.fingerprint,
    }


def _matching(features: Features, images: ImageSet, folder: Path) -> Features:
    """Return features that are those of the images."""
    counts = (len(features.train), len(features.test))
    if features.fingerprint != images.fingerprint or counts != (len(images.train_labels), len(images.test_labels)):
        raise StoreError(f"{folder}: holds the features of another set than {images.name}; run the study again.")
    return features


def _judged(
    task: Task, images: ImageSet, features: Features, validation: Labels
) -> tuple[tuple[torch.Tensor, Labels], tuple[torch.Tensor, Labels]]:
    """Return what choices are made on, and what is scored: validation and test images, or two halves of the former."""
    if task.get("score_on", "test") == "test":
        held = features.train[validation], images.train_labels[validation]
        return held, (features.test, images.test_labels)
    first, second = validation[::2], validation[1::2]
    return (
        (features.train[first], images.train_labels[first]),
        (features.train[second], images.train_labels[second]),
    )


def time_step(task: Task) -> float:
    """Return the seconds of one fit, measured here on synthetic features.

    Parameters
    ----------
    task : mapping
        Of kind ``probe``; its data need not exist.

    Returns
    -------
    float
        Of the fits to one subset of the task's size the mean, in seconds.
    """
    n_classes = 10
    data = task["data"]
    n_head = measure_model(task["model"], data["image_size"], data["channels"], n_classes)[1]
    rng = np.random.default_rng(0)
    labels = np.arange(task["n_images"], dtype=np.int64) % n_classes
    features = torch.from_numpy(rng.normal(size=(len(labels), max(1, n_head // n_classes - 1))))
    features[:, :n_classes] += F.one_hot(torch.tensor(labels), n_classes)[:, : features.shape[1]]
    started = time.perf_counter()
    fit_probe(features, labels, n_classes, (features[:100], labels[:100]))
    return (time.perf_counter() - started) / (len(L2) + 1)
