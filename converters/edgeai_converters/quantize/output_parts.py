"""The parts of a graph's outputs that mean different things: what a concatenation at the end put side by side.

Boxes and scores in one output have to be held apart when an error is measured: next to boxes of 0 to 300 an error that
destroys the scores cannot be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class OutputPart:
    """A slice of an output.

    Attributes:
        output: the output's name.
        axis: the axis that is cut; `None` for the whole output.
        start: first position.
        stop: position after the last.
    """

    output: str
    axis: int | None = None
    start: int = 0
    stop: int = 0

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the part of the output's array."""
        if self.axis is None:
            return array
        return array[(slice(None),) * self.axis + (slice(self.start, self.stop),)]


def output_parts(model: ir.Model) -> tuple[OutputPart, ...]:
    """Return the parts of all floating-point outputs, in order.

    An output made by a Concat, also through Transposes, has one part per input of it; any other output is one part.
    """
    parts: list[OutputPart] = []
    for value in model.graph.outputs:
        if value.dtype not in (None, ir.DataType.FLOAT):
            continue
        parts += _joined(value) or [OutputPart(output=str(value.name))]
    return tuple(parts)


def _joined(output: ir.Value) -> list[OutputPart]:
    node = output.producer()
    permutations = []
    while node is not None and node.op_type in ("Transpose", "Identity"):
        if node.op_type == "Transpose":
            attribute = node.attributes.get("perm")
            if attribute is None:
                return []
            permutations.append(list(attribute.as_ints()))
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None or node.op_type != "Concat":
        return []
    shape = node.outputs[0].shape
    axis = node.attributes["axis"].as_int()
    if shape is None:
        return []
    axis %= len(shape)
    if axis == 0:
        return []
    sizes = [None if v is None or v.shape is None else v.shape[axis] for v in node.inputs]
    for permutation in reversed(permutations):
        axis = permutation.index(axis)
    parts, start = [], 0
    for size in sizes:
        if not isinstance(size, int):
            return []
        parts.append(OutputPart(output=str(output.name), axis=axis, start=start, stop=start + size))
        start += size
    return parts
