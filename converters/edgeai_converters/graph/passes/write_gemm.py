"""Bring dense layers on two-dimensional values to one form: Gemm without factors.

Before: MatMul(x [N, K], W [K, M]) (→ Add b [M]).   After: Gemm(x, W, b).
Before: Gemm with alpha, beta ≠ 1 and constant W, b.   After: the factors are in W and b.
MatMul of values with more than two dimensions stays.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import (
    add_node,
    attribute,
    change_constant,
    channel_vector,
    constant_of,
    input_of,
    nodes,
    replace_node,
    sole_consumer,
)
from edgeai_converters.graph.shapes import shape_of


def write_gemm(model: ir.Model) -> tuple[ir.Model, bool]:
    """Turn MatMul with constant weights (and the addition after it) into Gemm; fold Gemm's factors."""
    changed = False
    for node in nodes(model, "MatMul"):
        changed |= _from_matmul(model, node)
    for node in nodes(model, "Gemm"):
        changed |= _fold_factors(model, node)
    return model, changed


def _from_matmul(model: ir.Model, node: ir.Node) -> bool:
    weight, shape = constant_of(node.inputs[1]), shape_of(node.inputs[0])
    if weight is None or weight.ndim != 2 or shape is None or len(shape) != 2 or weight.dtype.kind != "f":
        return False
    last, inputs = node, [node.inputs[0], node.inputs[1]]
    adder = sole_consumer(node.outputs[0])
    if adder is not None and adder.domain == "" and adder.op_type == "Add":
        index = 1 if adder.inputs[0] is node.outputs[0] else 0
        bias = constant_of(adder.inputs[index])
        vector = channel_vector(bias, 2, weight.shape[1]) if bias is not None else None
        if vector is not None and bias is not None and bias.size == vector.size:
            last = adder
            inputs.append(adder.inputs[index])
    result = add_node(model, last, "Gemm", inputs, name=node.name or "gemm", like=last.outputs[0])
    gemm = result.producer()
    assert gemm is not None
    if len(inputs) == 3:
        _write_bias_as_vector(model, gemm)
    replace_node(model, last, result)
    if last is not node:
        model.graph.remove(node, safe=True)
    return True


def _write_bias_as_vector(model: ir.Model, gemm: ir.Node) -> None:
    """Write the constant bias of a Gemm as a vector."""
    bias = constant_of(input_of(gemm, 2))
    if bias is not None and bias.ndim != 1:
        change_constant(model, gemm, 2, bias.reshape(-1))


def _fold_factors(model: ir.Model, node: ir.Node) -> bool:
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    weight, bias = constant_of(node.inputs[1]), constant_of(input_of(node, 2))
    if (alpha == 1.0 and beta == 1.0) or weight is None or (input_of(node, 2) is not None and bias is None):
        return False
    if alpha != 1.0:
        change_constant(model, node, 1, (weight.astype(np.float64) * alpha).astype(weight.dtype))
    if bias is not None and beta != 1.0:
        change_constant(model, node, 2, (bias.astype(np.float64) * beta).astype(bias.dtype))
    node.attributes.pop("alpha", None)
    node.attributes.pop("beta", None)
    return True
