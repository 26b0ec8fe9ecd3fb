"""Laws of learning curves by name: ours, and those that other packages bring through an entry point.

A package adds its own with ``[project.entry-points."tippingpoint.curve_laws"]`` ``mine = "package.module:MyCurve"``, a
subclass of :class:`~tippingpoint.laws.curves.law.CurveLaw`; it proves itself by subclassing
:class:`~tippingpoint.laws.curves.conformance.CurveLawConformance` in its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from tippingpoint.errors import FitError, did_you_mean
from tippingpoint.laws.curves.broken import BrokenCurve
from tippingpoint.laws.curves.floored import FlooredCurve
from tippingpoint.laws.curves.law import CurveLaw
from tippingpoint.laws.curves.power import PowerCurve
from tippingpoint.laws.curves.saturating import SaturatingCurve
from tippingpoint.laws.curves.sigmoidal import SigmoidalCurve

__all__ = ["ENTRY_POINT", "curve_law", "curve_laws"]

ENTRY_POINT = "tippingpoint.curve_laws"

_OURS: dict[str, Callable[[], CurveLaw]] = {
    "power": PowerCurve,
    "floored": FlooredCurve,
    "saturating": SaturatingCurve,
    "sigmoidal": SigmoidalCurve,
    "broken": BrokenCurve,
    "broken2": lambda: BrokenCurve(2),
    "broken3": lambda: BrokenCurve(3),
}
_ALSO = {"m1": "power", "m2": "floored", "m3": "saturating", "m4": "sigmoidal", "bnsl": "broken"}


def curve_laws() -> tuple[str, ...]:
    """Return the names of all laws, ours first."""
    return (*_OURS, *sorted(point.name for point in entry_points(group=ENTRY_POINT) if point.name not in _OURS))


def curve_law(name: str) -> CurveLaw:
    """Return a law by its name, ``m1`` to ``m4`` and ``bnsl`` included.

    Raises
    ------
    FitError
        There is none of this name, or what an entry point brings is no law.
    """
    wanted = _ALSO.get(name.lower(), name)
    if wanted in _OURS:
        return _OURS[wanted]()
    for point in entry_points(group=ENTRY_POINT):
        if point.name == wanted:
            try:
                law = point.load()()
            except Exception as error:  # whatever another package does on import
                raise FitError(f"The law '{name}' ({point.value}) cannot be loaded: {error!r}.") from error
            if not isinstance(law, CurveLaw):
                raise FitError(f"The entry point '{name}' ({point.value}) is no CurveLaw; subclass it.")
            return law
    known = ("auto", *curve_laws(), *_ALSO)
    raise FitError(f"There is no law '{name}' for curves; there are {', '.join(known)}.{did_you_mean(name, known)}")
