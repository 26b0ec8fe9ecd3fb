"""On which devices a run trains, and how many worker processes share them."""

from __future__ import annotations

from collections.abc import Sequence

from tippingpoint.errors import EnvironmentFault, InputError
from tippingpoint.study.laboratory import Laboratory
from tippingpoint.study.runners.local import usable_cores

__all__ = ["choose_devices", "count_workers"]


def choose_devices(asked: str, laboratory: Laboratory) -> tuple[str, ...]:
    """Return the devices that workers are dealt out to, one after the other.

    Parameters
    ----------
    asked : str
        ``cpu``, ``cuda`` (all CUDA devices that are visible) or ``auto`` (those, or the CPU where there are none).
    laboratory : Laboratory
        Counts the devices.

    Raises
    ------
    InputError
        Another word.
    EnvironmentFault
        ``cuda`` is asked for, and there is none.
    """
    if asked not in ("cpu", "cuda", "auto"):
        raise InputError(f"--device '{asked}': must be cpu, cuda or auto.")
    count = 0 if asked == "cpu" else laboratory.count_gpus()
    if count:
        return tuple(f"cuda:{place}" for place in range(count))
    if asked == "cuda":
        raise EnvironmentFault(
            "--device cuda: torch finds no CUDA device here; check the driver and that torch is built for CUDA, or "
            "take --device cpu."
        )
    return ("cpu",)


def count_workers(devices: Sequence[str], workers: int | None, per_gpu: int | None) -> int:
    """Return how many worker processes a run has.

    Parameters
    ----------
    devices : sequence of str
        Of `choose_devices`.
    workers : int or None
        All of them, as asked; by default one for each core, on GPUs ``per_gpu`` for each.
    per_gpu : int or None
        For each GPU; by default 1.

    Raises
    ------
    InputError
        Both numbers are given.
    """
    if workers is not None and per_gpu is not None:
        raise InputError("--workers and --workers-per-gpu: give one of them; the first counts all worker processes.")
    if workers is not None:
        return workers
    return usable_cores() if devices[0] == "cpu" else len(devices) * (per_gpu or 1)
