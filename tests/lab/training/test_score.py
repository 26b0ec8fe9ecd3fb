from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tippingpoint.lab.training.score import fit_temperature, passes, predict_logits, score


class Fixed(nn.Module):
    """Returns stored logits, by the brightness of the first pixel."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits = torch.from_numpy(logits)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        index = ((batch[:, 0, 0, 0] + 1) * 127.5).round().long()
        return self.logits[index]


def images(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)


def test_scores_by_hand() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]))
    labels = np.array([0, 1, 2, 2])
    found = score(Fixed(logits), images(4), labels)
    assert found.error == 0.25
    expected = -np.mean(np.log([0.7, 0.5, 0.1, 0.5]))
    assert found.cross_entropy == pytest.approx(expected, rel=1e-12)
    assert found.n_test == 4
    assert found.cross_entropy_calibrated is None


def test_a_student_passes_its_teachers_by_one_image() -> None:
    labels = np.array([0, 1, 2, 2])
    right = np.eye(3)[labels] * 5.0
    wrong = right.copy()
    wrong[0] = right[1]
    worse = wrong.copy()
    worse[1] = right[0]
    passed = passes([Fixed(wrong)], images(4), labels)
    assert [passed(Fixed(student)) for student in (right, wrong, worse)] == [True, False, False]
    # Two teachers are one by their mean probabilities: where one is wrong and unsure, the other decides.
    unsure = wrong.copy()
    unsure[0] = [0.0, 0.1, 0.0]
    together = passes([Fixed(unsure), Fixed(right)], images(4), labels)
    assert not together(Fixed(right)), "nobody errs less than not at all"
    for teachers in ([unsure, right], [right, unsure]):
        assert not passes([Fixed(one) for one in teachers], images(4), labels)(Fixed(right)), "in whichever order"
    assert passes([Fixed(wrong), Fixed(unsure)], images(4), labels)(Fixed(right)), "both err there"


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(250, 3))
    p = np.exp(truth) / np.exp(truth).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in p])
    logits = truth * 4  # four times too sure
    temperature = fit_temperature(torch.from_numpy(logits), labels)
    grid = np.exp(np.linspace(math.log(0.05), math.log(20), 4001))
    losses = [nn.functional.cross_entropy(torch.from_numpy(logits / t), torch.from_numpy(labels)).item() for t in grid]
    assert temperature == pytest.approx(grid[int(np.argmin(losses))], rel=2e-3)
    assert temperature == pytest.approx(4, rel=0.25)
    found = score(Fixed(logits), images(250), labels, calibration=(images(250), labels))
    assert found.cross_entropy_calibrated is not None
    assert found.cross_entropy_calibrated < found.cross_entropy
    assert found.temperature == pytest.approx(temperature, rel=1e-12)
    # What is scored does not choose its temperature: these images alone would be served best by a far lower one.
    sure = np.flatnonzero(logits.argmax(1) == labels)
    other = score(Fixed(logits), images(250)[sure], labels[sure], calibration=(images(250), labels))
    assert other.temperature == pytest.approx(temperature, rel=1e-12)
    assert fit_temperature(torch.from_numpy(logits[sure]), labels[sure]) < 0.5 * temperature


def test_a_model_is_moved_to_where_its_images_are() -> None:
    """Teachers are scored before a training has moved them to its device."""
    moved: list[object] = []

    class Noting(Fixed):
        def to(self, *where: object, **_: object) -> Noting:
            moved.extend(where)
            return self

    predict_logits(Noting(np.eye(3)), images(3), device="cpu")
    assert moved == ["cpu"]
