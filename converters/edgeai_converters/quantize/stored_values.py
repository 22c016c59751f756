"""Reading the Quantize and Dequantize nodes of a graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import cast, get_args

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, constant_of, input_of
from edgeai_converters.quantize.plan import QuantizedDtype, TensorQuantization
from edgeai_runtime.manifest import Quantization, TensorSpec

QUANTIZE = frozenset({"QuantizeLinear"})
DEQUANTIZE = frozenset({"DequantizeLinear"})
_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})


def stored_nodes(model: ir.Model, op_types: Collection[str]) -> list[ir.Node]:
    """Return the nodes of these types: ONNX's own, and ONNX Runtime's form of them for 16 bits."""
    return [node for node in model.graph if node.op_type in op_types and node.domain in _DOMAINS]


def boundary_quantization(model: ir.Model) -> dict[str, Quantization]:
    """Return what the integers of the graph's inputs and outputs mean, by name, where a node beside them tells."""
    found: dict[str, Quantization] = {}
    for value in (*model.graph.inputs, *model.graph.outputs):
        producer = value.producer()
        near = [use.node for use in value.uses()] if producer is None else [producer]
        wanted = DEQUANTIZE if producer is None else QUANTIZE
        for node in near:
            place = 1 if node.op_type in wanted else _place_of_scale(node, value, is_input=producer is None)
            scale, point = (constant_of(input_of(node, place + i)) if place is not None else None for i in (0, 1))
            if scale is not None and scale.size == 1:
                zero = 0 if point is None else int(point.reshape(()))
                found[str(value.name)] = Quantization(scale=float(scale.reshape(())), zero_point=zero)
                break
    return found


_PLACE_OF_OUTPUT_SCALE = {"QLinearConcat": 0, "QGemm": 7} | dict.fromkeys(
    ("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), 6
)
"""Integer operators → the input with the scale of their output; 3 for those of one value."""


def _place_of_scale(node: ir.Node, value: ir.Value, *, is_input: bool) -> int | None:
    if not (node.op_type.startswith("QLinear") or node.op_type == "QGemm"):
        return None
    if is_input:
        return next(index for index, one in enumerate(node.inputs) if one is value) + 1
    return _PLACE_OF_OUTPUT_SCALE.get(node.op_type, 3)


def with_quantization(specs: Sequence[TensorSpec], found: Mapping[str, Quantization]) -> tuple[TensorSpec, ...]:
    """Return specs of a boundary with what their integers mean."""
    return tuple(
        replace(spec, quantization=found[spec.name]) if spec.name in found and "float" not in spec.dtype else spec
        for spec in specs
    )


def read_parameters(node: ir.Node) -> TensorQuantization | None:
    """Return what a Q or DQ node does; `None` when it is computed in the graph, or in blocks."""
    scale = constant_of(input_of(node, 1))
    given = input_of(node, 2)
    point = constant_of(given)
    if scale is None or (given is not None and point is None) or attribute(node, "block_size", 0):
        return None
    if point is not None:
        dtype = point.dtype.name
    else:
        stored = node.inputs[0] if node.op_type in DEQUANTIZE else node.outputs[0]
        dtype = "uint8" if stored is None or stored.dtype is None else stored.dtype.name.lower()
    if dtype not in get_args(QuantizedDtype):
        return None
    zeros = np.zeros(scale.size, np.int64) if point is None else point.astype(np.int64)
    value = node.inputs[0]
    rank = len(value.shape) if value is not None and value.shape is not None else 0
    axis = int(attribute(node, "axis", 1)) % max(rank, 1) if scale.size > 1 else None
    return TensorQuantization(
        dtype=cast(QuantizedDtype, dtype),
        scale=tuple(float(number) for number in scale.reshape(-1)),
        zero_point=tuple(int(number) for number in np.broadcast_to(zeros.reshape(-1), scale.size)),
        axis=axis,
    )
