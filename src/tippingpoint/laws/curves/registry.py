"""Laws of learning curves by name: ours, and those that other packages bring through an entry point.

A package adds its own with ``[project.entry-points."tippingpoint.curve_laws"]`` ``mine = "package.module:MyCurve"``, a
subclass of :class:`~tippingpoint.laws.curves.law.CurveLaw`; it proves itself by subclassing
:class:`~tippingpoint.laws.curves.conformance.CurveLawConformance` in its tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points

from tippingpoint.errors import FitError, did_you_mean
from tippingpoint.laws.curves.broken import MOST_BREAKS, BrokenCurve
from tippingpoint.laws.curves.floored import FlooredCurve
from tippingpoint.laws.curves.law import CurveLaw
from tippingpoint.laws.curves.power import PowerCurve
from tippingpoint.laws.curves.saturating import SaturatingCurve
from tippingpoint.laws.curves.sigmoidal import SigmoidalCurve

__all__ = ["ENTRY_POINT", "curve_law", "curve_laws", "law_key"]

ENTRY_POINT = "tippingpoint.curve_laws"

_OURS: dict[str, Callable[[], CurveLaw]] = {
    "power": PowerCurve,
    "floored": FlooredCurve,
    "saturating": SaturatingCurve,
    "sigmoidal": SigmoidalCurve,
    "broken": BrokenCurve,
    **{f"broken{breaks}": partial(BrokenCurve, breaks) for breaks in range(2, MOST_BREAKS + 1)},
}
_ALSO = {
    "m1": "power",
    "m2": "floored",
    "m3": "saturating",
    "m4": "sigmoidal",
    **{name.replace("broken", "bnsl"): name for name in _OURS if name.startswith("broken")},
}
_TOLD = (
    *("auto", "power (m1)", "floored (m2)", "saturating (m3)", "sigmoidal (m4)"),
    f"broken (bnsl) and broken2 to broken{MOST_BREAKS} (bnsl2, ...: so many breaks)",
)


def curve_laws() -> tuple[str, ...]:
    """Return the names of all laws, ours first."""
    return (*_OURS, *sorted(point.name for point in entry_points(group=ENTRY_POINT) if point.name not in _OURS))


def law_key(name: str) -> str:
    """Return a law's full name: ``floored`` for ``m2``; a name that is not ours as it is."""
    return _ALSO.get(name.lower(), name)


def curve_law(name: str) -> CurveLaw:
    """Return a law by its name, ``m1`` to ``m4`` and ``bnsl``, ``bnsl2``, ... ``bnsl9`` included.

    Raises
    ------
    FitError
        There is none of this name, or what an entry point brings is no law.
    """
    wanted = law_key(name)
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
    brought = [one for one in curve_laws() if one not in _OURS]
    told = ", ".join((*_TOLD, *brought))
    hint = did_you_mean(name, ("auto", *curve_laws(), *_ALSO))
    raise FitError(f"There is no law '{name}' for curves; there are {told}.{hint}")
