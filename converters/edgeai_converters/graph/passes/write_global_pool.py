"""Bring the mean over the whole map to one form.

Before: ReduceMean over all spatial axes of [N, C, H, W] (or [N, C, L]), or AveragePool whose window is the map.
After:  GlobalAveragePool (→ Reshape to [N, C] where the axes were dropped).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, attribute, axes_of, nodes, replace_node
from edgeai_converters.graph.shapes import shape_of


def write_global_pool(model: ir.Model) -> tuple[ir.Model, bool]:
    """Turn means over all spatial axes into GlobalAveragePool."""
    changed = False
    for node in nodes(model, "ReduceMean"):
        changed |= _from_reduce_mean(model, node)
    for node in nodes(model, "AveragePool"):
        changed |= _from_average_pool(model, node)
    return model, changed


def _from_reduce_mean(model: ir.Model, node: ir.Node) -> bool:
    shape, axes = shape_of(node.inputs[0]), axes_of(node)
    if shape is None or len(shape) not in (3, 4, 5) or not axes:
        return False
    rank = len(shape)
    if sorted(axis % rank for axis in axes) != list(range(2, rank)):
        return False
    stem = node.name or "global_pool"
    pooled = add_node(model, node, "GlobalAveragePool", [node.inputs[0]], name=stem)
    pooled.type = node.outputs[0].type
    pooled.shape = ir.Shape([*shape[:2], *(1 for _ in shape[2:])])
    if attribute(node, "keepdims", 1):
        replace_node(model, node, pooled)
        return True
    free = [dim for dim in shape[:2] if not isinstance(dim, int)]
    target = [0, 0] if len(free) == 2 else [dim if isinstance(dim, int) else -1 for dim in shape[:2]]
    form = add_constant(model, f"{stem}_shape", np.array(target, np.int64))
    reshaped = add_node(model, node, "Reshape", [pooled, form], name=f"{stem}_reshape", like=node.outputs[0])
    replace_node(model, node, reshaped)
    return True


def _from_average_pool(model: ir.Model, node: ir.Node) -> bool:
    shape = shape_of(node.inputs[0])
    if shape is None or shape[2:] != tuple(attribute(node, "kernel_shape", ())):
        return False
    if any(attribute(node, "pads", (0,))) or attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    if any(size != 1 for size in attribute(node, "dilations", (1,))) or attribute(node, "ceil_mode", 0):
        return False
    pooled = add_node(
        model, node, "GlobalAveragePool", [node.inputs[0]], name=node.name or "global_pool", like=node.outputs[0]
    )
    replace_node(model, node, pooled)
    return True
