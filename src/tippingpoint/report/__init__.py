"""The report: all that a study found, told in words, figures and tables, in one HTML file.

Figures are data first (``figures_data``), drawn second (``figures``). ``live`` serves the page that grows while a study
runs. Deliberately not built: a plotting library of our own.
"""

from tippingpoint.report.analysis import Analysis, Finding, analyse
from tippingpoint.report.html import page
from tippingpoint.report.plates import KINDS, Plate, plates_of, save_plates
from tippingpoint.report.summary import summary
from tippingpoint.report.text import answer
from tippingpoint.report.writing import write_report

__all__ = [
    "KINDS",
    "Analysis",
    "Finding",
    "Plate",
    "analyse",
    "answer",
    "page",
    "plates_of",
    "save_plates",
    "summary",
    "write_report",
]
