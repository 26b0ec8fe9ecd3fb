"""A step on a GPU that is not there: tensors without numbers tell where they lie, so that none is left on the CPU.

torch's fake tensors know their device, their shape and their type, and an operation on two devices fails as it would
on a real GPU. What the autograd engine does itself is left out: it asks for a real device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes
from toy_training import SETTINGS, toy

from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.models import build_model
from tippingpoint.lab.models.attention import _Attention
from tippingpoint.lab.models.pixels import set_normalisation
from tippingpoint.lab.training import loop
from tippingpoint.lab.training.batches import batch_order
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.record import PARTS, Curve

ROOMY, TIGHT = 2**40, 0  # bytes of a GPU's memory that are free: the subset lies there as a whole, or no image does
MODEL = {"heads": 2, "head_dim": 8, "depth": 2, "patch_size": 7}
LONG = {**MODEL, "patch_size": 1}
SMALL = {**MODEL, "heads": 1}
CNN = {"timm": "resnet18", "arguments": {"channels": [4, 4, 4, 4]}}
CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "plain": (MODEL, [], {"augmentation": Augmentation(flip=True, crop_padding=2, contrast=0.1, erasing=0.3)}),
    "guided": (MODEL, [SMALL, SMALL], {"guidance": Guidance(shuffle="within_class", attention_temperature=2.0)}),
    "many tokens": (LONG, [{**LONG, "heads": 1}], {"guidance": Guidance(schedule="decayed")}),
    "token": (
        {**MODEL, "distillation_token": True},
        [SMALL],
        {"guidance": Guidance(attention_weight=0), "augmentation": Augmentation(random_resized_crop=(0.2, 1.0))},
    ),
    "convolutional": (CNN, [CNN], {"guidance": Guidance(shuffle="images")}),
}


def moved(spec: dict[str, Any], seed: int) -> nn.Module:
    """Return a model whose weights lie on the GPU; `nn.Module.to` itself asks for a real one."""
    with _disable_current_modes():
        model = build_model(spec, image_size=14, channels=1, n_classes=2, seed=seed)
    for module in model.modules():
        for weights in (module._parameters, module._buffers):
            for name, value in weights.items():
                if value is not None:
                    there = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                    weights[name] = nn.Parameter(there) if isinstance(value, nn.Parameter) else there
    return model


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what asks for a real device, and let numbers that decide something be numbers."""

    def order(*given: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        batches = batch_order(*given)
        while True:
            with _disable_current_modes():
                found = next(batches)
            yield found

    plainly = torch.Tensor.numpy

    def numpy(tensor: torch.Tensor) -> Any:
        with _disable_current_modes():
            return plainly(tensor)

    def noted(curve: Curve, _: int, parts: dict[str, torch.Tensor]) -> bool:
        assert {(value.device.type, value.dtype) for value in parts.values()} == {("cuda", torch.float32)}
        curve.sums += torch.stack([parts[name].detach() for name in PARTS])
        return False

    monkeypatch.setattr(loop, "batch_order", order)
    monkeypatch.setattr(torch.Tensor, "numpy", numpy)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(nn.Module, "to", lambda model, *_, **__: model)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda _: None)
    monkeypatch.setattr(torch.random, "fork_rng", lambda **_: nullcontext())
    monkeypatch.setattr(Curve, "add", noted)


@pytest.mark.filterwarnings("ignore")  # of torch: there is no GPU
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_all_of_a_step_happens_on_the_gpu(
    case: str, precision: str, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, teachers, options = CASES[case]
    for room in (ROOMY, TIGHT):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, room=room: (room, room))
        with FakeTensorMode(allow_non_fake_inputs=True):
            model = moved(student, 1)

            def backward(loss: torch.Tensor, model: nn.Module = model) -> None:
                assert (loss.device.type, loss.dtype) == ("cuda", torch.float32)
                for weight in model.parameters():
                    weight.grad = torch.empty_like(weight)

            monkeypatch.setattr(torch.Tensor, "backward", backward)
            settings = type(SETTINGS)(**{**vars(SETTINGS), "clip_norm": 1.0})
            others = [moved(spec, 2) for spec in teachers]
            loop.train(
                model,
                *toy(),
                settings,
                n_steps=2,
                seed=1,
                teachers=others,
                precision=precision,
                device="cuda",
                **options,
            )
        assert {(weight.device.type, weight.dtype) for weight in model.parameters()} == {("cuda", torch.float32)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("tokens", "temperature"), [(9, None), (9, 2.0), (200, 1.0), (200, 2.0)])
def test_gradients_of_attention_are_computed_there(tokens: int, temperature: float | None, dtype: torch.dtype) -> None:
    class Context:
        saved_tensors: tuple[torch.Tensor, ...] = ()

        def save_for_backward(self, *tensors: torch.Tensor) -> None:
            self.saved_tensors = tensors

        def set_materialize_grads(self, _: bool) -> None:
            pass

    with FakeTensorMode():
        context = Context()
        qkv = torch.empty(3, tokens, 3 * 16, dtype=dtype, device="cuda")
        out, found = _Attention.forward(context, qkv, 2, 0.35, temperature)
        gradient = _Attention.backward(
            context, torch.empty_like(out), None if found is None else torch.empty_like(found)
        )
        assert (gradient[0].device.type, gradient[0].dtype, gradient[0].shape) == ("cuda", dtype, qkv.shape)


@pytest.mark.filterwarnings("ignore")
def test_the_scale_of_a_public_models_pixels_is_on_the_gpu(no_gpu: None) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = moved(CNN, 1)
        set_normalisation(model, {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]})
        assert model(torch.empty(2, 1, 14, 14, device="cuda")).device.type == "cuda"
