"""Already-quantized sources: the same integers in another file, or back to float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgeai_converters.calibrate.collect import collect_ranges
from edgeai_converters.emit.table import emit
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.quantize.carry_over import carry_over_tflite
from edgeai_converters.quantize.insert_qdq import insert_qdq
from edgeai_converters.quantize.planner import plan_quantization
from edgeai_converters.quantize.quantized_source import (
    carry_refusal,
    dequantize,
    describe_quantization,
    unsign_activations,
)
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.store_int8_weights import store_int8_weights
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Format

pytestmark = [pytest.mark.litert, pytest.mark.onnxruntime, pytest.mark.openvino]

NETWORK = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,3,16,16] x) => (float[1,5] y)
{
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    ar = Relu(a)
    d = Conv <pads = [1, 1, 1, 1], group = 8> (ar, w2, b2)
    dr = Clip(d, zero, six)
    p = Conv(dr, w3, b3)
    s = Add(p, ar)
    m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)
    l = Conv(m, w4, b4)
    c = Concat <axis = 1> (l, m)
    g = GlobalAveragePool(c)
    f = Flatten(g)
    y = Gemm <transB = 1> (f, w5, b5)
}"""
SHAPES = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (8, 8, 1, 1), "w5": (5, 16)}


def samples(n: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(n, 3, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> ir.Model:
    proto = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    arrays = {"zero": np.float32(0), "six": np.float32(6)}
    for name, shape in SHAPES.items():
        arrays[name] = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        arrays[f"b{name[1]}"] = (random.normal(size=shape[0]) * 0.1).astype(np.float32)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def quantized(model: ir.Model, scheme: str) -> ir.Model:
    ranges = collect_ranges(model, ({"x": one[None]} for one in samples()), methods=("minmax",)).tensors["minmax"]
    return insert_qdq(model, plan_quantization(model, ranges, SCHEMES[scheme]))[0]


@pytest.fixture(scope="module")
def tflite_file(network: ir.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit(quantized(network, "tflite-int8"), "tflite", tmp_path_factory.mktemp("source")).path


def answers(path: Path) -> NDArray[np.float32]:
    with load(path, threads=1) as model:
        return np.concatenate([model.run_raw([one[None]])[0] for one in samples()])


def step_of(model: ir.Model) -> float:
    """Return the scale of the graph's last quantized value."""
    last = next(node for node in reversed(list(model.graph)) if node.op_type == "QuantizeLinear")
    scale = last.inputs[1]
    assert scale is not None
    assert scale.const_value is not None
    return float(scale.const_value.numpy())


def test_a_quantized_tflite_file_written_again_gives_the_same_bits(tflite_file: Path, tmp_path: Path) -> None:
    model = carry_over_tflite(tflite_file)
    assert carry_refusal(model, "tflite") is None
    again = emit(model, "tflite", tmp_path)
    np.testing.assert_array_equal(answers(again.path), answers(tflite_file))
    assert not again.operators.get("TRANSPOSE", 0) > 1


@pytest.mark.parametrize(("format", "most_steps"), [("onnx", 1), ("openvino", 3)])
def test_a_quantized_tflite_file_keeps_its_integers_in_other_formats(
    format: Format, most_steps: int, tflite_file: Path, tmp_path: Path
) -> None:
    model, changed = unsign_activations(carry_over_tflite(tflite_file))
    assert changed
    assert carry_refusal(model, format) is None
    found, wanted = answers(emit(model, format, tmp_path).path), answers(tflite_file)
    # Kernels round at other places. OpenVINO keeps sums and pools between layers in float.
    difference = np.abs(found - wanted)
    assert difference.max() <= (most_steps + 0.01) * step_of(model)
    assert difference.mean() <= 0.5 * step_of(model)


def test_a_graph_with_rounding_is_described(network: ir.Model, tflite_file: Path) -> None:
    found = describe_quantization(carry_over_tflite(tflite_file))
    assert found.form == "static"
    assert found.weights == {"int8": 5, "int32": 5}
    assert found.activations.keys() == {"int8"}
    assert found.per_channel
    assert "5 constants in int32, 5 constants in int8, per channel" in str(found)
    assert describe_quantization(network).form == "float"
    narrow = store_int8_weights(network, format="onnx")[0]
    assert describe_quantization(narrow).form in ("weights", "float")


@pytest.mark.parametrize("scheme", ["onnx-u8s8", "onnx-s8s8", "tflite-int8"])
def test_back_in_float_a_graph_answers_like_the_one_it_was_made_of(network: ir.Model, scheme: str) -> None:
    rounded = quantized(network, scheme)
    model, changed = dequantize(rounded)
    assert changed
    assert describe_quantization(model).form == "float"
    wanted, found = (GraphRunner(one).run({"x": samples()})["y"] for one in (network, model))
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)  # 8-bit weights


def test_a_relu_that_saturation_stood_for_comes_back() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,4] x) => (float[1,4] y)
    { n = Neg(x) q = QuantizeLinear(n, scale, zero) y = DequantizeLinear(q, scale, zero) }"""
    proto = onnx.parser.parse_model(text)
    for name, array in (("scale", np.float32(0.05)), ("zero", np.uint8(0))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    given = np.array([[-1, 2, -3, 4]], np.float32)
    np.testing.assert_allclose(GraphRunner(dequantize(model)[0]).run({"x": given})["y"], [[1, 0, 3, 0]])


def test_weights_with_a_zero_point_are_no_tflite_weights() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,4] x) => (float[1,4] y)
    { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) r = DequantizeLinear(w, s, v) y = MatMul(d, r) }"""
    proto = onnx.parser.parse_model(text)
    arrays = {"s": np.float32(0.05), "z": np.uint8(128), "v": np.uint8(100), "w": np.full((4, 4), 130, np.uint8)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    assert "zero point" in str(carry_refusal(model, "tflite"))
    assert carry_refusal(model, "onnx") is None


def test_an_unquantized_graph_can_not_be_carried_over(network: ir.Model) -> None:
    assert carry_refusal(network, "onnx") == "the source is not quantized"
    assert dequantize(network)[1] is False
