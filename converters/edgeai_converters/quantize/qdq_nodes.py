"""Making Quantize and Dequantize nodes and integer constants in a graph; used by every pass that writes integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.free_names import take_name
from edgeai_converters.quantize.affine import quantize_array
from edgeai_converters.quantize.plan import TensorQuantization

_STANDARD_16_BIT_OPSET = 21
"""Opset from which ONNX's own Quantize/DequantizeLinear store 16 bits; before, ONNX Runtime's operators do."""


class QdqWriter:
    """Makes the new nodes and constants of one graph, under names that are free in it."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._names = set(ir.convenience.create_value_mapping(graph))
        self._constants: dict[str, ir.Value] = {}

    def free_name(self, wanted: str) -> str:
        """Return `wanted`, or with a number after it when the graph has that name already, and take it."""
        return take_name(wanted, self._names)

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """Return a new constant of the graph."""
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
        name = f"{value.name}_q"
        domain = self._domain(quantization)
        quantize = ir.node("QuantizeLinear", [value, scale, zero_point], domain=domain, outputs=[stored], name=name)
        return quantize, self._dequantize(stored, scale, zero_point, str(value.name), None, domain)

    def dequantized(self, stored: ir.Value, quantization: TensorQuantization) -> ir.Node:
        """Return a Dequantize node for integers that are there already, not yet in the graph."""
        name = f"{stored.name}_given"
        scale, zero_point = self._parameters(name, quantization)
        return self._dequantize(stored, scale, zero_point, name, None, self._domain(quantization))

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

    def exact_constant(
        self, value: ir.Value, integers: NDArray[Any], quantization: TensorQuantization, *, before: ir.Node
    ) -> ir.Value:
        """Return the dequantized form of integers that a constant stands for."""
        name = str(value.name)
        stored = self.constant(f"{name}_quantized", integers)
        scale, zero_point = self._parameters(name, quantization)
        node = self._dequantize(stored, scale, zero_point, name, quantization.axis)
        self.graph.insert_before(before, node)
        return node.outputs[0]

    def drop_unused(self) -> None:
        """Remove constants that nothing reads any more."""
        initializers = self.graph.initializers
        for name in [n for n, v in initializers.items() if not v.uses() and not v.is_graph_output()]:
            del initializers[name]

    def _domain(self, quantization: TensorQuantization) -> str:
        opsets = self.graph.opset_imports
        if quantization.dtype not in ("int16", "uint16") or opsets.get("", 0) >= _STANDARD_16_BIT_OPSET:
            return ""
        opsets.setdefault("com.microsoft", 1)
        return "com.microsoft"

    def _parameters(self, name: str, quantization: TensorQuantization) -> tuple[ir.Value, ir.Value]:
        shape = () if quantization.axis is None else (-1,)
        scale = np.asarray(quantization.scale, np.float32).reshape(shape)
        zero_point = np.asarray(quantization.zero_point, quantization.dtype).reshape(shape)
        return self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero_point", zero_point)

    def _dequantize(
        self,
        stored: ir.Value,
        scale: ir.Value,
        zero_point: ir.Value,
        name: str,
        axis: int | None,
        domain: str = "",
    ) -> ir.Node:
        result = ir.Value(
            name=self.free_name(f"{name}_dequantized"), shape=stored.shape, type=ir.TensorType(ir.DataType.FLOAT)
        )
        attributes = {} if axis is None else {"axis": axis}
        inputs = [stored, scale, zero_point]
        return ir.node("DequantizeLinear", inputs, attributes, domain=domain, outputs=[result], name=f"{name}_dq")
