r"""Multinomial logistic regression, fitted to its one minimum.

Notation
--------
n images, D features, C classes; X (n, D) features standardised over these n images; y (n,) labels; W (D, C), b (C,).

.. math::  \min_{W, b} \; \frac1n \sum_i -\log \mathrm{softmax}(x_i W + b)_{y_i} + \frac{\lambda}{2} \|W\|^2

The penalty makes the minimum unique but for a constant in b. All of W lies in the span of the images, so that it is
sought in their principal axes, each divided by the root of its curvature at W = 0 (s^2 / C + lambda, with s^2 the
variance along the axis): the same minimum, in a tenth of the steps. L-BFGS in float64 from a given start: no chance in
it. Deliberately not built: other penalties, weights of classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch.nn import functional as F

__all__ = ["Axes", "SoftmaxFit", "fit_softmax"]

Floats = npt.NDArray[np.float64]
MOST_STEPS = 5000
NEGLIGIBLE = 1e-12  # of the largest variance: axes below it are rounding


@dataclass(frozen=True)
class Axes:
    """Features in the principal axes of the images that a classifier learns from.

    Attributes
    ----------
    mean, deviation : torch.Tensor
        (D,) of the features over those images; a feature that does not vary has deviation 1.
    axes : torch.Tensor
        (D, r), orthonormal; r is at most n and D.
    variance : torch.Tensor
        (r,) of the standardised features along each axis.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    axes: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Axes:
        """Return the axes of features (n, D)."""
        features = features.double()
        mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
        flat = deviation <= 1e-10 * torch.maximum(mean.abs(), torch.ones_like(mean))
        deviation = torch.where(flat, torch.ones_like(deviation), deviation)
        X = torch.where(flat, torch.zeros_like(features), (features - mean) / deviation)
        n, D = X.shape
        variance, axes = torch.linalg.eigh((X.T @ X if n >= D else X @ X.T) / n)
        kept = variance > NEGLIGIBLE * variance[-1].clamp(min=1e-300)
        variance, axes = variance[kept], axes[:, kept]
        if n < D:
            axes = X.T @ axes / torch.sqrt(n * variance)
        return cls(mean, deviation, axes, variance)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (m, D) in these axes, (m, r), float64."""
        return ((features.double() - self.mean) / self.deviation) @ self.axes


@dataclass(frozen=True)
class SoftmaxFit:
    """A fitted classifier.

    Attributes
    ----------
    weights, bias : torch.Tensor
        (C, r) in the axes, and (C,), float64.
    evaluations : int
        Times that loss and gradient were computed.
    """

    weights: torch.Tensor
    bias: torch.Tensor
    evaluations: int

    def logits(self, projected: torch.Tensor) -> torch.Tensor:
        """Return the logits of projected features (m, r), (m, C)."""
        return projected @ self.weights.T + self.bias


def fit_softmax(
    projected: torch.Tensor,
    labels: torch.Tensor,
    n_classes: int,
    l2: float,
    variance: torch.Tensor,
    *,
    start: SoftmaxFit | None = None,
    tolerance: float = 1e-9,
) -> SoftmaxFit:
    """Fit multinomial logistic regression.

    Parameters
    ----------
    projected : torch.Tensor
        (n, r), features in their axes (`Axes.project`), float64.
    labels : torch.Tensor
        (n,), int64.
    n_classes : int
        C.
    l2 : float
        lambda, above 0.
    variance : torch.Tensor
        (r,), that of `Axes`.
    start : SoftmaxFit, optional
        Where to begin; by default at 0.
    tolerance : float, default 1e-9
        The largest component of the gradient, in the scaled axes, at which the fit ends.

    Returns
    -------
    SoftmaxFit
        The minimum.
    """
    n, r = projected.shape
    scale = torch.sqrt(variance / n_classes + l2)
    onehot = F.one_hot(labels, n_classes).double().T

    def loss(flat: Floats) -> tuple[float, Floats]:
        phi = torch.from_numpy(flat).reshape(n_classes, r + 1)
        W = phi[:, :r] / scale
        told = (W @ projected.T + phi[:, r:]).log_softmax(dim=0)
        error = (told.exp() - onehot).div_(n)
        value = 0.5 * l2 * (W * W).sum() - (told * onehot).sum() / n
        gradient = torch.cat([(error @ projected + l2 * W) / scale, error.sum(dim=1, keepdim=True)], dim=1)
        return float(value), gradient.reshape(-1).numpy()

    begun = torch.zeros(n_classes, r + 1, dtype=torch.float64)
    if start is not None:
        begun = torch.cat([start.weights * scale, start.bias[:, None]], dim=1)
    options: Any = {
        "gtol": tolerance,
        "ftol": 0.0,
        "maxiter": MOST_STEPS,
        "maxfun": MOST_STEPS,
        "maxcor": 20,
    }
    found = minimize(loss, begun.reshape(-1).numpy(), jac=True, method="L-BFGS-B", options=options)
    phi = torch.from_numpy(np.asarray(found.x)).reshape(n_classes, r + 1)
    return SoftmaxFit(phi[:, :r] / scale, phi[:, r].clone(), int(found.nfev))
