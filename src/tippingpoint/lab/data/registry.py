"""From a name to a set of images: the package's own, prepared ones, the user's by path, and class views of all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from tippingpoint.errors import DataError, EnvironmentFault, TippingPointError, did_you_mean
from tippingpoint.lab.data import own
from tippingpoint.lab.data.builtin import BUILTIN, SetSummary
from tippingpoint.lab.data.images import ImageSet, conversion_words, passed_over_words
from tippingpoint.lab.data.known import KNOWN, even_counts, expected_counts
from tippingpoint.lab.data.prepared import DATA_VARIABLE, data_folder, is_prepared, read_manifest
from tippingpoint.lab.data.resize import check_shape, resize_images
from tippingpoint.lab.data.views import parse_name, view_set, view_summary

__all__ = [
    "available_sets",
    "describe_image_set",
    "expect_image_set",
    "find_prepared",
    "load_image_set",
    "public_sets",
    "stored_shape",
]


class _NotPreparedError(DataError):
    """A public set is named that is not on this machine."""


def available_sets() -> dict[str, str]:
    """Return the names of the sets that come with the package, each with a sentence about it."""
    return {name: entry.about for name, entry in BUILTIN.items()}


def public_sets(data_dir: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what is known of the public sets that ``data prepare`` reads, by name.

    Parameters
    ----------
    data_dir : str or Path, optional
        As for `load_image_set`.

    Returns
    -------
    dict
        For each ``about``, ``n_train``, ``n_test`` (None where a class list decides), ``n_classes``, ``train`` and
        ``test`` (the maker's parts), ``provider``, ``licence``, ``url`` and ``prepared`` (the folder, or None).
    """
    keys = ("about", "n_train", "n_test", "n_classes", "train", "test", "provider", "licence", "url")
    found = {}
    for name, known in KNOWN.items():
        path = find_prepared(name, data_dir)
        found[name] = {**{key: getattr(known, key) for key in keys}, "prepared": None if path is None else str(path)}
    return found


def find_prepared(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Return the folder of a prepared set by its name or path, or None where there is none.

    Parameters
    ----------
    name : str
        A name without classes, or a path.
    data_dir : str or Path, optional
        Looked into first; then ``$TIPPINGPOINT_DATA``.
    """
    places = [Path(data_dir) if data_dir is not None else Path(), data_folder()]
    for place in places:
        if place is not None and is_prepared(place / Path(name).expanduser()):
            return place / Path(name).expanduser()
    return None


def load_image_set(name: str, *, image_size: int, channels: int, data_dir: str | Path | None = None) -> ImageSet:
    """Return a set of images in the study's size, decoded once per process.

    Parameters
    ----------
    name : str
        ``fashion_mnist`` or ``digits``; the name or path of a prepared set; or a path to a ``.npz`` file or a folder
        with ``train/`` and ``test/``; each with classes behind it where only some are wanted, such as
        ``fashion_mnist[6-9]``.
    image_size : int
        Side of the images in pixels.
    channels : int
        1 for grey, 3 for RGB.
    data_dir : str or Path, optional
        Where a relative path starts; by default the working directory. Prepared sets are also found by name in
        ``$TIPPINGPOINT_DATA``.

    Returns
    -------
    ImageSet
        Images uint8 (n, image_size, image_size, channels); those of a prepared set are mapped from disk.

    Raises
    ------
    DataError
        No such set, or its files cannot be used; all faults are named.
    MissingExtraError
        Pillow or scikit-learn is needed and missing.
    """
    check_shape(image_size, channels)
    base, classes, path = _resolve(name, data_dir)
    with _readable(path):
        stamp = own.signature(path) if path is not None else ""
        return _load(name, base, classes, path, stamp, image_size, channels)


@lru_cache(maxsize=4)
def _load(
    name: str, base: str, classes: tuple[int, ...] | None, path: Path | None, _stamp: str, size: int, channels: int
) -> ImageSet:
    """Load a set; ``_stamp`` changes with the files, so that what is kept is never stale."""
    whole = BUILTIN[base].load() if path is None else own.load_own(path, size, channels, classes)
    raw = view_set(name, whole, classes)
    total, n_grey = len(raw.train_labels) + len(raw.test_labels), raw.n_grey
    if n_grey is None:  # an array has one kind of images; a prepared one the kind that was asked for
        n_grey = total if (*raw.train_images.shape, 1)[3] == 1 else 0
    return ImageSet(
        name=name,
        train_images=resize_images(raw.train_images, size, channels),
        train_labels=raw.train_labels,
        test_images=resize_images(raw.test_images, size, channels),
        test_labels=raw.test_labels,
        class_names=raw.class_names,
        fingerprint=raw.fingerprint,
        train_hashes=raw.train_hashes,
        test_hashes=raw.test_hashes,
        train_files=raw.train_files,
        test_files=raw.test_files,
        maker=base if path is None else own.maker(path),
        lost_colour=total - n_grey if channels == 1 else 0,
        notes=(*conversion_words(n_grey, total, channels), *passed_over_words(raw.passed_over)),
    )


def describe_image_set(name: str, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Return what a plan needs to know of a set, without decoding its images.

    Parameters
    ----------
    name : str
        As for `load_image_set`.
    data_dir : str or Path, optional
        As for `load_image_set`.

    Returns
    -------
    dict
        ``n_train``, ``n_test``, ``n_classes`` (int), ``class_names`` (list of str), ``train_counts``, ``test_counts``
        (lists of int, by class), ``fingerprint`` (the one that `load_image_set` gives) and ``prepared``: None, or of a
        prepared set its ``path``, ``name``, ``image_size`` and ``channels``.

    Raises
    ------
    DataError
        No such set, or its folders or arrays are not as they should be.
    """
    base, classes, path = _resolve(name, data_dir)
    with _readable(path):
        whole = BUILTIN[base].summarise() if path is None else _summarise(path, own.signature(path))
        kept = read_manifest(path) if path is not None and is_prepared(path) else None
    shape = None if kept is None else {key: getattr(kept, key) for key in ("name", "image_size", "channels")}
    return {**_told(view_summary(name, whole, classes)), "prepared": shape and {"path": str(path), **shape}}


@lru_cache(maxsize=16)
def _summarise(path: Path, _stamp: str) -> SetSummary:
    """Summarise a file or folder once, as long as it does not change: a plan asks for every cell."""
    return own.summarise_own(path)


def expect_image_set(name: str, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Return what `describe_image_set` does; of a public set that is not prepared, what is known of it beforehand.

    Parameters
    ----------
    name, data_dir
        As for `describe_image_set`.

    Returns
    -------
    dict
        What that gives, and ``absent``: None, or of a set that is not prepared the whole set's ``name``, the
        ``layout`` of its source, and what is ``assumed`` (a clause, or None). Then the ``fingerprint`` is no set's and
        the images are spread evenly over the classes.

    Raises
    ------
    DataError
        There is no such set, or it is damaged.
    """
    try:
        return {**describe_image_set(name, data_dir), "absent": None}
    except _NotPreparedError:
        base, classes = parse_name(name)
    n_classes = KNOWN[base].n_classes
    n_train, n_test, assumed = expected_counts(base)
    whole = SetSummary(
        even_counts(n_train, n_classes),
        even_counts(n_test, n_classes),
        tuple(map(str, range(n_classes))),
        f"not prepared: {base}",
    )
    absent = {"name": base, "layout": KNOWN[base].layout, "assumed": assumed}
    return {**_told(view_summary(name, whole, classes)), "prepared": None, "absent": absent}


def _told(summary: SetSummary) -> dict[str, Any]:
    """Return a summary as `describe_image_set` gives it."""
    return {
        "n_train": sum(summary.train_counts),
        "n_test": sum(summary.test_counts),
        "n_classes": len(summary.class_names),
        "class_names": list(summary.class_names),
        "train_counts": list(summary.train_counts),
        "test_counts": list(summary.test_counts),
        "fingerprint": summary.fingerprint,
    }


def stored_shape(name: str, data_dir: str | Path | None = None) -> tuple[int, int]:
    """Return the (side, channels) in which a set is stored; of a folder, whose images differ, (64, 3)."""
    base, _, path = _resolve(name, data_dir)
    with _readable(path):
        return BUILTIN[base].shape if path is None else own.stored_shape_own(path)


@contextmanager
def _readable(path: Path | None) -> Iterator[None]:
    """Turn what the file system refuses into a sentence that names the file."""
    try:
        yield
    except TippingPointError:
        raise
    except OSError as error:
        where = error.filename or path
        kind = EnvironmentFault if isinstance(error, PermissionError) else DataError
        raise kind(f"{where}: cannot be read ({error.strerror or error}); check the path and its rights.") from error


def _resolve(name: str, data_dir: str | Path | None) -> tuple[str, tuple[int, ...] | None, Path | None]:
    """Return the whole set's name, the classes asked for, and the path where it is the user's own."""
    start = Path(data_dir) if data_dir is not None else Path()
    if not name.strip() or "\0" in name:
        raise DataError(f"A set's name is empty or not a name: {name!r}. {_known()}.")
    with _readable(start):
        if "[" in name and (start / name).exists():  # a folder may well be called photos[old]
            return name, None, start / name
        base, classes = parse_name(name)
        if base in BUILTIN:
            return base, classes, None
        found = find_prepared(base, data_dir)
        path = start / Path(base).expanduser()
        own_images = path.exists() and (base not in KNOWN or (path / "train").is_dir())
        if found is not None or own_images:
            return base, classes, found or path
    if base in KNOWN:
        raise _NotPreparedError(
            f"'{base}' is not prepared on this machine (looked in {start} and {_shared()}): tippingpoint data prepare "
            f"{base} --from FOLDER, where {KNOWN[base].layout} lies."
        )
    if "/" in base or "\\" in base or base.endswith(".npz"):
        raise DataError(f"{path}: there is no such file or folder; give the path of a .npz file or an image folder.")
    where = f"a file or folder in {start}" if data_dir is not None else "a file or folder here"
    raise DataError(f"There is no set '{base}', nor {where}.{did_you_mean(base, [*BUILTIN, *KNOWN])} {_known()}.")


def _shared() -> str:
    return str(data_folder() or f"${DATA_VARIABLE}, which is not set")


def _known() -> str:
    return (
        f"The package has {' and '.join(BUILTIN)}, and a path to your own .npz file or image folder will do; "
        "'tippingpoint data list' names the public sets"
    )
