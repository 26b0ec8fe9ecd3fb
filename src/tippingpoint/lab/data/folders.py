"""A folder of the user's own images: ``train/`` and ``test/`` (or ``val/``), in each a folder for every class."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tippingpoint.errors import DataError
from tippingpoint.lab.data.builtin import RawSet, SetSummary
from tippingpoint.lab.data.decoding import SUFFIXES, Fault, read_files, read_plain, refuse, shorten
from tippingpoint.lab.data.images import Images, Labels

__all__ = [
    "Listing",
    "check_memory",
    "files_fingerprint",
    "folder_signature",
    "load_folder",
    "printable",
    "scan_folder",
    "scan_part",
    "summarise_folder",
]

LAYOUT = "train/ and test/ (or val/), in each a folder for every class with its images"


class Listing(NamedTuple):
    """The image files of both parts, class by class, all in a fixed order, and how many other files of which kind."""

    class_names: tuple[str, ...]
    train: list[list[Path]]
    test: list[list[Path]]
    passed_over: Mapping[str, int] = {}


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
        faults.append(f"{path}: there is no folder train/{_there(path)}; a set of images has {LAYOUT}.")
    if test is None:
        faults.append(
            f"{path}: there is no folder test/ (or val/){_there(path)}; set test images aside in it, class by "
            "class as in train/, because test images are never taken from the training images silently."
        )
    if train is not None and test is not None:
        for part, ours, theirs in (("train", train, test), (test_name, test, train)):
            for name in sorted(set(theirs) - set(ours) - set(only or ())):  # those have been told
                faults.append(f"{path / str(part)}: class '{name}' has no folder here, {_but(name, ours)}.")
        if not faults and len(train) < 2:
            faults.append(f"{path / 'train'}: {len(train)} class folder; there must be two or more to tell apart.")
    if faults or train is None or test is None:
        raise DataError(shorten(faults))
    names = tuple(sorted(train))
    kinds = Counter(Path(name).suffix.lower() or "without a suffix" for name in others)
    return Listing(names, [train[name] for name in names], [test[name] for name in names], kinds)


def _but(name: str, here: Collection[str]) -> str:
    """Return what to do about a class that one part lacks; it may be there, but in other letters."""
    plain = [unicodedata.normalize("NFC", word).casefold() for word in (name, *sorted(here))]
    twin = dict(zip(plain[1:], sorted(here), strict=True)).get(plain[0])
    if twin is None:
        return "but in the other part; add it"
    return f"but '{twin}', the same save for case or for how accents are encoded; give both folders one name"


def _there(path: Path) -> str:
    """Return what stands where a part was looked for: Train/, validation/, or the class folders themselves."""
    found = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    shown = ", ".join(f"{name}/" for name in found[:5]) + (", ..." if len(found) > 5 else "")
    return f", but {shown}" if found else ""


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
    faults += [  # class names stand in files that are UTF-8
        f"{printable(entry)}: the class name is not UTF-8 text; rename the folder."
        for entry in entries
        if printable(entry.name) != entry.name
    ]
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

    files = []  # as text: a path for each step of the work would cost most of the time
    for root, _, names in os.walk(entry, onerror=unreadable):
        for name in names:
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                files.append(f"{root}/{name}")
            else:
                others.append(name)
    if not files and len(faults) == known:
        faults.append(f"{entry}: holds no image ({', '.join(SUFFIXES)}); add images or remove the folder.")
    return [Path(file) for file in sorted(files)]


def folder_signature(path: Path) -> str:
    """Return a text that changes when files of the folder come, go or change (by name, size and time)."""
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape"))
    listing = scan_folder(path)
    for files in (*listing.train, *listing.test):
        for file in map(str, files):
            digest.update(b"%s\0%d\0%d\0" % (file.encode(errors="surrogateescape"), *_state(file)))
    return digest.hexdigest()


def _state(file: str) -> tuple[int, int]:
    """Return size and time of a file; of a link that leads nowhere, which reading tells of, (-1, 0)."""
    try:
        state = os.stat(file)
    except OSError:
        return -1, 0
    return state.st_size, state.st_mtime_ns


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


def summarise_folder(path: Path) -> SetSummary:
    """Return counts, names and fingerprint of a folder; its files are read but not decoded."""
    listing = scan_folder(path)
    faults: list[Fault] = []
    contents = [[_contents(files, faults) for files in part] for part in (listing.train, listing.test)]
    refuse(faults)
    train, test = (tuple(len(files) for files in part) for part in (listing.train, listing.test))
    return SetSummary(train, test, listing.class_names, files_fingerprint(listing.class_names, contents))


def _contents(files: Sequence[Path], faults: list[Fault]) -> list[bytes]:
    """Return the SHA-256 of every file."""
    found = [read_plain(file) for file in files]
    faults += [content for content in found if isinstance(content, Fault)]
    return [b"" if isinstance(content, Fault) else hashlib.sha256(content).digest() for content in found]


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
    EnvironmentFault
        Files must not be read.
    """
    listing = scan_folder(path)
    wanted = set(range(len(listing.class_names)) if classes is None else classes)
    n_images = sum(len(part[which]) for part in (listing.train, listing.test) for which in wanted if which < len(part))
    check_memory(path, n_images * image_size**2 * channels)
    faults: list[Fault] = []
    parts = [_decode(part, wanted, image_size, channels, faults) for part in (listing.train, listing.test)]
    refuse(faults, f"{path}: {len(faults):,} of its {_count(listing):,} images cannot be used.")
    train, test = parts
    return RawSet(
        *(train.images, train.labels, test.images, test.labels, listing.class_names),
        *(files_fingerprint(listing.class_names, [part.contents for part in parts]), train.hashes, test.hashes),
        n_grey=train.n_grey + test.n_grey,
        passed_over=listing.passed_over,
        train_files=tuple(printable(file).removeprefix(f"{printable(path)}/") for file in train.files),
        test_files=tuple(printable(file).removeprefix(f"{printable(path)}/") for file in test.files),
    )


def printable(name: str | Path) -> str:
    r"""Return a file's name as text that can be written everywhere: bytes that are not UTF-8 as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _count(listing: Listing) -> int:
    """Return the image files of both parts."""
    return sum(len(files) for part in (listing.train, listing.test) for files in part)


def check_memory(path: Path, needed: int) -> None:
    """Raise a `DataError` where images that need so many bytes are larger than the machine's memory."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system: the allocation itself will tell
        return
    if needed > there:
        raise DataError(
            f"{path}: the decoded images need {needed / 1e9:.1f} GB, and this machine has {there / 1e9:.1f} GB of "
            "memory; choose a smaller image size or fewer classes, or prepare the set: tippingpoint data prepare."
        )


class _Part(NamedTuple):
    """The decoded images of a part, their files, labels and content hashes, every file's SHA-256, grey files."""

    images: Images
    labels: Labels
    hashes: Images
    contents: list[list[bytes]]
    n_grey: int
    files: list[Path]


def _decode(part: list[list[Path]], wanted: Collection[int], size: int, channels: int, faults: list[Fault]) -> _Part:
    """Return the images of some classes of a part; what cannot be used is added to the faults."""
    contents = [[] if which in wanted else _contents(files, faults) for which, files in enumerate(part)]
    counts = [len(files) if which in wanted else 0 for which, files in enumerate(part)]
    labels = np.repeat(np.arange(len(part), dtype=np.int64), counts)
    images = np.empty((len(labels), size, size, channels), np.uint8)
    hashes = np.zeros((len(labels), 16), np.uint8)
    place = n_grey = 0
    chosen = [file for which, files in enumerate(part) if which in wanted for file in files]
    for piece in read_files(chosen, size, channels):
        for image in piece:
            contents[labels[place]].append(image.content)
            if image.fault is not None:
                faults.append(image.fault)
            if image.pixels is not None:
                images[place], hashes[place] = image.pixels, np.frombuffer(image.key, np.uint8)
            n_grey += image.grey
            place += 1
    return _Part(images, labels, hashes, contents, n_grey, chosen)
