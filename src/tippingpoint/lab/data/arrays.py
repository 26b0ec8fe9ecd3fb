"""A ``.npz`` file of the user's own: images and labels of a training and a test part."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tippingpoint.errors import DataError
from tippingpoint.lab.data.builtin import RawSet
from tippingpoint.lab.data.folders import check_memory
from tippingpoint.lab.data.images import content_fingerprint

__all__ = ["NAMINGS", "load_npz"]

Arrays = dict[str, npt.NDArray[Any]]

# Keras's habit, MedMNIST's, and a plain one: images and labels of training, then of test.
NAMINGS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images_train", "labels_train", "images_test", "labels_test"),
)
EXPECTED = (
    "a .npz file holds x_train, y_train, x_test, y_test (or train_images, train_labels, test_images, test_labels): "
    "images uint8 (n, h, w) or (n, h, w, 1 or 3), labels (n,); class_names may stand beside them"
)


def load_npz(path: Path) -> RawSet:
    """Read a set of images from a ``.npz`` file; nothing in it is unpickled.

    Parameters
    ----------
    path : Path
        File with the arrays of one line of `NAMINGS`, and optionally ``class_names``.

    Returns
    -------
    RawSet
        Labels are renumbered 0 .. k - 1 in the order of ``class_names``, else in ascending order.

    Raises
    ------
    DataError
        The file or its arrays cannot be used; all faults are named.
    """
    arrays = _read(path)
    naming = max(NAMINGS, key=lambda names: sum(name in arrays for name in names))
    missing = [name for name in naming if name not in arrays]
    if missing:
        raise DataError(
            f"{path}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing (the file has "
            f"{', '.join(arrays) or 'no array of these names'}); {EXPECTED}."
        )
    images, labels = (arrays[naming[0]], arrays[naming[2]]), tuple(_flat(arrays[naming[place]]) for place in (1, 3))
    faults = [
        *_image_faults(path, naming[0], images[0]),
        *_image_faults(path, naming[2], images[1]),
        *_label_faults(path, naming[1], labels[0], images[0]),
        *_label_faults(path, naming[3], labels[1], images[1]),
    ]
    if not faults and images[0].shape[1:] != images[1].shape[1:]:
        faults.append(
            f"{path}: {naming[0]} has images of {images[0].shape[1:]} and {naming[2]} of {images[1].shape[1:]}; "
            "bring both to one shape."
        )
    if not faults and (labels[0].dtype.kind == "U") != (labels[1].dtype.kind == "U"):
        faults.append(
            f"{path}: of {naming[1]} and {naming[3]} one holds text and the other numbers; give both one kind."
        )
    if faults:
        raise DataError(faults)
    names, train, test = _number_classes(path, naming, labels[0], labels[1], arrays.get("class_names"))
    return RawSet(
        images[0], train, images[1], test, names, content_fingerprint(images[0], train, images[1], test, names)
    )


def _read(path: Path) -> Arrays:
    """Return the arrays of the file by name."""
    try:
        with path.open("rb") as stream:  # opened here, because NumPy leaves a broken file open
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: this is a single array, not a .npz file; {EXPECTED}.")
            wanted = {"class_names", *(name for names in NAMINGS for name in names)}
            entries = zipfile.ZipFile(stream).infolist()
            check_memory(path, sum(entry.file_size for entry in entries if entry.filename[:-4] in wanted))
            return {name: archive[name] for name in archive.files if name in wanted}
    except (DataError, PermissionError):  # the latter is the machine's, and whoever asked says so
        raise
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its rights."
        ) from error
    except MemoryError as error:
        raise DataError(f"{path}: its arrays do not fit into this machine's memory; check their shapes.") from error
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        # NumPy's own words for a ValueError advise unpickling, which is what nobody should do here.
        reason = "" if isinstance(error, ValueError) else f" ({error})"
        raise DataError(f"{path}: this is not a sound .npz file of plain arrays{reason}; {EXPECTED}.") from error


def _flat(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels of shape (n, 1) as (n,), others as they are."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _image_faults(path: Path, name: str, images: npt.NDArray[Any]) -> list[str]:
    """Say what is wrong with an array of images."""
    if images.ndim not in (3, 4) or 0 in images.shape:
        return [f"{path}: {name} has the shape {images.shape}; images are (n, h, w) or (n, h, w, channels)."]
    faults = []
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        channels_first = images.shape[1] in (1, 3)
        remedy = f"transpose it with {name}.transpose(0, 2, 3, 1)" if channels_first else "keep 1 channel or 3"
        faults.append(f"{path}: {name} has {images.shape[3]} channels, by its last axis; {remedy}.")
    if images.dtype != np.uint8:
        faults.append(
            f"{path}: {name} is {images.dtype}, and images are uint8 with values 0 to 255; convert it (values "
            "between 0 and 1: multiply by 255 and round)."
        )
    return faults


def _label_faults(path: Path, name: str, labels: npt.NDArray[Any], images: npt.NDArray[Any]) -> list[str]:
    """Say what is wrong with an array of labels."""
    if labels.ndim != 1:
        return [f"{path}: {name} has the shape {labels.shape}; labels are (n,), one class for each image."]
    faults = []
    if images.ndim and len(labels) != len(images):
        faults.append(f"{path}: {name} has {len(labels):,} labels for {len(images):,} images; give one for each.")
    if labels.dtype.kind not in "iuU":
        faults.append(f"{path}: {name} is {labels.dtype}; labels are whole numbers or text.")
    elif labels.dtype.kind == "i" and labels.min(initial=0) < 0:
        below = int((labels < 0).sum())
        faults.append(
            f"{path}: {name} holds {below:,} labels below 0 (such as {labels.min()}), which often mark images "
            "without a label; remove those images, or number the classes from 0."
        )
    return faults


def _number_classes(
    path: Path,
    naming: tuple[str, str, str, str],
    train: npt.NDArray[Any],
    test: npt.NDArray[Any],
    given: npt.NDArray[Any] | None,
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return class names and labels 0 .. k - 1; every class must stand in both parts."""
    if train.dtype != test.dtype and train.dtype.kind != "U":  # NumPy would make floats of int64 and uint64
        train, test = train.astype(np.int64), test.astype(np.int64)
    if given is None:
        known = np.union1d(train, test)
        names = tuple(str(value) for value in known)
    else:
        names = tuple(str(value) for value in given.ravel())
        known = np.array(names) if train.dtype.kind == "U" else np.arange(len(names))
    faults = []
    for name, labels in ((naming[1], train), (naming[3], test)):
        absent = [names[place] for place in np.flatnonzero(~np.isin(known, labels))]
        unknown = np.setdiff1d(labels, known)
        if absent:
            faults.append(
                f"{path}: {name} has no image of class {_some(absent)}; every class needs training and test images."
            )
        if len(unknown):
            faults.append(f"{path}: {name} holds {_some(unknown.tolist())}, which class_names does not cover.")
    if len(set(names)) < len(names):
        faults.append(f"{path}: class_names names a class twice; give every class its own name.")
    if len(names) < 2:
        faults.append(f"{path}: {naming[1]} holds one class, and there is nothing to tell apart; give two or more.")
    if faults:
        raise DataError(faults)
    order = np.argsort(known, kind="stable")
    numbers = [order[np.searchsorted(known, labels, sorter=order)].astype(np.int64) for labels in (train, test)]
    return names, numbers[0], numbers[1]


def _some(values: list[Any]) -> str:
    return ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
