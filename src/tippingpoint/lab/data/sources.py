"""Where the images of a set come from before they are prepared: files to decode, or pixels.

One reader for each layout; all give a `Source`. Sets that torchvision reads are in `torchvision_sets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tippingpoint.errors import DataError, EnvironmentFault
from tippingpoint.lab.data import arrays, folders
from tippingpoint.lab.data.builtin import BUILTIN, PACKAGE, RawSet
from tippingpoint.lab.data.class_lists import ClassList, imagenet100_list
from tippingpoint.lab.data.decoding import SUFFIXES, shorten
from tippingpoint.lab.data.images import Images, Labels
from tippingpoint.lab.data.known import KNOWN

__all__ = ["Part", "Source", "from_files", "open_source"]

TINY = "tiny-imagenet-200"
ANNOTATIONS = "val_annotations.txt"


class Part(NamedTuple):
    """Training or test images as they are stored: files or pixels, and labels int64 (n,)."""

    images: list[Path] | Images
    labels: Labels


class Source(NamedTuple):
    """A set before it is prepared.

    Attributes
    ----------
    train, test : Part
        Files stand class by class; pixels in their own order.
    class_names : tuple of str
        What each class is called.
    provider : str
        What read it, such as ``torchvision.datasets.CIFAR10`` or ``image folder``.
    parts : tuple of str
        Which of the maker's parts are training and test images.
    fingerprint : str or None
        Of pixels; that of files is known when they have been read.
    class_list : ClassList or None
        Which list chose the classes.
    passed_over : mapping of str to int
        Files that are no images by their suffix: suffix -> how many.
    """

    train: Part
    test: Part
    class_names: tuple[str, ...]
    provider: str
    parts: tuple[str, str] = ("train", "test")
    fingerprint: str | None = None
    class_list: ClassList | None = None
    passed_over: Mapping[str, int] = {}


def from_pixels(raw: RawSet, provider: str, parts: tuple[str, str] = ("train", "test")) -> Source:
    """Return the source of a set that is in memory."""
    train, test = Part(raw.train_images, raw.train_labels), Part(raw.test_images, raw.test_labels)
    return Source(train, test, raw.class_names, provider, parts, raw.fingerprint)


def from_files(
    train: Sequence[Sequence[Path]],
    test: Sequence[Sequence[Path]],
    class_names: tuple[str, ...],
    provider: str,
    parts: tuple[str, str] = ("train", "test"),
) -> Source:
    """Return the source of files that stand class by class.

    Parameters
    ----------
    train, test : sequence of sequences of Path, length k
        Files of every class.
    class_names : tuple of str, length k
        What each class is called.
    provider : str
        What read them.
    parts : tuple of str
        Which of the maker's parts they are.
    """

    def part(classes: Sequence[Sequence[Path]]) -> Part:
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(files) for files in classes])
        return Part([file for files in classes for file in files], labels)

    return Source(part(train), part(test), class_names, provider, parts)


def open_source(name: str, path: Path | None, *, download: bool = False, classes: ClassList | None = None) -> Source:
    """Find out what a set consists of; images in files are listed and not yet read.

    Parameters
    ----------
    name : str
        A public set (`KNOWN`), one of the package, or a name of your own for a folder or ``.npz`` file.
    path : Path or None
        Where it lies; None for the sets of the package.
    download : bool
        Let torchvision fetch what is not there, into ``path``.
    classes : ClassList, optional
        Only these classes, for ``imagenet100`` and folders of your own.

    Returns
    -------
    Source
        With a name for every class, each once.

    Raises
    ------
    DataError
        What lies there is not that set; all faults are named.
    EnvironmentFault
        A folder must not be read, or a download failed.
    """
    known = KNOWN.get(name)
    folder_like = name == "imagenet100" or (
        known is None and name not in BUILTIN and path is not None and path.is_dir()
    )
    if classes is not None and not folder_like:
        raise DataError(f"--classes chooses among the folders of imagenet100 or of your own images, not in '{name}'.")
    if name in BUILTIN and path is None:
        return from_pixels(BUILTIN[name].load(), PACKAGE)
    if path is None:
        raise DataError(f"'{name}': say where the images lie.")
    try:
        source = _read(name, path, download, classes)
    except PermissionError as error:
        where = error.filename or path
        raise EnvironmentFault(f"{where}: cannot be read ({error.strerror}); check its rights.") from error
    _check(name, path, source)
    return source


def _read(name: str, path: Path, download: bool, classes: ClassList | None) -> Source:
    known = KNOWN.get(name)
    if known is not None and known.reader in ("arrays", "files"):
        from tippingpoint.lab.data.torchvision_sets import read_torchvision  # torchvision loads torch

        return read_torchvision(name, path, download)
    if download:
        raise DataError(
            f"'{name}' cannot be fetched by this command: get it from {known.provider if known else 'its maker'} "
            f"({known.url if known else 'your own images need none'}), unpack it and give its folder with --from."
        )
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; give the place of the images with --from.")
    if name == "tiny_imagenet":
        return _tiny_imagenet(path if (path / "train").is_dir() or not (path / TINY).is_dir() else path / TINY)
    if name == "imagenet100" and classes is None:
        classes = imagenet100_list()
    if path.is_dir():
        return _folder(path, classes, name)
    return from_pixels(arrays.load_npz(_npz(path)), ".npz file")


def _npz(path: Path) -> Path:
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: a set of images is a .npz file or a folder with train/ and test/, not this file.")
    return path


def _folder(path: Path, classes: ClassList | None, name: str) -> Source:
    """Read ``train/`` and ``test/`` (or ``val/``), in each a folder for every class."""
    listing = folders.scan_folder(path, None if classes is None else classes.classes)
    known = KNOWN.get(name)
    provider = known.provider if known is not None else "image folder"
    parts = ("train", "test" if (path / "test").is_dir() else "val")
    source = from_files(listing.train, listing.test, listing.class_names, provider, parts)
    return source._replace(class_list=classes, passed_over=listing.passed_over)


def _tiny_imagenet(path: Path) -> Source:
    """Read TinyImageNet: training images by folder, and ``val/`` by its list of annotations."""
    faults: list[str] = []
    train: dict[str, list[Path]] = {}
    if (path / "train").is_dir():
        train = folders.scan_part(path / "train", faults)
    else:
        faults.append(f"{path}: there is no folder train/; TinyImageNet is {KNOWN['tiny_imagenet'].layout}.")
    names = tuple(sorted(train))
    test = _annotated(path / "val", names, faults)
    if faults:
        raise DataError(shorten(faults))
    return from_files([train[name] for name in names], test, names, KNOWN["tiny_imagenet"].provider, ("train", "val"))


def _annotated(folder: Path, names: Sequence[str], faults: list[str]) -> list[list[Path]]:
    """Return the files of every class as ``val_annotations.txt`` gives them; each must be there, and listed once."""
    listed = folder / ANNOTATIONS
    try:
        lines = listed.read_text(encoding="utf-8").splitlines()
        there = {file.name for file in (folder / "images").iterdir() if file.name.lower().endswith(SUFFIXES)}
    except (FileNotFoundError, NotADirectoryError) as error:
        faults.append(f"{error.filename}: is missing, and without it nobody knows the classes of val/; add it.")
        return []
    except UnicodeDecodeError:
        faults.append(f"{listed}: is not UTF-8 text; get it anew from the maker's archive.")
        return []
    by_class: dict[str, list[Path]] = {name: [] for name in names}
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        words = line.split("\t")
        file, wnid = words[0], words[1].strip() if len(words) > 1 else ""
        if not line.strip():
            continue
        if not wnid:
            faults.append(f"{listed}:{number}: holds no file and class with a tab between; get the list anew.")
        elif wnid not in by_class:
            faults.append(f"{listed}:{number}: class '{wnid}' has no folder in train/; add it or remove the line.")
        elif file in seen:
            faults.append(f"{listed}:{number}: names {file} for the second time; remove one of the lines.")
        elif file not in there:
            faults.append(f"{listed}:{number}: {file} is not in {folder / 'images'}; add it or remove the line.")
        else:
            by_class[wnid].append(folder / "images" / file)
        seen.add(file)
    for file in sorted(there - seen):
        faults.append(f"{folder / 'images' / file}: is not in {ANNOTATIONS}, and its class is unknown; remove it.")
    for name in names:
        if not by_class[name] and not faults:
            faults.append(f"{listed}: names no image of class '{name}'; every class needs test images.")
    return [sorted(by_class[name]) for name in names]


def _check(name: str, path: Path, source: Source) -> None:
    """Hold a source against what is known of the set, and its classes against each other."""
    faults = []
    known = KNOWN.get(name)
    n_classes = len(source.class_names)
    wanted = known.n_classes if known is not None and source.class_list is None else n_classes
    if n_classes != wanted:
        faults.append(f"{path}: holds {n_classes:,} classes, and {name} has {wanted:,}; add the missing ones.")
    twice = sorted({called for called in source.class_names if source.class_names.count(called) > 1})
    faults += [f"{path}: two classes are called '{called}'; give every class its own name." for called in twice]
    for called in source.class_names:
        try:
            called.encode()
        except UnicodeEncodeError:
            faults.append(f"{path}: the class name {called!a} is not UTF-8 text; rename its folder.")
    if faults:
        raise DataError(shorten(faults))
