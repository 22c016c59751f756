"""Fold a multiplication or addition of constants into the layer before it.

Before: Conv / ConvTranspose / Gemm → Mul, Div, Add or Sub with a constant per channel (or a scalar).
After:  the layer with changed weights and bias.
Not done: constants that differ along other axes, or raise the rank.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import channel_vector, constant_of, nodes, replace_node
from edgeai_converters.graph.passes.scale_layer import can_scale, output_channels, scale_layer
from edgeai_converters.graph.shapes import shape_of


def fold_affine(model: ir.Model) -> tuple[ir.Model, bool]:
    """Fold constant Mul, Div, Add and Sub that follow a layer into it."""
    changed = False
    for node in nodes(model, "Mul", "Div", "Add", "Sub"):
        for layer_index in (0, 1):
            if layer_index == 1 and node.op_type in ("Div", "Sub"):
                break
            if _fold(model, node, layer_index):
                changed = True
                break
    return model, changed


def _fold(model: ir.Model, node: ir.Node, layer_index: int) -> bool:
    source, constant = node.inputs[layer_index], constant_of(node.inputs[1 - layer_index])
    layer = source.producer() if source is not None else None
    if source is None or layer is None or constant is None or constant.dtype.kind != "f" or not can_scale(layer):
        return False
    shape = shape_of(source)
    rank = len(shape) if shape is not None else _rank(layer)
    vector = channel_vector(constant.astype(np.float64), rank, output_channels(layer))
    if vector is None or (node.op_type == "Div" and not vector.all()):
        return False
    match node.op_type:
        case "Mul":
            scale_layer(model, layer, vector, None)
        case "Div":
            scale_layer(model, layer, 1.0 / vector, None)
        case "Add":
            scale_layer(model, layer, None, vector)
        case _:
            scale_layer(model, layer, None, -vector)
    replace_node(model, node, source)
    return True


def _rank(layer: ir.Node) -> int:
    weight = constant_of(layer.inputs[1])
    assert weight is not None
    return weight.ndim
