"""What the writer changes in the graph before it writes: operators that TFLite has no kernel for, said in others.

Recurrent layers are unrolled: the result is stateless, keeps the batch free and runs as one XNNPACK partition. An LSTM
of very many steps stays, for the engine's own kernel (see `recurrent.py`).
"""

from __future__ import annotations

import onnx_ir as ir

from edgeai_converters.graph.passes.unroll_recurrent import unroll_recurrent
from edgeai_converters.graph.recurrent.layer import GATES


def lower(model: ir.Model) -> ir.Model:
    """Return a graph that TFLite has operators for, as far as that is known; the model itself when nothing changes."""
    if not any(node.op_type in GATES for node in model.graph):
        return model
    return unroll_recurrent(model.clone())[0]
