"""Two recipes, and where the difference of their errors is zero: crossings, regimes, intervals.

``PowerDifference`` is the mathematics alone; ``find_boundary`` fits, draws and answers; ``paired_differences`` is
the second opinion without a law.
"""

from tippingpoint.boundary.find import find_boundary
from tippingpoint.boundary.measured import MeasuredCrossing
from tippingpoint.boundary.paired import SignChange, paired_differences
from tippingpoint.boundary.power_difference import REGIMES, PowerDifference, Regime
from tippingpoint.boundary.result import Boundary, Crossing, Stationary

__all__ = [
    "REGIMES",
    "Boundary",
    "Crossing",
    "MeasuredCrossing",
    "PowerDifference",
    "Regime",
    "SignChange",
    "Stationary",
    "find_boundary",
    "paired_differences",
]
