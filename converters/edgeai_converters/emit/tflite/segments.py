"""Reading UNSORTED_SEGMENT_*: rows of a value collected by constant numbers; JAX's export multiplies sizes with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError

_REDUCED = {"PROD": "ReduceProd", "SUM": "ReduceSum", "MAX": "ReduceMax", "MIN": "ReduceMin"}


def read_unsorted_segment(context: ReadContext, operator: Operator) -> None:
    """Read UNSORTED_SEGMENT_PROD and its like (inputs: data, number of each row's segment, number of segments).

    Each segment is a Gather and a reduction, since ONNX has no such operator; what belongs to none is left out.
    """
    kind = operator.name.removeprefix("UNSORTED_SEGMENT_")
    numbers = context.known(operator, 1, "the numbers of the segments")
    count = int(context.known(operator, 2, "the number of segments").reshape(-1)[0])
    dtype = np.dtype(context.tensors[operator.inputs[0]].dtype)
    if numbers.ndim != 1:
        raise UnreadableError("segments of more than one axis")
    if count == 0:
        raise UnreadableError("no segments")
    name = context.name(operator.outputs[0])
    data = context.source(operator.inputs[0])
    first = context.integers([0], f"{name}/axis")
    parts = []
    for segment in range(count):
        (rows,) = np.nonzero(numbers == segment)
        if not rows.size:
            row = context.add("Gather", [data, context.integers([0], f"{name}/row{segment}")], axis=0)
            nothing = context.add_constant(np.array(_empty(kind, dtype), dtype), f"{name}/empty{segment}")
            parts.append(context.add("Expand", [nothing, context.add("Shape", [row])]))
            continue
        chosen = context.add("Gather", [data, context.integers(rows, f"{name}/rows{segment}")], axis=0)
        parts.append(context.add(_REDUCED[kind], [chosen, first], keepdims=1))
    context.finish(operator, context.add("Concat", parts, axis=0))


def _empty(kind: str, dtype: np.dtype[Any]) -> float | int:
    """Return what TensorFlow gives for a segment without rows."""
    if kind in ("PROD", "SUM"):
        return int(kind == "PROD")
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    end: float | int = limits.min if kind == "MAX" else limits.max
    return end
