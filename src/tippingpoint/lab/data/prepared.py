"""A prepared set: a folder of plain arrays that are mapped into memory, and a manifest that says what they are.

- ``prepared.json``: the manifest with size, classes, counts, fingerprint, provider, and the SHA-256 of each file;
- ``train_images.npy``, ``test_images.npy``: uint8 (n, size, size, channels);
- ``train_labels.npy``, ``test_labels.npy``: int64 (n,);
- ``train_hashes.npy``, ``test_hashes.npy``: uint8 (n, 16), content hash of every image.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tippingpoint.errors import DataError
from tippingpoint.lab.data.builtin import RawSet, SetSummary
from tippingpoint.lab.data.images import content_hashes

__all__ = [
    "ARRAYS",
    "DATA_VARIABLE",
    "MANIFEST",
    "MANIFEST_VERSION",
    "Prepared",
    "check_sample",
    "data_folder",
    "file_sha256",
    "is_prepared",
    "load_prepared",
    "misfit_words",
    "read_manifest",
    "shape_words",
    "summarise_prepared",
    "verify_prepared",
]

DATA_VARIABLE = "TIPPINGPOINT_DATA"
MANIFEST = "prepared.json"
MANIFEST_VERSION = 1
SAMPLE = 1000  # images of each part that a start looks at
ARRAYS = tuple(f"{part}_{what}.npy" for part in ("train", "test") for what in ("images", "labels", "hashes"))


class Prepared(NamedTuple):
    """What a manifest says.

    Attributes
    ----------
    path : Path
        The folder.
    name : str
        What the set was called when it was prepared.
    image_size, channels : int
        Shape of every image.
    class_names : tuple of str
        In the order of their numbers.
    train_counts, test_counts : tuple of int
        Images of every class.
    fingerprint : str
        Of the set as it is stored at its source, so that every size of it has the same subsets.
    source : dict
        ``provider``, ``train`` and ``test`` (the maker's parts), ``class_list`` (name and SHA-256) or None.
    files : dict of str to dict
        ``sha256`` and ``bytes`` of each array's file.
    """

    path: Path
    name: str
    image_size: int
    channels: int
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    fingerprint: str
    source: dict[str, Any]
    files: dict[str, dict[str, Any]]


def data_folder() -> Path | None:
    """Return the folder in which prepared sets are found by name: ``$TIPPINGPOINT_DATA``; None where it is not set."""
    given = os.environ.get(DATA_VARIABLE)
    return Path(given).expanduser() if given else None


def is_prepared(path: Path) -> bool:
    """Tell whether a folder is a prepared set."""
    return (path / MANIFEST).is_file()


def shape_words(size: int, channels: int) -> str:
    """Return ``32x32 grey`` or ``32x32 RGB``."""
    return f"{size}x{size} {'grey' if channels == 1 else 'RGB'}"


def read_manifest(path: Path) -> Prepared:
    """Read the manifest of a prepared set, and hold the sizes of its files against it.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    Prepared
        Its content.

    Raises
    ------
    DataError
        It is damaged, of a newer release, or a file is missing or of another length.
    """
    place, remedy = path / MANIFEST, "prepare the set anew"
    try:
        said = json.loads(place.read_text(encoding="utf-8"))
        version = said["schema_version"]
        if isinstance(version, int) and version > MANIFEST_VERSION:
            raise DataError(f"{place}: is of version {version}, and this release knows {MANIFEST_VERSION}; update it.")
        known = Prepared(
            path,
            str(said["name"]),
            int(said["image_size"]),
            int(said["channels"]),
            tuple(map(str, said["class_names"])),
            tuple(map(int, said["train_counts"])),
            tuple(map(int, said["test_counts"])),
            str(said["fingerprint"]),
            dict(said["source"]),
            {name: dict(said["files"][name]) for name in ARRAYS},
        )
        sizes = {name: int(known.files[name]["bytes"]) for name in ARRAYS}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{place}: is damaged ({type(error).__name__}: {error}); {remedy}.") from error
    faults = []
    for name, size in sizes.items():
        there = (path / name).stat().st_size if (path / name).is_file() else None
        if there is None:
            faults.append(f"{path / name}: is missing; {remedy}.")
        elif there != size:
            faults.append(f"{path / name}: has {there:,} bytes, and its manifest says {size:,}; {remedy}.")
    if faults:
        raise DataError(faults)
    return known


def summarise_prepared(path: Path) -> SetSummary:
    """Return counts, names and fingerprint of a prepared set; its images are not touched."""
    known = read_manifest(path)
    return SetSummary(known.train_counts, known.test_counts, known.class_names, known.fingerprint)


def load_prepared(path: Path, image_size: int, channels: int) -> RawSet:
    """Map a prepared set into memory; nothing is copied, nothing unpickled.

    Parameters
    ----------
    path : Path
        The folder.
    image_size, channels : int
        Must be those it was prepared at.

    Returns
    -------
    RawSet
        Images and hashes are read-only views of the files.

    Raises
    ------
    DataError
        It was prepared at another size, or its files are not what its manifest says.
    """
    known = read_manifest(path)
    if (known.image_size, known.channels) != (image_size, channels):
        raise DataError(
            misfit_words(path, known.name, (known.image_size, known.channels), (image_size, channels)) + "."
        )
    arrays = {name: _map(path / name) for name in ARRAYS}
    faults = []
    for part, counts in (("train", known.train_counts), ("test", known.test_counts)):
        n = sum(counts)
        shapes = {"images": (n, image_size, image_size, channels), "labels": (n,), "hashes": (n, 16)}
        for what, shape in shapes.items():
            name, dtype = f"{part}_{what}.npy", np.int64 if what == "labels" else np.uint8
            if arrays[name].shape != shape or arrays[name].dtype != dtype:
                faults.append(f"{path / name}: is not what {MANIFEST} says; prepare the set anew.")
    if not faults:
        labels = {part: np.array(arrays[f"{part}_labels.npy"]) for part in ("train", "test")}
        for part, counts in (("train", known.train_counts), ("test", known.test_counts)):
            if not np.array_equal(np.unique(labels[part], return_counts=True)[1], counts):
                faults.append(f"{path / f'{part}_labels.npy'}: is not what {MANIFEST} says; prepare the set anew.")
    if faults:
        raise DataError(faults)
    return RawSet(
        *(arrays["train_images.npy"], labels["train"], arrays["test_images.npy"], labels["test"]),
        *(known.class_names, known.fingerprint, arrays["train_hashes.npy"], arrays["test_hashes.npy"]),
    )


def misfit_words(path: Path | str, name: str, kept: tuple[int, int], asked: tuple[int, int]) -> str:
    """Say that a set was prepared at another (size, channels) than is asked for, and how to prepare it at that."""
    size, channels = asked
    return (
        f"{path}: is prepared at {shape_words(*kept)}, and {shape_words(*asked)} is asked for; prepare it at that "
        f"size: tippingpoint data prepare {name} --from SOURCE --size {size} --channels {channels} --to {path}-{size}"
    )


def check_sample(path: Path) -> None:
    """Hold what is small, and a sample of the images, against the manifest and their content hashes.

    A start must not read 200 GB again, but should find a set whose files were swapped, mixed or cut.

    Raises
    ------
    DataError
        Files differ; all are named.
    """
    known = read_manifest(path)
    small = [name for name in ARRAYS if not name.endswith("_images.npy")]
    changed = {name for name in small if file_sha256(path / name) != known.files[name]["sha256"]}
    for part in ("train", "test"):
        images, hashes = _map(path / f"{part}_images.npy"), _map(path / f"{part}_hashes.npy")
        places = np.linspace(0, len(images) - 1, min(len(images), SAMPLE)).astype(np.int64)
        sound = f"{part}_hashes.npy" not in changed and len(hashes) == len(images)
        if sound and not np.array_equal(content_hashes(images[places]), hashes[places]):
            changed.add(f"{part}_images.npy")
    _refuse_changed(path, changed)


def _refuse_changed(path: Path, changed: Collection[str]) -> None:
    if changed:
        why = "has changed since it was prepared (SHA-256); prepare the set anew."
        raise DataError(f"{path / name}: {why}" for name in ARRAYS if name in changed)


def _map(file: Path) -> npt.NDArray[Any]:
    try:
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        raise DataError(f"{file}: is not a plain array; prepare the set anew.") from error


def verify_prepared(path: Path) -> None:
    """Read every file of a prepared set and hold it against the manifest's SHA-256; DataError names all that differ."""
    known = read_manifest(path)
    _refuse_changed(path, {name for name in ARRAYS if file_sha256(path / name) != known.files[name]["sha256"]})


def file_sha256(file: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
