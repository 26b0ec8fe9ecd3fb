"""A predicted number that carries its interval and how far outside the data it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Prediction"]


class Prediction(float):
    """What a law expects at some sizes: a float with more to say.

    Attributes
    ----------
    at : dict of str to float
        The sizes.
    interval : tuple of float or None
        Where the expected value lies, at the level that was asked for.
    level : float or None
        That level.
    outside : dict of str to float
        For each axis the factor by which the size lies beyond the data (1 inside).
    warnings : tuple of str
        What to bear in mind.
    law : str
        The law's name.

    Examples
    --------
    >>> guess = Prediction(0.1, at={"n_pretrain": 1e6}, interval=(0.08, 0.13), level=0.9, outside={"n_pretrain": 2.0})
    >>> guess.interval
    (0.08, 0.13)
    >>> 1 - guess
    0.9
    """

    at: dict[str, float]
    interval: tuple[float, float] | None
    level: float | None
    outside: dict[str, float]
    warnings: tuple[str, ...]
    law: str

    def __new__(
        cls,
        value: float,
        *,
        at: Mapping[str, float],
        interval: tuple[float, float] | None = None,
        level: float | None = None,
        outside: Mapping[str, float] | None = None,
        warnings: tuple[str, ...] = (),
        law: str = "additive",
    ) -> Prediction:
        """Make the float and hang the rest on it."""
        made = super().__new__(cls, value)
        made.at = dict(at)
        made.interval = interval
        made.level = level
        made.outside = dict(outside or {})
        made.warnings = warnings
        made.law = law
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        names = ("at", "interval", "level", "outside", "warnings", "law")
        return (float(self),), {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tippingpoint predict``."""
        return {
            "law": self.law,
            "at": self.at,
            "prediction": float(self),
            "interval": None if self.interval is None else list(self.interval),
            "level": self.level,
            "outside": self.outside,
            "warnings": list(self.warnings),
        }
