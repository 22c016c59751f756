"""Adding the nodes of many steps to a graph, quickly, with their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.free_names import take_name
from edgeai_converters.graph.recurrent.layer import Activation, Matrix
from edgeai_converters.graph.shapes import Dim

_FLOAT = ir.TensorType(ir.DataType.FLOAT)


class StepWriter:
    """Adds nodes before a node of the graph, under its name and a label.

    Args:
        model: the graph.
        before: the node to insert before.
    """

    def __init__(self, model: ir.Model, before: ir.Node) -> None:
        self._graph, self._before = model.graph, before
        self._stem = before.name or before.outputs[0].name or before.op_type
        self._taken = set(ir.convenience.create_value_mapping(model.graph))
        self._taken.update(node.name for node in model.graph if node.name)
        self._matrices: dict[int, tuple[Matrix, ir.Value]] = {}  # by identity; held, so that none is used twice

    def add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[Dim],
        label: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> ir.Value:
        """Add a node of one float32 output with a known shape."""
        return self._add(op_type, inputs, [shape], label, attributes)[0]

    def split(self, value: ir.Value, parts: int, width: int, label: str) -> list[ir.Value]:
        """Cut `[n, parts · width]` into equal parts along its last axis."""
        if parts == 1:
            return [value]
        shape = (_dims(value)[0], width)
        return self._add("Split", [value], [shape] * parts, label, {"axis": 1, "num_outputs": parts})

    def join(self, values: Sequence[ir.Value], label: str) -> ir.Value:
        """Put values `[n, width]` beside each other along the last axis."""
        if len(values) == 1:
            return values[0]
        widths = [_dims(value)[1] for value in values]
        width = sum(size for size in widths if isinstance(size, int))
        return self.add("Concat", values, (_dims(values[0])[0], width), label, {"axis": 1})

    def constant(self, array: NDArray[Any], label: str) -> ir.Value:
        """Add a constant."""
        name = take_name(f"{self._stem}/{label}", self._taken)
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def reshape(self, value: ir.Value, shape: Sequence[Dim], label: str) -> ir.Value:
        """Give a value another shape, of which one dimension may be free."""
        target = [dim if isinstance(dim, int) else -1 for dim in shape]
        assert target.count(-1) <= 1, shape
        return self.add("Reshape", [value, self.constant(np.array(target, np.int64), f"{label}/shape")], shape, label)

    def product(self, value: ir.Value, matrix: Matrix, bias: NDArray[np.float32] | None, label: str) -> ir.Value:
        """Multiply `[n, columns]` with `matrix`ᵀ and add a bias `[rows]`; one matrix is one constant."""
        inputs = [value, self._matrix(matrix, label)]
        if bias is not None and bias.any():
            inputs.append(self.constant(bias, f"{label}/bias"))
        shape = (_dims(value)[0], matrix.stored.shape[0])
        return self.add("Gemm", inputs, shape, label, {"transB": 1})

    def activation(self, function: Activation, value: ir.Value, label: str) -> ir.Value:
        """Apply an activation of ONNX's recurrent operators."""
        shape, alpha, beta = _dims(value), function.alpha, function.beta
        if function.name in ("Elu", "LeakyRelu"):
            return self.add(function.name, [value], shape, label, {"alpha": alpha})
        if function.name == "HardSigmoid":
            return self.add(function.name, [value], shape, label, {"alpha": alpha, "beta": beta})
        if function.name == "Affine":
            scaled = self.times(value, alpha, f"{label}/scaled")
            return self.add("Add", [scaled, self._number(beta, label)], shape, label) if beta else scaled
        if function.name == "ScaledTanh":
            inner = self.add("Tanh", [self.times(value, beta, f"{label}/inner")], shape, f"{label}/tanh")
            return self.times(inner, alpha, label)
        return self.add(function.name, [value], shape, label)

    def times(self, value: ir.Value, factor: float, label: str) -> ir.Value:
        """Multiply with a number."""
        if factor == 1.0:
            return value
        return self.add("Mul", [value, self._number(factor, label)], _dims(value), label)

    def limited(self, value: ir.Value, limit: float, label: str) -> ir.Value:
        """Limit a value to `[-limit, limit]`; 0 is no limit."""
        if not limit:
            return value
        bounds = [self._number(bound, label) for bound in (-limit, limit)]
        return self.add("Clip", [value, *bounds], _dims(value), label)

    def _number(self, number: float, label: str) -> ir.Value:
        return self.constant(np.array(number, np.float32), f"{label}/number")

    def _matrix(self, matrix: Matrix, label: str) -> ir.Value:
        if id(matrix) not in self._matrices:
            stored = self.constant(matrix.stored, f"{label}/weight")
            if matrix.scale is not None:
                scale = self.constant(np.ascontiguousarray(matrix.scale), f"{label}/scale")
                real = self.add("DequantizeLinear", [stored, scale], matrix.stored.shape, f"{label}/real", {"axis": 0})
            elif matrix.stored.dtype == np.float16:
                real = self.add("Cast", [stored], matrix.stored.shape, f"{label}/real", {"to": ir.DataType.FLOAT})
            else:
                real = stored
            self._matrices[id(matrix)] = matrix, real
        return self._matrices[id(matrix)][1]

    def _add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shapes: Sequence[Sequence[Dim]],
        label: str,
        attributes: Mapping[str, Any] | None,
    ) -> list[ir.Value]:
        name = take_name(f"{self._stem}/{label}", self._taken)
        names = (
            [name] if len(shapes) == 1 else [take_name(f"{name}/{place}", self._taken) for place in range(len(shapes))]
        )
        outputs = [
            ir.Value(name=text, shape=ir.Shape(shape), type=_FLOAT) for text, shape in zip(names, shapes, strict=True)
        ]
        node = ir.node(op_type, inputs, dict(attributes or {}), outputs=outputs, name=name)
        self._graph.insert_before(self._before, node)
        return outputs


def _dims(value: ir.Value) -> tuple[Dim, ...]:
    assert value.shape is not None, value.name
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)
