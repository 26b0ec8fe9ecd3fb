"""Writing the arrays of a prepared set.

Images come in bounded pieces (`decoding.read_files`) and are written one behind the other. The same images give the
same bytes: no date and no path of the machine is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tippingpoint.files import dump_json, write_atomic
from tippingpoint.lab.data.decoding import PIECE, Fault, FileImage, read_files, refuse
from tippingpoint.lab.data.folders import files_fingerprint
from tippingpoint.lab.data.images import content_hashes, conversion_words
from tippingpoint.lab.data.prepared import MANIFEST, MANIFEST_VERSION, file_sha256
from tippingpoint.lab.data.resize import resize_images
from tippingpoint.lab.data.sources import Part, Source

__all__ = ["Report", "write_arrays"]

Report = Callable[[int, int], None]


def write_arrays(folder: Path, name: str, source: Source, size: int, channels: int, report: Report) -> list[str]:
    """Write all arrays and the manifest.

    Parameters
    ----------
    folder : Path
        An empty folder.
    name : str
        What the set is called.
    source : Source
        Its images.
    size, channels : int
        Shape they are brought to.
    report : callable
        Called with the images done and their number.

    Returns
    -------
    list of str
        What should be said of the images.

    Raises
    ------
    DataError
        Images cannot be used; they are counted and named.
    EnvironmentFault
        The machine refuses to read them.
    """
    parts = {"train": source.train, "test": source.test}
    writer = _Writer(folder, size, channels, sum(len(part.labels) for part in parts.values()), report)
    contents = {called: writer.write(called, part) for called, part in parts.items()}
    n_bad = len(writer.faults)
    refuse(writer.faults, f"{n_bad:,} of {writer.total:,} images cannot be used, and nothing was prepared.")
    k = len(source.class_names)
    fingerprint = source.fingerprint or files_fingerprint(
        source.class_names, [_grouped(contents[called], part.labels, k) for called, part in parts.items()]
    )
    _write_manifest(folder, name, source, size, channels, fingerprint)
    return conversion_words(writer.grey, writer.total, channels)


def _grouped(contents: list[bytes], labels: Any, n_classes: int) -> list[list[bytes]]:
    """Return the files' hashes class by class."""
    groups: list[list[bytes]] = [[] for _ in range(n_classes)]
    for content, label in zip(contents, labels.tolist(), strict=True):
        groups[label].append(content)
    return groups


def _stream(part: Part, size: int, channels: int) -> Iterator[list[FileImage]]:
    """Yield the images of a part in order, in pieces that fit into little memory."""
    if isinstance(part.images, list):
        yield from read_files(part.images, size, channels)
        return
    grey = part.images.ndim == 3 or part.images.shape[3] == 1
    for start in range(0, len(part.images), PIECE):
        pixels = resize_images(part.images[start : start + PIECE], size, channels)
        yield [
            FileImage(image, key.tobytes(), b"", grey, None)
            for image, key in zip(pixels, content_hashes(pixels), strict=True)
        ]


class _Writer:
    """Writes one part after the other; after a fault the other images are only looked at, so that all are told."""

    def __init__(self, folder: Path, size: int, channels: int, total: int, report: Report) -> None:
        self.folder, self.size, self.channels, self.total, self.report = folder, size, channels, total, report
        self.done = self.grey = 0
        self.faults: list[Fault] = []

    def write(self, called: str, part: Part) -> list[bytes]:
        """Write images, labels and hashes of a part; return the SHA-256 of every file."""
        contents: list[bytes] = []
        hashes = bytearray()
        n = len(part.labels)
        with (self.folder / f"{called}_images.npy").open("wb") as out:
            shape = (n, self.size, self.size, self.channels)
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for piece in _stream(part, self.size, self.channels):
                self.faults += [image.fault for image in piece if image.fault is not None]
                if not self.faults:
                    for image in piece:
                        out.write(np.ascontiguousarray(image.pixels).data)
                    hashes += b"".join(image.key for image in piece)
                    contents += [image.content for image in piece]
                    self.grey += sum(image.grey for image in piece)
                self.done += len(piece)
                self.report(self.done, self.total)
            _flush(out)
        if not self.faults:
            keys = np.frombuffer(bytes(hashes), np.uint8).reshape(n, 16)
            for what, array in (("labels", part.labels.astype("<i8")), ("hashes", keys)):
                with (self.folder / f"{called}_{what}.npy").open("wb") as out:
                    np.save(out, array, allow_pickle=False)
                    _flush(out)
        return contents


def _flush(out: Any) -> None:
    out.flush()
    os.fsync(out.fileno())


def _write_manifest(folder: Path, name: str, source: Source, size: int, channels: int, fingerprint: str) -> None:
    """Write the manifest: nothing in it depends on when or where it was made."""
    k = len(source.class_names)
    listed = source.class_list
    manifest = {
        "schema_version": MANIFEST_VERSION,
        "name": name,
        "image_size": size,
        "channels": channels,
        "class_names": source.class_names,
        **{
            f"{called}_counts": np.bincount(part.labels, minlength=k)
            for called, part in (("train", source.train), ("test", source.test))
        },
        "fingerprint": fingerprint,
        "source": {
            "provider": source.provider,
            "train": source.parts[0],
            "test": source.parts[1],
            "class_list": None if listed is None else {"name": listed.name, "sha256": listed.sha256},
        },
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
            for file in sorted(folder.glob("*.npy"))
        },
    }
    write_atomic(folder / MANIFEST, dump_json(manifest, indent=1) + "\n")
