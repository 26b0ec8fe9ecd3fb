"""What a study asks of the laboratory, as one small face: a stand-in can take its place in tests.

Everything of ``lab`` is loaded when it is first needed: reading a status costs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tippingpoint.errors import MissingExtraError

__all__ = ["ImageFacts", "Laboratory", "RealLaboratory"]


@dataclass(frozen=True)
class ImageFacts:
    """What a plan needs to know of a set of images.

    Attributes
    ----------
    fingerprint : str
        SHA-256 (hex) of its content.
    n_pool : int
        Training images left to choose from, the validation part held out.
    n_validation : int
        Training images that are held out.
    n_test : int
        Test images.
    n_classes : int
        Classes.
    remark : str or None
        How unequal the classes are, where they are: reported, not refused.
    """

    fingerprint: str
    n_pool: int
    n_validation: int
    n_test: int
    n_classes: int
    remark: str | None = None


class Laboratory(Protocol):
    """What trains, and what says beforehand what a training costs.

    Attributes
    ----------
    executor : str
        ``module:function`` that a worker process loads; called as ``execute(task, parents, out, report)``.
    """

    executor: str

    def image_facts(self, name: str, data_dir: str | None, validation_fraction: float) -> ImageFacts:
        """Return what a plan needs to know of a set; DataError where there is no such set."""
        ...

    def describe(self, task: Mapping[str, Any]) -> Mapping[str, float]:
        """Return ``n_params``, ``n_params_head``, ``n_steps``, ``flops`` and ``guidance_flops`` of a task."""
        ...

    def time_step(self, task: Mapping[str, Any]) -> float:
        """Return the measured seconds of one training step of a task."""
        ...


class RealLaboratory:
    """The laboratory of this package (``tippingpoint.lab``)."""

    executor = "tippingpoint.lab.tasks:execute"

    def image_facts(self, name: str, data_dir: str | None, validation_fraction: float) -> ImageFacts:
        """See `Laboratory`."""
        import numpy as np

        data = _room("tippingpoint.lab.data")
        about = data.describe_image_set(name, data_dir)
        labels = np.repeat(np.arange(about["n_classes"]), about["train_counts"])
        pool, held = data.split_validation(labels, validation_fraction, about["fingerprint"])
        remark = data.imbalance(labels, about["class_names"])
        return ImageFacts(about["fingerprint"], len(pool), len(held), about["n_test"], about["n_classes"], remark)

    def describe(self, task: Mapping[str, Any]) -> Mapping[str, float]:
        """See `Laboratory`."""
        about: Mapping[str, float] = _room("tippingpoint.lab.tasks").describe(task)
        return about

    def time_step(self, task: Mapping[str, Any]) -> float:
        """See `Laboratory`."""
        tasks = _room("tippingpoint.lab.tasks")
        tasks.prepare_worker()
        return float(tasks.time_step(task))


def _room(name: str) -> Any:
    """Load a room of the laboratory; a missing package is told with its remedy."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tippingpoint"):
            raise
        raise MissingExtraError(
            f"Training needs the package '{error.name}', which is not installed; "
            "install the laboratory: pip install 'tippingpoint[lab]'."
        ) from error
