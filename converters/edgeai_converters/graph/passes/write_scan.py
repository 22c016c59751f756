"""Write a Scan over sequences of known length as a Loop, which the passes for loops know.

Before: Scan(state, x) {state, row of x → state, y}.   After: Loop(length, state) {x[trip] → …} collects y.
tf2onnx writes the loops of old TensorFlow graphs as Scan.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, attribute, nodes, replace_value, unique_name
from edgeai_converters.graph.shapes import shape_of


def write_scan(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace Scans whose sequences have a known length by Loops, in place; the numbers stay exactly the same."""
    changed = False
    for node in nodes(model, "Scan"):
        count = int(attribute(node, "num_scan_inputs", 0))
        axes = [int(axis) for axis in attribute(node, "scan_input_axes", ())] or [0] * count
        shapes = [shape_of(value) for value in node.inputs[len(node.inputs) - count :]]
        sizes = {None if not shape else shape[axis] for shape, axis in zip(shapes, axes, strict=True)}
        size = sizes.pop() if len(sizes) == 1 else None
        if isinstance(size, int) and size > 0:
            _replace(model, node, axes, size)
            changed = True
    return model, changed


def _replace(model: ir.Model, node: ir.Node, axes: list[int], size: int) -> None:
    body = node.attributes["body"].as_graph()
    stem, count = node.name or "scan", len(axes)
    states = len(node.inputs) - count
    trip = ir.Value(name=unique_name(model, f"{stem}/trip"), shape=ir.Shape(()), type=ir.TensorType(ir.DataType.INT64))
    goes_on = ir.Value(
        name=unique_name(model, f"{stem}/goes_on"), shape=ir.Shape(()), type=ir.TensorType(ir.DataType.BOOL)
    )
    backward = attribute(node, "scan_input_directions", ()) or (0,) * count
    rows = [
        _row(model, f"{stem}/row{i}", node.inputs[states + i], trip, axes[i], size if backward[i] else 0)
        for i in range(count)
    ]
    for start, made in zip(body.inputs[states:], rows, strict=True):
        row = made[-1].outputs[0]
        row.type, row.shape = start.type, start.shape
        for position, end in enumerate(body.outputs):
            if end is start:
                body.outputs[position] = row
        ir.convenience.replace_all_uses_with(start, row)
    _prepend(body, [one for made in rows for one in made])
    del body.inputs[states:]
    body.inputs.insert(0, goes_on)
    body.inputs.insert(0, trip)
    again = ir.node("Identity", [goes_on], name=unique_name(model, f"{stem}/again"))
    again.outputs[0].name, again.outputs[0].type = again.name, goes_on.type
    body.append(again)
    body.outputs.insert(0, again.outputs[0])
    limits = [
        add_constant(model, f"{stem}/trips", np.array(size, np.int64)),
        add_constant(model, f"{stem}/first", np.array(True)),
    ]
    node.attributes.pop("body")
    loop = ir.node(
        "Loop", [*limits, *node.inputs[:states]], {}, num_outputs=len(node.outputs), name=unique_name(model, stem)
    )
    loop.attributes["body"] = ir.AttrGraph("body", body)
    model.graph.insert_before(node, loop)
    for position, (old, new) in enumerate(zip(node.outputs, loop.outputs, strict=True)):
        new.name, new.type = unique_name(model, f"{stem}/result{position}"), old.type
        if position < states:
            new.shape = old.shape
        elif old.uses() or old.is_graph_output():
            new = _laid(model, node, new, old, position - states)
        replace_value(model, old, new)
    model.graph.remove(node, safe=True)


def _row(
    model: ir.Model, name: str, sequence: ir.Value | None, trip: ir.Value, axis: int, backward: int
) -> list[ir.Node]:
    """Return the nodes that read one step of a sequence; `backward` is its length when it is read from the end."""
    made: list[ir.Node] = []
    place = trip
    if backward:
        last = add_constant(model, f"{name}/last", np.array(backward - 1, np.int64))
        made.append(ir.node("Sub", [last, trip], name=unique_name(model, f"{name}/place")))
        place = made[0].outputs[0]
        place.name, place.type, place.shape = made[0].name, trip.type, trip.shape
    made.append(ir.node("Gather", [sequence, place], {"axis": axis}, name=unique_name(model, name)))
    made[-1].outputs[0].name = made[-1].name
    return made


def _prepend(body: ir.Graph, made: list[ir.Node]) -> None:
    first = next(iter(body), None)
    if first is None:
        body.extend(made)
    else:
        body.insert_before(first, made)


def _laid(model: ir.Model, node: ir.Node, value: ir.Value, old: ir.Value, position: int) -> ir.Value:
    """Return collected rows in the direction and along the axis of the Scan."""
    backward = attribute(node, "scan_output_directions", ())
    axes = attribute(node, "scan_output_axes", ())
    if backward and backward[position]:
        numbers = (("start", -1), ("end", -(2**31)), ("axis", 0), ("step", -1))
        tables = [add_constant(model, f"{value.name}/{label}", np.array([each], np.int64)) for label, each in numbers]
        value = add_node(model, node, "Slice", [value, *tables], name=f"{value.name}/turned")
    axis, shape = (int(axes[position]) if axes else 0), shape_of(old)
    if axis and shape is not None:
        rank = len(shape)
        axis %= rank
        order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        value = add_node(model, node, "Transpose", [value], name=f"{value.name}/laid", attributes={"perm": order})
    return value
