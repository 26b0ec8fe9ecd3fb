"""What a training leaves besides its weights: counts, and the loss curve that every cell keeps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from tippingpoint.errors import ConfigError

__all__ = ["Curve", "TrainingRecord"]

CURVE_POINTS = 200  # at least, where there are as many steps
PARTS = ("loss", "ce", "kl", "attention")


@dataclass
class TrainingRecord:
    """What a training leaves besides its weights.

    Attributes
    ----------
    n_steps : int
        Optimiser steps taken.
    n_seen : int
        Images seen, repeats counted.
    n_guided : int
        Steps whose loss heard the teachers.
    n_checks : int
        Times that the student was compared with its teachers.
    n_taught : int
        Images that each teacher was asked about (a run that was killed asks again for what it had kept).
    seconds : float
        Time spent before this process went on from a checkpoint.
    curve : list of dict
        ``{"step", "loss", "ce", "kl", "attention"}``: means over the steps since the point before.
    notes : list of str
        Checkpoints that were passed over, a sentence each.
    """

    n_steps: int
    n_seen: int
    n_guided: int = 0
    n_checks: int = 0
    n_taught: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Curve:
    """The loss curve: sums of the parts on the device, read only where a point is made.

    Parameters
    ----------
    record : TrainingRecord
        Its ``curve`` gets the points.
    device : torch.device
        Of the loss.
    """

    def __init__(self, record: TrainingRecord, device: torch.device) -> None:
        self.points = record.curve
        self.n_steps = record.n_steps
        self.every = max(1, record.n_steps // CURVE_POINTS)
        self.since = 0
        self.sums = torch.zeros(len(PARTS), device=device)

    def add(self, done: int, parts: dict[str, torch.Tensor]) -> bool:
        """Take a step's loss in; return whether it made a point. ConfigError where the loss is no longer finite."""
        self.sums += torch.stack([parts[name].detach() for name in PARTS])
        self.since += 1
        if self.since < self.every and done < self.n_steps:
            return False
        means = dict(zip(PARTS, (total / self.since for total in self.sums.tolist()), strict=True))
        if not np.isfinite(means["loss"]):
            raise ConfigError(f"training: the loss is no longer finite at step {done}; lower the learning_rate.")
        self.points.append({"step": done, **means})
        self.sums, self.since = torch.zeros_like(self.sums), 0
        return True
