"""Two recipes, and where the difference of their errors is zero: crossings, regimes, intervals."""

from tippingpoint.boundary.power_difference import PowerDifference

__all__ = ["PowerDifference"]
