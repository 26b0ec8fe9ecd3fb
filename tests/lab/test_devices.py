"""Where a process trains, and that it computes in one thread with deterministic kernels."""

from __future__ import annotations

import pytest
import torch

from tippingpoint.errors import ConfigError, EnvironmentFault
from tippingpoint.lab.devices import DEVICE_VARIABLE, device_memory, prepare_worker, training_device


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
    assert not torch.utils.deterministic.fill_uninitialized_memory, "see test_nothing_is_read_before_it_is_written"


def test_a_gpus_memory_is_handed_back_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: handed.append("back"))
    with device_memory():
        handed.append("trained")
    assert handed == ["trained"], "nothing is started on a GPU that nobody uses"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(KeyError), device_memory():
        raise KeyError
    assert handed == ["trained", "back", "back"]


def test_memory_that_runs_out_is_a_sentence() -> None:
    torchs = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which ..."
    for said, told in ((torchs, " (20.00 GiB more were asked for)"), ("out of memory", "")):
        with pytest.raises(ConfigError) as caught, device_memory():
            raise torch.OutOfMemoryError(said)
        (fault,) = caught.value.faults
        assert fault.startswith(f"training: the GPU's memory does not do{told}; set precision: bfloat16 or a smaller")
