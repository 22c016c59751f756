"""A graph with Q and DQ nodes as integer operators (QLinearConv, QLinearMatMul, QLinearAdd, …), on request.

DQ → Conv → Q becomes QLinearConv. ONNX Runtime finds the same operators when it loads the graph with Q and DQ nodes,
so answers and speed are the same; the form is for runtimes that know only the operators, and saves the work at
loading. It is ONNX Runtime's own transformation, run once at the level that is free of the machine's layouts
(`ORT_ENABLE_EXTENDED`), so what it cannot fuse stays as it is. Half of the operators are ONNX Runtime's own
(`com.microsoft`): other engines read Q and DQ nodes only.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from edgeai_converters.quantize.stored_values import QUANTIZE, stored_nodes
from edgeai_converters.require import require
from edgeai_runtime.errors import ModelError

_TOO_LARGE = 1_500_000_000
"""Bytes of a graph that protobuf does not carry."""


def to_qoperator(model: ir.Model) -> tuple[ir.Model, bool]:
    """Return the graph in integer operators, and whether any was written; the given graph is not changed.

    Names of inputs and outputs, their shapes and types stay. Answers are those of the graph with Q and DQ nodes in
    ONNX Runtime on the same machine.

    Args:
        model: a graph with Q and DQ nodes, made for a scheme of ONNX Runtime (`onnx-…`).

    Raises:
        ModelError: ONNX Runtime does not accept the graph.
        MissingEngineError: ONNX Runtime is not installed.
    """
    if not stored_nodes(model, QUANTIZE):
        return model, False
    ort = require("onnxruntime", extra="onnx")
    proto = ir.to_proto(model).SerializeToString()
    if len(proto) > _TOO_LARGE:
        raise ModelError("The graph is too large to be written in integer operators.", hint="Keep its Q and DQ nodes.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "operators.onnx")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.qdqisint8allowed", "1")  # else signed activations on ARM only
        try:
            ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no public base class for its errors
            message = str(error).strip().splitlines()[0]
            raise ModelError(f"ONNX Runtime does not accept the graph: {message}") from error
        written = onnx.load(path)
    used = {node.domain for node in written.graph.node}
    kept = [entry for entry in written.opset_import if entry.domain in used | {""}]
    del written.opset_import[:]
    written.opset_import.extend(kept)
    written.ir_version = model.ir_version
    result = ir.from_proto(written)
    return result, any(is_integer_operator(node) for node in result.graph)


def is_integer_operator(node: ir.Node) -> bool:
    """Tell whether a node computes in integers with scales of its own."""
    return node.op_type.startswith("QLinear") or node.op_type in ("QGemm", "QEmbedLayerNormalization", "QAttention")
