"""Remove nodes that change nothing.

Before: x → Identity / Dropout / Cast to the same type / Transpose in order / Reshape or Expand to the same shape /
Pad by nothing / Slice of everything / Concat of one / pooling of 1 × 1 → y.   After: y is x.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from edgeai_converters.graph.edit import attribute, bypass, constant_of, input_of, nodes
from edgeai_converters.graph.shapes import shape_of


def remove_no_ops(model: ir.Model) -> tuple[ir.Model, bool]:
    """Remove nodes whose output is their first input; a node between an input and an output of the graph stays."""
    changed = False
    for node in nodes(model, *_TESTS):
        if _TESTS[node.op_type](node) and not any(output.uses() for output in node.outputs[1:]):
            if any(output.is_graph_output() for output in node.outputs[1:]):
                continue
            changed |= bypass(model, node)
    return model, changed


def _always(node: ir.Node) -> bool:
    return True


def _drops_nothing(node: ir.Node) -> bool:
    training = input_of(node, 2)
    if training is None:
        return True
    constant = constant_of(training)
    return constant is not None and not bool(constant)


def _casts_to_same(node: ir.Node) -> bool:
    source = node.inputs[0]
    return source is not None and source.dtype is not None and attribute(node, "to", None) == source.dtype.value


def _transposes_nothing(node: ir.Node) -> bool:
    order = attribute(node, "perm", None)
    return order is not None and list(order) == list(range(len(order)))


def _keeps_shape(node: ir.Node) -> bool:
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if before is None or after is None or len(before) != len(after) or 0 in before:
        return False
    sizes = [[dim if isinstance(dim, int) else None for dim in shape] for shape in (before, after)]
    # The number of elements is kept, so one free dimension at the same place is the same whatever its name.
    return sizes[0] == sizes[1] and (sizes[0].count(None) <= 1 or (before == after and None not in before))


def _is_static_and_keeps_shape(node: ir.Node) -> bool:
    shape = shape_of(node.inputs[0])
    return shape is not None and None not in shape and shape == shape_of(node.outputs[0])


def _cuts_nothing(node: ir.Node) -> bool:
    """Tell whether a Slice takes the whole of every axis, in order."""
    tables = [constant_of(input_of(node, position)) for position in (1, 2, 3, 4)]
    before, after = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    starts, _, axes, steps = tables
    if starts is None or axes is None or not before or not after or len(before) != len(after):
        return False
    if input_of(node, 4) is not None and (steps is None or (steps < 1).any()):
        return False
    return all(isinstance(before[int(axis)], int) and before[int(axis)] == after[int(axis)] for axis in axes)


def _pads_nothing(node: ir.Node) -> bool:
    pads = constant_of(node.inputs[1])
    return pads is not None and not pads.any()


def _joins_one(node: ir.Node) -> bool:
    return len(node.inputs) == 1


def _pools_nothing(node: ir.Node) -> bool:
    ones: tuple[Any, ...] = (attribute(node, "kernel_shape", (0,)), attribute(node, "strides", (1,)))
    pads = attribute(node, "pads", (0,))
    return all(size == 1 for sizes in ones for size in sizes) and not any(pads)


_TESTS = {
    "Identity": _always,
    "Dropout": _drops_nothing,
    "Cast": _casts_to_same,
    "Transpose": _transposes_nothing,
    "Reshape": _keeps_shape,
    "Flatten": _keeps_shape,
    "Squeeze": _keeps_shape,
    "Unsqueeze": _keeps_shape,
    "Expand": _is_static_and_keeps_shape,
    "Pad": _pads_nothing,
    "Slice": _cuts_nothing,
    "Concat": _joins_one,
    "Sum": _joins_one,
    "Max": _joins_one,
    "Min": _joins_one,
    "MaxPool": _pools_nothing,
    "AveragePool": _pools_nothing,
}
