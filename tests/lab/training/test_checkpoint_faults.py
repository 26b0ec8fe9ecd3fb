"""Checkpoints that were damaged, every one of two hundred, and a disk that refuses at any call while one is written."""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "study"))

from test_faults import CALLS, MOST, refusing

from tippingpoint.errors import EnvironmentFault
from tippingpoint.lab.training.checkpoints import KEPT, Checkpoints

DAMAGES = 200  # a quarter of them truncations
FACTS = {"guided": True, "n_guided": 3, "curve": [{"step": 1, "loss": 0.1}]}


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"model.weight": torch.arange(12.0).view(3, 4) + step, "optimizer.count": torch.tensor(step)}


def damage(content: bytes, seed: int) -> bytes:
    """Cut the end off, flip one bit, or set a byte to zero."""
    draw = random.Random(seed)
    place = draw.randrange(len(content))
    if seed % 4 == 0:
        return content[:place]
    new = content[place] ^ 1 << draw.randrange(8)
    if seed % 4 == 1 and content[place]:
        new = 0
    return content[:place] + bytes([new]) + content[place + 1 :]


def test_every_truncation_and_bit_flip_is_found(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path / "key", "me")
    store.save(1, tensors(1), FACTS)
    path = store.save(2, tensors(2), FACTS)
    content = path.read_bytes()
    for seed in range(DAMAGES):
        assert damage(content, seed) != content
        path.write_bytes(damage(content, seed))
        looking = Checkpoints(tmp_path / "key", "me")
        found = looking.latest()
        assert found is not None
        assert found.step == 1, f"damage {seed} was not seen"
        assert [note.partition(":")[0] for note in looking.notes] == [str(path)]
        assert "is passed over (" in looking.notes[0]
    path.write_bytes(content)
    assert Checkpoints(tmp_path / "key", "me").latest() is not None


def test_a_bit_flip_at_every_place_of_the_words_is_found(tmp_path: Path) -> None:
    """The header says how the rest is read: each of its bytes is tried, its length included."""
    store = Checkpoints(tmp_path / "key", "me")
    path = store.save(2, tensors(2), FACTS)
    content = path.read_bytes()
    for place in range(8 + int.from_bytes(content[:8], "little")):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert store.latest() is None, f"byte {place} was not seen"


@pytest.mark.parametrize("call", CALLS)
def test_a_checkpoint_is_the_old_one_or_the_new_one(tmp_path: Path, call: str) -> None:
    """The n-th call and all after it fail, for every n: what is read again is one of the two states, never a mix."""
    for nth in range(1, MOST):
        folder = tmp_path / f"{call}{nth}" / "key"
        folder.parent.mkdir()
        store = Checkpoints(folder, "me")
        for step in (1, 2):
            store.save(step, tensors(step), FACTS)
        refused: Exception | None = None
        with refusing(call, nth) as made:
            try:
                store.save(3, tensors(3), FACTS)
            except (EnvironmentFault, OSError) as error:
                refused = error
        if refused is not None:
            assert isinstance(refused, EnvironmentFault), f"{call} {nth}: {refused!r}"
            assert (refused.exit_code, len(refused.faults)) == (3, 1)
            assert str(folder) in refused.faults[0]
            assert os.strerror(errno.ENOSPC) in refused.faults[0]
        again = Checkpoints(folder, "me")
        found = again.latest()
        assert found is not None
        assert again.notes == []
        assert found.step in (2, 3)
        assert torch.equal(found.tensors["model.weight"], tensors(found.step)["model.weight"])
        again.save(4, tensors(4), FACTS)
        assert len(list(folder.glob("step-*"))) == KEPT, "and what was left aside is no checkpoint"
        if made[0] < nth:
            assert found.step == 3
            return
    pytest.fail(f"a checkpoint makes fewer than {MOST} of these calls")
