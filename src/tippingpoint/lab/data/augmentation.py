r"""Random changes of images, each a pure function of (seed, index of the image in its set, pass).

Notation
--------
B images of a batch, C channels, S x S pixels.

Randomness is counted, not drawn: number k of an image's stream is

.. math::  h_k = mix(key + (k + 1)\,\gamma), \quad key = mix(mix(seed + (index + 1)\,\gamma) + (pass + 1)\,\gamma)

with mix and gamma of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), in 64-bit integers on the
device. So an image looks the same whatever stands beside it in the batch, however large the batch is, whichever run
looks: students of a cell with and without a teacher see the same pixels, and so does a run that was killed.

Grey values stay whole numbers until colours change, so that no sum over pixels depends on its order. Deliberately not
built: rotations and policies (RandAugment), mixing of images (Mixup).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from tippingpoint.errors import ConfigError, did_you_mean

__all__ = ["Augmentation", "image_keys", "random_numbers"]

_GAMMA = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
# Streams of an image: one number, or a block of them, for each use.
_FLIP, _SHIFT, _CROP, _CONTRAST, _BRIGHTNESS, _SATURATION, _ERASE, _ERASED = 0, 1, 16, 3, 4, 5, 6, 64
_TRIES = 10  # rectangles tried until one fits, as in torchvision
_ERASED_AREA, _ERASED_RATIO = (0.02, 1 / 3), (0.3, 3.3)  # torchvision's
_LUMA = (299, 587, 114)  # thousandths of red, green and blue in grey (ITU-R BT.601)


@dataclass(frozen=True)
class Augmentation:
    """How the training images are changed each time they are seen.

    Parameters
    ----------
    flip : bool, default False
        Mirrors an image left to right half of the times.
    crop_padding : int, default 0
        Pixels by which an image is shifted at most, each way; what comes in is black.
    random_resized_crop : tuple of float, optional
        Lowest and highest share of the image's area that is cut out and stretched to the whole, in (0, 1].
    crop_ratio : tuple of float, default (3/4, 4/3)
        Lowest and highest width : height of what is cut out.
    contrast, brightness, saturation : float, default 0
        Each factor lies in [1 - x, 1 + x], x in [0, 1]; applied in this order. Saturation needs colour.
    erasing : float, default 0
        Probability that a rectangle (2 to 33% of the area) becomes mid-grey.

    Raises
    ------
    ConfigError
        Settings are out of range or exclude each other; all faults are named.
    """

    flip: bool = False
    crop_padding: int = 0
    random_resized_crop: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    contrast: float = 0.0
    brightness: float = 0.0
    saturation: float = 0.0
    erasing: float = 0.0

    def __post_init__(self) -> None:
        faults = _type_faults(self)
        if not faults:
            faults = _range_faults(self)
        if faults:
            raise ConfigError(faults)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Augmentation:
        """Read settings as a study's JSON holds them; ConfigError names all that are unknown or wrong."""
        names = [field.name for field in fields(cls)]
        faults = [
            f"augmentation: there is no setting '{name}'.{did_you_mean(str(name), names)} Known are {', '.join(names)}."
            for name in values
            if name not in names
        ]
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in names
        }
        try:
            found = cls(**known)
        except ConfigError as error:
            raise ConfigError([*faults, *error.faults]) from error
        if faults:
            raise ConfigError(faults)
        return found

    @property
    def is_plain(self) -> bool:
        """Whether images stay as they are."""
        crops = self.flip or self.crop_padding or self.random_resized_crop is not None
        return not (crops or self.contrast or self.brightness or self.saturation or self.erasing)

    def check(self, image_size: int, channels: int) -> None:
        """Raise ConfigError where images of this shape cannot be changed so."""
        faults = []
        if self.crop_padding >= image_size:
            faults.append(
                f"augmentation: crop_padding {self.crop_padding} shifts an image of {image_size} pixels out of sight; "
                "choose it smaller than the image."
            )
        if self.saturation and channels != 3:
            faults.append("augmentation: saturation needs colour images; leave it out for grey ones.")
        if faults:
            raise ConfigError(faults)

    def apply(self, pixels: torch.Tensor, seed: int, index: torch.Tensor, passes: torch.Tensor) -> torch.Tensor:
        """Return the changed images.

        Parameters
        ----------
        pixels : torch.Tensor
            uint8 (B, C, S, S).
        seed : int
            Of the training.
        index, passes : torch.Tensor
            int64 (B,), on the device of ``pixels``: place of each image in its whole set, and how often it was seen.

        Returns
        -------
        torch.Tensor
            Grey values 0..255, (B, C, S, S): uint8, or float32 where they need not be whole.
        """
        keys = image_keys(seed, index, passes)
        if self.random_resized_crop is not None:
            pixels = _resized_crop(pixels, keys, self.random_resized_crop, self.crop_ratio, self.flip)
        elif self.flip or self.crop_padding:
            pixels = _shift(pixels, keys, self.crop_padding, self.flip)
        if self.contrast or self.brightness or self.saturation:
            pixels = self._colour(pixels.float(), keys)
        return _erase(pixels, keys, self.erasing) if self.erasing else pixels

    def _colour(self, pixels: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Change contrast, brightness and saturation; the mean is taken while grey values are whole, so it is exact."""
        if self.contrast:
            grey = _thousandfold_grey(pixels.double()).mean(dim=(1, 2, 3), keepdim=True).float() / 1000
            pixels = ((pixels - grey) * _factor(keys, _CONTRAST, self.contrast) + grey).clamp(0, 255)
        if self.brightness:
            pixels = (pixels * _factor(keys, _BRIGHTNESS, self.brightness)).clamp(0, 255)
        if self.saturation:
            grey = _thousandfold_grey(pixels) / 1000
            pixels = ((pixels - grey) * _factor(keys, _SATURATION, self.saturation) + grey).clamp(0, 255)
        return pixels


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _type_faults(settings: Augmentation) -> list[str]:
    """Return what is not of the right kind."""
    faults = []
    if not isinstance(settings.flip, bool):
        faults.append(f"augmentation: flip is {settings.flip!r}; it must be true or false.")
    padding = settings.crop_padding
    if isinstance(padding, bool) or not isinstance(padding, int):
        faults.append(f"augmentation: crop_padding is {padding!r}; it must be a whole number of pixels.")
    for name in ("contrast", "brightness", "saturation", "erasing"):
        if not _is_number(getattr(settings, name)):
            faults.append(f"augmentation: {name} is {getattr(settings, name)!r}; it must be a number.")
    for name in ("random_resized_crop", "crop_ratio"):
        pair = getattr(settings, name)
        optional = name == "random_resized_crop" and pair is None
        if not (optional or (isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_number, pair)))):
            faults.append(f"augmentation: {name} is {pair!r}; it must be a pair of numbers, such as [0.5, 1].")
    return faults


def _range_faults(settings: Augmentation) -> list[str]:
    """Return what is out of its range, or excludes something else."""
    faults = []
    if settings.crop_padding < 0:
        faults.append(f"augmentation: crop_padding is {settings.crop_padding}; it must not be negative.")
    for name in ("contrast", "brightness", "saturation", "erasing"):
        if not 0 <= getattr(settings, name) <= 1:
            faults.append(f"augmentation: {name} is {getattr(settings, name)}; it must lie in [0, 1].")
    area, ratio = settings.random_resized_crop, settings.crop_ratio
    if area is not None and not 0 < area[0] <= area[1] <= 1:
        faults.append(f"augmentation: random_resized_crop is {list(area)}; it must be two rising shares in (0, 1].")
    if not 0 < ratio[0] <= ratio[1]:
        faults.append(f"augmentation: crop_ratio is {list(ratio)}; it must be two rising ratios above 0.")
    if area is None and ratio != Augmentation.crop_ratio:
        faults.append("augmentation: crop_ratio belongs to random_resized_crop; give that too, or leave it out.")
    if area is not None and settings.crop_padding:
        faults.append("augmentation: crop_padding and random_resized_crop exclude each other; give one of them.")
    return faults


def _signed(value: int) -> int:
    """Return 64 bits as the int64 that has them."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _right(bits: torch.Tensor, count: int) -> torch.Tensor:
    """Shift 64 bits to the right, zeros coming in."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: torch.Tensor) -> torch.Tensor:
    """Return SplitMix64's mixing of 64 bits; products wrap around."""
    bits = (bits ^ _right(bits, 30)) * _signed(_MIX[0])
    bits = (bits ^ _right(bits, 27)) * _signed(_MIX[1])
    return bits ^ _right(bits, 31)


def image_keys(seed: int, index: torch.Tensor, passes: torch.Tensor) -> torch.Tensor:
    """Return the key of each image's stream of random numbers, int64 (B,); see the module's text."""
    keys = _mix((index + 1) * _signed(_GAMMA) + _signed(seed))
    return _mix(keys + (passes + 1) * _signed(_GAMMA))


def random_numbers(keys: torch.Tensor, number: int, count: int = 1) -> torch.Tensor:
    """Return ``count`` numbers of each stream from ``number`` on: 32 random bits as int64, (B, count)."""
    steps = torch.arange(number + 1, number + 1 + count, device=keys.device) * _signed(_GAMMA)
    return _right(_mix(keys[:, None] + steps), 32)


def _below(keys: torch.Tensor, number: int, bound: torch.Tensor | int) -> torch.Tensor:
    """Return a whole number in [0, bound) for each image, (B,)."""
    return (random_numbers(keys, number)[:, 0] * bound) >> 32


def _unit(keys: torch.Tensor, number: int, count: int = 1) -> torch.Tensor:
    """Return numbers in [0, 1), float64 (B, count)."""
    return random_numbers(keys, number, count).double() * 2.0**-32


def _factor(keys: torch.Tensor, number: int, reach: float) -> torch.Tensor:
    """Return a factor in [1 - reach, 1 + reach) for each image, float32 (B, 1, 1, 1)."""
    return (_unit(keys, number) * (2 * reach) + (1 - reach)).float()[:, :, None, None]


def _columns(keys: torch.Tensor, size: int, flip: bool) -> torch.Tensor:
    """Return the columns of the new image as counted in the old one, (B, S): backwards where it is mirrored."""
    columns = torch.arange(size, device=keys.device).expand(len(keys), size)
    if not flip:
        return columns
    return torch.where(_below(keys, _FLIP, 2)[:, None] == 1, size - 1 - columns, columns)


def _take(pixels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return the pixels at these rows and columns of each image, (B, C, S, S)."""
    B, C, S, _ = pixels.shape
    places = (rows[:, :, None] * S + columns[:, None, :]).reshape(B, 1, -1).expand(B, C, -1)
    return pixels.reshape(B, C, -1).gather(2, places).reshape(B, C, S, S)


def _shift(pixels: torch.Tensor, keys: torch.Tensor, padding: int, flip: bool) -> torch.Tensor:
    """Mirror and shift; what lies outside the old image is black."""
    size = pixels.shape[-1]
    columns = _columns(keys, size, flip)
    rows = torch.arange(size, device=keys.device).expand_as(columns)
    if not padding:
        return _take(pixels, rows, columns)
    rows = rows + (_below(keys, _SHIFT, 2 * padding + 1) - padding)[:, None]
    columns = columns + (_below(keys, _SHIFT + 1, 2 * padding + 1) - padding)[:, None]
    inside = ((rows >= 0) & (rows < size))[:, None, :, None] & ((columns >= 0) & (columns < size))[:, None, None, :]
    return _take(pixels, rows.clamp(0, size - 1), columns.clamp(0, size - 1)) * inside


def _rectangles(
    keys: torch.Tensor, number: int, size: int, area: tuple[float, float], ratio: tuple[float, float], otherwise: int
) -> tuple[torch.Tensor, ...]:
    """Return top, left, height and width of a rectangle in each image, int64 (B,).

    The first of ten tries that fits; where none does, a square of ``otherwise``. Area is uniform and the logarithm of
    the ratio too, as in torchvision.
    """
    share = area[0] + (area[1] - area[0]) * _unit(keys, number + 2, _TRIES)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    width_to_height = (low + (high - low) * _unit(keys, number + 2 + _TRIES, _TRIES)).exp()
    widths = (size * (share * width_to_height).sqrt()).round().long()
    heights = (size * (share / width_to_height).sqrt()).round().long()
    fits = (widths > 0) & (heights > 0) & (widths <= size) & (heights <= size)
    first = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    height, width = (torch.where(found, sides.gather(1, first)[:, 0], otherwise) for sides in (heights, widths))
    return _below(keys, number, size - height + 1), _below(keys, number + 1, size - width + 1), height, width


def _between(
    places: torch.Tensor, start: torch.Tensor, length: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the two neighbours in the old image of each place in the new one, (B, S), and the second's weight."""
    source = ((places + 0.5).double() * length[:, None] / size - 0.5).clamp_min(0)
    lower = source.long()
    upper = torch.minimum(lower + 1, length[:, None] - 1)
    return start[:, None] + lower, start[:, None] + upper, (source - lower).float()


def _resized_crop(
    pixels: torch.Tensor, keys: torch.Tensor, area: tuple[float, float], ratio: tuple[float, float], flip: bool
) -> torch.Tensor:
    """Cut a rectangle out of each image and stretch it to the whole, bilinearly; mirror it. float32, whole numbers."""
    size = pixels.shape[-1]
    top, left, height, width = _rectangles(keys, _CROP, size, area, ratio, otherwise=size)
    columns = _columns(keys, size, flip)
    rows = torch.arange(size, device=keys.device).expand_as(columns)
    above, below, down = _between(rows, top, height, size)
    before, after, right = _between(columns, left, width, size)
    down, right = down[:, None, :, None], right[:, None, None, :]
    upper = _take(pixels, above, before) * (1 - right) + _take(pixels, above, after) * right
    lower = _take(pixels, below, before) * (1 - right) + _take(pixels, below, after) * right
    return (upper * (1 - down) + lower * down).round()


def _thousandfold_grey(pixels: torch.Tensor) -> torch.Tensor:
    """Return 1000 times the grey value of each pixel, (B, 1, S, S)."""
    if pixels.shape[1] == 1:
        return 1000 * pixels
    red, green, blue = (weight * pixels[:, place : place + 1] for place, weight in enumerate(_LUMA))
    return red + green + blue


def _erase(pixels: torch.Tensor, keys: torch.Tensor, probability: float) -> torch.Tensor:
    """Make a rectangle of some images mid-grey, which is 0 to the model; float32."""
    size = pixels.shape[-1]
    top, left, height, width = _rectangles(keys, _ERASED, size, _ERASED_AREA, _ERASED_RATIO, otherwise=0)
    places = torch.arange(size, device=keys.device)
    rows = (places >= top[:, None]) & (places < (top + height)[:, None])
    columns = (places >= left[:, None]) & (places < (left + width)[:, None])
    chosen = (_unit(keys, _ERASE) < probability)[:, :, None, None]
    return torch.where(chosen & rows[:, None, :, None] & columns[:, None, None, :], 127.5, pixels.float())
