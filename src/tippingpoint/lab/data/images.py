"""A set of images in memory, its fingerprint, and what can be said of it without training anything.

Notation
--------
n : images of one part (train or test); h, w : pixels; c : channels, 1 or 3; k : classes.
Images are uint8 of shape (n, h, w, c), labels int64 of shape (n,) with values 0 .. k - 1.

A set is decoded once per process and stays in memory; one that cannot fit is an error that says so. A prepared set
(`prepared`) is mapped from disk instead, which costs no memory that the system cannot take back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tippingpoint.errors import DataError

__all__ = [
    "EXAMPLES",
    "PAIRS",
    "ImageSet",
    "Images",
    "ImagesView",
    "Labels",
    "SharedImages",
    "content_fingerprint",
    "content_hashes",
    "conversion_words",
    "imbalance",
    "is_mapped",
    "passed_over_words",
    "shared_images",
]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImagesView:
    """Some images of an array, none of them copied; it is indexed as an array is, along the first axis.

    Attributes
    ----------
    array : ndarray of uint8, shape (m, h, w, c)
        A whole part of a set, in memory or mapped from disk; or a view of one.
    indices : ndarray of int64, shape (n,)
        Which images of it, in this order.
    """

    array: Images
    indices: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that the images have: (n, h, w, c)."""
        return (len(self.indices), *self.array.shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.array.shape)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, positions: Any) -> Images:
        """Return a copy of the images at these positions (a number, a slice, an array of them), uint8."""
        found: Images = self.array[self.indices[positions]]
        return found

    def __iter__(self) -> Iterator[Images]:
        return (self.array[index] for index in self.indices)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Copy all the images into memory: what NumPy asks for, and nothing in here does."""
        return np.asarray(self[:], dtype=dtype)


def is_mapped(images: Any) -> bool:
    """Tell whether an array's memory is a file mapped from disk."""
    while isinstance(images, np.ndarray):
        if isinstance(images, np.memmap):
            return True
        images = images.base
    return False


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Training and test images of one set; the arrays are read-only.

    Attributes
    ----------
    name : str
        What was asked for, such as ``fashion_mnist[0-5]``.
    train_images, test_images : ndarray of uint8, shape (n, h, w, c)
        Grey values 0..255; of a class view of a mapped set an `ImagesView`.
    train_labels, test_labels : ndarray of int64, shape (n,)
        Class of each image, 0 .. k - 1.
    class_names : tuple of str, length k
        What each class is called.
    fingerprint : str
        SHA-256 (hex) of the content as it is stored, before any resizing: the same at every image size, another
        for every class view. It seeds subsets and is part of every cell's key.
    train_hashes, test_hashes : ndarray of uint8, shape (n, 16), optional
        Content hash of every image, where they are known beforehand (a folder, a prepared set).
    train_files, test_files : tuple of str, optional
        Of a folder the file of every image, from the folder on: ``train/ant/0.png``.
    maker : str or None
        Who divided it into training and test images: of a public set, and of one in the package, what stands for it;
        None of your own.
    lost_colour : int
        Images whose colour was dropped while they were loaded; those of a prepared set were prepared so on purpose.
    notes : tuple of str
        Sentences on what was converted or passed over.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    fingerprint: str
    train_hashes: Images | None = None
    test_hashes: Images | None = None
    train_files: tuple[str, ...] | None = None
    test_files: tuple[str, ...] | None = None
    maker: str | None = None
    lost_colour: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def digests(self, part: str) -> list[bytes]:
        """Return the content hash (16 bytes) of every image of ``train`` or ``test``; copies agree, others do not."""
        known: Images | None = getattr(self, f"{part}_hashes")
        hashes = content_hashes(getattr(self, f"{part}_images")) if known is None else known
        return [row.tobytes() for row in hashes]

    def called(self, part: str, place: int) -> str:
        """Return what an image of ``train`` or ``test`` is called: its file, or its number from 0 where it has none."""
        files: tuple[str, ...] | None = getattr(self, f"{part}_files")
        return str(place) if files is None else files[place]

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


def conversion_words(n_grey: int, n_images: int, channels: int) -> list[str]:
    """Say how many images became RGB (``channels`` is 3) or grey (1); nothing where all are so already."""
    if channels == 3:
        return [f"{n_grey:,} of {n_images:,} images are grey and became RGB."] if n_grey else []
    n_colour = n_images - n_grey
    return [f"{n_colour:,} of {n_images:,} images are in colour and became grey."] if n_colour else []


def passed_over_words(counts: Mapping[str, int]) -> list[str]:
    """Say which files (suffix -> how many) were passed over, because their names are not those of images."""
    if not counts:
        return []
    shown = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(counts.items()))
    return [f"Passed over, because they are no images by name: {shown}."]


PAIRS = ("train_train", "train_test", "test_train", "test_test")
EXAMPLES = 3  # pairs of places that a report names


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
    examples : dict of str to list of (int, int)
        For each of the four names the first few places in the first and in the second set's part.
    named : dict of str to list of (str, str)
        The same places as a person finds them: files, and numbers from 0 where images have no file of their own.
    """

    first: str
    second: str
    train_train: int
    train_test: int
    test_train: int
    test_test: int
    examples: dict[str, list[tuple[int, int]]] = field(default_factory=dict, compare=False)
    named: dict[str, list[tuple[str, str]]] = field(default_factory=dict, compare=False)

    def sentences(self) -> dict[str, str]:
        """Return one sentence for each kind of overlap that there is, by its name (``train_test`` and so on)."""
        words = {"train": "training", "test": "test"}
        found = {}
        for pair in PAIRS:
            ours, theirs = (words[part] for part in pair.split("_"))
            number = getattr(self, pair)
            same_part = self.first == self.second and ours == theirs
            mirrored = self.first == self.second and pair == "test_train"  # said once is enough
            if not number or same_part or mirrored:
                continue
            where = _where(self.named.get(pair, []), number)
            count, verb, plural = ("1", "is also a", "") if number == 1 else (f"{number:,}", "are also", "s")
            found[pair] = (
                f"{count} {ours} image{plural} of {self.first} {verb} {theirs} image{plural} of {self.second}{where}."
            )
        return found


def _where(named: list[tuple[str, str]], number: int) -> str:
    """Return in brackets which images they are, the first few of them."""
    if not named:
        return ""
    shown = ", ".join(f"{here} is {there}" for here, there in named) + (", ..." if number > len(named) else "")
    numbered = any(word.isdecimal() for pair in named for word in pair)  # a file has a suffix
    return f" (by number from 0: {shown})" if numbered else f" ({shown})"


def content_hashes(images: Images) -> Images:
    """Return the content hash of every image: the first 16 bytes of the SHA-256 of its pixels, uint8 (n, 16).

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, c)
        Copies have the same hash, others another.
    """
    out = np.empty((len(images), 16), np.uint8)
    for place, image in enumerate(images):
        out[place] = np.frombuffer(hashlib.sha256(np.ascontiguousarray(image).data).digest()[:16], np.uint8)
    return out


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
    ours = {part: a.digests(part) for part in ("train", "test")}
    theirs: dict[str, dict[bytes, int]] = {}
    for part in ("train", "test"):
        digests = ours[part] if a is b else b.digests(part)
        theirs[part] = dict(zip(reversed(digests), reversed(range(len(digests))), strict=True))  # first place of each
    counts: dict[str, int] = {}
    examples: dict[str, list[tuple[int, int]]] = {}
    named: dict[str, list[tuple[str, str]]] = {}
    for pair in PAIRS:
        here, there = pair.split("_")
        places = [(place, theirs[there][key]) for place, key in enumerate(ours[here]) if key in theirs[there]]
        counts[pair], examples[pair] = len(places), places[:EXAMPLES]
        named[pair] = [(a.called(here, ours_at), b.called(there, at)) for ours_at, at in examples[pair]]
    return SharedImages(first=a.name, second=b.name, examples=examples, named=named, **counts)
