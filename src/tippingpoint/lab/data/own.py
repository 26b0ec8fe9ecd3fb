"""Images by path: a ``.npz`` file, a folder with ``train/`` and ``test/``, or a prepared set."""

from __future__ import annotations

from pathlib import Path

from tippingpoint.errors import DataError
from tippingpoint.lab.data import arrays, folders, prepared
from tippingpoint.lab.data.builtin import BUILTIN, PACKAGE, RawSet, SetSummary, summarise
from tippingpoint.lab.data.known import KNOWN

__all__ = ["load_own", "maker", "signature", "stored_shape_own", "summarise_own"]


def signature(path: Path) -> str:
    """Return a text that changes when the files change (their names, sizes and times)."""
    kept = prepared.is_prepared(path)
    if path.is_dir() and not kept:
        return folders.folder_signature(path)
    state = (path / prepared.MANIFEST if kept else path).stat()
    return f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}"


def load_own(path: Path, image_size: int, channels: int, classes: tuple[int, ...] | None = None) -> RawSet:
    """Return the images of a file or folder; those of a folder are resized while they are decoded.

    A prepared set is mapped from disk, at the size that it was prepared at.

    Parameters
    ----------
    path : Path
        An existing ``.npz`` file or folder.
    image_size, channels : int
        Size of the images of a folder, which may each be of another size.
    classes : tuple of int, optional
        Classes of a folder that need decoding; by default all.

    Returns
    -------
    RawSet
        Images, labels, class names and fingerprint.

    Raises
    ------
    DataError
        Something in there cannot be used; all faults are named.
    """
    if prepared.is_prepared(path):
        return prepared.load_prepared(path, image_size, channels)
    if path.is_dir():
        return folders.load_folder(path, image_size, channels, classes)
    return arrays.load_npz(_npz(path))


def summarise_own(path: Path) -> SetSummary:
    """Return what is known of a file or folder without decoding its images, see `load_own`."""
    if prepared.is_prepared(path):
        return prepared.summarise_prepared(path)
    if path.is_dir():
        return folders.summarise_folder(path)
    return summarise(arrays.load_npz(_npz(path)))


def maker(path: Path) -> str | None:
    """Return who divided a prepared public set into training and test images, as one word; None of your own images."""
    if not prepared.is_prepared(path):
        return None
    kept = prepared.read_manifest(path)
    if kept.name in BUILTIN:
        return kept.name if kept.source.get("provider") == PACKAGE else None
    return KNOWN[kept.name].provider if kept.name in KNOWN else None


def stored_shape_own(path: Path) -> tuple[int, int]:
    """Return the (shorter side, channels) of a file's images; of a folder, whose images differ, (64, 3)."""
    if prepared.is_prepared(path):
        known = prepared.read_manifest(path)
        return known.image_size, known.channels
    if path.is_dir():
        return 64, 3
    shape = arrays.load_npz(_npz(path)).train_images.shape
    return min(shape[1:3]), shape[3] if len(shape) == 4 else 1


def _npz(path: Path) -> Path:
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: a set of images is a .npz file or a folder with train/ and test/, not this file.")
    return path
