"""The two sets that come with the package: Fashion-MNIST and scikit-learn's digits.

Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747; MIT, Zalando SE) stands in ``_data`` as 30,000
class-balanced training images and all 10,000 test images, packed by ``tools/pack_fashion_mnist.py``. Digits
(E. Alpaydin, C. Kaynak) come from scikit-learn, which has no test part: ours is fixed by the images' content.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from tippingpoint.errors import EnvironmentFault, MissingExtraError
from tippingpoint.lab.data.images import Images, Labels, content_fingerprint

__all__ = ["BUILTIN", "PACKAGE", "Builtin", "RawSet", "SetSummary"]

PACKED = "fashion_mnist.xz"
PACKAGE = "the package"  # who provides its sets
DIGITS_TEST_SHARE = 0.3


class RawSet(NamedTuple):
    """A set as it is stored, before resizing: images uint8 (n, h, w) or (n, h, w, c), labels int64 (n,).

    A folder and a prepared set have the content hash of every image too, uint8 (n, 16), see `images.content_hashes`. Of
    a folder's images ``n_grey`` were grey in their files, and ``train_files`` and ``test_files`` name the file of each,
    from the folder on; ``passed_over`` counts, by suffix, its files that are no images.
    """

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    fingerprint: str
    train_hashes: Images | None = None
    test_hashes: Images | None = None
    n_grey: int | None = None
    passed_over: Mapping[str, int] = {}
    train_files: tuple[str, ...] | None = None
    test_files: tuple[str, ...] | None = None


class SetSummary(NamedTuple):
    """What is known of a set without its pixels: images per class of both parts, names, fingerprint."""

    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    class_names: tuple[str, ...]
    fingerprint: str


class Builtin(NamedTuple):
    """One set of the package: a sentence about it, its stored (side, channels), and how to get it."""

    about: str
    shape: tuple[int, int]
    load: Callable[[], RawSet]
    summarise: Callable[[], SetSummary]


@contextmanager
def _packed() -> Iterator[lzma.LZMAFile]:
    """Open the packed file; whatever is wrong with it is the installation's fault."""
    try:
        with resources.files("tippingpoint").joinpath("_data", PACKED).open("rb") as raw, lzma.open(raw) as stream:
            yield stream
    except OSError as error:
        raise EnvironmentFault(f"The package's file {PACKED} cannot be opened ({error}); install it anew.") from error
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise EnvironmentFault(f"The package's file {PACKED} is damaged ({error}); install it anew.") from error


def _read_labels(stream: lzma.LZMAFile) -> tuple[dict[str, Any], Labels, Labels]:
    """Read the line of JSON and the labels, which stand before the pixels."""
    header = json.loads(stream.readline())
    train, test = (
        np.frombuffer(stream.read(header[part][0]), np.uint8).astype(np.int64) for part in ("train_shape", "test_shape")
    )
    return header, train, test


def _read_pixels(stream: lzma.LZMAFile, shape: tuple[int, int, int], labels: Labels) -> Images:
    """Undo the packing: images stand class by class, each by columns."""
    n, height, width = shape
    packed = np.frombuffer(stream.read(n * height * width), np.uint8).reshape(n, width, height)
    images = np.empty(shape, np.uint8)
    images[np.argsort(labels, kind="stable")] = packed.transpose(0, 2, 1)
    return images


@lru_cache(maxsize=1)
def _load_fashion_mnist() -> RawSet:
    with _packed() as stream:
        header, train_labels, test_labels = _read_labels(stream)
        train_images = _read_pixels(stream, tuple(header["train_shape"]), train_labels)
        test_images = _read_pixels(stream, tuple(header["test_shape"]), test_labels)
        stream.read(1)  # the checksum stands behind the last pixel
    names = tuple(header["class_names"])
    return RawSet(train_images, train_labels, test_images, test_labels, names, header["fingerprint"])


@lru_cache(maxsize=1)
def _summarise_fashion_mnist() -> SetSummary:
    with _packed() as stream:
        header, *labels = _read_labels(stream)
    train, test = (tuple(np.bincount(part, minlength=10).tolist()) for part in labels)
    return SetSummary(train, test, tuple(header["class_names"]), header["fingerprint"])


@lru_cache(maxsize=1)
def _load_digits() -> RawSet:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("The set 'digits' needs scikit-learn: pip install 'tippingpoint[lab]'.") from error
    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    images = ((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)  # 0..16 to 0..255, rounded
    test = digits_test_part(images, labels)
    train = np.setdiff1d(np.arange(len(labels)), test)
    parts = images[train], labels[train], images[test], labels[test]
    names = tuple(str(name) for name in bunch.target_names)
    return RawSet(*parts, names, content_fingerprint(*parts, names))


def digits_test_part(images: Images, labels: Labels) -> Labels:
    """Return the places of the test images: of each class the last 30%, its images sorted by a hash of their pixels.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 8, 8)
        All images.
    labels : ndarray of int64, shape (n,)
        Their classes.

    Returns
    -------
    ndarray of int64
        Ascending places.
    """
    keys = np.array([hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images])
    chosen = []
    for which in np.unique(labels):
        places = np.flatnonzero(labels == which)
        places = places[np.argsort(keys[places], kind="stable")]
        chosen.append(places[len(places) - round(DIGITS_TEST_SHARE * len(places)) :])
    return np.sort(np.concatenate(chosen))


def _summarise_digits() -> SetSummary:
    return summarise(_load_digits())


def summarise(raw: RawSet) -> SetSummary:
    """Return what is known of a set without its pixels."""
    k = len(raw.class_names)
    train, test = (tuple(np.bincount(part, minlength=k).tolist()) for part in (raw.train_labels, raw.test_labels))
    return SetSummary(train, test, raw.class_names, raw.fingerprint)


BUILTIN: dict[str, Builtin] = {
    "fashion_mnist": Builtin(
        "clothes, 28x28 grey; 30,000 training images in equal classes and all 10,000 test images (MIT, Zalando SE)",
        (28, 1),
        _load_fashion_mnist,
        _summarise_fashion_mnist,
    ),
    "digits": Builtin(
        "handwritten digits, 8x8 grey, from scikit-learn; a fixed 30% of each class are the test images",
        (8, 1),
        _load_digits,
        _summarise_digits,
    ),
}
