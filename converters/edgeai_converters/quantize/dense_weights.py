"""Which constants of a graph are weights of dense layers: matrices that MatMul and Gemm multiply by from the right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, constant_of, is_op, nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseWeight:
    """A float32 matrix that only dense layers read.

    Attributes:
        value: the constant.
        nodes: the layers that read it, as input 1.
        input_axis: its axis that is summed over: 0 for `[inputs, outputs]`, 1 for `[outputs, inputs]`.
    """

    value: ir.Value
    nodes: tuple[ir.Node, ...]
    input_axis: int

    @property
    def size(self) -> int:
        """The number of weights."""
        assert self.value.const_value is not None
        return int(self.value.const_value.size)

    @property
    def inputs(self) -> int:
        """The number of inputs of the layer."""
        assert self.value.const_value is not None
        return int(self.value.const_value.shape.numpy()[self.input_axis])

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The weights as `[outputs, inputs]`."""
        assert self.value.const_value is not None
        array = np.asarray(self.value.const_value.numpy())
        return np.ascontiguousarray(array if self.input_axis == 1 else array.T)

    def laid(self, matrix: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return something `[outputs, inputs]` as the constant lies."""
        return np.ascontiguousarray(matrix if self.input_axis == 1 else matrix.T)


def dense_weights(model: ir.Model, *, least_elements: int, group: int) -> Iterator[DenseWeight]:
    """Yield the weights of dense layers that have at least so many elements and whose inputs make whole groups.

    Group 0 stands for all inputs.
    """
    seen: set[str] = set()
    for node in nodes(model, "MatMul", "Gemm"):
        value = node.inputs[1]
        array = constant_of(value)
        if value is None or array is None or str(value.name) in seen:
            continue
        seen.add(str(value.name))
        if array.dtype != np.float32 or array.ndim != 2 or array.size < least_elements or value.is_graph_output():
            continue
        axes = {_input_axis(use.node) if use.idx == 1 else None for use in value.uses()}
        axis = axes.pop() if len(axes) == 1 else None
        if axis is not None and array.shape[axis] % (group or 1) == 0 and bool(np.isfinite(array).all()):
            yield DenseWeight(value=value, nodes=tuple(dict.fromkeys(u.node for u in value.uses())), input_axis=axis)


def _input_axis(node: ir.Node) -> int | None:
    """Return the axis of a layer's weight that is summed over; `None` when engines have no plain kernel for it."""
    if is_op(node, "MatMul"):
        return 0
    scaled = attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
    if not is_op(node, "Gemm") or scaled or attribute(node, "transA", 0):
        return None
    return 1 if attribute(node, "transB", 0) else 0
