"""The table of runs, one row per scored model: its columns, reading, checking, and choosing one group of it.

What is wrong with a table is said all at once, with file, row (the line of the file) and column; what is set aside is
counted in :attr:`Runs.notes`. Nothing disappears silently.
"""

from tippingpoint.runs.columns import AXES, GROUP, SIZES, TARGETS
from tippingpoint.runs.groups import default_axes, select_group
from tippingpoint.runs.layouts import save_runs
from tippingpoint.runs.reading import load_example, read_runs
from tippingpoint.runs.table import Runs

__all__ = [
    "AXES",
    "GROUP",
    "SIZES",
    "TARGETS",
    "Runs",
    "default_axes",
    "load_example",
    "read_runs",
    "save_runs",
    "select_group",
]
