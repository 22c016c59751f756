"""Tidy the constants and remove what nothing reads.

After: no dead nodes and unused constants; large equal constants are one; every layer has a bias of its own (layers
with different inputs quantize it differently).
"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edgeai_converters.graph.edit import add_constant, constant_of, input_of, nodes

_WORTH_SHARING = 256  # elements; smaller constants cost nothing and sharing them couples unrelated nodes


def remove_dead_nodes(model: ir.Model) -> tuple[ir.Model, bool]:
    """Remove nodes and constants that no output depends on. Inputs of the graph stay, used or not."""
    result = common_passes.RemoveUnusedNodesPass()(model)
    return model, bool(result.modified)


def merge_equal_constants(model: ir.Model) -> tuple[ir.Model, bool]:
    """Let readers of equal large constants read one of them."""
    seen: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
    changed = False
    for value in tuple(model.graph.initializers.values()):
        array = constant_of(value)
        if array is None or array.size < _WORTH_SHARING or array.dtype == object or value.is_graph_output():
            continue
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()
        first = seen.setdefault((str(value.dtype), array.shape, digest), value)
        if first is not value and value.uses():
            ir.convenience.replace_all_uses_with(value, first)
            changed = True
    return model, changed


def separate_biases(model: ir.Model) -> tuple[ir.Model, bool]:
    """Give every Conv, ConvTranspose and Gemm a constant bias that no other node reads."""
    changed = False
    for node in nodes(model, "Conv", "ConvTranspose", "Gemm"):
        value = input_of(node, 2)
        array = constant_of(value)
        if value is not None and array is not None and len(value.uses()) > 1:
            node.replace_input_with(2, add_constant(model, f"{node.name or value.name}_bias", array.copy()))
            changed = True
    return model, changed
