"""Sentences on balance, shared images, and bringing images to one shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tippingpoint.errors import DataError
from tippingpoint.lab.data import (
    ImageSet,
    check_image_set,
    imbalance,
    load_image_set,
    prepare_image_set,
    shared_images,
)
from tippingpoint.lab.data.resize import resize_images


def noise(n: int, seed: int, size: int = 6, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels)).astype(np.uint8)


def made_set(name: str, train: np.ndarray, test: np.ndarray) -> ImageSet:
    labels = [np.arange(len(part)) % 2 for part in (train, test)]
    return ImageSet(name, train, labels[0], test, labels[1], ("a", "b"), "0" * 64)


def test_shared_images_are_counted_part_by_part() -> None:
    train, test, other = noise(10, 0), noise(6, 1), noise(8, 2)
    first = made_set("first", train, np.concatenate([test, train[:1]]))
    second = made_set("second", np.concatenate([other, train[:3]]), np.concatenate([test[:2], train[4:5]]))
    found = shared_images(first, second)
    # train[0] stands in both of the first set's parts, so it is among test_train too
    assert (found.train_train, found.train_test, found.test_train, found.test_test) == (3, 1, 1, 2)
    assert found.sentences()["train_train"] == (
        "3 training images of first are also training images of second (by number from 0: 0 is 8, 1 is 9, 2 is 10)."
    )
    assert list(shared_images(first, first).sentences().values()) == [
        "1 training image of first is also a test image of first (by number from 0: 0 is 6)."
    ]


def test_one_bit_of_one_pixel_tells_images_apart() -> None:
    images = noise(9, 0)
    copies = images[[7, 2]].copy()
    copies[1, 0, 0, 0] ^= 1
    found = shared_images(made_set("all", images, noise(2, 1)), made_set("two", copies, noise(2, 2)))
    assert (found.train_train, found.examples["train_train"]) == (1, [(7, 0)])


def test_images_of_a_folder_are_called_by_their_files(tmp_path: Path) -> None:
    pixels = noise(12, 3)

    def put(place: int, *where: str) -> None:
        file = tmp_path / "photos" / Path(*where)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[place][..., 0]).save(file)

    for place in range(12):
        put(place, "test" if place < 4 else "train", "ab"[place % 2], f"{place}.png")
    put(2, "train", "a", "copy of 2.png")
    put(3, "train", "b", "copy of 3.png")
    for part in ("train", "test"):
        put(4, part, "c", "4.png")
    where = {"image_size": 6, "channels": 1, "data_dir": tmp_path}
    whole = load_image_set("photos", **where)
    assert shared_images(whole, whole).sentences()["train_test"] == (
        "4 training images of photos are also test images of photos "
        "(train/a/4.png is test/c/4.png, train/a/copy of 2.png is test/a/2.png, "
        "train/b/copy of 3.png is test/b/3.png, ...)."
    )
    view = load_image_set("photos[0,2]", **where)
    assert shared_images(view, view).sentences()["train_test"] == (
        "3 training images of photos[0,2] are also test images of photos[0,2] "
        "(train/a/4.png is test/c/4.png, train/a/copy of 2.png is test/a/2.png, train/c/4.png is test/c/4.png)."
    )
    numbered = made_set("array", pixels[2:3], pixels[10:])
    assert shared_images(numbered, whole).sentences()["train_test"] == (
        "1 training image of array is also a test image of photos (by number from 0: 0 is test/a/2.png)."
    )
    (said,) = [one for one in check_image_set("photos", **where)["warnings"] if "also" in one]
    assert "train/b/copy of 3.png is test/b/3.png, ...), at 6x6: the test error of whatever is trained" in said
    notes = prepare_image_set("ours", path=tmp_path / "photos", size=6, channels=1, to=tmp_path / "ours")["notes"]
    first = tmp_path / "photos" / "train" / "a" / "4.png"
    (said,) = [one for one in notes if "also" in one]
    assert said.startswith(f"4 training images are also test images, pixel for pixel ({first} is ")


def test_views_of_one_set_share_nothing() -> None:
    near, far = (load_image_set(name, image_size=8, channels=1) for name in ("digits[0-5]", "digits[6-9]"))
    assert shared_images(near, far).sentences() == {}


def test_sets_of_two_sizes_are_not_compared() -> None:
    with pytest.raises(DataError, match="same image size"):
        shared_images(
            load_image_set("digits", image_size=8, channels=1), load_image_set("digits", image_size=9, channels=1)
        )


def test_imbalance_is_said_not_refused() -> None:
    assert imbalance(np.arange(30) % 3) is None
    said = imbalance([0] * 5 + [1] * 50, ["cat", "dog"])
    assert said is not None
    assert "'cat' has 5 images and 'dog' has 50, 10 times as many" in said


def test_resize_leaves_what_fits_and_scales_the_rest() -> None:
    images = noise(3, 0, size=6)
    assert resize_images(images, 6, 1) is images
    flat = np.full((2, 5, 9, 3), 77, np.uint8)
    assert np.array_equal(resize_images(flat, 4, 3), np.full((2, 4, 4, 3), 77, np.uint8))
    assert np.array_equal(resize_images(flat, 4, 1), np.full((2, 4, 4, 1), 77, np.uint8))
    assert resize_images(images[..., 0], 3, 3).shape == (3, 3, 3, 3)


def test_resize_cuts_the_middle_out() -> None:
    wide = np.zeros((1, 4, 8, 1), np.uint8)
    wide[:, :, 2:6] = 200
    assert np.array_equal(resize_images(wide, 4, 1), np.full((1, 4, 4, 1), 200, np.uint8))


def test_halving_is_the_antialiased_mean() -> None:
    # Bilinear, antialiased, at half size: weights 1, 3, 3, 1 of 8 along each side, cut and renormalised at the edge.
    images = noise(1, 3, size=8)
    weights = np.zeros((4, 8))
    for row in range(4):
        for place, weight in zip(range(2 * row - 1, 2 * row + 3), (1, 3, 3, 1), strict=True):
            if 0 <= place < 8:
                weights[row, place] = weight
    weights /= weights.sum(axis=1, keepdims=True)
    expected = weights @ images[0, :, :, 0].astype(float) @ weights.T
    assert np.abs(resize_images(images, 4, 1)[0, :, :, 0] - expected).max() <= 1.0  # rounded after each side


@pytest.mark.parametrize(("size", "channels", "faults"), [(0, 1, 1), (28, 2, 1), (-1, 4, 2), (5000, 3, 1)])
def test_impossible_shapes(size: int, channels: int, faults: int) -> None:
    with pytest.raises(DataError) as caught:
        load_image_set("digits", image_size=size, channels=channels)
    assert len(caught.value.faults) == faults
