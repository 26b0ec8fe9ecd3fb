"""Numbers in words: units, signs, rounding."""

from __future__ import annotations

import math

import pytest

from tippingpoint.report.words import (
    amount,
    better,
    counted,
    duration,
    exact_size,
    favour,
    flops,
    interval,
    joined,
    meant,
    number,
    p_value,
    percent,
    size,
)

PAIR = ("scratch", "distilled")


def test_the_sign_is_said_by_name() -> None:
    assert better(0.131, PAIR, "cross_entropy") == "distilled is better by 0.13 nats"
    assert better(-0.0131, PAIR, "error") == "scratch is better by 1.3 percentage points"
    assert better(0.0, PAIR, "error") == "scratch and distilled are equal"
    assert better(math.nan, PAIR, "error") == "no difference can be given"


def test_a_small_difference_is_not_called_zero() -> None:
    assert better(2.41e-5, PAIR, "cross_entropy") == "distilled is better by 2.4e-5 nats"
    assert amount(3e-8, "error") == "3.0e-6 percentage points"
    assert favour(1e-6, 3e-5, PAIR, "cross_entropy") == "90% interval 1.0e-6 to 3.0e-5 nats"


def test_an_interval_over_zero_names_both_sides() -> None:
    told = favour(-0.02, 0.03, PAIR, "cross_entropy")
    assert told == "90% interval from 0.020 nats in favour of scratch to 0.030 nats in favour of distilled"
    assert favour(-0.03, -0.02, PAIR, "cross_entropy") == "90% interval 0.020 to 0.030 nats"


def test_open_ends_are_said() -> None:
    assert interval(100, 2345) == "90% interval 100 to 2,300"
    assert interval(None, 2345) == "90% interval 2,300 or less, open below"
    assert interval(120, math.inf) == "90% interval 120 or more, open above"
    assert interval(None, None) == "90% interval open at both ends"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1786.4, "1,800"),
        (99.6, "100"),
        (2.14e6, "2.1 million"),
        (5.13e11, "510 billion"),
        (9.96e5, "1,000,000"),
        (0.5, "0.5"),
        (None, "–"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert size(value) == text


def test_other_numbers() -> None:
    assert exact_size(51_000.0) == "51,000"
    assert number(0.52345) == "0.523"
    assert number(1.25e-9) == "1.25e-9"
    assert number(-3.0) == "−3.00"
    assert amount(0.5, "loss") == "0.50"
    assert percent(0.9999) == "more than 99%"
    assert percent(1.0) == "100%"
    assert percent(0.001) == "less than 1%"
    assert p_value(0.0002) == "< 0.001"
    assert duration(3725) == "1 h 2 min"
    assert duration(59.7) == "1 min 0 s"
    assert flops(1.236e15) == "1.24e15"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "run") == "1 run"


def test_a_recipe_says_what_it_is() -> None:
    assert meant("grown") == "grown (started from the small model's weights)"
    assert meant("my <own>") == "my <own>"
