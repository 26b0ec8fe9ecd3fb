"""Class views: ``name[0-5]`` or ``name[0,2,4]`` is a set with only those classes, renumbered from 0."""

from __future__ import annotations

import hashlib
import re
from typing import cast

import numpy as np
import numpy.typing as npt

from tippingpoint.errors import DataError
from tippingpoint.lab.data.builtin import RawSet, SetSummary
from tippingpoint.lab.data.images import Images, ImagesView, Labels, is_mapped

__all__ = ["check_classes", "parse_name", "view_fingerprint", "view_set", "view_summary"]

_VIEW = re.compile(r"(?P<base>.+)\[(?P<classes>[^\[\]]*)\]", re.DOTALL)
_EXAMPLE = "write it like fashion_mnist[0-5] or fashion_mnist[0,2,4]"


def parse_name(name: str) -> tuple[str, tuple[int, ...] | None]:
    """Split a name into that of the whole set and the classes asked for.

    Parameters
    ----------
    name : str
        Such as ``digits``, ``fashion_mnist[0-5]``, ``fashion_mnist[0,2,4]`` or ``photos/[0-2,7]``.

    Returns
    -------
    base : str
        Name of the whole set.
    classes : tuple of int or None
        Ascending class numbers; None where no view is asked for.

    Raises
    ------
    DataError
        The brackets hold something else; every fault is named.
    """
    match = _VIEW.fullmatch(name)
    if match is None:
        if "[" in name or "]" in name:
            raise DataError(f"'{name}' is not the name of a class view: {_EXAMPLE}.")
        return name, None
    classes: list[int] = []
    faults = []
    for part in match["classes"].split(","):
        span = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
        if span is None:
            faults.append(f"'{name}': '{part.strip()}' is neither a class number nor a range; {_EXAMPLE}.")
            continue
        first, last = int(span[1]), int(span[2] or span[1])
        if last < first:
            faults.append(f"'{name}': the range {part.strip()} runs backwards; write {last}-{first}.")
        classes += range(first, last + 1)
    repeated = sorted({which for which in classes if classes.count(which) > 1}) if len(classes) < 10_000 else []
    if repeated:
        faults.append(f"'{name}': class {', '.join(map(str, repeated))} is named twice; name each class once.")
    if not faults and len(classes) < 2:
        faults.append(f"'{name}' has one class, and there is nothing to tell apart: name two classes or more.")
    if faults:
        raise DataError(faults)
    return match["base"], tuple(sorted(classes))


def check_classes(name: str, classes: tuple[int, ...], n_classes: int) -> None:
    """Raise a `DataError` where a view asks for a class that its set has not.

    Parameters
    ----------
    name : str
        The view's name, for the message.
    classes : tuple of int
        Classes asked for.
    n_classes : int
        Classes of the whole set.
    """
    beyond = [str(which) for which in classes if which >= n_classes]
    if beyond:
        noun, verb = ("class", "does") if len(beyond) == 1 else ("classes", "do")
        shown = ", ".join(beyond[:10]) + (", ..." if len(beyond) > 10 else "")
        raise DataError(f"'{name}': {noun} {shown} {verb} not exist; the set has classes 0 to {n_classes - 1}.")


def view_fingerprint(fingerprint: str, classes: tuple[int, ...], n_classes: int) -> str:
    """Return the fingerprint of a view, known without its pixels; a view of all classes is the set itself."""
    if classes == tuple(range(n_classes)):
        return fingerprint
    return hashlib.sha256(f"view\0{fingerprint}\0{','.join(map(str, classes))}".encode()).hexdigest()


def view_set(name: str, raw: RawSet, classes: tuple[int, ...] | None) -> RawSet:
    """Return the images of some classes, labels renumbered 0 .. k - 1 in ascending order.

    Parameters
    ----------
    name : str
        The view's name, for the message.
    raw : RawSet
        The whole set.
    classes : tuple of int or None
        Ascending class numbers; None for all.

    Returns
    -------
    RawSet
        The part, in the set's order, with its own fingerprint; of a set that is mapped from disk nothing is copied.
    """
    if classes is None:
        return raw
    check_classes(name, classes, len(raw.class_names))
    train, test = (_places(labels, classes) for labels in (raw.train_labels, raw.test_labels))
    numbers = np.array(classes)
    return raw._replace(
        train_images=_some(raw.train_images, train),
        train_labels=np.searchsorted(numbers, raw.train_labels[train]).astype(np.int64),
        test_images=_some(raw.test_images, test),
        test_labels=np.searchsorted(numbers, raw.test_labels[test]).astype(np.int64),
        class_names=tuple(raw.class_names[which] for which in classes),
        fingerprint=view_fingerprint(raw.fingerprint, classes, len(raw.class_names)),
        train_hashes=None if raw.train_hashes is None else raw.train_hashes[train],
        test_hashes=None if raw.test_hashes is None else raw.test_hashes[test],
        train_files=_chosen(raw.train_files, train),
        test_files=_chosen(raw.test_files, test),
    )


def _chosen(files: tuple[str, ...] | None, places: slice | npt.NDArray[np.intp]) -> tuple[str, ...] | None:
    if files is None:
        return None
    if isinstance(places, slice):
        return files[places]
    return tuple(files[place] for place in places)


def _places(labels: Labels, classes: tuple[int, ...]) -> slice | npt.NDArray[np.intp]:
    """Return where the classes stand; a slice, which copies nothing, where they stand one behind the other."""
    places = np.flatnonzero(np.isin(labels, classes))
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def _some(images: Images, places: slice | npt.NDArray[np.intp]) -> Images:
    """Return some of the images; those of a mapped file stay there until they are asked for."""
    if isinstance(places, slice) or not is_mapped(images):
        return images[places]
    return cast(Images, ImagesView(images, places))  # is indexed as an array is


def view_summary(name: str, whole: SetSummary, classes: tuple[int, ...] | None) -> SetSummary:
    """Return the summary of some classes, see `view_set`."""
    if classes is None:
        return whole
    check_classes(name, classes, len(whole.class_names))
    return SetSummary(
        tuple(whole.train_counts[which] for which in classes),
        tuple(whole.test_counts[which] for which in classes),
        tuple(whole.class_names[which] for which in classes),
        view_fingerprint(whole.fingerprint, classes, len(whole.class_names)),
    )
