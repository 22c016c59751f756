"""Compute what depends on constants only.

Before: every input of the node is constant.   After: the node is gone, its outputs are constants.
Kept: random operators, Quantize/DequantizeLinear (they say how a constant is stored), nodes with subgraphs, outputs
of the graph, and results that would be much larger than what they are made from (Expand, Tile, ConstantOfShape).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, constant_of, remove_node

_KEPT = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"}
    | {"Multinomial", "Bernoulli", "If", "Loop", "Scan", "SequenceConstruct", "SequenceEmpty"}
)
_LARGEST_GROWTH = 65_536  # elements a result may have beyond its inputs


def fold_constants(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace nodes that read constants only by their results; values agree with ONNX's reference implementation."""
    changed = False
    for node in tuple(model.graph):
        if node.domain not in ("", "ai.onnx") or node.op_type in _KEPT:
            continue
        if any(output.is_graph_output() for output in node.outputs):
            continue
        constants = {value.name: constant_of(value) for value in node.inputs if value is not None}
        if not constants and node.op_type != "Constant":
            continue
        if any(array is None for array in constants.values()):
            continue
        results = _compute(model, node, constants)
        if results is None or _grows(results, constants):
            continue
        for output, result in zip(node.outputs, results, strict=False):
            if output.uses():
                ir.convenience.replace_all_uses_with(output, add_constant(model, f"{output.name}_folded", result))
        remove_node(model, node)
        changed = True
    return model, changed


def _grows(results: list[Any], constants: dict[Any, Any]) -> bool:
    allowed = sum(array.size for array in constants.values()) * 4 + _LARGEST_GROWTH
    return bool(sum(result.size for result in results) > allowed)


def _compute(model: ir.Model, node: ir.Node, constants: dict[Any, Any]) -> list[Any] | None:
    """Return the outputs of one node as arrays; `None` when the reference implementation cannot."""
    try:
        graph = onnx.helper.make_graph(
            [ir.to_proto(node)],
            "one_node",
            [
                onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
                for name, array in constants.items()
            ],
            [onnx.helper.make_empty_tensor_value_info(output.name) for output in node.outputs if output.name],
        )
        opset = onnx.helper.make_opsetid("", model.graph.opset_imports.get("", 18))
        proto = onnx.helper.make_model(graph, opset_imports=[opset])
        with np.errstate(all="ignore"):
            results = onnx.reference.ReferenceEvaluator(proto).run(None, constants)
    except Exception:  # whatever it cannot do stays a node
        return None
    arrays = [np.asarray(result) for result in results]
    return arrays if all(array.dtype != object for array in arrays) else None
