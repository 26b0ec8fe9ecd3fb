"""Where a process trains, and that it computes in one thread with deterministic kernels."""

from __future__ import annotations

import pytest
import torch

from tippingpoint.errors import EnvironmentFault
from tippingpoint.lab.devices import DEVICE_VARIABLE, prepare_worker, training_device


def test_the_cpu_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    assert training_device() == torch.device("cpu")
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert training_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, name)
    with pytest.raises(EnvironmentFault, match=f"{DEVICE_VARIABLE} is '{name}', and torch finds no such device here"):
        training_device()


def test_a_named_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:1")
    assert training_device() == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:2")
    with pytest.raises(EnvironmentFault):
        training_device()


def test_a_worker_computes_reproducibly() -> None:
    prepare_worker()
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
