"""One way to bring any image to the study's size: shorter side to it, centre cut out, grey or RGB, uint8.

Pillow resizes uint8 images in fixed-point arithmetic, so the result does not depend on the machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tippingpoint.errors import DataError, MissingExtraError
from tippingpoint.lab.data.images import Images

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["check_shape", "fit_image", "pillow_module", "resize_images"]

MAX_SIDE = 1024


def pillow_module(name: str) -> Any:
    """Return a module of Pillow, which only the extra ``lab`` installs."""
    try:
        return importlib.import_module(f"PIL.{name}")
    except ImportError as error:
        raise MissingExtraError("Resizing images needs Pillow: pip install 'tippingpoint[lab]'.") from error


def check_shape(image_size: int, channels: int) -> None:
    """Raise a `DataError` where images cannot be made so: the side must be 1 .. 1024, channels 1 or 3."""
    faults = []
    if not 1 <= image_size <= MAX_SIDE:
        faults.append(f"The image size {image_size} lies outside 1 to {MAX_SIDE}: give the side in pixels, such as 28.")
    if channels not in (1, 3):
        faults.append(f"Images have 1 channel (grey) or 3 (RGB), not {channels}: give one of these.")
    if faults:
        raise DataError(faults)


def fit_image(image: Image.Image, size: int, channels: int) -> Images:
    """Return one image as uint8 of shape (size, size, channels).

    Parameters
    ----------
    image : PIL.Image.Image
        Any 8-bit image; transparency is dropped.
    size : int
        Side of the result in pixels.
    channels : int
        1 (grey, ITU-R 601-2) or 3 (RGB).

    Returns
    -------
    ndarray of uint8, shape (size, size, channels)
        The shorter side is scaled to ``size`` (bilinear, antialiased), and the middle is cut out of the longer.
    """
    pillow = pillow_module("Image")
    image = image.convert("L" if channels == 1 else "RGB")
    width, height = image.size
    if (width, height) != (size, size):
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), pillow.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels)


def resize_images(images: Images, size: int, channels: int) -> Images:
    """Return images as uint8 of shape (n, size, size, channels); nothing is copied where they are so already.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w) or (n, h, w, c)
        c is 1 or 3.
    size, channels : int
        As for `fit_image`.

    Returns
    -------
    ndarray of uint8, shape (n, size, size, channels)
        Grey images become RGB by repeating, RGB becomes grey by ITU-R 601-2.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.shape[1:] == (size, size, channels):
        return images
    pillow = pillow_module("Image")
    grey = images.shape[3] == 1
    inner = 1 if grey else channels  # resize one channel where three would be alike
    out = np.empty((len(images), size, size, inner), np.uint8)
    for place, image in enumerate(images):
        out[place] = fit_image(pillow.fromarray(image[..., 0] if grey else image), size, inner)
    return np.repeat(out, channels, axis=3) if inner != channels else out
