"""Laws over several axes by name: ours, and those that other packages bring through an entry point.

A package adds its own with ``[project.entry-points."tippingpoint.laws"]`` ``mine = "package.module:MyLaw"``, a subclass
of :class:`~tippingpoint.laws.surface.SurfaceLaw`; it proves itself by subclassing
:class:`~tippingpoint.laws.conformance.SurfaceLawConformance` in its tests. (Learning curves have a group of their own,
see :mod:`tippingpoint.laws.curves.registry`.)
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from tippingpoint.errors import FitError, did_you_mean
from tippingpoint.laws.additive import AdditivePowerLaw
from tippingpoint.laws.auto import AutoLaw
from tippingpoint.laws.base import Law
from tippingpoint.laws.interaction import InteractionLaw
from tippingpoint.laws.multiplicative import FlooredMultiplicativeLaw, MultiplicativeLaw
from tippingpoint.laws.surface import SurfaceLaw
from tippingpoint.laws.transfer import TransferLaw

__all__ = ["ENTRY_POINT", "law_named", "law_names"]

ENTRY_POINT = "tippingpoint.laws"

_OURS: dict[str, type[Law]] = {
    law.name: law
    for law in (AdditivePowerLaw, MultiplicativeLaw, FlooredMultiplicativeLaw, TransferLaw, InteractionLaw)
}


def law_names() -> tuple[str, ...]:
    """Return the names of all laws over several axes, ours first."""
    return (*_OURS, *sorted(point.name for point in entry_points(group=ENTRY_POINT) if point.name not in _OURS))


def law_named(name: str) -> Any:
    """Return the class of a law by its name; ``auto`` is the average of :class:`~tippingpoint.laws.auto.AutoLaw`.

    Raises
    ------
    FitError
        There is none of this name, or what an entry point brings cannot be loaded or is no law.
    """
    if name == AutoLaw.name:
        return AutoLaw
    if name in _OURS:
        return _OURS[name]
    for point in entry_points(group=ENTRY_POINT):
        if point.name != name:
            continue
        try:
            law = point.load()
        except Exception as error:  # whatever another package does on import
            raise FitError(f"The law '{name}' ({point.value}) cannot be loaded: {error!r}.") from error
        if not (isinstance(law, type) and issubclass(law, SurfaceLaw)):
            raise FitError(f"The entry point '{name}' ({point.value}) is no SurfaceLaw; subclass it.")
        return law
    known = ("auto", *law_names())
    raise FitError(f"There is no law '{name}'; there are {', '.join(known)}.{did_you_mean(name, known)}")
