"""Augmentation: exact, independent of the batch, fair, and the operations of torchvision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import functional as tv

from tippingpoint.errors import ConfigError
from tippingpoint.lab.data import augmentation as module
from tippingpoint.lab.data.augmentation import Augmentation, image_keys, random_numbers

MASK = 2**64 - 1
ALL = Augmentation(flip=True, random_resized_crop=(0.1, 1.0), contrast=0.4, brightness=0.4, saturation=0.4, erasing=0.5)
SHIFTS = Augmentation(flip=True, crop_padding=3, contrast=0.2, erasing=0.3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pictures(n: int, size: int = 9, channels: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(n)
    return torch.from_numpy(rng.integers(0, 256, (n, channels, size, size), dtype=np.uint8))


def mix(z: int) -> int:
    """SplitMix64 in Python's whole numbers, as published."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


@given(
    seed=st.integers(0, 2**63 - 1),
    index=st.integers(0, 2**40),
    number=st.integers(0, 2**20),
    seen=st.integers(0, 2**31),
)
def test_numbers_are_splitmix64s(seed: int, index: int, number: int, seen: int) -> None:
    gamma = 0x9E3779B97F4A7C15
    key = mix(mix(seed + (index + 1) * gamma & MASK) + (seen + 1) * gamma & MASK)
    keys = image_keys(seed, torch.tensor([index]), torch.tensor([seen]))
    assert int(keys[0]) & MASK == key
    expected = [mix(key + (number + step) * gamma & MASK) >> 32 for step in (1, 2, 3)]
    assert random_numbers(keys, number, 3)[0].tolist() == expected


def test_splitmix64_gives_its_published_numbers() -> None:
    """The first output of the generator with state 0 is known: e220a8397b1dcdaf."""
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert int(random_numbers(torch.zeros(1, dtype=torch.int64), 0)[0, 0]) == 0xE220A839


@pytest.mark.parametrize("settings", [ALL, SHIFTS])
@pytest.mark.parametrize(("size", "channels"), [(9, 3), (28, 1)])
def test_an_image_does_not_know_its_batch(settings: Augmentation, size: int, channels: int) -> None:
    if channels == 1:
        settings = Augmentation(**{**vars(settings), "saturation": 0.0})
    pixels = pictures(37, size, channels)
    index, passes = torch.arange(37) * 11, torch.arange(37) % 3
    whole = settings.apply(pixels, 5, index, passes)
    one_by_one = [settings.apply(pixels[at : at + 1], 5, index[at : at + 1], passes[at : at + 1]) for at in range(37)]
    assert torch.equal(whole, torch.cat(one_by_one))
    order = torch.randperm(37, generator=torch.Generator().manual_seed(1))
    assert torch.equal(whole[order], settings.apply(pixels[order], 5, index[order], passes[order]))
    for seed, seen in ((6, passes), (5, passes + 1)):
        other = settings.apply(pixels, seed, index, seen)
        assert sum(not torch.equal(a, b) for a, b in zip(whole, other, strict=True)) > 30, "another seed, another pass"


def test_a_flip_is_a_flip_and_fair() -> None:
    pixels = pictures(1).expand(4000, -1, -1, -1)
    found = Augmentation(flip=True).apply(pixels, 0, torch.arange(4000), torch.zeros(4000, dtype=torch.int64))
    flipped = (found == pixels.flip(-1)).all(dim=3).all(dim=2).all(dim=1)
    kept = (found == pixels).all(dim=3).all(dim=2).all(dim=1)
    assert bool((flipped ^ kept).all())
    assert stats.binomtest(int(flipped.sum()), 4000).pvalue > 1e-3


def test_shifts_are_all_there_equally_often_and_black_outside() -> None:
    count, size, padding = 9000, 8, 2
    pixels = pictures(1, size, 1).clamp_min(1).expand(count, -1, -1, -1)
    found = Augmentation(crop_padding=padding).apply(pixels, 3, torch.arange(count), torch.full((count,), 7))
    wide = torch.nn.functional.pad(pixels[:1], (padding,) * 4)
    tally = np.zeros((5, 5))
    for row in range(5):
        for column in range(5):
            crop = wide[:, :, row : row + size, column : column + size]
            tally[row, column] = int((found == crop).flatten(1).all(dim=1).sum())
    assert tally.sum() == count, "every image is one of the 25 shifts, as torchvision's RandomCrop with padding"
    assert stats.chisquare(tally.ravel()).pvalue > 1e-3


@given(seed=st.integers(0, 2**62), number=st.integers(0, 200))
def test_numbers_are_uniform_and_independent_of_index_and_pass(seed: int, number: int) -> None:
    index, passes = torch.arange(4096) // 8, torch.arange(4096) % 8
    drawn = random_numbers(image_keys(seed, index, passes), number)[:, 0]
    tally = np.bincount((drawn >> 28).numpy(), minlength=16)
    assert stats.chisquare(tally).pvalue > 1e-7
    unit = drawn.double().numpy().reshape(512, 8) / 2**32
    between = np.corrcoef(unit.T)[np.triu_indices(8, 1)]
    assert np.abs(between).max() < 6 / math.sqrt(512), "passes of an image"
    assert abs(np.corrcoef(unit[:-1, 0], unit[1:, 0])[0, 1]) < 6 / math.sqrt(512), "neighbours in the set"


def test_operations_draw_from_streams_of_their_own() -> None:
    """No number of an image's stream is used twice: else brightness would tell of contrast."""
    rectangle = range(2 + 2 * module._TRIES)
    used = [module._FLIP, module._SHIFT, module._SHIFT + 1, module._CONTRAST, module._BRIGHTNESS, module._SATURATION]
    used += [module._ERASE, *(module._CROP + at for at in rectangle), *(module._ERASED + at for at in rectangle)]
    assert len(set(used)) == len(used)
    keys = image_keys(0, torch.arange(2000), torch.zeros(2000).long())
    drawn = torch.cat([random_numbers(keys, number).double() for number in used], dim=1).T.numpy()
    assert np.abs(np.corrcoef(drawn)[np.triu_indices(len(used), 1)]).max() < 6 / math.sqrt(2000)


def test_a_resized_crop_is_torchvisions() -> None:
    count, size = 200, 16
    pixels = pictures(count, size)
    keys = image_keys(1, torch.arange(count), torch.zeros(count, dtype=torch.int64))
    box = torch.stack(module._rectangles(keys, module._CROP, size, (0.1, 1.0), (3 / 4, 4 / 3), otherwise=size))
    found = Augmentation(random_resized_crop=(0.1, 1.0)).apply(
        pixels, 1, torch.arange(count), torch.zeros(count).long()
    )
    flipped = Augmentation(random_resized_crop=(0.1, 1.0), flip=True).apply(
        pixels, 1, torch.arange(count), torch.zeros(count).long()
    )
    for at in range(count):
        top, left, height, width = box[:, at].tolist()
        expected = tv.resized_crop(pixels[at].float(), top, left, height, width, [size, size], antialias=True)
        torch.testing.assert_close(found[at], expected, rtol=0, atol=0.501)  # ours are whole grey values
        assert torch.equal(flipped[at], found[at]) or torch.equal(flipped[at], found[at].flip(-1))
    assert torch.equal(found, found.round())


def test_crops_have_the_areas_ratios_and_places_that_are_asked_for() -> None:
    count, size = 20000, 64
    keys = image_keys(2, torch.arange(count), torch.zeros(count).long())
    top, left, height, width = (
        side.double().numpy() for side in module._rectangles(keys, 0, size, (0.2, 0.5), (0.5, 2.0), otherwise=size)
    )
    area, ratio = height * width / size**2, np.log(width / height)
    assert stats.kstest((area - 0.2) / 0.3, "uniform").statistic < 0.03, "all tries fit: 0.5 x 2 is at most the side"
    assert stats.kstest((ratio / math.log(2) + 1) / 2, "uniform").statistic < 0.03
    for start, side in ((top, height), (left, width)):
        assert start.min() == 0
        assert (start + side).max() == size
        free = size - side
        assert np.mean(start[free > 10] / free[free > 10]) == pytest.approx(0.5, abs=0.02)


def test_a_rectangle_that_never_fits_is_what_else_was_said() -> None:
    keys = image_keys(2, torch.arange(50), torch.zeros(50).long())
    whole = module._rectangles(keys, 0, 10, (1.0, 1.0), (4.0, 4.0), otherwise=10)
    assert [set(side.tolist()) for side in whole] == [{0}, {0}, {10}, {10}]


@pytest.mark.parametrize(
    ("name", "same"),
    [("brightness", tv.adjust_brightness), ("contrast", tv.adjust_contrast), ("saturation", tv.adjust_saturation)],
)
def test_colours_are_torchvisions(name: str, same: Any) -> None:
    count = 300
    pixels, index, passes = pictures(count), torch.arange(count), torch.full((count,), 4)
    found = Augmentation(**{name: 0.7}).apply(pixels, 8, index, passes)
    factors = module._factor(image_keys(8, index, passes), getattr(module, f"_{name.upper()}"), 0.7).flatten()
    for at, factor in enumerate(factors.tolist()):
        expected = 255 * same(pixels[at] / 255, factor)
        torch.testing.assert_close(found[at], expected, rtol=0, atol=0.05)  # torchvision's grey has four decimals
    assert stats.kstest((factors.numpy() - 0.3) / 1.4, "uniform").pvalue > 1e-3


def test_erasing_hits_as_often_and_as_much_as_asked_for() -> None:
    count, size = 3000, 20
    pixels = pictures(1, size).expand(count, -1, -1, -1)
    found = Augmentation(erasing=0.25).apply(pixels, 0, torch.arange(count), torch.zeros(count).long())
    changed = (found != pixels).any(dim=1)
    share = changed.double().mean(dim=(1, 2))
    assert stats.binomtest(int((share > 0).sum()), count, 0.25).pvalue > 1e-3
    assert 0.01 < share[share > 0].min() < 0.05
    assert 0.28 < share.max() < 0.36
    assert set(found[(found != pixels)].tolist()) == {127.5}, "0 once normalised"
    sides = [(rows.any(dim=1).sum() * rows.any(dim=0).sum(), rows.sum()) for rows in changed[share > 0]]
    assert all(box == inside for box, inside in sides), "one full rectangle"


def test_without_settings_nothing_changes() -> None:
    pixels = pictures(5)
    assert Augmentation().is_plain
    assert torch.equal(Augmentation().apply(pixels, 0, torch.arange(5), torch.arange(5)), pixels)
    for name, value in {"flip": True, "crop_padding": 1, "random_resized_crop": (0.5, 1.0), "erasing": 0.1}.items():
        assert not Augmentation(**{name: value}).is_plain  # type: ignore[arg-type]
    for name in ("contrast", "brightness", "saturation"):
        assert not Augmentation(**{name: 0.1}).is_plain


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        Augmentation.from_dict({"flips": True, "crop_padding": -1, "erasing": 1.5, "random_resized_crop": [0.9, 0.2]})
    text = str(error.value)
    assert "no setting 'flips'. Did you mean 'flip'?" in text
    for name in ("crop_padding is -1", "erasing is 1.5", "random_resized_crop is [0.9, 0.2]"):
        assert name in text
    with pytest.raises(ConfigError) as error:
        Augmentation.from_dict({"flip": 1, "crop_padding": 2.5, "contrast": "much", "crop_ratio": [1, 2, 3]})
    assert len(error.value.faults) == 4
    with pytest.raises(ConfigError, match="exclude each other"):
        Augmentation(crop_padding=2, random_resized_crop=(0.5, 1.0))
    with pytest.raises(ConfigError, match="crop_ratio belongs to random_resized_crop"):
        Augmentation(flip=True, crop_ratio=(0.5, 2.0))
    with pytest.raises(ConfigError) as error:
        Augmentation(crop_padding=8, saturation=0.5).check(8, 1)
    assert len(error.value.faults) == 2
    Augmentation(crop_padding=7, saturation=0.5).check(8, 3)


def test_settings_read_back_from_json() -> None:
    read = Augmentation.from_dict({"random_resized_crop": [0.2, 1], "flip": True, "erasing": 1})
    assert read == Augmentation(flip=True, random_resized_crop=(0.2, 1), erasing=1)
