"""A plan in words: counts, and reasons with the operations that they hold for."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgeai_converters.graph.prepare import prepare_graph
from edgeai_converters.quantize.plan_summary import summarize_plan
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.schemes import SCHEMES


def _model() -> ir.Model:
    """Return two dense layers with a Softmax between and one behind."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Softmax", ["a"], ["b"], name="between"),
        helper.make_node("MatMul", ["b", "w"], ["c"], name="second"),
        helper.make_node("Softmax", ["c"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weight],
    )
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return prepare_graph(proto, what="test")


def test_a_plan_is_told_by_counts_and_by_reasons() -> None:
    model = _model()
    ranges = dict.fromkeys(("x", "a", "b", "c", "y"), (-1.0, 1.0))
    told = summarize_plan(model, plan_quantization(model, ranges, SCHEMES["tflite-int8"]))
    assert told[0] == "2 operations in integers, 2 in float, 4 values converted between them"
    assert told[1].startswith("in float: 2 Softmax: ")
    assert len(told) == 2


def test_what_was_excluded_is_told_with_its_reason() -> None:
    model = _model()
    ranges = dict.fromkeys(("x", "a", "b", "c", "y"), (-1.0, 1.0))
    plan = plan_quantization(model, ranges, SCHEMES["tflite-int8"], excluded={"second": "it loses most"})
    assert "in float: MatMul: it loses most" in summarize_plan(model, plan)
