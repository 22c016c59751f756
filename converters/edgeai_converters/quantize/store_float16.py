"""The pass that stores weights as float16; everything is still computed in float32.

w (float32) ── Conv     →     w (float16) ── Cast ── Conv
"""

from __future__ import annotations

import logging

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.qdq_nodes import QdqWriter

_LOG = logging.getLogger(__name__)

LEAST_ELEMENTS = 256
"""Constants below this stay float32: the bytes saved are less than the extra node's."""

_LARGEST = float(np.finfo(np.float16).max)
_SMALLEST_NORMAL = float(np.finfo(np.float16).tiny)


def store_float16(model: ir.Model) -> tuple[ir.Model, bool]:
    """Return a copy of the graph whose large float32 constants are stored as float16, and whether any was.

    A constant stays float32 when it has a value beyond float16's range (65504), an infinity or NaN, or nothing but
    values so small (below 6.1e-5) that float16 would keep few of their digits; the log says which.

    Args:
        model: the float graph; not changed.
    """
    model = model.clone()
    writer = QdqWriter(model.graph)
    changed = False
    for value in list(model.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < LEAST_ELEMENTS:
            continue
        uses = [use for use in value.uses() if use.node.graph is model.graph]
        if not uses or len(uses) != len(value.uses()) or value.is_graph_output():
            continue
        array = tensor.numpy()
        largest = float(np.abs(array).max())
        if not largest <= _LARGEST or 0.0 < largest < _SMALLEST_NORMAL:
            _LOG.warning("%s stays float32: its largest magnitude is %g", value.name, largest)
            continue
        stored = writer.constant(f"{value.name}_float16", array.astype(np.float16))
        result = ir.Value(
            name=writer.free_name(f"{value.name}_float32"), shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT)
        )
        cast = ir.node("Cast", [stored], {"to": int(ir.DataType.FLOAT)}, outputs=[result], name=f"{value.name}_cast")
        first = next(node for node in model.graph if node in {use.node for use in uses})
        model.graph.insert_before(first, cast)
        for use in uses:
            use.node.replace_input_with(use.idx, result)
        changed = True
    writer.drop_unused()
    return model, changed
