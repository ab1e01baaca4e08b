"""Formulas that users write: arithmetic over named columns, parsed and never evaluated as Python.

A formula is checked when it is made, so a slip is found before any event is read, with a caret under it. It has
numbers, names, ``+ - * / // % **``, comparisons (1 where they are true, 0 where not), ``& | ~`` between comparisons,
and the functions and constants below.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator

from ptmiss.errors import OptionError, hint
from ptmiss.typing import Array

LONGEST = 2000  # characters of a formula
DEEPEST = 50  # operations inside one another
CONSTANTS = {"pi": np.pi}
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    **{name: (1, getattr(np, name)) for name in ("abs", "sqrt", "exp", "log", "log10", "floor", "ceil")},
    **{name: (1, getattr(np, name)) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos")},
    **{name: (2, getattr(np, name)) for name in ("minimum", "maximum", "hypot", "arctan2")},
    "arctan": (1, np.arctan),
    "where": (3, np.where),
    "clip": (3, np.clip),
}
OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: np.logical_not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Formula:
    """A formula over named columns, from its ``text``; OptionError where it is not one."""

    text: str
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", _parse(self.text))

    @property
    def names(self) -> list[str]:
        """The columns that it needs, each once, in their order."""
        nodes = (node for node in ast.walk(self._tree) if isinstance(node, ast.Name))
        found = sorted(nodes, key=lambda node: node.col_offset)
        return list(dict.fromkeys(n.id for n in found if n.id not in CONSTANTS and n.id not in FUNCTIONS))

    def __call__(self, columns: Mapping[str, ArrayLike]) -> Array:
        """(values,) of the formula where the columns have these; not finite where it has no value (log of 0)."""
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(self._tree, columns), np.float64)


def check_text(text: str) -> str:
    """The text of a formula, or none; ValueError, as pydantic wants it, where it is not one."""
    try:
        return Formula(text).text if text else text
    except OptionError as error:
        raise ValueError(str(error)) from None


FormulaText = Annotated[str, AfterValidator(check_text)]
"""A key of a schema that holds a formula, or nothing."""


def _evaluate(node: ast.expr, columns: Mapping[str, ArrayLike]) -> Any:
    match node:
        case ast.Constant(int() | float() as value):
            return np.float64(value)
        case ast.Name(name):
            return CONSTANTS[name] if name in CONSTANTS else np.asarray(columns[name], np.float64)
        case ast.UnaryOp(op, operand):
            return OPERATORS[type(op)](_evaluate(operand, columns))
        case ast.BinOp(left, op, right):
            return OPERATORS[type(op)](_evaluate(left, columns), _evaluate(right, columns))
        case ast.Compare(left, operations, others):
            values = [_evaluate(each, columns) for each in (left, *others)]
            pairs = zip(operations, values, values[1:], strict=False)
            return reduce(np.logical_and, [OPERATORS[type(op)](a, b) for op, a, b in pairs])
        case ast.Call(ast.Name(name), arguments):
            return FUNCTIONS[name][1](*(_evaluate(each, columns) for each in arguments))
    raise ValueError(f"{ast.dump(node)} was not checked")


def _parse(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise OptionError(f"formula of {len(text)} characters: expected {LONGEST} at most")
    stripped = text.strip()
    try:
        tree = ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        raise _wrong(text, error.msg, (error.offset or 1) - 1) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise OptionError(f"formula {text[:40]!r}: {error}") from None
    _check(tree, stripped, DEEPEST)
    return tree


def _check(node: ast.expr, text: str, depth: int) -> None:
    """Raise OptionError at the first part that a formula may not have."""
    if not depth:
        raise _wrong(text, f"more than {DEEPEST} operations inside one another", node.col_offset)
    for part in _parts(node, text):
        _check(part, text, depth - 1)


def _parts(node: ast.expr, text: str) -> list[ast.expr]:
    match node:
        case ast.Constant(int() | float()):
            return []
        case ast.Name():
            if node.id in FUNCTIONS:
                raise _wrong(text, f"function {node.id} without its arguments", node.col_offset)
            return []
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            return [operand]
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return [left, right]
        case ast.Compare(left, operations, others) if all(type(op) in OPERATORS for op in operations):
            return [left, *others]
        case ast.Call(ast.Name(name), arguments, []):
            return _arguments(name, arguments, text, node.col_offset)
    raise _wrong(text, "expected numbers, columns, arithmetic, comparisons and functions", node.col_offset)


def _arguments(name: str, arguments: list[ast.expr], text: str, where: int) -> list[ast.expr]:
    if name not in FUNCTIONS:
        raise _wrong(text, f"unknown function {name!r}{hint(name, FUNCTIONS)}; known: {', '.join(FUNCTIONS)}", where)
    if len(arguments) != (number := FUNCTIONS[name][0]):
        raise _wrong(text, f"{name} has {len(arguments)} arguments, expected {number}", where)
    return arguments


def _wrong(text: str, reason: str, offset: int) -> OptionError:
    return OptionError(f"formula {text!r}, at character {offset + 1}: {reason}")
