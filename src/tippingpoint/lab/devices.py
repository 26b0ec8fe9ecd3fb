"""Which device a process trains on, and how it is made to compute reproducibly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tippingpoint.errors import ConfigError, EnvironmentFault

__all__ = ["DEVICE_VARIABLE", "DeviceMemoryError", "device_memory", "prepare_worker", "training_device"]

DEVICE_VARIABLE = "TIPPINGPOINT_DEVICE"


class DeviceMemoryError(ConfigError):
    """A GPU's memory does not suffice for what a study asks of it."""


def training_device() -> torch.device:
    """Return the device named by ``$TIPPINGPOINT_DEVICE``, such as ``cuda`` or ``cuda:1``; by default the CPU.

    Raises
    ------
    EnvironmentFault
        There is no such device here.
    """
    name = os.environ.get(DEVICE_VARIABLE) or "cpu"
    try:
        device = torch.device(name)
        known = device.type == "cpu" or (
            device.type == "cuda" and torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
        )
    except RuntimeError:
        known = False
    if not known:
        raise EnvironmentFault(
            f"{DEVICE_VARIABLE} is '{name}', and torch finds no such device here; leave it away to train on the CPU."
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what names no device goes there too
    return device


def prepare_worker(threads: int = 1) -> None:
    """Make this process compute bit-reproducibly: one thread, deterministic kernels.

    Parameters
    ----------
    threads : int, default 1
        Threads of torch; only one is bit-reproducible across machines with more or fewer cores.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products on a GPU may vary
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # With deterministic kernels torch fills what it reserves with NaN, for whoever reads before he writes: nobody here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def device_memory() -> Iterator[None]:
    """Hand a GPU's memory back before and after the block: other workers may share it.

    What torch keeps of a finished training for the next one is lost to every other process on that GPU.

    Raises
    ------
    DeviceMemoryError
        In place of torch's own, where the memory does not do.
    """
    _hand_back()
    try:
        yield
    except torch.OutOfMemoryError as error:
        asked = str(error).partition("Tried to allocate ")[2].partition(". ")[0]
        more = f" ({asked} more were asked for)" if asked else ""
        raise DeviceMemoryError(
            f"training: the GPU's memory does not do{more}; set precision: bfloat16 or a smaller batch_size, or let "
            "fewer workers share the GPU (--workers-per-gpu)."
        ) from error
    finally:
        _hand_back()


def _hand_back() -> None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
