"""Recognising a GRU or a plain recurrent layer in the body of a loop.

The weights are found by what they are multiplied with, in whatever form a converter wrote the body. What was found is
believed only when it computes the same as the body on drawn numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.reference
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.graph.edit import constant_of
from edgeai_converters.graph.recurrent.loop import CountedLoop, original
from edgeai_converters.graph.shapes import static_shape

Array = NDArray[Any]

_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "Sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "Tanh": np.tanh,
    "Relu": lambda a: np.maximum(a, 0),
}
_CLOSE = 1e-5
_DRAWN = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundLayer:
    """A recurrent layer that a loop computes.

    Attributes:
        kind: `GRU` or `RNN`.
        weight: `[features, gates · hidden]`, gates in ONNX's order.
        recurrence: `[hidden, gates · hidden]`.
        input_bias: `[gates · hidden]`.
        recurrent_bias: `[gates · hidden]`.
        activations: names of its functions.
        late: the reset gate comes after the recurrent product.
        sequence: outside the loop, `[steps, batch, features]`.
        state: the value of the body that holds the state at the begin of a trip.
        new_state: the value of the body that holds it at the end.
    """

    kind: str
    weight: Array
    recurrence: Array
    input_bias: Array
    recurrent_bias: Array
    activations: tuple[str, ...]
    late: bool
    sequence: ir.Value
    state: ir.Value
    new_state: ir.Value


def recognise(loop: CountedLoop) -> FoundLayer | None:
    """Return the recurrent layer that a loop computes, `None` when it is none, or another one."""
    states = [(start, end) for start, end, _ in loop.carried if not all(start in trip for trip in loop.counters)]
    if len(states) != 1 or not loop.trips:
        return None
    state, new_state = states[0]
    rows = _rows(loop)
    if rows is None:
        return None
    row, sequence = rows
    needed = _between({state, row}, new_state, loop)
    products = [node for node in needed if node.op_type == "MatMul"]
    by_row = [node for node in products if node.inputs[0] is row]
    by_state = [node for node in products if node.inputs[0] is state]
    others = [node for node in products if node not in by_row and node not in by_state]
    matrices = {node: _constant(node.inputs[1], loop) for node in products}
    if len(by_row) != 1 or len(by_state) != 1 or len(others) > 1 or any(one is None for one in matrices.values()):
        return None
    pair = (by_row[0], by_state[0])
    ordered = (*(matrices[node] for node in pair), *(_bias(node, needed, loop) for node in pair))
    evaluate = _body(needed, row, state, new_state, loop)
    if evaluate is None:
        return None
    used = {node.op_type for node in needed}
    functions = [name for name in _FUNCTIONS if name in used]
    late_product = matrices[others[0]] if others else None
    for found in _candidates(ordered, late_product, _all_added(needed, loop), functions):
        kind, arrays, names, late = found
        if _agrees(evaluate, kind, arrays, names, late=late):
            return FoundLayer(
                kind=kind,
                weight=arrays[0],
                recurrence=arrays[1],
                input_bias=arrays[2],
                recurrent_bias=arrays[3],
                activations=names,
                late=late,
                sequence=sequence,
                state=state,
                new_state=new_state,
            )
    return None


_Arrays = tuple[Array, Array, Array, Array]


def _candidates(
    ordered: tuple[Array | None, ...], candidate_product: Array | None, added: list[Array], functions: list[str]
) -> Iterable[tuple[str, _Arrays, tuple[str, ...], bool]]:
    """Yield what the matrices may be: (kind, arrays, names of functions, late)."""
    weight, recurrence, input_bias, recurrent_bias = ordered
    if weight is None or recurrence is None or weight.ndim != 2 or recurrence.ndim != 2:
        return
    hidden = recurrence.shape[0]
    width = weight.shape[1]
    biases = [np.zeros(width, np.float32) if bias is None else bias for bias in (input_bias, recurrent_bias)]
    if candidate_product is not None:
        if recurrence.shape[1] + candidate_product.shape[-1] != width or candidate_product.shape[0] != hidden:
            return
        recurrence = np.concatenate([recurrence, candidate_product], axis=1)
        biases[1] = np.zeros(width, np.float32)
    if recurrence.shape[1] != width or any(bias.shape != (width,) for bias in biases):
        return
    arrays = (weight, recurrence, biases[0], biases[1])
    if width == hidden:  # whatever is added, is added before the function
        whole = np.sum([bias for bias in added if bias.shape == (width,)] or [biases[1] * 0], axis=0)
        for name in functions:
            yield "RNN", (weight, recurrence, whole, np.zeros(width, np.float32)), (name,), False
    if width == 3 * hidden:
        for names in itertools.product(functions, repeat=2):
            yield "GRU", arrays, names, candidate_product is None


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
    if len(found) != 1 or found[0][1].shape is None or len(found[0][1].shape) != 3:
        return None
    return found[0] if found[0][1].shape[0] == loop.trips else None


def _between(starts: set[ir.Value], end: ir.Value, loop: CountedLoop) -> list[ir.Node]:
    """Return the nodes of the body that lead from `starts` to `end`, in their order."""
    needed: set[ir.Node] = set()
    waiting = [end]
    while waiting:
        value = waiting.pop()
        producer = value.producer()
        if value in starts or producer is None or producer in needed or producer.graph is not loop.body:
            continue
        needed.add(producer)
        waiting.extend(one for one in producer.inputs if one is not None)
    return [node for node in loop.body if node in needed]


def _constant(value: ir.Value | None, loop: CountedLoop) -> Array | None:
    """Return what a value of the body is at every trip, when it is made of constants only."""
    if value is None:
        return None
    array = constant_of(loop.invariants.get(value, value))
    node = value.producer()
    if array is not None or node is None or node.graph is not loop.body:
        return array
    inputs = [_constant(one, loop) for one in node.inputs if one is not None]
    if not inputs or any(one is None for one in inputs):
        return None
    results = _reference([node], {str(one.name): one_array for one, one_array in _named(node, inputs)}, [value])
    return None if results is None else results[0]


def _named(node: ir.Node, arrays: list[Array | None]) -> Iterable[tuple[ir.Value, Array]]:
    present = [value for value in node.inputs if value is not None]
    return ((value, array) for value, array in zip(present, arrays, strict=True) if array is not None)


def _bias(node: ir.Node, needed: list[ir.Node], loop: CountedLoop) -> Array | None:
    """Return the constant vector that is added to a product, `None` without one."""
    readers = [use.node for use in node.outputs[0].uses() if use.node in needed]
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    for value in readers[0].inputs:
        array = None if value is node.outputs[0] else _constant(value, loop)
        if array is not None:
            return array.reshape(-1) if array.size == max(array.shape, default=0) else array
    return None


def _all_added(needed: list[ir.Node], loop: CountedLoop) -> list[Array]:
    """Return the constant vectors that are added anywhere."""
    found = (_constant(value, loop) for node in needed if node.op_type == "Add" for value in node.inputs)
    return [array.reshape(-1) for array in found if array is not None]


def _body(
    needed: list[ir.Node], row: ir.Value, state: ir.Value, end: ir.Value, loop: CountedLoop
) -> Callable[[Array, Array], Array | None] | None:
    """Return the new state as a function of a row and a state, computed by ONNX's reference."""
    inside = {output for node in needed for output in node.outputs}
    constants: dict[str, Array] = {}
    for node in needed:
        for value in node.inputs:
            if value is None or value in inside or value in (row, state):
                continue
            array = _constant(value, loop)
            if array is None:
                return None
            constants[str(value.name)] = array

    def evaluate(rows: Array, states: Array) -> Array | None:
        results = _reference(needed, {**constants, str(row.name): rows, str(state.name): states}, [end])
        return None if results is None else results[0]

    return evaluate


def _reference(nodes: list[ir.Node], inputs: dict[str, Array], outputs: list[ir.Value]) -> list[Array] | None:
    """Compute nodes by ONNX's reference implementation; `None` for what it can not compute."""
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    ends = [onnx.helper.make_empty_tensor_value_info(str(value.name)) for value in outputs]
    try:
        graph = onnx.helper.make_graph([ir.to_proto(node) for node in nodes], "part", infos, ends)
        proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
        return [np.asarray(one) for one in onnx.reference.ReferenceEvaluator(proto).run(None, inputs)]
    except Exception:  # the reference implementation raises whatever a node provokes
        return None


def _agrees(
    evaluate: Callable[[Array, Array], Array | None], kind: str, arrays: _Arrays, names: tuple[str, ...], *, late: bool
) -> bool:
    random = np.random.default_rng(0)
    rows = random.normal(size=(_DRAWN, arrays[0].shape[0])).astype(np.float32)
    states = random.normal(size=(_DRAWN, arrays[1].shape[0])).astype(np.float32)
    wanted = evaluate(rows, states)
    if wanted is None or wanted.shape != states.shape:
        return False
    with np.errstate(all="ignore"):
        found = _plain(rows, states, arrays, names) if kind == "RNN" else _gru(rows, states, arrays, names, late=late)
    return bool(np.allclose(found, wanted, rtol=_CLOSE, atol=_CLOSE * max(1.0, float(np.abs(wanted).max()))))


def _plain(rows: Array, states: Array, arrays: _Arrays, names: tuple[str, ...]) -> Array:
    weight, recurrence, input_bias, recurrent_bias = arrays
    return _FUNCTIONS[names[0]](rows @ weight + states @ recurrence + input_bias + recurrent_bias)


def _gru(rows: Array, states: Array, arrays: _Arrays, names: tuple[str, ...], *, late: bool) -> Array:
    weight, recurrence, input_bias, recurrent_bias = arrays
    hidden = states.shape[1]
    by_row = rows @ weight + input_bias
    by_state = states @ recurrence + recurrent_bias
    gates = _FUNCTIONS[names[0]](by_row[:, : 2 * hidden] + by_state[:, : 2 * hidden])
    z, r = gates[:, :hidden], gates[:, hidden:]
    if late:
        product = r * by_state[:, 2 * hidden :]
    else:
        product = (r * states) @ recurrence[:, 2 * hidden :] + recurrent_bias[2 * hidden :]
    candidate = _FUNCTIONS[names[1]](by_row[:, 2 * hidden :] + product)
    return np.asarray((1 - z) * candidate + z * states)


def collects_states(loop: CountedLoop, layer: FoundLayer) -> bool:
    """Tell whether all that a loop collects are the layer's states, and its state comes from `[batch, hidden]`."""
    collected = loop.body.outputs[len(loop.body.inputs) - 1 :]
    first = next(first for start, _, first in loop.carried if start is layer.state)
    shape = static_shape(first) if first is not None else None
    return all(original(end) is layer.new_state for end in collected) and (shape is None or len(shape) == 2)
