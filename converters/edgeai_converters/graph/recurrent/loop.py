"""A Loop node whose number of trips is known: which values it carries unchanged, and its counters at every trip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import attribute, constant_of

MOST_TRIPS = 1024
_MOST_ELEMENTS = 16
"""Larger values are no counters: they are not computed ahead."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CountedLoop:
    """A Loop that runs a known number of times.

    Attributes:
        node: the Loop.
        body: its body.
        invariants: value of the body → the value outside that it is at every trip.
        counters: per trip: the small values of the body that depend on nothing but the number of the trip.
    """

    node: ir.Node
    body: ir.Graph
    invariants: Mapping[ir.Value, ir.Value]
    counters: tuple[Mapping[ir.Value, NDArray[Any]], ...]

    @property
    def trips(self) -> int:
        """How often the body runs."""
        return len(self.counters)

    @property
    def carried(self) -> list[tuple[ir.Value, ir.Value, ir.Value]]:
        """What changes from trip to trip: (value at the begin, value at the end, initial value outside)."""
        triples = zip(self.body.inputs[2:], self.body.outputs[1:], self.node.inputs[2:], strict=False)
        return [
            (start, original(end), first)
            for start, end, first in triples
            if start not in self.invariants and first is not None
        ]


def original(value: ir.Value) -> ir.Value:
    """Return the value behind Identity nodes."""
    producer = value.producer()
    while producer is not None and producer.op_type == "Identity" and producer.inputs[0] is not None:
        value = producer.inputs[0]
        producer = value.producer()
    return value


def read_loop(node: ir.Node) -> CountedLoop | None:
    """Return a Loop as data; `None` when its trips are not known, are too many, or its body has graphs of its own."""
    body = node.attributes["body"].as_graph()
    if any(one.type == ir.AttributeType.GRAPH for inner in body for one in inner.attributes.values()):
        return None
    count, start = (constant_of(node.inputs[place]) for place in (0, 1))
    if (node.inputs[0] is not None and count is None) or (node.inputs[1] is not None and start is None):
        return None
    limit = MOST_TRIPS + 1 if count is None else int(count.reshape(()))
    if start is not None and not bool(start.reshape(())):
        limit = 0
    invariants = _invariants(node, body)
    counters = _count(node, body, invariants, limit)
    if counters is None:
        return None
    return CountedLoop(node=node, body=body, invariants=invariants, counters=tuple(counters))


def _invariants(node: ir.Node, body: ir.Graph) -> dict[ir.Value, ir.Value]:
    triples = zip(body.inputs[2:], body.outputs[1:], node.inputs[2:], strict=False)
    return {start: first for start, end, first in triples if first is not None and original(end) is start}


def _count(
    node: ir.Node, body: ir.Graph, invariants: Mapping[ir.Value, ir.Value], limit: int
) -> list[dict[ir.Value, NDArray[Any]]] | None:
    known = {value: _small(constant_of(outer)) for value, outer in invariants.items()}
    carried = {
        start: _small(constant_of(first)) for start, first in zip(body.inputs[2:], node.inputs[2:], strict=False)
    }
    trips: list[dict[ir.Value, NDArray[Any]]] = []
    for trip in range(min(limit, MOST_TRIPS + 1)):
        values = _evaluate(body, {**known, **carried, body.inputs[0]: np.array(trip), body.inputs[1]: np.array(True)})
        goes_on = values.get(body.outputs[0])
        if goes_on is None:
            return None
        trips.append(values)
        if not bool(goes_on.reshape(())):
            break
        ends = zip(body.inputs[2:], body.outputs[1:], strict=False)
        carried = {start: values.get(end) for start, end in ends}
    return None if len(trips) > MOST_TRIPS else trips


def _small(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return array if array is not None and array.size <= _MOST_ELEMENTS else None


def _evaluate(body: ir.Graph, given: Mapping[ir.Value, NDArray[Any] | None]) -> dict[ir.Value, NDArray[Any]]:
    """Compute what depends on known values only."""
    values = {value: array for value, array in given.items() if array is not None}
    for node in body:
        compute = _COMPUTED.get(node.op_type)
        if compute is None or node.domain not in ("", "ai.onnx"):
            continue
        inputs = []
        for value in node.inputs:
            array = None if value is None else values.get(value)
            inputs.append(_small(constant_of(value)) if array is None else array)
        arrays = [array for array in inputs if array is not None]
        if len(arrays) == len(inputs):
            values[node.outputs[0]] = np.asarray(compute(node, *arrays))
    return values


def _cast(node: ir.Node, array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(ir.DataType(attribute(node, "to", 1)).numpy())


_COMPUTED: dict[str, Callable[..., Any]] = {
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Less": lambda node, a, b: a < b,
    "LessOrEqual": lambda node, a, b: a <= b,
    "Greater": lambda node, a, b: a > b,
    "GreaterOrEqual": lambda node, a, b: a >= b,
    "Equal": lambda node, a, b: a == b,
    "And": lambda node, a, b: a & b,
    "Or": lambda node, a, b: a | b,
    "Not": lambda node, a: ~a,
    "Identity": lambda node, a: a,
    "Cast": _cast,
    "Unsqueeze": lambda node, a, axes: np.expand_dims(a, tuple(int(axis) for axis in axes)),
    "Concat": lambda node, *parts: np.concatenate(parts, attribute(node, "axis", 0)),
    "Reshape": lambda node, a, shape: a.reshape([a.shape[i] if not n else int(n) for i, n in enumerate(shape)]),
    "Where": lambda node, condition, a, b: np.where(condition, a, b),
    "Squeeze": lambda node, a, *axes: np.squeeze(a, *(tuple(int(axis) for axis in one) for one in axes)),
}
"""Operators of counters, as numpy."""
