"""Advice from fitted laws: what to buy and what to train, for a budget or a target.

``advise`` answers, ``Advice`` and ``Option`` are what it returns.
"""

from tippingpoint.advice.advisor import advise
from tippingpoint.advice.cost import Bill, Prices
from tippingpoint.advice.result import Advice, Option

__all__ = ["Advice", "Bill", "Option", "Prices", "advise"]
