"""Write a Loop with a known number of trips as its body, once per trip.

Before: Loop(trips, x) {body}.   After: body(x), body(body(x)), …; results of all trips joined along a new first axis.
Not every engine reads the loops that converters write (OpenVINO refuses those of recurrent Keras layers), and TFLite
has none that stay in XNNPACK. What does not change from trip to trip is computed once, before the first.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import constant_of, nodes, replace_value
from edgeai_converters.graph.free_names import take_name
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.graph.recurrent.loop import CountedLoop, original, read_loop

MOST_NODES = 20_000
"""Nodes up to which a loop is written out; a longer one stays a loop."""


def unroll_loop(model: ir.Model) -> tuple[ir.Model, bool]:
    """Write loops with a known number of trips out, in place; the numbers stay exactly the same."""
    changed = False
    for node in nodes(model, "Loop"):
        loop = read_loop(node)
        if loop is None or loop.trips * len(loop.body) > MOST_NODES or (not loop.trips and _collects(loop)):
            continue
        _unroll(model, loop)
        changed = True
    if changed:
        remove_dead_nodes(model)
    return model, changed


def _collects(loop: CountedLoop) -> bool:
    return len(loop.body.outputs) > len(loop.body.inputs) - 1


def _unroll(model: ir.Model, loop: CountedLoop) -> None:
    node, body = loop.node, loop.body
    copier = _Copier(model, node)
    once = copier.copy_invariant(loop)
    carried = {
        start: first for start, first in zip(body.inputs[2:], node.inputs[2:], strict=False) if first is not None
    }
    count = len(body.inputs) - 2
    collected: list[list[ir.Value]] = [[] for _ in body.outputs[1 + count :]]
    for trip in range(loop.trips):
        values = copier.copy_trip(loop, {**carried, **once}, trip)
        carried = {start: values[original(end)] for start, end in zip(body.inputs[2:], body.outputs[1:], strict=False)}
        for place, end in enumerate(body.outputs[1 + count :]):
            collected[place].append(values[original(end)])
    results = [carried[start] for start in body.inputs[2:]] + [copier.stacked(values) for values in collected]
    for old, new in zip(node.outputs, results, strict=True):
        if (old.uses() or old.is_graph_output()) and not replace_value(model, old, new):
            replace_value(model, old, copier.add("Identity", [new]))
    model.graph.remove(node, safe=True)


class _Copier:
    """Copies nodes of a body in front of its loop."""

    def __init__(self, model: ir.Model, before: ir.Node) -> None:
        self._graph, self._before = model.graph, before
        self._taken = set(ir.convenience.create_value_mapping(model.graph))
        self._taken.update(node.name for node in model.graph if node.name)
        self._copied: set[ir.Node] = set()
        self._axis: ir.Value | None = None

    def copy_invariant(self, loop: CountedLoop) -> dict[ir.Value, ir.Value]:
        """Copy what is the same at every trip; return the values outside by those of the body."""
        values = dict(loop.invariants)
        for value in loop.body.initializers.values():
            array = constant_of(value)
            if array is not None:
                values[value] = self._constant(array, str(value.name))
        inner = {output for node in loop.body for output in node.outputs} | set(loop.body.inputs)
        known = set(loop.counters[0]) if loop.counters else set()
        for node in loop.body:
            reads = [value for value in node.inputs if value is not None]
            if all(value in values or value not in inner for value in reads) and not known & set(node.outputs):
                self._copy(node, values, str(node.name))
                self._copied.add(node)
        return values

    def copy_trip(self, loop: CountedLoop, values: dict[ir.Value, ir.Value], trip: int) -> dict[ir.Value, ir.Value]:
        """Copy the rest for one trip."""
        counters = loop.counters[trip]
        needed = [node for node in loop.body if node not in self._copied and node.outputs[0] not in counters]
        wanted = [value for node in needed for value in node.inputs] + [original(end) for end in loop.body.outputs]
        for value in wanted:
            if value is not None and value in counters and value not in loop.invariants:
                array = counters[value]
                if value.dtype is not None:
                    array = array.astype(value.dtype.numpy())
                values[value] = self._constant(array, f"{value.name}/{trip}")
        for node in needed:
            self._copy(node, values, f"{node.name or node.op_type}/{trip}")
        return values

    def stacked(self, parts: list[ir.Value]) -> ir.Value:
        """Join values along a new first axis."""
        if self._axis is None:
            self._axis = self._constant(np.zeros(1, np.int64), "axis")
        rows = [self.add("Unsqueeze", [part, self._axis]) for part in parts]
        return self.add("Concat", rows, axis=0) if len(rows) > 1 else rows[0]

    def add(self, op_type: str, inputs: list[ir.Value], **attributes: int) -> ir.Value:
        """Add a node of one output."""
        name = take_name(f"{self._before.name or 'loop'}/{op_type}", self._taken)
        output = ir.Value(name=name, type=inputs[0].type)
        self._graph.insert_before(self._before, ir.node(op_type, inputs, attributes, outputs=[output], name=name))
        return output

    def _copy(self, node: ir.Node, values: dict[ir.Value, ir.Value], name: str) -> None:
        outputs = []
        for output in node.outputs:
            copied = ir.Value(name=take_name(f"{name}/{output.name}" if len(node.outputs) > 1 else name, self._taken))
            copied.type = output.type
            outputs.append(copied)
        inputs = [None if value is None else values.get(value, value) for value in node.inputs]
        made = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), outputs=outputs)
        made.name = take_name(name, self._taken)
        self._graph.insert_before(self._before, made)
        values.update(zip(node.outputs, outputs, strict=True))

    def _constant(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], stem: str) -> ir.Value:
        name = take_name(stem, self._taken)
        tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(value)
        return value
