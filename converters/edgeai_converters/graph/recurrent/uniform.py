"""Values that hold one number everywhere, whatever their shape: zero states, lengths of sequences."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, constant_of
from edgeai_converters.graph.shapes import shape_of

_SPREADS = frozenset(
    {"Expand", "Tile", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Gather", "Cast"}
)
"""Operators whose output holds only numbers of their first input."""
_DEPTH = 40


def uniform_value(value: ir.Value | None, depth: int = 0) -> float | None:
    """Return the number that every element of a value is, or `None` when that is not known.

    >>> uniform_value(ir.Value(const_value=ir.tensor([0.0, 0.0])))
    0.0
    """
    if value is None or depth > _DEPTH:
        return None
    array = constant_of(value)
    if array is not None:
        return float(array.reshape(-1)[0]) if array.size and bool(np.all(array == array.reshape(-1)[0])) else None
    node = value.producer()
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "ConstantOfShape":
        filled = node.attributes.get("value")
        return 0.0 if filled is None else float(filled.as_tensor().numpy().reshape(-1)[0])
    if node.op_type == "Gather" and (size := _picked_size(node)) is not None:
        return float(size)
    if node.op_type in _SPREADS:
        return uniform_value(node.inputs[0], depth + 1)
    if node.op_type == "Concat":
        found = {uniform_value(part, depth + 1) for part in node.inputs}
        return found.pop() if len(found) == 1 else None
    return None


def _picked_size(node: ir.Node) -> int | None:
    """Return the known size that `Gather(Shape(x), i)` picks; `None` for other nodes."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    while producer is not None and producer.op_type == "Cast":
        producer = producer.inputs[0].producer() if producer.inputs[0] is not None else None
    index = constant_of(node.inputs[1])
    if producer is None or producer.op_type != "Shape" or index is None or index.size != 1:
        return None
    shape = shape_of(producer.inputs[0])
    if shape is None:
        return None
    dims = shape[cast(int, attribute(producer, "start", 0)) : attribute(producer, "end", None)]
    place = int(index.reshape(()) if index.ndim == 0 else index.reshape(-1)[0])
    size = dims[place] if -len(dims) <= place < len(dims) else None
    return size if isinstance(size, int) else None
