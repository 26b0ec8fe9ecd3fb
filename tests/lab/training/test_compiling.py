"""Training through torch's compiler: the same numbers to rounding, and one sentence where it cannot compile."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import build_model, linear
from tippingpoint.lab.training import compiling
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import Length, TrainingSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(24) % 3
STEPS = 6


def _model(heads: int, seed: int, **more: object) -> torch.nn.Module:
    spec = {"heads": heads, "head_dim": 4, "depth": 1, "patch_size": 4, **more}
    return build_model(spec, image_size=8, channels=1, n_classes=3, seed=seed)


def _trained(compiled: bool, **more: object) -> tuple[torch.nn.Module, list[float]]:
    model, teacher = _model(2, 0, **more), _model(1, 1, **({"distillation_token": True} if more else {}))
    settings = TrainingSettings(Length(steps=STEPS), batch_size=8, learning_rate=1e-2, weight_decay=0.05)
    record = train(
        model,
        IMAGES,
        LABELS,
        settings,
        n_steps=STEPS,
        seed=0,
        teachers=[teacher],
        guidance=Guidance(),
        compiled=compiled,
    )
    return model, [point["loss"] for point in record.curve]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture the graph as for the compiler, and run it by torch: no C++ compiler is needed, no minute is spent."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compile_(model, backend="aot_eager"))
    torch._dynamo.reset()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("more", [{}, {"distillation_token": True}])
def test_a_guided_training_is_the_same_to_rounding(more: dict[str, object]) -> None:
    plain, losses = _trained(False, **more)
    compiled, found = _trained(True, **more)
    assert found == pytest.approx(losses, rel=1e-4)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, value in compiled.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("eager")
def test_the_compiled_model_is_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(model: torch.nn.Module) -> object:
        forward = compiling.compiled_forward(model)
        return lambda batch: calls.append(len(batch)) or forward(batch)

    monkeypatch.setattr("tippingpoint.lab.training.loop.compiled_forward", spy)
    _trained(False)
    assert calls == []
    _trained(True)
    assert calls == [8] * STEPS


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs a C++ compiler on a CPU")
def test_torchs_own_compiler_takes_our_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_SMALL", 0)  # else layers so small are torch's own anyway, and not oneDNN's
    torch._dynamo.reset()
    _, losses = _trained(False)
    _, found = _trained(True)
    assert found == pytest.approx(losses, rel=1e-4)


def test_what_cannot_be_compiled_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: torch.nn.Module) -> object:
        def call(batch: torch.Tensor) -> None:
            raise BackendCompilerFailed("inductor", RuntimeError("no C++ compiler\nand more lines"), None)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        ConfigError, match=r"training: torch.compile fails here \(.*\); remove compile: true\.$"
    ) as told:
        _trained(True)
    assert len(told.value.faults) == 1
    assert "\n" not in str(told.value)
