"""How long a training is, and how its learning rate moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tippingpoint.errors import ConfigError

__all__ = ["Length", "TrainingSettings", "learning_rate"]


@dataclass(frozen=True)
class Length:
    """The length of a training, in epochs or in steps.

    Fixed epochs give larger subsets more steps, fixed steps give smaller subsets more epochs: the schedule is a
    confound of every data axis, so the choice is always stated.

    Parameters
    ----------
    epochs : float, optional
        Passes over the subset. Give this or ``steps``.
    steps : int, optional
        Optimiser steps, whatever the subset's size.
    min_steps : int, default 0
        With ``epochs``: never fewer steps than this, so that a small subset is not merely under-trained.

    Raises
    ------
    ConfigError
        Both or none are given, or a number is not positive.
    """

    epochs: float | None = None
    steps: int | None = None
    min_steps: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ConfigError("length: give either epochs or steps, and only one of them.")
        if not 0 < (self.epochs or self.steps or 0) < math.inf or self.min_steps < 0:
            raise ConfigError("length: epochs and steps must be finite and above 0, min_steps not below it.")

    def resolve(self, n_images: int, batch_size: int) -> int:
        """Return the number of optimiser steps for a subset of ``n_images``."""
        if self.epochs is None:
            return int(self.steps or 0)
        return max(self.min_steps, math.ceil(self.epochs * n_images / batch_size))


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of AdamW and its schedule (Table 3 of the paper gives the defaults' rates).

    Parameters
    ----------
    length : Length
        Epochs or steps.
    batch_size : int, default 128
        Images a step.
    learning_rate : float, default 5e-4
        Peak rate.
    weight_decay : float, default 0.05
        Decoupled; not on biases, norms, position embedding and class token. Assumed: DeiT's.
    betas : tuple of float, default (0.9, 0.999)
        Of AdamW, each in [0, 1).
    warmup_steps : int, default 0
        Steps of the linear warm-up.
    warmup_learning_rate : float, default 1e-6
        Where the warm-up starts.
    final_learning_rate : float, default 1e-5
        Where the cosine ends. Assumed: DeiT's.
    clip_norm : float, default 0
        Largest norm of the gradient; 0 leaves it alone.
    """

    length: Length
    batch_size: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 0
    warmup_learning_rate: float = 1e-6
    final_learning_rate: float = 1e-5
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        faults = []
        if self.batch_size < 1:
            faults.append(f"training: batch_size is {self.batch_size}; it must be at least 1.")
        if not self.learning_rate > 0:
            faults.append(f"training: learning_rate is {self.learning_rate}; it must be above 0.")
        for name in ("weight_decay", "warmup_steps", "warmup_learning_rate", "final_learning_rate", "clip_norm"):
            if not getattr(self, name) >= 0:
                faults.append(f"training: {name} is {getattr(self, name)}; it must not be negative.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            faults.append(f"training: betas is {list(self.betas)}; it must be two numbers of at least 0 and below 1.")
        if faults:
            raise ConfigError(faults)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Read settings as a study's JSON holds them.

        Raises
        ------
        ConfigError
            A setting is unknown, missing or out of range.
        """
        known = dict(values)
        try:
            length = Length(**known.pop("length", {}))
            known["betas"] = tuple(known.get("betas", cls.betas))
            return cls(length=length, **known)
        except TypeError as error:  # dataclasses name the unknown setting
            raise ConfigError(f"training: {error}; see the list of settings in the documentation.") from error


def learning_rate(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """Return the rate of a step: linear warm-up from its own starting rate, then half a cosine.

    Parameters
    ----------
    step : int
        0 <= step < n_steps.
    n_steps : int
        Length of the whole training.
    settings : TrainingSettings
        Peak, start, end; a warm-up longer than the training is cut to it.

    Returns
    -------
    float
        The rate of AdamW at this step.
    """
    warmup = min(settings.warmup_steps, n_steps)
    if step < warmup:
        share = step / warmup
        return settings.warmup_learning_rate + share * (settings.learning_rate - settings.warmup_learning_rate)
    share = (step - warmup) / max(1, n_steps - warmup)
    swing = settings.learning_rate - settings.final_learning_rate
    return settings.final_learning_rate + 0.5 * swing * (1 + math.cos(math.pi * share))
