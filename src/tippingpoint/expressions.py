"""Arithmetic and comparisons over the columns of a table, for ``--where`` and ``--define``.

An expression is parsed by :mod:`ast` and walked by hand against a whitelist; nothing is ever handed to ``eval``.
Allowed are numbers, strings, column names (a name that is no identifier stands in backticks, ```Model Size```),
``+ - * / // % **``, comparisons (also chained), ``in`` and ``not in`` with a tuple or list, ``and``, ``or``, ``not``,
and the functions of :data:`FUNCTIONS`, which work row by row.

An empty cell is NaN in arithmetic and makes every comparison but ``!=`` false.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import ExpressionError, did_you_mean

__all__ = ["FUNCTIONS", "Expression"]

Value: TypeAlias = NDArray[Any]

#: Functions of an expression: name -> (least number of arguments, greatest or None, what computes it).
FUNCTIONS: dict[str, tuple[int, int | None, Callable[..., Value]]] = {
    "log": (1, 1, np.log),
    "log10": (1, 1, np.log10),
    "sqrt": (1, 1, np.sqrt),
    "exp": (1, 1, np.exp),
    "abs": (1, 1, np.abs),
    "min": (2, None, lambda *values: np.minimum.reduce(np.broadcast_arrays(*values))),
    "max": (2, None, lambda *values: np.maximum.reduce(np.broadcast_arrays(*values))),
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_LONGEST = 2000  # characters; deep nesting would otherwise exhaust Python's own parser
_DEEPEST = 100
_PLACEHOLDER = "_column_{}_"


class Expression:
    """One parsed expression; evaluating it costs one NumPy operation a node.

    Parameters
    ----------
    text : str
        The expression, for example ``"C / (6 * `Model Size`)"`` or ``"recipe in ('scratch', 'distilled')"``.

    Attributes
    ----------
    text : str
        What was given.
    names : tuple of str
        The columns it uses, in order of appearance.

    Raises
    ------
    ExpressionError
        It cannot be parsed, or uses something that is not on the whitelist.

    Examples
    --------
    >>> Expression("C / (6 * N)").evaluate({"C": [12.0], "N": [2.0]}, rows=1)
    array([1.])
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ExpressionError(f"{text!r} is not an expression; give text, such as 'seed < 3'.")
        self.text = text
        source, self._quoted = _take_backticks(text)
        self._tree = _parse(text, source)
        names: dict[str, None] = {}
        self._check(self._tree, names)
        self.names: tuple[str, ...] = tuple(names)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, columns: Mapping[str, Any], rows: int) -> Value:
        """Return the value of every row.

        Parameters
        ----------
        columns : mapping of str to array_like, each of shape (rows,)
            The table.
        rows : int
            Its length, needed where an expression names no column.

        Returns
        -------
        numpy.ndarray, shape (rows,)
            Floats, or booleans for a comparison.

        Raises
        ------
        ExpressionError
            A column is missing (near names are suggested), or text meets arithmetic.
        """
        missing = [name for name in self.names if name not in columns]
        if missing:
            known = [str(name) for name in columns]
            raise ExpressionError(
                f"Expression '{self.text}': there is no column '{name}'.{did_you_mean(name, known)}" for name in missing
            )
        with np.errstate(all="ignore"):
            value = self._value(self._tree, columns)
        return np.broadcast_to(value, (rows,)).copy()

    def mask(self, columns: Mapping[str, Any], rows: int) -> NDArray[np.bool_]:
        """Return :meth:`evaluate` of a condition; raises ``ExpressionError`` where it is a number."""
        value = self.evaluate(columns, rows)
        if value.dtype != np.bool_:
            raise ExpressionError(f"Expression '{self.text}' is not a condition; write a comparison, such as x > 0.")
        return value

    # -- checking, once ------------------------------------------------------------------------------------------

    def _check(self, node: ast.expr, names: dict[str, None], depth: int = 0) -> None:
        """Walk the tree, refuse what is not on the whitelist, and collect the columns."""
        if depth > _DEEPEST:
            raise ExpressionError(f"Expression '{self.text[:40]}...' is nested more than {_DEEPEST} deep; shorten it.")
        for child in self._parts(node):
            self._check(child, names, depth + 1)
        if isinstance(node, ast.Name):
            names[self._column(node)] = None

    def _parts(self, node: ast.expr) -> list[ast.expr]:  # noqa: PLR0911 - one case a line
        """Return the operands of an allowed node."""
        match node:
            case ast.Name():
                return []
            case ast.Constant(value=bool() | int() | float() | str()):
                return []
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                return [node.left, node.right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not()):
                return [node.operand]
            case ast.BoolOp():
                return node.values
            case ast.Compare():
                return [node.left, *self._compared(node)]
            case ast.Call():
                return self._arguments(node)
        raise self._refuse(node)

    def _compared(self, node: ast.Compare) -> list[ast.expr]:
        parts: list[ast.expr] = []
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                if not isinstance(right, ast.Tuple | ast.List):
                    raise ExpressionError(
                        f"Expression '{self.text}': 'in' needs a list in brackets, such as recipe in ('scratch',)."
                    )
                parts += right.elts
            elif type(op) in _COMPARISONS:
                parts.append(right)
            else:
                raise self._refuse(node)
        return parts

    def _arguments(self, node: ast.Call) -> list[ast.expr]:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self._refuse(node)
        name = node.func.id
        if name not in FUNCTIONS:
            raise ExpressionError(
                f"Expression '{self.text}': there is no function '{name}'; there are {', '.join(FUNCTIONS)}."
                f"{did_you_mean(name, list(FUNCTIONS))}"
            )
        least, greatest, _ = FUNCTIONS[name]
        if len(node.args) < least or (greatest is not None and len(node.args) > greatest):
            number = "one argument" if greatest == 1 else f"{least} or more arguments"
            raise ExpressionError(f"Expression '{self.text}': {name} takes {number}, not {len(node.args)}.")
        return node.args

    def _column(self, node: ast.Name) -> str:
        return self._quoted.get(node.id, node.id)

    def _refuse(self, node: ast.AST) -> ExpressionError:
        return ExpressionError(
            f"Expression '{self.text}': {type(node).__name__} is not allowed; use numbers, columns, arithmetic, "
            f"comparisons, and, or, not, in, and {', '.join(FUNCTIONS)}."
        )

    # -- evaluating ----------------------------------------------------------------------------------------------

    def _value(self, node: ast.expr, columns: Mapping[str, Any]) -> Value:  # noqa: PLR0911 - one case a line
        """Return a node's value; the tree has passed :meth:`_check`."""
        match node:
            case ast.Name():
                return np.asarray(columns[self._column(node)])
            case ast.Constant(value=str() as text):
                return np.asarray(text, dtype=object)
            case ast.Constant(value=bool() as truth):
                return np.asarray(truth)
            case ast.Constant(value=number):
                return np.asarray(_as_float(number))
            case ast.BinOp():
                sides = [self._number(side, columns) for side in (node.left, node.right)]
                return _ARITHMETIC[type(node.op)](*sides)
            case ast.UnaryOp(op=ast.Not()):
                return ~self._truth(node.operand, columns)
            case ast.UnaryOp():
                operand = self._number(node.operand, columns)
                return -operand if isinstance(node.op, ast.USub) else operand
            case ast.BoolOp():
                join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return _fold(join, [self._truth(part, columns) for part in node.values])
            case ast.Compare():
                return self._comparison(node, columns)
            case ast.Call(func=ast.Name(id=name)):
                return FUNCTIONS[name][2](*(self._number(part, columns) for part in node.args))
        raise self._refuse(node)

    def _comparison(self, node: ast.Compare, columns: Mapping[str, Any]) -> Value:
        left = self._value(node.left, columns)
        truths: list[Value] = []
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                members = right.elts if isinstance(right, ast.Tuple | ast.List) else []
                found = [self._compare(ast.Eq(), left, self._value(member, columns)) for member in members]
                inside = _fold(np.logical_or, [np.zeros(np.shape(left), dtype=bool), *found])
                truths.append(inside if isinstance(op, ast.In) else ~inside)
            else:
                value = self._value(right, columns)
                truths.append(self._compare(op, left, value))
                left = value
        return _fold(np.logical_and, truths)

    def _compare(self, op: ast.cmpop, left: Value, right: Value) -> Value:
        """Compare two sides; text and numbers may only be (un)equal."""
        texts = left.dtype == object, right.dtype == object
        if any(texts):
            if isinstance(op, ast.Eq | ast.NotEq):
                equal = np.asarray(left.astype(object) == right.astype(object), dtype=bool)
                return equal if isinstance(op, ast.Eq) else ~equal
            raise ExpressionError(
                f"Expression '{self.text}': text is compared by its size; use ==, != or in, or mend the column."
            )
        return _COMPARISONS[type(op)](left, right)

    def _number(self, node: ast.expr, columns: Mapping[str, Any]) -> Value:
        value = self._value(node, columns)
        if value.dtype == object:
            what = f"column '{self._column(node)}'" if isinstance(node, ast.Name) else "a part of it"
            raise ExpressionError(f"Expression '{self.text}': {what} is text, and arithmetic needs numbers.")
        return value.astype(np.float64)

    def _truth(self, node: ast.expr, columns: Mapping[str, Any]) -> Value:
        value = self._value(node, columns)
        if value.dtype != np.bool_:
            raise ExpressionError(f"Expression '{self.text}': and, or, not join conditions, such as x > 0.")
        return value


def _fold(join: Callable[[Value, Value], Value], values: list[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = join(result, value)
    return result


def _as_float(number: Any) -> float:
    """Return a literal as a float (an integer of any length; too long ones become infinite)."""
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _take_backticks(text: str) -> tuple[str, dict[str, str]]:
    """Replace each name in backticks by a placeholder identifier, leaving strings alone."""
    pieces: list[str] = []
    quoted: dict[str, str] = {}
    quote, at = "", 0
    while at < len(text):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "`":
            end = text.find("`", at + 1)
            if end <= at + 1:
                raise ExpressionError(f"Expression '{text}': a backtick opens a column's name and none closes it.")
            placeholder = _PLACEHOLDER.format(len(quoted))
            quoted[placeholder] = text[at + 1 : end]
            pieces.append(f" {placeholder} ")
            at = end + 1
            continue
        pieces.append(char)
        at += 1
    return "".join(pieces), quoted


def _parse(text: str, source: str) -> ast.expr:
    """Return the syntax tree; raises ``ExpressionError`` for anything Python's parser refuses."""
    if len(text) > _LONGEST:
        raise ExpressionError(f"An expression has {len(text)} characters; at most {_LONGEST} are read.")
    try:
        return ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it cannot be read"
        raise ExpressionError(f"Expression '{text}': {reason}.") from error
