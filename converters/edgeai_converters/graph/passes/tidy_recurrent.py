"""Tidy recurrent layers: leave out inputs that say nothing, and turn the direction instead of the sequence.

Before: LSTM / GRU / RNN with zero initial states, lengths that are those of the whole sequence.   After: without them.
Before: ReverseSequence of whole sequences.   After: Slice with step -1, of which two in a row go away.
Before: Slice [::-1] along time → forward layer → Y.   After: reverse layer → Slice [::-1] → Y.
Before: Y → Slice of the last step.   After: Y_h.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    bypass,
    constant_of,
    input_of,
    is_op,
    nodes,
    remove_node,
    replace_node,
    replace_value,
    unique_name,
)
from edgeai_converters.graph.recurrent.layer import GATES
from edgeai_converters.graph.recurrent.uniform import uniform_value
from edgeai_converters.graph.shapes import shape_of

_OPPOSITE = {"forward": "reverse", "reverse": "forward"}


def tidy_recurrent(model: ir.Model) -> tuple[ir.Model, bool]:
    """Simplify recurrent layers and the reversals around them, in place."""
    changed = False
    for node in nodes(model, "ReverseSequence"):
        changed |= _write_slice(model, node)
    for node in nodes(model, "Slice"):
        changed |= _cancel(model, node) or _take_last_state(model, node)
    for node in nodes(model, *GATES):
        changed |= _drop_inputs(node) | _turn(model, node)
    return model, changed


def _write_slice(model: ir.Model, node: ir.Node) -> bool:
    axis = int(attribute(node, "time_axis", 0))
    shape, length = shape_of(node.inputs[0]), uniform_value(node.inputs[1])
    if shape is None or length is None or shape[axis] != int(length):
        return False
    replace_node(model, node, _reversed(model, node, node.inputs[0], axis, node.outputs[0]))
    return True


def _reversed(model: ir.Model, before: ir.Node, value: ir.Value | None, axis: int, like: ir.Value) -> ir.Value:
    stem = f"{like.name}_reversed"
    numbers = (("start", -1), ("end", -(2**31)), ("axis", axis), ("step", -1))
    tables = [add_constant(model, f"{stem}_{label}", np.array([number], np.int64)) for label, number in numbers]
    return add_node(model, before, "Slice", [value, *tables], name=stem, like=like)


def _reversed_axis(node: ir.Node | None) -> int | None:
    """Return the axis that a Slice reverses whole, `None` for another node."""
    if node is None or not is_op(node, "Slice"):
        return None
    numbers = [constant_of(input_of(node, index)) for index in (1, 2, 3, 4)]
    if any(array is None or array.size != 1 for array in numbers):
        return None
    start, end, axis, step = (int(array.reshape(-1)[0]) for array in numbers if array is not None)
    shape = shape_of(node.inputs[0])
    if step != -1 or shape is None:
        return None
    size = shape[axis]
    from_last = start == -1 or start >= 2**31 - 1 or (isinstance(size, int) and start >= size - 1)
    to_first = end <= -(2**31) or (isinstance(size, int) and end <= -size - 1)
    return axis % len(shape) if from_last and to_first else None


def _cancel(model: ir.Model, node: ir.Node) -> bool:
    """Remove two reversals of the same axis, also with a Reshape of the other axes between them."""
    axis = _reversed_axis(node)
    between, first = _before(node, axis or 0)
    if axis is None or first is None or first.inputs[0] is None:
        return False
    if _reversed_axis(first) != (axis if between is None else 0):
        return False
    if between is not None:
        if len(between.outputs[0].uses()) != 1:
            return False
        between.replace_input_with(0, first.inputs[0])
        return bypass(model, node)
    node.replace_input_with(0, first.inputs[0])
    return bypass(model, node)


def _before(node: ir.Node, axis: int = 0) -> tuple[ir.Node | None, ir.Node | None]:
    """Return the Reshape before a node that makes the first axis `axis`, if there is one, and the node before both."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    if producer is None or not is_op(producer, "Reshape", "Squeeze") or producer.inputs[0] is None:
        return None, producer
    before, after = shape_of(producer.inputs[0]), shape_of(producer.outputs[0])
    if not before or not after or not isinstance(before[0], int) or len(after) <= axis:
        return None, producer
    if after[axis] != before[0] or any(size != 1 for size in after[:axis]):
        return None, producer
    return producer, producer.inputs[0].producer()


def _take_last_state(model: ir.Model, node: ir.Node) -> bool:
    """Read Y_h where a Slice takes the last step that a layer computes out of Y.

    Before: layer → Y [T, 1, N, H] → Reshape [T, N, H] (→ Slice [::-1]) → Slice of one step.   After: layer → Y_h.
    """
    numbers = [constant_of(input_of(node, index)) for index in (1, 2, 3)]
    shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if any(array is None or array.size != 1 for array in numbers) or not shape or not result:
        return False
    start, _, axis = (int(array.reshape(-1)[0]) for array in numbers if array is not None)
    steps = shape[0]
    if axis % len(shape) != 0 or not isinstance(steps, int) or result[0] != 1 or len(result) != 3 or steps < 2:
        return False
    place = start % steps if start >= -steps else 0
    between, layer = _before(node)
    if between is None and layer is not None and _reversed_axis(layer) == 0:
        place = steps - 1 - place
        between, layer = _before(layer)
    if layer is not None and _reversed_axis(layer) == 0:
        place = steps - 1 - place
        layer = layer.inputs[0].producer() if layer.inputs[0] is not None else None
    if between is None or layer is None or not is_op(layer, *GATES) or input_of(layer, 4) is not None:
        return False
    computed_last = {"forward": steps - 1, "reverse": 0}.get(str(attribute(layer, "direction", "forward")))
    if place != computed_last or attribute(layer, "layout", 0) or len(layer.outputs) < 2:
        return False
    last = layer.outputs[1]
    if not last.name:
        last.name, last.type = unique_name(model, f"{layer.name or layer.op_type}_Y_h"), layer.outputs[0].type
    if not replace_value(model, node.outputs[0], last):
        return False
    remove_node(model, node)
    return True


def _drop_inputs(node: ir.Node) -> bool:
    changed = False
    for index in (5, 6):
        value = input_of(node, index)
        if value is not None and uniform_value(value) == 0:
            node.replace_input_with(index, None)
            changed = True
    lengths, shape = input_of(node, 4), shape_of(node.inputs[0])
    steps = None if shape is None else shape[1 if attribute(node, "layout", 0) else 0]
    if lengths is not None and isinstance(steps, int) and uniform_value(lengths) == steps:
        node.replace_input_with(4, None)
        changed = True
    return changed


def _turn(model: ir.Model, node: ir.Node) -> bool:
    direction = str(attribute(node, "direction", "forward"))
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    if direction not in _OPPOSITE or attribute(node, "layout", 0) or input_of(node, 4) is not None:
        return False
    if source is None or _reversed_axis(source) != 0:
        return False
    node.replace_input_with(0, source.inputs[0])
    node.attributes["direction"] = ir.AttrString("direction", _OPPOSITE[direction])
    old = node.outputs[0]
    if old.uses() or old.is_graph_output():
        after = model.graph[list(model.graph).index(node) + 1]
        turned = _reversed(model, after, old, 0, old)
        slicer = turned.producer()
        replace_value(model, old, turned)
        assert slicer is not None
        slicer.replace_input_with(0, old)
    return True
