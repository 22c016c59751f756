"""Which constants of a graph are trained: found from their use, not from their type."""

from __future__ import annotations

import math

import onnx_ir as ir

_WEIGHTS: dict[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "GRU": (1, 2, 3, 5),
    "Gather": (0,),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 5, 6, 7),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "PRelu": (1,),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3, 5),
}
"""Operator → inputs that are weights when they are constants."""

_LARGEST_BIAS = 1e3
"""A constant that is added and reaches further is a mask, not a bias."""

_PASSES_ON = frozenset({"Cast", "Expand", "Identity", "Reshape", "Transpose", "Unsqueeze"})


def trained_constants(model: ir.Model) -> list[str]:
    """Return the names of the float constants that training may change, in the graph's order.

    They are: weights and biases of layers, normalizations and recurrent layers, tables that are gathered from, and what
    is added to computed values (biases, positions). Not: single numbers, masks added before a Softmax, scales and
    shifts of the input, settings of operators, factors.
    """
    names: dict[str, None] = {}
    for node in model.graph:
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None or not value.name or value.dtype not in _FLOATS:
                continue
            if index in _WEIGHTS.get(node.op_type, ()) or (node.op_type == "Add" and _is_bias(node, value)):
                names[value.name] = None
    return list(names)


_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)


def _is_bias(node: ir.Node, value: ir.Value) -> bool:
    assert value.const_value is not None
    other = next((one for one in node.inputs if one is not value), None)
    if other is None or other.is_graph_input() or math.prod(value.const_value.shape.numpy()) < 2:
        return False
    array = value.const_value.numpy()
    return bool(abs(array).max() < _LARGEST_BIAS) and not _feeds_softmax(node.outputs[0])


def _feeds_softmax(value: ir.Value) -> bool:
    """Tell whether the next operator that computes anything is a Softmax."""
    return any(
        use.node.op_type in ("Softmax", "LogSoftmax")
        or (use.node.op_type in _PASSES_ON and _feeds_softmax(use.node.outputs[0]))
        for use in value.uses()
    )
