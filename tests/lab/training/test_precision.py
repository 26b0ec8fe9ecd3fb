"""bfloat16: what it may change and what not, and that it is taken only where it gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from toy_training import SETTINGS, SHAPE, small, toy

from tippingpoint.errors import ConfigError
from tippingpoint.lab.devices import DeviceMemoryError
from tippingpoint.lab.models import build_deit
from tippingpoint.lab.training.batches import as_batch
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.precision import GAIN, probe_precision

TASK: dict[str, Any] = {
    "kind": "pretrain",
    "model": {"heads": 1, "head_dim": 8, "depth": 1, "patch_size": 7},
    "data": {"name": "no such set", "image_size": 14, "channels": 1},
    "n_images": 64,
    "training": {"length": {"epochs": 2}, "batch_size": 16},
    "guidance": {"label_weight": 0.5},
    "teachers": [{"heads": 1, "head_dim": 8, "depth": 1, "patch_size": 7}],
    "augmentation": {"flip": True},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trained(precision: str, **options: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    model = build_deit(SHAPE, 2, seed=5)
    record = train(model, *toy(), SETTINGS, n_steps=12, seed=1, precision=precision, **options)
    return model.state_dict(), record.curve


@pytest.mark.parametrize("options", [{}, {"teachers": [small()], "guidance": Guidance(), "keep_targets": True}])
def test_bfloat16_is_close_and_leaves_float32(options: dict[str, Any]) -> None:
    weights, curve = trained("float32", **options)
    half, half_curve = trained("bfloat16", **options)
    assert all(value.dtype == torch.float32 for value in half.values())
    assert any(not torch.equal(value, half[name]) for name, value in weights.items()), "it did compute otherwise"
    for one, other in zip(curve, half_curve, strict=True):
        assert one == pytest.approx(other, rel=0.05, abs=0.02)
    assert all(torch.equal(half[name], value) for name, value in trained("bfloat16", **options)[0].items())


def test_models_compute_in_bfloat16_and_the_loss_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[object]] = {"student": set(), "loss": set()}
    model = build_deit(SHAPE, 2, seed=5)
    model.blocks[0].mlp.fc1.register_forward_hook(lambda *given: seen["student"].add(given[2].dtype))
    real = torch.nn.functional.cross_entropy

    def spy(logits: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        seen["loss"] |= {logits.dtype, f"autocast {torch.is_autocast_enabled('cpu')}"}
        return real(logits, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", spy)
    train(model, *toy(), SETTINGS, n_steps=1, seed=1, precision="bfloat16")
    assert seen == {"student": {torch.bfloat16}, "loss": {torch.float32, "autocast False"}}
    assert model(as_batch(toy()[0])).dtype == torch.float32, "scored in float32"


def test_another_precision_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="precision is 'float16'; it must be one of float32, bfloat16"):
        trained("float16")


def clock(float32: list[float], bfloat16: list[float]) -> Callable[[Mapping[str, Any]], float]:
    left = {"float32": list(float32), "bfloat16": list(bfloat16)}
    return lambda task: left[task["precision"]].pop(0)


def test_a_real_gain_is_asked_for() -> None:
    assert probe_precision(TASK, time=clock([1.0] * 3, [0.5] * 3)) == "bfloat16"
    assert probe_precision(TASK, time=clock([1.0] * 3, [1.0] * 3)) == "float32"
    assert probe_precision(TASK, time=clock([GAIN] * 3, [1.0] * 3)) == "bfloat16"
    assert probe_precision(TASK, time=clock([GAIN - 0.01] * 3, [1.0] * 3)) == "float32"
    assert probe_precision(TASK, time=clock([1.0, 9.0, 1.0], [1.0] * 3)) == "float32", "one slow moment is no gain"


@pytest.mark.parametrize(("fits", "chosen"), [(["bfloat16"], "bfloat16"), (["float32"], "float32"), ([], None)])
def test_what_does_not_fit_into_the_memory_is_not_chosen(fits: list[str], chosen: str | None) -> None:
    def measure(task: Mapping[str, Any]) -> float:
        if task["precision"] not in fits:
            raise DeviceMemoryError("training: the GPU's memory does not do.")
        return 1.0

    if chosen is not None:
        assert probe_precision(TASK, time=measure) == chosen
        return
    with pytest.raises(DeviceMemoryError):
        probe_precision(TASK, time=measure)


def test_a_probe_measures_here_without_images() -> None:
    assert probe_precision(TASK) in ("float32", "bfloat16")
    assert probe_precision(TASK, device="cpu") in ("float32", "bfloat16")
