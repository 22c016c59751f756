"""Operations on one or two values at a time: arithmetic, comparison, logic, choice, casts.

Integers are divided as the CPU plugin does, cutting off, though the attribute `m_pythondiv` says to round down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError

Reader = Callable[[ReadContext, Operation], Any]


def same(op_type: str, **attributes: Any) -> Reader:
    """Return the reader of an operation that ONNX has with the same inputs and meaning."""

    def read(context: ReadContext, operation: Operation) -> str:
        _check_broadcast(operation)
        return context.add(op_type, context.sources(operation), **attributes)

    return read


def _check_broadcast(operation: Operation) -> None:
    kind = operation.attribute("auto_broadcast", "numpy")
    if kind not in ("numpy", "none", "explicit"):
        raise UnreadableError(f"broadcasting of the kind {kind!r}")


def read_not_equal(context: ReadContext, operation: Operation) -> str:
    """`NotEqual` → Not(Equal)."""
    _check_broadcast(operation)
    return context.add("Not", [context.add("Equal", context.sources(operation))])


def read_squared_difference(context: ReadContext, operation: Operation) -> str:
    """`SquaredDifference` → (a - b)²."""
    _check_broadcast(operation)
    difference = context.add("Sub", context.sources(operation))
    return context.add("Mul", [difference, difference])


def read_mod(context: ReadContext, operation: Operation) -> str:
    """`Mod`, whose result has the sign of the dividend."""
    _check_broadcast(operation)
    return context.add("Mod", context.sources(operation), fmod=1)


def read_floor_mod(context: ReadContext, operation: Operation) -> str:
    """`FloorMod`, whose result has the sign of the divisor."""
    _check_broadcast(operation)
    a, b = context.sources(operation)
    if operation.dtype(0).kind != "f":
        return context.add("Mod", [a, b])
    whole = context.add("Floor", [context.add("Div", [a, b])])
    return context.add("Sub", [a, context.add("Mul", [whole, b])])


def read_round(context: ReadContext, operation: Operation) -> str:
    """`Round`: halves to the even number as in ONNX, or away from zero."""
    value = context.source(operation, 0)
    if str(operation.attribute("mode")).lower() == "half_to_even":
        return context.add("Round", [value])
    size = context.add("Add", [context.add("Abs", [value]), context.number(0.5)])
    return context.add("Mul", [context.add("Sign", [value]), context.add("Floor", [size])])


def read_convert(context: ReadContext, operation: Operation) -> str:
    """`Convert`, `ConvertLike` → Cast; between float types nothing is left to do."""
    value, wanted = context.source(operation, 0), operation.output_dtype()
    if operation.dtype(0) == wanted:
        return value
    if operation.dtype(0).kind == "f" and wanted.kind == "u":  # as C does on x86: through a wide signed integer
        value = context.cast(value, np.int64)
    return context.cast(value, wanted)


def read_is_finite(context: ReadContext, operation: Operation) -> str:
    """`IsFinite` → neither infinite nor NaN."""
    value = context.source(operation, 0)
    either = context.add("Or", [context.add("IsInf", [value]), context.add("IsNaN", [value])])
    return context.add("Not", [either])


def read_is_inf(context: ReadContext, operation: Operation) -> str:
    """`IsInf`, of one or both signs."""
    return context.add(
        "IsInf",
        [context.source(operation, 0)],
        detect_negative=int(operation.attribute("detect_negative", True)),
        detect_positive=int(operation.attribute("detect_positive", True)),
    )


def read_identity(context: ReadContext, operation: Operation) -> str:
    """`Identity`: nothing."""
    return context.source(operation, 0)
