"""A grown model computes what the small one computes, and can learn more than it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from tippingpoint.errors import ConfigError
from tippingpoint.lab.models import DeiTShape, attention_maps, build_deit, grow
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.schedule import Length, TrainingSettings


def shape(heads: int, **changes: int) -> DeiTShape:
    return DeiTShape(
        **{"heads": heads, "head_dim": 8, "depth": 3, "patch_size": 7, "image_size": 28, "channels": 1, **changes}
    )


def lived(heads: int, **changes: int) -> VisionTransformer:
    """Return a model none of whose weights is at a special value, as after training."""
    model = build_deit(shape(heads, **changes), 5, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("token", [False, True])
@pytest.mark.parametrize(("heads", "more"), [(2, 4), (4, 6), (2, 3), (1, 8), (2, 2)])
def test_a_grown_model_has_the_small_ones_logits(heads: int, more: int, token: bool) -> None:
    """Whole multiples or not, with a distillation token or without: in float64 nothing but rounding is left."""
    small = lived(heads, distillation_token=token)
    large = build_deit(shape(more, distillation_token=token), 5, seed=2).eval()
    grow(small, large)
    images = torch.randn(6, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(large(images), small(images), rtol=1e-4, atol=1e-4)
        small, large, images = small.double(), large.double(), images.double()
        grow(small, large)  # again, so that s and the means are not rounded to float32 either
        torch.testing.assert_close(large(images), small(images), rtol=1e-10, atol=1e-10)


def test_even_where_tokens_are_so_alike_that_eps_counts() -> None:
    small, large = build_deit(shape(2), 5, seed=1).double().eval(), build_deit(shape(3), 5, seed=2).double().eval()
    with torch.no_grad():
        for name in ("pos_embed", "cls_token"):
            getattr(small, name).mul_(1e-2)
        small.patch_embed.proj.weight.mul_(1e-3)
    grow(small, large)
    images = torch.randn(4, 1, 28, 28).double()
    torch.testing.assert_close(large(images), small(images), rtol=1e-10, atol=1e-12)


def test_old_heads_look_where_they_looked() -> None:
    small, large = lived(2).double(), build_deit(shape(4), 5, seed=2).double().eval()
    grow(small, large)
    images = torch.randn(2, 1, 28, 28).double()
    block, own = large.blocks[0], small.blocks[0]
    with torch.no_grad():
        x, y = (m.blocks[0].norm1(m._pos_embed(m.patch_embed(images))) for m in (large, small))
        torch.testing.assert_close(x[..., :16], y, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(x[..., 16:], torch.zeros_like(x[..., 16:]), rtol=0, atol=1e-12)
        new = block.attn.qkv(x).unflatten(-1, (3, 4, 8))[..., :2, :]
        torch.testing.assert_close(new, own.attn.qkv(y).unflatten(-1, (3, 2, 8)), rtol=1e-10, atol=1e-10)
    assert attention_maps(large, images).shape == attention_maps(small, images).shape


def test_what_was_free_keeps_the_large_models_own_start() -> None:
    small, fresh, large = lived(2), build_deit(shape(4), 5, seed=2), build_deit(shape(4), 5, seed=2)
    grow(small, large)
    new, own = large.state_dict(), fresh.state_dict()
    assert torch.equal(new["blocks.1.mlp.fc1.weight"][64:], own["blocks.1.mlp.fc1.weight"][64:])
    assert torch.equal(new["blocks.1.attn.qkv.weight"][16:32], own["blocks.1.attn.qkv.weight"][16:32])
    assert torch.equal(new["head.weight"][:, 16:], own["head.weight"][:, 16:])
    assert torch.equal(new["head.bias"], small.state_dict()["head.bias"])


def test_nothing_stays_bound_to_its_start() -> None:
    """A few steps wake the new features, heads and units: none stays silent and no two stay alike."""
    large = build_deit(shape(4), 2, seed=2)
    grow(build_deit(shape(2), 2, seed=1), large)
    before = {name: value.clone() for name, value in large.state_dict().items()}
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 28, 28, 1)).astype(np.uint8)
    settings = TrainingSettings(length=Length(steps=6), batch_size=16, learning_rate=3e-3, weight_decay=0.0)
    train(large, images, rng.integers(0, 2, 32), settings, n_steps=6, seed=0)
    after = large.state_dict()
    # A single weight may come back to its start by chance: rounding decides.
    still = {name for name in after if (after[name] == before[name]).sum() > 1 and not name.endswith("qkv.bias")}
    assert not still, "every weight has moved"
    token = after["blocks.0.mlp.fc2.weight"][16:]
    assert torch.linalg.matrix_rank(token - token.mean(dim=0)) > 8, "new features have parted"


@pytest.mark.parametrize(
    ("large", "words"),
    [(shape(1), "cannot grow"), (shape(4, depth=2), "must share"), (shape(4, head_dim=4), "must share")],
)
def test_models_that_do_not_fit(large: DeiTShape, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        grow(build_deit(shape(2), 5, seed=1), build_deit(large, 5, seed=1))
