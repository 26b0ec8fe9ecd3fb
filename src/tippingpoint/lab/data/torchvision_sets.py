"""The public sets that torchvision reads: its classes check the files' MD5 sums, and fetch them where that is allowed.

CIFAR's own files are pickles, which torchvision opens after it has checked their MD5 sums; nothing is unpickled here.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tippingpoint.errors import DataError, EnvironmentFault, MissingExtraError
from tippingpoint.lab.data.builtin import RawSet
from tippingpoint.lab.data.images import Labels, content_fingerprint
from tippingpoint.lab.data.known import KNOWN
from tippingpoint.lab.data.sources import Source, from_files, from_pixels
from tippingpoint.lab.data.subsets import nested_subset

__all__ = ["read_torchvision"]

# Set -> what torchvision's class is told for our training images (each a part of them) and our test images.
PARTS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "cifar10": ([{"train": True}], {"train": False}),
    "cifar100": ([{"train": True}], {"train": False}),
    "svhn": ([{"split": "train"}], {"split": "test"}),
    "stl10": ([{"split": "train"}], {"split": "test"}),
    "flowers102": ([{"split": "train"}, {"split": "val"}], {"split": "test"}),
    "dtd": ([{"split": "train"}, {"split": "val"}], {"split": "test"}),
    "oxford_pets": ([{"split": "trainval"}], {"split": "test"}),
    "food101": ([{"split": "train"}], {"split": "test"}),
    "gtsrb": ([{"split": "train"}], {"split": "test"}),
    "eurosat": ([{}], {}),
}
EUROSAT_TEST = 0.2
FILES = ("samples", "_samples")  # (file, label) pairs
FILES_AND_LABELS = (("_image_files", "_labels"), ("_images", "_labels"))
UNSOUND = (RuntimeError, ValueError, KeyError, TypeError, IndexError, EOFError, json.JSONDecodeError, csv.Error)


def read_torchvision(name: str, path: Path, download: bool) -> Source:
    """Open a public set with torchvision's class.

    Parameters
    ----------
    name : str
        One of `PARTS`.
    path : Path
        What torchvision calls root; the set's own folder will do too.
    download : bool
        Let torchvision fetch it into ``path``.

    Returns
    -------
    Source
        Its training and test images.

    Raises
    ------
    DataError
        The set is not there, or its files are not the maker's.
    EnvironmentFault
        The download failed, or the disk refuses.
    MissingExtraError
        torchvision is not installed.
    """
    told, test = PARTS[name]
    root = _root(name, path)
    opened = [_open(name, root, {**words, **({"download": True} if download else {})}) for words in [*told, test]]
    provider, parts = KNOWN[name].provider, (KNOWN[name].train, KNOWN[name].test)
    if KNOWN[name].reader == "arrays":
        return from_pixels(_pixels(name, root, opened[0], opened[1]), provider, parts)
    names = _class_names(name, opened[0])
    if name == "eurosat":
        return from_files(*_split(_by_class(opened[:1], len(names))), names, provider, parts)
    return from_files(_by_class(opened[:-1], len(names)), _by_class(opened[-1:], len(names)), names, provider, parts)


def _root(name: str, path: Path) -> Path:
    """Return the folder that torchvision expects, where the user may have given the one inside it."""
    inner = KNOWN[name].layout.split("/")[0]
    return (
        path.parent if KNOWN[name].layout.endswith("/") and path.name == inner and not (path / inner).exists() else path
    )


def _open(name: str, root: Path, words: dict[str, Any]) -> Any:
    """Make torchvision's object; say in one sentence what it stumbles over."""
    known = KNOWN[name]
    try:
        from torchvision import datasets
    except ImportError as error:
        raise MissingExtraError(f"The set '{name}' needs torchvision: pip install 'tippingpoint[lab]'.") from error
    maker = getattr(datasets, known.provider.rpartition(".")[2])
    try:
        if words.get("download"):
            root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # torchvision speaks on standard output
            return maker(root=str(root), **words)
    except PermissionError:
        raise
    except (OSError, RuntimeError) as error:
        if words.get("download"):
            raise EnvironmentFault(
                f"{root}: {known.provider} could not fetch '{name}' ({error}); check the network and the disk, or "
                f"fetch it from {known.url} and give its folder with --from."
            ) from error
        raise DataError(_absent(name, root, error)) from error
    except UNSOUND as error:
        raise DataError(_absent(name, root, error)) from error


def _absent(name: str, root: Path, error: Exception) -> str:
    known = KNOWN[name]
    reason = str(error).replace("You can use download=True to download it", "").strip(" .") or type(error).__name__
    return (
        f"{root}: {known.provider} finds no whole '{name}' here ({reason}); it looks for {known.layout} as the maker "
        "gives it, unpacked and unchanged; --download fetches it."
    )


def _pixels(name: str, root: Path, train: Any, test: Any) -> RawSet:
    """Return the arrays of a set that torchvision keeps in memory, as (n, h, w, c)."""

    def part(opened: Any) -> tuple[Any, Labels]:
        images = np.asarray(opened.data, dtype=np.uint8)
        if images.shape[1] == 3:  # channels first
            images = images.transpose(0, 2, 3, 1)
        labels = opened.targets if hasattr(opened, "targets") else opened.labels
        return np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64)

    arrays = (*part(train), *part(test))
    names = tuple(str(digit) for digit in range(10)) if name == "svhn" else tuple(getattr(train, "classes", ()))
    if len(names) != KNOWN[name].n_classes:
        raise DataError(f"{root}: gives {len(names)} class names, and {name} has {KNOWN[name].n_classes}; get it anew.")
    faults = [
        f"{root}: the {which} labels of {name} are not {KNOWN[name].n_classes} classes, each with images; get it anew."
        for which, labels in (("training", arrays[1]), ("test", arrays[3]))
        if np.unique(labels).tolist() != list(range(len(names)))
    ]
    if faults:
        raise DataError(faults)
    return RawSet(*arrays, names, content_fingerprint(*arrays, names))


def _class_names(name: str, opened: Any) -> tuple[str, ...]:
    """Return what the classes are called; the maker's numbers where torchvision's versions differ or know no names."""
    if name == "flowers102":
        return tuple(str(number) for number in range(1, 103))
    if name == "gtsrb":
        return tuple(f"{number:05d}" for number in range(43))
    return tuple(opened.classes)


def _by_class(opened: Sequence[Any], n_classes: int) -> list[list[Path]]:
    """Return the files of every class, in the order of torchvision's object."""
    files: list[list[Path]] = [[] for _ in range(n_classes)]
    for part in opened:
        for file, label in _pairs(part):
            if not 0 <= int(label) < n_classes:
                raise DataError(
                    f"{file}: has the label {label}, which is none of the {n_classes} classes; get it anew."
                )
            files[int(label)].append(Path(file))
    empty = [number for number, found in enumerate(files) if not found]
    if empty:
        named = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise DataError(
            f"{opened[0].root}: holds no image of class {named}; every class needs training and test images."
        )
    return files


def _pairs(opened: Any) -> list[tuple[str, int]]:
    """Return (file, label) of every image, without decoding any."""
    for name in FILES:
        if hasattr(opened, name):
            return list(getattr(opened, name))
    for name, labels in FILES_AND_LABELS:
        if hasattr(opened, name):
            return list(zip(getattr(opened, name), getattr(opened, labels), strict=True))
    raise EnvironmentFault(
        f"This torchvision keeps the files of {type(opened).__name__} elsewhere; install another from 0.21 on."
    )


def _split(files: list[list[Path]]) -> tuple[list[list[Path]], list[list[Path]]]:
    """Set EuroSAT's test images aside: one fixed stratified fifth of the places in its order of files."""
    labels = np.repeat(np.arange(len(files)), [len(found) for found in files])
    everything = [file for found in files for file in found]
    chosen = set(nested_subset(labels, np.arange(len(labels)), EUROSAT_TEST, "eurosat test", 0).tolist())
    train: list[list[Path]] = [[] for _ in files]
    test: list[list[Path]] = [[] for _ in files]
    for place, (file, label) in enumerate(zip(everything, labels.tolist(), strict=True)):
        (test if place in chosen else train)[label].append(file)
    return train, test
