"""Sizes for the free dimensions of a source that tells how they hang together (`batch`, `past`, `past + 1`)."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeai_runtime.errors import UsageError

FREE_SIZE = 16
"""What a free dimension other than the batch is tried with, when nothing fixes it."""

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}

Dim = int | str
"""A size, or the expression of a free one."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What free dimensions are tried with.

    Attributes:
        shapes: whole shapes by input name.
        per_sample: whether the first dimension of every input counts the samples, so that any number of samples can be
            run; else the shapes are to be taken as they are.
    """

    shapes: dict[str, tuple[int, ...]]
    per_sample: bool


def choose_sizes(
    dims: Mapping[str, Sequence[Dim]],
    *,
    given: Mapping[str, Sequence[int]],
    limits: Mapping[str, tuple[int, int]],
    batch: int,
) -> Sizes:
    """Choose a size for every free dimension.

    Args:
        dims: the dimensions of each input; equal names are equal sizes.
        given: shapes that the user gave, by input name; -1 is free.
        limits: least and largest size by name.
        batch: the size of the first dimension, where it is free.

    Raises:
        UsageError: a given shape of another rank.

    >>> choose_sizes({"x": ("n", "t"), "m": ("n", "t + 1")}, given={"x": (-1, 4)}, limits={}, batch=2).shapes
    {'x': (2, 4), 'm': (2, 5)}
    """
    values = _values(dims, given)
    firsts = [shape[0] for shape in dims.values() if shape]
    symbol = next((dim for dim in firsts if isinstance(dim, str) and dim.isidentifier() and dim not in values), None)
    for sizes in dims.values():
        for dim in sizes:
            for name in _names(dim) if isinstance(dim, str) else ():
                least, most = limits.get(name, (1, 1 << 30))
                values.setdefault(name, min(max(batch if name == symbol else FREE_SIZE, least), most))
    shapes = {name: tuple(evaluate(dim, values) for dim in shape) for name, shape in dims.items()}
    inner = {dim for shape in dims.values() for dim in shape[1:]}
    if symbol is not None:
        per_sample = set(firsts) == {symbol} and not any(symbol in _names(str(dim)) for dim in inner)
    else:
        per_sample = len({shape[0] for shape in shapes.values() if shape}) <= 1
    return Sizes(shapes=shapes, per_sample=per_sample)


def spread_sizes(dims: Mapping[str, Sequence[Dim]], given: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Return the shapes of all inputs that the given ones fix; -1 is what they leave free.

    >>> spread_sizes({"x": ("n", "t"), "m": ("n", "t + 1")}, {"x": (-1, 4)})
    {'x': [-1, 4], 'm': [-1, 5]}
    """
    values = _values(dims, given)
    return {
        name: [
            evaluate(dim, values) if isinstance(dim, int) or dim in values or set(_names(dim)) <= values.keys() else -1
            for dim in shape
        ]
        for name, shape in dims.items()
        if given
    }


def _values(dims: Mapping[str, Sequence[Dim]], given: Mapping[str, Sequence[int]]) -> dict[str, int]:
    values: dict[str, int] = {}
    for name, shape in given.items():
        own = dims.get(name, ())
        if name in dims and len(shape) != len(own):
            raise UsageError(f"Input {name!r} has {len(own)} dimensions {list(own)}. Received: {list(shape)}.")
        values.update({dim: size for dim, size in zip(own, shape, strict=False) if isinstance(dim, str) and size > 0})
    return values


def evaluate(dim: Dim, values: Mapping[str, int]) -> int:
    """Return the size of a dimension; a whole expression among the values counts before its parts.

    Raises:
        KeyError: a name without a value.
        ValueError: an expression with other than names, integers and `+ - * //`.
    """
    if isinstance(dim, int):
        return dim
    return values[dim] if dim in values else _evaluate(ast.parse(dim, mode="eval").body, values)


def is_expression(dim: str) -> bool:
    """Say whether a name of a dimension is one, or an expression that `evaluate` computes.

    >>> [is_expression(word) for word in ("past", "past + 1", "batch size", "1.5*n", "f(n)")]
    [True, True, False, False, False]
    """
    try:
        names = _names(dim)
        _evaluate(ast.parse(dim, mode="eval").body, dict.fromkeys(names, 2))
    except (SyntaxError, ValueError, ZeroDivisionError):
        return False
    return bool(names)


def _evaluate(node: ast.expr, values: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return int(_OPERATORS[type(node.op)](_evaluate(node.left, values), _evaluate(node.right, values)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, values)
    raise ValueError(f"No expression of sizes: {ast.unparse(node)}")


def _names(dim: str) -> list[str]:
    return [node.id for node in ast.walk(ast.parse(dim, mode="eval")) if isinstance(node, ast.Name)]
