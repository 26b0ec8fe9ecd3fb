"""The linear classifier on frozen features: one minimum, chosen on validation images, scored as every cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional as F

from tippingpoint.errors import DataError, StoreError
from tippingpoint.lab import probe, tasks
from tippingpoint.lab.data import load_image_set, nested_subset, split_validation
from tippingpoint.lab.softmax import Axes, fit_softmax

MODEL = {"timm": "resnet18", "arguments": {"channels": [8, 8, 8, 16]}}
TASK: dict[str, Any] = {
    "kind": "probe",
    "model": MODEL,
    "data": {"name": "digits", "image_size": 8, "channels": 1, "validation_fraction": 0.2},
    "n_images": 100,
    "subset_seed": 3,
    "score_on": "test",
}


def blobs(n: int, d: int, n_classes: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    made = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % n_classes
    centres = torch.randn(n_classes, d, generator=torch.Generator().manual_seed(99))
    spread = torch.linspace(0.1, 3.0, d)
    return (torch.randn(n, d, generator=made) + 0.5 * centres[labels]) * spread + 7.0, labels.numpy()


@pytest.mark.parametrize(
    ("n", "d", "n_classes", "l2"), [(300, 20, 3, 1e-2), (300, 20, 2, 1e-4), (40, 90, 4, 1e-3), (200, 30, 10, 10.0)]
)
def test_the_fit_is_scikit_learns(n: int, d: int, n_classes: int, l2: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    features, labels = blobs(n, d, n_classes)
    features[:, 2] = 4.2  # a feature that says nothing
    axes = Axes.of(features)
    found = fit_softmax(axes.project(features), torch.tensor(labels), n_classes, l2, axes.variance)
    X = ((features.double() - axes.mean) / axes.deviation).numpy()
    np.testing.assert_allclose(X.std(axis=0), [0.0 if place == 2 else 1.0 for place in range(d)], rtol=1e-9, atol=1e-9)
    # Of two classes scikit-learn fits the difference w of our two vectors w/2 and -w/2, with half their penalty.
    penalty = l2 / 2 if n_classes == 2 else l2
    solved = linear.LogisticRegression(C=1 / (n * penalty), tol=1e-10, max_iter=20000).fit(X, labels)
    ours = found.logits(axes.project(features)).softmax(dim=1).numpy()
    np.testing.assert_allclose(ours, solved.predict_proba(X), rtol=0, atol=2e-5)
    if n_classes > 2:
        np.testing.assert_allclose((axes.axes @ found.weights.T).T.numpy(), solved.coef_, rtol=0, atol=2e-4)


def objective(axes: Axes, features: torch.Tensor, labels: Any, l2: float, weights: torch.Tensor, bias: Any) -> float:
    logits = axes.project(features) @ weights.T + bias
    return float(F.cross_entropy(logits, torch.tensor(labels)) + 0.5 * l2 * (weights**2).sum())


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(1, 50), st.sampled_from([1e-5, 1e-3, 0.1, 10.0]))
def test_it_is_a_minimum_and_nothing_but_the_images_moves_it(seed: int, n: int, d: int, l2: float) -> None:
    features, labels = blobs(n, d, 3, seed)
    axes = Axes.of(features)
    assert axes.axes.shape[1] <= min(n, d)
    identity = torch.eye(axes.axes.shape[1], dtype=torch.float64)
    torch.testing.assert_close(axes.axes.T @ axes.axes, identity, rtol=0, atol=1e-6)
    found = fit_softmax(axes.project(features), torch.tensor(labels), 3, l2, axes.variance)
    least = objective(axes, features, labels, l2, found.weights, found.bias)
    drawn = torch.Generator().manual_seed(seed)
    for size in (1e-3, 0.1):
        other = found.weights + size * torch.randn(found.weights.shape, generator=drawn, dtype=torch.float64)
        assert objective(axes, features, labels, l2, other, found.bias) >= least
    # Units and order of the features are nothing to standardised ones.
    turned = features.flip(1) * torch.linspace(0.5, 20.0, d) - 3.0
    again = Axes.of(turned)
    same = fit_softmax(again.project(turned), torch.tensor(labels), 3, l2, again.variance)
    told = [
        fit.logits(by.project(what)).softmax(dim=1)
        for fit, by, what in ((found, axes, features), (same, again, turned))
    ]
    torch.testing.assert_close(told[0], told[1], rtol=0, atol=1e-3)


def test_the_penalty_is_the_one_that_serves_the_validation_images_best() -> None:
    (features, labels), (held, judged) = blobs(60, 40, 3), blobs(500, 40, 3, seed=1)
    told: list[tuple[int, int]] = []
    found = probe.fit_probe(features, labels, 3, (held, judged), lambda done, total: told.append((done, total)))
    axes = Axes.of(features)
    losses = {
        l2: float(
            F.cross_entropy(
                fit_softmax(axes.project(features), torch.tensor(labels), 3, l2, axes.variance).logits(
                    axes.project(held)
                ),
                torch.tensor(judged),
            )
        )
        for l2 in probe.L2
    }
    assert found.l2 == min(losses, key=losses.__getitem__)
    assert min(probe.L2) < found.l2 < max(probe.L2)
    assert float(F.cross_entropy(found.logits(held), torch.tensor(judged))) == pytest.approx(losses[found.l2], rel=1e-6)
    assert told[-1] == (len(probe.L2), len(probe.L2) + 1)
    again = probe.fit_probe(features, labels, 3, (held, judged))
    torch.testing.assert_close(again.fit.weights, found.fit.weights, rtol=0, atol=0)


def stored(folder: Path, *, n_test: int | None = None, fingerprint: str | None = None) -> Path:
    """Write the pixels of the digits as if they were features."""
    images = load_image_set("digits", image_size=8, channels=1)
    parts = {
        name: torch.tensor(np.asarray(pixels)).reshape(len(pixels), -1).float()
        for name, pixels in (("train", images.train_images), ("test", images.test_images))
    }
    parts["test"] = parts["test"][:n_test].contiguous()
    about = {"schema_version": 1, "data_fingerprint": fingerprint or images.fingerprint}
    folder.mkdir()
    save_file(parts, folder / "features.safetensors", metadata={"tippingpoint": json.dumps(about)})
    return folder


def test_a_probe_is_scored_as_every_cell(tmp_path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    tasks.prepare_worker()
    folder = stored(tmp_path / "features")
    result = tasks.execute(TASK, {"features": folder}, tmp_path)
    images = load_image_set("digits", image_size=8, channels=1)
    pool, _ = split_validation(images.train_labels, 0.2, images.fingerprint)
    chosen = nested_subset(images.train_labels, pool, 100, images.fingerprint, 3)
    pixels = np.asarray(images.train_images).reshape(len(images.train_images), -1).astype(float)
    mean, deviation = pixels[chosen].mean(axis=0), pixels[chosen].std(axis=0)
    deviation[deviation == 0] = 1.0
    X, tested = (pixels - mean) / deviation, np.asarray(images.test_images).reshape(-1, 64).astype(float)
    tested = np.where(pixels[chosen].std(axis=0) > 0, (tested - mean) / deviation, 0.0)
    X = np.where(pixels[chosen].std(axis=0) > 0, X, 0.0)
    model = linear.LogisticRegression(C=1 / (100 * result["l2"]), tol=1e-10, max_iter=20000)
    model.fit(X[chosen], images.train_labels[chosen])
    scores = result["scores"]
    assert scores["error"] == pytest.approx(np.mean(model.predict(tested) != images.test_labels), abs=1e-12)
    logits = torch.tensor(model.decision_function(tested))
    lost = float(F.cross_entropy(logits, torch.tensor(images.test_labels)))
    assert scores["cross_entropy"] == pytest.approx(lost, abs=1e-3)
    assert scores["cross_entropy_calibrated"] <= scores["cross_entropy"] + 0.02
    assert scores["n_test"] == len(images.test_labels)
    assert 0.05 < scores["error"] < 0.3
    assert (result["n_features"], result["n_classes"], result["teacher_flops"]) == (64, 10, 0.0)
    about = tasks.describe(TASK)
    assert (about["n_params"], about["n_params_head"]) == (result["n_params"], result["n_params_head"])
    assert about["n_params_head"] == 17 * 10, "of the model that the task names"
    assert about["n_steps"] == result["n_steps"] == len(probe.L2) + 1
    features = tasks.describe({**TASK, "kind": "features"})["flops"] / 1797  # an image's
    assert 0.2 < about["flops"] / (result["flops"] - 100 * features) < 5
    larger = tasks.execute({**TASK, "n_images": 800}, {"features": folder}, tmp_path)
    assert larger["scores"]["error"] < scores["error"]
    assert tasks.time_step({**TASK, "n_images": 50}) > 0


def test_trials_choose_and_score_on_two_halves(tmp_path: Path) -> None:
    folder = stored(tmp_path / "features")
    trial = tasks.execute({**TASK, "score_on": "validation"}, {"features": folder}, tmp_path)
    images = load_image_set("digits", image_size=8, channels=1)
    _, held = split_validation(images.train_labels, 0.2, images.fingerprint)
    assert trial["scores"]["n_test"] == len(held) // 2
    features = json.loads(json.dumps(TASK))
    path = stored(tmp_path / "blind", n_test=0)
    with pytest.raises(StoreError, match="another set than digits"):
        tasks.execute(features, {"features": path}, tmp_path)


def test_features_of_another_set_and_impossible_subsets_are_refused(tmp_path: Path) -> None:
    other = stored(tmp_path / "other", fingerprint="0" * 64)
    with pytest.raises(StoreError, match="holds the features of another set than digits; run the study again"):
        tasks.execute(TASK, {"features": other}, tmp_path)
    folder = stored(tmp_path / "features")
    with pytest.raises(DataError, match=r"A subset of 5 images .* holds no image of classes"):
        tasks.execute({**TASK, "n_images": 5}, {"features": folder}, tmp_path)
