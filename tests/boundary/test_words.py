"""Sizes in the sentences about a boundary."""

from __future__ import annotations

import math

import pytest

from tippingpoint.boundary.words import size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1834.0, "1,830"),
        (53.1, "53.1"),
        (38_412_000.0, "38,400,000"),  # as a table beside it writes it
        (3e9, "3,000,000,000"),
        (4.14e11, "4.14e+11"),
        (0.25, "0.25"),
        (0.0, "0"),
        (math.inf, "no end"),
    ],
)
def test_sizes_are_written_in_digits_as_far_as_anyone_reads_them(value: float, text: str) -> None:
    assert size(value) == text
