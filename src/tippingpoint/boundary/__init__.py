"""Two recipes, and where the difference of their errors is zero: crossings, regimes, intervals.

``PowerDifference`` is the mathematics alone; ``find_boundary`` fits, draws and answers; ``paired_differences`` is
the second opinion without a law. ``boundary_map`` asks at every size of a second axis, ``best_teacher`` for the best of
several teachers, ``check_conditions`` whether the paper's conditions hold, ``compare_smoothness`` whether curves are
smoother under guidance.
"""

from tippingpoint.boundary.conditions import check_conditions
from tippingpoint.boundary.conditions_result import Condition, PaperConditions
from tippingpoint.boundary.find import find_boundary
from tippingpoint.boundary.map_result import BoundaryMap, Slice
from tippingpoint.boundary.measured import MeasuredCrossing
from tippingpoint.boundary.paired import SignChange, paired_differences
from tippingpoint.boundary.power_difference import REGIMES, PowerDifference, Regime
from tippingpoint.boundary.result import Boundary, Crossing, Stationary
from tippingpoint.boundary.slices import boundary_map
from tippingpoint.boundary.smoothness import compare_smoothness
from tippingpoint.boundary.smoothness_result import Smoothness
from tippingpoint.boundary.teachers import best_teacher
from tippingpoint.boundary.teachers_result import BestTeacher, Candidate

__all__ = [
    "REGIMES",
    "BestTeacher",
    "Boundary",
    "BoundaryMap",
    "Candidate",
    "Condition",
    "Crossing",
    "MeasuredCrossing",
    "PaperConditions",
    "PowerDifference",
    "Regime",
    "SignChange",
    "Slice",
    "Smoothness",
    "Stationary",
    "best_teacher",
    "boundary_map",
    "check_conditions",
    "compare_smoothness",
    "find_boundary",
    "paired_differences",
]
