"""Studies: a YAML file becomes cells, cells become runs. The only hall between the laboratory and the statistics.

``config`` and ``source`` read the file, ``grid`` makes the cells, ``store`` keeps what is done, ``runners`` place the
work, ``publish`` writes what the other rooms read. The names below are the public face, loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tippingpoint.study.config import StudyConfig
    from tippingpoint.study.execute import Outcome, run_study
    from tippingpoint.study.grid import Grid, build_grid
    from tippingpoint.study.load import Study, load_study
    from tippingpoint.study.plan import Plan, plan_study
    from tippingpoint.study.status import study_status

__all__ = [
    "Grid",
    "Outcome",
    "Plan",
    "Study",
    "StudyConfig",
    "build_grid",
    "load_study",
    "plan_study",
    "run_study",
    "study_status",
]

_ROOMS = {
    "Grid": "grid",
    "Outcome": "execute",
    "Plan": "plan",
    "Study": "load",
    "StudyConfig": "config",
    "build_grid": "grid",
    "load_study": "load",
    "plan_study": "plan",
    "run_study": "execute",
    "study_status": "status",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'tippingpoint.study' has no attribute '{name}'")
    return getattr(importlib.import_module(f"tippingpoint.study.{_ROOMS[name]}"), name)
