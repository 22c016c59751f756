"""Recurrent layers: sequences and single steps → ONNX LSTM, GRU, RNN.

OpenVINO has the batch first (`[B, T, I]`, states `[B, D, H]`), the gates of an LSTM in the order f, i, c, o, and one
bias; ONNX has time first, i, o, f, c, and two. The gates of a GRU have the same order (z, r, h).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeai_converters.sources.openvino_ir.context import ReadContext
from edgeai_converters.sources.openvino_ir.operation import Operation, UnreadableError, key_of

_ACTIVATIONS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "hardsigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
}
_GATES = {"LSTM": (1, 3, 0, 2), "GRU": (0, 1, 2), "RNN": (0,)}
"""For each ONNX gate, which of OpenVINO's it is."""
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_MOVING = ("Broadcast", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Concat", "Tile", "Convert")


def read_sequence(context: ReadContext, operation: Operation) -> list[str]:
    """`LSTMSequence`, `GRUSequence`, `RNNSequence`."""
    kind = operation.type.removesuffix("Sequence")
    states = 2 if kind == "LSTM" else 1
    direction = str(operation.attribute("direction", "forward")).lower()
    if direction not in _DIRECTIONS:
        raise UnreadableError(f"direction {direction!r}")
    if "LSTM" in kind and operation.version == "opset1":
        raise UnreadableError("the form of operation set 1")
    source = context.transpose(context.source(operation, 0), [1, 0, 2])
    initial = [_state(context, operation, 1 + i) for i in range(states)]
    lengths = _lengths(context, operation, 1 + states)
    weights = _weights(context, operation, kind, first=2 + states, stacked=True)
    outputs = context.add_many(
        kind,
        _trimmed([source, *weights, lengths, *initial]),
        1 + states,
        **_attributes(operation, kind, direction),
    )
    sequence = context.transpose(outputs[0], [2, 1, 0, 3])
    return [sequence, *(context.transpose(state, [1, 0, 2]) for state in outputs[1:])]


def read_cell(context: ReadContext, operation: Operation) -> list[str]:
    """`LSTMCell`, `GRUCell`, `RNNCell`: one step, as a sequence of length one."""
    kind = operation.type.removesuffix("Cell")
    states = 2 if kind == "LSTM" else 1
    if kind == "LSTM" and (operation.version == "opset1" or operation.input_count > 6):
        raise UnreadableError("the form of operation set 1")
    time = context.integers([0], "axes")
    source = context.add("Unsqueeze", [context.source(operation, 0), time])
    initial = [context.add("Unsqueeze", [context.source(operation, 1 + i), time]) for i in range(states)]
    weights = _weights(context, operation, kind, first=1 + states, stacked=False)
    outputs = context.add_many(
        kind, [source, *weights, "", *initial], 1 + states, **_attributes(operation, kind, "forward")
    )
    return [context.add("Squeeze", [state, time]) for state in outputs[1:]]


def refuse_memory(context: ReadContext, operation: Operation) -> str:
    """`ReadValue`, `Assign`: state that the model keeps between calls."""
    raise UnreadableError("state that the model keeps between calls; it must be an input and an output instead")


def _state(context: ReadContext, operation: Operation, position: int) -> str:
    """Return an initial state `[D, B, H]`; empty (ONNX starts from zeros) when it is known to be zero."""
    if _is_zero(context, operation.feeder(position)):
        return ""
    return context.transpose(context.source(operation, position), [1, 0, 2])


def _is_zero(context: ReadContext, output: Any) -> bool:
    value = context.constant_at(output)
    if value is not None:
        return not value.any()
    node = output.get_node()
    if node.get_type_name() not in _MOVING:
        return False
    count = node.get_input_size() if node.get_type_name() == "Concat" else 1
    return all(_is_zero(context, node.input_value(i)) for i in range(count))


def _lengths(context: ReadContext, operation: Operation, position: int) -> str:
    """Return the lengths of the sequences, as int32; empty when all are full."""
    steps = operation.shape(0)[1]
    output = operation.feeder(position)
    if all_equal(context, output, steps) or _is_length_of(output, operation.feeder(0)):
        return ""
    name = context.source(operation, position)
    return name if operation.dtype(position) == np.int32 else context.cast(name, np.int32)


def all_equal(context: ReadContext, output: Any, steps: int | None) -> bool:
    """Tell whether every number of an output is known to be `steps`."""
    value = context.constant_at(output)
    if value is not None:
        return steps is not None and bool((value == steps).all())
    node = output.get_node()
    return node.get_type_name() in _MOVING[:-2] and all_equal(context, node.input_value(0), steps)


def _is_length_of(output: Any, data: Any) -> bool:
    """Tell whether an output is the number of steps of the data, read from its shape when it runs."""
    node = output.get_node()
    while node.get_type_name() in (*_MOVING, "Gather"):
        node = node.input_value(0).get_node()
        if node.get_type_name() == "ShapeOf":
            return key_of(node.input_value(0)) == key_of(data) and _chooses_time(output)
    return False


def _chooses_time(output: Any) -> bool:
    node = output.get_node()
    while node.get_type_name() != "ShapeOf":
        if node.get_type_name() == "Gather":
            index = node.input_value(1).get_node()
            return index.get_type_name() == "Constant" and [int(i) for i in np.array(index.data).reshape(-1)] == [1]
        node = node.input_value(0).get_node()
    return False


def _weights(
    context: ReadContext, operation: Operation, kind: str, *, first: int, stacked: bool
) -> tuple[str, str, str]:
    """Return ONNX's W, R and B; `first` is the number of the first input of the three, `stacked` that D leads."""
    arrays = [context.known(operation, first + i, what) for i, what in enumerate(("W", "R", "B"))]
    if not stacked:
        arrays = [array[None] for array in arrays]
    hidden, gates = int(operation.attribute("hidden_size")), _GATES[kind]
    w, r = (_reorder(array, hidden, gates) for array in arrays[:2])
    bias = arrays[2].astype(np.float32)
    if kind == "GRU" and bias.shape[1] == 4 * hidden:  # z and r summed, then both biases of h
        recurrent = np.concatenate([np.zeros_like(bias[:, : 2 * hidden]), bias[:, 3 * hidden :]], axis=1)
        both = np.concatenate([bias[:, : 3 * hidden], recurrent], axis=1)
    else:
        ordered = _reorder(bias, hidden, gates)
        both = np.concatenate([ordered, np.zeros_like(ordered)], axis=1)
    names = ("weights", "recurrent_weights", "bias")
    w_name, r_name, b_name = (
        context.add_constant(array, f"{operation.name}/{name}") for array, name in zip((w, r, both), names, strict=True)
    )
    return w_name, r_name, b_name


def _reorder(array: Any, hidden: int, gates: tuple[int, ...]) -> Any:
    return np.concatenate([array[:, gate * hidden : (gate + 1) * hidden] for gate in gates], axis=1)


def _attributes(operation: Operation, kind: str, direction: str) -> dict[str, Any]:
    names = [str(name).lower() for name in operation.attribute("activations") or []]
    unknown = [name for name in names if name not in _ACTIVATIONS]
    if unknown:
        raise UnreadableError(f"the activation {unknown[0]!r}")
    count = _DIRECTIONS[direction]
    attributes: dict[str, Any] = {"hidden_size": int(operation.attribute("hidden_size")), "direction": direction}
    if names:
        attributes["activations"] = [_ACTIVATIONS[name] for name in names] * count
    for field in ("alpha", "beta"):
        given = [float(value) for value in operation.attribute(f"activations_{field}") or []]
        if given:
            attributes[f"activation_{field}"] = given * count
    clip = float(operation.attribute("clip", 0.0) or 0.0)
    if 0 < clip < 1e30:
        attributes["clip"] = clip
    if kind == "GRU":
        attributes["linear_before_reset"] = int(bool(operation.attribute("linear_before_reset", False)))
    return attributes


def _trimmed(inputs: list[str]) -> list[str]:
    while inputs and not inputs[-1]:
        inputs.pop()
    return inputs
