"""Let a loop collect what it writes row by row into a list that it carries.

Before: Loop(…, list) {list = list with row i replaced by r}.   After: Loop(…) {…} collects r.
TensorFlow writes recurrent layers so. A row is replaced by ScatterND, or by joining what is before it, the new row, and
what is behind it. Done when every row is written, so that nothing of the first list is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import (
    add_constant,
    add_node,
    attribute,
    constant_of,
    input_of,
    is_op,
    nodes,
    replace_value,
    unique_name,
)
from edgeai_converters.graph.recurrent.loop import CountedLoop, original, read_loop
from edgeai_converters.graph.shapes import shape_of

_END = 2**31 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Written:
    """A list that a loop writes: its place among what is carried, the row `[1, …]`, and where it goes at every trip."""

    place: int
    row: ir.Value
    rows: list[int]
    size: int


def collect_rows(model: ir.Model) -> tuple[ir.Model, bool]:
    """Turn lists that loops carry and write into what they collect, in place; the numbers stay exactly the same."""
    changed = False
    for node in nodes(model, "Loop"):
        loop = read_loop(node)
        written = None if loop is None or not loop.trips else _find(loop)
        if loop is not None and written is not None:
            _collect(model, loop, written)
            changed = True
    return model, changed


def _find(loop: CountedLoop) -> _Written | None:
    for place, (start, end) in enumerate(zip(loop.body.inputs[2:], loop.body.outputs[1:], strict=False)):
        first = loop.node.inputs[2 + place]
        shape = shape_of(first)
        if start in loop.invariants or not shape or not isinstance(shape[0], int):
            continue
        last = original(end)
        found = _scattered(loop, start, last) or _joined(loop, start, last) or _replaced(loop, start, last)
        if found is None or not _reads_only(start, end):
            continue
        row, rows = found
        rows = [index + shape[0] if index < 0 else index for index in rows]
        if set(rows) == set(range(shape[0])):
            return _Written(place=place, row=row, rows=rows, size=shape[0])
    return None


def _scattered(loop: CountedLoop, start: ir.Value, end: ir.Value) -> tuple[ir.Value, list[int]] | None:
    """Match ScatterND(list, [[i]], row)."""
    node = end.producer()
    if node is None or not is_op(node, "ScatterND") or attribute(node, "reduction", "none") != "none":
        return None
    source = _behind_expand(node.inputs[0])
    places = _values(loop, node.inputs[1])
    if source is not start or places is None or any(array.shape != (1, 1) for array in places):
        return None
    row = node.inputs[2]
    return None if row is None else (row, [int(array[0, 0]) for array in places])


def _behind_expand(value: ir.Value | None) -> ir.Value | None:
    """Return what an Expand reads: all rows are written, whatever shape those of the first list have."""
    value = None if value is None else original(value)
    node = None if value is None else value.producer()
    return original(node.inputs[0]) if node is not None and is_op(node, "Expand") and node.inputs[0] else value


def _joined(loop: CountedLoop, start: ir.Value, end: ir.Value) -> tuple[ir.Value, list[int]] | None:
    """Match Concat(list[:i], row, list[i + 1:])."""
    node = end.producer()
    if node is None or not is_op(node, "Concat") or attribute(node, "axis", 0) != 0 or len(node.inputs) != 3:
        return None
    before, row, behind = node.inputs
    heads, tails = _ranges(loop, before, start), _ranges(loop, behind, start)
    if row is None or heads is None or tails is None or _without_first_axis(row) is None:
        return None
    rows = []
    for (head_start, head_end), (tail_start, tail_end) in zip(heads, tails, strict=True):
        if head_start != 0 or tail_start != head_end + 1 or tail_end < _END:
            return None
        rows.append(head_end)
    return row, rows


def _replaced(loop: CountedLoop, start: ir.Value, end: ir.Value) -> tuple[ir.Value, list[int]] | None:
    """Match a list of one row that is written whole."""
    if start.uses() or start.is_graph_output() or _without_first_axis(end) is None:
        return None
    return end, [0] * loop.trips


def _ranges(loop: CountedLoop, value: ir.Value | None, start: ir.Value) -> list[tuple[int, int]] | None:
    """Return the rows that a Slice takes of the list at every trip, `None` for another node."""
    node = None if value is None else original(value).producer()
    if node is None or not is_op(node, "Slice") or node.inputs[0] is not start:
        return None
    tables = [_values(loop, input_of(node, position)) for position in (1, 2)]
    axes, steps = constant_of(input_of(node, 3)), constant_of(input_of(node, 4))
    if any(table is None for table in tables) or (steps is not None and np.any(steps != 1)):
        return None
    if (input_of(node, 3) is not None and axes is None) or (input_of(node, 4) is not None and steps is None):
        return None
    ranges = []
    for starts, ends in zip(*(table for table in tables if table is not None), strict=True):
        order = list(range(starts.size)) if axes is None else [int(axis) for axis in axes.reshape(-1)]
        found = {axis: (int(a), int(b)) for axis, a, b in zip(order, starts.reshape(-1), ends.reshape(-1), strict=True)}
        if any(a != 0 or b < _END for axis, (a, b) in found.items() if axis != 0) or 0 not in found:
            return None
        ranges.append(found[0])
    return ranges


def _values(loop: CountedLoop, value: ir.Value | None) -> list[NDArray[np.generic]] | None:
    """Return what a value is at every trip, `None` where that is not known."""
    array = constant_of(value)
    if value is None:
        return None
    if array is not None:
        return [array] * loop.trips
    if any(value not in trip for trip in loop.counters):
        return None
    return [trip[value] for trip in loop.counters]


def _reads_only(start: ir.Value, end: ir.Value) -> bool:
    """Tell whether all that depends on the list at the begin of a trip goes into the list at its end."""
    waiting, seen = [start], set()
    while waiting:
        value = waiting.pop()
        if value is end:
            if value.uses():
                return False
            continue
        if value.is_graph_output():
            return False
        for use in value.uses():
            if use.node not in seen:
                seen.add(use.node)
                waiting.extend(use.node.outputs)
    return True


def _without_first_axis(row: ir.Value) -> tuple[ir.Value, list[int] | None] | None:
    """Return the value that a row `[1, …]` is made of, and the shape to give it; `None` when that is not known."""
    node = original(row).producer()
    if node is None or node.inputs[0] is None:
        return None
    numbers = constant_of(input_of(node, 1))
    if is_op(node, "Unsqueeze") and numbers is not None and [int(axis) for axis in numbers.reshape(-1)] == [0]:
        return node.inputs[0], None
    if is_op(node, "Reshape") and numbers is not None and numbers.size and int(numbers.reshape(-1)[0]) == 1:
        shape = [int(size) for size in numbers.reshape(-1)[1:]]
        return None if any(size < 1 for size in shape[:-1]) else (node.inputs[0], shape)
    return None


def _collect(model: ir.Model, loop: CountedLoop, written: _Written) -> None:
    node, body = loop.node, loop.body
    body.outputs.pop(1 + written.place)
    body.outputs.append(_element(model, body, written.row))
    start = body.inputs.pop(2 + written.place)
    _remove_readers(start)
    inputs = [value for position, value in enumerate(node.inputs) if position != 2 + written.place]
    stem = node.name or "loop"
    made = ir.node("Loop", inputs, {}, num_outputs=len(node.outputs), name=unique_name(model, f"{stem}/rows"))
    kept = [output for position, output in enumerate(node.outputs) if position != written.place]
    old = node.outputs[written.place]
    node.attributes.pop("body")
    made.attributes["body"] = ir.AttrGraph("body", body)
    model.graph.insert_before(node, made)
    for position, (output, fresh) in enumerate(zip([*kept, old], made.outputs, strict=True)):
        fresh.name, fresh.type = unique_name(model, f"{stem}/rows/{position}"), output.type
        if position < len(kept):
            fresh.shape = output.shape
            replace_value(model, output, fresh)
    rows = _picked(model, node, made.outputs[-1], written, stem)
    if not replace_value(model, old, rows):
        replace_value(model, old, add_node(model, node, "Identity", [rows], name=stem, like=rows))
    model.graph.remove(node, safe=True)


def _element(model: ir.Model, body: ir.Graph, row: ir.Value) -> ir.Value:
    """Return the row without its first axis, as a value of the body."""
    found = _without_first_axis(row)
    source, shape = found if found is not None else (row, None)
    name = unique_name(model, f"{row.name}/element")
    if found is None:
        inputs, op_type = [row, add_constant(model, f"{name}/axis", np.zeros(1, np.int64))], "Squeeze"
    elif shape is None:
        inputs, op_type = [source], "Identity"
    else:
        inputs, op_type = [source, add_constant(model, f"{name}/shape", np.array(shape, np.int64))], "Reshape"
    made = ir.node(op_type, inputs, name=name)
    made.outputs[0].name, made.outputs[0].type = name, row.type
    body.append(made)
    return made.outputs[0]


def _remove_readers(start: ir.Value) -> None:
    """Remove what depended on the list: nothing else reads it."""
    for use in tuple(start.uses()):
        for output in use.node.outputs:
            _remove_readers(output)
        if use.node.graph is not None:
            use.node.graph.remove(use.node, safe=True)


def _picked(model: ir.Model, before: ir.Node, rows: ir.Value, written: _Written, stem: str) -> ir.Value:
    """Return the list, of the rows of all trips: each row is that of the last trip that wrote it."""
    last = {row: trip for trip, row in enumerate(written.rows)}
    trips = [last[row] for row in range(written.size)]
    if trips == list(range(len(written.rows))):
        return rows
    if trips == list(range(trips[0], trips[0] + len(trips))):
        numbers = (("start", trips[0]), ("end", trips[0] + len(trips)), ("axis", 0))
        tables = [add_constant(model, f"{stem}/{label}", np.array([number], np.int64)) for label, number in numbers]
        return add_node(model, before, "Slice", [rows, *tables], name=f"{stem}/written")
    table = add_constant(model, f"{stem}/trips", np.array(trips, np.int64))
    return add_node(model, before, "Gather", [rows, table], name=f"{stem}/written")
