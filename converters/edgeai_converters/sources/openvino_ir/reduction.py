"""Reductions, and what is found along one axis: sums so far, the largest values."""

from __future__ import annotations

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError


def read_reduction(context: ReadContext, operation: Operation) -> str:
    """`ReduceMean`, `ReduceSum`, `ReduceL2`, …: the axes are an input in both."""
    return _reduce(context, operation, operation.type, context.source(operation, 0))


def read_logical_reduction(context: ReadContext, operation: Operation) -> str:
    """`ReduceLogicalAnd`, `ReduceLogicalOr` → the smallest or largest of 0 and 1."""
    op_type = "ReduceMin" if operation.type == "ReduceLogicalAnd" else "ReduceMax"
    number = context.cast(context.source(operation, 0), np.int32)
    return context.cast(_reduce(context, operation, op_type, number), np.bool_)


def _reduce(context: ReadContext, operation: Operation, op_type: str, value: str) -> str:
    axes = context.constant(operation, 1)
    if axes is not None and axes.size == 0:
        return context.add("Identity", [value])
    keep = int(bool(operation.attribute("keep_dims", False)))
    return context.add(op_type, [value, context.int64(operation, 1, rank=1)], keepdims=keep)


def read_cum_sum(context: ReadContext, operation: Operation) -> str:
    """`CumSum`."""
    return context.add(
        "CumSum",
        [context.source(operation, 0), context.int64(operation, 1, rank=0)],
        exclusive=int(bool(operation.attribute("exclusive"))),
        reverse=int(bool(operation.attribute("reverse"))),
    )


def read_top_k(context: ReadContext, operation: Operation) -> list[str]:
    """`TopK`: values and places, sorted by value."""
    count = context.constant(operation, 1)
    single = count is not None and int(count.reshape(())) == 1
    if str(operation.attribute("sort", "value")).lower() == "index" and not single:
        raise UnreadableError("results sorted by their place")
    values, places = context.add_many(
        "TopK",
        [context.source(operation, 0), context.int64(operation, 1, rank=1)],
        2,
        axis=int(operation.attribute("axis")),
        largest=int(str(operation.attribute("mode")).lower() == "max"),
        sorted=1,
    )
    return [values, context.cast_result(places, np.int64, operation, 1)]
