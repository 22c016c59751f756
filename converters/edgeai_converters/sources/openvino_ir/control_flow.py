"""Loops and branches: `TensorIterator` and `Loop` → Loop, `If` → If.

OpenVINO's port map says what of the outside a body's parameter is: the same at every trip, carried from trip to trip,
or a slice for each trip; and what an output is: the last value, or those of all trips joined. The simplifier turns a
loop whose trips are known into a recurrent layer or writes it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.helper

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError, graph_dtype, key_of

_END, _START = np.iinfo(np.int64).max, np.iinfo(np.int64).min + 1


@dataclass(kw_only=True)
class _Loop:
    """A loop in the making: body parameters that are carried, and where their values end."""

    trip: str
    starts: dict[int, str] = field(default_factory=dict)
    """Input of the operation → name in the body."""
    ends: dict[int, int] = field(default_factory=dict)
    """Input of the operation → body result."""
    types: dict[int, np.dtype[Any]] = field(default_factory=dict)


def read_loop(context: ReadContext, operation: Operation) -> list[str]:
    """`Loop`, `TensorIterator`."""
    node, body = operation.node, operation.node.get_function()
    parameters = body.get_parameters()
    loop = _Loop(trip=context.unique(f"{operation.name}/trip"))
    inner: list[onnx.NodeProto] = []
    trips = None
    with _nodes_of(context, inner):
        for description in node.get_input_descriptions():
            parameter = parameters[int(description.body_parameter_index)]
            place = int(description.input_index)
            found = _bind(context, operation, loop, description, parameter)
            trips = found if found is not None else trips
            if place in loop.starts:
                loop.types[place] = graph_dtype(str(parameter.get_output_element_type(0).get_type_name()))
        condition = _special_ports(context, operation, loop, parameters)
        _read_body(context, body)
        results = [context.name_at(result.input_value(0)) for result in body.get_results()]
    outputs = list(node.get_output_descriptions())
    carried = list(loop.starts)
    collected, conversions = _collected(context, operation, outputs, loop, inner, results)
    with _nodes_of(context, inner):
        goes_on = results[condition] if condition >= 0 else context.add_constant(np.array(True), "goes_on")
        ends = [context.add("Identity", [goes_on])]
        ends += [context.add("Identity", [results[loop.ends[place]]]) for place in carried]
        ends += [context.add("Identity", [name]) for name, _ in collected]
    types: list[np.dtype[Any]] = [np.dtype(np.bool_), *(loop.types[place] for place in carried)]
    types += [dtype for _, dtype in collected]
    infos = [_info(loop.trip, np.dtype(np.int64), ()), _info(context.unique("goes_on"), np.dtype(np.bool_), ())]
    infos += [_info(loop.starts[place], loop.types[place], None) for place in carried]
    graph = onnx.helper.make_graph(
        inner, f"{operation.name}/body", infos, [_info(end, each, None) for end, each in zip(ends, types, strict=True)]
    )
    given = [*_limits(context, operation, trips), *(context.source(operation, place) for place in carried)]
    made = context.add_many("Loop", given, len(carried) + len(collected), body=graph)
    return [_output(context, made, carried, convert) for convert in conversions]


def read_if(context: ReadContext, operation: Operation) -> list[str]:
    """`If`: both branches read the values outside."""
    node, graphs = operation.node, {}
    positions = [
        {int(each.body_value_index): int(each.output_index) for each in node.get_output_descriptions(branch)}
        for branch in (0, 1)
    ]
    for branch, label in enumerate(("then_branch", "else_branch")):
        body, inner = node.get_function(branch), list[onnx.NodeProto]()
        with _nodes_of(context, inner):
            for description in node.get_input_descriptions(branch):
                parameter = body.get_parameters()[int(description.body_parameter_index)]
                context.bind(key_of(parameter.output(0)), context.source(operation, int(description.input_index)))
            _read_body(context, body)
            results = body.get_results()
            order = sorted(positions[branch], key=positions[branch].__getitem__)
            ends = [context.add("Identity", [context.name_at(results[place].input_value(0))]) for place in order]
        infos = [_info(end, operation.output_dtype(position), None) for position, end in enumerate(ends)]
        graphs[label] = onnx.helper.make_graph(inner, f"{operation.name}/{label}", [], infos)
    return context.add_many("If", [context.source(operation, 0)], operation.output_count, **graphs)


@contextmanager
def _nodes_of(context: ReadContext, nodes: list[onnx.NodeProto]) -> Iterator[None]:
    """Let nodes be added to a body."""
    outside, context.nodes = context.nodes, nodes
    try:
        yield
    finally:
        context.nodes = outside


def _read_body(context: ReadContext, body: Any) -> None:
    problems = [
        problem
        for node in body.get_ordered_ops()
        if node.get_type_name() not in ("Parameter", "Result") and (problem := context.read(node))
    ]
    if problems:
        raise UnreadableError("in its body: " + "; ".join(problems))


def _bind(context: ReadContext, operation: Operation, loop: _Loop, description: Any, parameter: Any) -> int | None:
    """Bind a parameter of the body; return the number of trips where a slice says it."""
    place, key = int(description.input_index), key_of(parameter.output(0))
    kind = type(description).__name__
    if kind == "InvariantInputDescription":
        value = context.constant(operation, place)
        if value is not None:
            context.set_constant(key, value)
        context.bind(key, context.source(operation, place))
        return None
    if kind == "MergedInputDescription":
        loop.starts[place] = context.unique(f"{operation.name}/carried{place}")
        loop.ends[place] = int(description.body_value_index)
        context.bind(key, loop.starts[place])
        return None
    axis = int(description.axis) % operation.rank(place)
    size = operation.shape(place)[axis]
    start, end, stride, part = (int(getattr(description, name)) for name in ("start", "end", "stride", "part_size"))
    forward, backward = (start, end, stride) == (0, -1, 1), (start, end, stride) == (-1, 0, -1)
    if part != 1 or not (forward or backward):
        raise UnreadableError(f"slices from {start} to {end} by {stride}, of size {part}")
    index = loop.trip
    if backward:
        if size is None:
            raise UnreadableError("slices from the end of an axis of free size")
        index = context.add("Sub", [context.integers(size - 1), index])
    index = context.add("Unsqueeze", [index, context.integers([0])])
    context.bind(key, context.add("Gather", [context.source(operation, place), index], axis=axis))
    if size is None and operation.type == "TensorIterator":
        raise UnreadableError("a sequence of free length; fix it with --shape")
    return size


def _special_ports(context: ReadContext, operation: Operation, loop: _Loop, parameters: Sequence[Any]) -> int:
    """Bind the number of the trip, and return which result is the condition; -1 for none."""
    if operation.type != "Loop":
        return -1
    counter, condition = (int(port) for port in operation.node.get_special_body_ports())
    if counter >= 0:
        parameter = parameters[counter]
        dtype = graph_dtype(str(parameter.get_output_element_type(0).get_type_name()))
        shape = [int(dim.get_length()) for dim in parameter.get_output_partial_shape(0)]
        name = loop.trip if dtype == np.int64 else context.cast(loop.trip, dtype)
        context.bind(key_of(parameter.output(0)), context.reshape(name, shape) if shape else name)
    return condition


def _limits(context: ReadContext, operation: Operation, trips: int | None) -> list[str]:
    """Return the largest number of trips and the first condition, as ONNX has them; empty where there is none."""
    if operation.type == "TensorIterator":
        assert trips is not None
        return [context.integers(trips, "trips"), ""]
    count, start = context.constant(operation, 0), context.constant(operation, 1)
    if count is None:
        first = context.int64(operation, 0, rank=0)
        wanted = [
            context.add("Where", [context.add("Less", [first, context.integers(0)]), context.integers(_END), first])
        ]
    else:
        number = int(count.reshape(-1)[0])
        wanted = [context.integers(number, "trips") if number >= 0 else ""]
    if start is None:
        return [*wanted, context.add("Reshape", [context.source(operation, 1), context.integers([], "scalar")])]
    return [*wanted, context.add_constant(start.astype(np.bool_).reshape(()), "goes_on")]


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """How an output of the operation is taken: from a carried value, or from the values of all trips."""

    carried: int | None = None
    collected: int = 0
    axis: int | None = None
    rank: int = 0
    backward: bool = False


def _collected(
    context: ReadContext,
    operation: Operation,
    outputs: Sequence[Any],
    loop: _Loop,
    inner: list[onnx.NodeProto],
    results: Sequence[str],
) -> tuple[list[tuple[str, np.dtype[Any]]], list[_Taken]]:
    """Return what the loop collects (body value, type), and how each output is taken."""
    collected: list[tuple[str, np.dtype[Any]]] = []
    taken: dict[int, _Taken] = {}
    for description in outputs:
        position, value = int(description.output_index), int(description.body_value_index)
        kind = type(description).__name__
        if kind == "BodyOutputDescription":
            if int(description.iteration) != -1:
                raise UnreadableError(f"the value of trip {description.iteration}")
            place = next((place for place, end in loop.ends.items() if end == value), None)
            taken[position] = _Taken(carried=place, collected=len(collected))
            if place is None:
                collected.append((results[value], operation.output_dtype(position)))
            continue
        rank = len(operation.output_shape(position))
        axis = int(description.axis) % rank
        start, end, stride, part = (int(getattr(description, name)) for name in ("start", "end", "stride", "part_size"))
        backward = (start, end, stride) == (-1, 0, -1)
        if part != 1 or not (backward or (start, end, stride) == (0, -1, 1)):
            raise UnreadableError(f"joins from {start} to {end} by {stride}, of size {part}")
        with _nodes_of(context, inner):
            row = context.add("Squeeze", [results[value], context.integers([axis])])
        taken[position] = _Taken(collected=len(collected), axis=axis, rank=rank, backward=backward)
        collected.append((row, operation.output_dtype(position)))
    return collected, [taken[position] for position in sorted(taken)]


def _output(context: ReadContext, made: Sequence[str], carried: Sequence[int], taken: _Taken) -> str:
    if taken.carried is not None:
        return made[carried.index(taken.carried)]
    value = made[len(carried) + taken.collected]
    if taken.axis is None:
        return context.add("Gather", [value, context.integers(-1)], axis=0)
    if taken.backward:
        places = [context.integers([each], "places") for each in (_END, _START, 0, -1)]
        value = context.add("Slice", [value, *places])
    if taken.axis == 0:
        return value
    order = [*range(1, taken.axis + 1), 0, *range(taken.axis + 1, taken.rank)]
    return context.transpose(value, order)


def _info(name: str, dtype: np.dtype[Any], shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)
