"""Advice from fitted laws: what to buy and what to train, for a budget or a target.

``advise`` answers, ``Advice`` and ``Option`` are what it returns. ``next_cells`` says what to run next, ``Next`` and
``Candidate`` are what it returns.
"""

from tippingpoint.advice.advisor import advise
from tippingpoint.advice.cost import Bill, Prices
from tippingpoint.advice.next_choice import next_cells
from tippingpoint.advice.next_result import Candidate, Next
from tippingpoint.advice.result import Advice, Option

__all__ = ["Advice", "Bill", "Candidate", "Next", "Option", "Prices", "advise", "next_cells"]
