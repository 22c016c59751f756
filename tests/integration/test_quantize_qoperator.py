"""Integer operators on request: the answers of the graph with Q and DQ nodes, in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.onnx import emit_onnx
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.integer_boundary import integer_boundary
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.qoperator import to_qoperator
from edgeai_converters.quantize.quantized_source import carry_refusal, describe_quantization
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_runtime.loading import load

pytestmark = pytest.mark.onnxruntime

NETWORK = """<ir_version: 9, opset_import: ["" : 18]> g (float[N,3,16,16] x) => (float[N,5] y)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    ar = Relu(a)
    p = Conv(ar, w2, b2)
    s = Add(p, ar)
    h = Sigmoid(p)
    m = Mul(s, h)
    l = Conv(m, w3, b3)
    c = Concat <axis = 1> (l, m)
    g = GlobalAveragePool(c)
    f = Flatten(g)
    e = Gemm <transB = 1> (f, w4, b4)
    y = Softmax(e)
}"""
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 8, 1, 1), "w3": (6, 8, 1, 1), "w4": (5, 14)}


def samples(n: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(n, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> ir.Model:
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        weight = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        bias = (random.normal(size=shape[0]) * 0.1).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(bias, f"b{name[1]}"))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def rounded(model: ir.Model, scheme: str) -> ir.Model:
    ranges = collect_ranges(model, [{"x": samples(32)}], methods=("minmax",)).tensors["minmax"]
    return insert_qdq(model, plan_quantization(model, ranges, SCHEMES[scheme]))[0]


def answers(model: ir.Model, folder: Path, stem: str) -> NDArray[np.float32]:
    with load(emit_onnx(model, folder, stem=stem).path, threads=1) as loaded:
        return np.asarray(loaded.run_raw([samples(16)])[0])


@pytest.mark.parametrize("scheme", ["onnx-u8s8", "onnx-u8s8-narrow", "onnx-s8s8"])
def test_integer_operators_give_the_answers_of_q_and_dq_nodes(network: ir.Model, scheme: str, tmp_path: Path) -> None:
    model = rounded(network, scheme)
    operators, changed = to_qoperator(model)
    assert changed
    kinds = [node.op_type for node in operators.graph]
    assert kinds.count("QLinearConv") == 3
    assert {"QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearGlobalAveragePool", "QGemm"} <= set(kinds)
    assert "Conv" not in kinds
    np.testing.assert_array_equal(answers(operators, tmp_path, "operators"), answers(model, tmp_path, "nodes"))


def test_the_boundary_stays(network: ir.Model) -> None:
    operators, _ = to_qoperator(rounded(network, "onnx-u8s8"))
    assert [value.name for value in (*operators.graph.inputs, *operators.graph.outputs)] == ["x", "y"]
    assert [str(dim) for dim in operators.graph.inputs[0].shape or ()] == ["N", "3", "16", "16"]


def test_integer_inputs_go_with_integer_operators(network: ir.Model, tmp_path: Path) -> None:
    model, _ = integer_boundary(rounded(network, "onnx-u8s8"), inputs="uint8", outputs=None)
    operators, _ = to_qoperator(model)
    assert "QuantizeLinear" not in [node.op_type for node in operators.graph]
    artifact = emit_onnx(operators, tmp_path)
    wanted = emit_onnx(model, tmp_path, stem="nodes").inputs[0]
    assert wanted.quantization is not None
    assert artifact.inputs[0] == wanted


def test_integer_outputs_of_integer_operators_keep_their_meaning(network: ir.Model, tmp_path: Path) -> None:
    ranges = collect_ranges(network, [{"x": samples(32)}], methods=("minmax",)).tensors["minmax"]
    network = network.clone()
    network.graph.outputs[0] = next(node.outputs[0] for node in network.graph if node.op_type == "GlobalAveragePool")
    plan = plan_quantization(network, ranges, SCHEMES["onnx-u8s8"])
    model, _ = integer_boundary(insert_qdq(network, plan)[0], inputs="uint8", outputs="uint8")
    wanted = emit_onnx(model, tmp_path, stem="nodes").outputs[0]
    assert wanted.quantization is not None
    assert emit_onnx(to_qoperator(model)[0], tmp_path).outputs[0].quantization == wanted.quantization


def test_such_a_graph_is_recognised_as_a_source(network: ir.Model) -> None:
    operators, _ = to_qoperator(rounded(network, "onnx-u8s8"))
    assert describe_quantization(operators).form == "operators"
    assert "only ONNX Runtime" in str(carry_refusal(operators, "tflite"))


def test_a_float_graph_is_left_alone(network: ir.Model) -> None:
    assert to_qoperator(network) == (network, False)
