"""Rounding written again behind what only moves numbers, so that engines see that the layer behind it reads integers.

Before: x → Q → DQ → Transpose → Conv.     After: x → Q → DQ → Transpose → Q → DQ → Conv.

The second rounding has the same scale and changes nothing. Without it the convolution reads a float as far as an engine
can tell: ONNX Runtime computes it in float, and where the constant is not dequantized beside it, rounds its weights
anew with scales of its own (seen in 1.31: 55 of 256 steps of ResNet8's answer).
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.quantize.qdq_nodes import QdqWriter
from edgeai_converters.quantize.stored_values import DEQUANTIZE, QUANTIZE, read_parameters

MOVES = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Identity", "MaxPool"})
"""Operators whose results are some of their input's numbers."""


def round_after_moves(model: ir.Model) -> tuple[ir.Model, bool]:
    """Return a copy where what moves dequantized activations is followed by a Q and a DQ of the same scale."""
    model = model.clone()
    writer = QdqWriter(model.graph)
    changed = False
    for node in tuple(model.graph):
        source = node.inputs[0].producer() if node.op_type in MOVES and node.inputs[0] is not None else None
        if source is None or source.op_type not in DEQUANTIZE:
            continue
        stored, parameters, moved = source.inputs[0], read_parameters(source), node.outputs[0]
        if stored is None or stored.const_value is not None or parameters is None or parameters.axis is not None:
            continue
        readers = [use for use in moved.uses() if use.node.op_type not in QUANTIZE]
        if not readers or moved.is_graph_output():
            continue
        quantize, dequantize = writer.pair(moved, parameters)
        model.graph.insert_after(node, (quantize, dequantize))
        for use in readers:
            use.node.replace_input_with(use.idx, dequantize.outputs[0])
        changed = True
    return model, changed
