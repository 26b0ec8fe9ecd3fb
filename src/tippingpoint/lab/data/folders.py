"""A folder of the user's own images: ``train/`` and ``test/`` (or ``val/``), in each a folder for every class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tippingpoint.errors import DataError
from tippingpoint.lab.data.builtin import RawSet, SetSummary
from tippingpoint.lab.data.decoding import decode_bytes, strict_pillow
from tippingpoint.lab.data.images import Images, Labels

__all__ = [
    "SUFFIXES",
    "Listing",
    "files_fingerprint",
    "folder_signature",
    "load_folder",
    "scan_folder",
    "scan_part",
    "shorten",
    "summarise_folder",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
LAYOUT = "train/ and test/ (or val/), in each a folder for every class with its images"
MOST_FAULTS = 50  # a folder may hold a million damaged files; nobody reads a million sentences


class Listing(NamedTuple):
    """The image files of both parts, class by class, all in a fixed order, and how many other files there are."""

    class_names: tuple[str, ...]
    train: list[list[Path]]
    test: list[list[Path]]
    passed_over: int = 0


def scan_folder(path: Path, only: Collection[str] | None = None) -> Listing:
    """List the images of a folder; files that are no images by their suffix, and hidden ones, are passed over.

    Parameters
    ----------
    path : Path
        Folder with ``train/`` and ``test/`` (or ``val/`` where there is no ``test/``).
    only : collection of str, optional
        Classes that are wanted; by default all. Each of them must be there.

    Returns
    -------
    Listing
        Classes and files in the order of their names.

    Raises
    ------
    DataError
        A part is missing or unreadable, a class has no image or stands in one part only; all faults are named.
    """
    faults: list[str] = []
    others: list[str] = []
    train = scan_part(path / "train", faults, only, others) if (path / "train").is_dir() else None
    test_name = next((name for name in ("test", "val") if (path / name).is_dir()), None)
    test = scan_part(path / test_name, faults, only, others) if test_name else None
    if train is None:
        faults.append(f"{path}: there is no folder train/; a set of images has {LAYOUT}.")
    if test is None:
        faults.append(
            f"{path}: there is no folder test/ (or val/); set test images aside in it, class by class as in train/, "
            "because test images are never taken from the training images silently."
        )
    if train is not None and test is not None:
        for part, ours, theirs in (("train", train, test), (test_name, test, train)):
            for name in sorted(set(theirs) - set(ours) - set(only or ())):  # those have been told
                faults.append(f"{path / str(part)}: class '{name}' has no folder here, but in the other part; add it.")
        if not faults and len(train) < 2:
            faults.append(f"{path / 'train'}: {len(train)} class folder; there must be two or more to tell apart.")
    if faults or train is None or test is None:
        raise DataError(shorten(faults))
    names = tuple(sorted(train))
    return Listing(names, [train[name] for name in names], [test[name] for name in names], len(others))


def scan_part(
    folder: Path, faults: list[str], only: Collection[str] | None = None, others: list[str] | None = None
) -> dict[str, list[Path]]:
    """Return the image files of every class folder, nested folders included; links inside a class are not followed.

    Parameters
    ----------
    folder : Path
        One part, with a folder for every class.
    faults : list of str
        Takes a sentence for each class that cannot be used.
    only : collection of str, optional
        Classes that are wanted; by default all.
    others : list of str, optional
        Takes the names of files that are no images by their suffix.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if _is_class(entry, faults))
    except PermissionError:
        raise  # the machine refuses, which is no fault of the set: whoever asked says so
    except OSError as error:
        faults.append(f"{folder}: cannot be read ({error.strerror}); check the folder.")
        return {}
    if only is not None:
        absent = sorted(set(only) - {entry.name for entry in entries})
        faults += [
            f"{folder}: class '{name}' has no folder here, and the class list names it; add it." for name in absent
        ]
        entries = [entry for entry in entries if entry.name in only]
    elif not entries:
        faults.append(f"{folder}: holds no class folder; make a folder for every class and put its images there.")
    return {entry.name: _scan_class(entry, faults, others if others is not None else []) for entry in entries}


def _is_class(entry: Path, faults: list[str]) -> bool:
    """Tell whether an entry is a class folder; a link that leads nowhere or round in a circle is a fault."""
    if entry.name.startswith("."):
        return False
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        target = entry.resolve(strict=True)
    except (OSError, RuntimeError):  # a circle raises one or the other, by Python's version
        faults.append(f"{entry}: is a link that leads nowhere or to itself; remove or mend it.")
        return False
    if target.is_dir() and entry.parent.resolve().is_relative_to(target):
        faults.append(f"{entry}: is a link to a folder that it lies in ({target}); remove it.")
        return False
    return target.is_dir()


def _scan_class(entry: Path, faults: list[str], others: list[str]) -> list[Path]:
    """Return the image files of one class, sorted by their place in the folder."""
    known = len(faults)

    def unreadable(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error
        faults.append(f"{error.filename}: cannot be read ({error.strerror}); check the folder.")

    files = []
    for root, _, names in os.walk(entry, onerror=unreadable):
        for name in names:
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                files.append(Path(root, name))
            else:
                others.append(name)
    if not files and len(faults) == known:
        faults.append(f"{entry}: holds no image ({', '.join(SUFFIXES)}); add images or remove the folder.")
    return sorted(files, key=lambda file: file.relative_to(entry.parent).as_posix())


def shorten(faults: list[str]) -> list[str]:
    """Return the first faults, and how many more there are."""
    beyond = len(faults) - MOST_FAULTS
    return [*faults[:MOST_FAULTS], f"There are {beyond:,} more faults like these."] if beyond > 0 else faults


def folder_signature(path: Path) -> str:
    """Return a text that changes when files of the folder come, go or change (by name, size and time)."""
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape"))
    listing = scan_folder(path)
    for files in (*listing.train, *listing.test):
        for file in files:
            state = file.stat()
            name = file.relative_to(path).as_posix().encode(errors="surrogateescape")
            digest.update(b"%s\0%d\0%d\0" % (name, state.st_size, state.st_mtime_ns))
    return digest.hexdigest()


def files_fingerprint(class_names: Sequence[str], parts: Iterable[Sequence[Sequence[bytes]]]) -> str:
    """Return the SHA-256 (hex) of class names and file contents; names of files do not matter, their order does.

    Parameters
    ----------
    class_names : sequence of str, length k
        In the order of their numbers.
    parts : iterable of sequences
        Of each part the classes, of each class the SHA-256 (32 bytes) of every file.
    """
    digest = hashlib.sha256()
    for part in parts:
        for name, contents in zip(class_names, part, strict=True):
            digest.update(f"{name}\0{len(contents)}\0".encode(errors="surrogateescape"))
            for content in contents:
                digest.update(content)
    return digest.hexdigest()


def _fingerprint(listing: Listing) -> str:
    """Return the fingerprint of a folder, whose files are read but not decoded."""
    faults: list[str] = []

    def content(file: Path) -> bytes:
        try:
            return hashlib.sha256(file.read_bytes()).digest()
        except PermissionError:
            raise
        except OSError as error:
            faults.append(f"{file}: cannot be read ({error.strerror}); check the file.")
            return b""

    parts = [[[content(file) for file in files] for files in part] for part in (listing.train, listing.test)]
    if faults:
        raise DataError(shorten(faults))
    return files_fingerprint(listing.class_names, parts)


def summarise_folder(path: Path) -> SetSummary:
    """Return counts, names and fingerprint of a folder; its files are read but not decoded."""
    listing = scan_folder(path)
    train, test = (tuple(len(files) for files in part) for part in (listing.train, listing.test))
    return SetSummary(train, test, listing.class_names, _fingerprint(listing))


def load_folder(path: Path, image_size: int, channels: int, classes: tuple[int, ...] | None = None) -> RawSet:
    """Decode a folder of images, each brought to the study's size as it is read.

    Parameters
    ----------
    path : Path
        Folder as for `scan_folder`.
    image_size, channels : int
        Shape of every image.
    classes : tuple of int, optional
        Classes to decode; by default all. Files of the others are read for the fingerprint only.

    Returns
    -------
    RawSet
        Images of shape (n, image_size, image_size, channels), still with all class names; the fingerprint is that of
        all files.

    Raises
    ------
    DataError
        The layout is wrong, the images do not fit into memory, or files cannot be decoded; every file is named.
    """
    listing = scan_folder(path)
    fingerprint = _fingerprint(listing)
    if classes is not None:
        train_files, test_files = (
            [files if which in classes else [] for which, files in enumerate(part)]
            for part in (listing.train, listing.test)
        )
        listing = Listing(listing.class_names, train_files, test_files)
    _check_memory(path, sum(map(len, listing.train + listing.test)) * image_size**2 * channels)
    faults: list[str] = []
    train = _decode(listing.train, image_size, channels, faults)
    test = _decode(listing.test, image_size, channels, faults)
    if faults:
        raise DataError(shorten(faults))
    return RawSet(*train, *test, listing.class_names, fingerprint)


def _check_memory(path: Path, needed: int) -> None:
    """Raise where the decoded images are larger than the machine's memory."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system: the allocation itself will tell
        return
    if needed > there:
        raise DataError(
            f"{path}: the decoded images need {needed / 1e9:.1f} GB, and this machine has {there / 1e9:.1f} GB of "
            "memory; choose a smaller image size or fewer classes."
        )


def _decode(part: list[list[Path]], size: int, channels: int, faults: list[str]) -> tuple[Images, Labels]:
    """Return images and labels of a part; what cannot be decoded is added to the faults."""
    counts = [len(files) for files in part]
    images = np.empty((sum(counts), size, size, channels), np.uint8)
    with strict_pillow():
        for place, file in enumerate(file for files in part for file in files):
            try:
                decoded = decode_bytes(file, file.read_bytes(), size, channels)
            except PermissionError:
                raise
            except OSError as error:
                faults.append(f"{file}: cannot be read ({error.strerror or error}); check the file.")
                continue
            if decoded.pixels is None:
                faults.append(str(decoded.fault))
            else:
                images[place] = decoded.pixels
    return images, np.repeat(np.arange(len(part), dtype=np.int64), counts)
