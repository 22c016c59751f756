"""Write recurrent layers step by step, for formats that have no such operators.

Before: X [T, N, F] → LSTM / GRU / RNN → Y, Y_h, Y_c.
After:  X → Gemm for the input part of all steps → Split → per step a Gemm of the state, gates, a new state → Concat.
Everything lies in two dimensions, batch first; the batch may be free. The graph keeps no state between calls. Nodes
that a zero initial state makes superfluous in the first step are not written. Weights are stored once, and as they
were: in float16 and int8 too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import constant_of, nodes, replace_value
from edgeai_converters.graph.passes.tidy import remove_dead_nodes
from edgeai_converters.graph.recurrent.cells import Cell, State, parts_of
from edgeai_converters.graph.recurrent.layer import GATES, Direction, RecurrentError, RecurrentLayer, read_layer
from edgeai_converters.graph.recurrent.step_writer import StepWriter
from edgeai_converters.graph.shapes import Dim

LARGEST_UNROLLED = 1024
"""Steps up to which a layer is unrolled. A step takes 1.5 kB of a TFLite file beside the weights, and 10 to 14
operators; at this length writing takes some 10 s and loading up to 1 s on a busy 2-core machine, longer with large
weights."""


def unroll_recurrent(
    model: ir.Model, *, wanted: Callable[[RecurrentLayer], bool] | None = None
) -> tuple[ir.Model, bool]:
    """Write the recurrent layers step by step, in place; results agree to rounding (1e-5).

    Shapes of the new values are stated. Layers that cannot be unrolled stay; `refusal` tells why.

    Args:
        model: the graph, shapes inferred.
        wanted: whether to unroll a layer; all by default.
    """
    changed = False
    for node in nodes(model, *GATES):
        try:
            layer = read_layer(node)
            if refusal(layer) is not None or (wanted is not None and not wanted(layer)):
                continue
        except RecurrentError:
            continue
        _unroll(model, layer)
        changed = True
    if changed:
        remove_dead_nodes(model)
    return model, changed


def refusal(layer: RecurrentLayer) -> str | None:
    """Return why a layer cannot be unrolled, `None` when it can."""
    if layer.steps > LARGEST_UNROLLED:
        return f"its {layer.steps} steps are too many to write one by one (at most {LARGEST_UNROLLED})"
    if layer.length < 1:
        return "its sequences are empty"
    if layer.length < layer.steps and layer.node.outputs[0].uses() and not isinstance(layer.batch, int):
        return "its sequences are shorter than its input and the batch is free: fix it with --shape"
    return None


def _unroll(model: ir.Model, layer: RecurrentLayer) -> None:
    node, writer = layer.node, StepWriter(model, layer.node)
    flat = _rows_of_steps(writer, layer)
    runs = [_run(writer, layer, direction, flat, place) for place, direction in enumerate(layer.directions)]
    used = [bool(output.uses()) or output.is_graph_output() for output in node.outputs]
    made: list[ir.Value | None] = [None, None, None]
    if used[0]:
        made[0] = _sequence(writer, layer, [states for states, _ in runs])
    for index, name in ((1, "h"), (2, "c")):
        if len(used) > index and used[index]:
            made[index] = _last(writer, layer, [getattr(last, name) for _, last in runs], f"last_{name}")
    for old, new in zip(node.outputs, made, strict=False):
        if new is not None:
            replace_value(model, old, new)
    model.graph.remove(node, safe=True)


def _rows_of_steps(writer: StepWriter, layer: RecurrentLayer) -> ir.Value:
    """Return the input as `[N · T, F]`, samples outside."""
    value = layer.node.inputs[0]
    assert value is not None
    if not layer.batch_first:
        shape = (layer.batch, layer.steps, layer.features)
        value = writer.add("Transpose", [value], shape, "batch_first", {"perm": (1, 0, 2)})
    return writer.reshape(value, (_times(layer.batch, layer.steps), layer.features), "rows")


def _times(batch: Dim, factor: int) -> Dim:
    return batch * factor if isinstance(batch, int) else (batch if factor == 1 else None)


def _run(
    writer: StepWriter, layer: RecurrentLayer, direction: Direction, flat: ir.Value, place: int
) -> tuple[list[ir.Value], State]:
    """Write one direction; return the states `h` in the order of time, and the last state."""
    label = "" if len(layer.directions) == 1 else ("forward/", "backward/")[place]
    parts = parts_of(layer, direction)
    inputs = []
    for part in parts:
        rows = part.weight.stored.shape[0]
        product = writer.product(flat, part.weight, part.input_bias, f"{label}input/{part.label}")
        wide = writer.reshape(product, (layer.batch, layer.steps * rows), f"{label}input/{part.label}/steps")
        inputs.append(writer.split(wide, layer.steps, rows, f"{label}input/{part.label}/step"))
    state = State(
        h=_initial(writer, layer, layer.initial_h, place, f"{label}initial_h"),
        c=_initial(writer, layer, layer.initial_c, place, f"{label}initial_c"),
    )
    cell = Cell(writer, layer, direction.activations, parts, label)
    order = range(layer.length)
    found: dict[int, ir.Value] = {}
    for number in reversed(order) if direction.reverse else order:
        state = cell.step(tuple(steps[number] for steps in inputs), state, number)
        assert state.h is not None
        found[number] = state.h
    return [found[number] for number in order], state


def _initial(
    writer: StepWriter, layer: RecurrentLayer, value: ir.Value | None, place: int, label: str
) -> ir.Value | None:
    """Return the initial state of one direction, `[N, H]`, of a value `[directions, N, H]` (`[N, directions, H]`)."""
    if value is None:
        return None
    axis, count = (1 if layer.batch_first else 0), len(layer.directions)
    known = constant_of(value)
    if known is not None:
        part = np.take(known, place, axis=axis)
        return writer.constant(part, label) if part.any() else None
    if count > 1:
        shape: list[Dim] = [layer.batch, layer.hidden]
        shape.insert(axis, 1)
        cut = [writer.constant(np.array([n], np.int64), f"{label}/cut") for n in (place, place + 1, axis)]
        value = writer.add("Slice", [value, *cut], shape, f"{label}/part")
    return writer.reshape(value, (layer.batch, layer.hidden), label)


def _sequence(writer: StepWriter, layer: RecurrentLayer, states: list[list[ir.Value]]) -> ir.Value:
    """Return Y, `[T, directions, N, H]` (`[N, T, directions, H]`)."""
    batch, steps, hidden, count = layer.batch, layer.steps, layer.hidden, len(layer.directions)
    runs = []
    for place, run in enumerate(states):
        missing = steps - len(run)
        if missing:
            assert isinstance(batch, int)
            run = [*run, writer.constant(np.zeros((batch, missing * hidden), np.float32), "behind")]
        wide = writer.join(run, f"wide/{place}")
        runs.append(writer.reshape(wide, (batch, steps, hidden), f"sequence/{place}"))
    joined = runs[0]
    if count > 1:
        joined = writer.add("Concat", runs, (batch, steps, count * hidden), "sequence", {"axis": 2})
    split = writer.reshape(joined, (batch, steps, count, hidden), "sequences")
    if layer.batch_first:
        return split
    return writer.add("Transpose", [split], (steps, count, batch, hidden), "Y", {"perm": (1, 2, 0, 3)})


def _last(writer: StepWriter, layer: RecurrentLayer, states: list[ir.Value], label: str) -> ir.Value:
    """Return Y_h or Y_c, `[directions, N, H]` (`[N, directions, H]`)."""
    batch, hidden, count = layer.batch, layer.hidden, len(layer.directions)
    if count > 1:
        wide = writer.join(states, f"{label}/wide")
        split = writer.reshape(wide, (batch, count, hidden), f"{label}/split")
        if layer.batch_first:
            return split
        return writer.add("Transpose", [split], (count, batch, hidden), label, {"perm": (1, 0, 2)})
    return writer.reshape(states[0], (batch, 1, hidden) if layer.batch_first else (1, batch, hidden), label)
