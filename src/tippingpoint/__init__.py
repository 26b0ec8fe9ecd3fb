"""Scaling laws for visual transfer learning with limited data, and the tipping point of distillation.

The names below are the public face; each is loaded when it is first used, so that ``import tippingpoint`` costs
nothing and a person with a table of runs never needs torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tippingpoint._version import __version__

if TYPE_CHECKING:
    from tippingpoint.advice import Advice, Next, advise, next_cells
    from tippingpoint.boundary import (
        BestTeacher,
        Boundary,
        BoundaryMap,
        Crossing,
        PaperConditions,
        PowerDifference,
        Smoothness,
        best_teacher,
        boundary_map,
        check_conditions,
        compare_smoothness,
        find_boundary,
    )
    from tippingpoint.errors import InputError, TippingPointError
    from tippingpoint.fitting.comparison import compare_laws
    from tippingpoint.fitting.curve_table import Extrapolation, extrapolate
    from tippingpoint.fitting.extrapolation import CurveExtrapolator
    from tippingpoint.laws import AdditivePowerLaw
    from tippingpoint.report import write_report
    from tippingpoint.runs import Runs, load_example, read_runs

__all__ = [
    "AdditivePowerLaw",
    "Advice",
    "BestTeacher",
    "Boundary",
    "BoundaryMap",
    "Crossing",
    "CurveExtrapolator",
    "Extrapolation",
    "InputError",
    "Next",
    "PaperConditions",
    "PowerDifference",
    "Runs",
    "Smoothness",
    "TippingPointError",
    "__version__",
    "advise",
    "best_teacher",
    "boundary_map",
    "check_conditions",
    "compare_laws",
    "compare_smoothness",
    "extrapolate",
    "find_boundary",
    "load_example",
    "next_cells",
    "read_runs",
    "write_report",
]

_ROOMS = {
    "AdditivePowerLaw": "laws",
    "Advice": "advice",
    "BestTeacher": "boundary",
    "Boundary": "boundary",
    "BoundaryMap": "boundary",
    "Crossing": "boundary",
    "CurveExtrapolator": "fitting.extrapolation",
    "Extrapolation": "fitting.curve_table",
    "InputError": "errors",
    "Next": "advice",
    "PaperConditions": "boundary",
    "PowerDifference": "boundary",
    "Runs": "runs",
    "Smoothness": "boundary",
    "TippingPointError": "errors",
    "advise": "advice",
    "best_teacher": "boundary",
    "boundary_map": "boundary",
    "check_conditions": "boundary",
    "extrapolate": "fitting.curve_table",
    "compare_laws": "fitting.comparison",
    "compare_smoothness": "boundary",
    "find_boundary": "boundary",
    "load_example": "runs",
    "next_cells": "advice",
    "read_runs": "runs",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'tippingpoint' has no attribute '{name}'")
    return getattr(importlib.import_module(f"tippingpoint.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
