"""From the bytes of one image file to pixels in the study's size, or to a sentence on what is wrong with it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tippingpoint.lab.data.images import Images
from tippingpoint.lab.data.resize import fit_image, pillow_module

__all__ = ["Decoded", "decode_bytes", "strict_pillow"]

# What Pillow's decoders raise on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class Decoded(NamedTuple):
    """Pixels uint8 (size, size, channels) or None, whether the file is grey, and what is wrong or None."""

    pixels: Images | None
    grey: bool
    fault: str | None


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Refuse images that are huge, and keep Pillow's remarks on metadata quiet; holds for all threads meanwhile."""
    pillow = pillow_module("Image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        yield


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
    if not content:
        return Decoded(None, False, f"{file}: is empty (0 bytes); replace or remove the file.")
    try:
        with pillow.open(io.BytesIO(content)) as image:
            if image.mode.startswith(("I", "F")):
                fault = f"{file}: holds more than 8 bits a channel (mode {image.mode}); save it with 8 bits."
                return Decoded(None, False, fault)
            grey = image.mode in ("1", "L", "LA", "La")
            return Decoded(fit_image(operations.exif_transpose(image), size, channels), grey, None)
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        return Decoded(None, False, f"{file}: is larger than {pillow.MAX_IMAGE_PIXELS:,} pixels; scale it down.")
    except pillow.UnidentifiedImageError:
        return Decoded(None, False, f"{file}: is not an image that Pillow knows; replace or remove the file.")
    except DAMAGE as error:
        fault = f"{file}: cannot be decoded ({type(error).__name__}: {error}); replace or remove the file."
        return Decoded(None, False, fault)
