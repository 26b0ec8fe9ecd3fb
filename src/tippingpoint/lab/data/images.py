"""A set of images in memory, its fingerprint, and what can be said of it without training anything.

Notation
--------
n : images of one part (train or test); h, w : pixels; c : channels, 1 or 3; k : classes.
Images are uint8 of shape (n, h, w, c), labels int64 of shape (n,) with values 0 .. k - 1.

Deliberately not built: streaming from disk. A study trains many small models on one set, so a set is decoded once per
process and stays in memory; a set that cannot fit is an error that says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tippingpoint.errors import DataError

__all__ = [
    "ImageSet",
    "Images",
    "Labels",
    "SharedImages",
    "content_fingerprint",
    "find_copies",
    "imbalance",
    "shared_images",
]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Training and test images of one set; the arrays are read-only.

    Attributes
    ----------
    name : str
        What was asked for, such as ``fashion_mnist[0-5]``.
    train_images, test_images : ndarray of uint8, shape (n, h, w, c)
        Grey values 0..255.
    train_labels, test_labels : ndarray of int64, shape (n,)
        Class of each image, 0 .. k - 1.
    class_names : tuple of str, length k
        What each class is called.
    fingerprint : str
        SHA-256 (hex) of the content as it is stored, before any resizing: the same at every image size, another
        for every class view. It seeds subsets and is part of every cell's key.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    fingerprint: str

    def __post_init__(self) -> None:
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            array.setflags(write=False)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def class_counts(self) -> dict[str, list[int]]:
        """Return the images per class: ``{"train": [...], "test": [...]}``, each of length k."""
        parts = {"train": self.train_labels, "test": self.test_labels}
        return {part: np.bincount(labels, minlength=self.n_classes).tolist() for part, labels in parts.items()}


def content_fingerprint(
    train_images: Images, train_labels: Labels, test_images: Images, test_labels: Labels, class_names: Iterable[str]
) -> str:
    """Return the SHA-256 (hex) of pixels, labels, shapes and class names.

    Parameters
    ----------
    train_images, test_images : ndarray of uint8, shape (n, h, w) or (n, h, w, c)
        Images as stored.
    train_labels, test_labels : ndarray of int64, shape (n,)
        Their classes.
    class_names : iterable of str
        Their names.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    head = [list(train_images.shape), list(test_images.shape), list(class_names)]
    digest = hashlib.sha256(json.dumps(head).encode())
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()


def imbalance(labels: npt.ArrayLike, class_names: Iterable[str] | None = None) -> str | None:
    """Say in one sentence how unequal the classes are; unequal classes are reported, never refused.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Class of each image.
    class_names : iterable of str, optional
        Names for the sentence; by default the class numbers.

    Returns
    -------
    str or None
        None where all classes have the same number of images.
    """
    classes, counts = np.unique(np.asarray(labels), return_counts=True)
    if len(classes) < 2 or counts.min() == counts.max():
        return None
    names = dict(enumerate(class_names)) if class_names is not None else {}
    small, large = int(counts.argmin()), int(counts.argmax())
    called = [f"'{names.get(int(classes[place]), str(classes[place]))}'" for place in (small, large)]
    return (
        f"The classes are unequal: {called[0]} has {counts[small]:,} images and {called[1]} has {counts[large]:,}, "
        f"{counts[large] / counts[small]:.3g} times as many; subsets keep these shares."
    )


@dataclass(frozen=True)
class SharedImages:
    """How many images of one set's parts stand, pixel for pixel, in another's.

    Attributes
    ----------
    first, second : str
        Names of the two sets.
    train_train, train_test, test_train, test_test : int
        Images of the first set's part (first word) that also stand in the second set's part (second word). Where
        both sets are the same, ``train_test`` is the leak of training images into the test set.
    """

    first: str
    second: str
    train_train: int
    train_test: int
    test_train: int
    test_test: int

    def sentences(self) -> list[str]:
        """Return one sentence for each kind of overlap that there is."""
        words = {"train": "training", "test": "test"}
        found = []
        for pair in ("train_train", "train_test", "test_train", "test_test"):
            ours, theirs = (words[part] for part in pair.split("_"))
            number = getattr(self, pair)
            same_part = self.first == self.second and ours == theirs
            mirrored = self.first == self.second and pair == "test_train"  # said once is enough
            if number == 1 and not same_part and not mirrored:
                found.append(f"1 {ours} image of {self.first} is also a {theirs} image of {self.second}.")
            elif number and not same_part and not mirrored:
                found.append(f"{number:,} {ours} images of {self.first} are also {theirs} images of {self.second}.")
        return found


def _digests(images: Images) -> list[bytes]:
    """Return a 16-byte content hash of every image; copies agree, others do not."""
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in flat]


def find_copies(images: Images, among: Images) -> npt.NDArray[np.int64]:
    """Return the places of those images that also stand, pixel for pixel, in other images.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, c)
        Images that are looked up.
    among : ndarray of uint8, shape (m, h, w, c)
        Images among which they are looked for.

    Returns
    -------
    ndarray of int64
        Ascending places in ``images``.
    """
    known = set(_digests(among))
    return np.array([place for place, key in enumerate(_digests(images)) if key in known], dtype=np.int64)


def shared_images(a: ImageSet, b: ImageSet) -> SharedImages:
    """Count the images that two sets share by content, part by part.

    Parameters
    ----------
    a, b : ImageSet
        Loaded at the same image size and channels; the same set twice tells its train/test leak.

    Returns
    -------
    SharedImages
        Counts of the images of ``a`` that stand in ``b``.

    Raises
    ------
    DataError
        The images have different shapes.
    """
    if a.train_images.shape[1:] != b.train_images.shape[1:]:
        raise DataError(
            f"{a.name} has images of {a.train_images.shape[1:]} and {b.name} of {b.train_images.shape[1:]}: "
            "load both at the same image size and channels to compare them."
        )
    ours = {"train": _digests(a.train_images), "test": _digests(a.test_images)}
    theirs = {"train": set(_digests(b.train_images)), "test": set(_digests(b.test_images))}
    counts = {
        f"{part}_{other}": sum(key in known for key in keys)
        for part, keys in ours.items()
        for other, known in theirs.items()
    }
    return SharedImages(first=a.name, second=b.name, **counts)
