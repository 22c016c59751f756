"""Write a loop that computes a GRU or a plain recurrent layer as that operator.

Before: Loop {h = GRU cell(x[t], h)}.   After: Unsqueeze(h) → GRU → Squeeze.
tf2onnx writes Keras's GRU and SimpleRNN as loops. The operator is smaller and faster in every engine than the loop, and
than the loop written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, nodes, replace_value
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
        (output.uses() or output.is_graph_output()) and start is not layer.state and start not in loop.invariants
        for start, output in pairs
    )


def _replace(model: ir.Model, loop: CountedLoop, layer: FoundLayer) -> None:
    node = loop.node
    stem = node.name or layer.kind
    first = next(first for start, _, first in loop.carried if start is layer.state)
    constants = [
        add_constant(model, f"{stem}_{label}", array[None].astype(np.float32))
        for label, array in (
            ("W", layer.weight.T),
            ("R", layer.recurrence.T),
            ("B", np.concatenate([layer.input_bias, layer.recurrent_bias])),
        )
    ]
    start = None
    if uniform_value(first) != 0:
        axis = add_constant(model, f"{stem}_axis", np.zeros(1, np.int64))
        start = add_node(model, node, "Unsqueeze", [first, axis], name=f"{stem}_initial_h")
    attributes: dict[str, Any] = {
        "hidden_size": layer.recurrence.shape[0],
        "activations": list(layer.activations),
    }
    if layer.kind == "GRU":
        attributes["linear_before_reset"] = int(layer.late)
    made = ir.node(layer.kind, [layer.sequence, *constants, None, start], attributes, num_outputs=2, name=stem)
    for output, label in zip(made.outputs, ("Y", "Y_h"), strict=True):
        output.name, output.type = f"{stem}_{label}", layer.sequence.type
    model.graph.insert_before(node, made)
    count = len(loop.body.inputs) - 2
    for place, old in enumerate(node.outputs):
        if not (old.uses() or old.is_graph_output()):
            continue
        if place < count and loop.body.inputs[2 + place] in loop.invariants:
            new = loop.invariants[loop.body.inputs[2 + place]]
        else:
            axis = add_constant(model, f"{stem}_axis", np.array([0 if place < count else 1], np.int64))
            value = made.outputs[1 if place < count else 0]
            new = add_node(model, node, "Squeeze", [value, axis], name=f"{stem}_{place}")
        if not replace_value(model, old, new):
            replace_value(model, old, add_node(model, node, "Identity", [new], name=f"{stem}_{place}"))
    model.graph.remove(node, safe=True)
