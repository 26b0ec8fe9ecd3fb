"""Turning a set of images once into arrays that are mapped into memory (`prepared`).

The arrays are written (`writing`) into a folder aside that takes the set's name only when it is whole and on the disk:
a run that was killed leaves no half set, and the next one starts afresh.

Deliberately not built: going on where a killed run stopped. Decoding is quick beside one training on such a set.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tippingpoint.errors import DataError, EnvironmentFault, did_you_mean
from tippingpoint.lab.data.builtin import BUILTIN
from tippingpoint.lab.data.class_lists import ClassList, read_class_list
from tippingpoint.lab.data.folders import printable
from tippingpoint.lab.data.images import EXAMPLES, passed_over_words
from tippingpoint.lab.data.known import KNOWN
from tippingpoint.lab.data.prepared import Prepared, data_folder, is_prepared, read_manifest, shape_words
from tippingpoint.lab.data.resize import check_shape
from tippingpoint.lab.data.sources import Part, Source, open_source
from tippingpoint.lab.data.writing import Report, write_arrays

__all__ = ["how_to_prepare", "prepare_image_set"]

FOLDER_SIZE = 224  # of folders, whose images differ in size


def prepare_image_set(
    name: str,
    *,
    path: str | Path | None = None,
    size: int | None = None,
    channels: int | None = None,
    to: str | Path | None = None,
    download: bool = False,
    classes: str | Path | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Turn a set of images into a folder of arrays that a study maps into memory.

    Parameters
    ----------
    name : str
        A public set (`KNOWN`), one of the package, or a name of your own for a folder or ``.npz`` file.
    path : str or Path, optional
        Where the images lie; with ``download``, where they go (default ``downloads`` beside the prepared set).
    size, channels : int, optional
        Shape of the images; by default that of the set, and 224 x 224 RGB where its images differ.
    to : str or Path, optional
        The folder to make; by default ``$TIPPINGPOINT_DATA/NAME``, or ``NAME`` in the working directory.
    download : bool
        Let torchvision fetch the set; nothing else ever does.
    classes : str or Path, optional
        A class list, see `read_class_list`; for ``imagenet100`` and folders.
    report : callable, optional
        Called with the images done and their number.

    Returns
    -------
    dict
        ``name``, ``path``, ``reused`` (it was there already), ``image_size``, ``channels``, ``n_train``, ``n_test``,
        ``n_classes``, ``fingerprint``, ``bytes``, ``source`` and ``notes`` (sentences).

    Raises
    ------
    DataError
        The set cannot be found or used; all faults are named, and nothing is left behind.
    EnvironmentFault
        The disk is full or refuses, another process prepares the same folder, or a download failed.
    """
    chosen = read_class_list(Path(classes)) if classes is not None else None
    _check_name(name)
    target = Path(to).expanduser() if to is not None else (data_folder() or Path()) / name
    given = Path(path).expanduser() if path is not None else None
    if given is None and download:
        given = target.parent / "downloads"
    if given is None and name not in BUILTIN:
        raise DataError(how_to_prepare(name))
    if size is not None or channels is not None:
        check_shape(size if size is not None else 1, channels if channels is not None else 1)
    there = _already(target, name, size, channels, chosen)
    if there is not None:
        _check_stale(there, name, given, chosen)
        return _result(there, True, [])
    source = open_source(name, given, download=download, classes=chosen)
    shape = _shape(name, source, size, channels)
    notes = _notes(name, source)
    with _aside(target) as folder:
        _check_room(target, source, *shape)
        notes += write_arrays(folder, name, source, *shape, report or (lambda done, total: None))
        _move(folder, target)
    return _result(read_manifest(target), False, [*notes, *_leak(target, source)])


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", name):
        raise DataError(
            f"'{name}' is no name for a set: use up to 64 letters, digits, '_', '-' and '.', such as my_photos."
        )


def how_to_prepare(name: str) -> str:
    """Say in a sentence how the images of a set may be given to ``data prepare``."""
    known = KNOWN.get(name)
    if known is None:
        hint = did_you_mean(name, [*KNOWN, *BUILTIN])
        return (
            f"'{name}' is no set that is known here; your own images need --from PATH, an image folder or a .npz file."
            f"{hint}"
        )
    by_hand = f"--from PATH, a folder with {known.layout} ({known.url})"
    if known.reader in ("arrays", "files"):
        return f"'{name}' is not in the package: give {by_hand}, or let {known.provider} fetch it with --download."
    return f"'{name}' is not in the package and must be fetched by hand ({known.provider}); then give {by_hand}."


def _already(
    target: Path, name: str, size: int | None, channels: int | None, classes: ClassList | None
) -> Prepared | None:
    """Return the prepared set that stands in the way, where it is the one asked for."""
    if not target.exists() and not target.is_symlink():
        return None
    if not (target.is_dir() and is_prepared(target)):
        if target.is_dir() and not any(target.iterdir()):
            return None
        raise DataError(f"{target}: is there already and is no prepared set; choose another folder with --to.")
    there = read_manifest(target)
    asked = (name, size or there.image_size, channels or there.channels)
    listed = there.source.get("class_list")
    same_list = classes is None or (listed is not None and listed.get("sha256") == classes.sha256)
    if asked != (there.name, there.image_size, there.channels) or not same_list:
        raise DataError(
            f"{target}: holds '{there.name}' at {shape_words(there.image_size, there.channels)}; remove it, or choose "
            "another folder with --to."
        )
    return there


def _check_stale(there: Prepared, name: str, given: Path | None, classes: ClassList | None) -> None:
    """Raise where the folder that a set was prepared from has other classes or numbers of images by now."""
    known = KNOWN.get(name)
    if given is None or not given.is_dir() or (known is not None and known.reader in ("arrays", "files")):
        return
    source = open_source(name, given, classes=classes)
    k = len(source.class_names)
    counts = tuple(tuple(np.bincount(part.labels, minlength=k).tolist()) for part in (source.train, source.test))
    if (source.class_names, *counts) != (there.class_names, there.train_counts, there.test_counts):
        raise DataError(
            f"{there.path}: was prepared from {sum(there.train_counts):,} training and {sum(there.test_counts):,} test "
            f"images of {len(there.class_names):,} classes, and {given} now holds {sum(counts[0]):,} and "
            f"{sum(counts[1]):,} of {k:,}; remove the prepared folder, or choose another one with --to."
        )


def _shape(name: str, source: Source, size: int | None, channels: int | None) -> tuple[int, int]:
    """Return the (side, channels) to prepare at."""
    stored = None if isinstance(source.train.images, list) else source.train.images.shape[1:]
    known = KNOWN.get(name)
    if size is None:
        size = known.size if known is not None else FOLDER_SIZE if stored is None else min(stored[:2])
    if channels is None:
        channels = 1 if stored is not None and (len(stored) == 2 or stored[2] == 1) else 3
    check_shape(size, channels)
    return size, channels


def _notes(name: str, source: Source) -> list[str]:
    """Say what differs from the maker's set, and what was passed over."""
    notes = []
    known = KNOWN.get(name)
    if known is not None:
        for words, count, whole in (
            ("training", len(source.train.labels), known.n_train),
            ("test", len(source.test.labels), known.n_test),
        ):
            if whole is not None and count != whole:
                notes.append(f"There are {count:,} {words} images; the maker's set has {whole:,}.")
    return notes + passed_over_words(source.passed_over)


def _leak(target: Path, source: Source) -> list[str]:
    """Say how many training images are also test images, and which the first of them are."""
    train, test = (np.load(target / f"{part}_hashes.npy", allow_pickle=False) for part in ("train", "test"))
    tested = {row.tobytes(): place for place, row in enumerate(test)}
    leak = [(here, tested[key]) for here, key in enumerate(row.tobytes() for row in train) if key in tested]
    if not leak:
        return []
    shown = ", ".join(
        f"{_called(source.train, here)} is {_called(source.test, there)}" for here, there in leak[:EXAMPLES]
    )
    numbered = "" if isinstance(source.train.images, list) else "by number from 0: "
    noun = "image is also a test image" if len(leak) == 1 else "images are also test images"
    return [
        f"{len(leak):,} training {noun}, pixel for pixel ({numbered}{shown}{', ...' if len(leak) > EXAMPLES else ''}): "
        "test errors will look better than they are."
    ]


def _called(part: Part, place: int) -> str:
    """Return the file of an image, or its number where it has none."""
    return printable(part.images[place]) if isinstance(part.images, list) else str(place)


def _check_room(target: Path, source: Source, size: int, channels: int) -> None:
    """Raise where the disk has not room for the arrays."""
    n = len(source.train.labels) + len(source.test.labels)
    needed = n * (size * size * channels + 24) + 100_000
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise EnvironmentFault(
            f"{target}: the {n:,} images need {_amount(needed)} at {shape_words(size, channels)}, and the disk has "
            f"{_amount(free)} left; free room, choose another folder with --to, or a smaller --size."
        )


def _amount(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Hold an empty folder beside the target; remove it however the block ends, save by its rename."""
    folder = target.with_name(f".{target.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise EnvironmentFault(
            f"{folder}: cannot be made ({error.strerror}); choose another folder with --to."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when its holder dies
        except OSError as error:
            raise EnvironmentFault(f"{target}: another process is preparing it; wait for that one.") from error
        try:
            for left in folder.iterdir():
                left.unlink()
            yield folder
        except OSError as error:
            if isinstance(error, EnvironmentFault):
                raise
            reason = error.strerror or error
            raise EnvironmentFault(f"{target}: cannot be written ({reason}); free room or choose --to.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # gone already where all went well
    finally:
        os.close(handle)


def _move(folder: Path, target: Path) -> None:
    """Give the finished folder its name, and make that survive a power cut."""
    os.replace(folder, target)
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _result(known: Prepared, reused: bool, notes: list[str]) -> dict[str, Any]:
    return {
        "name": known.name,
        "path": str(known.path),
        "reused": reused,
        "image_size": known.image_size,
        "channels": known.channels,
        "n_train": sum(known.train_counts),
        "n_test": sum(known.test_counts),
        "n_classes": len(known.class_names),
        "fingerprint": known.fingerprint,
        "bytes": sum(int(file["bytes"]) for file in known.files.values()),
        "source": known.source,
        "notes": notes,
    }
