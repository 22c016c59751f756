"""Write a loop that computes an LSTM, a GRU or a plain recurrent layer as that operator.

Before: Loop {h = GRU cell(x[t], h)}.   After: Unsqueeze(h) → GRU → Squeeze.
tf2onnx writes Keras's GRU and SimpleRNN as loops, TensorFlow's converter and OpenVINO every recurrent layer. The
operator is smaller and faster in every engine than the loop, and than the loop written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, nodes, replace_value, unique_name
from edgeai_converters.graph.recurrent.loop import CountedLoop, read_loop
from edgeai_converters.graph.recurrent.recognise import FoundLayer, collects_states, recognise
from edgeai_converters.graph.recurrent.uniform import uniform_value
from edgeai_converters.graph.shapes import infer_shapes


def fold_recurrent_loop(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace loops that are recurrent layers, in place; what a loop is was tried on drawn numbers."""
    changed = False
    for node in nodes(model, "Loop"):
        loop = read_loop(node)
        layer = None if loop is None else recognise(loop)
        if loop is not None and layer is not None and collects_states(loop, layer) and _only_states(loop, layer):
            _replace(model, loop, layer)
            infer_shapes(model)  # a loop behind it is known by the length of what it reads
            changed = True
    return model, changed


def _only_states(loop: CountedLoop, layer: FoundLayer) -> bool:
    """Tell whether nothing reads what the loop carries beside the state (counters)."""
    pairs = zip(loop.body.inputs[2:], loop.node.outputs, strict=False)
    return not any(
        (output.uses() or output.is_graph_output()) and start not in layer.states and start not in loop.invariants
        for start, output in pairs
    )


def _replace(model: ir.Model, loop: CountedLoop, layer: FoundLayer) -> None:
    node, cell = loop.node, layer.cell
    stem = node.name or cell.kind
    constants = [
        add_constant(model, f"{stem}_{label}", array[None].astype(np.float32))
        for label, array in (
            ("W", cell.weight.T),
            ("R", cell.recurrence.T),
            ("B", np.concatenate([cell.input_bias, cell.recurrent_bias])),
        )
    ]
    starts = [_start(model, loop, state, f"{stem}_initial") for state in layer.states]
    attributes: dict[str, Any] = {"hidden_size": cell.recurrence.shape[0], "activations": list(cell.activations)}
    if cell.kind == "GRU":
        attributes["linear_before_reset"] = int(cell.late)
    made = ir.node(
        cell.kind,
        [layer.sequence, *constants, None, *starts],
        attributes,
        num_outputs=1 + len(starts),
        name=unique_name(model, stem),
    )
    for output, label in zip(made.outputs, ("Y", "Y_h", "Y_c"), strict=False):
        output.name, output.type = unique_name(model, f"{stem}_{label}"), layer.sequence.type
    model.graph.insert_before(node, made)
    count = len(loop.body.inputs) - 2
    for place, old in enumerate(node.outputs):
        if not (old.uses() or old.is_graph_output()):
            continue
        start = loop.body.inputs[2 + place] if place < count else None
        if start is not None and start in loop.invariants:
            new = loop.invariants[start]
        else:
            axis = add_constant(model, f"{stem}_axis", np.array([1 if start is None else 0], np.int64))
            value = made.outputs[0 if start is None else 1 + layer.states.index(start)]
            new = add_node(model, node, "Squeeze", [value, axis], name=f"{stem}_{place}")
        if not replace_value(model, old, new):
            replace_value(model, old, add_node(model, node, "Identity", [new], name=f"{stem}_{place}"))
    model.graph.remove(node, safe=True)


def _start(model: ir.Model, loop: CountedLoop, state: ir.Value, stem: str) -> ir.Value | None:
    """Return an initial state with an axis for the direction, `None` for zeros."""
    first = next(first for start, _, first in loop.carried if start is state)
    if uniform_value(first) == 0:
        return None
    axis = add_constant(model, f"{stem}_axis", np.zeros(1, np.int64))
    return add_node(model, loop.node, "Unsqueeze", [first, axis], name=stem)
