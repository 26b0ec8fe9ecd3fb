from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from tippingpoint.lab.models import DeiTShape, build_deit
from tippingpoint.lab.training.optimizer import FlatAdamW

SHAPE = DeiTShape(heads=2, head_dim=8, depth=2, patch_size=7, image_size=28, channels=1)
RATES = [1e-3, 5e-3, 2e-3, 1e-2, 1e-3]
BETAS = (0.8, 0.95)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Odd(nn.Module):
    """Tied, frozen and sometimes unused parameters, of sizes that fill no vector register."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(3, 3), requires_grad=False)
        self.aside = nn.Linear(5, 7)
        self.token = nn.Parameter(torch.full((2, 3), 0.5))

    def no_weight_decay(self) -> set[str]:
        return {"token"}

    def forward(self, x: torch.Tensor, aside: bool = True) -> torch.Tensor:
        x = self.second(torch.tanh(self.first(x))) * self.frozen.sum()
        loss = (x**2).sum() + (self.token**3).sum()
        return loss + self.aside(x).sum() if aside else loss


def torchs(model: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=model.no_weight_decay())
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def follow(
    model: nn.Module, loss: Callable[[nn.Module, int], torch.Tensor], *, flat: bool, weight_decay: float, clip: float
) -> None:
    ours = FlatAdamW(model, weight_decay=weight_decay, betas=BETAS) if flat else None
    theirs = None if flat else torchs(model, weight_decay)
    for step, rate in enumerate(RATES):
        if ours is not None:
            ours.zero_grad()
            loss(model, step).backward()
            if clip:
                ours.clip(clip)
            ours.step(rate)
        else:
            theirs.zero_grad(set_to_none=True)
            loss(model, step).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            for group in theirs.param_groups:
                group["lr"] = rate
            theirs.step()


def images(step: int) -> torch.Tensor:
    return torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(step))


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_a_deit_moves_as_under_torchs_own(weight_decay: float, clip: float) -> None:
    start = build_deit(SHAPE, 10, seed=0)
    ours, theirs = copy.deepcopy(start), copy.deepcopy(start)
    for model, flat in ((ours, True), (theirs, False)):
        follow(model, lambda m, s: m(images(s)).square().mean(), flat=flat, weight_decay=weight_decay, clip=clip)
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        assert not torch.equal(value, start.state_dict()[name]), f"{name} moved"
        # Adam divides by the root of the second moment, so that rounding weighs where a gradient is nearly zero.
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("used", [[True] * 5, [False] * 5, [False, True, True, False, True]])
def test_missing_frozen_and_tied_parameters(used: list[bool]) -> None:
    torch.manual_seed(0)
    start = Odd()
    ours, theirs = copy.deepcopy(start), copy.deepcopy(start)
    x = torch.randn(4, 5)
    for model, flat in ((ours, True), (theirs, False)):
        follow(model, lambda m, s: m(x, used[s]), flat=flat, weight_decay=0.3, clip=0.0)
    assert ours.second.weight is ours.first.weight
    assert torch.equal(ours.frozen, start.frozen)
    if not any(used):
        assert torch.equal(ours.aside.weight, start.aside.weight), "no gradient: not even decayed"
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("used", [[True] * 5, [False, True, True, False, True]])
def test_a_loaded_state_goes_on_bit_for_bit(used: list[bool]) -> None:
    torch.manual_seed(0)
    model, x = Odd(), torch.randn(4, 5)
    optimizer = FlatAdamW(model, weight_decay=0.3)
    for step, rate in enumerate(RATES):
        if step == 3:
            weights, state = copy.deepcopy(model.state_dict()), optimizer.state()
        optimizer.zero_grad()
        model(x, used[step]).backward()
        optimizer.step(rate)
    again = Odd()
    resumed = FlatAdamW(again, weight_decay=0.3)
    again.load_state_dict(weights)
    resumed.load(state)
    for step in (3, 4):
        resumed.zero_grad()
        again(x, used[step]).backward()
        resumed.step(RATES[step])
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    for name, value in resumed.state().items():
        assert torch.equal(value, optimizer.state()[name]), name
    assert state["first.weight.mean"].shape == (5, 5)
    assert "frozen.step" not in state


def test_gradients_add_up_until_they_are_forgotten() -> None:
    model = Odd()
    optimizer = FlatAdamW(model, weight_decay=0.0)
    x = torch.randn(4, 5)
    model(x).backward()
    once = model.token.grad.clone()
    model(x).backward()
    torch.testing.assert_close(model.token.grad, 2 * once, rtol=1e-6, atol=0)
    before = float(torch.sqrt(sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None)))
    assert float(optimizer.clip(1e-3)) == pytest.approx(before, rel=1e-5)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())
    before_step = model.token.detach().clone()
    optimizer.step(0.1)
    assert torch.equal(model.token, before_step), "what was forgotten moves nothing"
