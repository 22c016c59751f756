"""The pass that carries out a quantization plan in standard ONNX nodes.

x ── Conv ── Relu ── y         x ─ Q ─ DQ ── Conv ── Relu ─ Q ─ DQ ── y
      │                   →                   │
      w (float)                    w (int8) ─ DQ
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.quantize.affine import quantize_array
from edgeai_converters.quantize.plan import QuantizationPlan, TensorQuantization
from edgeai_converters.quantize.planner import bias_key
from edgeai_converters.quantize.units import node_keys
from edgeai_runtime.errors import UsageError


def insert_qdq(model: ir.Model, plan: QuantizationPlan) -> tuple[ir.Model, bool]:
    """Return a copy of the graph with Quantize/Dequantize nodes and integer constants as planned.

    Precondition: the plan was made for this graph. Postcondition: names of inputs and outputs are the same; every
    activation of the plan has one Quantize and one Dequantize node; integer nodes read dequantized values only.

    Args:
        model: the float graph; not changed.
        plan: what to store how.

    Returns:
        The new graph, and whether it differs.

    Raises:
        UsageError: the plan names a value that the graph does not have.
    """
    if not plan.activations and not plan.weights:
        return model, False
    model = model.clone()
    keys = node_keys(model)
    nodes = list(model.graph)
    values = ir.convenience.create_value_mapping(model.graph)
    unknown = [name for name in plan.activations if name not in values]
    if unknown:
        raise UsageError(f"The plan names a value that the graph does not have: {unknown[0]!r}.")
    integer_nodes = {node for node, key in keys.items() if key not in plan.float_nodes}
    maker = _Maker(model.graph)
    for node in nodes:
        if node in integer_nodes:
            _read_stored_constants(maker, node, keys[node], plan)
    for name, quantization in plan.activations.items():
        _store(maker, values[name], quantization, integer_nodes)
    maker.drop_unused()
    return model, True


_CONSTANTS_ARE_PARAMETERS = frozenset({"Clip", "Pad", "Resize"})
"""Operators whose floating-point constants are settings, not data, even if a layer shares the constant."""


def _read_stored_constants(maker: _Maker, node: ir.Node, key: str, plan: QuantizationPlan) -> None:
    if node.op_type in _CONSTANTS_ARE_PARAMETERS:
        return
    for index, value in enumerate(node.inputs):
        if value is None or value.const_value is None or value.name is None:
            continue
        name = bias_key(value.name, key)
        quantization = plan.weights.get(name) or plan.weights.get(value.name)
        if quantization is not None:
            stored_name = name if name in plan.weights else value.name
            node.replace_input_with(index, maker.stored_constant(value, stored_name, quantization, before=node))


def _store(maker: _Maker, value: ir.Value, quantization: TensorQuantization, integer_nodes: set[ir.Node]) -> None:
    """Put Q and DQ behind a value. Floats that read a float producer keep reading it unrounded."""
    producer = value.producer()
    readers = list(value.uses())
    keeps_floats = producer is None or producer not in integer_nodes
    quantize, dequantize = maker.pair(value, quantization)
    if producer is None:
        maker.graph.insert_before(maker.graph[0], (quantize, dequantize))
    else:
        maker.graph.insert_after(producer, (quantize, dequantize))
    result = dequantize.outputs[0]
    for node, index in readers:
        if node in integer_nodes or not keeps_floats:
            node.replace_input_with(index, result)
    if value.is_graph_output() and not keeps_floats:
        outputs = maker.graph.outputs
        name = value.name
        for position, output in enumerate(outputs):
            if output is value:
                outputs[position] = result
        value.name = maker.free_name(f"{name}_float")
        result.name = name


class _Maker:
    """Makes the new nodes and constants of one graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._names = set(ir.convenience.create_value_mapping(graph))
        self._constants: dict[str, ir.Value] = {}

    def free_name(self, wanted: str) -> str:
        name, n = wanted, 1
        while name in self._names:
            name, n = f"{wanted}_{n}", n + 1
        self._names.add(name)
        return name

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        tensor = ir.tensor(array, name=self.free_name(name))
        value = ir.Value(
            name=tensor.name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self.graph.register_initializer(value)
        return value

    def pair(self, value: ir.Value, quantization: TensorQuantization) -> tuple[ir.Node, ir.Node]:
        """Return a Quantize and a Dequantize node for an activation, not yet in the graph."""
        scale, zero_point = self._parameters(str(value.name), quantization)
        stored = ir.Value(
            name=self.free_name(f"{value.name}_quantized"),
            shape=value.shape,
            type=ir.TensorType(ir.DataType[quantization.dtype.upper()]),
        )
        quantize = ir.node("QuantizeLinear", [value, scale, zero_point], outputs=[stored], name=f"{value.name}_q")
        return quantize, self._dequantize(stored, scale, zero_point, str(value.name), None)

    def stored_constant(
        self, value: ir.Value, name: str, quantization: TensorQuantization, *, before: ir.Node
    ) -> ir.Value:
        """Return the dequantized form of a constant; made once and put before its first reader."""
        if name not in self._constants:
            assert value.const_value is not None
            stored = self.constant(f"{name}_quantized", quantize_array(value.const_value.numpy(), quantization))
            scale, zero_point = self._parameters(name, quantization)
            node = self._dequantize(stored, scale, zero_point, name, quantization.axis)
            self.graph.insert_before(before, node)
            self._constants[name] = node.outputs[0]
        return self._constants[name]

    def drop_unused(self) -> None:
        """Remove constants that nothing reads any more."""
        initializers = self.graph.initializers
        for name in [n for n, v in initializers.items() if not v.uses() and not v.is_graph_output()]:
            del initializers[name]

    def _parameters(self, name: str, quantization: TensorQuantization) -> tuple[ir.Value, ir.Value]:
        shape = () if quantization.axis is None else (-1,)
        scale = np.asarray(quantization.scale, np.float32).reshape(shape)
        zero_point = np.asarray(quantization.zero_point, quantization.dtype).reshape(shape)
        return self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero_point", zero_point)

    def _dequantize(
        self, stored: ir.Value, scale: ir.Value, zero_point: ir.Value, name: str, axis: int | None
    ) -> ir.Node:
        result = ir.Value(
            name=self.free_name(f"{name}_dequantized"), shape=stored.shape, type=ir.TensorType(ir.DataType.FLOAT)
        )
        attributes = {} if axis is None else {"axis": axis}
        return ir.node("DequantizeLinear", [stored, scale, zero_point], attributes, outputs=[result], name=f"{name}_dq")
