"""Recognising an LSTM, a GRU or a plain recurrent layer in the body of a loop.

The weights are found by what they are multiplied with, in whatever form a converter wrote the body. What was found is
believed only when it computes the same as the body on drawn numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import constant_of, input_of, is_op
from edgeai_converters.graph.recurrent.loop import CountedLoop, original
from edgeai_converters.graph.recurrent.products import (
    Product,
    all_added,
    compute,
    constant_in_body,
    find_products,
)
from edgeai_converters.graph.recurrent.trial import FUNCTIONS, Array, Cell, find_order, kind_of
from edgeai_converters.graph.shapes import shape_of, static_shape


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundLayer:
    """A recurrent layer that a loop computes.

    Attributes:
        cell: what a trip computes.
        sequence: outside the loop, `[steps, batch, features]`.
        states: values of the body that hold the states (h, of an LSTM also c) at the begin of a trip.
        new_states: values of the body that hold them at the end.
    """

    cell: Cell
    sequence: ir.Value
    states: tuple[ir.Value, ...]
    new_states: tuple[ir.Value, ...]


def recognise(loop: CountedLoop) -> FoundLayer | None:
    """Return the recurrent layer that a loop computes, `None` when it is none, or another one."""
    states = [(start, end) for start, end, _ in loop.carried if not all(start in trip for trip in loop.counters)]
    rows = _rows(loop)
    if len(states) not in (1, 2) or rows is None:
        return None
    row, sequence = rows
    needed = _between({row, *(start for start, _ in states)}, [end for _, end in states], loop)
    _, batch, features = shape_of(sequence) or (None, None, None)
    sizes = {row: features} if isinstance(features, int) else {}
    products = find_products(loop, needed, sizes)
    if not products:
        return None
    multiplied = {value for product in products for value in product.terms}
    states.sort(key=lambda pair: pair[0] not in multiplied)  # h before c: only h is multiplied
    starts, ends = tuple(start for start, _ in states), tuple(end for _, end in states)
    if len(starts) == 2 and starts[1] in multiplied:
        return None
    cell = _cell(loop, needed, products, row, starts)
    evaluate = _body(needed, row, starts, ends, loop)
    if cell is None or evaluate is None:
        return None
    used = {node.op_type for node in needed}
    found = find_order(
        cell, evaluate, [name for name in FUNCTIONS if name in used], batch=batch if isinstance(batch, int) else None
    )
    if found is None:
        return None
    return FoundLayer(cell=found, sequence=sequence, states=starts, new_states=ends)


def _cell(
    loop: CountedLoop, needed: list[ir.Node], products: list[Product], row: ir.Value, states: tuple[ir.Value, ...]
) -> Cell | None:
    """Return the cell that has the matrices of the products, the gates in their order."""
    by_row, by_state, others = [], [], []
    input_bias, recurrent_bias, other_bias = [], [], []
    for product in products:
        zeros = np.zeros(product.width, np.float32)
        bias = zeros if product.bias is None else product.bias
        if bias.shape != zeros.shape:
            return None
        for value, matrix in product.terms.items():
            if value is row:
                by_row.append(matrix)
                input_bias.append(bias)
            elif value is states[0]:
                by_state.append(matrix)
                recurrent_bias.append(zeros if row in product.terms else bias)
            else:
                others.append(matrix)
                other_bias.append(zeros if row in product.terms else bias)
    if not by_row or not by_state or len(others) > 1:
        return None
    if len({matrix.shape[0] for matrix in by_row}) > 1 or len({matrix.shape[0] for matrix in by_state + others}) > 1:
        return None
    weight, recurrence = np.concatenate(by_row, axis=1), np.concatenate(by_state + others, axis=1)
    hidden, width = recurrence.shape[0], recurrence.shape[1]
    kind = kind_of(width, hidden, len(states))
    if weight.shape[1] != width or kind is None or (others and kind != "GRU"):
        return None
    biases = np.concatenate(input_bias), np.concatenate(recurrent_bias + other_bias)
    if kind != "GRU":  # whatever is added, is added before the functions
        biases = all_added(needed, loop, width), np.zeros(width, np.float32)
    return Cell(
        kind=kind,
        weight=weight,
        recurrence=recurrence,
        input_bias=biases[0],
        recurrent_bias=biases[1],
        late=kind == "GRU" and not others,
    )


def _rows(loop: CountedLoop) -> tuple[ir.Value, ir.Value] | None:
    """Return the row of the sequence that a trip reads, and the sequence; they must be read in order, whole."""
    inner = {output for node in loop.body for output in node.outputs} | set(loop.body.inputs)
    found = []
    for node in loop.body:
        if node.op_type != "Gather" or node.inputs[0] is None or node.inputs[1] is None:
            continue
        source, place = loop.invariants.get(node.inputs[0], node.inputs[0]), node.inputs[1]
        if source in inner or node.attributes.get_int("axis", 0) != 0 or constant_of(source) is not None:
            continue
        if any(place not in trip or trip[place].shape != () for trip in loop.counters):
            return None
        if [int(trip[place]) for trip in loop.counters] != list(range(loop.trips)):
            return None
        found.append((node.outputs[0], source))
    if not loop.trips or len(found) != 1 or found[0][1].shape is None or len(found[0][1].shape) != 3:
        return None
    return found[0] if found[0][1].shape[0] == loop.trips else None


def _between(starts: set[ir.Value], ends: list[ir.Value], loop: CountedLoop) -> list[ir.Node]:
    """Return the nodes of the body that lead from `starts` to `ends`, in their order."""
    needed: set[ir.Node] = set()
    waiting = list(ends)
    while waiting:
        value = waiting.pop()
        producer = value.producer()
        if value in starts or producer is None or producer in needed or producer.graph is not loop.body:
            continue
        needed.add(producer)
        waiting.extend(one for one in producer.inputs if one is not None)
    return [node for node in loop.body if node in needed]


def _body(
    needed: list[ir.Node], row: ir.Value, states: tuple[ir.Value, ...], ends: tuple[ir.Value, ...], loop: CountedLoop
) -> Callable[[Array, list[Array]], list[Array] | None] | None:
    """Return the new states as a function of a row and the states, computed by ONNX's reference."""
    inside = {output for node in needed for output in node.outputs}
    constants: dict[str, Array] = {}
    for node in needed:
        for value in node.inputs:
            if value is None or value in inside or value is row or value in states:
                continue
            array = constant_in_body(value, loop)
            if array is None:
                return None
            constants[str(value.name)] = array

    def evaluate(rows: Array, arrays: list[Array]) -> list[Array] | None:
        named = {str(state.name): array for state, array in zip(states, arrays, strict=True)}
        return compute(needed, {**constants, **named, str(row.name): rows}, list(ends))

    return evaluate


def collects_states(loop: CountedLoop, layer: FoundLayer) -> bool:
    """Tell whether all that a loop collects are the layer's states, and its states come from `[batch, hidden]`."""
    collected = loop.body.outputs[len(loop.body.inputs) - 1 :]
    shapes = [static_shape(first) for start, _, first in loop.carried if start in layer.states]
    if any(shape is not None and len(shape) != 2 for shape in shapes):
        return False
    return all(_is_state(end, layer, shapes[0]) for end in collected)


def _is_state(end: ir.Value, layer: FoundLayer, shape: tuple[int, ...] | None) -> bool:
    """Tell whether a value is the state h, also behind a Reshape to the shape that it has."""
    value = original(end)
    node = value.producer()
    if node is not None and is_op(node, "Reshape") and node.inputs[0] is not None and value is not layer.new_states[0]:
        wanted = constant_of(input_of(node, 1))
        if wanted is not None and shape is not None and tuple(int(size) for size in wanted.reshape(-1)) == shape:
            value = original(node.inputs[0])
    return value is layer.new_states[0]
