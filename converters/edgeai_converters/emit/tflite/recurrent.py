"""Recurrent layers that were not unrolled: a long LSTM ↔ UNIDIRECTIONAL_SEQUENCE_LSTM.

The kernel keeps its state between calls, in variable tensors. The runtime resets them before every call, so that a
call depends on its inputs alone; other callers must do the same (`reset_all_variables`). `lowering.py` leaves here what
would take too much memory unrolled.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from edgeai_converters.emit.tflite.folding import Constant
from edgeai_converters.emit.tflite.layout import Permutation, Shape, physical_shape
from edgeai_converters.emit.tflite.quantization import Array, per_tensor
from edgeai_converters.emit.tflite.read_context import Operator, ReadContext, UnreadableError
from edgeai_converters.emit.tflite.write_context import UnwritableError, Value, WriteContext
from edgeai_converters.graph.passes.unroll_recurrent import refusal
from edgeai_converters.graph.recurrent.layer import Direction, Matrix, RecurrentError, RecurrentLayer, read_layer

NOTE = "an LSTM keeps its state between calls: reset the variables before each (edgeai's runtime does)"

_GATES = ("input", "output", "forget", "cell")
"""Order of the gates in ONNX's rows."""
_KERNEL_ORDER = (0, 2, 3, 1)
"""Order of the gates among the kernel's inputs (input, forget, cell, output), as places in ONNX's rows."""
_FUSED = {"Relu": 1, "Tanh": 4}
_BATCH_FIRST = (1, 0, 2)


def has_kernel(layer: RecurrentLayer) -> bool:
    """Tell whether the sequence kernel computes what a layer computes, direction by direction."""
    if layer.kind != "LSTM" or layer.clip or layer.coupled or layer.initial_h or layer.initial_c or layer.batch_first:
        return False
    outputs = layer.node.outputs
    if layer.length < layer.steps or (len(outputs) > 2 and (outputs[2].uses() or outputs[2].is_graph_output())):
        return False
    return all(_function(direction) is not None for direction in layer.directions)


def _function(direction: Direction) -> int | None:
    gate, cell, output = (function.name for function in direction.activations)
    return _FUSED.get(cell) if gate == "Sigmoid" and cell == output else None


def write_recurrent(context: WriteContext, node: ir.Node) -> None:
    """Write an LSTM with the sequence kernel; say why another layer could not be written."""
    try:
        layer = read_layer(node)
    except RecurrentError as error:
        raise UnwritableError(str(error)) from error
    if not has_kernel(layer):
        raise UnwritableError(refusal(layer) or "it was not unrolled")
    value = context.value(node)
    time = 1 if value.order == _BATCH_FIRST else 0
    source = context.tensor(value, _BATCH_FIRST if time else (0, 1, 2))
    runs = [_write_run(context, layer, direction, source, time) for direction in layer.directions]
    names = [output.name or "" for output in node.outputs]
    used = [bool(output.uses()) or output.is_graph_output() for output in node.outputs]
    if used[0]:
        parts = [
            _reversed(context, run, time, names[0]) if direction.reverse else run
            for run, direction in zip(runs, layer.directions, strict=True)
        ]
        joined = _joined(context, parts, 2, names[0])
        order = (2, 0, 1, 3) if time else (0, 2, 1, 3)
        _define(context, node, 0, joined, (layer.steps, len(runs), _free(layer), layer.hidden), order)
    if len(used) > 1 and used[1]:
        lasts = [_last(context, run, time, names[1]) for run in runs]
        joined = _joined(context, lasts, 2, names[1])
        _define(context, node, 1, joined, (len(runs), _free(layer), layer.hidden), (1, 0, 2))
    if NOTE not in context.notes:
        context.notes.append(NOTE)


def _free(layer: RecurrentLayer) -> int | None:
    return layer.batch if isinstance(layer.batch, int) else None


def _write_run(context: WriteContext, layer: RecurrentLayer, direction: Direction, source: int, time: int) -> int:
    """Write one direction; return the states in the order they are computed, batch and time as in `source`."""
    name, hidden = layer.node.outputs[0].name or layer.node.name or "lstm", layer.hidden
    if direction.reverse:
        name = f"{name}/reverse"
        source = _reversed(context, source, time, name)
    integer = any(matrix.scale is not None for matrix in (direction.weight, direction.recurrence))
    weights = [_weight(context, direction.weight, gate, f"{name}/input_to", integer) for gate in _KERNEL_ORDER]
    recurrent = [
        _weight(context, direction.recurrence, gate, f"{name}/recurrent_to", integer) for gate in _KERNEL_ORDER
    ]
    both = direction.input_bias + direction.recurrent_bias
    biases = [
        context.file.add_constant(both[gate * hidden : (gate + 1) * hidden], f"{name}/{_GATES[gate]}_bias")
        for gate in _KERNEL_ORDER
    ]
    states = [
        context.file.add_variable(f"{name}/{label}", (_free(layer) or 1, hidden), "float32")
        for label in ("state", "cell")
    ]
    made = context.file.add_tensor(f"{name}/states", (*context.shape_of(source)[:2], hidden), "float32")
    context.add(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [source, *weights, *recurrent, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1],
        [made],
        "UnidirectionalSequenceLSTMOptions",
        fusedActivationFunction=_function(direction),
        timeMajor=time == 0,
    )
    return made


def _reversed(context: WriteContext, tensor: int, axis: int, name: str) -> int:
    made = context.scratch(tensor, context.shape_of(tensor), f"{name}/reversed")
    context.add("REVERSE_V2", [tensor, context.integers([axis], f"{name}/axis")], [made], "ReverseV2Options")
    return made


def _joined(context: WriteContext, tensors: list[int], axis: int, name: str) -> int:
    """Put tensors beside each other along an axis."""
    if len(tensors) == 1:
        return tensors[0]
    shape = list(context.shape_of(tensors[0]))
    shape[axis] = sum(context.shape_of(tensor)[axis] or 0 for tensor in tensors)
    made = context.scratch(tensors[0], tuple(shape), f"{name}/joined")
    context.add("CONCATENATION", tensors, [made], "ConcatenationOptions", axis=axis, fusedActivationFunction=0)
    return made


def _last(context: WriteContext, tensor: int, time: int, name: str) -> int:
    """Return the last step of a run, with an axis of size 1 in the place of time."""
    shape = list(context.shape_of(tensor))
    steps, shape[time] = shape[time], 1
    assert steps is not None
    made = context.scratch(tensor, tuple(shape), f"{name}/last")
    begin = [steps - 1 if axis == time else 0 for axis in range(3)]
    end = [steps if axis == time else size or 0 for axis, size in enumerate(shape)]
    tables = [
        context.integers(numbers, f"{name}/{label}")
        for label, numbers in (("begin", begin), ("end", end), ("steps", [1, 1, 1]))
    ]
    mask = sum(1 << axis for axis, size in enumerate(shape) if size is None)
    context.add("STRIDED_SLICE", [tensor, *tables], [made], "StridedSliceOptions", beginMask=0, endMask=mask)
    return made


def _define(context: WriteContext, node: ir.Node, position: int, tensor: int, shape: Shape, order: Permutation) -> None:
    name = context.result_name(node, position)
    tensor = context.reshaped(tensor, physical_shape(shape, order), name)
    context.define(node, Value(name=name, shape=shape, tensors={(order, False): tensor}), position=position)


def _weight(context: WriteContext, matrix: Matrix, gate: int, label: str, integer: bool) -> int:
    """Return the tensor of one gate's weights; the kernel wants all in one type, int8 with one scale per gate."""
    hidden = matrix.stored.shape[0] // len(_GATES)
    rows = matrix.rows(gate * hidden, (gate + 1) * hidden)
    name = f"{label}_{_GATES[gate]}"
    if not integer:
        return context.weights(Constant(name=name, stored=rows.stored), rows.stored)
    real = rows.real
    scale = float(np.abs(real).max(initial=0.0)) / 127 or 1.0
    stored = np.clip(np.rint(real / scale), -127, 127).astype(np.int8)
    return context.file.add_constant(stored, name, per_tensor(scale, 0))


def read_sequence_lstm(context: ReadContext, operator: Operator) -> None:
    """Read UNIDIRECTIONAL_SEQUENCE_LSTM as LSTM, from a zero state.

    The limit of the cell (`cellClip`) has no like in ONNX and is left out: TensorFlow's converter writes 10 into every
    file, whose layers had none. Whether it matters is judged where the graph is held against the file.
    """
    inputs = [*operator.inputs, *[-1] * (24 - len(operator.inputs))]
    for places, what in (((9, 10, 11), "peepholes"), ((16, 17), "a projection"), ((20, 21, 22, 23), "normalization")):
        if any(inputs[place] >= 0 and _is_weight(context, inputs[place]) for place in places):
            raise UnreadableError(f"UNIDIRECTIONAL_SEQUENCE_LSTM with {what}")
    if inputs[1] < 0:
        raise UnreadableError("UNIDIRECTIONAL_SEQUENCE_LSTM without an input gate")
    function = {1: "Relu", 4: "Tanh"}.get(operator.option("fusedActivationFunction"))
    if function is None:
        raise UnreadableError(f"activation number {operator.option('fusedActivationFunction')}")
    if operator.option("projClip", 0.0):
        raise UnreadableError("UNIDIRECTIONAL_SEQUENCE_LSTM with a limited projection")
    weights, recurrent, biases = (
        _by_gate([context.known(operator, start + place, what) for place in range(4)])
        for start, what in ((1, "the weights"), (5, "the recurrent weights"), (12, "the biases"))
    )
    name = context.name(operator.outputs[0])
    hidden = recurrent.shape[1]
    constants = [
        context.add_constant(array[None].astype(np.float32), f"{name}/{label}")
        for label, array in (("W", weights), ("R", recurrent), ("B", np.concatenate([biases, biases * 0])))
    ]
    source = context.source(operator.inputs[0])
    if not operator.option("timeMajor", False):
        source = context.add("Transpose", [source], perm=_BATCH_FIRST)
    made = context.add("LSTM", [source, *constants], hidden_size=hidden, activations=["Sigmoid", function, function])
    made = context.add("Squeeze", [made, context.integers([1], f"{name}/direction")])
    if not operator.option("timeMajor", False):
        made = context.add("Transpose", [made], perm=_BATCH_FIRST)
    context.finish(replace(operator, options=None), made)  # the activation is inside


def _is_weight(context: ReadContext, tensor: int) -> bool:
    """Tell whether an input is there; quantized files put empty tensors (scales of inner values) in some places."""
    return 0 not in context.shape(tensor)


def _by_gate(arrays: list[Array]) -> Array:
    """Return the rows of the kernel's four inputs in ONNX's order."""
    return np.concatenate([arrays[_KERNEL_ORDER.index(gate)] for gate in range(4)])
