"""Bring changes of shape to one form, and merge them.

Before: Flatten / Squeeze / Unsqueeze with a known result, or a Transpose that only moves axes of size 1.
After:  Reshape to a constant shape, with -1 for the one free dimension.
Before: Reshape → Reshape.   After: the second Reshape alone.
At the boundary a change between NHWC and NCHW is a Transpose, even with one channel, where a Reshape does as well:
layouts are given by Transposes.   input [N, H, W, 1] → Reshape [N, 1, H, W]   becomes   input → Transpose(0, 3, 1, 2).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, attribute, constant_of, is_op, nodes, replace_node
from edgeai_converters.graph.shapes import shape_of

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def write_reshape(model: ir.Model) -> tuple[ir.Model, bool]:
    """Turn Flatten, Squeeze, Unsqueeze and trivial Transposes into Reshape, and merge chains of Reshape."""
    changed = False
    for node in nodes(model, "Flatten", "Squeeze", "Unsqueeze"):
        changed |= _write(model, node)
    for node in nodes(model, "Transpose"):
        if _moves_only_ones(node) and not _changes_layout_at_boundary(node):
            changed |= _write(model, node)
    for node in nodes(model, "Reshape"):
        if _skip_first_of_two(model, node) or _write_as_transpose(model, node):
            changed = True
    return model, changed


def _write(model: ir.Model, node: ir.Node) -> bool:
    shape = shape_of(node.outputs[0])
    if shape is None or 0 in shape or sum(not isinstance(dim, int) for dim in shape) > 1:
        return False
    target = [dim if isinstance(dim, int) else -1 for dim in shape]
    stem = node.name or node.outputs[0].name or "reshape"
    form = add_constant(model, f"{stem}_shape", np.array(target, np.int64))
    reshaped = add_node(model, node, "Reshape", [node.inputs[0], form], name=stem, like=node.outputs[0])
    replace_node(model, node, reshaped)
    return True


def _moves_only_ones(node: ir.Node) -> bool:
    """Tell whether the axes longer than 1 keep their order, so that the data stays as it lies in memory."""
    shape, order = shape_of(node.inputs[0]), attribute(node, "perm", None)
    if shape is None or order is None:
        return False
    moved = [axis for axis in order if shape[axis] != 1]
    return moved == sorted(moved)


def _changes_layout_at_boundary(node: ir.Node) -> bool:
    """Tell whether the node changes an image (more than one pixel) between NHWC and NCHW at the graph's boundary."""
    return _layout_order(node) is not None


def _layout_order(node: ir.Node) -> tuple[int, ...] | None:
    """Return the order of axes of a change between NHWC and NCHW of a map at the boundary of the graph, else `None`."""
    source, output = node.inputs[0], node.outputs[0]
    before, after = shape_of(source), shape_of(output)
    if source is None or before is None or after is None or len(before) != 4 or len(after) != 4:
        return None
    for order, at_boundary in ((_TO_NCHW, source.is_graph_input()), (_TO_NHWC, output.is_graph_output())):
        sizes = tuple(before[axis] for axis in order)
        channels_first = after if order == _TO_NCHW else before
        if at_boundary and sizes[1:] == after[1:] and channels_first[1] == 1 and channels_first[2:] != (1, 1):
            return order
    return None


def _write_as_transpose(model: ir.Model, node: ir.Node) -> bool:
    order = _layout_order(node)
    shape = shape_of(node.inputs[0])
    if order is None or shape is None or not all(isinstance(dim, int) for dim in shape[1:]):
        return False
    transposed = add_node(
        model,
        node,
        "Transpose",
        [node.inputs[0]],
        name=node.name or "transpose",
        attributes={"perm": order},
        like=node.outputs[0],
    )
    replace_node(model, node, transposed)
    return True


def _skip_first_of_two(model: ir.Model, node: ir.Node) -> bool:
    first = node.inputs[0].producer() if node.inputs[0] is not None else None
    target = constant_of(node.inputs[1])
    if first is None or not is_op(first, "Reshape") or target is None or (target == 0).any():
        return False
    node.replace_input_with(0, first.inputs[0])
    if not first.outputs[0].uses() and not first.outputs[0].is_graph_output():
        model.graph.remove(first, safe=True)
    return True
