"""A folder of the user's own images: ``train/`` and ``test/`` (or ``val/``), in each a folder for every class."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tippingpoint.errors import DataError
from tippingpoint.lab.data.builtin import RawSet, SetSummary
from tippingpoint.lab.data.images import Images, Labels
from tippingpoint.lab.data.resize import fit_image, pillow_module

__all__ = ["SUFFIXES", "folder_signature", "load_folder", "scan_folder", "summarise_folder"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
LAYOUT = "train/ and test/ (or val/), in each a folder for every class with its images"
MOST_FAULTS = 50  # a folder may hold a million damaged files; nobody reads a million sentences


class Listing(NamedTuple):
    """The image files of both parts, class by class, all in a fixed order."""

    class_names: tuple[str, ...]
    train: list[list[Path]]
    test: list[list[Path]]


def scan_folder(path: Path) -> Listing:
    """List the images of a folder; files that are no images by their suffix, and hidden ones, are passed over.

    Parameters
    ----------
    path : Path
        Folder with ``train/`` and ``test/`` (or ``val/`` where there is no ``test/``).

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
    train = _scan_part(path / "train", faults) if (path / "train").is_dir() else None
    test_name = next((name for name in ("test", "val") if (path / name).is_dir()), None)
    test = _scan_part(path / test_name, faults) if test_name else None
    if train is None:
        faults.append(f"{path}: there is no folder train/; a set of images has {LAYOUT}.")
    if test is None:
        faults.append(
            f"{path}: there is no folder test/ (or val/); set test images aside in it, class by class as in train/, "
            "because test images are never taken from the training images silently."
        )
    if train is not None and test is not None:
        for part, ours, theirs in (("train", train, test), (test_name, test, train)):
            for name in sorted(set(theirs) - set(ours)):
                faults.append(f"{path / str(part)}: class '{name}' has no folder here, but in the other part; add it.")
        if not faults and len(train) < 2:
            faults.append(f"{path / 'train'}: {len(train)} class folder; there must be two or more to tell apart.")
    if faults or train is None or test is None:
        raise DataError(_shorten(faults))
    names = tuple(sorted(train))
    return Listing(names, [train[name] for name in names], [test[name] for name in names])


def _scan_part(folder: Path, faults: list[str]) -> dict[str, list[Path]]:
    """Return the image files of every class folder, nested folders included."""
    found: dict[str, list[Path]] = {}
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        faults.append(f"{folder}: cannot be read ({error.strerror}); check the folder's rights.")
        return found
    for entry in entries:
        known = len(faults)

        def unreadable(error: OSError) -> None:
            faults.append(f"{error.filename}: cannot be read ({error.strerror}); check the folder's rights.")

        files = [
            Path(root, name)
            for root, _, names in os.walk(entry, onerror=unreadable)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
        found[entry.name] = sorted(files, key=lambda file: file.relative_to(folder).as_posix())
        if not files and len(faults) == known:
            faults.append(f"{entry}: holds no image ({', '.join(SUFFIXES)}); add images or remove the folder.")
    if not entries:
        faults.append(f"{folder}: holds no class folder; make a folder for every class and put its images there.")
    return found


def _shorten(faults: list[str]) -> list[str]:
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


def _fingerprint(listing: Listing) -> str:
    """Return the SHA-256 (hex) of class names and file contents; names of files do not matter, their order does."""
    digest = hashlib.sha256()
    faults = []
    for part in (listing.train, listing.test):
        for name, files in zip(listing.class_names, part, strict=True):
            digest.update(f"{name}\0{len(files)}\0".encode(errors="surrogateescape"))
            for file in files:
                try:
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
                except OSError as error:
                    faults.append(f"{file}: cannot be read ({error.strerror}); check the file's rights.")
    if faults:
        raise DataError(_shorten(faults))
    return digest.hexdigest()


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
        parts = [[files if which in classes else [] for which, files in enumerate(part)] for part in listing[1:]]
        listing = Listing(listing.class_names, *parts)
    _check_memory(path, sum(map(len, listing.train + listing.test)) * image_size**2 * channels)
    faults: list[str] = []
    train = _decode(listing.train, image_size, channels, faults)
    test = _decode(listing.test, image_size, channels, faults)
    if faults:
        raise DataError(_shorten(faults))
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
    for place, file in enumerate(file for files in part for file in files):
        fault = _decode_file(file, images[place])
        if fault:
            faults.append(fault)
    return images, np.repeat(np.arange(len(part), dtype=np.int64), counts)


def _decode_file(file: Path, out: Images) -> str | None:
    """Decode one file into ``out``, turned upright by its EXIF mark; return what is wrong with it, or None."""
    pillow, operations = pillow_module("Image"), pillow_module("ImageOps")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(file) as image:
                if image.mode.startswith(("I", "F")):
                    return f"{file}: holds more than 8 bits a channel (mode {image.mode}); save it with 8 bits."
                out[:] = fit_image(operations.exif_transpose(image), out.shape[0], out.shape[2])
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        return f"{file}: is larger than {pillow.MAX_IMAGE_PIXELS:,} pixels; scale it down."
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:  # what Pillow's decoders raise
        return f"{file}: cannot be decoded ({type(error).__name__}: {error}); replace or remove the file."
    return None
