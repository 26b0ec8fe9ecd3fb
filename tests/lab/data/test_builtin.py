"""The sets of the package: their content, the fixed split of digits, and what the packed file keeps."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tippingpoint
from tippingpoint.errors import EnvironmentFault
from tippingpoint.lab.data import available_sets, builtin, describe_image_set, load_image_set, shared_images
from tippingpoint.lab.data.images import content_fingerprint

PUBLISHED = Path("/usr/share/datasets/fashion-mnist")
# SHA-256 of the decoded pixels and labels; they must never change, or every study's key does.
FASHION = {
    "train_images": "9f883c31ff6e99402b41f8dce8b48f04534ae5fc15289751b8cb824d520480c2",
    "train_labels": "fd80097900261f1131acda32868a3b826b880a1481c9b298dd2f09b681d35edc",
    "test_images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    "test_labels": "d51d859896c55775b9e9e219b77ff03bcec1b6ac322f313544dc3f9e7bc94fae",
}
FASHION_FINGERPRINT = "6b71c056df4933205bb6e9f851653464d377abba13804d6dc04b1f1f45e91956"
DIGITS_FINGERPRINT = "26aefe0d7efb6374f8f9c3cdb410a85c3cdd352a23b46b2fc5705f502b6f87b3"


def test_fashion_mnist_is_what_it_was() -> None:
    images = load_image_set("fashion_mnist", image_size=28, channels=1)
    for part, known in FASHION.items():
        assert hashlib.sha256(np.ascontiguousarray(getattr(images, part)).tobytes()).hexdigest() == known, part
    assert images.fingerprint == FASHION_FINGERPRINT
    raw = builtin.BUILTIN["fashion_mnist"].load()
    assert content_fingerprint(*raw[:5]) == FASHION_FINGERPRINT
    assert images.class_counts() == {"train": [3000] * 10, "test": [1000] * 10}
    assert images.train_images.dtype == np.uint8
    assert images.train_labels.dtype == np.int64
    assert images.class_names[0] == "T-shirt/top"


def test_fashion_mnist_shares_no_image_between_train_and_test() -> None:
    images = load_image_set("fashion_mnist", image_size=28, channels=1)
    assert shared_images(images, images).train_test == 0


@pytest.mark.skipif(not PUBLISHED.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_packed_file_agrees_with_the_published_one() -> None:
    def published(name: str, offset: int) -> np.ndarray:
        with gzip.open(PUBLISHED / name) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=offset)

    raw = builtin.BUILTIN["fashion_mnist"].load()
    pixels = published("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = published("train-labels-idx1-ubyte.gz", 8)
    kept = np.sort(np.concatenate([np.flatnonzero(labels == which)[:3000] for which in range(10)]))
    assert np.array_equal(raw.train_images, pixels[kept])
    assert np.array_equal(raw.train_labels, labels[kept])
    assert np.array_equal(raw.test_images.ravel(), published("t10k-images-idx3-ubyte.gz", 16))
    assert np.array_equal(raw.test_labels, published("t10k-labels-idx1-ubyte.gz", 8))


def test_notice_stands_beside_the_file() -> None:
    notice = (Path(tippingpoint.__file__).parent / "_data" / "fashion_mnist.LICENSE").read_text(encoding="utf-8")
    assert "Copyright (c) 2017 Zalando SE" in notice
    assert "MIT License" in notice


def test_damaged_file_is_the_environment_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_data").mkdir()
    whole = (Path(tippingpoint.__file__).parent / "_data" / builtin.PACKED).read_bytes()
    monkeypatch.setattr(builtin.resources, "files", lambda _: tmp_path)
    with pytest.raises(EnvironmentFault, match="cannot be opened"):
        builtin._load_fashion_mnist.__wrapped__()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:100_000], flipped, b"hello"):
        (tmp_path / "_data" / builtin.PACKED).write_bytes(content)
        with pytest.raises(EnvironmentFault, match="damaged"):
            builtin._load_fashion_mnist.__wrapped__()


def test_digits_split_is_fixed_by_content() -> None:
    images = load_image_set("digits", image_size=8, channels=1)
    assert images.fingerprint == DIGITS_FINGERPRINT
    assert len(images.train_labels) + len(images.test_labels) == 1797
    assert images.train_images.max() == 255
    counts = images.class_counts()
    for train, test in zip(counts["train"], counts["test"], strict=True):
        assert test == round(0.3 * (train + test))


def test_digits_split_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8)).astype(np.uint8)
    labels = np.arange(60) % 3
    order = rng.permutation(60)
    chosen = builtin.digits_test_part(images, labels)
    again = builtin.digits_test_part(images[order], labels[order])
    assert sorted(order[again].tolist()) == chosen.tolist()
    assert np.bincount(labels[chosen]).tolist() == [6, 6, 6]


@pytest.mark.parametrize("name", ["fashion_mnist", "fashion_mnist[6-9]", "digits", "digits[1,3]"])
def test_description_agrees_with_the_set(name: str) -> None:
    known = describe_image_set(name)
    images = load_image_set(name, image_size=8 if "digits" in name else 28, channels=1)
    assert known["fingerprint"] == images.fingerprint
    assert (known["n_train"], known["n_test"]) == (len(images.train_labels), len(images.test_labels))
    assert tuple(known["class_names"]) == images.class_names
    assert {"train": known["train_counts"], "test": known["test_counts"]} == images.class_counts()


def test_images_come_in_the_asked_shape_and_cannot_be_changed() -> None:
    images = load_image_set("digits", image_size=12, channels=3)
    assert images.train_images.shape[1:] == (12, 12, 3)
    assert np.array_equal(images.train_images[..., 0], images.train_images[..., 2])
    assert images.fingerprint == DIGITS_FINGERPRINT  # the content's, not the size's
    with pytest.raises(ValueError, match="read-only"):
        images.train_images[0] = 0


def test_sets_are_loaded_once() -> None:
    assert load_image_set("digits", image_size=8, channels=1) is load_image_set("digits", image_size=8, channels=1)
    assert set(available_sets()) == {"fashion_mnist", "digits"}


def test_no_torch_in_here() -> None:
    code = (
        "import sys; from tippingpoint.lab.data import load_image_set, describe_image_set;"
        "describe_image_set('fashion_mnist[0-5]'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
