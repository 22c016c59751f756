"""Small steps between: float operators on tensors that lie in one order, for what TFLite says in several operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeai_converters.emit.tflite.layout import Shape
from edgeai_converters.emit.tflite.write_context import WriteContext

_OPTIONS = {
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "EXP": "ExpOptions",
    "ABS": "AbsOptions",
    "NEG": "NegOptions",
    "SIGN": "SignOptions",
    "GELU": "GeluOptions",
    "EQUAL": "EqualOptions",
    "NOT_EQUAL": "NotEqualOptions",
    "GREATER": "GreaterOptions",
    "GREATER_EQUAL": "GreaterEqualOptions",
    "LESS": "LessOptions",
    "LESS_EQUAL": "LessEqualOptions",
    "LOGICAL_AND": "LogicalAndOptions",
    "LOGICAL_OR": "LogicalOrOptions",
    "LOGICAL_NOT": "LogicalNotOptions",
    "FLOOR_DIV": "FloorDivOptions",
    "FLOOR_MOD": "FloorModOptions",
}
"""Operator → its options table; operators that are not here have none."""

_COMPARISONS = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
_WITH_ACTIVATION = frozenset({"ADD", "SUB", "MUL", "DIV"})


class Steps:
    """Writes operators whose results are named `<stem>/<operator>`; shapes follow by broadcasting.

    Args:
        context: the file.
        stem: name of what is computed.
    """

    def __init__(self, context: WriteContext, stem: str) -> None:
        self._context = context
        self._stem = stem

    def number(self, value: float, dtype: str = "float32") -> int:
        """Return a constant of one number."""
        return self._context.file.add_constant(np.array([value], dtype), f"{self._stem}/{value:g}")

    def unary(self, name: str, source: int, *, into: int | None = None) -> int:
        """Write an operator that keeps shape and type."""
        result = self._target(name, self._context.shape_of(source), self._dtype(source), into)
        self._context.add(name, [source], [result], _OPTIONS.get(name, ""))
        return result

    def binary(self, name: str, left: int, right: int, *, into: int | None = None) -> int:
        """Write an operator on two tensors."""
        shape = broadcast_shape(self._context.shape_of(left), self._context.shape_of(right))
        result = self._target(name, shape, "bool" if name in _COMPARISONS else self._dtype(left), into)
        fields = {"fusedActivationFunction": 0} if name in _WITH_ACTIVATION else {}
        self._context.add(name, [left, right], [result], _OPTIONS.get(name, ""), **fields)
        return result

    def reduce(self, name: str, source: int, places: Sequence[int], *, into: int | None = None) -> int:
        """Write a reduction over physical axes that keeps them with size 1."""
        shape = tuple(1 if place in places else size for place, size in enumerate(self._context.shape_of(source)))
        result = self._target(name, shape, self._dtype(source), into)
        table = self._context.integers(sorted(places), f"{self._stem}/axes")
        self._context.add(name, [source, table], [result], "ReducerOptions", keepDims=True)
        return result

    def cast(self, source: int, dtype: str, *, into: int | None = None) -> int:
        """Write CAST, unless the tensor has the type already."""
        if self._dtype(source) == dtype and into is None:
            return source
        result = self._target("CAST", self._context.shape_of(source), dtype, into)
        self._context.add("CAST", [source], [result], "CastOptions", **self._context.cast_fields(source, result))
        return result

    def select(self, condition: int, yes: int, no: int, *, into: int | None = None) -> int:
        """Write SELECT_V2."""
        shape = broadcast_shape(self._context.shape_of(condition), self._context.shape_of(yes))
        shape = broadcast_shape(shape, self._context.shape_of(no))
        result = self._target("SELECT", shape, self._dtype(yes), into)
        self._context.add("SELECT_V2", [condition, yes, no], [result], "SelectV2Options")
        return result

    def _dtype(self, tensor: int) -> str:
        return self._context.file.tensors[tensor].dtype

    def _target(self, name: str, shape: Shape, dtype: str, into: int | None) -> int:
        if into is not None:
            return into
        return self._context.file.add_tensor(f"{self._stem}/{name.lower()}", shape, dtype)


def broadcast_shape(left: Shape, right: Shape) -> Shape:
    """Return the shape that two shapes broadcast to; a free dimension wins over 1."""
    rank = max(len(left), len(right))
    wide = ((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right)
    return tuple(b if a == 1 else a for a, b in zip(*wide, strict=True))
