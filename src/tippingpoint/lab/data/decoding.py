"""From image files to pixels in the study's size, or to sentences on what is wrong with them.

A few threads read, hash and decode in bounded pieces. Only the formats of `SUFFIXES` are opened, whatever a file is
called: others of Pillow's readers start programs (EPS) or know an image by its first bytes alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tippingpoint.errors import DataError, EnvironmentFault
from tippingpoint.lab.data.images import Images
from tippingpoint.lab.data.resize import fit_image, pillow_module

__all__ = [
    "PIECE",
    "SUFFIXES",
    "Decoded",
    "Fault",
    "FileImage",
    "decode_bytes",
    "read_files",
    "read_plain",
    "refuse",
    "shorten",
    "strict_pillow",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")  # Pillow's names of what SUFFIXES promise
PNG = b"\x89PNG\r\n\x1a\n"
PIECE = 128  # images in memory at a time, for each thread
THREADS = 8
MOST_FAULTS = 50  # a folder may hold a million damaged files; nobody reads a million sentences
# What Pillow's decoders raise on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class Decoded(NamedTuple):
    """Pixels uint8 (size, size, channels) or None, whether the file is grey, and what is wrong or None."""

    pixels: Images | None
    grey: bool
    fault: str | None


class Fault(NamedTuple):
    """What is wrong with a file, and whether the machine refuses it (rather than the file being bad)."""

    sentence: str
    refused: bool


class FileImage(NamedTuple):
    """One file: pixels and their content hash (None and empty at a fault), the file's SHA-256, grey or not."""

    pixels: Images | None
    key: bytes
    content: bytes
    grey: bool
    fault: Fault | None


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Refuse images that are huge, and keep Pillow's remarks on metadata quiet; holds for all threads meanwhile."""
    pillow = pillow_module("Image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        yield


def read_files(files: Sequence[Path], size: int, channels: int) -> Iterator[list[FileImage]]:
    """Yield the images of files in order, in pieces that fit into little memory.

    Parameters
    ----------
    files : sequence of Path
        Image files.
    size, channels : int
        Shape that they are brought to.
    """
    pillow_module("Image").init()  # once, before the threads
    threads = min(THREADS, os.cpu_count() or 1)
    with strict_pillow(), ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), PIECE * threads):
            yield list(pool.map(lambda file: _read_file(file, size, channels), files[start : start + PIECE * threads]))


def _read_file(file: Path, size: int, channels: int) -> FileImage:
    content = read_plain(file)
    if isinstance(content, Fault):
        return FileImage(None, b"", b"", False, content)
    decoded = decode_bytes(file, content, size, channels)
    if decoded.pixels is None:
        return FileImage(None, b"", b"", False, Fault(str(decoded.fault), False))
    key = hashlib.sha256(np.ascontiguousarray(decoded.pixels).data).digest()[:16]
    return FileImage(decoded.pixels, key, hashlib.sha256(content).digest(), decoded.grey, None)


def read_plain(file: Path) -> bytes | Fault:
    """Return what a file holds, or why it cannot be read; a pipe or a device, which may never end, is not opened."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return Fault(f"{file}: is no plain file; replace or remove it.", False)
        return file.read_bytes()
    except OSError as error:
        sentence = f"{file}: cannot be read ({error.strerror or error}); check the file and its rights."
        return Fault(sentence, isinstance(error, PermissionError))


def refuse(faults: Sequence[Fault], *summary: str) -> None:
    """Raise for files that cannot be used, if there are any: the first of them by name, and what sums them up.

    Raises
    ------
    EnvironmentFault
        The machine refuses all of them.
    DataError
        Otherwise.
    """
    if faults:
        kind = EnvironmentFault if all(fault.refused for fault in faults) else DataError
        raise kind([*shorten([fault.sentence for fault in faults]), *summary])


def shorten(faults: list[str]) -> list[str]:
    """Return the first faults, and how many more there are."""
    beyond = len(faults) - MOST_FAULTS
    return [*faults[:MOST_FAULTS], f"There are {beyond:,} more faults like these."] if beyond > 0 else faults


def decode_bytes(file: Path, content: bytes, size: int, channels: int) -> Decoded:
    """Decode one image, turned upright by its EXIF mark; call it inside `strict_pillow`.

    Parameters
    ----------
    file : Path
        Where it is from, for the sentence.
    content : bytes
        What the file holds.
    size, channels : int
        As for `fit_image`.

    Returns
    -------
    Decoded
        Of a file with several frames the first; transparency is dropped.
    """
    pillow, operations = pillow_module("Image"), pillow_module("ImageOps")
    fault = "is empty (0 bytes)" if not content else _png_fault(content) if content.startswith(PNG) else None
    if fault is not None:
        return Decoded(None, False, f"{file}: {fault}; replace or remove the file.")
    try:
        with pillow.open(io.BytesIO(content), formats=FORMATS) as image:
            if _is_deep(image):
                return Decoded(None, False, f"{file}: holds more than 8 bits a channel; save it with 8 bits.")
            grey = image.mode in ("1", "L", "LA", "La")
            return Decoded(fit_image(operations.exif_transpose(image), size, channels), grey, None)
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        return Decoded(None, False, f"{file}: is larger than {pillow.MAX_IMAGE_PIXELS:,} pixels; scale it down.")
    except pillow.UnidentifiedImageError:
        known = ", ".join(sorted({*FORMATS} - {"DIB"}))
        return Decoded(None, False, f"{file}: is not an image ({known}); replace or remove the file.")
    except DAMAGE as error:
        fault = f"{file}: cannot be decoded ({type(error).__name__}: {error}); replace or remove the file."
        return Decoded(None, False, fault)


def _is_deep(image: Any) -> bool:
    """Tell whether a file holds more than 8 bits a channel, which Pillow cuts off in silence where it is in RGB."""
    told = [tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in image.tile]
    raw = [word for args in told for word in args]
    return (
        image.mode.startswith(("I", "F"))
        or (image.format in ("PNG", "TIFF") and any(isinstance(word, str) and ";16" in word for word in raw))
        or (image.format == "PPM" and any(isinstance(word, int) and word > 255 for word in raw))
    )


def _png_fault(content: bytes) -> str | None:
    """Hold the chunks that make up a PNG's pixels against their checksums, which Pillow passes over."""
    view, place = memoryview(content), len(PNG)
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(view[place : place + 4], "big")
        if end + 4 > len(content):
            break
        kind = bytes(view[place + 4 : place + 8])
        if kind[:1].isupper() and zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return f"is damaged (the checksum of its chunk {kind!a} is wrong)"
        if kind == b"IEND":
            return None
        place = end + 4
    return "is truncated (it ends before its last chunk)"
