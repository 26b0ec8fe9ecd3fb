"""Expressions compute what they say and refuse everything else."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tippingpoint.errors import ExpressionError
from tippingpoint.expressions import Expression

COLUMNS = {
    "N": np.array([1.0, 2.0, 4.0]),
    "C": np.array([12.0, np.nan, 48.0]),
    "Model Size": np.array([3.0, 5.0, 7.0]),
    "recipe": np.array(["scratch", None, "distilled"], dtype=object),
    "good": np.array([True, False, True]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C / (6 * N)", [2.0, np.nan, 2.0]),
        ("`Model Size` ** 2 - 1", [8.0, 24.0, 48.0]),
        ("-N + +1", [0.0, -1.0, -3.0]),
        ("N // 2 + N % 2", [1.0, 1.0, 2.0]),
        ("log(exp(N)) + log10(100) + sqrt(4) + abs(-1)", [6.0, 7.0, 9.0]),
        ("min(N, 2, `Model Size`)", [1.0, 2.0, 2.0]),
        ("max(N, 2)", [2.0, 2.0, 4.0]),
        ("1e3", [1000.0] * 3),
        ("1 < N <= 4", [False, True, True]),
        ("recipe == 'scratch'", [True, False, False]),
        ("recipe != 'scratch'", [False, True, True]),
        ("recipe in ('scratch', 'distilled')", [True, False, True]),
        ("recipe not in ['scratch']", [False, True, True]),
        ("N in (1, 4)", [True, False, True]),
        ("not good or N > 3", [False, True, True]),
        ("good and C > 0", [True, False, True]),
        ("recipe == 'a`b'", [False, False, False]),
        ("10 ** 10 ** 10", [np.inf] * 3),
    ],
)
def test_values(text: str, expected: list[float]) -> None:
    found = Expression(text).evaluate(COLUMNS, 3)
    np.testing.assert_allclose(found.astype(float), np.asarray(expected, float), rtol=1e-14, atol=0)
    assert (found.dtype == bool) == isinstance(expected[0], bool)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "not allowed"),
        ("open('x')", "no function 'open'"),
        ("lgo(N)", "no function"),
        ("sqr(N)", "Did you mean 'sqrt'?"),
        ("N.real", "Attribute"),
        ("N[0]", "Subscript"),
        ("lambda: 1", "Lambda"),
        ("[n for n in N]", "ListComp"),
        ("f'{N}'", "JoinedStr"),
        ("1 if N > 2 else 3", "IfExp"),
        ("(x := 3)", "NamedExpr"),
        ("N is 3", "not allowed"),
        ("N @ N", "not allowed"),
        ("~N", "not allowed"),
        ("b'a' == recipe", "not allowed"),
        ("1j * N", "not allowed"),
        ("log(N, 2)", "takes one argument"),
        ("min(N)", "2 or more"),
        ("recipe in 'scratch'", "needs a list"),
        ("recipe < 'z'", "text"),
        ("recipe + 1", "arithmetic needs numbers"),
        ("N and good", "join conditions"),
        ("not N", "join conditions"),
        ("Modl", "no column 'Modl'"),
        ("`Model Siz`", "Did you mean 'Model Size'?"),
        ("`N", "backtick"),
        ("``", "backtick"),
        ("", "invalid syntax"),
        ("N +", "invalid syntax"),
        ("(" * 300 + "N" + ")" * 300, "many nested"),
        ("-" * 1500 + "1", "nested"),
        ("N + " * 1000 + "1", "characters"),
        ("N\0", "null"),
    ],
)
def test_refusals(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text).evaluate(COLUMNS, 3)
    assert said in str(caught.value)


def test_names_and_mask() -> None:
    expression = Expression("`Model Size` > N and recipe == 'x' and N < 3")
    assert expression.names == ("Model Size", "N", "recipe")
    assert expression.mask(COLUMNS, 3).tolist() == [False, False, False]
    with pytest.raises(ExpressionError, match="not a condition"):
        Expression("N + 1").mask(COLUMNS, 3)


def test_all_missing_columns_at_once() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression("a + b").evaluate(COLUMNS, 3)
    assert len(caught.value.faults) == 2


@given(st.text(alphabet=string.printable + "`é\u2028\0", max_size=40))
def test_any_text_is_a_value_or_our_error(text: str) -> None:
    try:
        found = Expression(text).evaluate(COLUMNS, 3)
    except ExpressionError:
        return
    assert found.shape == (3,)
