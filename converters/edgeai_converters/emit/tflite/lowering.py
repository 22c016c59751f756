"""What the writer changes in the graph before it writes: operators that TFLite has no kernel for, said in others.

Recurrent layers are unrolled: the result is stateless, keeps the batch free and runs as one XNNPACK partition. But
XNNPACK keeps a copy of the weights for every operator that reads them, so a step costs memory and, beyond the caches,
time. A long LSTM is left to the engine's own kernel (`recurrent.py`). Attention becomes products and a Softmax.
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.emit.tflite.recurrent import has_kernel
from edgeai_converters.graph.passes.unroll_recurrent import unroll_recurrent
from edgeai_converters.graph.passes.write_attention import write_attention
from edgeai_converters.graph.recurrent.layer import GATES, RecurrentLayer

MOST_COPIED = 8 * 2**20
"""Bytes of recurrent weights, counted once per step, up to which an LSTM is unrolled."""


def lower(model: ir.Model) -> ir.Model:
    """Return a graph that TFLite has operators for, as far as that is known; the model itself when nothing changes."""
    op_types = {node.op_type for node in model.graph}
    if "Attention" in op_types:
        model = write_attention(model.clone())[0]
    if op_types.intersection(GATES):
        model = unroll_recurrent(model.clone(), wanted=_is_unrolled)[0]
    return model


def _is_unrolled(layer: RecurrentLayer) -> bool:
    copied = 4 * layer.length * len(layer.directions) * GATES[layer.kind] * layer.hidden**2
    return copied <= MOST_COPIED or not has_kernel(layer)
