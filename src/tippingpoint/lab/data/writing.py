"""Writing the arrays of a prepared set.

Files are read, hashed and decoded by a few threads in bounded pieces and written one behind the other. The same images
give the same bytes: no date and no path of the machine is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tippingpoint.errors import DataError, EnvironmentFault
from tippingpoint.files import dump_json, write_atomic
from tippingpoint.lab.data.decoding import decode_bytes, strict_pillow
from tippingpoint.lab.data.folders import files_fingerprint, shorten
from tippingpoint.lab.data.images import Images, content_hashes
from tippingpoint.lab.data.prepared import MANIFEST, MANIFEST_VERSION, file_sha256
from tippingpoint.lab.data.resize import pillow_module, resize_images
from tippingpoint.lab.data.sources import Part, Source

__all__ = ["Report", "write_arrays"]

PIECE = 128  # images in memory at a time, for each thread
THREADS = 8
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
    with strict_pillow():
        contents = {called: writer.write(called, part) for called, part in parts.items()}
    writer.refuse()
    k = len(source.class_names)
    fingerprint = source.fingerprint or files_fingerprint(
        source.class_names, [_grouped(contents[called], part.labels, k) for called, part in parts.items()]
    )
    _write_manifest(folder, name, source, size, channels, fingerprint)
    files = writer.total if isinstance(source.train.images, list) else 0
    if channels == 3 and writer.grey:
        return [f"{writer.grey:,} of {files:,} files are grey and became RGB."]
    if channels == 1 and writer.grey < files:
        return [f"{files - writer.grey:,} of {files:,} files are in colour and became grey."]
    return []


def _grouped(contents: list[bytes], labels: Any, n_classes: int) -> list[list[bytes]]:
    """Return the files' hashes class by class."""
    groups: list[list[bytes]] = [[] for _ in range(n_classes)]
    for content, label in zip(contents, labels.tolist(), strict=True):
        groups[label].append(content)
    return groups


class _Fault(NamedTuple):
    """What is wrong with a file, and whether the machine refuses it (rather than the file being bad)."""

    sentence: str
    refused: bool


class _Image(NamedTuple):
    """One image on its way: pixels and their hash (None where there is a fault), the file's SHA-256, grey or not."""

    pixels: Images | None
    key: bytes
    content: bytes
    grey: bool
    fault: _Fault | None


def _stream(part: Part, size: int, channels: int) -> Iterator[list[_Image]]:
    """Yield the images of a part in order, in pieces that fit into little memory."""
    if not isinstance(part.images, list):
        for start in range(0, len(part.images), PIECE):
            pixels = resize_images(part.images[start : start + PIECE], size, channels)
            yield [
                _Image(image, key.tobytes(), b"", False, None)
                for image, key in zip(pixels, content_hashes(pixels), strict=True)
            ]
        return
    pillow_module("Image").init()  # once, before the threads
    threads = min(THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(part.images), PIECE * threads):
            files = part.images[start : start + PIECE * threads]
            yield list(pool.map(lambda file: _read_file(file, size, channels), files))


def _read_file(file: Path, size: int, channels: int) -> _Image:
    try:
        content = file.read_bytes()
    except OSError as error:
        sentence = f"{file}: cannot be read ({error.strerror or error}); check the file and its rights."
        return _Image(None, b"", b"", False, _Fault(sentence, isinstance(error, PermissionError)))
    decoded = decode_bytes(file, content, size, channels)
    if decoded.pixels is None:
        return _Image(None, b"", b"", False, _Fault(str(decoded.fault), False))
    key = hashlib.sha256(np.ascontiguousarray(decoded.pixels).data).digest()[:16]
    return _Image(decoded.pixels, key, hashlib.sha256(content).digest(), decoded.grey, None)


class _Writer:
    """Writes one part after the other; after a fault the other images are only looked at, so that all are told."""

    def __init__(self, folder: Path, size: int, channels: int, total: int, report: Report) -> None:
        self.folder, self.size, self.channels, self.total, self.report = folder, size, channels, total, report
        self.done = self.grey = 0
        self.faults: list[_Fault] = []

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

    def refuse(self) -> None:
        """Raise for the images that cannot be used, if there are any: which, and how many."""
        if not self.faults:
            return
        summary = f"{len(self.faults):,} of {self.total:,} images cannot be used, and nothing was prepared."
        kind = EnvironmentFault if all(fault.refused for fault in self.faults) else DataError
        raise kind([*shorten([fault.sentence for fault in self.faults]), summary])


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
