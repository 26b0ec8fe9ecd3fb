"""Whether a training gains from bfloat16 on this machine: measured, not guessed.

Old processors compute bfloat16 slower than float32, new ones and GPUs faster, and small models gain nothing anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

from tippingpoint.lab.costs import time_step
from tippingpoint.lab.devices import DeviceMemoryError, prepare_worker, training_device
from tippingpoint.lab.training.loop import PRECISIONS

__all__ = ["GAIN", "probe_precision"]

GAIN = 1.10  # bfloat16 must be faster by this factor: less is noise, and float32 is the safer one
ROUNDS = 3


def probe_precision(
    task: Mapping[str, Any],
    device: torch.device | str | None = None,
    time: Callable[[Mapping[str, Any]], float] | None = None,
) -> str:
    """Return the precision in which a task should be trained here.

    Parameters
    ----------
    task : mapping
        See ``tippingpoint.lab.tasks``; its images need not exist. Takes some dozens of its training steps.
    device : torch.device or str, optional
        Where it will be trained; by default where this process trains.
    time : callable, optional
        Task -> seconds of one step; by default measured on synthetic images.

    Returns
    -------
    {"float32", "bfloat16"}
        The second where the median of its timings, taken in turns, is shorter by a factor of `GAIN` or more, or where
        the device's memory does for it and not for the first.

    Raises
    ------
    DeviceMemoryError
        The memory does for neither.
    """
    prepare_worker()
    where = training_device() if device is None else torch.device(device)
    measure = time or (lambda asked: time_step(asked, n_steps=2, repeats=1, device=where))
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(ROUNDS):  # in turns, so that a busy machine slows both
        for precision, timings in seconds.items():
            try:
                timings.append(measure({**task, "precision": precision}))
            except DeviceMemoryError:
                if precision == PRECISIONS[-1] and math.inf in seconds[PRECISIONS[0]]:
                    raise
                timings.append(math.inf)
    float32, bfloat16 = (median(seconds[precision]) for precision in PRECISIONS)
    return "bfloat16" if bfloat16 < math.inf and float32 >= GAIN * bfloat16 else "float32"
