"""Reading and writing by index: Gather, Scatter, OneHot, NonZero."""

from __future__ import annotations

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError


def read_gather(context: ReadContext, operation: Operation) -> str:
    """`Gather` → Gather; with a batch in front → GatherND."""
    (axis,) = context.known_integers(operation, 2, "the axis")
    axis %= operation.rank(0)
    batch = int(operation.attribute("batch_dims", 0)) % max(operation.rank(1), 1)
    inputs = [context.source(operation, 0), context.int64(operation, 1)]
    if batch == 0:
        return context.add("Gather", inputs, axis=axis)
    if batch != axis:
        raise UnreadableError(f"a batch of {batch} axes in front, and an index along axis {axis}")
    inputs[1] = context.add("Unsqueeze", [inputs[1], context.integers([-1])])
    return context.add("GatherND", inputs, batch_dims=batch)


def read_gather_elements(context: ReadContext, operation: Operation) -> str:
    """`GatherElements`."""
    inputs = [context.source(operation, 0), context.int64(operation, 1)]
    return context.add("GatherElements", inputs, axis=int(operation.attribute("axis")))


def read_gather_nd(context: ReadContext, operation: Operation) -> str:
    """`GatherND`; the first version merged the axes of the batch."""
    batch = int(operation.attribute("batch_dims", 0))
    if batch > 1 and operation.version == "opset5":
        raise UnreadableError("a batch of more than one axis in GatherND of operation set 5")
    return context.add("GatherND", [context.source(operation, 0), context.int64(operation, 1)], batch_dims=batch)


def read_scatter_update(context: ReadContext, operation: Operation) -> str:
    """`ScatterUpdate` along one axis → ScatterND with that axis in front."""
    (axis,) = context.known_integers(operation, 3, "the axis")
    rank, indices_rank = operation.rank(0), operation.rank(1)
    axis %= rank
    data, updates = context.source(operation, 0), context.source(operation, 2)
    inner = [i for i in range(rank) if i != axis]
    data = context.transpose(data, [axis, *inner])
    spread = [*range(axis, axis + indices_rank)]
    outside = [i for i in range(operation.rank(2)) if i not in spread]
    updates = context.transpose(updates, [*spread, *outside])
    indices = context.add("Unsqueeze", [context.int64(operation, 1), context.integers([-1])])
    result = context.add("ScatterND", [data, indices, updates])
    return context.transpose(result, [*range(1, axis + 1), 0, *range(axis + 1, rank)])


def read_scatter_nd(context: ReadContext, operation: Operation) -> str:
    """`ScatterNDUpdate`."""
    kind = str(operation.attribute("reduction", "none")).lower()
    names = {"none": "none", "sum": "add", "prod": "mul", "min": "min", "max": "max"}
    if kind not in names:
        raise UnreadableError(f"reduction {kind!r}")
    inputs = [context.source(operation, 0), context.int64(operation, 1), context.source(operation, 2)]
    return context.add("ScatterND", inputs, reduction=names[kind])


def read_scatter_elements(context: ReadContext, operation: Operation) -> str:
    """`ScatterElementsUpdate`."""
    (axis,) = context.known_integers(operation, 3, "the axis")
    kind = str(operation.attribute("reduction", "none")).lower()
    names = {"none": "none", "sum": "add", "prod": "mul", "min": "min", "max": "max"}
    if kind not in names or not operation.attribute("use_init_val", True):
        raise UnreadableError(f"reduction {kind!r}")
    inputs = [context.source(operation, 0), context.int64(operation, 1), context.source(operation, 2)]
    return context.add("ScatterElements", inputs, axis=axis, reduction=names[kind])


def read_one_hot(context: ReadContext, operation: Operation) -> str:
    """`OneHot`: an index below zero marks nothing, or counts from the end."""
    indices, depth = context.int64(operation, 0), context.int64(operation, 1, rank=1)
    if str(operation.attribute("negative_indices_mode", "ignore_negative")).lower() == "ignore_negative":
        negative = context.add("Less", [indices, context.integers(0)])
        indices = context.add("Where", [negative, depth if operation.rank(0) else _scalar(context, depth), indices])
    values = [context.source(operation, position) for position in (3, 2)]
    pair = context.add("Concat", [context.reshape(value, [1]) for value in values], axis=0)
    return context.add("OneHot", [indices, depth, pair], axis=int(operation.attribute("axis")))


def _scalar(context: ReadContext, name: str) -> str:
    return context.add("Reshape", [name, context.integers([], "scalar")])


def read_non_zero(context: ReadContext, operation: Operation) -> str:
    """`NonZero`."""
    return context.cast_result(context.add("NonZero", [context.source(operation, 0)]), np.int64, operation)
